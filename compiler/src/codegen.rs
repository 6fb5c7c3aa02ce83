//! Blocks to host code: one definition per guest function.

use crate::blocks::{self, Block, Piece};
use crate::code::Text;
use crate::regions::{self, Regions};
use crate::{Mode, Options};
use hartlog_elf::Elf;
use hartlog_format::contract::{REPLAY_TABLE_ENTRY, Site};
use hartlog_format::witness::Columns;
use std::collections::HashSet;
use std::ops::Range;
use templates::block::Step;
use templates::emit::{self, Config, Dest, Emitted, Emitter, Jump, Target};
use templates::place::{Placement, available};
use templates::stubs::{Stubs, stubs};

/// Most definitions of an object: each is an ELF section (with another for its relocations), and
/// section indices are 16 bits wide without extensions.
const MAX_DEFINITIONS: usize = 16_000;

/// Guest bytes between two ranges of text beyond which the jump table does not span both...
const MAX_GAP: u64 = 4 << 20;
/// ...and with less text than that, beyond the size of the text or this. A table has an entry for
/// every halfword of a gap: a small program with a little text here and there would get a large one.
const SMALL_GAP: u64 = 64 << 10;

/// Guest bytes that a jump table spans at most: what refers to its entries has 32 bits.
const MAX_SPAN: u64 = 256 << 20;

/// No block starts here.
const NO_BLOCK: u32 = u32::MAX;

/// A thread emits at least this many guest instructions (about 10 ms).
const STEPS_PER_THREAD: usize = 50_000;

/// The addresses that the jump table covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Guest addresses.
    pub range: Range<u64>,
    /// Bytes of an entry.
    pub entry: u64,
}

impl Table {
    /// Number of entries.
    pub fn len(&self) -> u64 {
        (self.range.end - self.range.start) / 2
    }

    /// Whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.len() * self.entry
    }

    /// Whether entries are relative to the biased state address, and not host addresses.
    pub fn is_relative(&self) -> bool {
        self.entry == REPLAY_TABLE_ENTRY
    }

    /// Offset of the entry of a guest pc from the first.
    pub fn offset(&self, pc: u64) -> u64 {
        (pc - self.range.start) / 2 * self.entry
    }
}

/// Host code of one or more guest functions.
#[derive(Clone, Debug)]
pub struct Definition {
    /// Symbol of the object.
    pub name: String,
    /// The code; jumps inside the definition are filled in.
    pub code: Vec<u8>,
    /// Jumps to other definitions and stubs.
    pub jumps: Vec<Jump>,
    /// What may raise a signal.
    pub sites: Vec<Site>,
    /// The blocks, and behind them pieces of long ones, which are blocks, too.
    pub blocks: Vec<Emitted>,
    /// (host offset, guest pc) for listings.
    pub marks: Vec<(u32, u64)>,
}

/// All host code of a program.
#[derive(Clone, Debug)]
pub struct Code {
    /// What it was emitted for.
    pub config: Config,
    /// Entry and exit.
    pub stubs: Stubs,
    /// The definitions, ascending by guest address.
    pub definitions: Vec<Definition>,
    /// Blocks by guest pc, ascending: pc, definition, index in its blocks.
    index: Vec<(u32, u32, u32)>,
    /// The jump table's range.
    pub table: Table,
    /// Guest instructions emitted.
    pub emitted: u64,
}

impl Code {
    /// Definition and host offset that a jump goes to; `None` for a stub.
    pub fn resolve(&self, dest: Dest) -> Option<(&Definition, u32)> {
        let (d, offset) = self.place(dest)?;
        Some((self.definitions.get(d)?, offset))
    }

    /// The same with the index of the definition.
    pub fn place(&self, dest: Dest) -> Option<(usize, u32)> {
        let pc = dest.block()?;
        let (d, i) = find(&self.index, pc)?;
        let definition = self.definitions.get(d as usize)?;
        let offset = definition.blocks.get(i as usize)?.offset(dest);
        Some((d as usize, offset))
    }
}

fn find(index: &[(u32, u32, u32)], pc: u64) -> Option<(u32, u32)> {
    let i = index.binary_search_by_key(&pc, |e| u64::from(e.0)).ok()?;
    index.get(i).map(|e| (e.1, e.2))
}

/// Emits all blocks.
pub fn generate(elf: &Elf, text: &Text, blocks: &[Block], order: &[u8], options: &Options) -> Code {
    let mode = match options.mode {
        Mode::Fast => emit::Mode::Fast,
        Mode::Trace => emit::Mode::Trace,
        Mode::Replay => emit::Mode::Replay,
    };
    let log = mode != emit::Mode::Fast;
    let table = table(text, mode);
    let columns = match mode {
        emit::Mode::Replay => options.columns,
        emit::Mode::Fast | emit::Mode::Trace => Columns::NONE,
    };
    let homes = available(log, columns);
    let placement = Placement::new(order.iter().copied(), homes);
    let regions = if options.checked_addresses {
        // A fault report needs the registers of a failed check in their usual places.
        Regions::none(&placement, blocks.len())
    } else {
        regions::find(elf, blocks, &placement, homes)
    };
    let config = Config {
        mode,
        checked: options.checked_addresses,
        columns,
        placement,
        regions: regions.placements,
        table_base: table.range.start,
        table_bytes: table.range.end - table.range.start,
    };
    // Per instruction the block that starts there.
    let mut starts = vec![NO_BLOCK; text.instructions.len()];
    for (block, number) in blocks.iter().zip(0..) {
        if let Some(i) = block.first().and_then(|s| text.at(s.pc)) {
            starts[i] = number;
        }
    }
    // Without trace there are no chunks.
    let chunked = if log { blocks } else { &[] };
    let pieces = blocks::pieces(chunked, options.cut, |pc, number| match text.at(pc) {
        Some(i) if starts[i] == NO_BLOCK => {
            starts[i] = number;
            true
        }
        _ => false,
    });
    let block_at = |pc: u64| text.at(pc).map(|i| starts[i]).filter(|n| *n != NO_BLOCK);
    let target = |block: usize, steps: usize| Target {
        region: regions.of_block[block],
        steps: steps as u16,
    };
    let mut targets: Vec<Target> = (blocks.iter().enumerate())
        .map(|(i, block)| target(i, block.len()))
        .collect();
    targets.extend(
        pieces
            .iter()
            .filter(|p| !p.is_first())
            .map(|p| target(p.block, p.steps.len())),
    );
    let target_of = |pc: u64| block_at(pc).map(|n| targets[n as usize]);
    let functions = functions(elf, blocks);
    let emit = |functions: &[(String, Range<usize>)]| -> Vec<Definition> {
        let mut emitter = Emitter::new(&config, &target_of, options.listing);
        functions
            .iter()
            .map(|(name, range)| {
                definition(
                    &mut emitter,
                    name,
                    blocks,
                    range.clone(),
                    &pieces,
                    &block_at,
                )
            })
            .collect()
    };
    // Definitions depend on nothing but their blocks, so they can be emitted side by side.
    let shares = shares(&functions, blocks);
    let definitions: Vec<Definition> = match shares.as_slice() {
        [] | [_] => emit(&functions),
        _ => std::thread::scope(|scope| {
            let threads: Vec<_> = shares
                .iter()
                .map(|share| scope.spawn(|| emit(&functions[share.clone()])))
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| match thread.join() {
                    Ok(definitions) => definitions,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        }),
    };
    // By number: in the order of their definitions, pieces behind all blocks.
    let mut index = Vec::with_capacity(targets.len());
    let mut of_pieces = Vec::new();
    for ((d, definition), (_, range)) in (0..).zip(&definitions).zip(&functions) {
        for (i, block) in (0..).zip(&definition.blocks) {
            let numbered = if (i as usize) < range.len() {
                &mut index
            } else {
                &mut of_pieces
            };
            numbered.push((block.pc as u32, d, i));
        }
    }
    index.append(&mut of_pieces);
    index.sort_unstable();
    let stubs = stubs(&config);
    let emitted = blocks.iter().map(Vec::len).sum::<usize>()
        + pieces.iter().map(|p| p.steps.len()).sum::<usize>();
    let emitted = emitted as u64;
    Code {
        config,
        stubs,
        definitions,
        index,
        table,
        emitted,
    }
}

/// Emits the blocks of a definition, those in the range, and behind them their pieces. `block_at`
/// tells the number of the block, or the piece, that starts at a guest pc.
fn definition(
    emitter: &mut Emitter<'_>,
    name: &str,
    blocks: &[Block],
    range: Range<usize>,
    pieces: &[Piece],
    block_at: &dyn Fn(u64) -> Option<u32>,
) -> Definition {
    let start = |steps: &[Step]| steps.first().map(|s| s.pc);
    let own = &blocks[range.clone()];
    for (i, block) in own.iter().enumerate() {
        emitter.block(block, own.get(i + 1).and_then(|b| start(b)));
    }
    let from = |block: usize| pieces.partition_point(|p| p.block < block);
    let pieces = &pieces[from(range.start)..from(range.end)];
    for (i, piece) in pieces.iter().enumerate() {
        let steps = &blocks[piece.block][piece.steps.clone()];
        let next = pieces.get(i + 1).filter(|p| !p.is_first());
        let next = next.and_then(|p| start(&blocks[p.block][p.steps.clone()]));
        if piece.is_first() {
            emitter.short(piece.block - range.start, steps, next);
        } else {
            emitter.block(steps, next);
        }
    }
    // No block is empty, so what was emitted is numbered as the blocks, and then the pieces, are.
    let mut later = pieces.iter().filter(|p| !p.is_first());
    let first_piece = later
        .next()
        .and_then(|p| block_at(start(&blocks[p.block][p.steps.clone()])?));
    let of_pieces = first_piece.map(|first| first as usize..first as usize + 1 + later.count());
    let code = emitter.finish(|pc| {
        let number = block_at(pc)? as usize;
        if range.contains(&number) {
            return Some(number - range.start);
        }
        let of_pieces = of_pieces.as_ref().filter(|r| r.contains(&number))?;
        Some(range.len() + number - of_pieces.start)
    });
    Definition {
        name: name.to_owned(),
        code,
        jumps: taken(&mut emitter.jumps),
        sites: taken(&mut emitter.sites),
        blocks: taken(&mut emitter.blocks),
        marks: emitter.marks.as_mut().map(taken).unwrap_or_default(),
    }
}

/// What a vector holds, in no more memory than that takes; the vector keeps its own.
fn taken<T: Clone>(from: &mut Vec<T>) -> Vec<T> {
    let exact = from.as_slice().to_vec();
    from.clear();
    exact
}

/// Cuts the functions into a share of about the same work for each thread.
fn shares(functions: &[(String, Range<usize>)], blocks: &[Block]) -> Vec<Range<usize>> {
    let steps = |range: &Range<usize>| blocks[range.clone()].iter().map(Vec::len).sum::<usize>();
    let total: usize = functions.iter().map(|(_, range)| steps(range)).sum();
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = threads.min(total / STEPS_PER_THREAD).max(1);
    let mut shares = Vec::with_capacity(threads);
    let (mut first, mut done) = (0, 0);
    for (i, (_, range)) in functions.iter().enumerate() {
        done += steps(range);
        if done * threads >= total * (shares.len() + 1) {
            shares.push(first..i + 1);
            first = i + 1;
        }
    }
    if first < functions.len() {
        shares.push(first..functions.len());
    }
    shares
}

/// The jump table covers the largest cluster of text.
fn table(text: &Text, mode: emit::Mode) -> Table {
    let mut best = 0..0;
    let mut cluster: Option<Range<u64>> = None;
    let max_gap = text.text_bytes().clamp(SMALL_GAP, MAX_GAP);
    for range in text.ranges() {
        let range = range.start..range.end.min(range.start + MAX_SPAN);
        cluster = Some(match cluster {
            Some(c) if range.start - c.end <= max_gap && range.end - c.start <= MAX_SPAN => {
                c.start..range.end
            }
            _ => range,
        });
        if let Some(c) = &cluster
            && c.end - c.start > best.end - best.start
        {
            best = c.clone();
        }
    }
    best.start &= !1;
    best.end = best.end.next_multiple_of(2);
    Table {
        range: best,
        entry: mode.table_entry(),
    }
}

/// Names and block ranges of the definitions: one per symbol, fewer where there would be too many.
fn functions(elf: &Elf, blocks: &[Block]) -> Vec<(String, Range<usize>)> {
    let groups = blocks::functions(elf, blocks);
    let per = groups.len().div_ceil(MAX_DEFINITIONS).max(1);
    let mut seen: HashSet<String> = HashSet::new();
    groups
        .chunks(per)
        .filter_map(|chunk| {
            let range = chunk.first()?.start..chunk.last()?.end;
            let pc = blocks[range.start].first().map_or(0, |s| s.pc);
            let after = elf.symbols.partition_point(|s| s.addr <= pc);
            let mut name = match after.checked_sub(1) {
                Some(owner) => format!("guest.{}", elf.name(&elf.symbols[owner])),
                None => "guest".to_owned(),
            };
            // A symbol may have such a name, too.
            while !seen.insert(name.clone()) {
                name = format!("{name}@{pc:x}");
            }
            Some((name, range))
        })
        .collect()
}
