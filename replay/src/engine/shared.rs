//! The shared object of a compiled replay: parsed and checked, nothing of it is executed here.

use hartlog_format::contract::{
    CONTRACT_VERSION, FLAG_CHECKED, FLAG_COLUMNS_SHIFT, FLAG_REPLAY, HartState, PROGRAM_MAGIC,
    Program, REPLAY_TABLE_ENTRY, STATE_BIAS, SYMBOL_PROGRAM, TABLE_OFFSET,
};
use hartlog_format::layout::PAGE;
use hartlog_format::witness::{Columns, image};
use object::read::elf::{Dyn, ElfFile64, ProgramHeader, Rela};
use object::{LittleEndian as LE, Object, ObjectSymbol, elf};
use std::mem::offset_of;
use std::ops::Range;

/// Largest address of an object, in bytes.
const MAX_LEN: u64 = image::MAX;

/// Why an object cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// It is not an ELF file that can be read.
    #[error("not an ELF file: {0}")]
    Elf(String),
    /// A property that a compiled replay does not have.
    #[error("{0}")]
    Shape(&'static str),
    /// A field of the descriptor is not what it must be.
    #[error("{field} is {found:#x}, expected {expected:#x}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it must be.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// It belongs to another program.
    #[error("it was compiled from another ELF")]
    OtherElf,
    /// It hands over other columns than are wanted.
    #[error("it was made with --columns {found}, and --columns {wanted} is needed")]
    Columns {
        /// What it hands over.
        found: Columns,
        /// What is wanted.
        wanted: Columns,
    },
}

/// A part of the object that is mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Place in the image.
    pub range: Range<usize>,
    /// Place in the file.
    pub offset: usize,
    pub writable: bool,
    pub executable: bool,
}

/// A checked object. All addresses are relative to the start of the image, which the state block
/// is at.
#[derive(Debug)]
pub(super) struct Shared {
    pub bytes: Vec<u8>,
    pub segments: Vec<Segment>,
    /// Places that hold an address of the image, and which.
    pub relocations: Vec<(usize, u64)>,
    /// Size of the image.
    pub len: usize,
    /// The entry stub.
    pub enter: usize,
    /// The stub that leaves with what is in the state block.
    pub leave: usize,
    /// Guest address of entry 0 of the jump table.
    pub table_base: u64,
    /// Per halfword from there on where its block is; 0 if there is none.
    pub table: Vec<u32>,
    /// Size of the jump table, in bytes.
    pub table_bytes: usize,
}

fn malformed(error: impl std::fmt::Display) -> ObjectError {
    ObjectError::Elf(error.to_string())
}

fn expect(field: &'static str, expected: u64, found: u64) -> Result<(), ObjectError> {
    if expected == found {
        Ok(())
    } else {
        Err(ObjectError::Field {
            field,
            expected,
            found,
        })
    }
}

fn shape(ok: bool, what: &'static str) -> Result<(), ObjectError> {
    if ok {
        Ok(())
    } else {
        Err(ObjectError::Shape(what))
    }
}

impl Shared {
    /// Checks an object for a program and columns.
    pub(super) fn parse(
        bytes: Vec<u8>,
        elf_sha256: &[u8; 32],
        columns: Columns,
    ) -> Result<Shared, ObjectError> {
        let file = ElfFile64::<LE>::parse(bytes.as_slice()).map_err(malformed)?;
        let header = file.elf_header();
        expect(
            "e_machine",
            elf::EM_X86_64.0.into(),
            header.e_machine.get(LE).0.into(),
        )?;
        expect(
            "e_type",
            elf::ET_DYN.0.into(),
            header.e_type.get(LE).0.into(),
        )?;
        let segments = segments(&file, bytes.len())?;
        let relocations = relocations(&file, &segments, &bytes)?;
        let program = file
            .dynamic_symbols()
            .find(|s| s.name() == Ok(SYMBOL_PROGRAM))
            .map(|s| s.address())
            .ok_or(ObjectError::Shape("it has no program descriptor"))?;
        drop(file);
        let last = segments.last().map_or(0, |s| s.range.end);
        let mut shared = Shared {
            bytes,
            segments,
            relocations,
            len: (last as u64).next_multiple_of(PAGE) as usize,
            enter: 0,
            leave: 0,
            table_base: 0,
            table: Vec::new(),
            table_bytes: 0,
        };
        shared.descriptor(program, elf_sha256, columns)?;
        Ok(shared)
    }

    /// Bytes of the image, as the file has them.
    fn at(&self, address: u64, len: usize) -> Option<&[u8]> {
        let address = usize::try_from(address).ok()?;
        let end = address.checked_add(len)?;
        let inside = |s: &&Segment| s.range.start <= address && end <= s.range.end;
        let segment = self.segments.iter().find(inside)?;
        let start = segment.offset + (address - segment.range.start);
        self.bytes.get(start..start + len)
    }

    fn word(&self, address: u64) -> Result<u64, ObjectError> {
        let bytes = self.at(address, 8).and_then(|b| b.try_into().ok());
        let stored = bytes.map(u64::from_le_bytes);
        let relocated = self.relocations.iter().find(|r| r.0 as u64 == address);
        match (relocated, stored) {
            (Some((_, value)), _) => Ok(*value),
            (None, Some(value)) => Ok(value),
            (None, None) => Err(ObjectError::Shape("the descriptor is cut short")),
        }
    }

    fn executable(&self, address: u64) -> Option<usize> {
        let address = usize::try_from(address).ok()?;
        let inside = |s: &Segment| s.executable && s.range.contains(&address);
        self.segments.iter().any(inside).then_some(address)
    }

    /// Checks the descriptor and the jump table.
    fn descriptor(
        &mut self,
        at: u64,
        elf_sha256: &[u8; 32],
        columns: Columns,
    ) -> Result<(), ObjectError> {
        let field = |offset: usize| self.word(at.wrapping_add(offset as u64));
        expect("magic", PROGRAM_MAGIC, field(offset_of!(Program, magic))?)?;
        let version = field(offset_of!(Program, version))?;
        expect("version", CONTRACT_VERSION.into(), version & 0xffff_ffff)?;
        let flags = (version >> 32) as u32 & !FLAG_CHECKED;
        let kind = flags & !(u32::MAX << FLAG_COLUMNS_SHIFT);
        expect("flags", FLAG_REPLAY.into(), kind.into())?;
        match Columns::from_bits((flags >> FLAG_COLUMNS_SHIFT) as u16) {
            Some(found) if found == columns => {}
            Some(found) => {
                return Err(ObjectError::Columns {
                    found,
                    wanted: columns,
                });
            }
            None => return Err(ObjectError::Shape("it has columns that do not exist")),
        }
        let isa = field(offset_of!(Program, isa))?;
        expect("isa", hartlog_format::trace::ISA, isa)?;
        let digest = self.at(at.wrapping_add(offset_of!(Program, elf_sha256) as u64), 32);
        if digest != Some(elf_sha256) {
            return Err(ObjectError::OtherElf);
        }
        expect("state", 0, field(offset_of!(Program, state))?)?;
        let enter = self.executable(field(offset_of!(Program, enter))?);
        let enter = enter.ok_or(ObjectError::Shape("the entry is not in the code"))?;
        let leave = self.executable(field(offset_of!(Program, leave))?);
        let leave = leave.ok_or(ObjectError::Shape("the exit is not in the code"))?;
        let no_entry = self.executable(field(offset_of!(Program, no_entry))?);
        let no_entry = no_entry.ok_or(ObjectError::Shape("the stubs are not in the code"))?;
        let table_base = field(offset_of!(Program, table_base))?;
        let table_len = field(offset_of!(Program, table_len))?;
        let first = self.segments.first();
        let state = first.filter(|s| s.range.start == 0 && s.writable && !s.executable);
        let state_len = state.map_or(0, |s| s.range.end as u64);
        shape(
            state_len >= TABLE_OFFSET && size_of::<HartState>() as u64 <= TABLE_OFFSET,
            "the state block is not at its start",
        )?;
        let room = (state_len - TABLE_OFFSET) / REPLAY_TABLE_ENTRY;
        shape(table_len <= room, "the jump table is cut short")?;
        let table_bytes = (table_len * REPLAY_TABLE_ENTRY) as usize;
        let entries = self.at(TABLE_OFFSET, table_bytes).unwrap_or_default();
        let mut table = Vec::with_capacity(table_len as usize);
        for entry in entries.as_chunks::<4>().0 {
            let target = i64::from(i32::from_le_bytes(*entry)) + i64::from(STATE_BIAS);
            let target = self.executable(target as u64);
            let target = target.ok_or(ObjectError::Shape("a jump leads out of the code"))?;
            table.push(if target == no_entry { 0 } else { target as u32 });
        }
        self.enter = enter;
        self.leave = leave;
        self.table_base = table_base;
        self.table = table;
        self.table_bytes = table_bytes;
        Ok(())
    }

    /// Where the block at a guest pc is.
    #[inline]
    pub(super) fn entry(&self, pc: u64) -> Option<u32> {
        let offset = pc.wrapping_sub(self.table_base);
        let index = usize::try_from(offset / 2).ok()?;
        let target = *self.table.get(index)?;
        (offset.is_multiple_of(2) && target != 0).then_some(target)
    }
}

/// The loadable segments: ascending pages that do not overlap, none writable and executable.
fn segments(file: &ElfFile64<'_, LE>, len: usize) -> Result<Vec<Segment>, ObjectError> {
    let mut out: Vec<Segment> = Vec::new();
    for segment in file.elf_program_headers() {
        if segment.p_type(LE) != elf::PT_LOAD {
            continue;
        }
        let (vaddr, size) = (segment.p_vaddr(LE), segment.p_filesz(LE));
        let offset = segment.p_offset(LE);
        let flags = segment.p_flags(LE);
        let (writable, executable) = (flags.contains(elf::PF_W), flags.contains(elf::PF_X));
        shape(
            !(writable && executable),
            "a segment is writable and executable",
        )?;
        shape(
            segment.p_memsz(LE) == size,
            "a segment has bytes that the file has not",
        )?;
        shape(
            vaddr.is_multiple_of(PAGE) && offset.is_multiple_of(PAGE),
            "a segment does not start on a page",
        )?;
        let end = vaddr.checked_add(size).filter(|end| *end <= MAX_LEN);
        let file_end = offset.checked_add(size).filter(|end| *end <= len as u64);
        let (Some(end), Some(_)) = (end, file_end) else {
            return Err(ObjectError::Shape("a segment is too large"));
        };
        let before = out
            .last()
            .map_or(0, |s| (s.range.end as u64).next_multiple_of(PAGE));
        shape(vaddr >= before && size > 0, "segments overlap")?;
        out.push(Segment {
            range: vaddr as usize..end as usize,
            offset: offset as usize,
            writable,
            executable,
        });
    }
    Ok(out)
}

/// The relocations: places in writable segments that hold an address of the image.
fn relocations(
    file: &ElfFile64<'_, LE>,
    segments: &[Segment],
    bytes: &[u8],
) -> Result<Vec<(usize, u64)>, ObjectError> {
    let (mut at, mut len) = (0, 0);
    for segment in file.elf_program_headers() {
        let dynamic = segment.dynamic(LE, bytes).map_err(malformed)?;
        for entry in dynamic.unwrap_or_default() {
            match entry.d_tag(LE) {
                elf::DT_RELA => at = entry.d_val(LE),
                elf::DT_RELASZ => len = entry.d_val(LE),
                elf::DT_REL | elf::DT_JMPREL | elf::DT_NEEDED | elf::DT_TEXTREL => {
                    return Err(ObjectError::Shape("it needs a dynamic linker"));
                }
                _ => {}
            }
        }
    }
    let inside = |s: &&Segment| s.range.contains(&usize::try_from(at).unwrap_or(usize::MAX));
    let Some(segment) = segments.iter().find(inside).filter(|_| len > 0) else {
        return if len == 0 {
            Ok(Vec::new())
        } else {
            Err(ObjectError::Shape("its relocations are nowhere"))
        };
    };
    let start = segment.offset + (at as usize - segment.range.start);
    let table = usize::try_from(len)
        .ok()
        .and_then(|len| start.checked_add(len));
    let table = table.and_then(|end| bytes.get(start..end));
    let table = table.ok_or(ObjectError::Shape("its relocations are cut short"))?;
    let entries = object::pod::slice_from_all_bytes::<elf::Rela64<LE>>(table);
    let entries = entries.map_err(|()| ObjectError::Shape("its relocations are cut short"))?;
    let mut out = Vec::with_capacity(entries.len());
    for rela in entries {
        expect(
            "relocation type",
            elf::R_X86_64_RELATIVE.0.into(),
            rela.r_type(LE, false).0.into(),
        )?;
        let place = usize::try_from(rela.r_offset(LE)).ok();
        let place = place.filter(|at| {
            let end = at.saturating_add(8);
            let fits = |s: &Segment| s.writable && s.range.start <= *at && end <= s.range.end;
            segments.iter().any(fits)
        });
        let place = place.ok_or(ObjectError::Shape("a relocation is not in its data"))?;
        out.push((place, rela.r_addend(LE) as u64));
    }
    Ok(out)
}
