//! Branches over few instructions that compute one register, without the branch: minima, absolute
//! values, sums modulo a number. What is computed is chosen by `cmov`, and the steps that were not
//! retired are given back to the budget. Compilers for x86-64 do the same; those for RISC-V branch,
//! and such branches are hard to predict.

use crate::asm::{Alu, Cond, Mem, Shift, Size};
use crate::block::Step;
use crate::emit::{Emitter, Extent, Lazy, Redirect, Src, bit, bits};
use crate::flow::{Compare, Taken};
use crate::place::{A, BUDGET, D};
use hartlog_isa::{Inst, Op};

impl Emitter<'_> {
    /// A branch over steps that compute one register: they are computed into rax and moved to its
    /// home unless the branch is taken, in which case they are not charged either.
    pub(crate) fn conditional(&mut self, branch: &Inst, run: &[Step]) {
        let Some(rd) = run.iter().find_map(|s| s.inst?.writes()) else {
            return;
        };
        // The last may be a jump to where the branch goes.
        let insts = || run.iter().filter_map(|s| s.inst).filter(|i| i.rd == rd);
        let mut sources = bit(branch.rs1) | bit(branch.rs2);
        for r in insts().flat_map(|i| i.reads()) {
            sources |= bit(r);
        }
        self.settle(rd);
        for r in bits(sources) {
            self.settle_unless_constant(r);
        }
        // Settling one may have changed no other: what is settled is not written any more.
        self.home(rd);
        if self.loans.local {
            self.keep(rd);
        }
        let taken = self.branch_operands(branch);
        for r in bits(sources | bit(rd)) {
            self.loans.protect([r]);
        }
        self.flush_readers(rd);
        self.consume(branch);
        let result = self.conditional_value(rd, run);
        self.choose_unless(taken, result, run.len() as i32);
    }

    /// Computes the register that a branch may leave as it is.
    fn conditional_value(&mut self, rd: u8, run: &[Step]) -> Redirect {
        let mut result = Redirect {
            rd,
            at: A,
            extent: Extent::Full,
        };
        let mut constant = None;
        let saved = self.pc;
        let mut todo = run;
        let mut first = true;
        while let Some((step, rest)) = todo.split_first() {
            todo = rest;
            let Some(inst) = step.inst.filter(|i| i.rd == rd) else {
                break;
            };
            self.pc = step.pc;
            let before = constant;
            constant = match (first, before) {
                (true, _) => self.evaluate(&inst),
                (false, Some(c)) => self.evaluate_after(&inst, rd, c),
                (false, None) => None,
            };
            let second = todo.first().and_then(|s| s.inst);
            let extension = second.and_then(|second| extension(&inst, &second));
            let extension = extension.filter(|_| constant.is_none());
            if let (None, Some(c)) = (constant, before) {
                self.conditional_constant(&mut result, c);
            }
            if let Some((size, signed)) = extension {
                if first {
                    let src = self.home(inst.rs1);
                    result.at = self.in_reg(src, Size::Q, A);
                }
                self.extend_conditional(&mut result, size, signed);
                todo = &todo[1..];
            } else if constant.is_none() {
                if first {
                    let plain = self.rewrite(inst);
                    self.redirect = Some(result);
                    self.alu(&plain);
                    result = self.redirect.take().unwrap_or(result);
                } else {
                    self.go_on_conditional(&mut result, &inst);
                }
            }
            for r in inst.reads().into_iter().filter(|r| first || *r != rd) {
                self.consume_one(r);
            }
            first = false;
        }
        if let Some(c) = constant {
            self.conditional_constant(&mut result, c);
        }
        self.pc = saved;
        result
    }

    fn conditional_constant(&mut self, result: &mut Redirect, c: i64) {
        self.asm.mov_imm(A, c);
        result.at = A;
        result.extent = match i32::try_from(c) {
            Ok(_) => Extent::Extended,
            Err(_) => Extent::Full,
        };
    }

    /// The lower bytes of a conditional value, extended.
    fn extend_conditional(&mut self, result: &mut Redirect, size: Size, signed: bool) {
        match (size, signed) {
            (Size::D, _) => self.asm.mov(Size::D, A, result.at),
            (_, true) => self.asm.movsx(size, A, result.at),
            (_, false) => self.asm.movzx(size, A, result.at),
        }
        result.at = A;
        result.extent = match (size, signed) {
            (Size::D, true) => Extent::Low,
            (_, true) => Extent::Extended,
            (_, false) => Extent::Full,
        };
    }

    /// One more step of a conditional value: `inst` reads it, perhaps with a register that is
    /// settled, and writes it.
    fn go_on_conditional(&mut self, result: &mut Redirect, inst: &Inst) {
        use Op::*;
        let narrow = matches!(inst.op, Addiw | Slliw | Srliw | Sraiw | Addw | Subw)
            || inst.op == Andi && inst.imm >= 0;
        let (size, extent) = match narrow {
            true => (Size::D, Extent::Low),
            false => (Size::Q, Extent::Full),
        };
        match inst.op {
            ZextH => return self.extend_conditional(result, Size::H, false),
            SextH => return self.extend_conditional(result, Size::H, true),
            SextB => return self.extend_conditional(result, Size::B, true),
            AddUw => return self.extend_conditional(result, Size::D, false),
            Addiw if inst.imm == 0 => return self.extend_conditional(result, Size::D, true),
            _ => {}
        }
        if size == Size::Q && result.extent == Extent::Low {
            self.asm.movsx(Size::D, A, result.at);
        } else if result.at != A {
            self.asm.mov(size, A, result.at);
        }
        (result.at, result.extent) = (A, extent);
        let shift = inst.imm as u8;
        match inst.op {
            Addi | Addiw => self.asm.alu_imm(Alu::Add, size, A, inst.imm),
            Andi => self.asm.alu_imm(Alu::And, size, A, inst.imm),
            Ori => self.asm.alu_imm(Alu::Or, size, A, inst.imm),
            Xori => self.asm.alu_imm(Alu::Xor, size, A, inst.imm),
            Slli | Slliw => self.asm.shift_imm(Shift::Shl, size, A, shift),
            Srli | Srliw => self.asm.shift_imm(Shift::Shr, size, A, shift),
            Srai | Sraiw => self.asm.shift_imm(Shift::Sar, size, A, shift),
            _ => {
                let op = match inst.op {
                    Sub | Subw => Alu::Sub,
                    And => Alu::And,
                    Or => Alu::Or,
                    Xor => Alu::Xor,
                    _ => Alu::Add,
                };
                let other = if inst.rs1 == inst.rd {
                    inst.rs2
                } else {
                    inst.rs1
                };
                let other = match self.lazy(other) {
                    Some(Lazy::Const(c)) => Src::Imm(c),
                    _ => self.operand_of(size, other),
                };
                match other {
                    Src::Imm(v) if size == Size::Q && i32::try_from(v).is_err() => {
                        self.asm.mov_imm(D, v);
                        self.asm.alu(op, size, A, D);
                    }
                    other => self.apply(op, size, A, other),
                }
            }
        }
    }

    /// Moves a result to its register and charges the steps, unless the branch is taken.
    fn choose_unless(&mut self, taken: Compare, result: Redirect, steps: i32) {
        let Redirect { rd, mut at, extent } = result;
        let (cond, a, b) = match taken {
            Compare::Pending { cond, a, b } => (cond, a, b),
            Compare::Constant(Taken::Always) => {
                self.asm.alu_imm(Alu::Add, Size::Q, BUDGET, steps);
                return;
            }
            Compare::Constant(_) => {
                match extent {
                    Extent::Full => self.done(rd, at),
                    Extent::Extended => self.done_sext(rd, at),
                    Extent::Low => self.done_word(rd, at),
                }
                return;
            }
        };
        // Lower halves suffice where both values are sign extensions of theirs.
        let words = extent != Extent::Full && self.is_sext(rd);
        let in_register = matches!(self.home(rd), Src::Reg(_));
        let low = words && in_register && (extent == Extent::Low || self.is_dirty(rd));
        if !low {
            self.full(rd);
            if extent == Extent::Low {
                self.asm.movsx(Size::D, A, at);
                at = A;
            }
        }
        let cond = self.compare_with(cond, a, b, D);
        match self.home(rd) {
            Src::Reg(home) => {
                let size = if low { Size::D } else { Size::Q };
                self.asm.cmov(cond.negated(), size, home, at);
                self.rewritten(rd);
            }
            Src::Slot(m) => {
                self.asm.mov(Size::Q, D, m);
                self.asm.cmov(cond.negated(), Size::Q, D, at);
                self.asm.store(Size::Q, m, D);
            }
            Src::Imm(_) => {}
        }
        if low {
            self.mark_word(rd);
        } else if words {
            self.mark_sext(rd);
        } else {
            self.facts_unknown(rd);
        }
        self.refund(cond, steps);
    }

    /// Steps that were charged are not retired where the condition holds.
    fn refund(&mut self, cond: Cond, steps: i32) {
        match (cond, steps) {
            (Cond::B, 1) => self.asm.alu_imm(Alu::Adc, Size::Q, BUDGET, 0),
            (Cond::Ae, 1) => self.asm.alu_imm(Alu::Sbb, Size::Q, BUDGET, -1),
            (Cond::B, _) => {
                self.asm.alu(Alu::Sbb, Size::D, A, A);
                self.asm.alu_imm(Alu::And, Size::D, A, steps);
                self.asm.alu(Alu::Add, Size::Q, BUDGET, A);
            }
            _ => {
                self.asm.setcc(cond, A);
                self.asm.movzx(Size::B, A, A);
                let plus = |base, times| Mem {
                    base: Some(base),
                    index: Some((A, times)),
                    disp: 0,
                    narrow: false,
                };
                let mut times = steps as u8;
                if times == 3 {
                    self.asm.lea(Size::D, A, plus(A, 2));
                    times = 1;
                }
                match times {
                    1 => self.asm.alu(Alu::Add, Size::Q, BUDGET, A),
                    _ => self.asm.lea(Size::Q, BUDGET, plus(BUDGET, times)),
                }
            }
        }
    }
}

/// The lower bytes that two shifts of one register leave, and whether they sign-extend them.
fn extension(first: &Inst, second: &Inst) -> Option<(Size, bool)> {
    let signed = match second.op {
        Op::Srli => false,
        Op::Srai => true,
        _ => return None,
    };
    let same = first.op == Op::Slli && first.imm == second.imm;
    let size = match 64 - first.imm {
        8 => Size::B,
        16 => Size::H,
        32 => Size::D,
        _ => return None,
    };
    (same && second.rd == first.rd && second.rs1 == first.rd).then_some((size, signed))
}
