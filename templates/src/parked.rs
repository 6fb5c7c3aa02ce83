//! Values that wait in vector registers.
//!
//! A host retires about six instructions in a cycle, but one store (two to the same line). Where
//! homes are given up (see [`crate::local`]), every value that makes room for another is such a
//! store. While stores make up more of the code than the host keeps up with ([`Asm::backlog`]), a
//! value that is read again goes to a vector register instead, and back to a host register where it
//! is read. xmm0 is left to the log (see [`crate::log`]).
//!
//! At the end of the block, and on the cold paths of its side exits, what is parked goes to its home
//! or slot, so a value that has to be there anyway is not parked.

#[cfg(doc)]
use crate::asm::Asm;
use crate::asm::{Gpr, Size};
use crate::emit::{Emitter, bit, bits};
use crate::place::slot;

/// The backlog of stores from which a value is parked that is read once more: from its slot it would
/// be an operand, from a vector register it takes an instruction.
const READ_ONCE: i32 = 32;

/// Who is parked where.
#[derive(Clone, Default)]
pub(crate) struct Parked {
    /// Number of the vector register that has the value of a guest register, whose slot is out of
    /// date; 0: none.
    at: [u8; 32],
    /// Guest registers that have one.
    guests: u32,
    /// Vector registers in use, and xmm0.
    used: u16,
}

impl Parked {
    /// The vector register that has the value of `r`.
    pub fn get(&self, r: u8) -> Option<u8> {
        match self.at[r as usize & 31] {
            0 => None,
            x => Some(x),
        }
    }

    /// Guest registers that are parked, as a mask.
    pub fn guests(&self) -> u32 {
        self.guests
    }

    /// The value of `r` is in the vector register `x`.
    pub fn park(&mut self, r: u8, x: u8) {
        self.at[r as usize & 31] = x;
        self.guests |= bit(r);
        self.used |= 1 << x;
    }

    /// The value of `r` is not there any more, or not wanted.
    pub fn forget(&mut self, r: u8) {
        let x = std::mem::take(&mut self.at[r as usize & 31]);
        if x != 0 {
            self.guests &= !bit(r);
            self.used &= !(1 << x);
        }
    }

    /// A vector register that is free.
    fn free(&self) -> Option<u8> {
        let x = (self.used | 1).trailing_ones() as u8;
        (x < 16).then_some(x)
    }
}

impl Emitter<'_> {
    /// The vector register in which the value of `r` is to wait.
    fn parking(&self, r: u8) -> Option<u8> {
        if !self.loans.local || self.loans.cold {
            return None;
        }
        let least = match self.remaining_uses(r) {
            0 => return None,
            1 => READ_ONCE,
            _ => 0,
        };
        let kept = !self.home_outside(r) && !self.loans.is_written_later(r, self.index);
        if kept || self.asm.backlog() <= least {
            return None;
        }
        self.loans.parked.free()
    }

    /// Brings a value that is only parked to where an instruction can read it: to a host register, or
    /// else to its slot. Leaves flags and scratch registers alone.
    #[inline]
    pub(crate) fn fetch(&mut self, r: u8) {
        if let Some(x) = self.loans.parked.get(r)
            && self.loans.host(r).is_none()
        {
            self.fetch_from(r, x);
        }
    }

    fn fetch_from(&mut self, r: u8, x: u8) {
        // For no register in particular: what the current instruction reads or is about to write
        // stays.
        let host = match self.loans.cold {
            true => None,
            false => self.find_local(0, self.index as u16),
        };
        match host {
            Some(host) => self.bring(r, host),
            None => {
                self.asm.vector_to_memory(slot(r), x);
                self.loans.parked.forget(r);
            }
        }
    }

    /// At the end of the block: registers that have no home outside of it go to their slots.
    pub(crate) fn unpark(&mut self) {
        for r in bits(self.loans.parked.guests()) {
            if let Some(x) = self.loans.parked.get(r).filter(|_| !self.home_outside(r)) {
                self.asm.vector_to_memory(slot(r), x);
                self.loans.parked.forget(r);
            }
        }
    }

    /// Saves the value of `r`, which is in `host`: in a vector register, or in its slot.
    pub(crate) fn park_or_store(&mut self, r: u8, host: Gpr) {
        match self.parking(r) {
            Some(x) => {
                self.asm.vector_from(x, host);
                self.loans.parked.park(r, x);
            }
            None => self.asm.store(Size::Q, slot(r), host),
        }
    }
}
