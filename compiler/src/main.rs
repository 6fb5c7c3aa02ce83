//! `compiler prog.elf -o prog.o`: RISC-V ELF executable to x86-64 object.

use clap::{Parser, ValueEnum};
use compiler::{Columns, Error, Mode, Options, compile, link, listing};
use hartlog_elf::Elf;
use hartlog_format::layout::{DEFAULT_CHUNK_STEPS, MAX_CHUNK_STEPS};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXAMPLES: &str = "\
Examples:
  compiler prog.elf -o prog.o            translate; then link:
  ld -T x86-64.ld prog.o target/release/librt_nostd.a -o prog
  compiler prog.elf --link -o prog       translate and link in one step
  compiler prog.elf --mode fast --link   without trace, writes ./prog
  compiler prog.elf --mode replay --link writes prog.replay.so, for replay check --compiled
  compiler prog.elf --emit asm           listing of guest and host code on stdout
  compiler prog.elf -o prog.o --json     figures as JSON on stdout

The program runs as the guest would: ./prog [guest args] < input
With HARTLOG_TRACE=FILE in its environment it writes the minimal trace to FILE.

Exit status: 0 done, 2 wrong usage, 3 the ELF is malformed or not supported,
5 a file could not be read or written, or ld failed.";

/// Translates a static RISC-V (RV64IMAC) ELF executable to native x86-64 code.
#[derive(Parser)]
#[command(name = "compiler", version, after_help = EXAMPLES)]
struct Arguments {
    /// The ELF executable
    elf: PathBuf,
    /// Output file [default: ELF name with .o, or without suffix with --link]
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// With trace, or as fast as possible without
    #[arg(long, value_enum, default_value_t = CliMode::Trace)]
    mode: CliMode,
    /// Retired instructions in a chunk
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK_STEPS,
          value_parser = clap::value_parser!(u64).range(1..=MAX_CHUNK_STEPS))]
    chunk_steps: u64,
    /// Have the native code check that addresses fit 32 bits (else only replay does)
    #[arg(long)]
    checked_addresses: bool,
    /// With --mode replay: columns of the witness to write [possible values: none, pc, rs1, rs2, rd,
    /// addr, read, written, rows (all of these), memory, steps (of memory operations), all]
    #[arg(long, value_delimiter = ',', value_name = "NAMES", value_parser = columns)]
    columns: Vec<Columns>,
    /// Write a listing instead of an object (to stdout unless -o is given)
    #[arg(long, value_enum, value_name = "WHAT")]
    emit: Option<Emit>,
    /// Link with the embedded runtime: write an executable; with --mode replay a shared object
    #[arg(long)]
    link: bool,
    /// Linker to run with --link
    #[arg(long, default_value = "ld", value_name = "PROGRAM")]
    ld: String,
    /// Print figures of the translation as JSON on stdout
    #[arg(long)]
    json: bool,
    /// Say more (-vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum CliMode {
    Fast,
    Trace,
    Replay,
}

#[derive(Clone, Copy, ValueEnum)]
enum Emit {
    Asm,
}

fn columns(name: &str) -> Result<Columns, String> {
    Columns::named(name).ok_or_else(|| "no such column".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => tracing::Level::ERROR,
        (_, 0) => tracing::Level::WARN,
        (_, 1) => tracing::Level::INFO,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("compiler: {e}");
            ExitCode::from(e.exit_status())
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let elf = Elf::open(&arguments.elf)?;
    let options = Options {
        mode: match arguments.mode {
            CliMode::Fast => Mode::Fast,
            CliMode::Trace => Mode::Trace,
            CliMode::Replay => Mode::Replay,
        },
        chunk_steps: arguments.chunk_steps,
        checked_addresses: arguments.checked_addresses,
        columns: arguments.columns.iter().fold(Columns::NONE, |a, b| a | *b),
        listing: arguments.emit.is_some(),
    };
    let translation = compile(&elf, &options)?;
    for warning in &translation.warnings {
        tracing::warn!("{}: {warning}", arguments.elf.display());
    }
    let s = &translation.statistics;
    tracing::info!(
        "{} instructions in {} blocks, {} bytes of host code",
        s.instructions,
        s.blocks,
        s.code_bytes
    );
    if let Some(Emit::Asm) = arguments.emit {
        let mut text = Vec::new();
        let written = listing::write(&elf, &translation.code, &mut text);
        written
            .and_then(|()| output_listing(arguments.output.as_deref(), &text))
            .map_err(|source| Error::Write {
                path: arguments.output.clone().unwrap_or_else(|| "stdout".into()),
                source,
            })?;
    } else {
        let replay = options.mode == Mode::Replay;
        let suffix = match (replay, arguments.link) {
            (false, false) => "o",
            (false, true) => "",
            (true, false) => "replay.o",
            (true, true) => "replay.so",
        };
        let output = arguments
            .output
            .clone()
            .unwrap_or_else(|| arguments.elf.with_extension(suffix));
        if arguments.link {
            if replay {
                link::link_shared(&translation.object, &output, &arguments.ld)?;
            } else {
                link::link(&translation.object, &output, &arguments.ld)?;
            }
        } else {
            std::fs::write(&output, &translation.object).map_err(|source| Error::Write {
                path: output.clone(),
                source,
            })?;
        }
        tracing::info!("wrote {}", output.display());
    }
    if arguments.json {
        // Statistics hold only numbers and strings.
        let json = serde_json::to_string_pretty(&translation.statistics).unwrap_or_default();
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{json}").map_err(|source| Error::Write {
            path: "stdout".into(),
            source,
        })?;
    }
    Ok(())
}

fn output_listing(path: Option<&Path>, text: &[u8]) -> std::io::Result<()> {
    match path {
        Some(path) => std::fs::write(path, text),
        None => std::io::stdout().lock().write_all(text),
    }
}
