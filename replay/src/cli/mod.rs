//! Subcommands.

mod check;
mod counts;
mod dump;
mod engine;
mod info;
mod interpret;
#[cfg(feature = "mpi")]
mod mpi_check;
#[cfg(target_os = "linux")]
mod run;
#[cfg(feature = "tables")]
mod witness;

use clap::{Parser, Subcommand};
use hartlog_elf::{Elf, LoadError};
use hartlog_format::status::exit;
use replay::check::CheckError;
use replay::engine::CompileError;
use replay::interp::InterpretError;
#[cfg(target_os = "linux")]
use replay::live::LiveError;
use replay::program::Program;
use replay::trace::{CompressionErrorKind, TraceError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Re-executes and checks minimal traces of RISC-V programs.
///
/// Exit status: 0 = fine, 1 = the trace is not that of a run of this ELF, 2 = wrong command line,
/// 3 = malformed input, 4 = the trace is incomplete, 5 = a file could not be read or written.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
    replay interpret prog.elf --trace prog.trace -- arg1 < input\n  \
    replay check prog.trace --elf prog.elf\n  \
    replay run ./prog --elf prog.elf -- arg1 < input\n  \
    replay info prog.trace --chunks\n  \
    replay dump prog.trace --elf prog.elf --chunk 0 --steps 0..20\n  \
    replay witness prog.trace --elf prog.elf --format parquet -o rows.parquet"
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
    #[cfg(feature = "mpi")]
    MpiCheck(mpi_check::Args),
    Counts(counts::Args),
    #[cfg(target_os = "linux")]
    Run(run::Args),
    Interpret(interpret::Args),
    Info(info::Args),
    Dump(dump::Args),
    #[cfg(feature = "tables")]
    Witness(witness::Args),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("{}", in_file(path, source))]
    Trace { path: PathBuf, source: TraceError },
    #[error("{}: {source}", path.display())]
    Check { path: PathBuf, source: CheckError },
    #[error("{0}")]
    Engine(#[from] CompileError),
    #[error("{0}")]
    Interpret(#[from] InterpretError),
    #[error("{}: {source}", path.display())]
    TraceFile {
        path: PathBuf,
        source: std::io::Error,
    },
    #[cfg(target_os = "linux")]
    #[error("{0}")]
    Live(#[from] LiveError),
    #[cfg(feature = "mpi")]
    #[error("{0}")]
    Ranks(replay::ranks::RanksError),
    #[cfg(feature = "mpi")]
    #[error("MPI cannot be used: {0}")]
    Mpi(&'static str),
    #[error("{}: {source}", path.display())]
    Report {
        path: PathBuf,
        source: std::io::Error,
    },
    #[cfg(feature = "tables")]
    #[error("{}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[cfg(feature = "tables")]
    #[error("{0}")]
    Table(#[from] replay::tables::TableError),
    #[error("standard output: {0}")]
    Stdout(#[from] std::io::Error),
    #[error("{}: this would overwrite {what}; name another file", path.display())]
    Overwrite { path: PathBuf, what: &'static str },
}

impl CliError {
    /// See [`exit`].
    pub fn exit_status(&self) -> u8 {
        match self {
            #[cfg(target_os = "linux")]
            CliError::Live(error) => run::status_of(error),
            #[cfg(feature = "mpi")]
            CliError::Ranks(error) => mpi_check::status_of(error),
            #[cfg(feature = "mpi")]
            CliError::Mpi(_) => exit::HOST,
            CliError::Load(LoadError::Io { .. })
            | CliError::Trace {
                source: TraceError::Io { .. } | TraceError::Temporary { .. },
                ..
            }
            | CliError::Report { .. }
            | CliError::Stdout(_)
            | CliError::Engine(CompileError::Io { .. }) => exit::IO,
            #[cfg(feature = "tables")]
            CliError::File { .. } => exit::IO,
            #[cfg(feature = "tables")]
            CliError::Table(replay::tables::TableError::Columns(_)) => exit::USAGE,
            #[cfg(feature = "tables")]
            CliError::Table(_) => exit::IO,
            CliError::Engine(CompileError::Compiler(error)) => error.exit_status(),
            CliError::Engine(CompileError::Object(_)) => exit::INPUT,
            CliError::Engine(_) => exit::HOST,
            CliError::Load(_)
            | CliError::Trace { .. }
            | CliError::Check {
                source: CheckError::Trace(_),
                ..
            } => exit::INPUT,
            CliError::Check {
                source: CheckError::Audit(_) | CheckError::Engine { .. } | CheckError::Thread,
                ..
            }
            | CliError::Interpret(InterpretError::Memory(_) | InterpretError::Output(_)) => {
                exit::HOST
            }
            // As a translated program does: a status that guests do not have.
            CliError::TraceFile { .. } | CliError::Interpret(InterpretError::Trace(_)) => {
                exit::TRACE_OUTPUT
            }
            CliError::Check {
                source: CheckError::Chunks { .. },
                ..
            }
            | CliError::Overwrite { .. }
            | CliError::Interpret(_) => exit::USAGE,
            CliError::Check { .. } => exit::MISMATCH,
        }
    }
}

impl Cli {
    /// Runs the command; the exit status.
    pub fn run(self) -> Result<u8, CliError> {
        match self.command {
            Command::Check(args) => args.run(),
            #[cfg(feature = "mpi")]
            Command::MpiCheck(args) => args.run(),
            Command::Counts(args) => args.run(),
            #[cfg(target_os = "linux")]
            Command::Run(args) => args.run(),
            Command::Interpret(args) => args.run(),
            Command::Info(args) => args.run(),
            Command::Dump(args) => args.run(),
            #[cfg(feature = "tables")]
            Command::Witness(args) => args.run(),
        }
    }
}

/// Loads an ELF and says what is odd about it.
fn load(path: &Path) -> Result<Program, CliError> {
    let elf = Elf::open(path)?;
    for warning in &elf.warnings {
        eprintln!("replay: warning: {}: {warning}", path.display());
    }
    Ok(Program::new(elf))
}

/// A bound for compressed traces.
#[derive(Debug, clap::Args)]
struct Decompressed {
    /// Most bytes that a compressed trace may decompress to.
    #[arg(long, value_name = "BYTES", default_value_t = replay::trace::Trace::DECOMPRESSED_LIMIT)]
    max_decompressed: u64,
}

fn open(path: &Path, limit: &Decompressed) -> Result<replay::trace::Trace, CliError> {
    let trace = replay::trace::Trace::open_limited(path, limit.max_decompressed);
    trace.map_err(in_trace(path))
}

/// [`open`], for work that a part of the trace is not enough for.
fn open_undamaged(path: &Path, limit: &Decompressed) -> Result<replay::trace::Trace, CliError> {
    let trace = open(path, limit)?;
    refuse_damage(&trace, path)?;
    Ok(trace)
}

/// Compressed data that is damaged is an error. A file that only ends too early is incomplete.
fn refuse_damage(trace: &replay::trace::Trace, path: &Path) -> Result<(), CliError> {
    match trace.damage() {
        Some(error) if error.kind != CompressionErrorKind::CutShort => {
            Err(in_trace(path)(error.clone().into()))
        }
        _ => Ok(()),
    }
}

/// Says how a trace is incomplete.
fn say_incomplete(trace: &replay::trace::Trace, path: &Path) {
    let cut = trace
        .damage()
        .map_or_else(String::new, |e| format!("; {e}"));
    eprintln!(
        "replay: {}: incomplete: the run that wrote it did not end ({} bytes after the last \
         whole chunk{cut})",
        path.display(),
        trace.rest()
    );
}

/// The exit status for a trace that is right as far as it goes; says so if it is not whole.
///
/// # Errors
/// Damage of a compressed trace.
fn completeness(
    path: &Path,
    trace: &replay::trace::Trace,
    allow_incomplete: bool,
) -> Result<u8, CliError> {
    refuse_damage(trace, path)?;
    if trace.is_complete() || allow_incomplete {
        return Ok(exit::OK);
    }
    say_incomplete(trace, path);
    Ok(exit::INCOMPLETE)
}

/// What is said with `--json` when something is wrong.
fn failure_json(error: &dyn std::fmt::Display) -> serde_json::Value {
    serde_json::json!({ "ok": false, "error": error.to_string() })
}

/// A message with the file's name; that of an error of input has it already.
fn in_file(path: &Path, source: &TraceError) -> String {
    match source {
        TraceError::Io { .. } => source.to_string(),
        _ => format!("{}: {source}", path.display()),
    }
}

/// Refuses to write over what is read, and two outputs to one file.
fn refuse_overwriting(inputs: &[&Path], outputs: &[Option<&Path>]) -> Result<(), CliError> {
    // A file that is not there yet is known by its name.
    let same = |a: &Path, b: &Path| match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.is_file() && (a.dev(), a.ino()) == (b.dev(), b.ino()),
        (Err(_), Err(_)) => a == b,
        _ => false,
    };
    let outputs = || outputs.iter().copied().flatten();
    for (i, path) in outputs().enumerate() {
        let what = if inputs.iter().any(|input| same(input, path)) {
            "an input"
        } else if outputs().take(i).any(|other| same(other, path)) {
            "the other output"
        } else {
            continue;
        };
        let path = path.to_owned();
        return Err(CliError::Overwrite { path, what });
    }
    Ok(())
}

fn in_trace(path: &Path) -> impl Fn(TraceError) -> CliError + '_ {
    |source| CliError::Trace {
        path: path.to_owned(),
        source,
    }
}

/// A half-open range of numbers: `3..7`, `3..`, `..7`, or one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    end: Option<u64>,
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let number = |t: &str| t.parse().map_err(|e| format!("`{t}`: {e}"));
        let span = match text.split_once("..") {
            Some((start, end)) => Span {
                start: if start.is_empty() { 0 } else { number(start)? },
                end: if end.is_empty() {
                    None
                } else {
                    Some(number(end)?)
                },
            },
            None => {
                let start: u64 = number(text)?;
                Span {
                    start,
                    end: Some(start.saturating_add(1)),
                }
            }
        };
        match span.end {
            Some(end) if end < span.start => Err(format!("`{text}` ends before it starts")),
            _ => Ok(span),
        }
    }
}

impl Span {
    fn over(self, len: u64) -> std::ops::Range<u64> {
        self.start..self.end.unwrap_or(len.max(self.start))
    }
}
