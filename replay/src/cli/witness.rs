//! `replay witness`.

use super::{CliError, Span, completeness, load, open_undamaged};
use replay::tables::{self, Column, Options, TableError, Target};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes the witness as tables: a row for each retired instruction, and a row for each memory
/// operation.
///
/// Every chunk is re-executed and verified, as by `check --no-memory`. A file is there when it is
/// whole, and not before; a pipe or a device is written as the rows come. docs/witness.md has the
/// columns.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("files").required(true).multiple(true),
    after_help = "Examples:\n  \
    replay witness prog.trace --elf prog.elf --format parquet -o rows.parquet\n  \
    replay witness prog.trace --elf prog.elf --format arrow -o rows.arrow --columns step,pc,rd\n  \
    replay witness prog.trace --elf prog.elf --format parquet --memory-ops memory.parquet"
)]
pub struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    limit: super::Decompressed,
    /// The executable that was run.
    #[arg(long)]
    elf: PathBuf,
    /// What the files are: Arrow IPC (not compressed, for mapping into memory) or Parquet.
    #[arg(long, value_enum)]
    format: Format,
    /// File for the table of instructions.
    #[arg(short, long, value_name = "FILE", group = "files")]
    output: Option<PathBuf>,
    /// File for the table of memory operations.
    #[arg(long, value_name = "FILE", group = "files")]
    memory_ops: Option<PathBuf>,
    /// Columns of the table of instructions, in this order [default: all].
    #[arg(long, value_delimiter = ',', value_parser = column, value_name = "NAMES")]
    #[arg(requires = "output")]
    columns: Vec<Column>,
    /// Only these chunks (`i..j`, `i..`, `..j` or `i`).
    #[arg(long, value_name = "RANGE")]
    chunks: Option<Span>,
    /// Number of threads [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Cores to pin the threads to [default: all that this process may use].
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    #[command(flatten)]
    engine: super::engine::Args,
    /// The trace may lack its footer: write what is there.
    #[arg(long)]
    allow_incomplete: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Arrow,
    Parquet,
}

fn column(name: &str) -> Result<Column, String> {
    Column::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Column::ALL.iter().map(|c| c.name()).collect();
        format!("columns are {}", names.join(", "))
    })
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let outputs = [self.output.as_deref(), self.memory_ops.as_deref()];
        super::refuse_overwriting(&[&self.elf, &self.trace], &outputs)?;
        let program = load(&self.elf)?;
        let trace = open_undamaged(&self.trace, &self.limit)?;
        let format = match self.format {
            Format::Arrow => tables::Format::Arrow,
            Format::Parquet => tables::Format::Parquet,
        };
        let columns = match (&self.output, &self.columns[..]) {
            (None, _) => &[],
            (_, []) => &Column::ALL[..],
            (_, chosen) => chosen,
        };
        let options = Options {
            chunks: self.chunks.map(|span| span.over(trace.len())),
            cores: self.cores.clone(),
            jobs: self.jobs.map(usize::from),
            ..Options::new(format, columns)
        };
        // What cannot be written is said before the work.
        let mut output = self.output.as_deref().map(create).transpose()?;
        let mut memory = self.memory_ops.as_deref().map(create).transpose()?;
        let witness = tables::witness_columns(columns, memory.is_some());
        let engine = self.engine.engine(&program, witness)?;
        let report = tables::write(
            &trace,
            &engine,
            &options,
            output.as_mut().map(writer),
            memory.as_mut().map(writer),
        );
        let report = report.map_err(|error| self.error(error))?;
        for (target, path) in [(output, &self.output), (memory, &self.memory_ops)] {
            if let (Some(target), Some(path)) = (target, path) {
                target.commit().map_err(|source| table_file(path, source))?;
            }
        }
        eprintln!(
            "replay: {} chunks, {} rows, {} memory operations, {:.3} s, {}",
            report.summary.chunks,
            report.rows,
            report.memory_ops,
            report.summary.wall.as_secs_f64(),
            super::engine::name(engine.is_compiled())
        );
        completeness(&self.trace, &trace, self.allow_incomplete)
    }

    fn error(&self, error: TableError) -> CliError {
        let file = match &error {
            TableError::Write { table, .. } | TableError::Encode { table, .. } => match table {
                tables::Table::Instructions => self.output.as_ref(),
                tables::Table::Memory => self.memory_ops.as_ref(),
            },
            _ => None,
        };
        match (error, file) {
            (TableError::Check(source), _) => CliError::Check {
                path: self.trace.clone(),
                source,
            },
            (TableError::Write { source, .. }, Some(path)) => table_file(path, source),
            (error, _) => CliError::Table(error),
        }
    }
}

fn create(path: &Path) -> Result<Target, CliError> {
    Target::create(path).map_err(|source| table_file(path, source))
}

fn writer(target: &mut Target) -> &mut (dyn Write + Send) {
    target
}

fn table_file(path: &Path, source: std::io::Error) -> CliError {
    CliError::File {
        path: path.to_owned(),
        source,
    }
}
