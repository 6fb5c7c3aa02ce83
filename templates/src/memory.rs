//! Templates of loads, stores and atomics.
//!
//! Addresses are formed with 32-bit operands, so nothing but the guest's window can be reached.
//! Deferred additions and scalings become part of the address. Every value read goes to the log
//! at a static offset from the log pointer.

use crate::asm::{Alu, Cond, Gpr, Mem, Rm, Size};
use crate::emit::{Emitter, Lazy, Src};
use crate::place::{A, D, field};
use crate::rows::{Access, Written};
use hartlog_format::contract::offset;
use hartlog_isa::{Effect, Inst, Op, Width};

pub(crate) fn size(width: Width) -> Size {
    match width {
        Width::B => Size::B,
        Width::H => Size::H,
        Width::W => Size::D,
        Width::D => Size::Q,
    }
}

/// An address before its parts are in registers.
#[derive(Clone, Copy)]
struct Address {
    base: Option<u8>,
    index: Option<(u8, u8)>,
    disp: i32,
}

impl Address {
    /// Its registers; x0 where there is none.
    fn parts(self) -> [u8; 2] {
        [self.base.unwrap_or(0), self.index.map_or(0, |(r, _)| r)]
    }
}

impl Emitter<'_> {
    /// Emits an instruction that accesses memory.
    pub(crate) fn memory(&mut self, inst: Inst) {
        match inst.op.effect() {
            Effect::Read(width) => self.load_template(inst, width),
            Effect::Write(width) => self.store_template(inst, width),
            Effect::ReadWrite(width) => self.amo(inst, width),
            Effect::Reserve(width) => self.load_reserved(inst, width),
            Effect::CondStore(width) => self.store_conditional(inst, width),
            Effect::None => unreachable!("{:?} does not access memory", inst.op),
        }
    }

    fn load_template(&mut self, inst: Inst, width: Width) {
        if self.following() {
            self.follow_load(&inst, width);
            return;
        }
        if self.replaying() {
            self.access_address(&inst, width, Access::Read);
            self.consume(&inst);
            let mem = self.logged(width);
            self.replay_load(&inst, width, mem);
            return;
        }
        let address = self.address(&inst, inst.rd);
        self.loans.protect(address.parts());
        self.consume(&inst);
        if inst.rd != 0 {
            self.define(inst.rd);
            self.loans.defining = Some(inst.rd);
        }
        let dst = if inst.rd == 0 { A } else { self.dst(inst.rd) };
        let mem = self.guest(address, A, D);
        self.site();
        let logged = self.log_read(width, mem);
        self.load_from(&inst, width, dst, mem);
        if !logged {
            self.log_value(width, dst);
        }
    }

    /// A load whose value is in the log.
    fn replay_load(&mut self, inst: &Inst, width: Width, mem: Mem) {
        let wanted = self.wants_value(Access::Read);
        let signed = matches!(inst.op, Op::Lb | Op::Lh | Op::Lw);
        if wanted && (signed || inst.rd == 0) {
            self.asm.movzx(size(width), A, mem);
            self.access_value(Access::Read, A);
        }
        if inst.rd == 0 {
            return;
        }
        self.define(inst.rd);
        self.loans.defining = Some(inst.rd);
        let dst = self.dst(inst.rd);
        if wanted && !signed {
            self.asm.movzx(size(width), dst, mem);
            self.access_value(Access::Read, dst);
            self.loaded(inst, dst);
        } else {
            self.load_from(inst, width, dst, mem);
        }
    }

    fn load_from(&mut self, inst: &Inst, width: Width, dst: Gpr, mem: Mem) {
        match inst.op {
            Op::Lb | Op::Lh | Op::Lw => self.asm.movsx(size(width), dst, mem),
            _ => self.asm.movzx(size(width), dst, mem),
        }
        self.loaded(inst, dst);
    }

    pub(crate) fn loaded(&mut self, inst: &Inst, dst: Gpr) {
        match inst.op {
            _ if inst.rd == 0 => {}
            Op::Ld | Op::Lwu => self.done(inst.rd, dst),
            _ => self.done_sext(inst.rd, dst),
        }
    }

    /// What a store of `rs2` writes, and the constant, where one can be written as it is.
    pub(crate) fn store_value(&mut self, rs2: u8, width: Width) -> (Src, Option<i32>) {
        let value = match width {
            Width::D => self.value_full(rs2),
            _ => self.value(rs2),
        };
        let immediate = match (width, value) {
            (Width::D, v) => v.imm32(),
            (_, Src::Imm(v)) => Some(v as i32),
            _ => None,
        };
        (value, immediate)
    }

    /// Where the value of a store is once the address was formed: a base that had to be computed for
    /// that calls in its register, which the value may have borrowed.
    pub(crate) fn still(&mut self, rs2: u8, value: Src) -> Src {
        match value {
            Src::Reg(_) => self.home(rs2),
            value => value,
        }
    }

    fn store_template(&mut self, inst: Inst, width: Width) {
        if self.following() {
            self.follow_store(&inst, width);
            return;
        }
        if self.replaying() {
            self.access_address(&inst, width, Access::Write);
            self.stored_value(&inst, size(width), width);
            self.consume(&inst);
            return;
        }
        let (value, immediate) = self.store_value(inst.rs2, width);
        let address = self.address(&inst, 0);
        self.consume(&inst);
        let mut mem = self.guest(address, A, D);
        let value = self.still(inst.rs2, value);
        if let Some(v) = immediate {
            self.site();
            self.asm.store_imm(size(width), mem, v);
            return;
        }
        let value = match value {
            Src::Reg(r) => r,
            other => {
                if mem.index.is_some_and(|(r, _)| r == D) || mem.base == Some(D) {
                    self.asm.lea(Size::D, A, mem);
                    mem = Mem {
                        base: Some(A),
                        index: None,
                        disp: 0,
                        narrow: true,
                    };
                }
                self.in_reg(other, Size::Q, D)
            }
        };
        self.site();
        self.asm.store(size(width), mem, value);
    }

    /// Forms the address `rs1 + imm`, folding a deferred rs1. `rd` is written afterwards (0: none).
    fn address(&mut self, inst: &Inst, rd: u8) -> Address {
        let plain = |r: u8, disp: i32| Address {
            base: (r != 0).then_some(r),
            index: None,
            disp,
        };
        if self.config.checked {
            self.settle(inst.rs1);
            self.full(inst.rs1);
            return plain(inst.rs1, inst.imm);
        }
        let imm = inst.imm;
        match self.lazy(inst.rs1) {
            None => plain(inst.rs1, imm),
            Some(Lazy::Const(c)) => Address {
                base: None,
                index: None,
                disp: (c as i32).wrapping_add(imm),
            },
            Some(Lazy::Inst(def)) => {
                let scaled = |scale: u8| Address {
                    base: (def.rs2 != 0).then_some(def.rs2),
                    index: (def.rs1 != 0).then_some((def.rs1, scale)),
                    disp: def.imm.wrapping_add(imm),
                };
                // Only the lower 32 bits of an address matter, so zero extensions drop out.
                let folded = match def.op {
                    Op::Addi | Op::Addiw => Some(plain(def.rs1, imm.wrapping_add(def.imm))),
                    Op::Add | Op::AddUw => Some(scaled(1)),
                    Op::Sh1add | Op::Sh1addUw => Some(scaled(2)),
                    Op::Sh2add | Op::Sh2addUw => Some(scaled(4)),
                    Op::Sh3add | Op::Sh3addUw => Some(scaled(8)),
                    Op::Slli | Op::SlliUw if (1..=3).contains(&def.imm) => Some(Address {
                        base: None,
                        disp: imm,
                        ..scaled(1 << def.imm)
                    }),
                    _ => None,
                };
                match folded {
                    Some(address) if !self.flush_hits(rd, &def) => address,
                    _ => {
                        self.settle(inst.rs1);
                        plain(inst.rs1, imm)
                    }
                }
            }
        }
    }

    /// A guest memory operand; parts that are in memory are loaded into the scratch registers.
    fn guest(&mut self, address: Address, first: Gpr, second: Gpr) -> Mem {
        if self.config.checked {
            let base = address.base.map(|r| self.reg_full(r, first));
            return self.checked(base, address.disp, first, second);
        }
        self.loans.protect(address.parts());
        for r in address.parts() {
            self.keep(r);
        }
        let base = address.base.map(|r| self.reg_low(r, first));
        let index = address
            .index
            .map(|(r, scale)| (self.reg_low(r, second), scale));
        // A scale of 1 needs no index; without a base it would cost a longer form.
        match (base, index) {
            (None, Some((r, 1))) => Mem {
                base: Some(r),
                index: None,
                disp: address.disp,
                narrow: true,
            },
            _ => Mem {
                base,
                index,
                disp: address.disp,
                narrow: true,
            },
        }
    }

    /// The same with a check that the whole 64-bit address is inside the window.
    fn checked(&mut self, base: Option<Gpr>, disp: i32, first: Gpr, second: Gpr) -> Mem {
        match base {
            Some(r) => self.asm.lea(Size::Q, first, Mem::host(r, disp)),
            None => self.asm.mov_imm(first, i64::from(disp)),
        }
        self.asm.mov(Size::Q, second, first);
        self.asm
            .shift_imm(crate::asm::Shift::Shr, Size::Q, second, 32);
        let inside = self.asm.label();
        self.asm.jcc(Cond::E, inside);
        self.trap();
        self.asm.bind(inside);
        Mem {
            base: Some(first),
            index: None,
            disp: 0,
            narrow: true,
        }
    }

    /// The address of an atomic in rax, checked for alignment. The architectural state is in
    /// place, so that the runtime can tell the address.
    fn atomic_address(&mut self, inst: &Inst, width: Width) -> Mem {
        let address = Address {
            base: (inst.rs1 != 0).then_some(inst.rs1),
            index: None,
            disp: 0,
        };
        let mem = self.guest(address, A, D);
        let base = match mem.base {
            Some(r) => r,
            None => {
                self.asm.mov_imm(A, 0);
                A
            }
        };
        self.check_alignment(base, width);
        Mem {
            base: Some(base),
            index: None,
            disp: 0,
            narrow: true,
        }
    }

    fn check_alignment(&mut self, base: Gpr, width: Width) {
        self.asm.test_imm(Size::D, base, width.bytes() as i32 - 1);
        let aligned = self.asm.label();
        self.asm.jcc(Cond::E, aligned);
        self.trap();
        self.asm.bind(aligned);
    }

    /// The value that an atomic reads, into rdx.
    fn read_old(&mut self, size: Size, width: Width, mem: Mem) {
        if self.replaying() {
            let logged = self.logged(width);
            self.asm.mov(size, D, logged);
            return;
        }
        self.site();
        self.asm.mov(size, D, mem);
        self.log_value(width, D);
    }

    fn finish_read(&mut self, rd: u8, width: Width, value: Gpr) {
        if rd == 0 {
            return;
        }
        match width {
            Width::D => self.done(rd, value),
            _ => {
                let dst = self.dst(rd);
                self.asm.movsx(Size::D, dst, value);
                self.done_sext(rd, dst);
            }
        }
    }

    fn load_reserved(&mut self, inst: Inst, width: Width) {
        self.settle_all();
        self.consume(&inst);
        let mem = self.atomic_address(&inst, width);
        if self.following() {
            self.follow_load_reserved(&inst, width);
        } else {
            if self.replaying() {
                self.access_address(&inst, width, Access::Read);
            }
            self.read_old(size(width), width, mem);
            if self.replaying() {
                self.access_value(Access::Read, D);
            }
        }
        // Reservations hold the 64-bit address, which has no upper half here.
        let base = if self.replaying() {
            Some(self.reg_full(inst.rs1, A))
        } else {
            mem.base
        };
        if let Some(base) = base {
            self.asm.mov(Size::D, A, base);
        }
        self.asm.store(Size::Q, field(offset::RESERVATION), A);
        self.finish_read(inst.rd, width, D);
    }

    fn store_conditional(&mut self, inst: Inst, width: Width) {
        self.settle_all();
        self.consume(&inst);
        // All 64 bits are compared. Reservations are inside the window, so a store is, too, and
        // without a store the address does not matter.
        let address = self.full(inst.rs1);
        self.load(Size::Q, A, address);
        self.check_alignment(A, width);
        let value = self.reg_full(inst.rs2, D);
        self.asm
            .alu(Alu::Cmp, Size::Q, A, field(offset::RESERVATION));
        self.asm.store_imm(Size::Q, field(offset::RESERVATION), -1);
        let (fails, done) = (self.asm.label(), self.asm.label());
        self.asm.jcc(Cond::Ne, fails);
        if self.following() {
            self.follow_conditional(width, value);
        } else if self.replaying() {
            self.conditional_written(&inst, width);
        } else {
            self.site();
            self.asm.store(
                size(width),
                Mem {
                    base: Some(A),
                    index: None,
                    disp: 0,
                    narrow: true,
                },
                value,
            );
        }
        self.asm.mov_imm(A, 0);
        self.asm.jmp(done);
        self.asm.bind(fails);
        self.asm.mov_imm(A, 1);
        self.asm.bind(done);
        if inst.rd != 0 {
            self.done_sext(inst.rd, A);
        }
    }

    /// One hart, so no `lock`. The old value goes to rdx, the address stays in rax or its home.
    fn amo(&mut self, inst: Inst, width: Width) {
        self.settle_all();
        self.consume(&inst);
        let mem = self.atomic_address(&inst, width);
        let before = self.log.bytes;
        let size = size(width);
        if self.following() {
            self.follow_amo(&inst, width);
            self.finish_read(inst.rd, width, D);
            return;
        }
        if self.replaying() {
            self.replay_amo(&inst, width);
            return;
        }
        self.read_old(size, width, mem);
        // Three values are live (address, old, new) but there are two scratch registers, and a
        // fault of the store must find rd as it was: the old value waits in the state block.
        if inst.rd != 0 {
            self.asm.store(Size::Q, field(offset::SCRATCH), D);
        }
        let operand = match self.home(inst.rs2) {
            Src::Imm(_) => Rm::M(crate::place::slot(0)),
            Src::Reg(r) => Rm::R(r),
            Src::Slot(m) => Rm::M(m),
        };
        self.amo_combine(inst.op, size, operand);
        self.site_with_log(before);
        self.asm.store(size, mem, D);
        if inst.rd != 0 {
            self.asm.mov(Size::Q, D, field(offset::SCRATCH));
            self.finish_read(inst.rd, width, D);
        }
    }

    /// An AMO whose old value is in the log.
    fn replay_amo(&mut self, inst: &Inst, width: Width) {
        self.access_address(inst, width, Access::Read);
        let old = self.logged(width);
        self.asm.mov(size(width), D, old);
        self.access_value(Access::Read, D);
        if self.wants_value(Access::Write) {
            let operand = match self.home(inst.rs2) {
                Src::Imm(_) => Rm::M(crate::place::slot(0)),
                Src::Reg(r) => Rm::R(r),
                Src::Slot(m) => Rm::M(m),
            };
            let address = self.reg_full(inst.rs1, A);
            self.access_at(address, width, Access::Write);
            self.amo_combine(inst.op, size(width), operand);
            if width == Width::W {
                // What is chosen by a comparison is moved with all its bits.
                self.asm.mov(Size::D, D, D);
            }
            self.access_value(Access::Write, D);
            self.asm.mov(size(width), D, old);
        }
        self.finish_read(inst.rd, width, D);
    }

    /// The access of a store conditional that stores; on a path that not every execution takes, so
    /// the pointer to memory operations moves at once.
    fn conditional_written(&mut self, inst: &Inst, width: Width) {
        let ops = self.ops;
        self.access_at(A, width, Access::Write);
        self.stored_value(inst, size(width), width);
        let written = Written {
            rows: 0,
            ops: self.ops - ops,
        };
        self.advance(0, written);
        self.ops = ops;
    }

    /// rdx = rdx op operand.
    pub(crate) fn amo_combine(&mut self, op: Op, size: Size, operand: Rm) {
        let alu = match op {
            Op::AmoswapW | Op::AmoswapD => {
                self.asm.mov(size, D, operand);
                return;
            }
            Op::AmoaddW | Op::AmoaddD => Alu::Add,
            Op::AmoxorW | Op::AmoxorD => Alu::Xor,
            Op::AmoandW | Op::AmoandD => Alu::And,
            Op::AmoorW | Op::AmoorD => Alu::Or,
            _ => Alu::Cmp,
        };
        self.asm.alu(alu, size, D, operand);
        let keep = match op {
            Op::AmominW | Op::AmominD => Cond::L,
            Op::AmomaxW | Op::AmomaxD => Cond::G,
            Op::AmominuW | Op::AmominuD => Cond::B,
            Op::AmomaxuW | Op::AmomaxuD => Cond::A,
            _ => return,
        };
        self.asm.cmov(keep.negated(), Size::Q, D, operand);
    }
}
