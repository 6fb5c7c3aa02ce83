//! The register contract: what each host register holds while generated code runs.
//!
//! | host | role | lifetime |
//! |---|---|---|
//! | `rsp` | step budget ([`BUDGET`]) | whole run; there is no host stack |
//! | `rbp` | state block + `STATE_BIAS` ([`STATE`]) | whole run |
//! | `rdi` | read-log pointer ([`LOG`]); a home where there is no log | whole run |
//! | `rax`, `rdx` | scratch | within one template |
//! | `r13`, `r12` | replay with rows: their number; with memory operations: pointer to the next | whole run |
//! | `xmm0`; `xmm1` to `xmm15` | values to be logged; values that wait (`crate::parked`) | within one block |
//! | the other eleven | homes of the hottest guest registers | whole run, but for regions |
//!
//! A *region* (a hot loop or a long function without calls) may have a placement of its own; the
//! registers are moved on the edges into and out of it. Everything outside of generated code, and
//! every entry of the jump table, uses the program's placement.
//!
//! A guest register without a home lives in its slot of the state block and is used as a memory
//! operand. x0 has a slot, which holds 0, and never a home.

use crate::asm::{Gpr, Mem};
use crate::emit::bits;
use hartlog_format::contract;
use hartlog_format::witness::Columns;

/// Step budget.
pub const BUDGET: Gpr = Gpr::Rsp;
/// Biased address of the state block.
pub const STATE: Gpr = Gpr::Rbp;
/// Address at which the next logged value is written.
pub const LOG: Gpr = Gpr::Rdi;
/// First scratch register; also the first operand of multiplication and division.
pub const A: Gpr = Gpr::Rax;
/// Second scratch register.
pub const D: Gpr = Gpr::Rdx;

/// Host registers that may be homes, cheapest encodings first. The last one only without a log.
pub const HOMES: [Gpr; 12] = [
    Gpr::Rbx,
    Gpr::Rsi,
    Gpr::Rcx,
    Gpr::R8,
    Gpr::R9,
    Gpr::R10,
    Gpr::R11,
    Gpr::R14,
    Gpr::R15,
    Gpr::R12,
    Gpr::R13,
    Gpr::Rdi,
];

/// The host registers that may be homes: the log pointer, and what a replay needs for the columns
/// that it writes, come off their end.
pub fn available(log: bool, columns: Columns) -> &'static [Gpr] {
    let pointers = usize::from(columns.has_rows()) + usize::from(columns.contains(Columns::MEMORY));
    &HOMES[..HOMES.len() - usize::from(log) - pointers]
}

/// Which guest registers have a home, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    homes: [Option<Gpr>; 32],
    /// Guest registers with a home, as a mask.
    pinned: u32,
}

impl Placement {
    /// Gives the homes that are available to the registers named, in order, as far as they go. x0
    /// is skipped.
    pub fn new(order: impl IntoIterator<Item = u8>, available: &[Gpr]) -> Placement {
        let mut homes = [None; 32];
        let wanted = order.into_iter().filter(|r| *r != 0 && *r < 32);
        for (home, r) in available.iter().zip(wanted) {
            homes[r as usize] = Some(*home);
        }
        Placement::of(homes)
    }

    fn of(homes: [Option<Gpr>; 32]) -> Placement {
        let pinned = (0..32).filter(|r| homes[*r].is_some());
        Placement {
            homes,
            pinned: pinned.fold(0, |mask, r| mask | 1 << r),
        }
    }

    /// A placement that gives homes to the registers in `wanted` (as far as homes go) and differs
    /// from this one as little as possible.
    pub fn adapted(&self, wanted: impl IntoIterator<Item = u8>, available: &[Gpr]) -> Placement {
        let wanted: Vec<u8> = wanted
            .into_iter()
            .filter(|r| *r != 0 && *r < 32)
            .take(available.len())
            .collect();
        let mut homes = [None; 32];
        for r in &wanted {
            homes[*r as usize] = self.home(*r);
        }
        let free: Vec<Gpr> = available
            .iter()
            .copied()
            .filter(|h| !homes.contains(&Some(*h)))
            .collect();
        let mut free = free.into_iter();
        for r in wanted {
            if homes[r as usize].is_none() {
                homes[r as usize] = free.next();
            }
        }
        // What is left over goes back to whom it belongs here.
        for h in free {
            if let Some((r, _)) = self.pinned().find(|(_, p)| *p == h) {
                homes[r as usize] = Some(h);
            }
        }
        Placement::of(homes)
    }

    /// The home of a guest register.
    pub fn home(&self, r: u8) -> Option<Gpr> {
        self.homes[r as usize & 31]
    }

    /// Guest registers with their homes.
    pub fn pinned(&self) -> impl Iterator<Item = (u8, Gpr)> + '_ {
        bits(self.pinned).filter_map(|r| self.home(r).map(|h| (r, h)))
    }

    /// Guest registers without a home, but x0, as a mask.
    pub(crate) fn in_memory(&self) -> u32 {
        !self.pinned & !1
    }

    /// The `homes` field of the program descriptor.
    pub fn encode(&self) -> [u8; 32] {
        self.homes
            .map(|h| h.map_or(contract::IN_MEMORY, |h| h as u8))
    }
}

/// The slot of a guest register in the state block.
pub fn slot(r: u8) -> Mem {
    Mem::host(STATE, contract::slot(r))
}

/// Another field of the state block.
pub fn field(offset: i32) -> Mem {
    Mem::host(STATE, offset)
}
