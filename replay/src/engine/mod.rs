//! What re-executes chunks: the interpreter.
//!
//! An [`Engine`] belongs to a program and a set of columns and is shared by all threads; each
//! thread has a [`Worker`], which takes one chunk after another, in any order.

mod interpreted;

use crate::error::Difference;
use crate::program::Program;
use crate::witness::{Columns, Consumer};
use hartlog_format::parse::Chunk;
use hartlog_isa::Hart;

/// Re-executes chunks of a program's traces and hands over the columns chosen. `'t` is the
/// lifetime of the traces' bytes.
pub struct Engine<'p, 't> {
    program: &'p Program,
    columns: Columns,
    kind: Kind<'t>,
}

enum Kind<'t> {
    Interpreted(interpreted::Code<'t>),
}

/// A chunk that was re-executed without any difference.
#[derive(Clone, Debug)]
pub struct Replayed<O> {
    /// The state at its end.
    pub hart: Hart,
    /// What the consumer said.
    pub output: O,
}

impl<'p, 't> Engine<'p, 't> {
    /// The portable engine, and the oracle for the others.
    pub fn interpreted(program: &'p Program, columns: Columns) -> Engine<'p, 't> {
        Engine {
            program,
            columns,
            kind: Kind::Interpreted(interpreted::Code::new(program, columns)),
        }
    }

    /// The program.
    pub fn program(&self) -> &'p Program {
        self.program
    }

    /// The columns that it hands over.
    pub fn columns(&self) -> Columns {
        self.columns
    }

    /// What a thread needs.
    pub fn worker(&self) -> Worker<'_, 'p, 't> {
        Worker {
            engine: self,
            kind: match &self.kind {
                Kind::Interpreted(_) => {
                    WorkerKind::Interpreted(interpreted::Worker::new(self.columns))
                }
            },
        }
    }
}

/// Re-executes chunks on one thread.
pub struct Worker<'e, 'p, 't> {
    engine: &'e Engine<'p, 't>,
    kind: WorkerKind<'t>,
}

enum WorkerKind<'t> {
    Interpreted(interpreted::Worker<'t>),
}

impl<'t> Worker<'_, '_, 't> {
    /// Re-executes a chunk; the checksum is not looked at.
    ///
    /// # Errors
    /// The first [`Difference`] inside the chunk. What the consumer was handed is void then.
    pub fn replay<C: Consumer<'t>>(
        &mut self,
        chunk: &Chunk<'t>,
        consumer: &mut C,
    ) -> Result<Replayed<C::Output>, Box<Difference>> {
        let program = self.engine.program;
        let hart = match (&mut self.kind, &self.engine.kind) {
            (WorkerKind::Interpreted(worker), Kind::Interpreted(code)) => {
                worker.replay(program, code, chunk, consumer)?
            }
        };
        let output = consumer.end_chunk(&hart);
        Ok(Replayed { hart, output })
    }
}
