//! Forming blocks: from each start a straight run of instructions. Forward branches leave it
//! sideways; it ends where control always goes elsewhere and at a backward branch.
//!
//! A block does not have to end in front of the next start: where another path joins, what follows
//! is repeated in both, if it is short. A loop of one block is unrolled, and a call of a short
//! function that calls none goes through it. All of these save budget checks and log-pointer
//! updates, and let values be combined over more instructions.

use crate::code::{Instruction, Text, far_target};
use crate::discover::Leaders;
use hartlog_elf::Elf;
use hartlog_format::layout::MAX_BLOCK_STEPS;
use hartlog_isa::{Flow, Inst, Op};
use std::ops::Range;
use templates::block::{Follow, MAX_SKIPPED, Step, ends_block};

/// Longest block, in guest instructions. What loads in all of them log is as much as fits
/// [`Site::log`](hartlog_format::contract::Site::log).
pub const MAX_STEPS: usize = 512;
const _: () = assert!(MAX_STEPS as u64 <= MAX_BLOCK_STEPS);

/// Instructions that a block may repeat in a loop, from blocks that start elsewhere...
const MAX_REPEATED: usize = 16;
/// ...and outside of loops, where code is executed less often for its size.
const FEW_REPEATED: usize = 8;

/// Instructions of called functions that a block may go through.
const MAX_CALLED: usize = 16;

/// A loop of one block is unrolled up to this many instructions...
const MAX_UNROLLED: usize = 40;
/// ...and this many times.
const MAX_COPIES: usize = 4;

/// The return address register.
const RA: u8 = 1;

/// A block: its steps, the first at its start.
pub type Block = Vec<Step>;

/// Forms the blocks of a program, ascending by start. `depths`: per instruction how many loops are
/// around it ([`loop_depths`](crate::weights::loop_depths)).
pub fn form(text: &Text, leaders: Leaders, depths: &[u32]) -> Vec<Block> {
    let heads = loop_heads(text);
    let mut former = Former {
        text,
        leaders,
        heads,
        depths,
    };
    let mut blocks = Vec::new();
    let mut steps = Vec::with_capacity(MAX_STEPS);
    for index in 0..text.instructions.len() {
        if former.leaders.contains(index) {
            steps.clear();
            former.block(index, &mut steps);
            if !steps.is_empty() {
                blocks.push(steps.as_slice().to_vec());
            }
        }
    }
    blocks
}

/// The blocks of each function: those from one symbol to the next.
pub fn functions(elf: &Elf, blocks: &[Block]) -> Vec<Range<usize>> {
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
        out.push(first..last);
        first = last;
    }
    out
}

/// Which blocks are emitted a second time, in pieces: where a chunk ends or starts within such a
/// block, what the interpreter has to execute is a part of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Blocks from this number of steps on.
    pub from: usize,
    /// Steps of a piece, or a few more.
    pub steps: usize,
}

impl Default for Cut {
    fn default() -> Cut {
        Cut {
            from: 64,
            steps: 16,
        }
    }
}

/// A part of a long block. But for the first, at whose start the whole block starts, it is a block
/// on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the block.
    pub block: usize,
    /// Its steps in it.
    pub steps: Range<usize>,
}

impl Piece {
    /// Whether the block starts with it.
    pub fn is_first(&self) -> bool {
        self.steps.start == 0
    }
}

/// Cuts long blocks into pieces, each going on at the next. `starts` says whether no block starts
/// at a pc so far, but now the one with this number does: pieces are numbered behind the blocks.
pub fn pieces(blocks: &[Block], cut: Cut, mut starts: impl FnMut(u64, u32) -> bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut number = blocks.len() as u32;
    for (block, steps) in blocks.iter().enumerate() {
        if steps.len() < cut.from {
            continue;
        }
        let mut start = 0;
        let mut piece = |steps| pieces.push(Piece { block, steps });
        let mut inside_call = false;
        for (i, pair) in steps.windows(2).enumerate() {
            let end = i + 1;
            let [before, after] = pair else { continue };
            if before.follow == Follow::Target {
                // A call or its return.
                inside_call = before.inst.is_some_and(|i| i.writes() == Some(RA));
            }
            // Where a `jalr` goes is known from the call, or from the `auipc` in front of it.
            let known = inside_call || after.inst.is_some_and(|i| i.flow() == Flow::Jalr);
            let straight = before.follow == Follow::Fall && !after.perhaps;
            let short = end - start < cut.steps || steps.len() - end < cut.steps / 2;
            if short || known || !straight {
                continue;
            }
            piece(start..end);
            start = end;
            if !starts(after.pc, number) {
                // What starts there is a piece of another block, or repeated from one.
                start = steps.len();
                break;
            }
            number += 1;
        }
        if start < steps.len() {
            piece(start..steps.len());
        }
    }
    pieces
}

/// Per instruction: does a backward branch or jump go there?
fn loop_heads(text: &Text) -> Vec<bool> {
    let mut heads = vec![false; text.instructions.len()];
    for instruction in &text.instructions {
        if let Some(inst) = instruction.inst
            && inst.imm <= 0
            && goes(&inst)
            && let Some(i) = text.at(instruction.target())
        {
            heads[i] = true;
        }
    }
    heads
}

/// A branch or a jump that is not a call.
fn goes(inst: &Inst) -> bool {
    match inst.flow() {
        Flow::Branch => true,
        Flow::Jal => inst.writes().is_none(),
        _ => false,
    }
}

/// A step that goes on at the next instruction.
fn step(instruction: &Instruction) -> Step {
    Step {
        pc: u64::from(instruction.pc),
        inst: instruction.inst,
        follow: Follow::Fall,
        perhaps: false,
    }
}

struct Former<'a> {
    text: &'a Text,
    leaders: Leaders,
    heads: Vec<bool>,
    /// Per instruction how many loops are around it.
    depths: &'a [u32],
}

impl Former<'_> {
    /// Forms the block that starts at an index, in an empty vector.
    fn block(&mut self, start: usize, steps: &mut Block) {
        let mut index = start;
        let (mut repeated, mut called) = (0, 0);
        while let Some(instruction) = self.instruction(index) {
            let pc = u64::from(instruction.pc);
            if steps
                .last()
                .is_some_and(|s| s.follow == Follow::Fall && s.next() != pc)
            {
                // Ranges of text are not contiguous in general.
                break;
            }
            if !steps.is_empty() && self.leaders.contains(index) {
                match self.repeatable(index, repeated, steps.len()) {
                    Some(n) => repeated += n,
                    None => break,
                }
            }
            // What a branch skips is in the same block, and one instruction after that.
            if steps.len() + 2 + MAX_SKIPPED > MAX_STEPS {
                // Nothing repeated reaches this length, so the next instruction may start a block.
                self.leaders.insert(index);
                break;
            }
            steps.push(step(instruction));
            let Some(inst) = instruction.inst else { break };
            let target = instruction.target();
            if let Some(function) = self.called(steps) {
                let back = steps.last().map(Step::next);
                let room = (MAX_CALLED - called).min(MAX_STEPS - steps.len());
                let Some(n) = self.go_through(function, room, steps) else {
                    break;
                };
                called += n;
                index += 1;
                let next = self.instruction(index).map(|i| u64::from(i.pc));
                if next != back || self.repeatable(index, repeated, steps.len()).is_none() {
                    break;
                }
                continue;
            }
            if inst.flow() == Flow::Jal && inst.writes().is_none() {
                match self.follow_jump(target, repeated, steps) {
                    Some(to) => index = to,
                    None => break,
                }
                continue;
            }
            let skipped = self.leaders.skipped(index);
            if skipped > 0 {
                if let Some(last) = steps.last_mut() {
                    last.follow = Follow::Skip;
                }
                steps.extend((1..=skipped).filter_map(|n| {
                    let step = step(self.instruction(index + n)?);
                    let perhaps = true;
                    Some(Step { perhaps, ..step })
                }));
                index += skipped + 1;
                if steps.last().is_some_and(|s| s.next() != target) {
                    // A jump to the target.
                    match self.follow_jump(target, repeated, steps) {
                        Some(to) => index = to,
                        None => break,
                    }
                } else if self.instruction(index).is_none() {
                    break;
                }
                continue;
            }
            if inst.flow() == Flow::Branch {
                if target <= pc {
                    self.unroll(steps, target);
                    break;
                }
            } else if ends_block(&inst) {
                break;
            }
            index += 1;
        }
    }

    /// Lets the block go on where its last step, a jump, goes; the index, unless the block ends there.
    fn follow_jump(&self, target: u64, repeated: usize, steps: &mut Block) -> Option<usize> {
        let index = self.text.at(target)?;
        self.repeatable(index, repeated, steps.len())?;
        steps.last_mut()?.follow = Follow::Target;
        Some(index)
    }

    /// The instruction at an index. Bytes that the sweep did not take for one end a block and
    /// start none: the runtime decodes what is there, should control get there after all (it may
    /// be an instruction that runs over a symbol).
    fn instruction(&self, index: usize) -> Option<&Instruction> {
        let instruction = self.text.instructions.get(index);
        instruction.filter(|i| i.inst.is_some())
    }

    /// The number of instructions of a function up to its return, if it has at most `room` and goes
    /// straight there but for forward branches.
    fn straight(&self, function: usize, room: usize) -> Option<usize> {
        for n in 0..room {
            let inst = self.instruction(function + n)?.inst?;
            if inst.op == Op::Jalr && (inst.rd, inst.rs1, inst.imm) == (0, RA, 0) {
                return Some(n + 1);
            }
            let forward = inst.flow() == Flow::Branch && inst.imm > 0;
            if inst.rd == RA || ends_block(&inst) && !forward {
                return None;
            }
        }
        None
    }

    /// The index of the function that the last step calls: by `jal`, or `auipc` and `jalr`.
    fn called(&self, steps: &[Step]) -> Option<usize> {
        let (call, before) = steps.split_last()?;
        let inst = call.inst.filter(|i| i.rd == RA)?;
        let target = match inst.op {
            Op::Jal => call.target(),
            Op::Jalr => {
                let high = before.last()?;
                if high.perhaps {
                    return None;
                }
                far_target(high.pc, &high.inst?, &inst)?
            }
            _ => return None,
        };
        self.text.at(target)
    }

    /// Goes through the function that the last step calls; returns how many steps that took, if it
    /// may have `room`.
    fn go_through(&self, function: usize, room: usize, steps: &mut Block) -> Option<usize> {
        let n = self.straight(function, room)?;
        if let Some(call) = steps.last_mut() {
            call.follow = Follow::Target;
        }
        let mut skipped = 0usize;
        for index in function..function + n {
            let Some(instruction) = self.instruction(index) else {
                break;
            };
            let mut step = step(instruction);
            step.perhaps = skipped > 0;
            skipped = match self.leaders.skipped(index) {
                0 => skipped.saturating_sub(1),
                n => {
                    step.follow = Follow::Skip;
                    n
                }
            };
            steps.push(step);
        }
        if let Some(last) = steps.last_mut() {
            last.follow = Follow::Target;
        }
        Some(n)
    }

    /// Whether a block of `len` steps that has repeated `repeated` already may go on with the
    /// block that starts at `index`; then how many instructions that repeats.
    fn repeatable(&self, index: usize, repeated: usize, len: usize) -> Option<usize> {
        let mut n = 0;
        let mut computed = false;
        loop {
            let instruction = self.instruction(index + n)?;
            if n > 0 && self.leaders.contains(index + n) {
                break;
            }
            n += 1;
            if repeated + n > MAX_REPEATED || len + n > MAX_STEPS {
                return None;
            }
            let Some(inst) = instruction.inst else { break };
            if ends_block(&inst) && (inst.flow() != Flow::Branch || inst.imm <= 0) {
                // A jump through a table, not a return: the dispatch of an interpreter.
                computed = inst.flow() == Flow::Jalr && inst.rd == 0 && inst.rs1 != RA;
                break;
            }
        }
        // A loop keeps its head to itself, but a dispatch is better off repeated: each copy of
        // the jump is predicted on its own.
        let few = self.depths[index] > 0 || repeated + n <= FEW_REPEATED;
        (computed || few && !self.heads[index]).then_some(n)
    }

    /// Repeats a loop whose backward branch, to `target`, ends the block.
    fn unroll(&self, steps: &mut Block, target: u64) {
        let body = steps.len();
        if steps.first().is_none_or(|s| s.pc != target) {
            return;
        }
        let copies = (MAX_UNROLLED / body).min(MAX_COPIES);
        for _ in 1..copies {
            if let Some(last) = steps.last_mut() {
                last.follow = Follow::Target;
            }
            steps.extend_from_within(..body);
            if let Some(last) = steps.last_mut() {
                last.follow = Follow::Fall;
            }
        }
    }
}
