//! Regions: hot loops, and long functions, that get a register placement of their own.
//!
//! A region is an interval of blocks without calls, environment calls and atomics; moving the
//! registers on its edges has to be worth it, so it must hold a loop or be long, and its favourite
//! registers must be others than the program's, and by enough.

use crate::blocks::Block;
use crate::code::Text;
use crate::weights;
use hartlog_elf::Elf;
use hartlog_isa::{Effect, Flow, Inst};
use std::ops::Range;
use templates::asm::Gpr;
use templates::place::Placement;

/// A function without loops is a region from this many instructions on.
const LONG: usize = 200;

/// A register takes the home of another where the region uses it more often, by this much: moving
/// the two costs two stores and two loads each time that the region is entered and left, most uses
/// of a register in memory cost nothing, and many a loop is left after the first iteration.
const GAIN: u64 = 16;

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
pub fn find(
    elf: &Elf,
    text: &Text,
    blocks: &[Block],
    placement: &Placement,
    homes: &[Gpr],
) -> Regions {
    let mut regions = Regions::none(placement, blocks.len());
    let depths = weights::loop_depths(text);
    for candidate in candidates(elf, blocks) {
        if regions.placements.len() >= MAX_REGIONS {
            break;
        }
        let uses = uses(text, &blocks[candidate.clone()], &depths);
        if let Some(favourites) = favourites(&uses, placement) {
            let id = regions.placements.len() as u16;
            regions
                .placements
                .push(placement.adapted(favourites, homes));
            regions.of_block[candidate].fill(id);
        }
    }
    regions
}

/// The registers that are to have homes in a region with these uses, if they are others than in the
/// program: its most used ones without a home take the places of the least used ones with one.
fn favourites(uses: &[u64; 32], placement: &Placement) -> Option<Vec<u8>> {
    let order = weights::order(uses);
    let (mut kept, newcomers): (Vec<u8>, Vec<u8>) = order
        .into_iter()
        .partition(|r| placement.home(*r).is_some());
    let used = |r: u8| uses[r as usize & 31];
    let swaps = newcomers
        .iter()
        .zip(kept.iter().rev())
        .take_while(|(new, old)| used(**new) >= used(**old) + GAIN)
        .count();
    if swaps == 0 {
        return None;
    }
    kept.truncate(kept.len() - swaps);
    kept.extend(&newcomers[..swaps]);
    Some(kept)
}

/// Intervals of blocks: outermost loops without calls, or whole functions without calls.
fn candidates(elf: &Elf, blocks: &[Block]) -> Vec<Range<usize>> {
    let start_of = |b: &Block| b.first().map_or(0, |s| s.pc);
    let mut out = Vec::new();
    let mut first = 0;
    while first < blocks.len() {
        let owner = elf
            .symbols
            .partition_point(|s| s.addr <= start_of(&blocks[first]));
        let end = elf.symbols.get(owner).map_or(u64::MAX, |s| s.addr);
        let last = first + blocks[first..].partition_point(|b| start_of(b) < end);
        let last = last.max(first + 1);
        function(&blocks[first..last], first, &mut out);
        first = last;
    }
    out
}

fn function(blocks: &[Block], base: usize, out: &mut Vec<Range<usize>>) {
    let eligible: Vec<bool> = blocks
        .iter()
        .map(|b| b.iter().all(|s| s.inst.is_some_and(|i| allowed(&i))))
        .collect();
    let steps: usize = blocks.iter().map(Vec::len).sum();
    if steps >= LONG && eligible.iter().all(|e| *e) {
        out.push(base..base + blocks.len());
        return;
    }
    // Loops, by their backward branches.
    let index_of = |pc: u64| {
        blocks
            .binary_search_by_key(&pc, |b| b.first().map_or(0, |s| s.pc))
            .ok()
    };
    let mut loops: Vec<Range<usize>> = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
        for step in block {
            let Some(inst) = step.inst else { continue };
            if inst.imm < 0
                && (inst.flow() == Flow::Branch
                    || (inst.flow() == Flow::Jal && inst.writes().is_none()))
                && let Some(head) = index_of(step.target())
                && head <= i
            {
                loops.push(head..i + 1);
            }
        }
    }
    // Loops that overlap are one region: a loop that crossed into another would move registers
    // in every iteration.
    let mut eligible_before = vec![0usize];
    eligible_before.extend(eligible.iter().scan(0, |count, e| {
        *count += usize::from(*e);
        Some(*count)
    }));
    loops.retain(|l| eligible_before[l.end] - eligible_before[l.start] == l.len());
    loops.sort_by_key(|l| (l.start, l.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for l in loops {
        match merged.last_mut() {
            Some(last) if l.start < last.end => last.end = last.end.max(l.end),
            _ => merged.push(l),
        }
    }
    out.extend(merged.into_iter().map(|l| base + l.start..base + l.end));
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

/// Uses of the registers in a region, weighted by loop depth within it.
fn uses(text: &Text, blocks: &[Block], depths: &[u32]) -> [u64; 32] {
    let depth_of = |pc: u64| text.at(pc).map_or(0, |i| depths[i]);
    // A loop's own body counts as one level deep.
    let outside = blocks
        .iter()
        .flatten()
        .map(|s| depth_of(s.pc))
        .min()
        .unwrap_or(0)
        .saturating_sub(1);
    let mut uses = [0u64; 32];
    for step in blocks.iter().flatten() {
        if let Some(inst) = step.inst {
            weights::count(&mut uses, &inst, depth_of(step.pc) - outside);
        }
    }
    uses
}
