//! What generated code and the runtime share.
//!
//! # Execution
//!
//! The runtime calls [`Program::enter`] as `extern "C" fn(state: *mut HartState, target: u64)`.
//! It loads the pinned guest registers, budget and log pointer from the state block and jumps to
//! `target`, the host address of a block. Generated code comes back (returns from that call) with
//! all of them stored again, and with [`HartState::pc`] and [`HartState::reason`] set.
//!
//! While generated code runs, `rbp` = address of the state block + [`STATE_BIAS`] and `rsp` holds
//! the step budget, so there is no stack: signals need one of their own.
//!
//! # Budget
//!
//! A block of `n` instructions is entered by `sub rsp, n; js ...`; on a negative result the block
//! gives the `n` back and leaves with [`reason::CHUNK_END`] before anything was executed. Steps
//! retired so far = `step_end - budget` at every block boundary.
//!
//! # Faults
//!
//! A signal in generated code (SIGSEGV, SIGBUS, or SIGILL from a deliberate `ud2`) is resolved by
//! the [`Site`] of its host address; the handler stores pc, corrected budget and log (with
//! what still waits in `xmm0`), and continues at [`Program::leave`] with [`reason::FAULT`].

use crate::layout::{GUEST_END, GUEST_MIN};
use core::mem::{offset_of, size_of};

/// Name of the [`Program`] descriptor in the object.
pub const SYMBOL_PROGRAM: &str = "__hartlog_program";
/// Name of the definition that holds the state block and, one page after its start, the jump table.
pub const SYMBOL_STATE: &str = "__hartlog_state";
/// First bytes of [`Program::magic`].
pub const PROGRAM_MAGIC: u64 = u64::from_le_bytes(*b"HARTLOGP");
/// Version of everything in this module; object and runtime must agree.
pub const CONTRACT_VERSION: u32 = 4;

/// [`Program::flags`]: reads are logged, chunks are sealed.
pub const FLAG_TRACE: u32 = 1;
/// [`Program::flags`]: generated code itself checks that guest addresses fit 32 bits.
pub const FLAG_CHECKED: u32 = 2;
/// [`Program::flags`]: values read come from the log and nothing is stored.
pub const FLAG_REPLAY: u32 = 4;
/// [`Program::flags`]: the bits from this one on are the [`Columns`](crate::witness::Columns) that
/// a replay writes.
pub const FLAG_COLUMNS_SHIFT: u32 = 16;

/// The state block of a hart. Generated code addresses it as `[rbp + offset - STATE_BIAS]`.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub struct HartState {
    /// Guest registers. Those that the program pins are current only outside generated code.
    /// `x[0]` is always 0.
    pub x: [u64; 32],
    /// Steps left in this chunk; negative never outside a block entry.
    pub budget: i64,
    /// Host address at which the next logged value is written.
    pub log: u64,
    /// Guest pc; valid outside generated code.
    pub pc: u64,
    /// Why generated code came back: one of [`reason`].
    pub reason: u64,
    /// Host stack pointer while generated code runs.
    pub host_rsp: u64,
    /// Address reserved by LR; `u64::MAX` = none.
    pub reservation: u64,
    /// Step number at which `budget` reaches 0.
    pub step_end: u64,
    /// Spill space of templates.
    pub scratch: [u64; 8],
    /// Replay: rows in the batch.
    pub rows: u64,
    /// Replay: host address at which the next memory operation is written.
    pub ops: u64,
    /// Replay: [`WINDOW`].
    pub window: [u64; 4],
    /// Replay: [`LAST_ADDRESS`].
    pub last_address: u64,
}

/// Largest value of a register from which a replay that follows memory forms an address.
pub const LAST_ADDRESS: u64 = u32::MAX as u64;

/// Per width (1, 2, 4, 8 bytes) the largest address of an access inside the guest's window, less
/// `GUEST_MIN`.
pub const WINDOW: [u64; 4] = {
    let last = GUEST_END - GUEST_MIN;
    [last - 1, last - 2, last - 4, last - 8]
};

/// `rbp` points this many bytes into the state block, so that all of `x` is in reach of an 8-bit
/// displacement.
pub const STATE_BIAS: i32 = 128;

/// Offset of a guest register's slot from `rbp`.
pub const fn slot(x: u8) -> i32 {
    (offset_of!(HartState, x) + 8 * (x as usize & 31)) as i32 - STATE_BIAS
}

/// Offsets of the other fields from `rbp`.
pub mod offset {
    use super::*;
    /// [`HartState::budget`].
    pub const BUDGET: i32 = offset_of!(HartState, budget) as i32 - STATE_BIAS;
    /// [`HartState::log`].
    pub const LOG: i32 = offset_of!(HartState, log) as i32 - STATE_BIAS;
    /// [`HartState::pc`].
    pub const PC: i32 = offset_of!(HartState, pc) as i32 - STATE_BIAS;
    /// [`HartState::reason`].
    pub const REASON: i32 = offset_of!(HartState, reason) as i32 - STATE_BIAS;
    /// [`HartState::host_rsp`].
    pub const HOST_RSP: i32 = offset_of!(HartState, host_rsp) as i32 - STATE_BIAS;
    /// [`HartState::reservation`].
    pub const RESERVATION: i32 = offset_of!(HartState, reservation) as i32 - STATE_BIAS;
    /// [`HartState::step_end`].
    pub const STEP_END: i32 = offset_of!(HartState, step_end) as i32 - STATE_BIAS;
    /// [`HartState::scratch`].
    pub const SCRATCH: i32 = offset_of!(HartState, scratch) as i32 - STATE_BIAS;
    /// [`HartState::rows`].
    pub const ROWS: i32 = offset_of!(HartState, rows) as i32 - STATE_BIAS;
    /// [`HartState::ops`].
    pub const OPS: i32 = offset_of!(HartState, ops) as i32 - STATE_BIAS;
    /// [`HartState::window`].
    pub const WINDOW: i32 = offset_of!(HartState, window) as i32 - STATE_BIAS;
    /// [`HartState::last_address`].
    pub const LAST_ADDRESS: i32 = offset_of!(HartState, last_address) as i32 - STATE_BIAS;
    /// First entry of the jump table.
    pub const TABLE: i32 = TABLE_OFFSET as i32 - STATE_BIAS;
}

/// Bytes from the start of [`SYMBOL_STATE`] to the first entry of the jump table. The runtime
/// makes everything from there on read-only.
pub const TABLE_OFFSET: u64 = 4096;

/// Bytes of a jump-table entry of a program: the host address of the block at
/// `table_base + 2 * index`, or of the stub that leaves with [`reason::JUMP`].
pub const TABLE_ENTRY: u64 = 8;

/// Bytes of a jump-table entry of an object for replay, which may be loaded anywhere: the same
/// address, minus `rbp`, as an `i32`.
pub const REPLAY_TABLE_ENTRY: u64 = 4;

/// Why generated code came back to the runtime.
pub mod reason {
    /// The budget does not cover the block at `pc`; nothing of it was executed.
    pub const CHUNK_END: u64 = 0;
    /// A jump to `pc` (any 64-bit value), which has no block of its own.
    pub const JUMP: u64 = 1;
    /// The `ecall` at `pc` was charged as retired; the call is still to be performed and `pc` to
    /// be advanced.
    pub const ECALL: u64 = 2;
    /// The instruction at `pc` trapped; it is not charged and its reads are not in the log. Set by
    /// the signal handler only.
    pub const FAULT: u64 = 3;
    /// Replay: an address outside the guest's window. Registers, pc and counts are not in place:
    /// the chunk is to be executed again by other means.
    pub const ADDRESS: u64 = 4;
    /// Replay that follows memory: a value read is not what memory holds. As [`ADDRESS`], but `pc`
    /// is where the value is in the log, in bytes from where the log pointer points.
    pub const MISMATCH: u64 = 5;
}

/// Descriptor of a translated program, emitted by the compiler as [`SYMBOL_PROGRAM`]. Pointers are
/// host addresses, filled in by the linker.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Program {
    /// [`PROGRAM_MAGIC`].
    pub magic: u64,
    /// [`CONTRACT_VERSION`].
    pub version: u32,
    /// `FLAG_*`.
    pub flags: u32,
    /// Retired instructions in a chunk.
    pub chunk_steps: u64,
    /// Guest pc at the start.
    pub entry: u64,
    /// SHA-256 of the ELF file.
    pub elf_sha256: [u8; 32],
    /// ISA of the guest: bit `c - 'A'` per letter, as in `misa`.
    pub isa: u64,
    /// Code: enters generated code.
    pub enter: u64,
    /// Code: stores the registers and returns to the caller of `enter`; `pc` and `reason` must be
    /// set.
    pub leave: u64,
    /// The [`HartState`].
    pub state: u64,
    /// Guest address that entry 0 of the jump table stands for.
    pub table_base: u64,
    /// Entries of the jump table.
    pub table_len: u64,
    /// Host address of the stub that leaves with [`reason::JUMP`]: what entries without a block
    /// hold.
    pub no_entry: u64,
    /// Array of [`Segment`].
    pub segments: u64,
    /// Number of segments.
    pub segments_len: u64,
    /// Array of [`CodeRange`], one per definition of generated code.
    pub ranges: u64,
    /// Number of ranges.
    pub ranges_len: u64,
    /// Array of [`Site`]: the ranges' sites one after another.
    pub sites: u64,
    /// Number of sites.
    pub sites_len: u64,
    /// Array of [`Symbol`], ascending by address.
    pub symbols: u64,
    /// Number of symbols.
    pub symbols_len: u64,
    /// Bytes of the symbols' names.
    pub names: u64,
    /// Number of those bytes.
    pub names_len: u64,
    /// Per guest register the number of the host register that pins it, or [`IN_MEMORY`].
    pub homes: [u8; 32],
}

/// [`Program::homes`]: the register lives in its slot of the state block.
pub const IN_MEMORY: u8 = 0xff;

/// A loadable segment of the guest.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Segment {
    /// Guest address.
    pub vaddr: u64,
    /// Bytes taken from `data`.
    pub file_size: u64,
    /// Bytes in memory; those after `file_size` are zero.
    pub mem_size: u64,
    /// `SEGMENT_*` bits.
    pub flags: u64,
    /// Host address of the bytes.
    pub data: u64,
}

/// [`Segment::flags`]: the pc may be in its file bytes (ELF `PF_X`).
pub const SEGMENT_X: u64 = 1;
/// [`Segment::flags`]: writable (ELF `PF_W`).
pub const SEGMENT_W: u64 = 2;
/// [`Segment::flags`]: readable (ELF `PF_R`). Loads may read every mapped segment.
pub const SEGMENT_R: u64 = 4;

/// Host code of one definition.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct CodeRange {
    /// Host address of the first byte.
    pub start: u64,
    /// Length in bytes.
    pub len: u32,
    /// Index of its first [`Site`].
    pub first_site: u32,
    /// Number of its sites, ascending by `host`.
    pub sites: u32,
    /// Zero.
    pub reserved: u32,
}

/// A host instruction that can raise a signal for a guest instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Site {
    /// Offset of the host instruction from the start of its [`CodeRange`].
    pub host: u32,
    /// Guest pc (below 2^32).
    pub pc: u32,
    /// Steps charged by the block for this instruction and those after it.
    pub refund: u16,
    /// Bytes logged since the log pointer was last advanced, before this instruction
    /// ([`Site::logged`]), and how many of them are in a register still ([`Site::waiting`]).
    pub log: u16,
}

impl Site {
    const LOGGED_BITS: u32 = 12;

    /// [`Site::log`] for `logged` bytes, the last `waiting` of which are in the lower bytes of
    /// `xmm0` and not in the log yet.
    pub fn pack_log(logged: u32, waiting: u32) -> u16 {
        debug_assert!(logged < 1 << Site::LOGGED_BITS && waiting < 16);
        (logged | waiting << Site::LOGGED_BITS) as u16
    }

    /// Bytes logged since the log pointer was last advanced, before this instruction.
    pub fn logged(&self) -> u16 {
        self.log & ((1 << Site::LOGGED_BITS) - 1)
    }

    /// How many of them, the last ones, are in the lower bytes of `xmm0` and not in the log yet.
    pub fn waiting(&self) -> u16 {
        self.log >> Site::LOGGED_BITS
    }
}

/// A guest function, for messages.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Symbol {
    /// Guest address.
    pub addr: u64,
    /// Size in bytes; 0 = up to the next symbol.
    pub size: u32,
    /// Offset of the name.
    pub name: u32,
    /// Length of the name.
    pub name_len: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<HartState>() as u64 <= TABLE_OFFSET);
    assert!(offset_of!(HartState, x) == 0);
    assert!(slot(0) == -128 && slot(31) == 120);
    assert!(size_of::<Program>() == 232);
    assert!(size_of::<Segment>() == 40);
    assert!(size_of::<CodeRange>() == 24);
    assert!(size_of::<Site>() == 12);
    assert!(size_of::<Symbol>() == 24);
};
