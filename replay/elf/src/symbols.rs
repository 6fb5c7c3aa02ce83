//! Functions of the symbol table.

use crate::{Elf, ElfError, Segment, Warning, field, within};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader as _, SectionHeader as _, Sym as _};
use std::fmt;
use std::ops::Range;

/// Longest name that is used, in bytes.
const MAX_NAME: usize = 4096;

/// All names together are at most so many times as long as the string table, and [`MORE_NAMES`].
/// Names share bytes: those of static functions of many files often are one string.
const NAMES_PER_STRING: usize = 16;
const MORE_NAMES: usize = 1 << 20;

/// A function or a label in code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Guest address.
    pub addr: u64,
    /// Size in bytes; 0 = unknown, up to the next symbol.
    pub size: u64,
    /// Whether it is marked as a function (STT_FUNC); otherwise it is a label, as assembly has.
    pub function: bool,
    /// Where the name is in the file; see [`Elf::name`].
    pub name: Range<usize>,
}

/// An address and the symbol before it, for messages: `0x10234 <main+0x14>`.
#[derive(Clone, Debug)]
pub struct Location<'a> {
    /// The address.
    pub addr: u64,
    /// Name of the symbol and distance from it.
    pub symbol: Option<(std::borrow::Cow<'a, str>, u64)>,
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.addr)?;
        match &self.symbol {
            Some((name, 0)) => write!(f, " <{name}>"),
            Some((name, offset)) => write!(f, " <{name}+{offset:#x}>"),
            None => Ok(()),
        }
    }
}

pub(crate) fn locate(elf: &Elf, addr: u64) -> Location<'_> {
    let after = elf.symbols.partition_point(|s| s.addr <= addr);
    let symbol = after.checked_sub(1).and_then(|i| {
        let symbol = elf.symbols.get(i)?;
        let offset = addr - symbol.addr;
        // A symbol names only its own bytes, if it says how many.
        let inside = symbol.size == 0 || offset < symbol.size;
        inside.then(|| (elf.name(symbol), offset))
    });
    Location { addr, symbol }
}

pub(crate) fn read(
    bytes: &[u8],
    header: &FileHeader64<LE>,
    sections: &[SectionHeader64<LE>],
    segments: &[Segment],
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Symbol>, ElfError> {
    let Some(index) = sections
        .iter()
        .position(|s| s.sh_type(LE) == elf::SHT_SYMTAB)
    else {
        return Ok(Vec::new());
    };
    let table = &sections[index];
    let header_offset = header.e_shoff(LE) + index as u64 * field::SHDR_BYTES;
    within(
        bytes,
        "symbol table",
        table.sh_offset(LE),
        Some(table.sh_size(LE)),
    )?;
    if table.sh_entsize(LE) != size_of::<Sym64<LE>>() as u64 {
        return Err(ElfError::EntrySize {
            what: "symbol",
            found: table.sh_entsize(LE).min(u16::MAX.into()) as u16,
            offset: header_offset,
        });
    }
    let strings = match sections.get(table.sh_link(LE) as usize) {
        Some(s) if s.sh_type(LE) == elf::SHT_STRTAB => {
            let (offset, size) = (s.sh_offset(LE), s.sh_size(LE));
            within(bytes, "string table", offset, Some(size))?;
            offset as usize..(offset + size) as usize
        }
        _ => 0..0,
    };
    let start = table.sh_offset(LE) as usize;
    let count = table.sh_size(LE) as usize / size_of::<Sym64<LE>>();
    let raw = bytes.get(start..).unwrap_or_default();
    let (entries, _) = object::pod::slice_from_bytes::<Sym64<LE>>(raw, count).unwrap_or_default();

    let mut nameless = 0;
    let mut room = NAMES_PER_STRING * strings.len() + MORE_NAMES;
    let mut symbols = Vec::new();
    for entry in entries {
        let Some(candidate) = candidate(entry, segments) else {
            continue;
        };
        match name(bytes, &strings, entry.st_name(LE)) {
            Some(name) if is_label(&bytes[name.clone()]) => {
                let Some(left) = room.checked_sub(name.len()) else {
                    nameless += 1;
                    continue;
                };
                room = left;
                symbols.push((
                    Symbol { name, ..candidate },
                    u8::from(entry.st_bind() != elf::STB_GLOBAL),
                ));
            }
            Some(_) => {}
            None => nameless += 1,
        }
    }
    if nameless > 0 {
        warnings.push(Warning::SymbolNames {
            count: nameless,
            offset: table.sh_offset(LE),
        });
    }
    Ok(deduplicate(bytes, symbols))
}

/// A defined function or label inside code, its name still missing.
fn candidate(entry: &Sym64<LE>, segments: &[Segment]) -> Option<Symbol> {
    let kind = entry.st_type();
    let function = kind == elf::STT_FUNC;
    if !(function || kind == elf::STT_NOTYPE) || entry.st_shndx(LE) == elf::SHN_UNDEF {
        return None;
    }
    let addr = entry.st_value(LE);
    let after = segments.partition_point(|s| s.vaddr <= addr);
    let segment = segments.get(after.checked_sub(1)?)?;
    let code_end = segment.vaddr + segment.data.len() as u64;
    (segment.executable && addr < code_end && addr & 1 == 0).then_some(Symbol {
        addr,
        size: entry.st_size(LE),
        function,
        name: 0..0,
    })
}

fn name(bytes: &[u8], strings: &Range<usize>, offset: u32) -> Option<Range<usize>> {
    let start = strings.start.checked_add(offset as usize)?;
    let end = strings.end.min(start.checked_add(MAX_NAME)?);
    let len = bytes.get(start..end)?.iter().position(|b| *b == 0)?;
    Some(start..start + len)
}

/// Mapping symbols (`$x`, `$d`, psABI) and the assembler's own labels name nothing.
fn is_label(name: &[u8]) -> bool {
    !name.is_empty() && !name.starts_with(b"$") && !name.starts_with(b".L")
}

/// One symbol per address: functions before labels, those with a size first, then global ones,
/// then the first name in the alphabet, so that the choice does not depend on the order.
fn deduplicate(bytes: &[u8], mut symbols: Vec<(Symbol, u8)>) -> Vec<Symbol> {
    symbols.sort_by(|(a, a_local), (b, b_local)| {
        let rank = |s: &Symbol, local: u8| (s.addr, !s.function, s.size == 0, local);
        rank(a, *a_local)
            .cmp(&rank(b, *b_local))
            .then_with(|| bytes[a.name.clone()].cmp(&bytes[b.name.clone()]))
    });
    symbols.dedup_by_key(|(s, _)| s.addr);
    symbols.into_iter().map(|(s, _)| s).collect()
}
