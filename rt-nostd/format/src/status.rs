//! Exit statuses of a translated program and the kinds of guest faults.

/// How a guest program ended abnormally. The numbers are part of the trace format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum FaultKind {
    /// Load (or LR) from an address that is not readable.
    LoadAccess = 1,
    /// Store, SC or AMO to an address that is not writable.
    StoreAccess = 2,
    /// The pc left the executable bytes of the ELF.
    FetchAccess = 3,
    /// The instruction is illegal, or names a CSR that does not exist.
    Illegal = 4,
    /// `ebreak`.
    Breakpoint = 5,
    /// LR, SC or AMO at an address that is not naturally aligned.
    MisalignedAtomic = 6,
}

impl FaultKind {
    /// Every kind, in numeric order.
    pub const ALL: [FaultKind; 6] = [
        FaultKind::LoadAccess,
        FaultKind::StoreAccess,
        FaultKind::FetchAccess,
        FaultKind::Illegal,
        FaultKind::Breakpoint,
        FaultKind::MisalignedAtomic,
    ];

    /// The kind with this number in the trace.
    pub fn from_code(code: u32) -> Option<FaultKind> {
        Self::ALL.into_iter().find(|k| *k as u32 == code)
    }

    /// What happened, as a noun phrase for messages.
    pub const fn describe(self) -> &'static str {
        match self {
            FaultKind::LoadAccess => "load access fault",
            FaultKind::StoreAccess => "store access fault",
            FaultKind::FetchAccess => "instruction fetch fault",
            FaultKind::Illegal => "illegal instruction",
            FaultKind::Breakpoint => "breakpoint",
            FaultKind::MisalignedAtomic => "misaligned atomic access",
        }
    }

    /// Exit status of a translated program whose guest faulted this way.
    pub const fn exit_status(self) -> u8 {
        match self {
            FaultKind::LoadAccess => exit::FAULT_LOAD,
            FaultKind::StoreAccess => exit::FAULT_STORE,
            FaultKind::FetchAccess => exit::FAULT_FETCH,
            FaultKind::Illegal => exit::FAULT_ILLEGAL,
            FaultKind::Breakpoint => exit::FAULT_BREAKPOINT,
            FaultKind::MisalignedAtomic => exit::FAULT_MISALIGNED,
        }
    }
}

/// Exit statuses of Hartlog's programs. A guest's own status is passed through as it is; 192 to
/// 223 are Hartlog's, and a message on stderr always goes with them.
pub mod exit {
    /// Everything went well.
    pub const OK: u8 = 0;
    /// A check of a trace failed: the trace is not that of a run of this ELF.
    pub const MISMATCH: u8 = 1;
    /// The command line was wrong.
    pub const USAGE: u8 = 2;
    /// An input file is malformed or not supported.
    pub const INPUT: u8 = 3;
    /// The trace is intact as far as it goes, but the run that wrote it did not end.
    pub const INCOMPLETE: u8 = 4;
    /// A file could not be read or written, or a tool (such as `ld`) failed.
    pub const IO: u8 = 5;

    /// Guest: load access fault.
    pub const FAULT_LOAD: u8 = 192;
    /// Guest: store access fault.
    pub const FAULT_STORE: u8 = 193;
    /// Guest: instruction fetch fault.
    pub const FAULT_FETCH: u8 = 194;
    /// Guest: illegal instruction.
    pub const FAULT_ILLEGAL: u8 = 195;
    /// Guest: breakpoint.
    pub const FAULT_BREAKPOINT: u8 = 196;
    /// Guest: misaligned atomic access.
    pub const FAULT_MISALIGNED: u8 = 197;
    /// The step limit (`HARTLOG_STEPS`) was reached.
    pub const STEP_LIMIT: u8 = 200;
    /// The trace could not be written (full disk, closed pipe, consumer gone).
    pub const TRACE_OUTPUT: u8 = 201;
    /// The host lacks something: memory, an address range, a CPU feature.
    pub const HOST: u8 = 202;
    /// The configuration in the environment is wrong.
    pub const CONFIG: u8 = 203;
    /// A defect of the runtime itself.
    pub const INTERNAL: u8 = 204;
    /// The memory limit (`HARTLOG_MEMORY`) was reached.
    pub const MEMORY_LIMIT: u8 = 205;
    /// A live run (`replay run`): what is replayed is not a run of this ELF.
    pub const LIVE_MISMATCH: u8 = 206;
    /// A live run: the ring was not set up, or is damaged.
    pub const LIVE_RING: u8 = 207;
}
