//! Forming blocks: from each start a straight run of instructions. Forward branches leave it
//! sideways; it ends where control always goes elsewhere, at a backward branch, and in front of
//! the next start.

use crate::code::Text;
use crate::discover::Leaders;
use hartlog_isa::Flow;
use templates::block::{Follow, Step, ends_block};

/// Longest block, in guest instructions.
pub const MAX_STEPS: usize = 256;

/// A block: its steps, the first at its start.
pub type Block = Vec<Step>;

/// Forms the blocks of a program, ascending by start.
pub fn form(text: &Text, mut leaders: Leaders) -> Vec<Block> {
    let mut blocks = Vec::new();
    for index in 0..text.instructions.len() {
        if leaders.contains(index) {
            blocks.push(form_one(text, &mut leaders, index));
        }
    }
    blocks
}

fn form_one(text: &Text, leaders: &mut Leaders, start: usize) -> Block {
    let mut steps = Vec::new();
    let mut index = start;
    loop {
        let Some(instruction) = text.instructions.get(index) else { break };
        // Ranges of text are not contiguous in general.
        if steps.last().is_some_and(|s: &Step| s.next() != u64::from(instruction.pc)) {
            break;
        }
        if index != start && leaders.contains(index) {
            break;
        }
        if steps.len() == MAX_STEPS {
            leaders.insert(index);
            break;
        }
        let step = Step { pc: u64::from(instruction.pc), inst: instruction.inst, follow: Follow::Fall };
        steps.push(step);
        let Some(inst) = instruction.inst else { break };
        let backward = inst.flow() == Flow::Branch && step.target() <= step.pc;
        if backward || (ends_block(&inst) && inst.flow() != Flow::Branch) {
            break;
        }
        index += 1;
    }
    steps
}
