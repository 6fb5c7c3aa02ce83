//! How often each instruction was executed.

use super::{Columns, Consumer, Rows};
use crate::program::{Fetched, Program};
use hartlog_isa::{Hart, Inst, Op};

/// Executions of every instruction of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Per halfword of code (see [`Program::fetch_indexed`]) how often the instruction there
    /// retired.
    pub instructions: Vec<u64>,
}

impl Counts {
    /// Nothing executed.
    pub fn new(program: &Program) -> Counts {
        Counts {
            instructions: vec![0; program.len() as usize],
        }
    }

    /// Adds what a [`Counter`] counted in a chunk.
    pub fn take(&mut self, chunk: &[(u32, u64)]) {
        for (index, count) in chunk {
            if let Some(sum) = self.instructions.get_mut(*index as usize) {
                *sum += count;
            }
        }
    }

    /// Instructions that retired.
    pub fn total(&self) -> u64 {
        self.instructions.iter().sum()
    }

    /// Executed instructions with address and count, ascending by address.
    pub fn executed<'p>(
        &'p self,
        program: &'p Program,
    ) -> impl Iterator<Item = (u64, &'p Inst, u64)> + 'p {
        let pcs = program.addresses();
        self.instructions
            .iter()
            .zip(pcs)
            .filter(|(count, _)| **count != 0)
            .filter_map(|(count, pc)| match program.fetch(pc) {
                Fetched::Inst(inst) => Some((pc, inst, *count)),
                _ => None,
            })
    }

    /// Executions per operation, the most frequent first; those without any are left out.
    pub fn by_operation(&self, program: &Program) -> Vec<(Op, u64)> {
        let mut counts = vec![0u64; Op::ALL.len()];
        for (_, inst, count) in self.executed(program) {
            counts[inst.op as usize] += count;
        }
        let mut named: Vec<(Op, u64)> = Op::ALL
            .iter()
            .copied()
            .zip(counts)
            .filter(|(_, count)| *count != 0)
            .collect();
        named.sort_by_key(|(op, count)| (std::cmp::Reverse(*count), *op as u8));
        named
    }
}

/// Counts the instructions of a chunk. Needs [`Columns::PC`]. [`Counts::take`] adds its output up.
pub struct Counter {
    chunk: Vec<u64>,
    touched: Vec<u32>,
}

impl Counter {
    /// The columns that it needs.
    pub const COLUMNS: Columns = Columns::PC;

    /// A counter for a program.
    pub fn new(program: &Program) -> Counter {
        Counter {
            chunk: vec![0; program.len() as usize],
            touched: Vec::new(),
        }
    }
}

impl<'t> Consumer<'t> for Counter {
    /// Index of an instruction and how often it retired in the chunk.
    type Output = Vec<(u32, u64)>;

    fn begin_chunk(&mut self, _: &hartlog_format::parse::Chunk<'t>) {
        for index in self.touched.drain(..) {
            self.chunk[index as usize] = 0;
        }
    }

    fn rows(&mut self, rows: &Rows<'_>) {
        for pc in rows.pc() {
            let index = rows.program().index(u64::from(*pc));
            if let Some(count) = self.chunk.get_mut(index) {
                if *count == 0 {
                    self.touched.push(index as u32);
                }
                *count += 1;
            }
        }
    }

    fn end_chunk(&mut self, _: &Hart) -> Vec<(u32, u64)> {
        let mut out = Vec::with_capacity(self.touched.len());
        for index in self.touched.drain(..) {
            let count = std::mem::take(&mut self.chunk[index as usize]);
            out.push((index, count));
        }
        out
    }
}
