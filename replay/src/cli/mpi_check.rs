//! `replay mpi-check`.

use super::check::{json, progress_bar, write_report_of, write_verdict};
use super::{CliError, completeness, failure_json, load, open};
use hartlog_elf::Elf;
use hartlog_format::status::exit;
use mpi::environment::Universe;
use mpi::point_to_point::{Message, Status};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use replay::program::Program;
use replay::ranks::{self, Link, LinkError, Options, RanksError, Report};
use replay::trace::Trace;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Checks a trace as `check` does, with all processes of an MPI job.
///
/// Start it with mpirun, with one process for each core: a process is one thread. All of them need
/// the trace and the ELF, under the same names. Process 0 hands out chunks and says the result,
/// which is that of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    mpirun -n 4 replay mpi-check prog.trace --elf prog.elf\n  \
    mpirun --hostfile hosts replay mpi-check /data/prog.trace --elf /data/prog.elf --json")]
pub struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    limit: super::Decompressed,
    /// The executable that was run.
    #[arg(long)]
    elf: PathBuf,
    /// Leave out memory consistency.
    #[arg(long)]
    no_memory: bool,
    /// Chunks that a process gets at a time [default: an eighth of its share, at most 64].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    range: Option<u64>,
    /// Seconds that a process may take for these, or say nothing to those that wait for it, until the
    /// job is ended; 0: for ever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    #[command(flatten)]
    engine: super::engine::Args,
    /// The trace may lack its footer: check what is there.
    #[arg(long)]
    allow_incomplete: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// See [`exit`].
pub fn status_of(error: &RanksError) -> u8 {
    match error {
        RanksError::Failed { status, .. } => *status,
        RanksError::Differs { .. } => exit::INPUT,
        _ => exit::HOST,
    }
}

/// A message longer than this is sent in parts: MPI counts bytes with 31 bits.
const PART: usize = 1 << 20;

/// A part, and another follows.
const MORE: mpi::Tag = 1;
/// The last part.
const LAST: mpi::Tag = 0;

/// Ranks are those of the job. Errors of MPI end the whole job: that is its default.
struct Job {
    world: SimpleCommunicator,
    /// How long a message may take until it is received.
    patience: Option<Duration>,
}

impl Job {
    fn number(rank: mpi::Rank) -> usize {
        usize::try_from(rank).unwrap_or(0)
    }

    /// Sends a part of a message. If nobody takes it for too long, this process ends: MPI has no way
    /// to take it back, and mpirun then ends the others.
    fn send_part(&self, to: mpi::Rank, part: &[u8], tag: mpi::Tag) {
        const PAUSE: Duration = Duration::from_micros(50);
        let process = self.world.process_at_rank(to);
        let Some(patience) = self.patience else {
            return process.send_with_tag(part, tag);
        };
        let start = Instant::now();
        mpi::request::scope(|scope| {
            let mut request = process.immediate_send_with_tag(scope, part, tag);
            while let Err(under_way) = request.test() {
                if start.elapsed() > patience {
                    let error = RanksError::stalled(Job::number(to), patience);
                    eprintln!("replay: {error}");
                    std::process::exit(status_of(&error).into());
                }
                request = under_way;
                std::thread::sleep(PAUSE);
            }
        });
    }

    /// The rest of a message that has started.
    fn rest(&self, mut part: (Message, Status)) -> (usize, Vec<u8>) {
        let mut message = Vec::new();
        loop {
            let (bytes, status) = part.matched_receive_vec::<u8>();
            message.extend(bytes);
            let source = status.source_rank();
            if status.tag() != MORE {
                return (Job::number(source), message);
            }
            part = self.world.process_at_rank(source).matched_probe();
        }
    }
}

impl Link for Job {
    fn rank(&self) -> usize {
        Job::number(self.world.rank())
    }

    fn ranks(&self) -> usize {
        Job::number(self.world.size())
    }

    fn send(&mut self, to: usize, message: &[u8]) -> Result<(), LinkError> {
        let rank = mpi::Rank::try_from(to)
            .ok()
            .filter(|r| *r < self.world.size());
        let rank = rank.ok_or_else(|| LinkError(format!("there is no rank {to}")))?;
        let last = message.len().saturating_sub(1) / PART * PART;
        let (parts, last) = message.split_at(last);
        for part in parts.chunks(PART) {
            self.send_part(rank, part, MORE);
        }
        self.send_part(rank, last, LAST);
        Ok(())
    }

    fn receive(&mut self) -> Result<(usize, Vec<u8>), LinkError> {
        Ok(self.rest(self.world.any_process().matched_probe()))
    }

    fn poll(&mut self) -> Result<Option<(usize, Vec<u8>)>, LinkError> {
        let found = self.world.any_process().immediate_matched_probe();
        Ok(found.map(|found| self.rest(found)))
    }
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let universe = {
            let _watch = self.watch();
            mpi::initialize().ok_or(CliError::Mpi("it was started before"))?
        };
        let result = self.take_part(&universe);
        if let Err(CliError::Ranks(RanksError::Stalled { .. })) = &result {
            // The end of MPI waits for all. Without it, mpirun ends the job.
            std::mem::forget(universe);
        }
        result
    }

    /// Ends this process, and with it the job, unless what is returned is dropped in time: the start
    /// of MPI waits for all processes.
    fn watch(&self) -> Option<Sender<()>> {
        let patience = self.patience()?;
        let (started, wait) = channel::<()>();
        std::thread::spawn(move || {
            if wait.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                let seconds = patience.as_secs();
                eprintln!("replay: not all ranks started: no progress for {seconds} s");
                std::process::exit(exit::HOST.into());
            }
        });
        Some(started)
    }

    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_secs(self.patience)).filter(|p| !p.is_zero())
    }

    fn take_part(self, universe: &Universe) -> Result<u8, CliError> {
        let host = mpi::environment::processor_name();
        let host = host.unwrap_or_else(|_| "a machine without name".to_owned());
        let job = &mut Job {
            world: universe.world().duplicate(),
            patience: self.patience(),
        };
        // Only rank 0 says anything.
        let zero = job.rank() == 0;
        let mut options = Options::default();
        (options.no_memory, options.range_chunks) = (self.no_memory, self.range);
        options.patience = job.patience;
        let program = if zero {
            load(&self.elf)
        } else {
            Elf::open(&self.elf)
                .map(Program::new)
                .map_err(CliError::Load)
        };
        let files = program.and_then(|program| Ok((program, open(&self.trace, &self.limit)?)));
        let (program, trace) = match files {
            Ok(files) => files,
            Err(error) => return give_up(job, &host, &options, error),
        };
        let (engine, missing) = match self.engine.choose(&program, options.columns()) {
            Ok(engine) => engine,
            Err(error) => return give_up(job, &host, &options, error),
        };
        if !zero {
            ranks::serve(job, &host, &trace, &engine, &options).map_err(CliError::Ranks)?;
            return Ok(exit::OK);
        }
        if let Some(reason) = missing {
            eprintln!("replay: warning: interpreting: {reason}");
        }
        let bar = progress_bar(trace.len());
        let result = ranks::lead(job, &host, &trace, &engine, &options, &mut |done| {
            bar.set_position(done);
        });
        bar.finish_and_clear();
        match result {
            Ok(report) => self.say(&trace, &report, engine.is_compiled()),
            Err(error) => {
                if self.json {
                    let value = failure_json(&error);
                    writeln!(std::io::stdout(), "{value:#}")?;
                }
                Err(match error {
                    RanksError::Check(source) => CliError::Check {
                        path: self.trace,
                        source,
                    },
                    error => CliError::Ranks(error),
                })
            }
        }
    }

    fn say(&self, trace: &Trace, report: &Report, compiled: bool) -> Result<u8, CliError> {
        for rank in &report.other_engine {
            eprintln!("replay: warning: rank {rank} has another engine than rank 0");
        }
        let host = |rank: usize| report.hosts.get(rank).map_or("", String::as_str);
        let mut out = std::io::stdout().lock();
        if self.json {
            let mut value = json(trace, &report.check, compiled);
            let mut ranks = value["threads"].take();
            for (rank, figures) in ranks.as_array_mut().into_iter().flatten().enumerate() {
                figures["host"] = host(rank).into();
            }
            value["ranks"] = ranks;
            writeln!(out, "{value:#}")?;
        } else {
            write_verdict(&mut out, &self.trace, trace, &report.check)?;
            let name = |rank| format!("rank {rank} ({})", host(rank));
            write_report_of(&mut out, &report.check, compiled, &name)?;
        }
        completeness(&self.trace, trace, self.allow_incomplete)
    }
}

/// Ends with the others where a file is missing here; rank 0 says which.
fn give_up(job: &mut Job, host: &str, options: &Options, error: CliError) -> Result<u8, CliError> {
    let (status, text) = (error.exit_status(), error.to_string());
    ranks::give_up(job, host, status, &text, options).map_err(CliError::Ranks)?;
    if job.rank() == 0 {
        Err(error)
    } else {
        Ok(exit::OK)
    }
}
