//! Relocations, many at once.
//!
//! faerie looks names up for each relocation, several times over. It gets one for each section that
//! has any, and with it makes the section that holds them; the records are filled in here.

use faerie::{Artifact, ArtifactError, Link, Reloc};
use object::elf::{FileHeader64, Rela64, SHT_RELA, SHT_SYMTAB, STT_SECTION, SectionHeader64};
use object::endian::{I64, LittleEndian as LE, U64};
use object::pod::{bytes_of, bytes_of_slice};
use object::read::elf::{FileHeader, SectionHeader};
use std::collections::HashMap;
use std::mem::offset_of;

/// What is wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Read(#[from] object::read::Error),
    #[error("relocations of an unknown section")]
    Alien,
}

/// A definition of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(u32);

/// A reference to a definition.
#[derive(Clone, Copy, Debug)]
pub struct Relocation {
    /// Offset of what is filled in.
    pub at: u64,
    /// What it refers to.
    pub to: Id,
    /// Type (psABI x86-64, table 4.9).
    pub kind: u32,
    /// Addend.
    pub addend: i64,
}

struct Definition {
    name: String,
    relocations: Vec<Relocation>,
}

/// The definitions of an object and what they refer to.
#[derive(Default)]
pub struct Relocations {
    definitions: Vec<Definition>,
}

impl Relocations {
    /// Adds a definition.
    pub fn declare(&mut self, name: &str) -> Id {
        self.definitions.push(Definition {
            name: name.to_owned(),
            relocations: Vec::new(),
        });
        Id(self.definitions.len() as u32 - 1)
    }

    /// Makes room for references of a definition.
    pub fn reserve(&mut self, from: Id, count: usize) {
        self.definitions[from.0 as usize].relocations.reserve(count);
    }

    /// Name of a definition.
    pub fn name(&self, id: Id) -> &str {
        &self.definitions[id.0 as usize].name
    }

    /// Adds a reference; the first one of a definition goes to faerie, too.
    ///
    /// # Errors
    /// Those of [`Artifact::link_with`].
    pub fn push(
        &mut self,
        artifact: &mut Artifact,
        from: Id,
        relocation: Relocation,
    ) -> Result<(), ArtifactError> {
        if self.definitions[from.0 as usize].relocations.is_empty() {
            let link = Link {
                from: self.name(from),
                to: self.name(relocation.to),
                at: relocation.at,
            };
            let reloc = Reloc::Raw {
                reloc: relocation.kind,
                addend: 0,
            };
            artifact.link_with(link, reloc)?;
        }
        self.definitions[from.0 as usize]
            .relocations
            .push(relocation);
        Ok(())
    }

    /// Puts all references into an object that has one of each definition that has any.
    ///
    /// # Errors
    /// Where the object is not as faerie writes it.
    pub fn fill(&self, object: &mut Vec<u8>) -> Result<(), Error> {
        let header = FileHeader64::<LE>::parse(object.as_slice())?;
        let sections = header.sections(LE, object.as_slice())?;
        let symbols = sections.symbols(LE, object.as_slice(), SHT_SYMTAB)?;
        let ids: HashMap<&[u8], usize> = (self.definitions.iter())
            .map(|d| d.name.as_bytes())
            .zip(0..)
            .collect();
        // Relocations refer to the symbol of a section.
        let mut section_symbols = vec![0u64; sections.len()];
        let mut section_of = vec![0usize; self.definitions.len()];
        let mut definition_in = vec![None; sections.len()];
        for (i, symbol) in symbols.enumerate() {
            let Some(section) = symbols.symbol_section(LE, symbol, i)? else {
                continue;
            };
            if symbol.st_type() == STT_SECTION {
                section_symbols[section.0] = i.0 as u64;
            } else if let Some(id) = ids.get(symbols.symbol_name(LE, symbol)?) {
                section_of[*id] = section.0;
                definition_in[section.0] = self.definitions.get(*id);
            }
        }
        // The records are the last but for the headers of the sections, in the order of these.
        let mut headers: Vec<SectionHeader64<LE>> = sections.iter().copied().collect();
        let tables = headers.iter_mut().filter(|h| h.sh_type(LE) == SHT_RELA);
        let mut tables = tables.peekable();
        let Some(first) = tables.peek() else {
            return Ok(());
        };
        let start = first.sh_offset(LE);
        let mut records: Vec<Rela64<LE>> = Vec::with_capacity(self.len());
        for table in tables {
            let of = definition_in.get(table.sh_info(LE) as usize);
            let definition = of.copied().flatten().ok_or(Error::Alien)?;
            let bytes = |records: usize| (records * size_of::<Rela64<LE>>()) as u64;
            table.sh_offset.set(LE, start + bytes(records.len()));
            table.sh_size.set(LE, bytes(definition.relocations.len()));
            records.extend(definition.relocations.iter().map(|r| {
                let symbol = section_symbols[section_of[r.to.0 as usize]];
                Rela64 {
                    r_offset: U64::new(LE, r.at),
                    r_info: U64::new(LE, symbol << 32 | u64::from(r.kind)),
                    r_addend: I64::new(LE, r.addend),
                }
            }));
        }
        object.truncate(start as usize);
        object.reserve(size_of_val(&records[..]) + size_of_val(&headers[..]));
        object.extend_from_slice(bytes_of_slice(&records));
        let headers_at = U64::new(LE, object.len() as u64);
        object.extend_from_slice(bytes_of_slice(&headers));
        let at = offset_of!(FileHeader64<LE>, e_shoff);
        object[at..at + 8].copy_from_slice(bytes_of(&headers_at));
        Ok(())
    }

    fn len(&self) -> usize {
        self.definitions.iter().map(|d| d.relocations.len()).sum()
    }
}
