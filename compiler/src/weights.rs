//! Which guest registers are hot: static uses, weighted by loop depth.

use crate::code::Text;
use hartlog_isa::Inst;

/// Loops nested deeper than this count no further.
const MAX_DEPTH: u32 = 4;
/// Factor per level of loop nesting.
const LOOP_FACTOR: u64 = 8;
/// Backward branches over more instructions than this are not counted as loops.
const MAX_LOOP: usize = 4096;

/// Guest registers from the hottest to the coldest, without x0.
pub fn registers(text: &Text) -> Vec<u8> {
    let depth = loop_depths(text);
    let mut uses = [0u64; 32];
    for (instruction, depth) in text.instructions.iter().zip(depth) {
        let Some(inst) = instruction.inst else {
            continue;
        };
        count(&mut uses, &inst, depth);
    }
    order(&uses)
}

/// Adds the registers of an instruction at this loop depth.
pub(crate) fn count(uses: &mut [u64; 32], inst: &Inst, depth: u32) {
    let weight = LOOP_FACTOR.pow(depth.min(MAX_DEPTH));
    let (a, b) = inst.sources();
    for r in [a, b, inst.writes()].into_iter().flatten() {
        uses[r as usize & 31] += weight;
    }
}

/// Registers other than x0 from the most used to the least.
pub(crate) fn order(uses: &[u64; 32]) -> Vec<u8> {
    let mut order: Vec<u8> = (1..32).collect();
    order.sort_by_key(|r| (std::cmp::Reverse(uses[*r as usize]), *r));
    order
}

/// Per instruction how many backward branches span it.
pub(crate) fn loop_depths(text: &Text) -> Vec<u32> {
    let mut change = vec![0i32; text.instructions.len() + 1];
    for (index, instruction) in text.instructions.iter().enumerate() {
        let Some(inst) = instruction.inst else {
            continue;
        };
        if inst.imm >= 0
            || !matches!(
                inst.flow(),
                hartlog_isa::Flow::Branch | hartlog_isa::Flow::Jal
            )
        {
            continue;
        }
        // A backward call is not a loop.
        if inst.writes().is_some() && inst.flow() == hartlog_isa::Flow::Jal {
            continue;
        }
        let target = u64::from(instruction.pc).wrapping_add(i64::from(inst.imm) as u64);
        if let Some(head) = text.at(target)
            && index - head <= MAX_LOOP
        {
            change[head] += 1;
            change[index + 1] -= 1;
        }
    }
    let mut depth = 0;
    change.pop();
    for c in &mut change {
        depth += *c;
        *c = depth;
    }
    change.into_iter().map(|d| d.max(0) as u32).collect()
}
