//! Guest faults: which one a trap is, and how it is told.

use crate::program::{Fetched, Program};
use hartlog_format::status::FaultKind;
use hartlog_isa::{Effect, Trap};

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

/// What is told on standard error about a fault.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    program: &'a Program,
    fault: &'a Fault,
}

impl<'a> Message<'a> {
    /// The message for a fault.
    pub fn new(program: &'a Program, fault: &'a Fault) -> Message<'a> {
        Message { program, fault }
    }
}

impl std::fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fault { kind, pc, value } = *self.fault;
        let location = self.program.elf().locate(pc);
        write!(f, "hartlog: {} at {location}", kind.describe())?;
        match self.program.fetch(pc) {
            Fetched::Inst(inst) => write!(f, ": {inst}")?,
            Fetched::Illegal { raw } if raw & 3 == 3 => write!(f, ": 0x{raw:08x}")?,
            Fetched::Illegal { raw } => write!(f, ": 0x{raw:04x}")?,
            Fetched::Outside => {}
        }
        match kind {
            FaultKind::LoadAccess | FaultKind::StoreAccess | FaultKind::MisalignedAtomic => {
                write!(f, ": address {value:#x}")
            }
            FaultKind::FetchAccess | FaultKind::Illegal | FaultKind::Breakpoint => Ok(()),
        }
    }
}
