//! Registers in memory that borrow a host register for a while.
//!
//! Where a pinned register is dead (it is overwritten before it is read, with no side exit in
//! between), its host register can hold the value of a register that has no home. The value goes
//! to its slot only if it outlives the loan: when the owner is written, at side exits (on their
//! cold paths) and at the end of the block.

use crate::asm::{Gpr, Size};
use crate::block::Step;
use crate::emit::{Emitter, bit, bits, homes_read};
use crate::local::Next;
use crate::parked::Parked;
use crate::place::{Placement, slot};
use hartlog_isa::Inst;

/// Per step and guest register: the step that overwrites its value next, if nothing reads it
/// before; else 0.
type Dead = [u16; 32];

/// Where a side exit finds the value of a register that is not in its home or slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loan {
    pub guest: u8,
    /// The host register that it borrows.
    pub host: Option<Gpr>,
    /// The vector register in which it waits.
    pub parked: Option<u8>,
    /// Whether the borrowed register alone has it.
    pub stale: bool,
}

/// Who borrows what.
#[derive(Clone, Default)]
pub(crate) struct Loans {
    /// Host register that a guest register borrows.
    host: [Option<Gpr>; 32],
    /// Guest register that borrows a host register; 0: none.
    guest: [u8; 16],
    /// Guest registers that borrow one.
    borrowers: u32,
    /// Guest register that a host register belongs to; 0: none.
    owner: [u8; 16],
    /// Borrowers whose slot is out of date.
    stale: u32,
    /// The destination promised to the current template.
    pending: Option<(u8, Gpr)>,
    dead: Vec<Dead>,
    /// Guest registers whose homes the current template still reads.
    protected: u32,
    /// Register that the current step defines, once its sources are settled.
    pub defining: Option<u8>,
    /// Register whose deferred value is being computed.
    pub settling: Option<u8>,
    /// Registers that the template of the current instruction reads.
    pub operands: [u8; 2],
    /// That register's value is the result of a pair, which the current step need not be.
    pub paired: bool,
    /// On a cold path: nothing new is lent, and everything stale is needed.
    pub cold: bool,
    /// Homes are given up in this block (see [`crate::local`]).
    pub local: bool,
    /// Then who is read next, behind every step.
    pub next: Vec<Next>,
    /// And who is overwritten later in the block, behind every step.
    pub later: Vec<u32>,
    /// And whose values wait in vector registers.
    pub parked: Parked,
}

impl Loans {
    /// The host register that a guest register borrows at present.
    pub fn host(&self, r: u8) -> Option<Gpr> {
        self.host[r as usize & 31]
    }

    /// The placement changed.
    pub fn set_owners(&mut self, place: &Placement) {
        self.owner = [0; 16];
        for (r, home) in place.pinned() {
            self.owner[home as usize] = r;
        }
    }

    /// Starts a block.
    pub fn start(&mut self, steps: &[Step], place: &Placement) {
        self.cold = false;
        self.defining = None;
        self.pending = None;
        self.protected = 0;
        self.local = false;
        self.dead.clear();
        // Short blocks have no room for loans that pay.
        let wanted = place.in_memory();
        if steps.len() >= 4
            && steps
                .iter()
                .any(|s| s.inst.is_some_and(|i| wanted & bit(i.rd) != 0))
        {
            dead(steps, &mut self.dead);
        }
    }

    /// The current step will still read these homes.
    #[inline]
    pub fn protect<const N: usize>(&mut self, registers: [u8; N]) {
        for r in registers {
            self.protected |= bit(r);
        }
    }

    /// `r` is written `distance` steps before its turn: until then its home is not free.
    pub fn written_early(&mut self, r: u8, index: u32, distance: usize) {
        for dead in self.dead.iter_mut().skip(index as usize).take(distance) {
            dead[r as usize & 31] = 0;
        }
        if self.local {
            let range = index as usize..=index as usize + distance;
            if let Some(next) = self.next.get_mut(range)
                && let Some((last, earlier)) = next.split_last_mut()
            {
                for n in earlier {
                    n[r as usize & 31] = last[r as usize & 31];
                }
            }
        }
    }

    /// Guest register that borrows a host register; 0: none.
    pub fn guest(&self, host: Gpr) -> u8 {
        self.guest[host as usize]
    }

    /// Whether a host register is about to receive the value of another register than `rd`.
    pub fn promised(&self, host: Gpr, rd: u8) -> bool {
        self.pending.is_some_and(|(r, h)| h == host && r != rd)
    }

    /// Whether the current template still reads the home of `r`.
    pub fn is_protected(&self, r: u8) -> bool {
        self.protected & bit(r) != 0
    }

    /// Guest registers whose homes the current template still reads, but x0.
    pub fn protected(&self) -> u32 {
        self.protected & !1
    }

    /// Guest registers that the template of the current instruction reads, but x0.
    pub fn operands(&self) -> u32 {
        let [a, b] = self.operands;
        (bit(a) | bit(b)) & !1
    }

    /// Whether a step behind `index` overwrites `r` in any case.
    pub fn is_written_later(&self, r: u8, index: u32) -> bool {
        let later = self.later.get(index as usize);
        later.is_some_and(|mask| mask & bit(r) != 0)
    }

    /// Whether only the register that `r` borrows has its value.
    pub fn is_stale(&self, r: u8) -> bool {
        self.stale & bit(r) != 0
    }

    /// `r` has its value in `host` alone.
    pub fn lend(&mut self, r: u8, host: Gpr) {
        self.assign(r, host);
        self.changed(r);
    }

    /// `r` has a new value in the register that it borrows.
    fn changed(&mut self, r: u8) {
        self.stale |= bit(r);
        self.parked.forget(r);
    }

    /// `r` has its value in `host`.
    fn assign(&mut self, r: u8, host: Gpr) {
        self.host[r as usize & 31] = Some(host);
        self.guest[host as usize] = r;
        self.borrowers |= bit(r);
    }

    /// The value of `r` was moved to `host`.
    pub fn relocate(&mut self, r: u8, host: Gpr) {
        if let Some(old) = self.host[r as usize & 31] {
            self.guest[old as usize] = 0;
        }
        self.assign(r, host);
    }

    /// `r` borrows nothing any more.
    pub fn release(&mut self, r: u8) {
        self.forget(r);
    }

    /// Nobody borrows anything any more.
    pub fn end_all(&mut self) {
        self.host = [None; 32];
        self.guest = [0; 16];
        self.borrowers = 0;
        self.stale = 0;
        self.parked = Parked::default();
    }

    /// The step is finished.
    pub fn end_step(&mut self) {
        self.defining = None;
        self.operands = [0; 2];
        self.pending = None;
        self.protected = 0;
    }

    fn forget(&mut self, r: u8) {
        if let Some(host) = self.host[r as usize & 31].take() {
            self.guest[host as usize] = 0;
        }
        self.borrowers &= !bit(r);
        self.stale &= !bit(r);
    }
}

/// [`Dead`] after every step; of a branch that may leave the block, before it.
fn dead(steps: &[Step], out: &mut Vec<Dead>) {
    let mut now: Dead = [0; 32];
    out.resize(steps.len(), [0; 32]);
    for (i, step) in steps.iter().enumerate().rev() {
        out[i] = now;
        if step.has_side_exit() {
            // What the step computes on the way is written before the exit.
            now = [0; 32];
            out[i] = now;
        }
        let Some(inst) = step.inst else {
            now = [0; 32];
            continue;
        };
        if let Some(rd) = inst.writes() {
            now[rd as usize] = if step.perhaps { 0 } else { i as u16 };
        }
        for r in inst.reads() {
            now[r as usize & 31] = 0;
        }
    }
}

impl Emitter<'_> {
    /// A host register for the value of `rd`: its home, or one that it can borrow.
    #[inline]
    pub(crate) fn destination(&mut self, rd: u8) -> Option<Gpr> {
        self.place.home(rd).or_else(|| self.borrow(rd))
    }

    /// A host register for the value of `rd`, which has no home.
    fn borrow(&mut self, rd: u8) -> Option<Gpr> {
        if self.loans.cold || rd == 0 || (self.loans.dead.is_empty() && !self.loans.local) {
            return None;
        }
        if let Some((r, host)) = self.loans.pending
            && r == rd
        {
            return Some(host);
        }
        let host = if self.loans.local {
            if self.uses_of(rd) == 0 && !self.wanted_at_end(rd) {
                return None;
            }
            self.find_local(rd, self.first_read(rd))?
        } else {
            if self.uses_of(rd) == 0 {
                return None;
            }
            self.find_loan(rd)?
        };
        self.loans.pending = Some((rd, host));
        Some(host)
    }

    /// Reads still to come of the value that is being computed for `rd`.
    fn uses_of(&self, rd: u8) -> u8 {
        if self.loans.defining == Some(rd) && !self.loans.paired {
            self.current_value().uses
        } else {
            self.remaining_uses(rd)
        }
    }

    /// Whether the value that is being computed for `rd` goes to a register at the end of the
    /// block.
    pub(crate) fn wanted_at_end(&self, rd: u8) -> bool {
        let current = self.loans.defining == Some(rd) && !self.loans.paired;
        // A deferred instruction is overwritten before the end.
        let killed = self.loans.settling == Some(rd) || current && self.current_value().killed;
        !killed && self.home_outside(rd)
    }

    /// The step that next reads the value of `rd`, behind this one.
    fn next_read(&self, rd: u8) -> u16 {
        let next = self.loans.next.get(self.index as usize);
        next.map_or(u16::MAX, |n| n[rd as usize & 31])
    }

    /// The step that first reads the value that is being computed for `rd`.
    fn first_read(&self, rd: u8) -> u16 {
        if self.loans.defining != Some(rd) && self.loans.is_protected(rd) {
            self.index as u16
        } else {
            self.next_read(rd)
        }
    }

    /// The host register that can be lent longest.
    fn find_loan(&self, rd: u8) -> Option<Gpr> {
        let dead = self.loans.dead.get(self.index as usize)?;
        let mut best = None;
        let mut until = self.index + 1;
        for host in self.available.iter().copied() {
            let guest = self.loans.guest[host as usize];
            if guest != 0 && guest != rd && !self.is_dead_loan(guest) {
                continue;
            }
            // A template may write its destination over a source, but what is settled on the way
            // must not.
            let reads = |r: u8| r != 0 && self.loans.protected & bit(r) != 0;
            let promised = self
                .loans
                .pending
                .is_some_and(|(r, h)| h == host && r != rd);
            let owner = self.loans.owner[host as usize];
            let written = owner != 0 && self.loans.defining == Some(owner);
            if promised || written {
                continue;
            }
            if self.loans.defining != Some(rd)
                && (reads(guest) || reads(self.loans.owner[host as usize]))
            {
                continue;
            }
            let free = match self.loans.owner[host as usize] {
                0 => u32::MAX,
                q if self.deferred_or_read() & bit(q) != 0 => continue,
                q => u32::from(dead[q as usize]),
            };
            if free > until {
                until = free;
                best = Some(host);
            }
        }
        best
    }

    /// Brings a register in memory that is read again later into a borrowed register.
    #[inline]
    pub(crate) fn keep(&mut self, r: u8) {
        if r != 0 && self.place.home(r).is_none() && self.loans.host(r).is_none() {
            self.keep_from_memory(r);
        }
    }

    fn keep_from_memory(&mut self, r: u8) {
        let lending = !self.loans.dead.is_empty() || self.loans.local;
        let idle = !self.loans.cold && lending && !self.is_deferred(r);
        if !idle || self.remaining_uses(r) == 0 {
            return;
        }
        let host = if self.loans.local {
            self.find_local(r, self.next_read(r))
        } else {
            self.find_loan(r)
        };
        if let Some(host) = host {
            self.bring(r, host);
        }
    }

    /// Brings the value of `r` from where it waits to `host`, whose borrower's value is dead or
    /// saved. Both have it then.
    pub(crate) fn bring(&mut self, r: u8, host: Gpr) {
        self.end_loan(host);
        self.load_waiting(r, host);
        self.loans.assign(r, host);
    }

    /// Loads the value of `r` from its vector register or its slot.
    pub(crate) fn load_waiting(&mut self, r: u8, host: Gpr) {
        match self.loans.parked.get(r) {
            Some(x) => self.asm.vector_to(host, x),
            None => self.asm.mov(Size::Q, host, slot(r)),
        }
    }

    fn is_dead_loan(&self, r: u8) -> bool {
        self.dead() & !self.deferred_or_read() & bit(r) != 0
    }

    /// The value for `rd` is in the register that [`Emitter::destination`] gave.
    pub(crate) fn borrowed(&mut self, rd: u8, host: Gpr) {
        if self.loans.host(rd) != Some(host) {
            self.loans.forget(rd);
            // Whoever borrowed it before has a dead value.
            self.end_loan(host);
            // So has the owner, of which a stale upper half must not be extended any more.
            self.facts_unknown(self.loans.owner[host as usize]);
            self.loans.assign(rd, host);
        }
        self.loans.changed(rd);
        self.loans.pending = None;
    }

    /// The value of `rd` is in its slot.
    pub(crate) fn returned(&mut self, rd: u8) {
        self.loans.forget(rd);
        self.loans.parked.forget(rd);
    }

    /// The register that `rd` borrows was written in place.
    pub(crate) fn rewritten(&mut self, rd: u8) {
        if self.loans.host(rd).is_some() {
            self.loans.changed(rd);
        }
    }

    /// The value of `rd` in its register is no longer wanted.
    pub(crate) fn obsolete(&mut self, rd: u8) {
        self.loans.stale &= !bit(rd);
    }

    /// The home of `rd` is about to be written: whoever borrows it saves its value. The register
    /// can still be read until then.
    #[inline]
    pub(crate) fn call_in(&mut self, rd: u8) {
        if let Some(home) = self.place.home(rd)
            && self.loans.guest(home) != 0
        {
            self.take_back(home);
        }
    }

    fn take_back(&mut self, home: Gpr) {
        loop {
            let guest = self.loans.guest[home as usize];
            if guest == 0 {
                return;
            }
            if self.reads_itself(guest) {
                // A deferred instruction that overwrites its own source.
                self.settle(guest);
            }
            self.flush_readers(guest);
            // What was computed just now may have borrowed the register in turn.
            if self.loans.guest[home as usize] == guest {
                if self.loans.cold || !self.is_dead(guest) {
                    self.save(guest);
                }
                return;
            }
        }
    }

    /// Makes sure that nobody borrows the home of `rd`, whose new value `inst` is about to be
    /// deferred: a deferred instruction with a lent home could not be ordered with those that
    /// read the borrower. Returns whether that could be done.
    pub(crate) fn end_loan_of(&mut self, rd: u8, inst: &Inst) -> bool {
        let Some(guest) = self.borrower(rd) else {
            return true;
        };
        if self.deferred_or_read() & bit(guest) != 0 {
            return false;
        }
        if !self.is_dead(guest) || homes_read(inst).any(|r| r == guest) {
            self.save(guest);
        }
        self.loans.forget(guest);
        true
    }

    /// Who borrows the home of `rd`.
    pub(crate) fn borrower(&self, rd: u8) -> Option<u8> {
        let guest = self.loans.guest[self.place.home(rd)? as usize];
        (guest != 0).then_some(guest)
    }

    /// The home of `rd` was written: a loan of it is over.
    pub(crate) fn end_loan(&mut self, home: Gpr) {
        let guest = self.loans.guest[home as usize];
        if guest != 0 {
            self.loans.forget(guest);
        }
    }

    /// Writes a borrower's value to its slot, or where it can wait.
    fn save(&mut self, r: u8) {
        if self.loans.stale & bit(r) == 0 {
            return;
        }
        if let Some(host) = self.loans.host(r) {
            self.full(r);
            self.park_or_store(r, host);
        }
        self.loans.stale &= !bit(r);
    }

    /// Has a borrower give its register back.
    pub(crate) fn evict(&mut self, r: u8) {
        self.save(r);
        self.loans.forget(r);
    }

    /// Ends all loans.
    pub(crate) fn save_all(&mut self) {
        if self.loans.local {
            self.restore_homes();
            return;
        }
        while self.loans.stale != 0 {
            self.save(self.loans.stale.trailing_zeros() as u8);
        }
        if self.loans.borrowers != 0 {
            self.loans.end_all();
        }
    }

    /// The loans that a side exit has to know.
    pub(crate) fn loans_at_exit(&self) -> Vec<Loan> {
        let guests = self.loans.borrowers | self.loans.parked.guests();
        let mut loans = Vec::with_capacity(guests.count_ones() as usize);
        loans.extend(bits(guests).map(|guest| Loan {
            guest,
            host: self.loans.host(guest),
            parked: self.loans.parked.get(guest),
            stale: self.loans.is_stale(guest) && !self.is_dead(guest),
        }));
        loans
    }

    /// Whether a side exit finds this register where the code outside of the block expects it.
    pub(crate) fn is_in_place(&self, loan: &Loan) -> bool {
        match loan.parked {
            Some(_) => self.is_dead(loan.guest),
            None => !loan.stale || loan.host.is_some_and(|h| self.is_home(loan.guest, h)),
        }
    }

    /// Takes up the loans of a side exit on its cold path.
    pub(crate) fn take_up(&mut self, loans: &[Loan]) {
        self.loans.cold = true;
        for loan in loans {
            if let Some(host) = loan.host {
                self.loans.assign(loan.guest, host);
            }
            if let Some(x) = loan.parked {
                self.loans.parked.park(loan.guest, x);
            }
            if loan.stale {
                self.loans.stale |= bit(loan.guest);
            }
        }
    }
}
