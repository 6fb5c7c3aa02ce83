//! Templates of instructions that only compute: integer, Zba, Zbb, Zbs. They read homes, write
//! one home, and use rax and rdx.

use crate::asm::{Alu, Bit, Cond, Count, Gpr, Mem, Shift, Size, Unary};
use crate::emit::{Emitter, Src};
use crate::place::{A, D};
use hartlog_isa::{Inst, Op};

impl Emitter<'_> {
    /// Emits a pure instruction (see [`crate::block::is_pure`]) from homes to the home of rd.
    pub(crate) fn alu(&mut self, inst: &Inst) {
        let Inst {
            op,
            rd,
            rs1,
            rs2,
            imm,
            ..
        } = *inst;
        self.loans.operands = inst.reads();
        let pc = self.pc;
        match op {
            Op::Lui => self.constant(rd, i64::from(imm)),
            Op::Auipc => self.constant(rd, pc.wrapping_add(imm as i64 as u64) as i64),
            Op::Addi => self.add_imm(rd, rs1, imm),
            Op::Addiw => self.add_imm_word(rd, rs1, imm),
            Op::Andi => self.and_imm(rd, rs1, imm),
            Op::Ori => self.logic_imm(Alu::Or, rd, rs1, imm),
            Op::Xori => self.logic_imm(Alu::Xor, rd, rs1, imm),
            Op::Add => self.add(inst),
            Op::Sub => self.sub(Size::Q, rd, rs1, rs2),
            Op::Addw => self.add_word(rd, rs1, rs2),
            Op::Subw => self.sub(Size::D, rd, rs1, rs2),
            Op::And => self.logic(Alu::And, rd, rs1, rs2),
            Op::Or => self.logic(Alu::Or, rd, rs1, rs2),
            Op::Xor => self.logic(Alu::Xor, rd, rs1, rs2),
            Op::Andn => self.logic_not(Alu::And, rd, rs1, rs2),
            Op::Orn => self.logic_not(Alu::Or, rd, rs1, rs2),
            Op::Xnor => self.logic_not(Alu::Xor, rd, rs1, rs2),
            Op::Slt => self.set_less(Cond::L, rd, rs1, rs2),
            Op::Sltu => self.set_less(Cond::B, rd, rs1, rs2),
            Op::Slti => self.set_less_imm(Cond::L, rd, rs1, imm),
            Op::Sltiu => self.set_less_imm(Cond::B, rd, rs1, imm),
            Op::Slli => self.shift_left(rd, rs1, imm as u8),
            Op::Srli => self.shift_right(Shift::Shr, rd, rs1, imm as u8),
            Op::Srai => self.shift_right(Shift::Sar, rd, rs1, imm as u8),
            Op::Slliw => self.shift_word(Shift::Shl, rd, rs1, imm as u8),
            Op::Srliw => self.shift_word(Shift::Shr, rd, rs1, imm as u8),
            Op::Sraiw => self.shift_word(Shift::Sar, rd, rs1, imm as u8),
            Op::Sll => self.shift_var(Shift::Shl, Size::Q, rd, rs1, rs2),
            Op::Srl => self.shift_var(Shift::Shr, Size::Q, rd, rs1, rs2),
            Op::Sra => self.shift_var(Shift::Sar, Size::Q, rd, rs1, rs2),
            Op::Sllw => self.shift_var(Shift::Shl, Size::D, rd, rs1, rs2),
            Op::Srlw => self.shift_var(Shift::Shr, Size::D, rd, rs1, rs2),
            Op::Sraw => self.shift_var(Shift::Sar, Size::D, rd, rs1, rs2),
            Op::Rori => self.rotate_imm(Size::Q, rd, rs1, imm as u8),
            Op::Roriw => self.rotate_imm(Size::D, rd, rs1, imm as u8),
            Op::Rol => self.rotate_var(Shift::Shl, Size::Q, rd, rs1, rs2),
            Op::Ror => self.rotate_var(Shift::Shr, Size::Q, rd, rs1, rs2),
            Op::Rolw => self.rotate_var(Shift::Shl, Size::D, rd, rs1, rs2),
            Op::Rorw => self.rotate_var(Shift::Shr, Size::D, rd, rs1, rs2),
            Op::AddUw => self.shift_add(inst, 1, true),
            Op::Sh1add => self.shift_add(inst, 2, false),
            Op::Sh2add => self.shift_add(inst, 4, false),
            Op::Sh3add => self.shift_add(inst, 8, false),
            Op::Sh1addUw => self.shift_add(inst, 2, true),
            Op::Sh2addUw => self.shift_add(inst, 4, true),
            Op::Sh3addUw => self.shift_add(inst, 8, true),
            Op::SlliUw => self.shift_left_uw(rd, rs1, imm as u8),
            Op::Clz => self.count(Count::Lzcnt, Size::Q, rd, rs1),
            Op::Ctz => self.count(Count::Tzcnt, Size::Q, rd, rs1),
            Op::Cpop => self.count(Count::Popcnt, Size::Q, rd, rs1),
            Op::Clzw => self.count(Count::Lzcnt, Size::D, rd, rs1),
            Op::Ctzw => self.count(Count::Tzcnt, Size::D, rd, rs1),
            Op::Cpopw => self.count(Count::Popcnt, Size::D, rd, rs1),
            Op::Max => self.choose(Cond::G, rd, rs1, rs2),
            Op::Maxu => self.choose(Cond::A, rd, rs1, rs2),
            Op::Min => self.choose(Cond::L, rd, rs1, rs2),
            Op::Minu => self.choose(Cond::B, rd, rs1, rs2),
            Op::SextB => self.extend_part(true, Size::B, rd, rs1),
            Op::SextH => self.extend_part(true, Size::H, rd, rs1),
            Op::ZextH => self.extend_part(false, Size::H, rd, rs1),
            Op::OrcB => self.or_combine(rd, rs1),
            Op::Rev8 => self.reverse_bytes(rd, rs1),
            Op::Bclr => self.bit_var(Bit::Btr, rd, rs1, rs2),
            Op::Bset => self.bit_var(Bit::Bts, rd, rs1, rs2),
            Op::Binv => self.bit_var(Bit::Btc, rd, rs1, rs2),
            Op::Bclri => self.bit_imm(Bit::Btr, rd, rs1, imm as u8),
            Op::Bseti => self.bit_imm(Bit::Bts, rd, rs1, imm as u8),
            Op::Binvi => self.bit_imm(Bit::Btc, rd, rs1, imm as u8),
            Op::Bext => self.extract_bit(rd, rs1, rs2),
            Op::Bexti => self.extract_bit_imm(rd, rs1, imm as u8),
            Op::Mul
            | Op::Mulh
            | Op::Mulhsu
            | Op::Mulhu
            | Op::Div
            | Op::Divu
            | Op::Rem
            | Op::Remu
            | Op::Mulw
            | Op::Divw
            | Op::Divuw
            | Op::Remw
            | Op::Remuw => self.muldiv(inst),
            Op::Jal
            | Op::Jalr
            | Op::Beq
            | Op::Bne
            | Op::Blt
            | Op::Bge
            | Op::Bltu
            | Op::Bgeu
            | Op::Lb
            | Op::Lh
            | Op::Lw
            | Op::Ld
            | Op::Lbu
            | Op::Lhu
            | Op::Lwu
            | Op::Sb
            | Op::Sh
            | Op::Sw
            | Op::Sd
            | Op::Fence
            | Op::FenceI
            | Op::Ecall
            | Op::Ebreak
            | Op::Csrrw
            | Op::Csrrs
            | Op::Csrrc
            | Op::Csrrwi
            | Op::Csrrsi
            | Op::Csrrci
            | Op::LrW
            | Op::ScW
            | Op::AmoswapW
            | Op::AmoaddW
            | Op::AmoxorW
            | Op::AmoandW
            | Op::AmoorW
            | Op::AmominW
            | Op::AmomaxW
            | Op::AmominuW
            | Op::AmomaxuW
            | Op::LrD
            | Op::ScD
            | Op::AmoswapD
            | Op::AmoaddD
            | Op::AmoxorD
            | Op::AmoandD
            | Op::AmoorD
            | Op::AmominD
            | Op::AmomaxD
            | Op::AmominuD
            | Op::AmomaxuD => unreachable!("{op:?} is not a pure instruction"),
        }
    }

    fn constant(&mut self, rd: u8, c: i64) {
        let dst = self.dst(rd);
        self.asm.mov_imm(dst, c);
        if i32::try_from(c).is_ok() {
            self.done_sext(rd, dst)
        } else {
            self.done(rd, dst)
        }
    }

    /// Copies an operand into `dst`.
    pub(crate) fn load(&mut self, size: Size, dst: Gpr, src: Src) {
        match src {
            Src::Reg(r) if r == dst => {}
            Src::Reg(r) => self.asm.mov(size, dst, r),
            Src::Slot(m) => self.asm.mov(size, dst, m),
            Src::Imm(v) => self.asm.mov_imm(dst, v),
        }
    }

    /// `op dst, src` for any kind of operand; an immediate must be 0 (x0).
    pub(crate) fn apply(&mut self, op: Alu, size: Size, dst: Gpr, src: Src) {
        match src {
            Src::Reg(r) => self.asm.alu(op, size, dst, r),
            Src::Slot(m) => self.asm.alu(op, size, dst, m),
            Src::Imm(v) => self.asm.alu_imm(op, size, dst, v as i32),
        }
    }

    fn add_imm(&mut self, rd: u8, rs1: u8, imm: i32) {
        if imm == 0 {
            self.copy(rd, rs1);
            return;
        }
        let src = self.full(rs1);
        let dst = self.dst(rd);
        if let Src::Slot(m) = src
            && rd == rs1
            && dst == A
            && self.redirect.is_none()
        {
            self.asm.alu_imm(Alu::Add, Size::Q, m, imm);
            self.facts_unknown(rd);
            return;
        }
        if let Src::Reg(s) = src
            && s != dst
        {
            self.asm.lea(Size::Q, dst, Mem::host(s, imm));
        } else {
            self.load(Size::Q, dst, src);
            self.asm.alu_imm(Alu::Add, Size::Q, dst, imm);
        }
        self.done(rd, dst);
    }

    /// `mv`
    fn copy(&mut self, rd: u8, rs1: u8) {
        let (dirty, sext) = (self.is_dirty(rs1), self.is_sext(rs1));
        if dirty {
            let src = self.reg_low(rs1, A);
            self.word_from(rd, src);
            return;
        }
        let dst = self.dst(rd);
        match (self.home(rs1), ()) {
            (Src::Reg(s), _) => {
                if sext {
                    self.done_sext(rd, s)
                } else {
                    self.done(rd, s)
                }
            }
            (src, _) => {
                self.load(Size::Q, dst, src);
                if sext {
                    self.done_sext(rd, dst)
                } else {
                    self.done(rd, dst)
                }
            }
        }
    }

    /// rd = the sign extension of the lower half of a register that is not its own.
    fn word_from(&mut self, rd: u8, src: Gpr) {
        let dst = self.dst(rd);
        if dst == A {
            self.asm.movsx(Size::D, A, src);
            self.done_sext(rd, A);
        } else {
            self.done_word(rd, src);
            if self.home(rd) == Src::Reg(src) {
                // It was written over its source, and nothing moved.
                self.mark_dirty(rd);
            }
        }
    }

    fn add_imm_word(&mut self, rd: u8, rs1: u8, imm: i32) {
        if imm == 0 {
            if self.is_sext(rs1) {
                self.copy(rd, rs1);
                return;
            }
            match self.home(rs1) {
                Src::Reg(_) if rd == rs1 && self.redirect.is_none() => {
                    self.mark_dirty(rd);
                    self.rewritten(rd);
                }
                Src::Slot(m) => {
                    let dst = self.dst(rd);
                    self.asm.movsx(Size::D, dst, m);
                    self.done_sext(rd, dst);
                }
                src => {
                    let src = self.in_reg(src, Size::D, A);
                    self.word_from(rd, src);
                }
            }
            return;
        }
        let dst = self.dst(rd);
        match self.home(rs1) {
            Src::Reg(s) if s != dst => self.asm.lea(Size::D, dst, Mem::host(s, imm)),
            src => {
                self.load(Size::D, dst, src);
                self.asm.alu_imm(Alu::Add, Size::D, dst, imm);
            }
        }
        self.done_word(rd, dst);
    }

    fn and_imm(&mut self, rd: u8, rs1: u8, imm: i32) {
        let dst = self.dst(rd);
        if imm >= 0 {
            // The upper half of the result is zero whatever the source holds there.
            let part = match imm {
                0xff => Some(Size::B),
                0xffff => Some(Size::H),
                _ => None,
            };
            match (part, self.home(rs1)) {
                (Some(size), Src::Reg(s)) => self.asm.movzx(size, dst, s),
                (Some(size), Src::Slot(m)) => self.asm.movzx(size, dst, m),
                (_, src) => {
                    self.load(Size::D, dst, src);
                    self.asm.alu_imm(Alu::And, Size::D, dst, imm);
                }
            }
            self.done_sext(rd, dst);
            return;
        }
        self.logic_imm(Alu::And, rd, rs1, imm);
    }

    fn logic_imm(&mut self, op: Alu, rd: u8, rs1: u8, imm: i32) {
        let dst = self.dst(rd);
        let sext = self.is_sext(rs1);
        let dirty = self.is_dirty(rs1);
        let size = if dirty { Size::D } else { Size::Q };
        let src = self.home(rs1);
        self.load(size, dst, src);
        if op == Alu::Xor && imm == -1 {
            self.asm.unary(Unary::Not, size, dst);
        } else {
            self.asm.alu_imm(op, size, dst, imm);
        }
        match (dirty, sext) {
            (true, _) => self.done_word(rd, dst),
            (false, true) => self.done_sext(rd, dst),
            (false, false) => self.done(rd, dst),
        }
    }

    fn add(&mut self, inst: &Inst) {
        let Inst { rd, rs1, rs2, .. } = *inst;
        let (a, b) = (self.full(rs1), self.full(rs2));
        let dst = self.dst(rd);
        let flags = match (a, b) {
            (Src::Reg(x), Src::Reg(y)) if x != dst && y != dst && !self.carry_follows(inst) => {
                let sum = Mem {
                    base: Some(x),
                    index: Some((y, 1)),
                    disp: 0,
                    narrow: false,
                };
                self.asm.lea(Size::Q, dst, sum);
                false
            }
            (_, Src::Reg(y)) if y == dst => {
                self.apply(Alu::Add, Size::Q, dst, a);
                true
            }
            (Src::Slot(_), Src::Reg(y)) => {
                self.load(Size::Q, dst, a);
                self.asm.alu(Alu::Add, Size::Q, dst, y);
                true
            }
            _ => {
                self.load(Size::Q, dst, a);
                self.apply(Alu::Add, Size::Q, dst, b);
                true
            }
        };
        self.done(rd, dst);
        // The carry tells whether the sum is less than either operand; name the one that the
        // guest compares with, if it is still there.
        if flags {
            let compared = self.next.map_or(rs2, |n| n.rs2);
            let addend = [compared, rs2, rs1]
                .into_iter()
                .find(|r| *r != rd && (*r == rs1 || *r == rs2) && self.lazy(*r).is_none());
            self.carry = addend.map(|r| (self.asm.flags(), rd, r));
        }
    }

    fn add_word(&mut self, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.home(rs1), self.home(rs2));
        let dst = self.dst(rd);
        match (a, b) {
            (Src::Reg(x), Src::Reg(y)) if x != dst && y != dst => {
                let sum = Mem {
                    base: Some(x),
                    index: Some((y, 1)),
                    disp: 0,
                    narrow: false,
                };
                self.asm.lea(Size::D, dst, sum);
            }
            (_, Src::Reg(y)) if y == dst => self.apply(Alu::Add, Size::D, dst, a),
            _ => {
                self.load(Size::D, dst, a);
                self.apply(Alu::Add, Size::D, dst, b);
            }
        }
        self.done_word(rd, dst);
    }

    fn sub(&mut self, size: Size, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.operand_of(size, rs1), self.operand_of(size, rs2));
        let dst = self.dst(rd);
        let mut borrow = false;
        if b == Src::Reg(dst) && a != b {
            self.asm.unary(Unary::Neg, size, dst);
            if a != Src::Imm(0) {
                self.apply(Alu::Add, size, dst, a);
            }
        } else {
            self.load(size, dst, a);
            self.apply(Alu::Sub, size, dst, b);
            borrow = size == Size::Q && rd != rs1 && rd != rs2 && self.redirect.is_none();
        }
        self.done_of(size, rd, dst);
        if borrow {
            self.carry = Some((self.asm.flags(), rs1, rs2));
        }
    }

    /// The operands of a bitwise operation or a comparison: 32 bits suffice where both are
    /// sign-extended and one is dirty. Returns whether they do.
    pub(crate) fn narrow_pair(&mut self, rs1: u8, rs2: u8) -> Size {
        let dirty = self.is_dirty(rs1) || self.is_dirty(rs2);
        if dirty && self.is_sext(rs1) && self.is_sext(rs2) {
            return Size::D;
        }
        self.full(rs1);
        self.full(rs2);
        Size::Q
    }

    fn logic_done(&mut self, size: Size, sext: bool, rd: u8, dst: Gpr) {
        match (size, sext) {
            (Size::D, _) => self.done_word(rd, dst),
            (_, true) => self.done_sext(rd, dst),
            (_, false) => self.done(rd, dst),
        }
    }

    fn logic(&mut self, op: Alu, rd: u8, rs1: u8, rs2: u8) {
        let size = self.narrow_pair(rs1, rs2);
        let sext = self.is_sext(rs1) && self.is_sext(rs2);
        let (a, b) = (self.home(rs1), self.home(rs2));
        let dst = self.dst(rd);
        if b == Src::Reg(dst) {
            self.apply(op, size, dst, a);
        } else {
            self.load(size, dst, a);
            self.apply(op, size, dst, b);
        }
        self.logic_done(size, sext, rd, dst);
    }

    /// `rs1 op ~rs2`
    fn logic_not(&mut self, op: Alu, rd: u8, rs1: u8, rs2: u8) {
        let size = self.narrow_pair(rs1, rs2);
        let sext = self.is_sext(rs1) && self.is_sext(rs2);
        let (a, b) = (self.home(rs1), self.home(rs2));
        let dst = self.dst(rd);
        match op {
            Alu::And => {
                let not = self.in_reg(b, size, D);
                let src = self.rm(a);
                self.asm.andn(size, dst, not, src);
            }
            Alu::Xor => {
                if b == Src::Reg(dst) {
                    self.apply(op, size, dst, a);
                } else {
                    self.load(size, dst, a);
                    self.apply(op, size, dst, b);
                }
                self.asm.unary(Unary::Not, size, dst);
            }
            _ if a == Src::Reg(dst) && b != a => {
                self.load(size, D, b);
                self.asm.unary(Unary::Not, size, D);
                self.asm.alu(op, size, dst, D);
            }
            _ => {
                let work = if a == Src::Reg(dst) { D } else { dst };
                self.load(size, work, b);
                self.asm.unary(Unary::Not, size, work);
                self.apply(op, size, work, a);
                self.logic_done(size, sext, rd, work);
                return;
            }
        }
        self.logic_done(size, sext, rd, dst);
    }

    /// Compares two operands, at most one of them a constant that fits 32 bits (or both x0).
    pub(crate) fn compare_values(&mut self, size: Size, a: Src, b: Src) -> CompareOrder {
        self.compare_scratch(size, a, b, A)
    }

    /// Compares two operands, unless the flags tell the result already; returns the condition under
    /// which `cond` holds.
    pub(crate) fn compare_for(&mut self, cond: Cond, size: Size, a: Src, b: Src) -> Cond {
        let (a, b) = match (cond, a, b) {
            (Cond::E | Cond::Ne, Src::Imm(0), Src::Reg(_)) => (b, a),
            _ => (a, b),
        };
        if let (Src::Reg(r), Src::Imm(0)) = (a, b)
            && let Some(known) = self.asm.known_of_zero(cond, size, r)
        {
            return known;
        }
        self.compare_values(size, a, b).apply(cond)
    }

    /// [`Emitter::compare_values`] with a scratch register of the caller's choice.
    pub(crate) fn compare_scratch(
        &mut self,
        size: Size,
        a: Src,
        b: Src,
        scratch: Gpr,
    ) -> CompareOrder {
        match (a, b) {
            (Src::Reg(x), Src::Imm(0)) => self.asm.test(size, x, x),
            (Src::Reg(x), Src::Imm(c)) => self.asm.alu_imm(Alu::Cmp, size, x, c as i32),
            (Src::Slot(m), Src::Imm(c)) => self.asm.alu_imm(Alu::Cmp, size, m, c as i32),
            (Src::Imm(c), Src::Reg(y)) => {
                // test does not tell which side is 0, so compare
                self.asm.alu_imm(Alu::Cmp, size, y, c as i32);
                return CompareOrder::Swapped;
            }
            (Src::Imm(c), Src::Slot(m)) => {
                self.asm.alu_imm(Alu::Cmp, size, m, c as i32);
                return CompareOrder::Swapped;
            }
            (Src::Reg(x), Src::Reg(y)) => self.asm.alu(Alu::Cmp, size, x, y),
            (Src::Reg(x), Src::Slot(m)) => self.asm.alu(Alu::Cmp, size, x, m),
            (Src::Slot(m), Src::Reg(y)) => self.asm.alu_mem(Alu::Cmp, size, m, y),
            (Src::Slot(m), Src::Slot(n)) => {
                self.asm.mov(size, scratch, m);
                self.asm.alu(Alu::Cmp, size, scratch, n);
            }
            (Src::Imm(c), Src::Imm(_)) => {
                self.asm.mov_imm(scratch, c);
                self.apply(Alu::Cmp, size, scratch, b);
            }
        }
        CompareOrder::AsIs
    }

    fn set_less(&mut self, cond: Cond, rd: u8, rs1: u8, rs2: u8) {
        if cond == Cond::B && self.carry_from_flags(rd, rs1, rs2) {
            return;
        }
        let size = self.narrow_pair(rs1, rs2);
        let (a, b) = (self.home(rs1), self.home(rs2));
        self.set_compared(cond, rd, size, a, b);
    }

    fn set_less_imm(&mut self, cond: Cond, rd: u8, rs1: u8, imm: i32) {
        let size = if self.is_dirty(rs1) { Size::D } else { Size::Q };
        let a = self.home(rs1);
        if cond == Cond::B && imm == 1 && a != Src::Imm(0) {
            // seqz
            self.set_compared(Cond::E, rd, size, a, Src::Imm(0));
        } else {
            self.set_compared(cond, rd, size, a, Src::Imm(i64::from(imm)));
        }
    }

    fn set_compared(&mut self, cond: Cond, rd: u8, size: Size, a: Src, b: Src) {
        let dst = self.dst(rd);
        let early = dst != A && a != Src::Reg(dst) && b != Src::Reg(dst);
        if early {
            self.asm.alu(Alu::Xor, Size::D, dst, dst);
        }
        let cond = self.compare_for(cond, size, a, b);
        if early {
            self.asm.setcc(cond, dst);
        } else {
            self.asm.setcc(cond, A);
            self.asm.movzx(Size::B, dst, A);
        }
        self.done_sext(rd, dst);
    }

    fn shift_left(&mut self, rd: u8, rs1: u8, amount: u8) {
        if amount == 0 {
            self.copy(rd, rs1);
            return;
        }
        // Bits of a dirty upper half are shifted out.
        let src = if amount >= 32 {
            self.home(rs1)
        } else {
            self.full(rs1)
        };
        let dst = self.dst(rd);
        match src {
            Src::Reg(s) if amount == 1 && s != dst => {
                let twice = Mem {
                    base: Some(s),
                    index: Some((s, 1)),
                    disp: 0,
                    narrow: false,
                };
                self.asm.lea(Size::Q, dst, twice);
            }
            src => {
                self.load(Size::Q, dst, src);
                self.asm.shift_imm(Shift::Shl, Size::Q, dst, amount);
            }
        }
        self.done(rd, dst);
    }

    fn shift_right(&mut self, op: Shift, rd: u8, rs1: u8, amount: u8) {
        if amount == 0 {
            self.copy(rd, rs1);
            return;
        }
        let sext = self.is_sext(rs1);
        let dst = self.dst(rd);
        if op == Shift::Sar && self.is_dirty(rs1) {
            let src = self.home(rs1);
            self.load(Size::D, dst, src);
            self.asm.shift_imm(op, Size::D, dst, amount.min(31));
            self.done_word(rd, dst);
            return;
        }
        let src = self.full(rs1);
        self.load(Size::Q, dst, src);
        self.asm.shift_imm(op, Size::Q, dst, amount);
        if (op == Shift::Sar && (sext || amount >= 32)) || amount > 32 {
            self.done_sext(rd, dst);
        } else {
            self.done(rd, dst);
        }
    }

    fn shift_word(&mut self, op: Shift, rd: u8, rs1: u8, amount: u8) {
        if amount == 0 {
            self.add_imm_word(rd, rs1, 0);
            return;
        }
        let dst = self.dst(rd);
        let src = self.home(rs1);
        self.load(Size::D, dst, src);
        self.asm.shift_imm(op, Size::D, dst, amount);
        if op == Shift::Shr {
            // Positive, and the host cleared the upper half.
            self.done_sext(rd, dst);
        } else {
            self.done_word(rd, dst);
        }
    }

    fn shift_var(&mut self, op: Shift, size: Size, rd: u8, rs1: u8, rs2: u8) {
        let src = self.operand_of(size, rs1);
        let count = self.reg_low(rs2, D);
        let src = self.rm(src);
        let dst = self.dst(rd);
        self.asm.shift_var(op, size, dst, src, count);
        self.done_of(size, rd, dst);
    }

    fn rotate_imm(&mut self, size: Size, rd: u8, rs1: u8, amount: u8) {
        let src = self.operand_of(size, rs1);
        let dst = self.dst(rd);
        if src == Src::Reg(dst) {
            self.asm.shift_imm(Shift::Ror, size, dst, amount);
        } else {
            let src = self.rm(src);
            self.asm.rorx(size, dst, src, amount);
        }
        self.done_of(size, rd, dst);
    }

    /// Rotation towards `op`: two shifts in opposite directions, counts modulo the size.
    fn rotate_var(&mut self, op: Shift, size: Size, rd: u8, rs1: u8, rs2: u8) {
        let back = if op == Shift::Shl {
            Shift::Shr
        } else {
            Shift::Shl
        };
        let src = self.operand_of(size, rs1);
        let src = self.rm(src);
        let count = self.reg_low(rs2, D);
        self.asm.shift_var(op, size, A, src, count);
        if count != D {
            self.asm.mov(Size::D, D, count);
        }
        self.asm.unary(Unary::Neg, Size::D, D);
        self.asm.shift_var(back, size, D, src, D);
        self.asm.alu(Alu::Or, size, A, D);
        self.done_of(size, rd, A);
    }

    /// `rs2 + rs1 * scale + imm`, rs1 zero-extended from 32 bits if `uw`.
    fn shift_add(&mut self, inst: &Inst, scale: u8, uw: bool) {
        let Inst { rd, rs1, rs2, .. } = *inst;
        let dst = self.dst(rd);
        let b = self.full(rs2);
        let index = if uw {
            if b == Src::Imm(0) && scale == 1 {
                let low = self.zero_extended(rs1, dst);
                self.done(rd, low);
                return;
            }
            self.zero_extended(rs1, A)
        } else {
            self.reg_full(rs1, A)
        };
        let base = match b {
            Src::Imm(_) => None,
            b => Some(self.in_reg(b, Size::Q, D)),
        };
        let sum = Mem {
            base,
            index: Some((index, scale)),
            disp: inst.imm,
            narrow: false,
        };
        self.asm.lea(Size::Q, dst, sum);
        self.done(rd, dst);
    }

    fn shift_left_uw(&mut self, rd: u8, rs1: u8, amount: u8) {
        let dst = self.dst(rd);
        let low = self.zero_extended(rs1, dst);
        self.asm.mov(Size::Q, dst, low);
        if amount != 0 {
            self.asm.shift_imm(Shift::Shl, Size::Q, dst, amount);
        }
        self.done(rd, dst);
    }

    fn count(&mut self, op: Count, size: Size, rd: u8, rs1: u8) {
        let src = self.operand_of(size, rs1);
        let src = self.rm(src);
        let dst = self.dst(rd);
        self.asm.count(op, size, dst, src);
        self.done_sext(rd, dst);
    }

    /// Minimum or maximum: rs1 if it compares as `cond` to rs2, else rs2.
    fn choose(&mut self, cond: Cond, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.full(rs1), self.full(rs2));
        let sext = self.is_sext(rs1) && self.is_sext(rs2);
        // Start from rs1 in the scratch register, replace it by rs2 where it does not compare.
        self.load(Size::Q, A, a);
        let other = self.rm(b);
        self.asm.alu(Alu::Cmp, Size::Q, A, other);
        self.asm.cmov(cond.negated(), Size::Q, A, other);
        if sext {
            self.done_sext(rd, A)
        } else {
            self.done(rd, A)
        }
    }

    fn extend_part(&mut self, signed: bool, size: Size, rd: u8, rs1: u8) {
        let src = self.home(rs1);
        let src = self.rm(src);
        let dst = self.dst(rd);
        if signed {
            self.asm.movsx(size, dst, src)
        } else {
            self.asm.movzx(size, dst, src)
        }
        self.done_sext(rd, dst);
    }

    /// `orc.b`: 0xff for every byte that is not 0. With h = 0x80 in each byte: the byte's bit 7
    /// of `((x & ~h) + ~h) | x` tells whether it is 0; `(t >> 7) * 255` spreads it.
    fn or_combine(&mut self, rd: u8, rs1: u8) {
        const LOW: i64 = 0x7f7f_7f7f_7f7f_7f7f;
        let src = self.full(rs1);
        self.asm.mov_imm(D, LOW);
        self.load(Size::Q, A, src);
        self.asm.alu(Alu::And, Size::Q, A, D);
        self.asm.alu(Alu::Add, Size::Q, A, D);
        self.apply(Alu::Or, Size::Q, A, src);
        self.asm.andn(Size::Q, A, D, A);
        self.asm.mov(Size::Q, D, A);
        self.asm.shift_imm(Shift::Shr, Size::Q, D, 7);
        // 0x80 -> 0xff in each byte: 2 * 0x80 - 1, without borrows between bytes.
        self.asm.alu(Alu::Add, Size::Q, A, A);
        self.asm.alu(Alu::Sub, Size::Q, A, D);
        self.done(rd, A);
    }

    fn reverse_bytes(&mut self, rd: u8, rs1: u8) {
        let src = self.full(rs1);
        let dst = self.dst(rd);
        self.load(Size::Q, dst, src);
        self.asm.bswap(Size::Q, dst);
        self.done(rd, dst);
    }

    fn bit_var(&mut self, op: Bit, rd: u8, rs1: u8, rs2: u8) {
        let src = self.full(rs1);
        let index = self.reg_low(rs2, D);
        let dst = self.dst(rd);
        let work = if index == dst { A } else { dst };
        self.load(Size::Q, work, src);
        self.asm.bit(op, work, index);
        self.done(rd, work);
    }

    fn bit_imm(&mut self, op: Bit, rd: u8, rs1: u8, index: u8) {
        let src = self.full(rs1);
        let dst = self.dst(rd);
        self.load(Size::Q, dst, src);
        self.asm.bit_imm(op, dst, index);
        self.done(rd, dst);
    }

    fn extract_bit(&mut self, rd: u8, rs1: u8, rs2: u8) {
        let src = self.full(rs1);
        let count = self.reg_low(rs2, D);
        let src = self.rm(src);
        let dst = self.dst(rd);
        self.asm.shift_var(Shift::Shr, Size::Q, dst, src, count);
        self.asm.alu_imm(Alu::And, Size::D, dst, 1);
        self.done_sext(rd, dst);
    }

    fn extract_bit_imm(&mut self, rd: u8, rs1: u8, index: u8) {
        let src = self.full(rs1);
        let dst = self.dst(rd);
        self.load(Size::Q, dst, src);
        if index != 0 {
            self.asm.shift_imm(Shift::Shr, Size::Q, dst, index);
        }
        self.asm.alu_imm(Alu::And, Size::D, dst, 1);
        self.done_sext(rd, dst);
    }
}

/// Which way round the host compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompareOrder {
    AsIs,
    Swapped,
}

impl CompareOrder {
    /// The condition on the flags that means `cond` on the guest's operands.
    pub fn apply(self, cond: Cond) -> Cond {
        match self {
            CompareOrder::AsIs => cond,
            CompareOrder::Swapped => cond.swapped(),
        }
    }
}
