//! Where blocks start.
//!
//! A block starts wherever control may come from elsewhere: targets of direct branches, return
//! sites, symbols, the entry, code pointers found in data, address constants built in code, and
//! targets in jump tables. A start that is missed costs time, not correctness (the runtime
//! interprets up to the next block); one too many only cuts a block in two.

use crate::code::Text;
use hartlog_elf::Elf;
use hartlog_isa::{Flow, Inst, Op};
use templates::block::{MAX_SKIPPED, goes_on_skippable, is_skippable};

/// Per instruction: does a block start here?
#[derive(Clone, Debug)]
pub struct Leaders {
    /// For how many reasons (saturating).
    marks: Vec<u8>,
    /// Of branches over instructions that become conditional instead: over how many.
    skips: Vec<u8>,
}

impl Leaders {
    /// Whether a block starts at the instruction with this index.
    pub fn contains(&self, index: usize) -> bool {
        self.marks.get(index).is_some_and(|m| *m > 0)
    }

    /// Adds a start.
    pub fn insert(&mut self, index: usize) {
        if let Some(mark) = self.marks.get_mut(index) {
            *mark = mark.saturating_add(1);
        }
    }

    /// How many instructions behind this one, a branch, are made conditional instead.
    pub fn skipped(&self, index: usize) -> usize {
        self.skips.get(index).map_or(0, |n| usize::from(*n))
    }

    fn insert_pc(&mut self, text: &Text, pc: u64) -> bool {
        match text.at(pc) {
            Some(index) => {
                self.insert(index);
                true
            }
            None => false,
        }
    }
}

/// Whether a CSR instruction traps: it is not a read of a counter.
pub fn traps_on_csr(inst: &Inst) -> bool {
    matches!(
        inst.op,
        Op::Csrrw | Op::Csrrs | Op::Csrrc | Op::Csrrwi | Op::Csrrsi | Op::Csrrci
    ) && !inst.reads_counter()
}

/// Finds the block starts of a program.
pub fn leaders(elf: &Elf, text: &Text) -> Leaders {
    let mut leaders = all_leaders(elf, text);
    find_skips(text, &mut leaders);
    leaders
}

/// [`leaders`] of blocks in which every instruction is either executed or jumped over: none is
/// made conditional.
pub fn all_leaders(elf: &Elf, text: &Text) -> Leaders {
    let mut leaders = Leaders {
        marks: vec![0; text.instructions.len()],
        skips: vec![0; text.instructions.len()],
    };
    leaders.insert_pc(text, elf.entry);
    for symbol in &elf.symbols {
        leaders.insert_pc(text, symbol.addr);
    }
    for range in text.ranges() {
        leaders.insert_pc(text, range.start);
    }
    from_code(elf, text, &mut leaders);
    from_data(elf, text, &mut leaders);
    leaders
}

/// Finds branches over few cheap instructions. Where no other instruction is the reason, no block
/// has to start at their targets any more, nor behind those that go backward.
fn find_skips(text: &Text, leaders: &mut Leaders) {
    for index in 0..text.instructions.len() {
        let Some((n, start)) = skip(text, leaders, index) else {
            continue;
        };
        leaders.skips[index] = n;
        if let Some(start) = start {
            let mark = &mut leaders.marks[start];
            *mark = mark.saturating_sub(1);
        }
    }
}

/// If the instruction is a branch over few others, which only compute one register: how many, and
/// the index where the branch is no reason any more for a block to start. The last of them may jump
/// to the target.
fn skip(text: &Text, leaders: &Leaders, index: usize) -> Option<(u8, Option<usize>)> {
    let branch = text.instructions.get(index)?;
    branch.inst.filter(|i| i.flow() == Flow::Branch)?;
    let target = branch.target();
    let backward = target <= u64::from(branch.pc);
    let mut next = branch.next();
    let mut computed = None;
    for (n, instruction) in (0u8..).zip(&text.instructions[index + 1..]) {
        let at = index + 1 + usize::from(n);
        if u64::from(instruction.pc) != next {
            return None;
        }
        if next == target && n > 0 {
            return Some((n, Some(at)));
        }
        let inst = instruction.inst?;
        let own = u8::from(backward && n == 0);
        if usize::from(n) == MAX_SKIPPED || leaders.marks[at] > own {
            return None;
        }
        match computed {
            None if is_skippable(&inst) => computed = Some(inst.rd),
            Some(rd) if goes_on_skippable(rd, &inst) => {}
            Some(_) if inst.op == Op::Jal && inst.rd == 0 && instruction.target() == target => {
                return Some((n + 1, backward.then_some(index + 1)));
            }
            _ => return None,
        }
        next = instruction.next();
    }
    None
}

/// Targets, return sites and address constants.
fn from_code(elf: &Elf, text: &Text, leaders: &mut Leaders) {
    // Values of registers built by lui/auipc/addi, as far as one pass in address order sees them.
    let mut constants: [Option<u64>; 32] = [None; 32];
    let mut entries = ENTRIES_PER_INSTRUCTION * text.instructions.len() + MAX_TABLE;
    for (index, instruction) in text.instructions.iter().enumerate() {
        let pc = u64::from(instruction.pc);
        let Some(inst) = instruction.inst else {
            leaders.insert_pc(text, instruction.next());
            continue;
        };
        let target = instruction.target();
        match inst.flow() {
            Flow::Next if traps_on_csr(&inst) => leaders.insert(index + 1),
            Flow::Next => {}
            Flow::Branch => {
                leaders.insert_pc(text, target);
                if target <= pc {
                    leaders.insert(index + 1);
                }
            }
            Flow::Jal => {
                leaders.insert_pc(text, target);
                leaders.insert(index + 1);
            }
            Flow::Jalr => {
                if let Some(base) = constants[inst.rs1 as usize & 31] {
                    leaders.insert_pc(text, base.wrapping_add(i64::from(inst.imm) as u64) & !1);
                }
                leaders.insert(index + 1);
            }
            Flow::Ecall | Flow::Trap => leaders.insert(index + 1),
        }
        let value = match inst.op {
            Op::Lui => Some(i64::from(inst.imm) as u64),
            Op::Auipc => Some(target),
            Op::Addi => match inst.rs1 {
                0 => None,
                rs1 => {
                    constants[rs1 as usize & 31].map(|c| c.wrapping_add(i64::from(inst.imm) as u64))
                }
            },
            _ => None,
        };
        if let Some(value) = value
            && !matches!(inst.op, Op::Lui | Op::Auipc)
        {
            if text.contains(value) {
                leaders.insert_pc(text, value);
            } else {
                jump_table(elf, text, value, leaders, &mut entries);
            }
        }
        if let Some(rd) = inst.writes() {
            constants[rd as usize] = value;
        }
    }
}

/// A table of 32-bit offsets from its own start (position-independent `switch`), or of 32-bit
/// addresses. Entries are taken as long as they name instructions, up to what is left of `room`.
fn jump_table(elf: &Elf, text: &Text, table: u64, leaders: &mut Leaders, room: &mut usize) {
    let Some(segment) = elf
        .segments
        .iter()
        .find(|s| (s.vaddr..s.end()).contains(&table))
    else {
        return;
    };
    let data = elf.data(segment);
    let Some(bytes) = data.get((table - segment.vaddr) as usize..) else {
        return;
    };
    let words = || {
        bytes
            .chunks_exact(4)
            .map(|w| i32::from_le_bytes([w[0], w[1], w[2], w[3]]))
    };
    let relative = |w: i32| table.wrapping_add(i64::from(w) as u64);
    let absolute = |w: i32| u64::from(w as u32);
    for target in [&relative as &dyn Fn(i32) -> u64, &absolute] {
        let entries: Vec<u64> = words()
            .map(target)
            .take_while(|t| text.at(*t).is_some())
            .take(MAX_TABLE.min(*room))
            .collect();
        *room -= entries.len();
        if entries.len() >= 2 {
            for t in entries {
                leaders.insert_pc(text, t);
            }
        }
    }
}

/// Entries of a jump table that are looked at.
const MAX_TABLE: usize = 4096;

/// Entries of all jump tables that are looked at, for each instruction: a table that many
/// instructions refer to, or into, must not take as much time as there are pairs.
const ENTRIES_PER_INSTRUCTION: usize = 16;

/// Aligned 64-bit words of the data that are addresses of instructions.
fn from_data(elf: &Elf, text: &Text, leaders: &mut Leaders) {
    for segment in &elf.segments {
        let data = elf.data(segment);
        let skip = segment.vaddr.next_multiple_of(8) - segment.vaddr;
        let Some(data) = data.get(skip as usize..) else {
            continue;
        };
        let start = segment.vaddr + skip;
        for (i, w) in data.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes([w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7]]);
            // The upper half is zero in few words other than pointers and small numbers.
            if value >> 32 == 0 && value != 0 && !text.contains(start + 8 * i as u64) {
                leaders.insert_pc(text, value);
            }
        }
    }
}
