//! Registers in long blocks: every host register is lent.
//!
//! Where a block is long and uses registers that have no home, homes are given up inside it: at its
//! start each pinned register becomes a borrower of its own home, and from then on host registers
//! go to the values that are read soonest. Who has to make room is saved in its slot or in a vector
//! register (see [`crate::parked`]). At the end of the block, and on the cold paths of its side
//! exits, the registers go back to their homes.

use crate::asm::{Gpr, Size};
use crate::block::{LONG, Step};
use crate::emit::{Emitter, bit};
use crate::place::{A, Placement};
use hartlog_isa::Effect;

/// Uses of registers without a home that make it worth while.
const FEWEST: u32 = 4;

/// Per guest register the index of the step that next reads its value.
pub(crate) type Next = [u16; 32];

/// Nobody reads the value in this block.
const NEVER: u16 = u16::MAX;

/// Whether homes are given up in a block.
pub(crate) fn pays(steps: &[Step], place: &Placement) -> bool {
    if steps.len() < LONG {
        return false;
    }
    let in_memory = place.in_memory();
    let mut uses = 0;
    for inst in steps.iter().filter_map(|s| s.inst) {
        match inst.op.effect() {
            // The runtime needs everything in its place.
            Effect::ReadWrite(_) | Effect::Reserve(_) | Effect::CondStore(_) => return false,
            Effect::None | Effect::Read(_) | Effect::Write(_) => {}
        }
        let [a, b] = inst.reads();
        for r in [a, b, inst.rd] {
            uses += in_memory >> (r & 31) & 1;
        }
    }
    uses >= FEWEST
}

/// [`Next`] behind every step, and the registers that are overwritten later, as masks.
fn next_reads(steps: &[Step], out: &mut Vec<Next>, later: &mut Vec<u32>) {
    let end = steps.len() as u16;
    let mut now: Next = [end; 32];
    let mut written = 0;
    out.clear();
    out.resize(steps.len(), now);
    later.clear();
    later.resize(steps.len(), 0);
    for (i, step) in steps.iter().enumerate().rev() {
        out[i] = now;
        later[i] = written;
        let Some(inst) = step.inst else { continue };
        if let Some(rd) = inst.writes() {
            // A step that may be skipped keeps the old value.
            now[rd as usize & 31] = if step.perhaps { i as u16 } else { NEVER };
            written |= if step.perhaps { 0 } else { bit(rd) };
        }
        for r in inst.reads() {
            now[r as usize & 31] = i as u16;
        }
    }
}

impl Emitter<'_> {
    /// The placement that holds at the ends of the block.
    fn outer(&self) -> &Placement {
        &self.config.regions[self.region() as usize]
    }

    /// Starts a block in which every register is lent.
    pub(crate) fn give_up_homes(&mut self, steps: &[Step]) {
        next_reads(steps, &mut self.loans.next, &mut self.loans.later);
        self.loans.local = true;
        for (r, home) in self.place.clone().pinned() {
            self.loans.lend(r, home);
        }
        self.without_homes();
    }

    /// Takes up the state of a side exit of such a block.
    pub(crate) fn without_homes(&mut self) {
        self.loans.local = true;
        self.place = Placement::new([], &[]);
        self.loans.set_owners(&self.place.clone());
    }

    /// A host register for the value of `rd`, which is read next by step `first` of the block; if
    /// `rd` is 0, for a value that the current instruction reads, next to its others.
    pub(crate) fn find_local(&mut self, rd: u8, first: u16) -> Option<Gpr> {
        let settling = self.loans.settling == Some(rd);
        let defining = self.loans.defining == Some(rd);
        let outer = &self.config.regions[self.region() as usize];
        // Sets of guest registers; 0 stands for none.
        const NONE: u32 = 1;
        let own = bit(rd) & !NONE;
        let operands = self.loans.operands();
        let read = self.loans.protected() | if rd == 0 { operands } else { 0 };
        let deferred = self.deferred_or_read();
        let overwritten = if defining || settling {
            own
        } else {
            own & !read
        };
        let idle = NONE | overwritten | (self.dead() & !deferred);
        let free = idle & if defining { u32::MAX } else { !read | own };
        let fixed = read | own | deferred;

        let home = outer.home(rd).filter(|_| self.wanted_at_end(rd));
        let before = self.loans.host(rd);
        let mut best = None;
        for host in self.available.iter().copied() {
            let guest = bit(self.loans.guest(host));
            if guest & free == 0 || self.loans.promised(host, rd) {
                continue;
            }
            // Written over an operand that is read for the last time, it needs no copy.
            let rank = match () {
                _ if home == Some(host) => 3,
                _ if guest & operands != 0 => 2,
                _ => u8::from(before == Some(host)),
            };
            if best.is_none_or(|(rank_of_best, _)| rank > rank_of_best) {
                best = Some((rank, host));
            }
        }
        if let Some((_, host)) = best {
            return Some(host);
        }
        let next = self.loans.next.get(self.index as usize);
        let first = u32::from(first).min(self.steps);
        let mut farthest = 2 * first.saturating_sub(self.index);
        let mut victim = None;
        for host in self.available.iter().copied() {
            let guest = self.loans.guest(host);
            if bit(guest) & fixed != 0 || self.loans.promised(host, rd) {
                continue;
            }
            let next = next.map_or(NEVER, |n| n[guest as usize & 31]);
            let distance = self.distance(guest, next, outer);
            if distance > farthest {
                farthest = distance;
                victim = Some((guest, host));
            }
        }
        let (guest, host) = victim?;
        self.evict(guest);
        Some(host)
    }

    /// How far away the next use of a borrower's value is, in step `next`; twice as far where
    /// giving up its register costs no store.
    #[inline]
    fn distance(&self, guest: u8, next: u16, outer: &Placement) -> u32 {
        let end = self.steps as u16;
        let steps = u32::from(next.min(end)).saturating_sub(self.index);
        if next >= end && outer.home(guest).is_none() {
            // It has to be stored anyway.
            return steps * 3;
        }
        if self.loans.is_stale(guest) {
            steps
        } else {
            steps * 2
        }
    }

    /// Puts every register where the code outside of the block expects it. Leaves the flags alone;
    /// rax may be overwritten.
    pub(crate) fn restore_homes(&mut self) {
        let outer = self.outer().clone();
        self.unpark();
        for r in 1..32u8 {
            if outer.home(r).is_none() && self.loans.host(r).is_some() {
                self.evict(r);
            }
        }
        let mut parked = None;
        loop {
            let mut moved = false;
            let mut stuck = None;
            for (r, home) in outer.pinned() {
                let Some(host) = self.loans.host(r) else {
                    continue;
                };
                if host == home {
                    continue;
                }
                if self.loans.guest(home) != 0 {
                    stuck = Some((r, host));
                    continue;
                }
                self.asm.mov(Size::Q, home, host);
                self.loans.relocate(r, home);
                moved = true;
            }
            if moved {
                continue;
            }
            // What is left are cycles. Where one is opened, a register waits in rax; by the time
            // that no move is left, its home is free.
            if let Some((r, home)) = parked.take() {
                self.asm.mov(Size::Q, home, A);
                self.loans.lend(r, home);
                continue;
            }
            let Some((r, host)) = stuck else { break };
            self.asm.mov(Size::Q, A, host);
            self.loans.release(r);
            parked = outer.home(r).map(|home| (r, home));
        }
        for (r, home) in outer.pinned() {
            if self.loans.host(r).is_none() {
                self.load_waiting(r, home);
            }
        }
        self.loans.end_all();
        self.loans.local = false;
        self.loans.set_owners(&outer);
        self.place = outer;
    }

    /// Whether the registers are where the code outside of the block expects them.
    pub(crate) fn homes_in_place(&self) -> bool {
        if !self.loans.local {
            return true;
        }
        let outer = self.outer();
        (1..32u8).all(|r| match outer.home(r) {
            Some(home) => self.loans.host(r) == Some(home),
            None => true,
        })
    }
}
