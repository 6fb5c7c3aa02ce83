//! What can be wrong with an executable.

use crate::MAX_SEGMENTS;
use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use std::ops::Range;
use std::path::PathBuf;

/// Why a file could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not an executable that can be used.
    #[error("{}: {source}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ElfError,
    },
}

/// Why bytes are not an executable that can be used. `offset` is the file offset of the field (or
/// of the structure, where several fields are involved).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The magic number is missing.
    #[error("not an ELF file ({len} bytes, no ELF magic at offset 0)")]
    NotElf {
        /// Bytes in the file.
        len: u64,
    },
    /// The file ends before something that it announces.
    #[error(
        "offset {offset:#x}: {what} of {size:#x} bytes runs over the end of the file ({len:#x})"
    )]
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Its file offset.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// Bytes in the file.
        len: u64,
    },
    /// Not a 64-bit file.
    #[error("offset {offset:#x}: ELF class {found}, only 64-bit (2) is supported")]
    Class {
        /// `EI_CLASS`.
        found: u8,
        /// File offset of the field.
        offset: u64,
    },
    /// Not little-endian.
    #[error("offset {offset:#x}: ELF data encoding {found}, only little-endian (1) is supported")]
    Endianness {
        /// `EI_DATA`.
        found: u8,
        /// File offset of the field.
        offset: u64,
    },
    /// Not RISC-V.
    #[error("offset {offset:#x}: machine {found}, only RISC-V (243) is supported")]
    Machine {
        /// `e_machine`.
        found: u16,
        /// File offset of the field.
        offset: u64,
    },
    /// Not an executable.
    #[error("offset {offset:#x}: ELF type {found}, only executables (2) are supported")]
    Type {
        /// `e_type`.
        found: u16,
        /// File offset of the field.
        offset: u64,
    },
    /// The program is dynamically linked or position-independent.
    #[error(
        "offset {offset:#x}: dynamic linking is not supported: {what}; link with -static -no-pie"
    )]
    Dynamic {
        /// What shows it.
        what: &'static str,
        /// File offset of the field.
        offset: u64,
    },
    /// The program passes arguments in floating-point registers.
    #[error(
        "offset {offset:#x}: e_flags {flags:#x}: floating-point ABI is not supported; \
         compile with -march=rv64imac -mabi=lp64"
    )]
    FloatAbi {
        /// `e_flags`.
        flags: u32,
        /// File offset of the field.
        offset: u64,
    },
    /// The program is for RV64E (16 registers).
    #[error("offset {offset:#x}: e_flags {flags:#x}: the RVE ABI is not supported")]
    EmbeddedAbi {
        /// `e_flags`.
        flags: u32,
        /// File offset of the field.
        offset: u64,
    },
    /// A table has entries of another size.
    #[error("offset {offset:#x}: size of a {what} cannot be {found}")]
    EntrySize {
        /// Which table.
        what: &'static str,
        /// The size.
        found: u16,
        /// File offset of the field.
        offset: u64,
    },
    /// Nothing is to be loaded.
    #[error("offset {offset:#x}: there is no loadable segment")]
    NoSegments {
        /// File offset of `e_phoff`.
        offset: u64,
    },
    /// There are more loadable segments than any linker makes.
    #[error("offset {offset:#x}: more than {MAX_SEGMENTS} loadable segments")]
    TooManySegments {
        /// File offset of the program header that is one too many.
        offset: u64,
    },
    /// No executable segment has bytes.
    #[error("offset {offset:#x}: no loadable segment is executable")]
    NoCode {
        /// File offset of `e_phoff`.
        offset: u64,
    },
    /// A segment has more bytes in the file than in memory.
    #[error(
        "offset {offset:#x}: segment has {file_size:#x} bytes in the file, {mem_size:#x} in memory"
    )]
    FileSize {
        /// `p_filesz`.
        file_size: u64,
        /// `p_memsz`.
        mem_size: u64,
        /// File offset of `p_filesz`.
        offset: u64,
    },
    /// A segment is too low.
    #[error(
        "offset {offset:#x}: segment at {vaddr:#x} is below {GUEST_MIN:#x}, the lowest address that can be mapped"
    )]
    BelowWindow {
        /// `p_vaddr`.
        vaddr: u64,
        /// File offset of the field.
        offset: u64,
    },
    /// A segment is too high.
    #[error(
        "offset {offset:#x}: segment at {vaddr:#x} of {mem_size:#x} bytes ends above {GUEST_END:#x}"
    )]
    AboveWindow {
        /// `p_vaddr`.
        vaddr: u64,
        /// `p_memsz`.
        mem_size: u64,
        /// File offset of `p_vaddr`.
        offset: u64,
    },
    /// Two segments share addresses.
    #[error(
        "offset {offset:#x}: segment {:#x}..{:#x} overlaps segment {:#x}..{:#x} (offset {first_offset:#x})",
        second.start, second.end, first.start, first.end
    )]
    Overlap {
        /// Addresses of the lower one.
        first: Range<u64>,
        /// Addresses of the higher one.
        second: Range<u64>,
        /// File offset of the lower one's program header.
        first_offset: u64,
        /// File offset of the higher one's program header.
        offset: u64,
    },
    /// Segments hold the same bytes of the file, again and again.
    #[error(
        "offset {offset:#x}: segments hold {total:#x} bytes of a file of {len:#x}: more than twice"
    )]
    SharedBytes {
        /// File bytes of all segments.
        total: u64,
        /// Bytes in the file.
        len: u64,
        /// File offset of the program headers.
        offset: u64,
    },
    /// Instructions at odd addresses.
    #[error("offset {offset:#x}: executable segment at odd address {vaddr:#x}")]
    CodeMisaligned {
        /// `p_vaddr`.
        vaddr: u64,
        /// File offset of the field.
        offset: u64,
    },
    /// The entry is odd.
    #[error("offset {offset:#x}: entry {entry:#x} is odd")]
    EntryMisaligned {
        /// `e_entry`.
        entry: u64,
        /// File offset of the field.
        offset: u64,
    },
    /// The entry is not in the bytes of an executable segment.
    #[error("offset {offset:#x}: entry {entry:#x} is not in an executable segment")]
    EntryNotExecutable {
        /// `e_entry`.
        entry: u64,
        /// File offset of the field.
        offset: u64,
    },
}

/// Something odd that does no harm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Warning {
    /// Address and file offset disagree modulo the alignment; a kernel would not load this.
    #[error("offset {offset:#x}: segment at {vaddr:#x} is not aligned in the file to {align:#x}")]
    Alignment {
        /// `p_vaddr`.
        vaddr: u64,
        /// `p_align`.
        align: u64,
        /// File offset of `p_offset`.
        offset: u64,
    },
    /// Symbols without a usable name.
    #[error("offset {offset:#x}: {count} symbols have no valid name and are ignored")]
    SymbolNames {
        /// How many.
        count: u64,
        /// File offset of the symbol table.
        offset: u64,
    },
}
