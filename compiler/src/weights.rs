//! Which guest registers are hot: static uses, weighted by loop depth and
//! by how often the function is called, as far as the code tells.

use crate::code::{Text, far_target};
use hartlog_isa::{Inst, Op};

/// Loops nested deeper than this count no further.
const MAX_DEPTH: u32 = 4;
/// Factor per level of loop nesting.
const LOOP_FACTOR: u64 = 8;
/// Backward branches over more instructions than this are not counted as loops.
const MAX_LOOP: usize = 4096;

/// Rounds in which call frequencies spread from callers to callees.
const ROUNDS: usize = 4;
/// No function counts as called more often than this.
const MAX_CALLS: u64 = LOOP_FACTOR.pow(MAX_DEPTH);

/// Guest registers from the hottest to the coldest, without x0. `starts` are the addresses of the
/// functions, ascending, `depths` what [`loop_depths`] says.
pub fn registers(text: &Text, starts: &[u64], depths: &[u32]) -> Vec<u8> {
    let calls = call_counts(text, depths, starts);
    let mut uses = [0u64; 32];
    let mut function = 0;
    for (i, instruction) in text.instructions.iter().enumerate() {
        let Some(inst) = instruction.inst else {
            continue;
        };
        while starts
            .get(function)
            .is_some_and(|s| *s <= u64::from(instruction.pc))
        {
            function += 1;
        }
        let times = calls[function];
        let weight = (weight(depths[i]) * times).min(MAX_CALLS * LOOP_FACTOR);
        add(&mut uses, &inst, weight);
    }
    order(&uses)
}

/// Index of the function that an address is in; 0 is what comes before the first.
fn function_of(starts: &[u64], pc: u64) -> usize {
    starts.partition_point(|s| *s <= pc)
}

/// How often each function is called, estimated from direct calls: a call in a loop counts more,
/// and so does whatever its caller's calls count. Recursion counts as a loop.
fn call_counts(text: &Text, depths: &[u32], starts: &[u64]) -> Vec<u64> {
    let mut edges = Vec::new();
    for (i, instruction) in text.instructions.iter().enumerate() {
        let pc = u64::from(instruction.pc);
        let Some(inst) = instruction.inst else {
            continue;
        };
        let target = match inst.op {
            Op::Jal if inst.rd != 0 => Some(instruction.target()),
            // A call over a distance.
            Op::Jalr if inst.rd != 0 => i.checked_sub(1).and_then(|before| {
                let high = &text.instructions[before];
                far_target(u64::from(high.pc), &high.inst?, &inst)
            }),
            _ => None,
        };
        if let Some(target) = target {
            let (from, to) = (function_of(starts, pc), function_of(starts, target));
            let recursion = if from == to { LOOP_FACTOR } else { 1 };
            edges.push((from, to, weight(depths[i]) * recursion));
        }
    }
    let mut calls = vec![1u64; starts.len() + 1];
    for _ in 0..ROUNDS {
        let mut next = vec![1u64; calls.len()];
        for (from, to, times) in &edges {
            next[*to] = (next[*to] + calls[*from] * times).min(MAX_CALLS);
        }
        calls = next;
    }
    calls
}

/// What something at a loop depth counts.
pub(crate) fn weight(depth: u32) -> u64 {
    const WEIGHTS: [u64; MAX_DEPTH as usize + 1] = {
        let mut weights = [1; MAX_DEPTH as usize + 1];
        let mut depth = 1;
        while depth < weights.len() {
            weights[depth] = weights[depth - 1] * LOOP_FACTOR;
            depth += 1;
        }
        weights
    };
    WEIGHTS[depth.min(MAX_DEPTH) as usize]
}

/// Adds the registers of an instruction.
pub(crate) fn add(uses: &mut [u64; 32], inst: &Inst, weight: u64) {
    let [a, b] = inst.reads();
    for r in [a, b, inst.rd] {
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
pub fn loop_depths(text: &Text) -> Vec<u32> {
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
        if let Some(head) = text.at(instruction.target())
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
