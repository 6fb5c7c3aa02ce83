//! Where a template finds its sources and leaves its result.

use super::{Emitter, Lazy, Src, bit};
use crate::asm::{Gpr, Rm, Size};
use crate::place::{A, D, slot};

/// How much of a register is its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// All 64 bits.
    Full,
    /// All 64 bits, which are a sign-extended word.
    Extended,
    /// The lower half, to be sign-extended; the upper is zero.
    Low,
}

/// A result that does not go to its register.
#[derive(Clone, Copy)]
pub(crate) struct Redirect {
    pub rd: u8,
    /// Where it is; not rdx.
    pub at: Gpr,
    pub extent: Extent,
}

impl Emitter<'_> {
    /// Home of `r` as an operand; x0 is the constant 0.
    pub(crate) fn home(&mut self, r: u8) -> Src {
        self.fetch(r);
        match (r, self.place.home(r).or(self.loans.host(r))) {
            (0, _) => Src::Imm(0),
            (_, Some(home)) => Src::Reg(home),
            (_, None) => Src::Slot(slot(r)),
        }
    }

    /// Home of `r`, all 64 bits valid.
    pub(crate) fn full(&mut self, r: u8) -> Src {
        if self.dirty & bit(r) != 0 {
            self.extend(r);
        }
        self.home(r)
    }

    /// Home of `r` for an operation of this size, which 32 bits of it may suffice for.
    pub(crate) fn operand_of(&mut self, size: Size, r: u8) -> Src {
        if size == Size::Q {
            self.full(r)
        } else {
            self.home(r)
        }
    }

    pub(super) fn extend(&mut self, r: u8) {
        if let Src::Reg(home) = self.home(r) {
            self.asm.movsx(Size::D, home, home);
        }
        self.dirty &= !bit(r);
    }

    /// A source in a register: its home, or loaded into `scratch`. 32 bits suffice.
    pub(crate) fn reg_low(&mut self, r: u8, scratch: Gpr) -> Gpr {
        let src = self.home(r);
        self.in_reg(src, Size::D, scratch)
    }

    /// A source in a register: its home, or loaded into `scratch`.
    pub(crate) fn reg_full(&mut self, r: u8, scratch: Gpr) -> Gpr {
        let src = self.full(r);
        self.in_reg(src, Size::Q, scratch)
    }

    /// Brings an operand into a register.
    pub(crate) fn in_reg(&mut self, src: Src, size: Size, scratch: Gpr) -> Gpr {
        match src {
            Src::Reg(r) => r,
            Src::Slot(m) => {
                self.asm.mov(size, scratch, m);
                scratch
            }
            Src::Imm(v) => {
                self.asm.mov_imm(scratch, v);
                scratch
            }
        }
    }

    /// An operand as register or memory; x0 by its slot, which holds 0.
    pub(crate) fn rm(&mut self, src: Src) -> Rm {
        match src {
            Src::Reg(r) => Rm::R(r),
            Src::Slot(m) => Rm::M(m),
            Src::Imm(_) => Rm::M(slot(0)),
        }
    }

    /// The value of a guest register as the guest sees it now: constants as such, everything else
    /// in its home.
    pub(crate) fn value(&mut self, r: u8) -> Src {
        match self.lazy[r as usize & 31] {
            Some(Lazy::Const(c)) => Src::Imm(c),
            Some(Lazy::Inst(_)) => {
                self.settle(r);
                self.home(r)
            }
            None => self.home(r),
        }
    }

    /// [`Emitter::value`] with all 64 bits valid.
    pub(crate) fn value_full(&mut self, r: u8) -> Src {
        match self.value(r) {
            Src::Imm(c) => Src::Imm(c),
            _ => self.full(r),
        }
    }

    /// Whether the home holds a sign-extended 32-bit value (its upper half may be dirty).
    pub(crate) fn is_sext(&self, r: u8) -> bool {
        r == 0 || (self.dirty | self.sext) & bit(r) != 0
    }

    /// Whether the home's upper half is dirty.
    pub(crate) fn is_dirty(&self, r: u8) -> bool {
        self.dirty & bit(r) != 0
    }

    /// Where a template puts its result: the home, or a borrowed register, or rax.
    pub(crate) fn dst(&mut self, rd: u8) -> Gpr {
        if self.redirect.is_some_and(|r| r.rd == rd) {
            return A;
        }
        self.destination(rd).unwrap_or(A)
    }

    /// The 64-bit result for `rd` is in `at`.
    pub(crate) fn done(&mut self, rd: u8, at: Gpr) {
        if self.redirected(rd, at, Extent::Full) {
            return;
        }
        self.place(rd, at);
        self.facts_unknown(rd);
    }

    /// The 64-bit result for `rd` is in `at` and is a sign-extended 32-bit value.
    pub(crate) fn done_sext(&mut self, rd: u8, at: Gpr) {
        if self.redirected(rd, at, Extent::Extended) {
            return;
        }
        self.place(rd, at);
        self.mark_sext(rd);
    }

    /// The result for `rd` is the sign extension of the lower half of `at`, whose upper half is
    /// zero.
    pub(crate) fn done_word(&mut self, rd: u8, at: Gpr) {
        if self.redirected(rd, at, Extent::Low) {
            return;
        }
        match self.destination(rd) {
            Some(home) => {
                if home != at {
                    self.asm.mov(Size::D, home, at);
                }
                self.settled_in(rd, home);
                self.mark_word(rd);
            }
            None => {
                self.asm.movsx(Size::D, at, at);
                self.done_sext(rd, at);
            }
        }
    }

    /// Whether a result is not to go to its register; then where it is stays known, which is not
    /// rdx.
    fn redirected(&mut self, rd: u8, at: Gpr, extent: Extent) -> bool {
        let Some(redirect) = self.redirect.as_mut().filter(|r| r.rd == rd) else {
            return false;
        };
        (redirect.at, redirect.extent) = (at, extent);
        if at == D {
            redirect.at = A;
            self.asm.mov(Size::Q, A, D);
        }
        true
    }

    /// [`Emitter::done`] or [`Emitter::done_word`], by the size of the operation.
    pub(crate) fn done_of(&mut self, size: Size, rd: u8, at: Gpr) {
        if size == Size::Q {
            self.done(rd, at)
        } else {
            self.done_word(rd, at)
        }
    }

    /// The value of `rd` is another one, perhaps without any code (it was where it had to go):
    /// flags that tell of it are of the old one.
    pub(super) fn forget_carry(&mut self, rd: u8) {
        if self.carry.is_some_and(|(_, a, b)| a == rd || b == rd) {
            self.carry = None;
        }
    }

    /// `rd` has a new value in its home, of which nothing is known.
    pub(crate) fn facts_unknown(&mut self, rd: u8) {
        self.forget_carry(rd);
        self.dirty &= !bit(rd);
        self.sext &= !bit(rd);
    }

    /// The value of `rd` is the sign extension of the lower half of its home, a register.
    pub(crate) fn mark_dirty(&mut self, rd: u8) {
        self.forget_carry(rd);
        self.dirty |= bit(rd);
        self.zero &= !bit(rd);
        self.sext &= !bit(rd);
    }

    /// The same, and its upper half is zero.
    pub(crate) fn mark_word(&mut self, rd: u8) {
        self.mark_dirty(rd);
        self.zero |= bit(rd);
    }

    /// The value of `rd`, all 64 bits in its home, is a sign-extended word.
    pub(crate) fn mark_sext(&mut self, rd: u8) {
        self.facts_unknown(rd);
        self.sext |= bit(rd);
    }

    /// The lower half of `r`, zero-extended, in a register that is not to be written.
    pub(crate) fn zero_extended(&mut self, r: u8, scratch: Gpr) -> Gpr {
        match self.home(r) {
            Src::Reg(home) if self.dirty & self.zero & bit(r) != 0 => home,
            src => {
                match self.rm(src) {
                    Rm::R(s) => self.asm.mov(Size::D, scratch, s),
                    Rm::M(m) => self.asm.mov(Size::D, scratch, m),
                }
                scratch
            }
        }
    }

    pub(super) fn place(&mut self, rd: u8, at: Gpr) {
        if self.loans.local && self.loans.host(rd) == Some(at) {
            self.settled_in(rd, at);
            return;
        }
        match self.destination(rd) {
            Some(host) => {
                self.asm.mov(Size::Q, host, at);
                self.settled_in(rd, host);
            }
            None if rd == 0 => {}
            None => {
                self.asm.store(Size::Q, slot(rd), at);
                self.returned(rd);
            }
        }
    }

    /// The value of `rd` is in `host`, its home or a borrowed register.
    pub(super) fn settled_in(&mut self, rd: u8, host: Gpr) {
        if self.place.home(rd).is_some() {
            self.end_loan(host);
        } else {
            self.borrowed(rd, host);
        }
    }

    pub(super) fn load_const(&mut self, r: u8, c: i64) {
        let fits = i32::try_from(c);
        let host = if self.loans.local {
            self.destination(r)
        } else {
            self.place.home(r)
        };
        match (host, fits) {
            (None, Ok(v)) => {
                self.asm.store_imm(Size::Q, slot(r), v);
                self.returned(r);
            }
            _ => {
                let dst = self.dst(r);
                self.asm.mov_imm(dst, c);
                self.place(r, dst);
            }
        }
        self.facts_unknown(r);
        if fits.is_ok() {
            self.sext |= bit(r);
        }
    }
}
