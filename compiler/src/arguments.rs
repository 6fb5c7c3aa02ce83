//! The command line.

use clap::{Parser, ValueEnum};
use compiler::{Columns, Mode, Options};
use hartlog_format::layout::{DEFAULT_CHUNK_STEPS, MAX_CHUNK_STEPS};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  compiler prog.elf -o prog.o            translate; then link:
  ld -T x86-64.ld prog.o target/release/librt_nostd.a -o prog
  compiler prog.elf --link -o prog       translate and link in one step
  compiler prog.elf --mode fast --link   without trace, writes ./prog
  compiler prog.elf --mode replay --columns memory --link
                                         writes prog.replay.so, for replay check --compiled
  compiler prog.elf --emit asm           listing of guest and host code on stdout
  compiler prog.elf -o prog.o --json     figures as JSON on stdout

The program runs as the guest would: ./prog [guest args] < input
With HARTLOG_TRACE=FILE in its environment it writes the minimal trace to FILE.

Exit status: 0 done, 2 wrong usage, 3 the ELF is malformed or not supported,
5 a file could not be read or written, or ld failed.";

/// Translates a static RISC-V (RV64IMAC) ELF executable to native x86-64 code.
#[derive(Parser)]
#[command(name = "compiler", version, after_help = EXAMPLES)]
pub struct Arguments {
    /// The ELF executable
    pub elf: PathBuf,
    /// Output file [default: ELF name with .o, or without suffix with --link]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
    /// With trace, or as fast as possible without
    #[arg(long, value_enum, default_value_t = CliMode::Trace)]
    pub mode: CliMode,
    /// Retired instructions in a chunk
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK_STEPS,
          value_parser = clap::value_parser!(u64).range(1..=MAX_CHUNK_STEPS))]
    pub chunk_steps: u64,
    /// Have the native code check that addresses fit 32 bits (else only replay does)
    #[arg(long)]
    pub checked_addresses: bool,
    /// With --mode replay: columns of the witness to write [possible values: none, pc, rs1, rs2, rd,
    /// addr, read, written, rows (all of these), memory, steps (of memory operations), all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = columns)]
    pub columns: Vec<Columns>,
    /// Write a listing instead of an object (to stdout unless -o is given)
    #[arg(long, value_enum, value_name = "WHAT", conflicts_with_all = ["link", "json"])]
    pub emit: Option<Emit>,
    /// Link with the embedded runtime: write an executable; with --mode replay a shared object
    #[arg(long)]
    pub link: bool,
    /// Linker to run with --link
    #[arg(long, default_value = "ld", value_name = "PROGRAM")]
    pub ld: String,
    /// Print figures of the translation as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Say more (-vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum CliMode {
    Fast,
    Trace,
    Replay,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Emit {
    Asm,
}

fn columns(name: &str) -> Result<Columns, String> {
    Columns::named(name).ok_or_else(|| "no such column".to_owned())
}

impl Arguments {
    /// Where what is asked for goes; `None` is standard output. The input is never overwritten.
    ///
    /// # Errors
    /// What is wrong with the command line.
    pub fn destination(&self) -> Result<Option<PathBuf>, String> {
        let suffix = match (self.mode, self.link) {
            (CliMode::Replay, true) => "replay.so",
            (CliMode::Replay, false) => "replay.o",
            (_, true) => "",
            (_, false) => "o",
        };
        let output = match &self.output {
            None if self.emit.is_some() => return Ok(None),
            None => self.elf.with_extension(suffix),
            Some(path) => path.clone(),
        };
        let identity = |path: &Path| std::fs::metadata(path).map(|m| (m.dev(), m.ino()));
        match (identity(&self.elf), identity(&output)) {
            (Ok(input), Ok(there)) if input == there => Err(format!(
                "{}: this would overwrite the input; name another output with -o",
                output.display()
            )),
            _ => Ok(Some(output)),
        }
    }

    /// Options that mean nothing together.
    ///
    /// # Errors
    /// What is wrong with the command line.
    pub fn validate(&self) -> Result<(), String> {
        if !self.columns.is_empty() && !matches!(self.mode, CliMode::Replay) {
            return Err("--columns is for --mode replay".to_owned());
        }
        Ok(())
    }

    /// What is asked of the compiler.
    pub fn options(&self) -> Options {
        Options {
            mode: match self.mode {
                CliMode::Fast => Mode::Fast,
                CliMode::Trace => Mode::Trace,
                CliMode::Replay => Mode::Replay,
            },
            chunk_steps: self.chunk_steps,
            checked_addresses: self.checked_addresses,
            columns: self.columns.iter().fold(Columns::NONE, |a, b| a | *b),
            listing: self.emit.is_some(),
            ..Options::default()
        }
    }
}
