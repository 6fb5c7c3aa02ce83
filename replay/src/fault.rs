//! Guest faults: which one a trap is, and how it is told.

use crate::program::{Fetched, Program};
use hartlog_format::layout::{STACK_GUARD, STACK_SIZE};
use hartlog_format::status::FaultKind;
use hartlog_isa::{Effect, Hart, Trap};
use std::fmt;

/// A guest fault. `value` is what [`hartlog_format::trace::ChunkHeader::end_value`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happened.
    pub kind: FaultKind,
    /// pc of the instruction that did not retire.
    pub pc: u64,
    /// Address of the access, or the raw instruction.
    pub value: u64,
}

/// The fault that a trap of the instruction at `pc` is. Memory traps carry the address of the
/// first byte that is not accessible.
pub fn classify(program: &Program, pc: u64, trap: Trap<u64>) -> Fault {
    let inst = match program.fetch(pc) {
        Fetched::Inst(inst) => Some(inst),
        _ => None,
    };
    let (kind, value) = match trap {
        Trap::Illegal => (FaultKind::Illegal, inst.map_or(0, |i| i.raw.into())),
        Trap::Breakpoint => (FaultKind::Breakpoint, 0),
        Trap::Misaligned { addr } => (FaultKind::MisalignedAtomic, addr),
        Trap::Memory(addr) => (memory_fault(inst.map(|i| i.op.effect())), addr),
    };
    Fault { kind, pc, value }
}

/// Which access fault an instruction raises: an AMO is a store, also where its read fails.
pub(crate) fn memory_fault(effect: Option<Effect>) -> FaultKind {
    match effect {
        Some(Effect::Write(_) | Effect::ReadWrite(_) | Effect::CondStore(_)) => {
            FaultKind::StoreAccess
        }
        _ => FaultKind::LoadAccess,
    }
}

/// What is told on standard error about a fault; a translated program says the same.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The program.
    pub program: &'a Program,
    /// The fault.
    pub fault: &'a Fault,
    /// State of the hart.
    pub hart: &'a Hart,
    /// Steps retired before the instruction.
    pub steps: u64,
    /// End (exclusive) of the stack.
    pub stack_top: u64,
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { kind, pc, value } = *self.fault;
        let elf = self.program.elf();
        let what = kind.describe();
        writeln!(f, "hartlog: guest fault: {what} at pc {}", elf.locate(pc))?;
        write!(f, "hartlog:   instruction: ")?;
        match self.program.fetch(pc) {
            Fetched::Inst(inst) if inst.len == 2 => {
                writeln!(f, "{inst} (compressed, {:#06x})", inst.raw as u16)?;
            }
            Fetched::Inst(inst) => writeln!(f, "{inst} ({:#010x})", inst.raw)?,
            Fetched::Illegal { raw } => writeln!(f, "none that is known ({raw:#x})")?,
            Fetched::Outside => writeln!(f, "none, this is outside of the code")?,
        }
        match kind {
            FaultKind::LoadAccess | FaultKind::StoreAccess | FaultKind::MisalignedAtomic => {
                let guard_end = self.stack_top.saturating_sub(STACK_SIZE);
                let guard = guard_end.saturating_sub(STACK_GUARD)..guard_end;
                let overflow = guard.contains(&value);
                let note = if overflow {
                    " (below the stack: it has overflowed)"
                } else {
                    ""
                };
                writeln!(f, "hartlog:   address: {value:#x}{note}")?;
            }
            FaultKind::FetchAccess | FaultKind::Illegal | FaultKind::Breakpoint => {}
        }
        write!(
            f,
            "hartlog:   step: {}, ra: {}, sp: {:#x}",
            self.steps,
            elf.locate(self.hart.x[1]),
            self.hart.x[2]
        )
    }
}
