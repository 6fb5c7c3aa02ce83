//! Two results from one host instruction: products and quotients with their other half, and the
//! carries and borrows of multi-word arithmetic.

use crate::asm::{Alu, Cond, Gpr, Size, Unary};
use crate::block::{Follow, Step};
use crate::emit::{Early, Emitter, Lazy, homes_read};
use crate::place::{A, D};
use hartlog_isa::{Inst, Op};

/// How far apart the two halves of a pair may stand.
const REACH: usize = 12;

/// What a pair computes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pair {
    Product { signed: bool },
    Division { size: Size, signed: bool },
}

/// The pair that an instruction is half of, and whether it is the half that ends in rax (lower
/// product, quotient).
fn half(op: Op) -> Option<(Pair, bool)> {
    let division = |size, signed, quotient| Some((Pair::Division { size, signed }, quotient));
    match op {
        Op::Mulhu => Some((Pair::Product { signed: false }, false)),
        Op::Mulh => Some((Pair::Product { signed: true }, false)),
        Op::Div => division(Size::Q, true, true),
        Op::Divu => division(Size::Q, false, true),
        Op::Rem => division(Size::Q, true, false),
        Op::Remu => division(Size::Q, false, false),
        Op::Divw => division(Size::D, true, true),
        Op::Divuw => division(Size::D, false, true),
        Op::Remw => division(Size::D, true, false),
        Op::Remuw => division(Size::D, false, false),
        _ => None,
    }
}

fn same_sources(x: &Inst, y: &Inst, commutes: bool) -> bool {
    (x.rs1, x.rs2) == (y.rs1, y.rs2) || (commutes && (x.rs1, x.rs2) == (y.rs2, y.rs1))
}

impl Emitter<'_> {
    /// If a later step is the other half of `inst`, emits both and remembers to skip that step.
    pub(crate) fn pair(&mut self, inst: &Inst, later: &[Step]) -> bool {
        if inst.rd == 0 || self.is_skipped() {
            return false;
        }
        let (pair, first_in_rax) = match half(inst.op) {
            Some(half) => half,
            // The lower half of a product goes with either upper half.
            None if inst.op == Op::Mul => (Pair::Product { signed: false }, true),
            None => return false,
        };
        let Some((distance, other, pair)) = partner(inst, pair, first_in_rax, later) else {
            return false;
        };
        for r in [inst.rs1, inst.rs2] {
            self.settle(r);
            self.full(r);
        }
        self.consume(inst);
        // Neither result may borrow the home of the other, nor may what is settled on the way.
        self.loans.protect([inst.rd, other.rd]);
        self.define(inst.rd);
        self.define(other.rd);
        self.skip(distance);
        self.defined_early(inst.rd, 0);
        self.defined_early(other.rd, distance);
        let (in_rax, in_rdx) = if first_in_rax {
            (inst.rd, other.rd)
        } else {
            (other.rd, inst.rd)
        };
        let (a, b) = (self.home(inst.rs1), self.home(inst.rs2));
        match pair {
            Pair::Product { signed: false } => {
                self.load(Size::Q, D, a);
                let b = self.rm(b);
                let low = self.half_of_pair(in_rax, A);
                let high = self.half_of_pair(in_rdx, D);
                self.asm.mulx(high, low, b);
                self.done(in_rax, low);
                self.done(in_rdx, high);
            }
            Pair::Product { signed: true } => {
                self.load(Size::Q, A, a);
                let b = self.rm(b);
                self.asm.unary(Unary::Imul, Size::Q, b);
                self.done(in_rax, A);
                self.done(in_rdx, D);
            }
            Pair::Division { size, signed } => {
                self.divide_both(size, signed, inst.rs1, inst.rs2);
                self.half_of_pair(in_rax, A);
                self.half_of_pair(in_rdx, D);
                self.done_of(size, in_rax, A);
                self.done_of(size, in_rdx, D);
            }
        }
        true
    }

    /// Where a result of a pair goes: its register, lent to it from here on, or `scratch`. The
    /// sources have been read by then, or are read by the same host instruction.
    fn half_of_pair(&mut self, rd: u8, scratch: Gpr) -> Gpr {
        if !self.loans.local {
            return self.place.home(rd).unwrap_or(scratch);
        }
        self.loans.paired = true;
        self.loans.defining = Some(rd);
        let host = self.destination(rd);
        if let Some(host) = host {
            self.borrowed(rd, host);
        }
        self.loans.defining = None;
        self.loans.paired = false;
        host.unwrap_or(scratch)
    }

    /// `add` or `sub` of a deferred carry or borrow (`sltu`): add or subtract with the carry flag.
    pub(crate) fn with_carry(&mut self, inst: &Inst) -> bool {
        let deferred = |e: &Self, r: u8| match e.lazy(r) {
            Some(Lazy::Inst(def))
                if def.op == Op::Sltu
                    && homes_read(&def).all(|s| s == r || e.lazy(s).is_none())
                    && def.rs1 != 0
                    && def.rs2 != 0 =>
            {
                Some(def)
            }
            _ => None,
        };
        let (carry, other, op) = match inst.op {
            Op::Add => match (deferred(self, inst.rs2), deferred(self, inst.rs1)) {
                (Some(c), _) if inst.rs1 != inst.rs2 => (c, inst.rs1, Alu::Adc),
                (None, Some(c)) => (c, inst.rs2, Alu::Adc),
                _ => return false,
            },
            Op::Sub => match deferred(self, inst.rs2) {
                Some(c) if inst.rs1 != inst.rs2 => (c, inst.rs1, Alu::Sbb),
                _ => return false,
            },
            _ => return false,
        };
        // Nothing may be computed any more between the comparison and its use, nor may the
        // registers compared be overwritten by what has to be computed first.
        if matches!(self.lazy(other), Some(Lazy::Inst(_))) || self.flush_hits_any(inst.rd) {
            return false;
        }
        let src = self.value_of_settled(other);
        self.loans.protect([carry.rs1, carry.rs2, other]);
        self.consume(inst);
        self.define(inst.rd);
        self.loans.defining = Some(inst.rd);
        if !self.carry_is_ready(carry.rs1, carry.rs2) {
            let (a, b) = (self.full(carry.rs1), self.full(carry.rs2));
            // sltu with two registers: never swapped
            self.compare_values(Size::Q, a, b);
        }
        let dst = self.dst(inst.rd);
        self.load(Size::Q, dst, src);
        self.asm.alu_imm(op, Size::Q, dst, 0);
        self.done(inst.rd, dst);
        true
    }

    /// Whether the carry flag tells if rs1 is less than rs2.
    fn carry_is_ready(&self, rs1: u8, rs2: u8) -> bool {
        self.carry == Some((self.asm.flags(), rs1, rs2))
    }

    /// If all that becomes of the carry or borrow `inst` (`sltu`) is that a later step adds or
    /// subtracts it, does that at once, with the carry flag, and remembers to skip that step. The
    /// flags would not last until then.
    pub(crate) fn carried(&mut self, inst: &Inst, later: &[Step]) -> bool {
        let Inst { rd, rs1, rs2, .. } = *inst;
        if inst.op != Op::Sltu || rd == 0 || rs1 == 0 || rs2 == 0 || self.is_skipped() {
            return false;
        }
        let value = self.current_value();
        // The end of the block is an exit, too.
        if value.uses != 1 || value.exit_after_last_use {
            return false;
        }
        let constant = |r: u8| matches!(self.lazy(r), Some(Lazy::Const(_)));
        if constant(rs1) || constant(rs2) {
            return false;
        }
        let Some((distance, sum, other)) = self.only_reader(rd, later) else {
            return false;
        };
        for r in [rs1, rs2] {
            self.settle(r);
        }
        self.settle_unless_constant(other);
        // Settling one may have extended or moved another, but has computed none anew.
        let src = self.value_of_settled(other);
        self.loans.protect([rs1, rs2, other, sum.rd]);
        self.consume(inst);
        self.written(inst);
        self.consume(&sum);
        self.define(sum.rd);
        if !self.carry_is_ready(rs1, rs2) {
            let (a, b) = (self.full(rs1), self.full(rs2));
            self.compare_values(Size::Q, a, b);
        }
        self.done_early(distance);
        self.defined_early(sum.rd, distance);
        let op = if sum.op == Op::Add {
            Alu::Adc
        } else {
            Alu::Sbb
        };
        self.loans.operands = [other, 0];
        let dst = self.half_of_pair(sum.rd, A);
        self.load(Size::Q, dst, src);
        self.asm.alu_imm(op, Size::Q, dst, 0);
        self.done(sum.rd, dst);
        if sum.rd != rd {
            self.forget_value(rd);
        }
        true
    }

    /// The step that adds or subtracts `carry` and reads it first, and the register that it is
    /// added to or subtracted from; if that can be done now: what is added to has its value, the
    /// result is not touched until then, and no side exit is in between.
    fn only_reader(&self, carry: u8, later: &[Step]) -> Option<(usize, Inst, u8)> {
        let (mut touched, mut written) = (0u32, 0u32);
        for (step, distance) in later.iter().take(REACH).zip(1..) {
            let inst = step.inst?;
            if step.follow == Follow::Skip || step.has_side_exit() {
                return None;
            }
            let emitted = self.early(distance);
            if emitted == Early::Done {
                continue;
            }
            if inst.reads().contains(&carry) {
                let other = match inst.op {
                    Op::Add if inst.rs1 == carry => inst.rs2,
                    Op::Add | Op::Sub if inst.rs2 == carry => inst.rs1,
                    _ => return None,
                };
                let free = emitted == Early::No
                    && inst.rd != 0
                    && other != 0
                    && other != carry
                    && written & (1 << other) == 0
                    && touched & (1 << inst.rd) == 0;
                return free.then_some((distance, inst, other));
            }
            if crate::block::ends_block(&inst) {
                return None;
            }
            touched |= 1 << inst.rd;
            for r in inst.reads() {
                touched |= 1 << r;
            }
            if emitted == Early::No {
                written |= 1 << inst.rd;
            }
        }
        None
    }

    /// Whether the next step is the carry of the sum that `inst` computes.
    pub(crate) fn carry_follows(&self, inst: &Inst) -> bool {
        self.next.is_some_and(|n| {
            n.op == Op::Sltu && n.rs1 == inst.rd && (n.rs2 == inst.rs1 || n.rs2 == inst.rs2)
        })
    }

    /// The carry of a sum whose flags are still there: sets rd without comparing.
    pub(crate) fn carry_from_flags(&mut self, rd: u8, rs1: u8, rs2: u8) -> bool {
        if !self.carry_is_ready(rs1, rs2) {
            return false;
        }
        let dst = self.dst(rd);
        self.asm.setcc(Cond::B, A);
        self.asm.movzx(Size::B, dst, A);
        self.done_sext(rd, dst);
        true
    }
}

/// The other half of `inst` in the steps that follow it directly (the branch-free part).
fn partner(
    inst: &Inst,
    pair: Pair,
    first_in_rax: bool,
    later: &[Step],
) -> Option<(usize, Inst, Pair)> {
    let mut written = 1u32 << inst.rd;
    let mut read = 0u32;
    for (i, step) in later.iter().take(REACH).enumerate() {
        let candidate = step.inst?;
        let kind = match half(candidate.op) {
            Some((kind, in_rax)) => {
                let product = matches!((kind, pair), (Pair::Product { .. }, Pair::Product { .. }));
                ((kind == pair || (product && inst.op == Op::Mul)) && in_rax != first_in_rax)
                    .then_some(kind)
            }
            None => {
                (candidate.op == Op::Mul && matches!(pair, Pair::Product { .. }) && !first_in_rax)
                    .then_some(pair)
            }
        };
        let sources = (1u32 << inst.rs1) | (1u32 << inst.rs2);
        if let Some(kind) = kind
            && same_sources(inst, &candidate, matches!(kind, Pair::Product { .. }))
            && written & sources == 0
            && candidate.rd != 0
            && candidate.rd != inst.rd
            && (written | read) & (1 << candidate.rd) == 0
        {
            return Some((i + 1, candidate, kind));
        }
        // Only straight code: at a side exit the other result would be there too early.
        if step.has_side_exit() || crate::block::ends_block(&candidate) {
            return None;
        }
        written |= 1 << candidate.rd;
        let (a, b) = candidate.sources();
        for r in [a, b].into_iter().flatten() {
            read |= 1 << (r & 31);
        }
    }
    None
}
