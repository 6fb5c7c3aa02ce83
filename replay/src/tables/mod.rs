//! The witness as tables in files: Arrow IPC and Parquet, for Polars, DuckDB, pyarrow and others.
//!
//! Two tables: one row for each retired instruction ([`Column`]), and one for each memory operation
//! ([`MEMORY_COLUMNS`]). `docs/witness.md` describes them. Chunks are re-executed and encoded on all
//! threads; the files have them in order and are the same, byte for byte, for any number of threads.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use replay::tables::{self, Column, Format, Options};
//! use replay::{engine::Engine, program::Program, trace::Trace};
//!
//! # let bytes = replay::doc::exit_elf();
//! # let program = Program::new(hartlog_elf::Elf::parse(bytes)?);
//! # let trace = Trace::from_bytes(replay::doc::trace(&program)?)?;
//! let columns = [Column::Step, Column::Pc, Column::Mnemonic, Column::Rd];
//! let engine = Engine::interpreted(&program, tables::witness_columns(&columns, false));
//! let options = Options::new(Format::Parquet, &columns);
//! let mut file = Vec::new();
//! let report = tables::write(&trace, &engine, &options, Some(&mut file), None)?;
//! assert_eq!(report.rows, 2); // li a7, 93; ecall
//! assert!(file.starts_with(b"PAR1"));
//! # Ok(())
//! # }
//! ```

mod columns;
mod fill;
mod gate;
mod sink;
mod target;

pub use columns::{Column, MEMORY_COLUMNS, METADATA, VERSION, describe_memory, witness_columns};
pub use target::Target;

use crate::check::CheckError;
use crate::drive::{self, Order, Summary};
use crate::engine::Engine;
use crate::trace::Trace;
use gate::Gate;
use sink::Sink;
use std::io::Write;
use std::ops::Range;

/// What the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Arrow IPC file, not compressed: can be mapped into memory.
    Arrow,
    /// Parquet, compressed with Snappy.
    Parquet,
}

/// One of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// A row for each retired instruction.
    Instructions,
    /// A row for each memory operation.
    Memory,
}

impl Table {
    /// Name in the metadata of the file.
    pub fn name(self) -> &'static str {
        match self {
            Table::Instructions => "instructions",
            Table::Memory => "memory",
        }
    }
}

/// How tables are written.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the files are.
    pub format: Format,
    /// Columns of the table of instructions, in this order.
    pub columns: Vec<Column>,
    /// Only these chunks; default: all.
    pub chunks: Option<Range<u64>>,
    /// Cores to pin threads to, see [`drive::Options::cores`].
    pub cores: Vec<usize>,
    /// Number of threads; default: one per core.
    pub jobs: Option<usize>,
    /// Bytes of finished rows that may wait for the chunks before them. Beyond it, threads wait
    /// instead.
    pub waiting: usize,
}

impl Options {
    /// All chunks, on all cores, with up to 512 MiB waiting.
    pub fn new(format: Format, columns: &[Column]) -> Options {
        Options {
            format,
            columns: columns.to_vec(),
            chunks: None,
            cores: Vec::new(),
            jobs: None,
            waiting: 512 << 20,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Rows of the table of instructions.
    pub rows: u64,
    /// Rows of the table of memory operations.
    pub memory_ops: u64,
    /// Of the replay.
    pub summary: Summary,
}

/// Why tables could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The trace is wrong.
    #[error("{0}")]
    Check(#[from] CheckError),
    /// The file could not be written.
    #[error("{source}")]
    Write {
        /// Which one.
        table: Table,
        /// What the system said.
        source: std::io::Error,
    },
    /// Rows could not be encoded.
    #[error("table of {}: {what}", .table.name())]
    Encode {
        /// Which one.
        table: Table,
        /// Why.
        what: String,
    },
    /// A column was asked for twice, or none at all.
    #[error("columns: {0}")]
    Columns(&'static str),
}

/// Re-executes and verifies the chunks of a trace (as [`drive::run`] does, without memory) and
/// writes their rows. `engine` must hand over [`witness_columns`] of the columns and of whether
/// there is a file for memory operations.
///
/// # Errors
/// [`TableError`]. The one reported is that of the lowest chunk that has one; what was written until
/// then is not a whole file.
pub fn write<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
    instructions: Option<&mut (dyn Write + Send)>,
    memory: Option<&mut (dyn Write + Send)>,
) -> Result<Report, TableError> {
    let selected = match instructions {
        Some(_) => &options.columns[..],
        None => &[],
    };
    columns::validate(selected, instructions.is_some())?;
    let needed = witness_columns(selected, memory.is_some());
    if !engine.columns().contains(needed) {
        return Err(TableError::Columns("the engine does not hand them over"));
    }
    drive::same_program(trace, engine.program())?;
    let metadata = |table| columns::metadata(table, trace, engine.program(), options);
    let mut sinks = Vec::new();
    if let Some(file) = instructions {
        let fields = selected.iter().map(|c| c.field()).collect();
        let schema = columns::schema(fields, metadata(Table::Instructions)?);
        sinks.push(Sink::new(
            Table::Instructions,
            options.format,
            schema,
            file,
        )?);
    }
    if let Some(file) = memory {
        let schema = columns::schema(columns::memory_fields(), metadata(Table::Memory)?);
        sinks.push(Sink::new(Table::Memory, options.format, schema, file)?);
    }
    let encoders: Vec<_> = sinks.iter().map(Sink::encoder).collect();
    let first = options.chunks.as_ref().map_or(0, |chunks| chunks.start);
    let gate = Gate::new(first, options.waiting, sinks);
    let facts = fill::Facts::new(engine.program());
    let run = drive::Options {
        cores: options.cores.clone(),
        jobs: options.jobs,
        chunks: options.chunks.clone(),
        order: Order::Chunks,
    };
    let result = drive::run(
        trace,
        engine,
        &run,
        |_| fill::Filler::new(&gate, &facts, selected, &encoders),
        |index, pieces| gate.finish_chunk(index, pieces),
    );
    let summary = result?;
    let mut report = Report {
        summary,
        ..Report::default()
    };
    for sink in gate.into_sinks() {
        let table = sink.table();
        let rows = sink.finish()?;
        match table {
            Table::Instructions => report.rows = rows,
            Table::Memory => report.memory_ops = rows,
        }
    }
    Ok(report)
}
