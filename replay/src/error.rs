//! What is wrong with a trace that is well-formed.

use crate::fault::Fault;
use crate::program::Program;
use hartlog_isa::ABI_NAMES;
use std::fmt;

/// The trace is not that of a run of the program. Where it shows, and what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk {chunk}, step {step}, pc {location}: {kind}")]
pub struct Difference {
    /// Number of the chunk.
    pub chunk: u64,
    /// Steps retired before the instruction, since the start of the run.
    pub step: u64,
    /// pc of the instruction.
    pub pc: u64,
    /// `pc` with symbol and offset.
    pub location: String,
    /// What differs.
    pub kind: DifferenceKind,
}

impl Difference {
    /// A difference at an instruction.
    pub fn new(program: &Program, chunk: u64, step: u64, pc: u64, kind: DifferenceKind) -> Self {
        Difference {
            chunk,
            step,
            pc,
            location: program.elf().locate(pc).to_string(),
            kind,
        }
    }
}

/// A part of the state of the hart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateItem {
    /// A register, by number.
    X(u8),
    /// pc.
    Pc,
    /// Address reserved by LR.
    Reservation,
}

impl fmt::Display for StateItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            StateItem::X(n) => write!(f, "x{n} ({})", ABI_NAMES[usize::from(n & 31)]),
            StateItem::Pc => f.write_str("pc"),
            StateItem::Reservation => f.write_str("reservation"),
        }
    }
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// The state that the chunk ends with is not the one that the next starts with.
    #[error("{item} is {found:#x} at the end of the chunk, the next starts with {expected:#x}")]
    NextStart {
        /// Which part.
        item: StateItem,
        /// Value in the next chunk's header.
        expected: u64,
        /// Value after re-execution.
        found: u64,
    },
    /// The first chunk does not start with the state of a fresh guest.
    #[error("{item} is {found:#x} at the start, a fresh guest has {expected:#x}")]
    FirstStart {
        /// Which part.
        item: StateItem,
        /// Value of the ABI.
        expected: u64,
        /// Value in the chunk's header.
        found: u64,
    },
    /// The pc at the end is not the one that the chunk says.
    #[error("pc is {found:#x} at the end of the chunk, the chunk says {expected:#x}")]
    EndPc {
        /// Value in the header.
        expected: u64,
        /// Value after re-execution.
        found: u64,
    },
    /// The read log ends before the chunk.
    #[error("the read log of {len} bytes is used up")]
    LogShort {
        /// Bytes in the log.
        len: u64,
    },
    /// The read log is longer than the chunk.
    #[error("{left} bytes of the read log of {len} bytes are not used")]
    LogLeft {
        /// Bytes that were not used.
        left: u64,
        /// Bytes in the log.
        len: u64,
    },
    /// An environment call without event.
    #[error("there is no host event for this environment call")]
    EventMissing,
    /// A host event of another step.
    #[error("the host event is of step {found}, the environment call is at step {expected}")]
    EventStep {
        /// Step of the call.
        expected: u64,
        /// Step in the event.
        found: u64,
    },
    /// A host event that cannot be read.
    #[error("host event: {0}")]
    EventMalformed(hartlog_format::parse::ParseError),
    /// Host events after the last environment call.
    #[error("{left} bytes of host events are not used")]
    EventsLeft {
        /// Bytes that were not used.
        left: u64,
    },
    /// The event is not what this call does.
    #[error("environment call {number}: {what}: {found:#x}, expected {expected:#x}")]
    Event {
        /// a7.
        number: u64,
        /// What differs.
        what: &'static str,
        /// Value that the ABI gives.
        expected: u64,
        /// Value in the trace.
        found: u64,
    },
    /// An access that no guest can make.
    #[error("access to {addr:#x}, which is outside the guest's memory")]
    Address {
        /// Effective address.
        addr: u64,
    },
    /// An instruction trapped that retired according to the trace.
    #[error("{} ({:#x}), but the chunk goes on", .0.kind.describe(), .0.value)]
    Trap(Fault),
    /// The chunk says that the guest exited here.
    #[error("the guest does not exit here with status {status}")]
    NoExit {
        /// Status in the trace.
        status: u32,
    },
    /// The guest exited, but the trace goes on.
    #[error("the guest exits here with status {status}, but the trace goes on")]
    ExitIgnored {
        /// Status of the call.
        status: u8,
    },
    /// The chunk says that the guest faulted here.
    #[error(
        "the trace says {} ({:#x}), which does not happen here", .expected.kind.describe(),
        .expected.value
    )]
    NoFault {
        /// Fault in the trace.
        expected: Fault,
    },
    /// The chunk says that the guest asked for more memory than it may have.
    #[error(
        "the trace says that more than {limit} bytes of memory are wanted, which does not happen here"
    )]
    NoRequest {
        /// Limit in the trace.
        limit: u64,
    },
    /// A chunk that says something impossible about its end.
    #[error("a chunk of {steps} steps cannot end like this")]
    EndSteps {
        /// Steps of the chunk.
        steps: u64,
    },
    /// A value was read that was not there.
    #[error("{found:#x} was read from {addr:#x} ({width} bytes), memory holds {expected:#x}")]
    Memory {
        /// Effective address.
        addr: u64,
        /// Bytes.
        width: u64,
        /// What memory holds.
        expected: u64,
        /// What the trace says.
        found: u64,
    },
    /// An access that the protection forbids.
    #[error("{} {addr:#x}, which is not {}", if *.write { "store to" } else { "load from" },
        if *.write { "writable" } else { "mapped" })]
    Access {
        /// The first byte that is not accessible.
        addr: u64,
        /// Whether it was a store.
        write: bool,
    },
}
