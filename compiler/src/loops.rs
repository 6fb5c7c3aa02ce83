//! The loops of a function, from the jumps between its blocks.
//!
//! A jump backward alone makes no loop: compilers put what is seldom executed behind the function,
//! from where it jumps back. What counts are natural loops: jumps to a block through which every
//! path to them leads (Aho, Lam, Sethi, Ullman: Compilers, 9.6.6).

use crate::blocks::Block;
use hartlog_isa::Flow;
use templates::block::Follow;

/// Work on the loops of a function, in blocks looked at for each of its blocks: beyond it no more
/// loops are looked for. Functions that people write need less than a tenth.
const MAX_VISITS: usize = 64;
/// The same for a function of any size.
const FEW_VISITS: usize = 4096;

/// [`Loops::left`] of a block behind which the set is left in every round.
pub const ALWAYS: u64 = 256;

/// Where a branch can go on in the set and leave it, it leaves it one time in this many: calls and
/// errors are seldom what a loop is about.
const SELDOM: u64 = 4;

/// The loops of a function that can be gone around in a set of its blocks.
pub struct Loops {
    /// The blocks of each that are on a path around in the set, ascending. There is one for each
    /// head; of two one holds the other, or they have nothing in common.
    pub bodies: Vec<Vec<usize>>,
    /// Per block of the set how often the set, but not the loop, is left behind it: in a round of
    /// the innermost loop around it, as far as branches tell, in parts of [`ALWAYS`].
    pub left: Vec<u64>,
}

/// Finds the loops of a function in the set of its blocks that are `inside`.
pub fn natural(blocks: &[Block], inside: &[bool]) -> Loops {
    let mut loops = Loops {
        bodies: Vec::new(),
        left: vec![0; blocks.len()],
    };
    let graph = Graph::new(blocks);
    let order = Order::new(&graph);
    let mut visits = MAX_VISITS * blocks.len() + FEW_VISITS;
    let Some(back) = back_edges(&graph, &order, &mut visits) else {
        return loops;
    };
    // By which search a block was found last, and how often a round comes there.
    let mut found = vec![0; blocks.len()];
    let mut times = vec![0; blocks.len()];
    for (number, edges) in (0..).zip(back.chunk_by(|a, b| a.0 == b.0)) {
        let head = edges[0].0;
        if !inside[head] {
            continue;
        }
        let [whole, behind, around] = [1, 2, 3].map(|n| 3 * number + n);
        let tails = || edges.iter().map(|e| e.1);
        // The whole loop: backward from the jumps to the head.
        let mut body = vec![head];
        found[head] = whole;
        let mut todo: Vec<usize> = tails().collect();
        while let Some(block) = todo.pop() {
            if found[block] != whole {
                found[block] = whole;
                body.push(block);
                todo.extend(graph.from.of(block));
            }
        }
        visits = match visits.checked_sub(body.len()) {
            Some(left) => left,
            None => break,
        };
        body.sort_unstable_by_key(|b| order.rank[*b]);
        let within = |block: usize| found[block] == whole;
        estimate(
            &graph,
            &order,
            &body,
            within,
            inside,
            &mut times,
            &mut loops.left,
        );
        // What of it is inside: backward again, and forward from the head to what that finds.
        found[head] = behind;
        todo.extend(tails());
        while let Some(block) = todo.pop() {
            if inside[block] && found[block] == whole {
                found[block] = behind;
                todo.extend(graph.from.of(block));
            }
        }
        body.clear();
        todo.push(head);
        while let Some(block) = todo.pop() {
            if found[block] == behind {
                found[block] = around;
                body.push(block);
                todo.extend(graph.to.of(block));
            }
        }
        if tails().any(|tail| found[tail] == around) {
            body.sort_unstable();
            loops.bodies.push(body);
        }
    }
    loops
}

/// Estimates how often a loop's blocks, in their order, are executed in a round (into `times`), and
/// raises to it how often the set is left behind each ([`Loops::left`]).
fn estimate(
    graph: &Graph,
    order: &Order,
    body: &[usize],
    within: impl Fn(usize) -> bool,
    inside: &[bool],
    times: &mut [u64],
    left: &mut [u64],
) {
    body.iter().for_each(|b| times[*b] = 0);
    times[body[0]] = ALWAYS;
    for block in body.iter().copied() {
        let next = || graph.to.of(block).iter().copied().filter(|to| within(*to));
        let leaving = next().filter(|to| !inside[*to]).count() as u64;
        let staying = next().count() as u64 - leaving;
        let leaves = match (staying, leaving) {
            (_, 0) => 0,
            (0, _) => times[block],
            _ => times[block] / SELDOM,
        };
        let shares = [
            leaves / leaving.max(1),
            (times[block] - leaves) / staying.max(1),
        ];
        for to in next().filter(|to| order.rank[*to] > order.rank[block]) {
            times[to] += shares[usize::from(inside[to])];
        }
        if inside[block] {
            left[block] = left[block].max(leaves);
        }
    }
}

/// Which blocks of a function go to which.
struct Graph {
    /// Per block the blocks that it goes to.
    to: Lists,
    /// Per block the blocks from which it is reached, ascending.
    from: Lists,
}

/// A list of blocks for each block.
struct Lists {
    items: Vec<usize>,
    /// Where in the items each list ends.
    ends: Vec<usize>,
}

impl Lists {
    fn of(&self, block: usize) -> &[usize] {
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start..self.ends[block]]
    }

    /// The lists that say who has a block in its own.
    fn inverse(&self) -> Lists {
        let mut ends = vec![0; self.ends.len()];
        self.items.iter().for_each(|to| ends[*to] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // Each list is filled from its start, and the start becomes its end.
            sum += *end;
            *end = sum - *end;
        }
        let mut items = vec![0; self.items.len()];
        for from in 0..self.ends.len() {
            for to in self.of(from) {
                items[ends[*to]] = from;
                ends[*to] += 1;
            }
        }
        Lists { items, ends }
    }
}

impl Graph {
    fn new(blocks: &[Block]) -> Graph {
        let starts: Vec<u64> = blocks
            .iter()
            .map(|b| b.first().map_or(0, |s| s.pc))
            .collect();
        let index_of = |pc: u64| starts.binary_search(&pc).ok();
        let mut to = Lists {
            items: Vec::with_capacity(2 * blocks.len()),
            ends: Vec::with_capacity(blocks.len()),
        };
        for (from, block) in blocks.iter().enumerate() {
            let mut add = |pc: u64| to.items.extend(index_of(pc));
            // The first block that starts at the step or behind it.
            let mut following = from;
            let mut straight = starts[from];
            for (i, step) in block.iter().enumerate() {
                if step.pc == straight {
                    let passed = starts[following..].iter().take_while(|s| **s < step.pc);
                    following += passed.count();
                } else {
                    following = starts.partition_point(|s| *s < step.pc);
                }
                straight = step.next();
                if i > 0 && starts.get(following) == Some(&step.pc) {
                    // From here on it repeats another block.
                    add(step.pc);
                    break;
                }
                let Some(inst) = step.inst else { break };
                let last = i + 1 == block.len();
                match inst.flow() {
                    Flow::Next | Flow::Trap if !last => continue,
                    Flow::Branch if step.follow == Follow::Skip => continue,
                    Flow::Branch => {
                        add(step.target());
                        if step.follow == Follow::Fall && !last {
                            continue;
                        }
                        add(step.next());
                    }
                    Flow::Jal if inst.writes().is_none() => add(step.target()),
                    // A return, or a computed jump.
                    Flow::Jalr if inst.writes().is_none() => {}
                    // A call comes back.
                    Flow::Next | Flow::Trap | Flow::Ecall | Flow::Jal | Flow::Jalr => {
                        add(step.next());
                    }
                }
                break;
            }
            to.ends.push(to.items.len());
        }
        let from = to.inverse();
        Graph { to, from }
    }
}

/// The blocks of a function, each in front of those that it goes to, but for jumps back.
struct Order {
    blocks: Vec<usize>,
    /// Per block its place in the order.
    rank: Vec<usize>,
    /// Per block whether it is entered from outside: the first one, and those of which no other
    /// entrance is known.
    entry: Vec<bool>,
}

impl Order {
    fn new(graph: &Graph) -> Order {
        let count = graph.to.ends.len();
        let mut entry = vec![false; count];
        let mut seen = vec![false; count];
        let mut blocks = Vec::with_capacity(count);
        // Blocks to which only blocks behind them go come last.
        let likely = (0..count).filter(|b| *b == 0 || graph.from.of(*b).is_empty());
        for first in likely.chain(0..count) {
            if seen[first] {
                continue;
            }
            seen[first] = true;
            entry[first] = true;
            let mut path = vec![(first, 0)];
            while let Some((block, next)) = path.last_mut() {
                let to = graph.to.of(*block).get(*next).copied();
                *next += 1;
                match to {
                    Some(to) if seen[to] => {}
                    Some(to) => {
                        seen[to] = true;
                        path.push((to, 0));
                    }
                    None => {
                        blocks.push(*block);
                        path.pop();
                    }
                }
            }
        }
        blocks.reverse();
        let mut rank = vec![0; count];
        for (place, block) in blocks.iter().enumerate() {
            rank[*block] = place;
        }
        Order {
            blocks,
            rank,
            entry,
        }
    }
}

/// Jumps back to a block that dominates them, as (head, block), ascending; `None` if that takes more
/// than these visits.
fn back_edges(graph: &Graph, order: &Order, visits: &mut usize) -> Option<Vec<(usize, usize)>> {
    let rank = &order.rank;
    let mut edges: Vec<(usize, usize)> = (0..graph.to.ends.len())
        .flat_map(|block| graph.to.of(block).iter().map(move |to| (*to, block)))
        .filter(|(head, block)| rank[*head] <= rank[*block])
        .collect();
    if edges.is_empty() {
        return Some(edges);
    }
    let dominator = dominators(graph, order, visits)?;
    edges.retain(|(head, block)| {
        let mut up = *block;
        while up != OUTSIDE && rank[up] > rank[*head] && *visits > 0 {
            up = dominator[up];
            *visits -= 1;
        }
        up == *head
    });
    edges.sort_unstable();
    edges.dedup();
    Some(edges)
}

/// The immediate dominator of a block that is entered from outside.
const OUTSIDE: usize = usize::MAX;

/// Per block its immediate dominator (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm,
/// figure 3).
fn dominators(graph: &Graph, order: &Order, visits: &mut usize) -> Option<Vec<usize>> {
    const UNKNOWN: usize = OUTSIDE - 1;
    let mut dominator = vec![UNKNOWN; graph.to.ends.len()];
    let mut common = |dominator: &[usize], mut a: usize, mut b: usize| {
        while a != b {
            if a == OUTSIDE || b == OUTSIDE {
                return Some(OUTSIDE);
            }
            *visits = visits.checked_sub(1)?;
            let deeper = if order.rank[a] > order.rank[b] {
                &mut a
            } else {
                &mut b
            };
            *deeper = dominator[*deeper];
        }
        Some(a)
    };
    let mut changed = true;
    while changed {
        changed = false;
        for block in order.blocks.iter().copied() {
            let mut new = if order.entry[block] { OUTSIDE } else { UNKNOWN };
            // The deepest first: from there it is not far to the next.
            for from in graph.from.of(block).iter().rev().copied() {
                if dominator[from] == UNKNOWN {
                    continue;
                }
                new = match new {
                    UNKNOWN => from,
                    other => common(&dominator, from, other)?,
                };
            }
            changed |= dominator[block] != new;
            dominator[block] = new;
        }
    }
    Some(dominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hartlog_isa::{Inst, Op};
    use templates::block::Step;

    /// Blocks of one instruction each: those at the indices jump or branch to an index.
    fn blocks(count: u64, jumps: &[(u64, Op, i64)]) -> Vec<Block> {
        let block = |index: u64| {
            let jump = jumps.iter().find(|j| j.0 == index);
            let inst = match jump {
                Some((from, op, to)) => {
                    let rd = u8::from(*op == Op::Jalr);
                    Inst::new(*op, rd, 1, 2, 4 * (*to as i32 - *from as i32))
                }
                None => Inst::new(Op::Addi, 1, 1, 0, 1),
            };
            vec![Step {
                pc: 0x1000 + 4 * index,
                inst: Some(inst),
                follow: Follow::Fall,
                perhaps: false,
            }]
        };
        (0..count).map(block).collect()
    }

    fn bodies(blocks: &[Block], outside: &[usize]) -> Vec<Vec<usize>> {
        let inside: Vec<bool> = (0..blocks.len()).map(|b| !outside.contains(&b)).collect();
        natural(blocks, &inside).bodies
    }

    #[test]
    fn loops_in_loops() {
        let nest = blocks(6, &[(3, Op::Bne, 2), (4, Op::Bne, 1)]);
        assert_eq!(bodies(&nest, &[]), [vec![1, 2, 3, 4], vec![2, 3]]);
        // Two jumps to one head are one loop; a block may be one.
        let nest = blocks(5, &[(1, Op::Bne, 1), (2, Op::Bne, 1), (3, Op::Bne, 1)]);
        assert_eq!(bodies(&nest, &[]), [vec![1, 2, 3]]);
    }

    #[test]
    fn what_jumps_back_from_behind_is_no_loop() {
        // 1 goes to 4 sometimes, which goes back to 2.
        let cold = blocks(5, &[(1, Op::Beq, 4), (3, Op::Jal, 9), (4, Op::Jal, 2)]);
        assert!(bodies(&cold, &[]).is_empty());
    }

    #[test]
    fn loops_that_are_entered_in_the_middle() {
        // From 0 to 2; 1 is at the top, but every round starts with 2.
        let rotated = blocks(5, &[(0, Op::Jal, 2), (3, Op::Bne, 1)]);
        assert_eq!(bodies(&rotated, &[]), [vec![1, 2, 3]]);
        // From 0 to 2 or 1: no block is in front of all others.
        let two = blocks(5, &[(0, Op::Beq, 2), (3, Op::Bne, 1)]);
        assert!(bodies(&two, &[]).is_empty());
    }

    #[test]
    fn blocks_outside_of_the_set_are_left_out() {
        // 1 to 4, where 2, which is outside, is skipped or not.
        let around = blocks(6, &[(1, Op::Beq, 3), (4, Op::Bne, 1)]);
        assert_eq!(bodies(&around, &[2]), [vec![1, 3, 4]]);
        let inside = [true, true, false, true, true, true];
        assert_eq!(
            natural(&around, &inside).left,
            [0, ALWAYS / SELDOM, 0, 0, 0, 0]
        );
        // There is no other way around, or the head is outside.
        assert!(bodies(&around, &[3]).is_empty());
        assert!(bodies(&around, &[1]).is_empty());
    }

    #[test]
    fn calls_come_back_and_returns_do_not() {
        let call = blocks(4, &[(1, Op::Jalr, 0), (2, Op::Bne, 1)]);
        assert_eq!(bodies(&call, &[]), [vec![1, 2]]);
        let mut end = call.clone();
        end[1][0].inst = Some(Inst::new(Op::Jalr, 0, 1, 0, 0));
        // Then 2 is entered from elsewhere.
        assert!(bodies(&end, &[]).is_empty());
    }
}
