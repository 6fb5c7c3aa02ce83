//! Loads a static RV64 ELF executable: segments, functions, entry, digest.
//!
//! Compiler, checker and reference interpreter use this one loader, so they agree on what is
//! code: the file bytes of executable segments ([`Elf::code`]). Nothing of a file is trusted;
//! every error names the file offset of the field that is wrong.

#![forbid(unsafe_code)]

mod error;
mod symbols;

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::Path;

pub use error::{ElfError, LoadError, Warning};
pub use symbols::{Location, Symbol};

use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use sha2::Digest as _;

/// Offsets of fields in `Elf64_Ehdr` (gABI chapter 4) and in a program header (chapter 5), for
/// messages.
mod field {
    pub(crate) const CLASS: u64 = 4;
    pub(crate) const DATA: u64 = 5;
    pub(crate) const TYPE: u64 = 16;
    pub(crate) const MACHINE: u64 = 18;
    pub(crate) const ENTRY: u64 = 24;
    pub(crate) const PHOFF: u64 = 32;
    pub(crate) const FLAGS: u64 = 48;
    pub(crate) const PHENTSIZE: u64 = 54;
    pub(crate) const SHENTSIZE: u64 = 58;
    pub(crate) const EHDR_BYTES: u64 = 64;
    pub(crate) const PHDR_BYTES: u64 = 56;
    pub(crate) const SHDR_BYTES: u64 = 64;
    pub(crate) const P_OFFSET: u64 = 8;
    pub(crate) const P_VADDR: u64 = 16;
    pub(crate) const P_FILESZ: u64 = 32;
}

/// Most loadable segments of an executable.
pub const MAX_SEGMENTS: usize = 256;

/// A loadable segment that takes memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Guest address of the first byte.
    pub vaddr: u64,
    /// Bytes in memory (not 0); those after the file bytes are zero.
    pub mem_size: u64,
    /// PF_X: the pc may be in the file bytes.
    pub executable: bool,
    /// PF_W: stores may go here.
    pub writable: bool,
    /// Where the file bytes are in the file.
    pub data: Range<usize>,
    /// File offset of the program header.
    pub header_offset: u64,
}

impl Segment {
    /// One past the last address.
    pub fn end(&self) -> u64 {
        self.vaddr + self.mem_size
    }
}

/// Instruction bytes: the file bytes of an executable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code<'a> {
    /// Guest address of the first byte.
    pub vaddr: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Code<'_> {
    /// One past the last address.
    pub fn end(&self) -> u64 {
        self.vaddr + self.bytes.len() as u64
    }
}

/// A loaded executable.
#[derive(Clone, Debug)]
pub struct Elf {
    /// pc of the first instruction; inside [`Elf::code`].
    pub entry: u64,
    /// Ascending by address, disjoint, inside the guest's window.
    pub segments: Vec<Segment>,
    /// Functions and code labels, ascending by address, one per address.
    pub symbols: Vec<Symbol>,
    /// Parts of [`Elf::code`] that sections mark as instructions, ascending and disjoint. Empty
    /// when the file has no sections. The rest may be read-only data (or code all the same).
    pub text: Vec<Range<u64>>,
    /// `e_flags`.
    pub flags: u32,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
    /// What is odd about the file without being an error.
    pub warnings: Vec<Warning>,
    bytes: Vec<u8>,
}

/// The bytes of a file; of a pipe or device only if it begins as an ELF file, and not without end.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    const MOST: u64 = 1 << 32;
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    let mut first = (&mut file).take(elf::ELFMAG.len() as u64);
    first.read_to_end(&mut bytes)?;
    if bytes == elf::ELFMAG && file.take(MOST).read_to_end(&mut bytes)? as u64 == MOST {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

impl Elf {
    /// Reads and loads a file.
    ///
    /// # Errors
    /// [`LoadError`], with the path.
    pub fn open(path: &Path) -> Result<Elf, LoadError> {
        let bytes = read(path).map_err(|source| LoadError::Io {
            path: path.to_owned(),
            source,
        })?;
        Elf::parse(bytes).map_err(|source| LoadError::Elf {
            path: path.to_owned(),
            source,
        })
    }

    /// Loads an executable from the bytes of its file.
    ///
    /// # Errors
    /// [`ElfError`] when it is not a static RV64 executable without floating-point ABI that fits
    /// the guest's window.
    pub fn parse(bytes: Vec<u8>) -> Result<Elf, ElfError> {
        let header = file_header(&bytes)?;
        let program_headers = program_headers(&bytes, header)?;
        let mut warnings = Vec::new();
        let segments = segments(&bytes, header, program_headers, &mut warnings)?;
        let sections = section_headers(&bytes, header)?;
        let symbols = symbols::read(&bytes, header, sections, &segments, &mut warnings)?;
        let mut elf = Elf {
            entry: header.e_entry(LE),
            segments,
            symbols,
            text: Vec::new(),
            flags: header.e_flags(LE).0,
            sha256: sha2::Sha256::digest(&bytes).into(),
            warnings,
            bytes: Vec::new(),
        };
        elf.text = text(&elf.segments, sections);
        elf.bytes = bytes;
        elf.check_entry()?;
        Ok(elf)
    }

    /// File bytes of a segment.
    pub fn data(&self, segment: &Segment) -> &[u8] {
        // The range was checked when the segment was read.
        self.bytes.get(segment.data.clone()).unwrap_or_default()
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the pc may be, ascending by address. An instruction lies in one of these; it does not
    /// run over into the next.
    pub fn code(&self) -> impl Iterator<Item = Code<'_>> + Clone {
        self.segments
            .iter()
            .filter(|s| s.executable && !s.data.is_empty())
            .map(|s| Code {
                vaddr: s.vaddr,
                bytes: self.data(s),
            })
    }

    /// Instruction bytes from `pc` to the end of their segment; `None` where the pc may not be.
    pub fn code_at(&self, pc: u64) -> Option<&[u8]> {
        self.code().find_map(|code| {
            let offset = pc.checked_sub(code.vaddr)?;
            let rest = code.bytes.get(usize::try_from(offset).ok()?..)?;
            (!rest.is_empty()).then_some(rest)
        })
    }

    /// Whether `e_flags` allow compressed instructions (EF_RISCV_RVC, psABI).
    pub fn compressed(&self) -> bool {
        self.flags & elf::EF_RISCV_RVC.0 != 0
    }

    /// The address with the function that it is in, for messages.
    pub fn locate(&self, addr: u64) -> Location<'_> {
        symbols::locate(self, addr)
    }

    /// Name of a symbol, with replacement characters where it is not UTF-8, and for control
    /// characters: names are printed, and a terminal must not take them for more than names.
    pub fn name(&self, symbol: &Symbol) -> std::borrow::Cow<'_, str> {
        let bytes = self.bytes.get(symbol.name.clone()).unwrap_or_default();
        let name = String::from_utf8_lossy(bytes);
        if name.contains(char::is_control) {
            name.replace(char::is_control, "\u{fffd}").into()
        } else {
            name
        }
    }

    fn check_entry(&self) -> Result<(), ElfError> {
        let entry = self.entry;
        if entry & 1 != 0 {
            return Err(ElfError::EntryMisaligned {
                entry,
                offset: field::ENTRY,
            });
        }
        if self.code().next().is_none() {
            return Err(ElfError::NoCode {
                offset: field::PHOFF,
            });
        }
        if self.code_at(entry).is_none() {
            return Err(ElfError::EntryNotExecutable {
                entry,
                offset: field::ENTRY,
            });
        }
        Ok(())
    }
}

fn file_header(bytes: &[u8]) -> Result<&FileHeader64<LE>, ElfError> {
    let len = bytes.len() as u64;
    let ident = |at: u64| bytes.get(at as usize).copied();
    if !bytes.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf { len });
    }
    if let Some(found) = ident(field::CLASS).filter(|c| *c != elf::ELFCLASS64.0) {
        let offset = field::CLASS;
        return Err(ElfError::Class { found, offset });
    }
    if let Some(found) = ident(field::DATA).filter(|c| *c != elf::ELFDATA2LSB.0) {
        let offset = field::DATA;
        return Err(ElfError::Endianness { found, offset });
    }
    let (header, _) =
        object::pod::from_bytes::<FileHeader64<LE>>(bytes).map_err(|()| ElfError::Truncated {
            what: "file header",
            offset: 0,
            size: field::EHDR_BYTES,
            len,
        })?;
    let machine = header.e_machine(LE);
    if machine != elf::EM_RISCV {
        return Err(ElfError::Machine {
            found: machine.0,
            offset: field::MACHINE,
        });
    }
    match header.e_type(LE) {
        elf::ET_EXEC => {}
        elf::ET_DYN => {
            return Err(ElfError::Dynamic {
                what: "type is ET_DYN",
                offset: field::TYPE,
            });
        }
        other => {
            return Err(ElfError::Type {
                found: other.0,
                offset: field::TYPE,
            });
        }
    }
    let (flags, offset) = (header.e_flags(LE).0, field::FLAGS);
    if flags & elf::EF_RISCV_FLOAT_ABI != 0 {
        return Err(ElfError::FloatAbi { flags, offset });
    }
    if flags & elf::EF_RISCV_RVE.0 != 0 {
        return Err(ElfError::EmbeddedAbi { flags, offset });
    }
    Ok(header)
}

/// Whether a table or segment lies in the file.
fn within(
    bytes: &[u8],
    what: &'static str,
    offset: u64,
    size: Option<u64>,
) -> Result<(), ElfError> {
    let len = bytes.len() as u64;
    match size.and_then(|s| offset.checked_add(s)) {
        Some(end) if end <= len => Ok(()),
        _ => Err(ElfError::Truncated {
            what,
            offset,
            size: size.unwrap_or(u64::MAX),
            len,
        }),
    }
}

fn program_headers<'a>(
    bytes: &'a [u8],
    header: &FileHeader64<LE>,
) -> Result<&'a [ProgramHeader64<LE>], ElfError> {
    let offset = header.e_phoff(LE);
    let count = header.phnum(LE, bytes).unwrap_or(u32::MAX);
    if offset == 0 || count == 0 {
        return Err(ElfError::NoSegments {
            offset: field::PHOFF,
        });
    }
    let size = header.e_phentsize(LE);
    if u64::from(size) != field::PHDR_BYTES {
        return Err(ElfError::EntrySize {
            what: "program header",
            found: size,
            offset: field::PHENTSIZE,
        });
    }
    let total = u64::from(count).checked_mul(field::PHDR_BYTES);
    within(bytes, "program headers", offset, total)?;
    header
        .program_headers(LE, bytes)
        .map_err(|_| ElfError::NoSegments {
            offset: field::PHOFF,
        })
}

fn section_headers<'a>(
    bytes: &'a [u8],
    header: &FileHeader64<LE>,
) -> Result<&'a [SectionHeader64<LE>], ElfError> {
    let offset = header.e_shoff(LE);
    if offset == 0 {
        return Ok(&[]);
    }
    let size = header.e_shentsize(LE);
    if u64::from(size) != field::SHDR_BYTES {
        return Err(ElfError::EntrySize {
            what: "section header",
            found: size,
            offset: field::SHENTSIZE,
        });
    }
    // Section 0 holds the count when it does not fit the field.
    within(bytes, "section headers", offset, Some(field::SHDR_BYTES))?;
    let count = header.shnum(LE, bytes).unwrap_or(u32::MAX);
    let total = u64::from(count).checked_mul(field::SHDR_BYTES);
    within(bytes, "section headers", offset, total)?;
    Ok(header.section_headers(LE, bytes).unwrap_or_default())
}

fn segments(
    bytes: &[u8],
    header: &FileHeader64<LE>,
    headers: &[ProgramHeader64<LE>],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Segment>, ElfError> {
    let mut segments = Vec::new();
    let table = header.e_phoff(LE);
    for (i, ph) in headers.iter().enumerate() {
        let header_offset = table + i as u64 * field::PHDR_BYTES;
        let kind = ph.p_type(LE);
        let dynamic = match kind {
            elf::PT_INTERP => Some("it has an interpreter (PT_INTERP)"),
            elf::PT_DYNAMIC => Some("it has a dynamic section (PT_DYNAMIC)"),
            _ => None,
        };
        if let Some(what) = dynamic {
            let offset = header_offset;
            return Err(ElfError::Dynamic { what, offset });
        }
        if kind != elf::PT_LOAD || ph.p_memsz(LE) == 0 {
            continue;
        }
        if segments.len() == MAX_SEGMENTS {
            let offset = header_offset;
            return Err(ElfError::TooManySegments { offset });
        }
        segments.push(segment(bytes, ph, header_offset, warnings)?);
    }
    if segments.is_empty() {
        return Err(ElfError::NoSegments {
            offset: field::PHOFF,
        });
    }
    // Segments may share a page of the file. If they shared more, a small file would be a large
    // program.
    let total: u64 = segments.iter().map(|s| s.data.len() as u64).sum();
    let len = bytes.len() as u64;
    if total > 2 * len {
        let offset = table;
        return Err(ElfError::SharedBytes { total, len, offset });
    }
    segments.sort_by_key(|s| s.vaddr);
    for pair in segments.windows(2) {
        if let [a, b] = pair
            && a.end() > b.vaddr
        {
            return Err(ElfError::Overlap {
                first: a.vaddr..a.end(),
                second: b.vaddr..b.end(),
                first_offset: a.header_offset,
                offset: b.header_offset,
            });
        }
    }
    Ok(segments)
}

fn segment(
    bytes: &[u8],
    ph: &ProgramHeader64<LE>,
    header_offset: u64,
    warnings: &mut Vec<Warning>,
) -> Result<Segment, ElfError> {
    let (vaddr, mem_size) = (ph.p_vaddr(LE), ph.p_memsz(LE));
    let (file_offset, file_size) = (ph.p_offset(LE), ph.p_filesz(LE));
    let vaddr_at = header_offset + field::P_VADDR;
    if file_size > mem_size {
        return Err(ElfError::FileSize {
            file_size,
            mem_size,
            offset: header_offset + field::P_FILESZ,
        });
    }
    if vaddr < GUEST_MIN {
        return Err(ElfError::BelowWindow {
            vaddr,
            offset: vaddr_at,
        });
    }
    if vaddr.checked_add(mem_size).is_none_or(|e| e > GUEST_END) {
        return Err(ElfError::AboveWindow {
            vaddr,
            mem_size,
            offset: vaddr_at,
        });
    }
    // A segment without file bytes may have any offset.
    if file_size > 0 {
        within(bytes, "segment", file_offset, Some(file_size))?;
    }
    let align = ph.p_align(LE);
    if align > 1 && (!align.is_power_of_two() || vaddr % align != file_offset % align) {
        warnings.push(Warning::Alignment {
            vaddr,
            align,
            offset: header_offset + field::P_OFFSET,
        });
    }
    let flags = ph.p_flags(LE).0;
    let executable = flags & elf::PF_X.0 != 0;
    if executable && vaddr & 1 != 0 && file_size > 0 {
        return Err(ElfError::CodeMisaligned {
            vaddr,
            offset: vaddr_at,
        });
    }
    let data = if file_size > 0 {
        file_offset as usize..(file_offset + file_size) as usize
    } else {
        0..0
    };
    Ok(Segment {
        vaddr,
        mem_size,
        executable,
        writable: flags & elf::PF_W.0 != 0,
        data,
        header_offset,
    })
}

/// Parts of the code that executable sections cover.
fn text(segments: &[Segment], sections: &[SectionHeader64<LE>]) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    let wanted = (elf::SHF_ALLOC | elf::SHF_EXECINSTR).0;
    for section in sections {
        let flags = section.sh_flags(LE).0;
        if flags & wanted != wanted || section.sh_type(LE) == elf::SHT_NOBITS {
            continue;
        }
        let start = section.sh_addr(LE);
        let end = start.saturating_add(section.sh_size(LE));
        if start < end {
            ranges.push(start..end);
        }
    }
    // Merged first: however many sections lie over the same segments, each part is there once.
    // Parts of adjacent segments stay two: an instruction does not run over from one to another.
    let ranges = merged(ranges);
    let mut parts = Vec::new();
    for s in segments.iter().filter(|s| s.executable) {
        let code = s.vaddr..s.vaddr + s.data.len() as u64;
        let first = ranges.partition_point(|r| r.end <= code.start);
        let overlapping = ranges.get(first..).unwrap_or_default();
        parts.extend(
            overlapping
                .iter()
                .take_while(|r| r.start < code.end)
                .map(|r| r.start.max(code.start)..r.end.min(code.end)),
        );
    }
    parts
}

/// Ascending and disjoint.
fn merged(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => merged.push(range),
        }
    }
    merged
}
