//! Templates of control transfers, environment calls, fences and counters.

use crate::asm::{Alu, Cond, Gpr, Mem, Shift, Size};
use crate::block::{Follow, Step, ends_block};
use crate::emit::{Dest, Emitter, Lazy, Src, Stub, homes_read};
use crate::place::{A, BUDGET, D, STATE, field};
use hartlog_format::contract::offset;
use hartlog_isa::{Flow, Inst, Op};

impl Emitter<'_> {
    /// Emits an instruction without memory access that is not the last of its block.
    pub(crate) fn control(&mut self, step: &Step, inst: Inst) {
        match inst.flow() {
            Flow::Branch => {
                let (cond, target) = match step.follow {
                    // A skip is emitted by `conditional`.
                    Follow::Fall | Follow::Skip => (None, step.target()),
                    Follow::Target => (Some(()), step.next()),
                };
                let taken = self.branch_condition(&inst);
                self.consume(&inst);
                match (taken, cond) {
                    (Taken::When(c), None) => self.side_exit(c, target),
                    (Taken::When(c), Some(())) => self.side_exit(c.negated(), target),
                    (Taken::Always, None) | (Taken::Never, Some(())) => {
                        // A constant condition: the compiler of the guest left dead code behind.
                        self.asm.alu(Alu::Cmp, Size::D, A, A);
                        self.side_exit(Cond::E, target);
                    }
                    (Taken::Never, None) | (Taken::Always, Some(())) => {}
                }
            }
            // A call that the block goes through, or the return from it: the target is the next step.
            Flow::Jal | Flow::Jalr => {
                self.consume(&inst);
                if let Some(rd) = inst.writes() {
                    self.set_constant(rd, step.next() as i64);
                }
            }
            Flow::Next if inst.reads_counter() => self.counter(inst),
            Flow::Next => {}
            Flow::Ecall | Flow::Trap => unreachable!("{:?} ends a block", inst.op),
        }
    }

    /// Emits the last instruction of a block, and where it goes. `fallthrough` is the guest pc of
    /// the block emitted next.
    pub(crate) fn last(&mut self, step: &Step, inst: Inst, fallthrough: Option<u64>) {
        match inst.flow() {
            Flow::Branch => self.two_way(step, inst, fallthrough),
            Flow::Jal => {
                self.link(&inst, step.next());
                self.go(step.target(), fallthrough);
            }
            Flow::Jalr => self.jump_register(step, inst, fallthrough),
            Flow::Ecall => {
                self.settle_all();
                self.bump_log();
                self.leave_region();
                self.asm.mov_imm(A, step.pc as i64);
                self.jump(Dest::Stub(Stub::Ecall));
            }
            Flow::Trap => {
                self.settle_all();
                self.trap();
            }
            Flow::Next if ends_block(&inst) => {
                self.settle_all();
                self.trap();
            }
            Flow::Next => {
                self.step_or_skip(step, inst);
                self.go(step.next(), fallthrough);
            }
        }
    }

    /// Ends the block: everything in place, then on to `target`.
    fn go(&mut self, target: u64, fallthrough: Option<u64>) {
        self.settle_all();
        self.bump_log();
        if fallthrough != Some(target) {
            self.jump_to(target);
        }
    }

    /// rd of a jump: the address of the next instruction.
    fn link(&mut self, inst: &Inst, next: u64) {
        if let Some(rd) = inst.writes() {
            self.set_constant(rd, next as i64);
            self.row_constant(rd, next as i64, D);
            self.written(inst);
        }
    }

    fn two_way(&mut self, step: &Step, inst: Inst, fallthrough: Option<u64>) {
        // Everything but the flags has to be in place before the jump. The homes compared are
        // current, so settling the rest does not change them.
        let taken = self.branch_operands(&inst);
        self.consume(&inst);
        let taken = match taken {
            Compare::Constant(t) => t,
            Compare::Pending { cond, a, b } => {
                self.settle_all();
                self.bump_log();
                let size = Size::Q;
                let (a, b) = (self.operand(a), self.operand(b));
                let cond = self.compare_for(cond, size, a, b);
                Taken::When(cond)
            }
        };
        let (target, next) = (step.target(), step.next());
        match taken {
            Taken::When(cond) if fallthrough == Some(target) => {
                self.jcc_to(cond.negated(), next);
            }
            Taken::When(cond) => {
                self.jcc_to(cond, target);
                if fallthrough != Some(next) {
                    self.jump_to(next);
                }
            }
            Taken::Always => self.go(target, fallthrough),
            Taken::Never => self.go(next, fallthrough),
        }
    }

    fn jump_register(&mut self, step: &Step, inst: Inst, fallthrough: Option<u64>) {
        if let Some(Lazy::Const(c)) = self.lazy(inst.rs1) {
            let target = c.wrapping_add(i64::from(inst.imm)) as u64 & !1;
            self.consume(&inst);
            self.link(&inst, step.next());
            self.go(target, fallthrough);
            return;
        }
        self.settle_all();
        let imm = i64::from(inst.imm);
        let base = self.home(inst.rs1);
        // Unless it is overwritten on the way out, the target stays where it is.
        let (from, imm) = match base {
            Src::Reg(r) if inst.rd == 0 && self.region() == 0 => (r, imm),
            Src::Reg(r) if inst.imm != 0 => {
                self.asm.lea(Size::Q, A, Mem::host(r, inst.imm));
                (A, 0)
            }
            src => {
                self.load(Size::Q, A, src);
                (A, imm)
            }
        };
        if let Some(rd) = inst.writes() {
            self.define(rd);
            self.load_constant_keeping_rax(rd, step.next());
            self.row_constant(rd, step.next() as i64, D);
        }
        self.bump_log();
        self.leave_region();
        // The number of the table's entry, which a way out there wants in rdx; an odd target's last
        // bit is shifted out.
        let distance = imm.wrapping_sub(self.config.table_base as i64);
        match i32::try_from(distance) {
            Ok(disp) => self.asm.lea(Size::Q, D, Mem::host(from, disp)),
            Err(_) => {
                self.asm.mov_imm(D, distance);
                self.asm.alu(Alu::Add, Size::Q, D, from);
            }
        }
        self.asm.shift_imm(Shift::Shr, Size::Q, D, 1);
        let entries = self.config.table_bytes / 2;
        self.asm.alu_imm(Alu::Cmp, Size::Q, D, entries as i32);
        self.jcc_stub(Cond::Ae, Stub::Far);
        let entry = Mem {
            base: Some(STATE),
            index: Some((D, self.config.mode.table_entry() as u8)),
            disp: offset::TABLE,
            narrow: false,
        };
        if self.replaying() {
            self.asm.movsx(Size::D, A, entry);
            self.asm.alu(Alu::Add, Size::Q, A, STATE);
            self.asm.jmp_reg(A);
        } else {
            self.asm.jmp_mem(entry);
        }
    }

    /// Steps retired before this instruction: `step_end - (budget + steps charged from here on)`.
    fn counter(&mut self, inst: Inst) {
        if inst.rd == 0 {
            return;
        }
        self.define(inst.rd);
        let dst = self.dst(inst.rd);
        let charged = (self.steps - self.index) as i32;
        self.asm.mov(Size::Q, dst, field(offset::STEP_END));
        self.asm.alu(Alu::Sub, Size::Q, dst, BUDGET);
        self.asm.alu_imm(Alu::Sub, Size::Q, dst, charged);
        self.done(inst.rd, dst);
    }

    /// Compares a branch's operands in the middle of a block: sets the flags.
    fn branch_condition(&mut self, inst: &Inst) -> Taken {
        match self.branch_operands(inst) {
            Compare::Constant(taken) => taken,
            Compare::Pending { cond, a, b } => {
                let narrow = self.narrow_operands(a, b);
                let (a, b) = (self.operand(a), self.operand(b));
                Taken::When(self.compare_for(cond, narrow, a, b))
            }
        }
    }

    /// Compares; returns the condition that means "taken". Equality with zero is turned into a
    /// carry. `scratch` may be overwritten.
    pub(crate) fn compare_with(
        &mut self,
        cond: Cond,
        a: Operand,
        b: Operand,
        scratch: Gpr,
    ) -> Cond {
        let size = self.narrow_operands(a, b);
        let (a, b) = (self.operand(a), self.operand(b));
        match (cond, a, b) {
            (Cond::E | Cond::Ne, Src::Reg(_) | Src::Slot(_), Src::Imm(0)) => {
                self.compare_scratch(size, a, Src::Imm(1), scratch);
                if cond == Cond::E { Cond::B } else { Cond::Ae }
            }
            (Cond::E | Cond::Ne, Src::Imm(0), Src::Reg(_) | Src::Slot(_)) => {
                self.compare_scratch(size, b, Src::Imm(1), scratch);
                if cond == Cond::E { Cond::B } else { Cond::Ae }
            }
            _ => self.compare_scratch(size, a, b, scratch).apply(cond),
        }
    }

    /// What a branch compares, with a deferred `slt` folded in.
    pub(crate) fn branch_operands(&mut self, inst: &Inst) -> Compare {
        let cond = match inst.op {
            Op::Beq => Cond::E,
            Op::Bne => Cond::Ne,
            Op::Blt => Cond::L,
            Op::Bge => Cond::Ge,
            Op::Bltu => Cond::B,
            _ => Cond::Ae,
        };
        if inst.rs1 == inst.rs2 {
            let equal = matches!(cond, Cond::E | Cond::Ge | Cond::Ae);
            return Compare::Constant(if equal { Taken::Always } else { Taken::Never });
        }
        // `slt` and the like, compared with zero.
        let zero = |r: u8, e: &Self| r == 0 || matches!(e.lazy(r), Some(Lazy::Const(0)));
        if matches!(cond, Cond::E | Cond::Ne) {
            for (r, other) in [(inst.rs1, inst.rs2), (inst.rs2, inst.rs1)] {
                if let Some(Lazy::Inst(def)) = self.lazy(r)
                    && zero(other, self)
                    && homes_read(&def).all(|s| self.lazy(s).is_none())
                {
                    let less = match def.op {
                        Op::Slt | Op::Slti => Cond::L,
                        Op::Sltu | Op::Sltiu => Cond::B,
                        _ => continue,
                    };
                    let b = match def.op {
                        Op::Slt | Op::Sltu => Operand::Home(def.rs2),
                        _ => Operand::Imm(def.imm),
                    };
                    let cond = if cond == Cond::Ne {
                        less
                    } else {
                        less.negated()
                    };
                    return Compare::Pending {
                        cond,
                        a: Operand::Home(def.rs1),
                        b,
                    };
                }
            }
        }
        let a = self.branch_operand(inst.rs1);
        let b = self.branch_operand(inst.rs2);
        if let (Operand::Imm(x), Operand::Imm(y)) = (a, b) {
            let (x, y) = (i64::from(x), i64::from(y));
            let taken = match cond {
                Cond::E => x == y,
                Cond::Ne => x != y,
                Cond::L => x < y,
                Cond::Ge => x >= y,
                Cond::B => (x as u64) < y as u64,
                _ => x as u64 >= y as u64,
            };
            return Compare::Constant(if taken { Taken::Always } else { Taken::Never });
        }
        Compare::Pending { cond, a, b }
    }

    fn branch_operand(&mut self, r: u8) -> Operand {
        match self.lazy(r) {
            _ if r == 0 => Operand::Imm(0),
            Some(Lazy::Const(c)) if i32::try_from(c).is_ok() => Operand::Imm(c as i32),
            Some(_) => {
                self.settle(r);
                Operand::Home(r)
            }
            None => Operand::Home(r),
        }
    }

    fn operand(&mut self, operand: Operand) -> Src {
        match operand {
            Operand::Imm(v) => Src::Imm(i64::from(v)),
            Operand::Home(r) => self.home(r),
        }
    }

    /// Size of a comparison; extends dirty homes where 32 bits do not do.
    fn narrow_operands(&mut self, a: Operand, b: Operand) -> Size {
        let register = |o: Operand| match o {
            Operand::Home(r) => r,
            Operand::Imm(_) => 0,
        };
        self.narrow_pair(register(a), register(b))
    }

    fn load_constant_keeping_rax(&mut self, rd: u8, value: u64) {
        let dst: Gpr = self.place.home(rd).unwrap_or(D);
        self.asm.mov_imm(dst, value as i64);
        self.done_sext(rd, dst);
    }
}

/// Whether a branch is taken.
#[derive(Clone, Copy)]
pub(crate) enum Taken {
    When(Cond),
    Always,
    Never,
}

/// Operand of a comparison.
#[derive(Clone, Copy)]
pub(crate) enum Operand {
    Home(u8),
    Imm(i32),
}

/// A branch's comparison.
pub(crate) enum Compare {
    Constant(Taken),
    Pending { cond: Cond, a: Operand, b: Operand },
}
