//! What re-executes chunks: compiled code, or the interpreter.
//!
//! An [`Engine`] belongs to a program and a set of columns and is shared by all threads; each
//! thread has a [`Worker`], which takes one chunk after another, in any order. Both engines hand
//! over the same rows and find the same differences.

mod cache;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compiled;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "portable.rs"]
mod compiled;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod image;
mod interpreted;
mod shared;

pub(crate) use compiled::shared_memory;

pub use cache::{Cache, CompileError};
pub use shared::ObjectError;

use crate::chunk::Row;
use crate::error::{Difference, DifferenceKind};
use crate::memory::Memory;
use crate::program::Program;
use crate::witness::{Columns, Consumer};
use hartlog_format::parse::Chunk;
use hartlog_isa::Hart;
use std::path::Path;

/// Which engine is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Compiled code, and the interpreter where there can be none.
    #[default]
    Auto,
    /// Compiled code.
    Compiled,
    /// The interpreter.
    Interpreted,
}

/// Re-executes chunks of a program's traces and hands over the columns chosen. `'t` is the
/// lifetime of the traces' bytes.
pub struct Engine<'p, 't> {
    program: &'p Program,
    columns: Columns,
    kind: Kind<'t>,
}

enum Kind<'t> {
    Interpreted(interpreted::Code<'t>),
    Compiled(compiled::Code),
}

/// A chunk that was re-executed without any difference.
#[derive(Clone, Debug)]
pub struct Replayed<O> {
    /// The state at its end.
    pub hart: Hart,
    /// What the consumer said.
    pub output: O,
}

/// Why a chunk could not be re-executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It is wrong.
    #[error("{0}")]
    Difference(Box<Difference>),
    /// Compiled code came to another result than the interpreter, which finds nothing wrong.
    #[error("chunk {chunk}: compiled code and interpreter disagree, and the chunk is right")]
    Engine {
        /// The chunk.
        chunk: u64,
    },
}

impl<'p, 't> Engine<'p, 't> {
    /// The portable engine, and the oracle for the other.
    pub fn interpreted(program: &'p Program, columns: Columns) -> Engine<'p, 't> {
        Engine {
            program,
            columns,
            kind: Kind::Interpreted(interpreted::Code::new(
                program,
                interpreted_columns(columns),
            )),
        }
    }

    /// Compiled code from a shared object, the bytes of which `compiler --mode replay --link`
    /// wrote for this program and these columns.
    ///
    /// The object is executed: it must come from someone who may run programs here. What is checked
    /// guards against mistakes, not against malice.
    ///
    /// # Errors
    /// [`CompileError`] when the object is another's, or this machine cannot run it.
    pub fn compiled(
        program: &'p Program,
        columns: Columns,
        object: Vec<u8>,
    ) -> Result<Engine<'p, 't>, CompileError> {
        let shared = shared::Shared::parse(object, &program.elf().sha256, columns)?;
        Ok(Engine {
            program,
            columns,
            kind: Kind::Compiled(compiled::Code::new(shared, columns)?),
        })
    }

    /// The engine of choice. A compiled one is taken from the cache or put there. With
    /// [`Choice::Auto`], the second value says why there is none.
    ///
    /// # Errors
    /// [`CompileError`], with [`Choice::Compiled`] only.
    pub fn choose(
        program: &'p Program,
        columns: Columns,
        choice: Choice,
        cache: &Cache,
    ) -> Result<(Engine<'p, 't>, Option<CompileError>), CompileError> {
        let interpreted = || Engine::interpreted(program, columns);
        if choice == Choice::Interpreted {
            return Ok((interpreted(), None));
        }
        match (Engine::cached(program, columns, cache), choice) {
            (Ok(engine), _) => Ok((engine, None)),
            (Err(error), Choice::Compiled) => Err(error),
            (Err(error), _) => Ok((interpreted(), Some(error))),
        }
    }

    fn cached(
        program: &'p Program,
        columns: Columns,
        cache: &Cache,
    ) -> Result<Engine<'p, 't>, CompileError> {
        compiled::supported()?;
        if let Some(object) = cache.get(program, columns)
            && let Ok(engine) = Engine::compiled(program, columns, object)
        {
            return Ok(engine);
        }
        Engine::compiled(program, columns, cache.make(program, columns)?)
    }

    /// Compiled code from a file, see [`Engine::compiled`].
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn from_file(
        program: &'p Program,
        columns: Columns,
        path: &Path,
    ) -> Result<Engine<'p, 't>, CompileError> {
        let object = std::fs::read(path).map_err(|source| CompileError::Io {
            path: path.to_owned(),
            source,
        })?;
        Engine::compiled(program, columns, object)
    }

    /// The program.
    pub fn program(&self) -> &'p Program {
        self.program
    }

    /// The columns that it hands over.
    pub fn columns(&self) -> Columns {
        self.columns
    }

    /// Whether it can follow memory itself, with [`Engine::follower`].
    pub(crate) fn follows(&self) -> bool {
        self.columns.contains(Columns::FOLLOW) && self.follower().follows()
    }

    /// Whether it executes compiled code.
    pub fn is_compiled(&self) -> bool {
        matches!(self.kind, Kind::Compiled(_))
    }

    /// What a thread needs. Where there is no memory for compiled code, the worker interprets; so it
    /// does where that would follow memory, which takes chunks in order.
    pub fn worker(&self) -> Worker<'_, 'p, 't> {
        match self.columns.contains(Columns::FOLLOW) {
            true => self.interpreter(),
            false => self.follower(),
        }
    }

    /// [`Engine::worker`] for a consumer that has the memory to be followed, where that is wanted.
    pub(crate) fn follower(&self) -> Worker<'_, 'p, 't> {
        let compiled = match &self.kind {
            Kind::Interpreted(_) => None,
            Kind::Compiled(code) => compiled::Worker::new(code).ok(),
        };
        match compiled {
            Some(worker) => Worker {
                engine: self,
                kind: WorkerKind::Compiled(Box::new(worker)),
            },
            None => self.interpreter(),
        }
    }

    fn interpreter(&self) -> Worker<'_, 'p, 't> {
        let worker = interpreted::Worker::new(interpreted_columns(self.columns));
        Worker {
            engine: self,
            kind: WorkerKind::Interpreted(Box::new(worker)),
        }
    }
}

/// The columns that the interpreter hands over in place of these: it does not follow memory.
fn interpreted_columns(columns: Columns) -> Columns {
    match columns {
        Columns::FOLLOW => Columns::MEMORY,
        columns => columns,
    }
}

/// Re-executes chunks on one thread.
pub struct Worker<'e, 'p, 't> {
    engine: &'e Engine<'p, 't>,
    kind: WorkerKind<'e, 't>,
}

enum WorkerKind<'e, 't> {
    Interpreted(Box<interpreted::Worker<'t>>),
    Compiled(Box<compiled::Worker<'e>>),
}

impl<'t> Worker<'_, '_, 't> {
    /// Whether it follows memory itself: it wants the consumer's ([`Columns::FOLLOW`]). If it
    /// should and does not, it hands over memory operations.
    pub(crate) fn follows(&self) -> bool {
        let follow = self.engine.columns.contains(Columns::FOLLOW);
        follow && matches!(self.kind, WorkerKind::Compiled(_))
    }

    /// Re-executes a chunk; the checksum is not looked at.
    ///
    /// # Errors
    /// The first [`Difference`] inside the chunk. What the consumer was handed is void then.
    pub fn replay<C: Consumer<'t>>(
        &mut self,
        chunk: &Chunk<'t>,
        consumer: &mut C,
    ) -> Result<Replayed<C::Output>, ReplayError> {
        let Engine { program, kind, .. } = self.engine;
        let hart = match &mut self.kind {
            WorkerKind::Interpreted(worker) => {
                let rows = interpreted::Code::Rows;
                let code = match kind {
                    Kind::Interpreted(code) => code,
                    Kind::Compiled(_) => &rows,
                };
                worker
                    .replay(program, code, chunk, consumer)
                    .map_err(ReplayError::Difference)?
            }
            WorkerKind::Compiled(worker) => match worker.replay(program, chunk, consumer) {
                Ok(hart) => hart,
                Err(odd) => {
                    let memory = consumer.followed();
                    return Err(explain(program, chunk, &odd, memory));
                }
            },
        };
        let output = consumer.end_chunk(&hart);
        Ok(Replayed { hart, output })
    }
}

/// What compiled code found odd in a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    /// Anything but what is below.
    Chunk,
    /// Memory is followed, and the value at this place in the log is not what it holds.
    Value(u64),
    /// Memory is followed, and an access from this step on is not allowed. All before it is right.
    Access(u64),
}

/// What is wrong with a chunk that compiled code found odd. `memory` is as it was then.
fn explain(
    program: &Program,
    chunk: &Chunk<'_>,
    odd: &Odd,
    memory: Option<&mut Memory>,
) -> ReplayError {
    let mut find = Find {
        odd: *odd,
        memory: memory.as_deref(),
        log: 0,
        found: None,
    };
    let result = crate::chunk::replay(program, chunk, &mut find);
    let index = chunk.header.index.get();
    let found = find
        .found
        .map(|(step, pc, kind)| Difference::new(program, index, step, pc, kind));
    match found.or(result.err()) {
        Some(difference) => ReplayError::Difference(Box::new(difference)),
        None => ReplayError::Engine { chunk: index },
    }
}

/// Finds the access that compiled code found odd.
struct Find<'m> {
    odd: Odd,
    memory: Option<&'m Memory>,
    /// Bytes of log read.
    log: u64,
    found: Option<(u64, u64, DifferenceKind)>,
}

impl crate::chunk::Consumer for Find<'_> {
    fn row(&mut self, row: &Row<'_>) {
        let (Some(memory), Some(access)) = (self.memory, row.access) else {
            return;
        };
        let log = self.log;
        self.log += access.read.map_or(0, |_| access.width.bytes());
        let suspect = match self.odd {
            Odd::Chunk => false,
            Odd::Value(at) => at == log && access.read.is_some(),
            Odd::Access(from) => row.step >= from,
        };
        if suspect && self.found.is_none() {
            let fault = memory.compare(&access).err();
            self.found = fault.map(|fault| (row.step, row.pc, fault.kind(log)));
        }
    }
}
