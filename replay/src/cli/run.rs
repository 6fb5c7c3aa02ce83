//! `replay run`.

use super::{CliError, load};
use hartlog_format::layout::MAX_CHUNK_STEPS;
use hartlog_format::ring::MAX_SLOTS;
use hartlog_format::status::exit;
use replay::check::{CheckError, Report};
use replay::live::{self, Destination, LiveError, Options, Outcome, Ring};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Runs a translated program and checks its trace at the same time.
///
/// Standard input and output are the guest's, and so is the exit status, unless something is wrong:
/// 206 = what is replayed is not a run of this ELF, 207 = the ring that both share is damaged or
/// was not set up, 201 = the trace file cannot be written, 202 = the host lacks something; 128 and
/// the number of a signal that ended the program. The report goes to standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    replay run ./prog --elf prog.elf -- arg1 arg2 < input\n  \
    replay run ./prog --elf prog.elf --trace prog.trace --quiet\n  \
    replay run ./prog --elf prog.elf --trace prog.trace.zst --json report.json\n  \
    replay run ./prog --elf prog.elf --cores 2,3,4,5 --slots 8 --no-memory")]
pub struct Args {
    /// The translated program.
    program: PathBuf,
    /// The executable that it was translated from.
    #[arg(long)]
    elf: PathBuf,
    /// Write the trace to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Compress the trace, chunk by chunk, at this level of zstd [default: if the name ends with
    /// .zst, at level 3].
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, default_missing_value = "3",
          require_equals = true, requires = "trace",
          value_parser = clap::value_parser!(i32).range(1..=19))]
    trace_zstd: Option<i32>,
    /// Core for the program, then cores for the threads that replay [default: all that this process
    /// may use].
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    cores: Vec<usize>,
    /// Number of threads that replay [default: one for each core but the program's].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Slots of the ring, one chunk each.
    #[arg(long, value_name = "N", conflicts_with = "ring_bytes",
          value_parser = clap::value_parser!(u64).range(1..=MAX_SLOTS))]
    slots: Option<u64>,
    /// Size of the ring: as many slots as fit [default: half of the last-level cache, but one to
    /// three slots for each thread and the program; on AMD processors 36 MiB at least].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    ring_bytes: Option<u64>,
    /// Retired instructions in a chunk [default: what was compiled in].
    #[arg(long, value_name = "N",
          value_parser = clap::value_parser!(u64).range(1..=MAX_CHUNK_STEPS))]
    chunk_steps: Option<u64>,
    /// Stop after so many retired instructions.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Leave out memory consistency.
    #[arg(long)]
    no_memory: bool,
    /// No report and no warnings; errors only.
    #[arg(long)]
    quiet: bool,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(flatten)]
    engine: super::engine::Args,
    /// Arguments of the guest.
    #[arg(last = true)]
    args: Vec<OsString>,
}

/// Exit status for a run that failed: one that guests do not have.
pub fn status_of(error: &LiveError) -> u8 {
    match error {
        LiveError::Check(CheckError::Audit(_) | CheckError::Engine { .. } | CheckError::Thread)
        | LiveError::Host { .. } => exit::HOST,
        LiveError::Check(_) => exit::LIVE_MISMATCH,
        LiveError::Ring(_) | LiveError::Footer(_) => exit::LIVE_RING,
        LiveError::NoRing(status) => match status.code() {
            Some(code) if code != 0 => code as u8,
            _ => exit::LIVE_RING,
        },
        LiveError::File(_) => exit::TRACE_OUTPUT,
        LiveError::Start { .. } => exit::IO,
        _ => exit::HOST,
    }
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let outputs = [self.trace.as_deref(), self.json.as_deref()];
        super::refuse_overwriting(&[&self.elf, &self.program], &outputs)?;
        let program = load(&self.elf)?;
        let host = |source| LiveError::Host {
            what: "no memory that can be shared",
            source,
        };
        let ring = Ring::new().map_err(host)?;
        let options = Options {
            program: match self.program.components().count() {
                // A name without a slash is a file here, not one in PATH.
                1 => Path::new(".").join(&self.program),
                _ => self.program.clone(),
            },
            args: self.args.clone(),
            cores: self.cores.clone(),
            jobs: self.jobs.map(usize::from),
            slots: self.slots,
            ring_bytes: self.ring_bytes,
            chunk_steps: self.chunk_steps,
            steps: self.steps,
            quiet: self.quiet,
            trace: self.destination(),
            no_memory: self.no_memory,
        };
        let engine = self.engine.engine(&program, options.columns())?;
        let compiled = engine.is_compiled();
        let quiet = self.quiet;
        let mut warn = |text: &str| {
            if !quiet {
                eprintln!("replay: warning: {text}");
            }
        };
        let result = live::run(&ring, &engine, &options, &mut warn);
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => {
                self.write(&super::failure_json(&error))?;
                return Err(error.into());
            }
        };
        self.write(&json(&outcome, compiled))?;
        if outcome.end.is_none() {
            eprintln!("replay: {}", self.unfinished(&outcome));
        } else if !self.quiet {
            let text = self.text(&outcome, compiled);
            // There is nobody to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
        Ok(outcome.status)
    }

    fn destination(&self) -> Option<Destination> {
        let path = self.trace.clone()?;
        let by_name = path.extension().is_some_and(|e| e == "zst");
        Some(Destination {
            zstd: self.trace_zstd.or(by_name.then_some(3)),
            path,
        })
    }

    /// Writes the report, if it is to be in a file.
    fn write(&self, value: &serde_json::Value) -> Result<(), CliError> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        std::fs::write(path, format!("{value:#}\n")).map_err(|source| CliError::Report {
            path: path.clone(),
            source,
        })
    }

    /// The program ended before its guest did.
    fn unfinished(&self, outcome: &Outcome) -> String {
        let how = match outcome.signal {
            Some(signal) => format!("was killed by signal {signal}"),
            None => format!("ended with status {}", outcome.status),
        };
        let Report { chunks, steps, .. } = outcome.report;
        let file = match &self.trace {
            Some(path) => format!("; they are in {}, which is incomplete", path.display()),
            None => String::new(),
        };
        format!(
            "{} {how} before its guest ended: {chunks} chunks with {steps} steps are right{file}",
            self.program.display()
        )
    }

    fn text(&self, outcome: &Outcome, compiled: bool) -> String {
        let report = &outcome.report;
        let end = outcome.end.as_ref().map_or_else(String::new, |footer| {
            super::info::end_text(footer.end_kind.get(), footer.end_code.get())
        });
        let core = outcome
            .core
            .map_or("any core".to_owned(), |c| format!("core {c}"));
        let mut text = format!(
            "{}: ok: {} chunks, {} steps, {end}\nprogram on {core}, {} slots\n",
            self.program.display(),
            report.chunks,
            report.steps,
            outcome.slots
        )
        .into_bytes();
        // Memory takes everything.
        let _ = super::check::write_report(&mut text, report, compiled);
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn json(outcome: &Outcome, compiled: bool) -> serde_json::Value {
    let mut value = super::check::report_json(&outcome.report, compiled);
    value["complete"] = outcome.end.is_some().into();
    value["status"] = outcome.status.into();
    value["signal"] = outcome.signal.into();
    value["slots"] = outcome.slots.into();
    value["core"] = outcome.core.into();
    value["file_bytes"] = outcome.file_bytes.into();
    value
}
