//! The object file: definitions, jump table, descriptor and tables, written with faerie.
//!
//! | section | contents |
//! |---|---|
//! | `.text.__hartlog_stubs` | entry and exit |
//! | `.text.guest.NAME` | host code of a guest function |
//! | `.data.__hartlog_state` | state block, and from the next page on the jump table |
//! | `.rodata.__hartlog_program` | descriptor, see `hartlog_format::contract::Program` |
//! | `.rodata.__hartlog_*` | segments, code ranges, fault sites, symbols |

use crate::codegen::{Code, Table};
use crate::relocations::{Id, Relocation, Relocations};
use crate::{Error, Mode, Options};
use faerie::{ArtifactBuilder, Decl};
use hartlog_elf::Elf;
use hartlog_format::contract::{self, SYMBOL_PROGRAM, SYMBOL_STATE, TABLE_OFFSET};
use hartlog_format::layout::{HOST_BASE, PAGE};
use std::mem::offset_of;
use templates::emit::{Dest, Stub};

/// Relocation types (psABI x86-64, table 4.9).
const R_X86_64_64: u32 = 1;
const R_X86_64_PC32: u32 = 2;

const STUBS: &str = "__hartlog_stubs";

/// What refers to other definitions, or is referred to, by name.
struct Parts {
    stubs: Id,
    state: Id,
    program: Id,
    segments: Id,
    ranges: Id,
    sites: Id,
    symbols: Id,
    names: Id,
}

struct Writer {
    artifact: faerie::Artifact,
    relocations: Relocations,
}

fn error(e: impl std::fmt::Display) -> Error {
    Error::Object(e.to_string())
}

impl Writer {
    fn declare(&mut self, name: &str, decl: impl Into<Decl>) -> Result<Id, Error> {
        self.artifact.declare(name, decl).map_err(error)?;
        Ok(self.relocations.declare(name))
    }

    fn define(&mut self, id: Id, data: Vec<u8>) -> Result<(), Error> {
        let name = self.relocations.name(id);
        self.artifact.define(name, data).map_err(error)
    }

    fn link(&mut self, from: Id, at: u64, to: Id, kind: u32, addend: i64) -> Result<(), Error> {
        if i32::try_from(addend).is_err() {
            let to = self.relocations.name(to);
            return Err(Error::Object(format!("{to} is too large to refer into")));
        }
        let relocation = Relocation {
            at,
            to,
            kind,
            addend,
        };
        self.relocations
            .push(&mut self.artifact, from, relocation)
            .map_err(error)
    }
}

/// Writes the object of a translation. Deterministic: the same input gives the same bytes. The
/// code moves to the object, unless a listing is wanted.
///
/// # Errors
/// [`Error::Object`] when a part is too large for its relocations.
pub fn write(elf: &Elf, code: &mut Code, options: &Options) -> Result<Vec<u8>, Error> {
    let triple = "x86_64-unknown-linux-gnu".parse().map_err(error)?;
    let artifact = ArtifactBuilder::new(triple)
        .name("hartlog.o".to_owned())
        .finish();
    let mut w = Writer {
        artifact,
        relocations: Relocations::default(),
    };

    let stubs = w.declare(STUBS, Decl::function().global().with_align(Some(64)))?;
    let functions = (code.definitions.iter())
        .map(|d| w.declare(&d.name, Decl::function().local().with_align(Some(16))))
        .collect::<Result<Vec<Id>, Error>>()?;
    let state = w.declare(
        SYMBOL_STATE,
        Decl::data().global().writable().with_align(Some(PAGE)),
    )?;
    let mut table = |name| w.declare(name, Decl::data().global().with_align(Some(16)));
    let parts = Parts {
        stubs,
        state,
        program: table(SYMBOL_PROGRAM)?,
        segments: table("__hartlog_segments")?,
        ranges: table("__hartlog_ranges")?,
        sites: table("__hartlog_sites")?,
        symbols: table("__hartlog_symbols")?,
        names: table("__hartlog_names")?,
    };

    w.define(parts.stubs, code.stubs.code.clone())?;
    for (from, d) in functions.iter().zip(&code.definitions) {
        for jump in &d.jumps {
            let (to, offset) = match jump.dest {
                Dest::Stub(Stub::ChunkEnd) => (parts.stubs, code.stubs.chunk_end),
                Dest::Stub(Stub::Jump) => (parts.stubs, code.stubs.jump),
                Dest::Stub(Stub::Far) => (parts.stubs, code.stubs.far),
                Dest::Stub(Stub::Ecall) => (parts.stubs, code.stubs.ecall),
                Dest::Stub(Stub::Address) => (parts.stubs, code.stubs.address),
                Dest::Stub(Stub::Mismatch) => (parts.stubs, code.stubs.mismatch),
                dest => match code.place(dest) {
                    Some((other, offset)) => (functions[other], offset),
                    None => return Err(Error::Object(format!("no block for {dest:x?}"))),
                },
            };
            let at = u64::from(jump.end) - 4;
            w.link(*from, at, to, R_X86_64_PC32, i64::from(offset) - 4)?;
        }
    }
    state_block(&mut w, &parts, &functions, code)?;
    let segments = segments(&mut w, &parts, elf)?;
    let (ranges, sites) = ranges(&mut w, &parts, &functions, code)?;
    let (symbols, names) = symbols(&mut w, &parts, elf)?;
    let counts = [segments, ranges, sites, symbols, names];
    program(&mut w, &parts, elf, code, options, &counts)?;
    for (id, d) in functions.iter().zip(&mut code.definitions) {
        let code = if options.listing {
            d.code.clone()
        } else {
            std::mem::take(&mut d.code)
        };
        w.define(*id, code)?;
    }
    let mut object = w.artifact.emit().map_err(error)?;
    w.relocations.fill(&mut object).map_err(error)?;
    Ok(object)
}

/// Appends the jump table, each entry as one without a block: the linker script puts the stubs,
/// whose first routine leaves with `reason::JUMP`, on the first page after the table, and the state
/// block of a program at [`HOST_BASE`]. The runtime checks this.
fn blank(out: &mut Vec<u8>, table: &Table) {
    let end = (TABLE_OFFSET + table.bytes()).next_multiple_of(PAGE);
    if table.is_relative() {
        let relative = end as i32 - contract::STATE_BIAS;
        (0..table.len()).for_each(|_| out.extend_from_slice(&relative.to_le_bytes()));
    } else {
        let absolute = HOST_BASE + end;
        (0..table.len()).for_each(|_| out.extend_from_slice(&absolute.to_le_bytes()));
    }
}

fn state_block(w: &mut Writer, parts: &Parts, functions: &[Id], code: &Code) -> Result<(), Error> {
    let mut data = Vec::with_capacity((TABLE_OFFSET + code.table.bytes()) as usize);
    data.resize(TABLE_OFFSET as usize, 0u8);
    blank(&mut data, &code.table);
    w.define(parts.state, data)?;
    let entries = code.definitions.iter().map(|d| d.blocks.len()).sum();
    w.relocations.reserve(parts.state, entries);
    for (id, d) in functions.iter().zip(&code.definitions) {
        for block in &d.blocks {
            if !code.table.range.contains(&block.pc) {
                continue;
            }
            let at = TABLE_OFFSET + code.table.offset(block.pc);
            let entry = i64::from(block.entry);
            if code.table.is_relative() {
                // The entry is relative to the biased state address, the relocation to the entry.
                let addend = at as i64 - i64::from(contract::STATE_BIAS) + entry;
                w.link(parts.state, at, *id, R_X86_64_PC32, addend)?;
            } else {
                w.link(parts.state, at, *id, R_X86_64_64, entry)?;
            }
        }
    }
    Ok(())
}

fn segments(w: &mut Writer, parts: &Parts, elf: &Elf) -> Result<u64, Error> {
    let mut table = Vec::new();
    for (i, s) in elf.segments.iter().enumerate() {
        let mut flags = contract::SEGMENT_R;
        if s.executable {
            flags |= contract::SEGMENT_X;
        }
        if s.writable {
            flags |= contract::SEGMENT_W;
        }
        let name = format!("__hartlog_segment_{i}");
        let data = elf.data(s);
        let at = table.len() as u64 + offset_of!(contract::Segment, data) as u64;
        words(
            &mut table,
            &[s.vaddr, data.len() as u64, s.mem_size, flags, 0],
        );
        let id = w.declare(&name, Decl::data().global().with_align(Some(64)))?;
        // A definition without bytes gets no address of its own.
        let data = if data.is_empty() {
            vec![0]
        } else {
            data.to_vec()
        };
        w.define(id, data)?;
        w.link(parts.segments, at, id, R_X86_64_64, 0)?;
    }
    w.define(parts.segments, table)?;
    Ok(elf.segments.len() as u64)
}

fn ranges(
    w: &mut Writer,
    parts: &Parts,
    functions: &[Id],
    code: &Code,
) -> Result<(u64, u64), Error> {
    let count: usize = code.definitions.iter().map(|d| d.sites.len()).sum();
    let mut ranges = Vec::with_capacity(code.definitions.len() * size_of::<contract::CodeRange>());
    let mut sites = Vec::with_capacity(count * size_of::<contract::Site>());
    let mut count = 0u32;
    for (id, d) in functions.iter().zip(&code.definitions) {
        let at = ranges.len() as u64 + offset_of!(contract::CodeRange, start) as u64;
        words(&mut ranges, &[0]);
        for v in [d.code.len() as u32, count, d.sites.len() as u32, 0] {
            ranges.extend_from_slice(&v.to_le_bytes());
        }
        w.link(parts.ranges, at, *id, R_X86_64_64, 0)?;
        for s in &d.sites {
            sites.extend_from_slice(&s.host.to_le_bytes());
            sites.extend_from_slice(&s.pc.to_le_bytes());
            sites.extend_from_slice(&s.refund.to_le_bytes());
            sites.extend_from_slice(&s.log.to_le_bytes());
        }
        count += d.sites.len() as u32;
    }
    w.define(parts.ranges, padded(ranges))?;
    w.define(parts.sites, padded(sites))?;
    Ok((code.definitions.len() as u64, u64::from(count)))
}

fn symbols(w: &mut Writer, parts: &Parts, elf: &Elf) -> Result<(u64, u64), Error> {
    let (mut table, mut names) = (Vec::new(), Vec::new());
    for s in &elf.symbols {
        let name = elf.name(s);
        words(&mut table, &[s.addr]);
        let size = u32::try_from(s.size).unwrap_or(u32::MAX);
        for v in [size, names.len() as u32, name.len() as u32, 0] {
            table.extend_from_slice(&v.to_le_bytes());
        }
        names.extend_from_slice(name.as_bytes());
    }
    let len = names.len() as u64;
    w.define(parts.symbols, padded(table))?;
    w.define(parts.names, padded(names))?;
    Ok((elf.symbols.len() as u64, len))
}

fn program(
    w: &mut Writer,
    parts: &Parts,
    elf: &Elf,
    code: &Code,
    options: &Options,
    counts: &[u64; 5],
) -> Result<(), Error> {
    let mut flags = 0;
    if options.mode == Mode::Trace {
        flags |= contract::FLAG_TRACE;
    }
    if options.mode == Mode::Replay {
        flags |= contract::FLAG_REPLAY;
        flags |= u32::from(options.columns.bits()) << contract::FLAG_COLUMNS_SHIFT;
    }
    if options.checked_addresses {
        flags |= contract::FLAG_CHECKED;
    }
    let mut data = Vec::new();
    words(&mut data, &[contract::PROGRAM_MAGIC]);
    data.extend_from_slice(&contract::CONTRACT_VERSION.to_le_bytes());
    data.extend_from_slice(&flags.to_le_bytes());
    words(&mut data, &[options.chunk_steps, elf.entry]);
    data.extend_from_slice(&elf.sha256);
    words(
        &mut data,
        &[
            hartlog_format::trace::ISA,
            0,
            0,
            0,
            code.table.range.start,
            code.table.len(),
            0,
        ],
    );
    for count in counts {
        words(&mut data, &[0, *count]);
    }
    data.extend_from_slice(&code.config.placement.encode());
    debug_assert_eq!(data.len(), size_of::<contract::Program>());
    w.define(parts.program, data)?;
    use contract::Program as P;
    for (at, to, addend) in [
        (offset_of!(P, enter), parts.stubs, code.stubs.enter),
        (offset_of!(P, leave), parts.stubs, code.stubs.leave),
        (offset_of!(P, no_entry), parts.stubs, code.stubs.far),
        (offset_of!(P, state), parts.state, 0),
        (offset_of!(P, segments), parts.segments, 0),
        (offset_of!(P, ranges), parts.ranges, 0),
        (offset_of!(P, sites), parts.sites, 0),
        (offset_of!(P, symbols), parts.symbols, 0),
        (offset_of!(P, names), parts.names, 0),
    ] {
        let addend = i64::from(addend);
        w.link(parts.program, at as u64, to, R_X86_64_64, addend)?;
    }
    Ok(())
}

fn words(out: &mut Vec<u8>, values: &[u64]) {
    for v in values {
        out.extend_from_slice(&v.to_le_bytes());
    }
}

/// A definition without bytes gets no address of its own.
fn padded(mut data: Vec<u8>) -> Vec<u8> {
    if data.is_empty() {
        data.resize(16, 0);
    }
    data
}
