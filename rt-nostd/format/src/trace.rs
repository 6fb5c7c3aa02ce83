//! Byte layout of a trace.
//!
//! ```text
//! file   = header, arguments, header checksum, chunk*, footer
//! chunk  = ChunkHeader, read log, padding to 8, host events
//! footer = FooterHeader, chunk offsets, FooterTail
//! ```
//!
//! Everything is little-endian and every record starts at a multiple of 8 bytes. A file without a
//! footer is the trace of a run that was killed: its chunks are readable.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First bytes of a trace.
pub const FILE_MAGIC: [u8; 8] = *b"HARTLOG\0";
/// First bytes of a chunk record.
pub const CHUNK_MAGIC: [u8; 4] = *b"CHNK";
/// First bytes of the footer.
pub const FOOTER_MAGIC: [u8; 8] = *b"HLFOOTER";
/// Last bytes of a complete trace.
pub const TAIL_MAGIC: [u8; 8] = *b"HLTRACE.";
/// Version of this layout.
pub const VERSION: u32 = 2;
/// [`FileHeader::abi`]: Linux user ABI of RV64.
pub const ABI_LINUX: u32 = 1;
/// [`FileHeader::isa`] of every guest: I, M, A, B (Zba, Zbb, Zbs) and C, bit `c - 'A'` each.
pub const ISA: u64 = 1 << 8 | 1 << 12 | 1 << 0 | 1 << 1 | 1 << 2;
/// [`FileHeader::log_form`]: values packed at the width of the access.
pub const LOG_PACKED: u32 = 0;

/// Start of a trace. `args_len` bytes of arguments and a checksum follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FileHeader {
    /// [`FILE_MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// Size of this structure in bytes.
    pub header_len: U32,
    /// XLEN of the guest in bits: 64.
    pub xlen: U32,
    /// `ABI_*`.
    pub abi: U32,
    /// ISA of the guest: bit `c - 'A'` per letter, as in `misa`.
    pub isa: U64,
    /// Retired instructions in a chunk.
    pub chunk_steps: U64,
    /// SHA-256 of the ELF file.
    pub elf_sha256: [u8; 32],
    /// Form of the read log: `LOG_*`.
    pub log_form: U32,
    /// Number of argument strings in the blob; the strings after them are the environment.
    pub argc: U32,
    /// Bytes of NUL-terminated strings that follow (arguments, then environment), without padding.
    pub args_len: U64,
    /// Zero.
    pub reserved: [u8; 32],
}

/// How a chunk ends: [`ChunkHeader::end_kind`].
pub mod end {
    /// `chunk_steps` instructions were retired and the run goes on.
    pub const NEXT: u32 = 0;
    /// The guest exited; `end_code` is its status (0 to 255).
    pub const EXIT: u32 = 1;
    /// The guest faulted; `end_code` is a [`crate::status::FaultKind`].
    pub const FAULT: u32 = 2;
    /// The step limit of the run was reached.
    pub const STEP_LIMIT: u32 = 3;
    /// The environment call at `end_pc` asked for more memory than the run was given, which is
    /// `end_value` bytes (or the guest had more from the start).
    pub const MEMORY_LIMIT: u32 = 4;
}

/// Start of a chunk record. `log_len` bytes of log, padding to 8 and `events_len` bytes of host
/// events follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ChunkHeader {
    /// [`CHUNK_MAGIC`].
    pub magic: [u8; 4],
    /// Size of this structure in bytes.
    pub header_len: U32,
    /// Number of this chunk, from 0.
    pub index: U64,
    /// Steps retired before this chunk: `index * chunk_steps`.
    pub first_step: U64,
    /// Steps retired in this chunk.
    pub steps: U64,
    /// pc at the start.
    pub start_pc: U64,
    /// x1 to x31 at the start.
    pub regs: [U64; 31],
    /// Address reserved by LR at the start; `u64::MAX` = none.
    pub reservation: U64,
    /// How the chunk ends: one of [`end`].
    pub end_kind: U32,
    /// Exit status or fault kind.
    pub end_code: U32,
    /// pc at the end: of the next instruction, or of the one that faulted.
    pub end_pc: U64,
    /// Address of a faulting access (the first byte that is not accessible, or the misaligned
    /// address); the raw instruction for an illegal one; else 0.
    pub end_value: U64,
    /// Bytes of read log.
    pub log_len: U64,
    /// Bytes of host events.
    pub events_len: U64,
    /// [`chunk_checksum`] of everything else.
    pub checksum: U64,
}

/// Start of a host event: one environment call. `ranges` [`RangeHeader`]s follow, each with its
/// bytes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct EventHeader {
    /// Steps retired before the `ecall` since the start of the run.
    pub step: U64,
    /// a0 after the call.
    pub result: U64,
    /// Number of ranges.
    pub ranges: U32,
    /// Zero.
    pub reserved: U32,
}

/// Memory that an environment call touched. Bytes (if any) follow, padded to 8.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RangeHeader {
    /// Guest address of the first byte.
    pub addr: U64,
    /// Bytes.
    pub len: U64,
    /// One of [`range`].
    pub kind: U32,
    /// Zero.
    pub reserved: U32,
}

/// Kinds of [`RangeHeader`].
pub mod range {
    /// The host wrote these bytes into guest memory.
    pub const WRITTEN: u32 = 0;
    /// The host read these bytes from guest memory.
    pub const READ: u32 = 1;
    /// The memory reads as zero from now on (fresh pages); no bytes follow.
    pub const ZEROED: u32 = 2;
}

/// Start of the footer. `chunks` file offsets (u64) of the chunk records and a [`FooterTail`]
/// follow.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FooterHeader {
    /// [`FOOTER_MAGIC`].
    pub magic: [u8; 8],
    /// Number of chunks.
    pub chunks: U64,
    /// Steps retired in the whole run.
    pub total_steps: U64,
    /// How the run ended: one of [`end`], never `NEXT`.
    pub end_kind: U32,
    /// Exit status or fault kind.
    pub end_code: U32,
    /// Bytes that the guest wrote to its standard output and error.
    pub output_len: U64,
    /// SHA-256 of those bytes, in the order of the calls.
    pub output_sha256: [u8; 32],
}

/// End of a complete trace.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FooterTail {
    /// Checksum of the footer before this structure, seeded with that of the file header.
    pub checksum: U64,
    /// File offset of the footer.
    pub footer_offset: U64,
    /// [`TAIL_MAGIC`].
    pub magic: [u8; 8],
}

/// Rounds up to a multiple of 8.
pub const fn pad8(len: u64) -> u64 {
    len.wrapping_add(7) & !7
}

/// Checksum of a run of bytes: XXH3-64.
pub fn checksum(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// Checksum of a run of bytes that depends on what came before: XXH3-64 with a seed.
pub fn checksum_after(seed: u64, bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(bytes, seed)
}

/// Checksum of the file header: of the structure, then of the unpadded argument blob.
pub fn header_checksum(header: &FileHeader, args: &[u8]) -> u64 {
    checksum_after(checksum(header.as_bytes()), args)
}

/// Checksum of a chunk: of the header without its last field, then of the unpadded log, then of
/// the events, each seeded with the one before.
///
/// ```
/// # use hartlog_format::trace::*;
/// # use zerocopy::FromZeros;
/// let header = ChunkHeader::new_zeroed();
/// assert_ne!(chunk_checksum(&header, b"a", b""), chunk_checksum(&header, b"", b"a"));
/// ```
pub fn chunk_checksum(header: &ChunkHeader, log: &[u8], events: &[u8]) -> u64 {
    let bytes = header.as_bytes();
    let head = checksum(&bytes[..bytes.len() - size_of::<U64>()]);
    checksum_after(checksum_after(head, log), events)
}

const _: () = {
    assert!(size_of::<FileHeader>() == 120 && size_of::<FileHeader>().is_multiple_of(8));
    assert!(size_of::<ChunkHeader>() == 344 && size_of::<ChunkHeader>().is_multiple_of(8));
    assert!(size_of::<EventHeader>() == 24 && size_of::<RangeHeader>() == 24);
    assert!(size_of::<FooterHeader>() == 72 && size_of::<FooterTail>() == 24);
};
