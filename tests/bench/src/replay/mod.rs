//! Speed of replay: per core by processor time, and over several cores by the wall clock.

mod live;
mod report;
mod store;

use crate::error::Error;
use crate::guests::{self, Guest};
use crate::machine;
use crate::measure::Runner;
use crate::model::{Machine, Variant};
use crate::prepare::{self, Places};
use crate::stats;
use ::replay::check::{self, CheckError, check_with};
use ::replay::drive;
use ::replay::engine::{Cache, Choice, Engine};
use ::replay::program::Program;
use ::replay::trace::Trace;
use ::replay::witness::{Columns, Consumer, Counter, MemoryOp, Rows, Verify};
use clap::Args;
use hartlog_format::parse::Chunk;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Measures replay of traces, compiled and interpreted, in million instructions per second of
/// processor time, and its scaling over cores and live runs by the wall clock.
///
/// A report in Markdown goes to standard output; with --out, it is also written to a directory,
/// with JSON and a chart.
#[derive(Args)]
#[command(
    override_usage = "scripts/bench-replay [OPTIONS]",
    after_help = "Examples:
  scripts/bench-replay --guests sha256,sorts --repeats 3
  scripts/bench-replay --out out/replay          report.md, results.json, replay.svg"
)]
pub struct ReplayArgs {
    /// Guests to measure [default: a dozen of every kind]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    guests: Vec<String>,
    /// Retired instructions of a trace
    #[arg(long, value_name = "N", default_value_t = 100_000_000)]
    steps: u64,
    /// Timed runs of everything, in turns
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// What to measure of each guest [default: everything]
    #[arg(long, value_name = "KIND,...", value_delimiter = ',', value_enum)]
    kinds: Vec<Kind>,
    /// Most threads for the scaling [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Core to pin to [default: the last that is allowed]
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Where traces are written, and removed afterwards [default: /dev/shm]
    #[arg(long, value_name = "DIR")]
    trace_dir: Option<PathBuf>,
    /// Directory for report.md, results.json and replay.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Guests that are measured unless others are named.
const GUESTS: [&str; 12] = [
    "sha256",
    "keccak",
    "field256",
    "matmul",
    "sorts",
    "interp_switch",
    "btree",
    "hashmap",
    "json",
    "recursion",
    "rust_k256",
    "rust_evm",
];

/// A way of replaying.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Compiled; registers, pc, steps and log are checked, checksums are not. The log is in the
    /// cache, as it is when the program has just written it.
    Bare,
    /// The same with logs that come from memory.
    FromMemory,
    /// The same with checksums: `replay check --no-memory`.
    Verify,
    /// `replay check`: memory is followed.
    Check,
    /// Compiled; memory operations, which nobody looks at.
    Memory,
    /// Compiled; the seven columns of rows, which nobody looks at.
    Rows,
    /// The same, and a consumer that reads every value.
    RowsRead,
    /// Compiled; rows and memory operations with steps.
    All,
    /// Compiled; executions of every instruction counted.
    Counts,
    /// Interpreted; as `Bare`.
    InterpretedBare,
    /// Interpreted; as `Check`.
    InterpretedCheck,
    /// Interpreted; as `Rows`.
    InterpretedRows,
}

impl Kind {
    /// All of them, in the order of reports.
    pub const ALL: [Kind; 12] = [
        Kind::Bare,
        Kind::FromMemory,
        Kind::Verify,
        Kind::Check,
        Kind::Memory,
        Kind::Rows,
        Kind::RowsRead,
        Kind::All,
        Kind::Counts,
        Kind::InterpretedBare,
        Kind::InterpretedCheck,
        Kind::InterpretedRows,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bare => "bare",
            Kind::FromMemory => "from memory",
            Kind::Verify => "verify",
            Kind::Check => "check",
            Kind::Memory => "memory ops",
            Kind::Rows => "rows",
            Kind::RowsRead => "rows, read",
            Kind::All => "everything",
            Kind::Counts => "counts",
            Kind::InterpretedBare => "int. bare",
            Kind::InterpretedCheck => "int. check",
            Kind::InterpretedRows => "int. rows",
        }
    }

    fn columns(self) -> Columns {
        match self {
            Kind::Bare | Kind::FromMemory | Kind::Verify | Kind::InterpretedBare => Columns::NONE,
            Kind::Check => Columns::FOLLOW,
            Kind::Memory | Kind::InterpretedCheck => Columns::MEMORY,
            Kind::Rows | Kind::RowsRead | Kind::InterpretedRows => Columns::ROWS,
            Kind::All => Columns::ALL,
            Kind::Counts => Counter::COLUMNS,
        }
    }

    fn compiled(self) -> bool {
        !matches!(
            self,
            Kind::InterpretedBare | Kind::InterpretedCheck | Kind::InterpretedRows
        )
    }
}

/// Medians with the lowest and the highest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Sample {
    fn of(values: &[f64]) -> Sample {
        let (low, high) = stats::range(values).unwrap_or_default();
        Sample {
            median: stats::median(values).unwrap_or_default(),
            low,
            high,
        }
    }
}

/// What was measured of a guest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuestFigures {
    /// Name in the manifest.
    pub name: String,
    /// Steps of the trace.
    pub steps: u64,
    /// Bytes of read log for each step.
    pub log_per_step: f64,
    /// Speed of the run, which drops its trace; MIPS.
    pub producer: Sample,
    /// Speed of each way of replaying; MIPS.
    pub replays: BTreeMap<Kind, Sample>,
    /// Per number of threads the speed of a check without memory by the wall clock; MIPS.
    pub scaling: BTreeMap<usize, Sample>,
    /// Live runs by the wall clock; none on one core.
    #[serde(default)]
    pub live: Option<live::Live>,
}

/// A file of results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Where and of what.
    pub machine: Machine,
    /// Columns of rows stored by a loop that computes nothing; million rows a second.
    pub store_rows: Sample,
    /// Memory in the second-level cache filled; GB/s.
    pub store_fill: Sample,
    /// The guests.
    pub guests: Vec<GuestFigures>,
}

/// Processor time of a clock, in seconds.
fn seconds(clock: ClockId) -> f64 {
    clock_gettime(clock).map_or(0.0, |t| t.tv_sec() as f64 + t.tv_nsec() as f64 / 1e9)
}

/// Measures and reports.
///
/// # Errors
/// [`Error`].
pub fn run(root: &Path, compiler: Option<PathBuf>, args: &ReplayArgs) -> Result<(), Error> {
    let figures = measure(root, compiler, args)?;
    let text = report::markdown(&figures);
    println!("{text}");
    let Some(dir) = &args.out else {
        return Ok(());
    };
    std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(Error::file(&path))
    };
    put("report.md", text)?;
    put("replay.svg", report::chart(&figures))?;
    let path = dir.join("results.json");
    let json = serde_json::to_string_pretty(&figures);
    put(
        "results.json",
        json.map_err(|source| Error::Json { path, source })? + "\n",
    )
}

fn measure(root: &Path, compiler: Option<PathBuf>, args: &ReplayArgs) -> Result<Figures, Error> {
    let names = if args.guests.is_empty() {
        GUESTS.map(str::to_owned).to_vec()
    } else {
        args.guests.clone()
    };
    let guests = guests::select(&guests::load(root)?, &names)?;
    let cores = machine::allowed_cores()?;
    let core = args.core.or(cores.last().copied()).unwrap_or(0);
    let places = Places::find(root, compiler)?;
    let memory = Some(PathBuf::from("/dev/shm")).filter(|dir| dir.is_dir());
    let trace_dir = args.trace_dir.clone().or(memory);
    let runner = Runner {
        trace_dir: trace_dir.unwrap_or_else(|| places.cache.clone()),
        places,
        core,
        other: None,
        qemu: None,
    };
    let mut figures = Figures {
        machine: machine::describe(root, cores.len()),
        ..Figures::default()
    };
    machine::pin(&[core])?;
    let stores: Vec<(f64, f64)> = (0..args.repeats).map(|_| store::measure()).collect();
    let (rows, fill): (Vec<f64>, Vec<f64>) = stores.into_iter().unzip();
    (figures.store_rows, figures.store_fill) = (Sample::of(&rows), Sample::of(&fill));
    for guest in &guests {
        eprintln!("{}", guest.name);
        let measured = one(&runner, guest, args, &cores)?;
        figures.guests.push(measured);
    }
    figures.machine.load.1 = machine::load();
    Ok(figures)
}

/// A file that goes away with this value.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn wrong(guest: &Guest, what: impl ToString) -> Error {
    Error::Wrong {
        guest: guest.name.clone(),
        variant: "replay".to_owned(),
        what: what.to_string(),
    }
}

fn one(
    runner: &Runner,
    guest: &Guest,
    args: &ReplayArgs,
    cores: &[usize],
) -> Result<GuestFigures, Error> {
    let program_path = runner.places.program(guest, Variant::Trace);
    prepare::translate(&runner.places, &guest.elf, Variant::Trace, &program_path)?;
    let path = Removed(
        runner
            .trace_dir
            .join(format!("{}.replay.trace", guest.name)),
    );
    let limit = args.steps.to_string();
    let env = [
        ("HARTLOG_TRACE", path.0.as_path()),
        ("HARTLOG_STEPS", Path::new(&limit)),
    ];
    runner.once(guest, Variant::Trace, &guest.bench_args, &env)?;
    let elf = hartlog_elf::Elf::open(&guest.elf).map_err(|e| wrong(guest, e))?;
    let program = Program::new(elf);
    let trace = Trace::open(&path.0).map_err(|e| wrong(guest, e))?;
    let mut log_bytes = 0;
    let mut chunks = Vec::new();
    for index in 0..trace.len() {
        let chunk = trace.chunk(index).map_err(|e| wrong(guest, e))?;
        chunk.verify().map_err(|e| wrong(guest, e))?;
        log_bytes += chunk.log.len();
        chunks.push(chunk);
    }
    let mut engines = BTreeMap::new();
    let kinds = match args.kinds.as_slice() {
        [] => &Kind::ALL[..],
        kinds => kinds,
    };
    for kind in kinds {
        let key = (kind.compiled(), kind.columns().bits());
        if engines.contains_key(&key) {
            continue;
        }
        let choice = if kind.compiled() {
            Choice::Compiled
        } else {
            Choice::Interpreted
        };
        let chosen = Engine::choose(&program, kind.columns(), choice, &Cache::none());
        engines.insert(key, chosen.map_err(|e| wrong(guest, e))?.0);
    }
    let mut producer = Vec::new();
    let mut speeds: BTreeMap<Kind, Vec<f64>> = BTreeMap::new();
    let steps = trace.total_steps();
    for _ in 0..args.repeats {
        let run = runner.once(guest, Variant::Trace, &guest.bench_args, &[])?;
        producer.push(
            retired(&run.stderr).ok_or_else(|| wrong(guest, "no statistics"))? / run.cpu / 1e6,
        );
        for kind in kinds {
            if let Some(engine) = engines.get(&(kind.compiled(), kind.columns().bits())) {
                let time = timed(*kind, engine, &trace, &chunks).map_err(|e| wrong(guest, e))?;
                speeds
                    .entry(*kind)
                    .or_default()
                    .push(steps as f64 / time / 1e6);
            }
        }
    }
    let mut scaling = BTreeMap::new();
    if let Some(engine) = engines.get(&(true, Columns::NONE.bits())) {
        machine::pin(cores)?;
        for jobs in job_counts(args.jobs.unwrap_or(cores.len())) {
            let mut values = Vec::new();
            for _ in 0..args.repeats {
                let start = Instant::now();
                verify(engine, &trace, jobs).map_err(|e| wrong(guest, e))?;
                values.push(steps as f64 / start.elapsed().as_secs_f64() / 1e6);
            }
            scaling.insert(jobs, Sample::of(&values));
        }
    }
    let live = match cores.iter().rev().find(|core| **core != runner.core) {
        Some(other) => {
            let cores = [runner.core, *other];
            Some(live::measure(runner, guest, cores, args.repeats)?)
        }
        None => None,
    };
    machine::pin(&[runner.core])?;
    Ok(GuestFigures {
        name: guest.name.clone(),
        steps,
        log_per_step: log_bytes as f64 / steps as f64,
        producer: Sample::of(&producer),
        replays: speeds
            .iter()
            .map(|(kind, values)| (*kind, Sample::of(values)))
            .collect(),
        scaling,
        live,
    })
}

/// 1, 2, 4 and so on, and the last.
fn job_counts(most: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = (0..).map(|i| 1 << i).take_while(|n| *n < most).collect();
    counts.push(most.max(1));
    counts
}

/// Retired instructions of a run, from the statistics on its standard error.
fn retired(stderr: &str) -> Option<f64> {
    let line = stderr.lines().rev().find(|l| l.starts_with('{'))?;
    let stats: serde_json::Value = serde_json::from_str(line).ok()?;
    stats.get("steps")?.as_f64()
}

fn verify<'t>(engine: &Engine<'_, 't>, trace: &'t Trace, jobs: usize) -> Result<(), CheckError> {
    let options = drive::Options {
        jobs: Some(jobs),
        ..drive::Options::default()
    };
    drive::run(
        trace,
        engine,
        &options,
        |_| Verify,
        |_, ()| Ok::<(), CheckError>(()),
    )?;
    Ok(())
}

/// Processor time of a replay of the whole trace.
fn timed<'t>(
    kind: Kind,
    engine: &Engine<'_, 't>,
    trace: &'t Trace,
    chunks: &[Chunk<'t>],
) -> Result<f64, CheckError> {
    let thread = ClockId::CLOCK_THREAD_CPUTIME_ID;
    let process = ClockId::CLOCK_PROCESS_CPUTIME_ID;
    let whole = matches!(kind, Kind::Verify | Kind::Check | Kind::InterpretedCheck);
    if whole {
        let start = seconds(process);
        if kind == Kind::Verify {
            verify(engine, trace, 1)?;
        } else {
            let options = check::Options {
                jobs: Some(1),
                ..check::Options::default()
            };
            check_with(trace, engine, &options, &mut |_| {})?;
        }
        return Ok(seconds(process) - start);
    }
    match kind {
        Kind::Bare => cached(engine, chunks, thread),
        Kind::RowsRead => serial(engine, chunks, &mut Reader::default(), thread),
        Kind::Counts => serial(engine, chunks, &mut Counter::new(engine.program()), thread),
        _ => serial(engine, chunks, &mut Verify, thread),
    }
}

/// Replays each chunk twice, and takes the time of the second.
fn cached<'t>(
    engine: &Engine<'_, 't>,
    chunks: &[Chunk<'t>],
    clock: ClockId,
) -> Result<f64, CheckError> {
    let mut worker = engine.worker();
    let mut total = 0.0;
    for chunk in chunks {
        worker.replay(chunk, &mut Verify)?;
        let start = seconds(clock);
        worker.replay(chunk, &mut Verify)?;
        total += seconds(clock) - start;
    }
    Ok(total)
}

/// Replays chunks on this thread.
fn serial<'t, C: Consumer<'t>>(
    engine: &Engine<'_, 't>,
    chunks: &[Chunk<'t>],
    consumer: &mut C,
    clock: ClockId,
) -> Result<f64, CheckError> {
    let mut worker = engine.worker();
    let start = seconds(clock);
    for chunk in chunks {
        worker.replay(chunk, consumer)?;
    }
    Ok(seconds(clock) - start)
}

/// Reads everything that it is handed.
#[derive(Default)]
struct Reader(u64);

impl<'t> Consumer<'t> for Reader {
    type Output = u64;

    fn rows(&mut self, rows: &Rows<'_>) {
        let columns = [
            rows.rs1(),
            rows.rs2(),
            rows.rd(),
            rows.addr(),
            rows.read(),
            rows.written(),
        ];
        let sum = |column: &[u64]| column.iter().fold(0u64, |a, b| a.wrapping_add(*b));
        for column in columns {
            self.0 = self.0.wrapping_add(sum(column));
        }
        let pcs = rows.pc().iter().fold(0u32, |a, b| a.wrapping_add(*b));
        self.0 = self.0.wrapping_add(u64::from(pcs));
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        self.0 = ops.iter().fold(self.0, |a, op| a.wrapping_add(op.value));
    }

    fn end_chunk(&mut self, _: &hartlog_isa::Hart) -> u64 {
        std::hint::black_box(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thread_counts_double_up_to_the_last() {
        assert_eq!(job_counts(1), [1]);
        assert_eq!(job_counts(2), [1, 2]);
        assert_eq!(job_counts(6), [1, 2, 4, 6]);
        assert_eq!(job_counts(0), [1]);
    }

    #[test]
    fn steps_come_from_the_last_line_of_json() {
        assert_eq!(retired("x\n{\"steps\": 7}\ny"), Some(7.0));
        assert_eq!(retired("nothing"), None);
    }
}
