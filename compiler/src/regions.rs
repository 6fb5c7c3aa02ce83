//! Regions: hot loops, and long functions, that get a register placement of their own.
//!
//! A region is a loop, or a whole function, but for blocks with calls, environment calls and
//! atomics. Moving the registers on its edges has to be worth it: its favourite registers must be
//! others than the program's, and by enough.

use crate::blocks::{self, Block};
use crate::loops::{self, ALWAYS, Loops};
use crate::weights;
use hartlog_elf::Elf;
use hartlog_isa::{Effect, Flow, Inst};
use templates::asm::Gpr;
use templates::block;
use templates::place::Placement;

/// A function without calls and loops is a region from this many instructions on.
const LONG: usize = 200;

/// A register takes the home of another where the region uses it more often, by this much: moving
/// the two costs two stores and two loads each time that the region is entered and left, most uses
/// of a register in memory cost nothing, and many a loop is left after the first iteration.
const GAIN: u64 = 16;

/// The same for each time that the region is left and entered again in between. This is an estimate
/// already, which branches of a loop make; so it is taken for less.
const GAIN_INSIDE: u64 = 4;

/// Loops in loops count no further than this: more often than not the inner ones have few rounds.
const MAX_DEPTH: u32 = 2;

/// Parts of a use.
const PARTS: u64 = 16;

/// Most regions of a program.
const MAX_REGIONS: usize = u16::MAX as usize - 1;

/// The regions of a program.
#[derive(Clone, Debug)]
pub struct Regions {
    /// Placement of each region; index 0: outside of regions.
    pub placements: Vec<Placement>,
    /// Per block its region.
    pub of_block: Vec<u16>,
}

impl Regions {
    /// No region.
    pub fn none(placement: &Placement, blocks: usize) -> Regions {
        Regions {
            placements: vec![placement.clone()],
            of_block: vec![0; blocks],
        }
    }
}

/// Finds the regions.
pub fn find(elf: &Elf, blocks: &[Block], placement: &Placement, homes: &[Gpr]) -> Regions {
    let mut regions = Regions::none(placement, blocks.len());
    for function in blocks::functions(elf, blocks) {
        for candidate in candidates(&blocks[function.clone()]) {
            if regions.placements.len() >= MAX_REGIONS {
                return regions;
            }
            let uses = uses(&blocks[function.clone()], &candidate);
            if let Some(favourites) = favourites(&uses, placement, candidate.left) {
                let id = regions.placements.len() as u16;
                regions
                    .placements
                    .push(placement.adapted(favourites, homes));
                for (block, _) in candidate.blocks {
                    regions.of_block[function.start + block] = id;
                }
            }
        }
    }
    regions
}

/// The registers that are to have homes in a region with these uses, if they are others than in the
/// program: its most used ones without a home take the places of the least used ones with one.
fn favourites(uses: &[u64; 32], placement: &Placement, left: u64) -> Option<Vec<u8>> {
    let gain = PARTS * (GAIN + GAIN_INSIDE * left / ALWAYS);
    let order = weights::order(uses);
    let (mut kept, newcomers): (Vec<u8>, Vec<u8>) = order
        .into_iter()
        .partition(|r| placement.home(*r).is_some());
    let used = |r: u8| uses[r as usize & 31];
    let swaps = newcomers
        .iter()
        .zip(kept.iter().rev())
        .take_while(|(new, old)| used(**new) >= used(**old) + gain)
        .count();
    if swaps == 0 {
        return None;
    }
    kept.truncate(kept.len() - swaps);
    kept.extend(&newcomers[..swaps]);
    Some(kept)
}

/// What may be a region of a function.
struct Candidate {
    /// Its blocks, by their indices in the function, each with the number of loops around it that
    /// are in the candidate, too.
    blocks: Vec<(usize, u32)>,
    /// How often it is left and entered again each time that it is entered, in parts of
    /// [`ALWAYS`].
    left: u64,
}

/// The outermost loops of a function, without those of their blocks that call; or the whole of it, if
/// it is long and has neither loops nor calls.
fn candidates(blocks: &[Block]) -> Vec<Candidate> {
    let eligible: Vec<bool> = blocks
        .iter()
        .map(|b| b.iter().all(|s| s.inst.is_some_and(|i| allowed(&i))))
        .collect();
    let steps: usize = blocks.iter().map(Vec::len).sum();
    let Loops { mut bodies, left } = loops::natural(blocks, &eligible);
    let mut depths = vec![0u32; blocks.len()];
    for block in bodies.iter().flatten() {
        depths[*block] = (depths[*block] + 1).min(MAX_DEPTH);
    }
    let candidate = |blocks: Vec<usize>| {
        let blocks: Vec<(usize, u32)> = blocks.into_iter().map(|b| (b, depths[b])).collect();
        let left = blocks
            .iter()
            .map(|(b, depth)| left[*b] * weights::weight(*depth));
        Candidate {
            left: left.sum(),
            blocks,
        }
    };
    if bodies.is_empty() && steps >= LONG && eligible.iter().all(|e| *e) {
        return vec![candidate((0..blocks.len()).collect())];
    }
    bodies.sort_by_key(|body| std::cmp::Reverse(body.len()));
    let mut taken = vec![false; blocks.len()];
    let mut out = Vec::new();
    for body in bodies {
        // Of two loops one is in the other.
        if body.iter().any(|b| taken[*b]) {
            continue;
        }
        for block in &body {
            taken[*block] = true;
        }
        out.push(candidate(body));
    }
    out
}

/// Whether a region may hold this instruction: calls and returns would move registers each time,
/// and the runtime needs those of atomics in their usual places.
fn allowed(inst: &Inst) -> bool {
    let atomic = matches!(
        inst.op.effect(),
        Effect::ReadWrite(_) | Effect::Reserve(_) | Effect::CondStore(_)
    );
    let transfer = match inst.flow() {
        Flow::Next | Flow::Branch | Flow::Trap => false,
        Flow::Jal => inst.writes().is_some(),
        // A return ends the region; a computed jump inside would not.
        Flow::Jalr => inst.rd != 0 || inst.rs1 != 1,
        Flow::Ecall => true,
    };
    !atomic && !transfer
}

/// Uses of the registers in a candidate, weighted by loop depth within it, in parts of 1 /
/// [`PARTS`].
fn uses(blocks: &[Block], candidate: &Candidate) -> [u64; 32] {
    let mut uses = [0u64; 32];
    for (block, depth) in &candidate.blocks {
        let insts = || blocks[*block].iter().filter_map(|s| s.inst);
        let weight = PARTS * weights::weight(*depth);
        if blocks[*block].len() < block::LONG {
            insts().for_each(|inst| weights::add(&mut uses, &inst, weight));
            continue;
        }
        // Registers without a home have one in the block: what is left are a load in front of the
        // first use and a store at the end. Other uses only tell apart what is alike in that.
        let (mut read, mut written) = (0u32, 0u32);
        let mut all = [0u64; 32];
        for inst in insts() {
            weights::add(&mut all, &inst, 1);
            for r in inst.reads() {
                read |= (1 << (r & 31)) & !written;
            }
            if let Some(rd) = inst.writes() {
                written |= 1 << (rd & 31);
            }
        }
        for (r, uses) in uses.iter_mut().enumerate() {
            let ends = u64::from((read >> r & 1) + (written >> r & 1));
            *uses += weight * ends + weight / PARTS * all[r].min(PARTS - 1);
        }
    }
    uses
}
