//! Live runs: a translated program and the check of its trace, at the same time.
//!
//! [`run`] starts the program with a ring of chunk slots in shared memory
//! ([`hartlog_format::ring`]) and re-executes chunks where they are while the program runs. A slot
//! goes back when its chunk is checked; a program that is faster than its replay waits at the end
//! of a chunk. The trace is written to a file at the same time, if that is wanted, with the bytes
//! that the program would write itself.

mod file;
mod process;
mod ring;
mod work;

pub use file::{Destination, FileError};
pub use process::last_level_cache;
pub use ring::{OpenError, Ring, RingError};

use crate::check::{CheckError, Report};
use crate::drive::{header_of_program, pin};
use crate::engine::Engine;
use crate::witness::Columns;
use core_affinity::CoreId;
use file::TraceFile;
use hartlog_format::ring::{large_ring, state};
use hartlog_format::trace::{FOOTER_MAGIC, FooterHeader, end};
use process::{Bell, Process};
use rustix::process::Signal;
use rustix::thread::futex;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use work::{Setting, Shared};

/// How to run and check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The translated program.
    pub program: PathBuf,
    /// The guest's arguments.
    pub args: Vec<OsString>,
    /// Core for the program, then cores for the threads; empty: those that this process may use.
    pub cores: Vec<usize>,
    /// Number of threads; default: one for each core but the program's, at least one.
    pub jobs: Option<usize>,
    /// Slots of the ring.
    pub slots: Option<u64>,
    /// Bytes of the ring, if the number of slots is not given; default: [`ring_bytes`].
    pub ring_bytes: Option<u64>,
    /// Retired instructions in a chunk.
    pub chunk_steps: Option<u64>,
    /// Retired instructions after which the run ends.
    pub steps: Option<u64>,
    /// The program gives no warnings.
    pub quiet: bool,
    /// Write the trace.
    pub trace: Option<Destination>,
    /// Leave out memory consistency.
    pub no_memory: bool,
}

impl Options {
    /// The columns that an engine for [`run`] must hand over.
    pub fn columns(&self) -> Columns {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        let (_, threads) = placement(self, &allowed);
        crate::check::columns(!self.no_memory, threads.len())
    }
}

/// Size of a ring for so many threads: half of the last-level cache, so that what the program
/// writes is still there when it is read; but a slot for each thread and one for the program. Three
/// for each are enough: more only take the place of other things in the cache, unless this processor
/// wants more ([`large_ring`]).
pub fn ring_bytes(threads: usize) -> u64 {
    /// A slot for chunks of the usual size.
    const SLOT: u64 = (9 << 20) / 4;
    let each = SLOT * (threads as u64 + 1);
    let cache = last_level_cache().unwrap_or(8 << 20);
    let least = large_ring().unwrap_or(0);
    (cache / 2).clamp(each, 3 * each).max(least)
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit status of the program: the guest's, or one of [`hartlog_format::status::exit`].
    pub status: u8,
    /// What was checked.
    pub report: Report,
    /// How the run ended; `None`: the program ended before its guest did.
    pub end: Option<FooterHeader>,
    /// The signal that ended the program.
    pub signal: Option<i32>,
    /// Slots of the ring.
    pub slots: u64,
    /// Core of the program, if it is on one of its own.
    pub core: Option<usize>,
    /// Size of the trace file in bytes.
    pub file_bytes: Option<u64>,
}

/// Why a live run failed. What was checked before is in the trace file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The program could not be started.
    #[error("{}: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program ended before it set up the ring.
    #[error(
        "the program ended ({}) before its guest started: it was not translated by Hartlog, \
         without trace, or cannot run here", describe(*.0)
    )]
    NoRing(ExitStatus),
    /// The program stopped using the ring as agreed.
    #[error("{0}")]
    Ring(#[from] RingError),
    /// The trace of the run is wrong.
    #[error("{0}")]
    Check(#[from] CheckError),
    /// The trace could not be written.
    #[error("{0}")]
    File(#[from] FileError),
    /// The host refused something.
    #[error("{what}: {source}")]
    Host {
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// What the program says of the whole run differs from its chunks.
    #[error("the ring is damaged: footer: {0}")]
    Footer(&'static str),
}

impl From<OpenError> for LiveError {
    fn from(error: OpenError) -> LiveError {
        match error {
            OpenError::Ring(error) => LiveError::Ring(error),
            OpenError::Io(source) => LiveError::Host {
                what: "the ring cannot be mapped",
                source,
            },
        }
    }
}

/// How a process ended, in words.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (_, Some(signal)) => format!("killed by signal {signal}"),
        _ => "in an unknown way".to_owned(),
    }
}

/// Cores of the program and of the threads.
fn placement(options: &Options, allowed: &[CoreId]) -> (Option<usize>, Vec<Option<usize>>) {
    let cores: Vec<usize> = if options.cores.is_empty() {
        allowed.iter().map(|c| c.id).collect()
    } else {
        options.cores.clone()
    };
    // On one core they share, and pinning would only keep them from going elsewhere.
    let (first, others) = match cores.split_first() {
        Some((first, others)) if !others.is_empty() => (Some(*first), others),
        _ => (None, &[][..]),
    };
    let jobs = options.jobs.unwrap_or(others.len()).max(1);
    let threads = (0..jobs)
        .map(|i| others.get(i % others.len().max(1)).copied())
        .collect();
    (first, threads)
}

/// How long both sides may seem to wait for each other before the ring is called damaged.
const STUCK: Duration = Duration::from_millis(400);

/// How often the thread that watches looks.
const TICK: Duration = Duration::from_millis(100);

/// Runs a program and checks its trace. The engine must hand over [`Options::columns`], or
/// [`Columns::MEMORY`] in place of [`Columns::FOLLOW`]. Standard input, output and error of this
/// process are the program's. SIGINT and SIGTERM are passed on to it.
///
/// `warn` is told what is not as it should be, at most once for each reason.
///
/// # Errors
/// [`LiveError`]; the program has ended then.
pub fn run<'t>(
    ring: &'t Ring,
    engine: &Engine<'_, 't>,
    options: &Options,
    warn: &mut dyn FnMut(&str),
) -> Result<Outcome, LiveError> {
    let start = Instant::now();
    let host = |what| move |source| LiveError::Host { what, source };
    let bell = Bell::new().map_err(host("signals cannot be handled"))?;
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let (core, threads) = placement(options, &allowed);
    if core.is_none() {
        warn("there is one core: the program and its replay share it");
    }
    let mut options = options.clone();
    if options.slots.is_none() {
        let bytes = options
            .ring_bytes
            .unwrap_or_else(|| ring_bytes(threads.len()));
        options.ring_bytes = Some(bytes);
    }
    std::thread::scope(|scope| {
        // The program is started by a thread that is where the program is to be, and it gets a
        // signal when that thread ends: it stays to the end.
        let (started_sender, started) = mpsc::channel();
        let (over, stay) = mpsc::channel::<()>();
        let (allowed, options) = (&allowed, &options);
        scope.spawn(move || {
            let pinned = pin(core, allowed);
            let _ = started_sender.send((Process::start(options, ring), pinned));
            let _ = stay.recv();
        });
        let (process, pinned) = started.recv().map_err(|_| CheckError::Thread)?;
        let process = process.map_err(|source| LiveError::Start {
            program: options.program.clone(),
            source,
        })?;
        if !pinned {
            warn("the program could not be pinned to its core");
        }
        let result = Session {
            start,
            ring,
            engine,
            options,
            bell: &bell,
            allowed,
            core: core.filter(|_| pinned),
            threads: &threads,
            process,
            warn,
        }
        .go();
        drop(over);
        result
    })
}

/// A run from the start of its program on.
struct Session<'a, 'p, 't> {
    start: Instant,
    ring: &'t Ring,
    engine: &'a Engine<'p, 't>,
    options: &'a Options,
    bell: &'a Bell,
    allowed: &'a [CoreId],
    core: Option<usize>,
    threads: &'a [Option<usize>],
    process: Process,
    warn: &'a mut dyn FnMut(&str),
}

impl Session<'_, '_, '_> {
    fn go(mut self) -> Result<Outcome, LiveError> {
        self.await_ring()?;
        let header = self.ring.open()?;
        header_of_program(&header, self.engine.program())?;
        let slots = self.ring.geometry().map_or(1, |g| g.slots);
        let file = match &self.options.trace {
            Some(to) => Some(TraceFile::create(to, &header, self.ring.header_bytes())?),
            None => None,
        };
        let memory = !self.options.no_memory;
        let own = |core: &Option<usize>| core.is_some() && *core != self.core;
        let apart = self.core.is_some() && self.threads.iter().all(own);
        if apart {
            self.ring.control().apart.raise();
        }
        let shared = Shared::new(Setting {
            ring: self.ring,
            header,
            engine: self.engine,
            bell: self.bell,
            memory,
            file,
            threads: self.threads.len(),
            slots,
            apart,
        });
        let allowed = self.allowed;
        let (status, workers, unpinned) = std::thread::scope(|scope| {
            let shared = &shared;
            let handles: Vec<_> = self
                .threads
                .iter()
                .enumerate()
                .map(|(thread, core)| {
                    scope.spawn(move || {
                        let pinned = pin(*core, allowed);
                        (shared.serve(thread, *core), pinned)
                    })
                })
                .collect();
            let status = watch(&mut self.process, self.bell, shared);
            let (mut workers, mut unpinned) = (Vec::new(), 0);
            for handle in handles {
                let (worker, pinned) = handle.join().map_err(|_| CheckError::Thread)?;
                workers.push(worker);
                unpinned += usize::from(!pinned);
            }
            Ok::<_, LiveError>((status?, workers, unpinned))
        })?;
        if unpinned > 0 {
            (self.warn)(&format!(
                "{unpinned} threads could not be pinned to their cores"
            ));
        }
        let (error, sum) = shared.into_result();
        if let Some(error) = error {
            return Err(error);
        }
        let report = Report {
            chunks: sum.chunks,
            steps: sum.steps,
            log_bytes: sum.log_bytes,
            event_bytes: sum.event_bytes,
            workers,
            wall: self.start.elapsed(),
            memory,
            unpinned,
        };
        let whole = sum.end.0 != end::NEXT;
        let footer = self
            .ring
            .footer()
            .filter(|_| whole && status.code().is_some());
        if let Some(footer) = &footer {
            agree(footer, &report, sum.end).map_err(LiveError::Footer)?;
            sum.merge.finish(footer)?;
        }
        let file_bytes = match (sum.file, &footer) {
            (Some(file), Some(footer)) => Some(file.finish(footer)?),
            (Some(file), None) => Some(file.len()),
            (None, _) => None,
        };
        // As shells have it.
        let killed = status.signal().unwrap_or(0) as u8 | 128;
        Ok(Outcome {
            status: status.code().map_or(killed, |code| code as u8),
            signal: status.signal(),
            report,
            end: footer,
            slots,
            core: self.core,
            file_bytes,
        })
    }

    /// Waits until the program has set up the ring.
    fn await_ring(&mut self) -> Result<(), LiveError> {
        let word = &self.ring.control().state.0;
        let timeout = futex::Timespec {
            tv_sec: 0,
            tv_nsec: 5_000_000,
        };
        while word.load(Ordering::Acquire) == state::NEW {
            // Whatever it says, the word is looked at again.
            let _ = futex::wait(word, futex::Flags::empty(), state::NEW, Some(&timeout));
            for signal in self.bell.wait(&self.process, Duration::ZERO) {
                self.process.signal(signal);
            }
            let ended = self.process.ended().map_err(lost)?;
            if let Some(status) = ended
                && word.load(Ordering::Acquire) == state::NEW
            {
                return Err(LiveError::NoRing(status));
            }
        }
        Ok(())
    }
}

fn lost(source: std::io::Error) -> LiveError {
    LiveError::Host {
        what: "the program cannot be waited for",
        source,
    }
}

/// Waits for the end of the program, passes signals on, and ends it when a thread found something
/// wrong.
fn watch(
    process: &mut Process,
    bell: &Bell,
    shared: &Shared<'_, '_, '_>,
) -> Result<ExitStatus, LiveError> {
    let mut signalled = false;
    let mut stuck: Option<(u64, Instant)> = None;
    let status = loop {
        match process.ended() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) => {}
            Err(source) => break Err(lost(source)),
        }
        if shared.has_failed() {
            break process.kill().map_err(lost);
        }
        for signal in bell.wait(process, TICK) {
            // Who asks twice means it.
            process.signal(if signalled { Signal::KILL } else { signal });
            signalled = true;
        }
        stuck = match (shared.is_stuck(), stuck) {
            (Some(chunk), Some((before, since))) if chunk == before => {
                if since.elapsed() > STUCK {
                    shared.fail(LiveError::Ring(RingError::Layout(
                        "program and replay wait for each other",
                    )));
                }
                Some((before, since))
            }
            (Some(chunk), _) => Some((chunk, Instant::now())),
            (None, _) => None,
        };
    };
    shared.program_ended();
    status
}

/// Whether the footer is that of the chunks.
fn agree(footer: &FooterHeader, report: &Report, last: (u32, u32)) -> Result<(), &'static str> {
    if footer.magic != FOOTER_MAGIC {
        return Err("magic number");
    }
    if footer.chunks != report.chunks {
        return Err("number of chunks");
    }
    if footer.total_steps != report.steps {
        return Err("number of steps");
    }
    if (footer.end_kind.get(), footer.end_code.get()) != last {
        return Err("end of the run");
    }
    Ok(())
}
