//! The witness of a run: every retired instruction with its values, in columns, and every access
//! to memory, handed over in batches that stay in the cache.
//!
//! A [`Consumer`] takes the batches of one chunk after another; [`run`](crate::drive::run) gives
//! one to every thread and brings their results together. A consumer gets the [`Columns`] that it
//! asks for, and only these cost time.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use replay::witness::{Columns, Consumer, Rows};
//! use replay::{drive, engine::Engine, program::Program, trace::Trace};
//!
//! /// Sum of all values written to registers.
//! #[derive(Default)]
//! struct Sum(u64);
//!
//! impl Consumer<'_> for Sum {
//!     type Output = u64;
//!
//!     fn rows(&mut self, rows: &Rows<'_>) {
//!         self.0 = rows.rd().iter().fold(self.0, |sum, rd| sum.wrapping_add(*rd));
//!     }
//!
//!     fn end_chunk(&mut self, _: &hartlog_isa::Hart) -> u64 {
//!         std::mem::take(&mut self.0)
//!     }
//! }
//!
//! # let bytes = replay::doc::exit_elf();
//! # let program = Program::new(hartlog_elf::Elf::parse(bytes)?);
//! # let trace = Trace::from_bytes(replay::doc::trace(&program)?)?;
//! let engine = Engine::interpreted(&program, Columns::RD);
//! let mut total = 0u64;
//! let options = drive::Options::default();
//! drive::run(&trace, &engine, &options, |_| Sum::default(), |_chunk, sum| {
//!     total = total.wrapping_add(sum);
//!     Ok::<(), replay::check::CheckError>(())
//! })?;
//! assert_eq!(total, 93); // li a7, 93; the ecall leaves 0 in a0
//! # Ok(())
//! # }
//! ```

pub(crate) mod batch;
mod counts;

pub use crate::chunk::Call;
pub use counts::{Counter, Counts};
pub use hartlog_format::witness::{BATCH_OPS, BATCH_ROWS, BATCH_STEPS, Columns, MemoryOp};

use crate::memory::Memory;
use crate::program::Program;
use hartlog_format::parse::Chunk;
use hartlog_isa::{Hart, Inst};

/// Takes the witness of one chunk after another. `'t` is the lifetime of the trace's bytes.
///
/// The calls for a chunk are `begin_chunk`, then any number of `rows`, `memory_ops` and `call`,
/// then `end_chunk`. Rows and memory operations are each in order of execution. A chunk that turns
/// out to be wrong has no `end_chunk`: what was handed over of it is void, and another
/// `begin_chunk` may follow. [`run`](crate::drive::run) tells of it by `wrong_chunk`.
pub trait Consumer<'t> {
    /// What there is to say of a chunk.
    type Output: Send;

    /// A chunk starts.
    fn begin_chunk(&mut self, _chunk: &Chunk<'t>) {}

    /// The next instructions, if a column of rows was chosen; at most [`BATCH_ROWS`].
    fn rows(&mut self, _rows: &Rows<'_>) {}

    /// The next memory operations, if [`Columns::MEMORY`] was chosen; at most [`BATCH_OPS`].
    fn memory_ops(&mut self, _ops: &[MemoryOp]) {}

    /// An environment call, before its result is set. All memory operations before it were handed
    /// over; its row may come earlier or later.
    fn call(&mut self, _call: &Call<'t>) {}

    /// The memory to be followed, for [`Columns::FOLLOW`].
    #[doc(hidden)]
    fn followed(&mut self) -> Option<&mut Memory> {
        None
    }

    /// The chunk is at its end, in this state, and nothing inside it is wrong.
    fn end_chunk(&mut self, end: &Hart) -> Self::Output;

    /// A chunk that this consumer would have got, or has got, is wrong: what was handed over of it
    /// is void, its output included.
    fn wrong_chunk(&mut self) {}
}

/// Verifies only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verify;

impl Consumer<'_> for Verify {
    type Output = ();

    fn end_chunk(&mut self, _: &Hart) {}
}

/// Retired instructions, one after another. A column that was not chosen is empty.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    pub(crate) program: &'a Program,
    pub(crate) first_step: u64,
    pub(crate) len: usize,
    pub(crate) next_pc: u64,
    pub(crate) pc: &'a [u32],
    pub(crate) values: [&'a [u64]; 6],
}

impl<'a> Rows<'a> {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Steps retired before the first of them, since the start of the run.
    pub fn first_step(&self) -> u64 {
        self.first_step
    }

    /// Address of each instruction ([`Columns::PC`]).
    pub fn pc(&self) -> &'a [u32] {
        self.pc
    }

    /// Value of rs1 before ([`Columns::RS1`]).
    pub fn rs1(&self) -> &'a [u64] {
        self.values[0]
    }

    /// Value of rs2 before, or the immediate ([`Columns::RS2`]).
    pub fn rs2(&self) -> &'a [u64] {
        self.values[1]
    }

    /// Value of rd after ([`Columns::RD`]).
    pub fn rd(&self) -> &'a [u64] {
        self.values[2]
    }

    /// Effective address ([`Columns::ADDR`]).
    pub fn addr(&self) -> &'a [u64] {
        self.values[3]
    }

    /// Value read ([`Columns::READ`]).
    pub fn read(&self) -> &'a [u64] {
        self.values[4]
    }

    /// Value written ([`Columns::WRITTEN`]).
    pub fn written(&self) -> &'a [u64] {
        self.values[5]
    }

    /// Address of the instruction after row `row`; needs [`Columns::PC`]. `None` beyond the end.
    pub fn next_pc(&self, row: usize) -> Option<u64> {
        if row + 1 == self.len {
            Some(self.next_pc)
        } else {
            self.pc.get(row + 1).map(|pc| u64::from(*pc))
        }
    }

    /// The instruction of row `row` with its index in the decoded program (see
    /// [`Program::fetch_indexed`]); needs [`Columns::PC`]. `None` beyond the end.
    pub fn instruction(&self, row: usize) -> Option<(&'a Inst, u64)> {
        let pc = *self.pc.get(row)?;
        match self.program.fetch_indexed(u64::from(pc)) {
            (crate::program::Fetched::Inst(inst), index) => Some((inst, index)),
            _ => None,
        }
    }

    /// The program.
    pub fn program(&self) -> &'a Program {
        self.program
    }
}
