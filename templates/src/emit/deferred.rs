//! Values that are put off until it is known whether they are needed.

use super::{Emitter, Lazy, Src, bit, homes_read};
use crate::block::Value;
use hartlog_isa::{Hart, Inst, NO_RESERVATION, Port, Width, execute};

impl Emitter<'_> {
    /// The instruction's constant result, if every source is a known constant.
    pub(crate) fn evaluate(&self, inst: &Inst) -> Option<i64> {
        self.evaluate_after(inst, 0, 0)
    }

    /// The same where `r` has this value.
    pub(crate) fn evaluate_after(&self, inst: &Inst, known: u8, is: i64) -> Option<i64> {
        let mut values = [0; 2];
        for (r, value) in inst.reads().into_iter().zip(&mut values) {
            match self.lazy[r as usize & 31] {
                _ if r == 0 => {}
                _ if r == known => *value = is as u64,
                Some(Lazy::Const(c)) => *value = c as u64,
                _ => return None,
            }
        }
        let mut hart = Hart {
            x: [0; 32],
            pc: self.pc,
            reservation: NO_RESERVATION,
        };
        for (r, value) in inst.reads().into_iter().zip(values) {
            hart.x[r as usize & 31] = value;
        }
        execute(&mut hart, inst, &mut NoMemory).ok()?;
        Some(hart.x[inst.rd as usize & 31] as i64)
    }

    /// The deferred value of `r`, if it has one.
    #[inline]
    pub(crate) fn lazy(&self, r: u8) -> Option<Lazy> {
        self.lazy[r as usize & 31]
    }

    /// Whether the value of `r` is deferred.
    #[inline]
    pub(crate) fn is_deferred(&self, r: u8) -> bool {
        self.lazy_mask & bit(r) != 0
    }

    /// Registers whose value is deferred, or whose home a deferred instruction reads.
    #[inline]
    pub(crate) fn deferred_or_read(&self) -> u32 {
        self.lazy_mask | self.read
    }

    /// Makes a deferred value the value of `r`. The home keeps what it holds.
    pub(crate) fn set_lazy(&mut self, r: u8, lazy: Lazy) {
        self.drop_lazy(r);
        self.obsolete(r);
        self.forget_carry(r);
        self.lazy[r as usize] = Some(lazy);
        self.lazy_mask |= bit(r);
        if let Lazy::Inst(inst) = lazy {
            for s in homes_read(&inst) {
                self.readers[s as usize] |= bit(r);
                self.read |= bit(s);
            }
        }
    }

    /// `r` becomes a constant.
    pub(crate) fn set_constant(&mut self, r: u8, c: i64) {
        self.set_lazy(r, Lazy::Const(c));
    }

    /// Forgets a deferred value without computing it.
    pub(super) fn drop_lazy(&mut self, r: u8) {
        if self.lazy_mask & bit(r) == 0 {
            return;
        }
        if let Some(Lazy::Inst(inst)) = self.lazy[r as usize].take() {
            for s in homes_read(&inst) {
                let readers = &mut self.readers[s as usize & 31];
                *readers &= !bit(r);
                if *readers == 0 {
                    self.read &= !bit(s);
                }
            }
        }
        self.lazy_mask &= !bit(r);
    }

    /// `r` has a new value, which nobody will look at. The home keeps what it holds.
    pub(crate) fn forget_value(&mut self, r: u8) {
        self.drop_lazy(r);
        self.obsolete(r);
        self.forget_carry(r);
    }

    /// Makes the home of `r` current.
    ///
    /// A deferred instruction reads a home that is itself out of date only if it is the older of
    /// the two (sources are current when an instruction is deferred), so this recursion ends.
    #[inline]
    pub(crate) fn settle(&mut self, r: u8) {
        if let Some(lazy) = self.lazy(r) {
            self.compute(r, lazy);
        }
    }

    fn compute(&mut self, r: u8, lazy: Lazy) {
        self.flush_readers(r);
        self.call_in(r);
        self.drop_lazy(r);
        match lazy {
            Lazy::Const(c) => self.load_const(r, c),
            Lazy::Inst(inst) => {
                let before = self.loans.settling.replace(r);
                self.alu(&inst);
                self.loans.settling = before;
            }
        }
    }

    /// Makes the home of `r` current, but for constants, which can be operands.
    pub(crate) fn settle_unless_constant(&mut self, r: u8) {
        if let Some(Lazy::Inst(_)) = self.lazy(r) {
            self.settle(r);
        }
    }

    /// Settles everything, and extends every dirty home: the architectural state is in place.
    pub(crate) fn settle_all(&mut self) {
        while self.lazy_mask != 0 {
            self.settle(self.lazy_mask.trailing_zeros() as u8);
        }
        while self.dirty != 0 {
            self.extend(self.dirty.trailing_zeros() as u8);
        }
        self.save_all();
    }

    /// Settles the deferred values that read the home of `r`, which is about to be overwritten.
    pub(crate) fn flush_readers(&mut self, r: u8) {
        loop {
            let others = self.readers[r as usize] & !bit(r);
            if others == 0 {
                return;
            }
            self.settle(others.trailing_zeros() as u8);
        }
    }

    /// Whether [`Emitter::define`] of `rd` would overwrite a home that `inst` still has to read.
    #[inline]
    pub(crate) fn flush_hits(&self, rd: u8, inst: &Inst) -> bool {
        let [a, b] = inst.reads();
        let stale = (bit(a) | bit(b)) & self.lazy_mask;
        stale != 0 && self.flushes(rd, stale)
    }

    /// Whether [`Emitter::define`] of `rd` would compute one of these deferred values.
    fn flushes(&self, rd: u8, stale: u32) -> bool {
        let mut flushed = self.overwritten_by(rd);
        let mut todo = flushed;
        while todo != 0 {
            let r = todo.trailing_zeros();
            todo &= todo - 1;
            let more = self.readers[r as usize] & !flushed & !bit(rd);
            flushed |= more;
            todo |= more;
        }
        flushed & stale != 0
    }

    /// Whether [`Emitter::define`] of `rd` would emit anything.
    pub(crate) fn flush_hits_any(&self, rd: u8) -> bool {
        self.overwritten_by(rd) != 0
    }

    /// Deferred values that have to be computed before the home of `rd` is written.
    pub(super) fn overwritten_by(&self, rd: u8) -> u32 {
        let borrower = self.borrower(rd).map_or(0, |r| self.readers[r as usize]);
        (self.readers[rd as usize] | borrower) & !bit(rd)
    }

    /// The value of a register that is not deferred, or a constant.
    pub(crate) fn value_of_settled(&mut self, r: u8) -> Src {
        match self.lazy[r as usize & 31] {
            Some(Lazy::Const(c)) => Src::Imm(c),
            _ => self.full(r),
        }
    }

    /// `r` is about to be written: its deferred value is dead, those that read its home are not.
    pub(crate) fn define(&mut self, r: u8) {
        self.drop_lazy(r);
        self.flush_readers(r);
        self.call_in(r);
    }

    /// What becomes of the value that the current step defines.
    pub(crate) fn current_value(&self) -> Value {
        self.values[self.index as usize]
    }

    /// Reads of the current value of `r` still to come in this block.
    pub(crate) fn remaining_uses(&self, r: u8) -> u8 {
        self.remaining.count[r as usize & 31]
    }

    /// Whether the block is left, sideways or at its end, with the value that `r` has.
    pub(crate) fn is_left_with(&self, r: u8) -> bool {
        self.remaining.exit & bit(r) != 0
    }

    /// Registers whose current value nobody needs any more.
    pub(crate) fn dead(&self) -> u32 {
        self.remaining.dead()
    }

    /// Whether nobody needs the current value of `r` any more.
    pub(crate) fn is_dead(&self, r: u8) -> bool {
        self.remaining.dead() & bit(r) != 0
    }

    /// Whether the deferred instruction of `r` reads the home of `r`.
    pub(crate) fn reads_itself(&self, r: u8) -> bool {
        self.readers[r as usize & 31] & bit(r) != 0
    }

    /// The reads of the guest's instruction have happened: deferred values that nobody needs any
    /// more are dropped.
    pub(crate) fn consume(&mut self, original: &Inst) {
        for r in original.reads() {
            self.consume_one(r);
        }
    }

    /// The same for one register.
    pub(crate) fn consume_one(&mut self, r: u8) {
        if r != 0 {
            self.remaining.consume(r);
            if self.is_dead(r) {
                self.drop_lazy(r & 31);
            }
        }
    }
}

/// Pure instructions are evaluated without memory.
struct NoMemory;

impl Port for NoMemory {
    type Fault = ();

    fn load(&mut self, _: u64, _: Width) -> Result<u64, ()> {
        Err(())
    }

    fn store(&mut self, _: u64, _: Width, _: u64) -> Result<(), ()> {
        Err(())
    }

    fn steps(&mut self) -> u64 {
        0
    }
}
