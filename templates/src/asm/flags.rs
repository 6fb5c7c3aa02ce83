//! What the host's flags tell, and of what.

use super::{Cond, Gpr, Size};

/// The flags at some point of the code.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    /// Offset behind the last instruction that may have changed them.
    pub changed: u32,
    /// Of which register the zero and the sign flag are, and at which width, as long as `changed`
    /// is this.
    result: Option<(u32, Gpr, Size)>,
}

impl Flags {
    /// The condition that holds if `r` compared with 0 meets `cond`, where the flags tell it.
    pub fn of_zero(&self, cond: Cond, size: Size, r: Gpr) -> Option<Cond> {
        let (at, tested, width) = self.result?;
        if (at, tested) != (self.changed, r) {
            return None;
        }
        match cond {
            // Operations of 32 bits leave zeros above.
            Cond::E | Cond::Ne if width == size || size == Size::Q => Some(cond),
            Cond::L if width == size => Some(Cond::S),
            Cond::Ge if width == size => Some(Cond::Ns),
            _ => None,
        }
    }

    /// The last instruction set the zero and the sign flag by its result in `r`.
    pub fn result_in(&mut self, r: Gpr, size: Size) {
        self.result = Some((self.changed, r, size));
    }

    /// An instruction that leaves the flags alone wrote `r`.
    pub fn overwritten(&mut self, r: Gpr) {
        if self.result.is_some_and(|(_, tested, _)| tested == r) {
            self.result = None;
        }
    }

    /// `r` was sign-extended from 32 bits: its sign stays, and whether it is zero.
    pub fn extended(&mut self, r: Gpr) {
        match &mut self.result {
            Some((_, tested, width)) if *tested == r && *width == Size::D => *width = Size::Q,
            _ => self.overwritten(r),
        }
    }

    /// Code that comes from elsewhere goes on at `pos`: what they tell is not known.
    pub fn joined(&mut self, pos: u32) {
        *self = Flags {
            changed: pos,
            result: None,
        };
    }
}
