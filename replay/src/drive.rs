//! Re-executes the chunks of a trace on several threads and brings the results together.

use crate::check::CheckError;
use crate::chunk::{first_difference, start_state};
use crate::engine::{Engine, Worker};
use crate::error::{Difference, DifferenceKind};
use crate::program::Program;
use crate::trace::{Trace, TraceError};
use crate::witness::Consumer;
use core_affinity::CoreId;
use crossbeam::channel::{self, Receiver, Sender};
use hartlog_format::parse::{Chunk, Header};
use hartlog_format::trace::ISA;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// When results are handed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// In the order of chunks.
    #[default]
    Chunks,
    /// As soon as they are there.
    Ready,
}

/// How chunks are re-executed.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cores to pin threads to, one thread each; empty: as many threads as there are cores that
    /// this process may use, pinned to them.
    pub cores: Vec<usize>,
    /// Number of threads; default: one per core.
    pub jobs: Option<usize>,
    /// Only these chunks; default: all.
    pub chunks: Option<Range<u64>>,
    /// When results are handed over.
    pub order: Order,
}

/// What one thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Thread {
    /// Core that it is pinned to.
    pub core: Option<usize>,
    /// Chunks.
    pub chunks: u64,
    /// Steps.
    pub steps: u64,
    /// Time spent on them.
    pub busy: Duration,
}

/// Result of a replay that found nothing wrong.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Chunks re-executed.
    pub chunks: u64,
    /// Their steps.
    pub steps: u64,
    /// Bytes of read log in these chunks.
    pub log_bytes: u64,
    /// Bytes of host events in these chunks.
    pub event_bytes: u64,
    /// Per thread.
    pub threads: Vec<Thread>,
    /// From start to end.
    pub wall: Duration,
    /// Cores that a thread could not be pinned to.
    pub unpinned: usize,
}

/// A finished chunk, from the thread that did it.
struct Done<O> {
    index: u64,
    thread: usize,
    busy: Duration,
    result: Result<Output<O>, CheckError>,
}

/// What a chunk came to.
pub(crate) struct Output<O> {
    pub(crate) steps: u64,
    pub(crate) log_bytes: u64,
    pub(crate) event_bytes: u64,
    pub(crate) output: O,
}

/// Whether the trace is one of this program.
///
/// # Errors
/// [`CheckError`] that says why not.
pub fn same_program(trace: &Trace, program: &Program) -> Result<(), CheckError> {
    header_of_program(&trace.header()?, program)
}

/// Whether a file header is one of a trace of this program.
pub(crate) fn header_of_program(header: &Header<'_>, program: &Program) -> Result<(), CheckError> {
    let elf = program.elf().sha256;
    if header.fixed.elf_sha256 != elf {
        return Err(CheckError::OtherElf {
            trace: crate::check::hex(&header.fixed.elf_sha256),
            elf: crate::check::hex(&elf),
        });
    }
    let isa = header.fixed.isa.get();
    if isa != ISA {
        return Err(CheckError::Header {
            field: "isa",
            expected: ISA,
            found: isa,
        });
    }
    if header.arguments().next() != Some(hartlog_abi::ARGV0) {
        return Err(CheckError::Argv0);
    }
    Ok(())
}

/// Threads and the cores that they are to be pinned to.
pub(crate) fn placement(options: &Options, allowed: &[CoreId]) -> Vec<Option<usize>> {
    let cores = if options.cores.is_empty() {
        allowed.iter().map(|c| c.id).collect()
    } else {
        options.cores.clone()
    };
    let jobs = match (options.jobs, cores.len()) {
        (Some(jobs), _) => jobs,
        (None, 0) => std::thread::available_parallelism().map_or(1, |n| n.get()),
        (None, len) => len,
    };
    (0..jobs.max(1)).map(|i| cores.get(i).copied()).collect()
}

/// Pins this thread; whether that could be done.
pub(crate) fn pin(core: Option<usize>, allowed: &[CoreId]) -> bool {
    core.is_none_or(|id| {
        // Other numbers would be taken for an index by the system's own tables.
        let known = allowed.iter().any(|c| c.id == id);
        known && core_affinity::set_for_current(CoreId { id })
    })
}

/// Re-executes the chunks of a trace. Every chunk is verified: its checksum, everything inside it,
/// and that it ends where the next one starts. `consumer` makes a consumer for each thread, by its
/// number; `take` gets what they say of each chunk.
///
/// With [`Order::Chunks`] errors are deterministic: the one returned is that of the lowest chunk
/// that has one.
///
/// # Errors
/// [`CheckError`] for a trace that is wrong; whatever `take` returns.
pub fn run<'t, C, E>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
    consumer: impl Fn(usize) -> C + Sync,
    mut take: impl FnMut(u64, C::Output) -> Result<(), E>,
) -> Result<Summary, E>
where
    C: Consumer<'t>,
    E: From<CheckError>,
{
    let start = Instant::now();
    same_program(trace, engine.program())?;
    let len = trace.len();
    let range = options.chunks.clone().unwrap_or(0..len);
    if range.start > range.end || range.end > len {
        return Err(CheckError::Chunks {
            start: range.start,
            end: range.end,
            len,
        }
        .into());
    }
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let placement = placement(options, &allowed);
    let (work_sender, work) = channel::unbounded();
    let (done_sender, done) = channel::unbounded();
    let (pin_sender, pinned) = channel::unbounded();
    let scope = crossbeam::scope(|scope| {
        for (thread, core) in placement.iter().enumerate() {
            let (work, done, report) = (work.clone(), done_sender.clone(), pin_sender.clone());
            let (core, allowed, consumer) = (*core, &allowed, &consumer);
            scope.spawn(move |_| {
                let ok = pin(core, allowed);
                // The receiver outlives this thread; were it gone, nobody would wait.
                let _ = report.send(ok);
                serve(trace, engine, thread, consumer(thread), &work, &done);
            });
        }
        drop((done_sender, pin_sender));
        let mut merge = Merge {
            order: options.order,
            next: range.start,
            waiting: BTreeMap::new(),
            summary: Summary {
                threads: placement
                    .iter()
                    .map(|core| Thread {
                        core: *core,
                        ..Thread::default()
                    })
                    .collect(),
                ..Summary::default()
            },
        };
        let window = 4 * placement.len() as u64;
        let result = merge.feed(range, window, work_sender, &done, &mut take);
        merge.summary.unpinned = pinned.iter().filter(|ok| !ok).count();
        result.map(|()| merge.summary)
    });
    let mut summary = scope.map_err(|_| CheckError::Thread)??;
    summary.wall = start.elapsed();
    Ok(summary)
}

/// Re-executes chunks until there are no more.
fn serve<'t, C: Consumer<'t>>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    thread: usize,
    mut consumer: C,
    work: &Receiver<u64>,
    done: &Sender<Done<C::Output>>,
) {
    let mut worker = engine.worker();
    for index in work {
        let start = Instant::now();
        let result = one(trace, engine.program(), &mut worker, &mut consumer, index);
        if result.is_err() {
            consumer.wrong_chunk();
        }
        let sent = done.send(Done {
            index,
            thread,
            busy: start.elapsed(),
            result,
        });
        if sent.is_err() {
            return;
        }
    }
}

/// A chunk whose checksum is right.
pub(crate) fn verified(trace: &Trace, index: u64) -> Result<Chunk<'_>, TraceError> {
    let chunk = trace.chunk(index)?;
    chunk.verify().map_err(|source| TraceError::Chunk {
        chunk: index,
        source,
    })?;
    Ok(chunk)
}

/// Re-executes a chunk and compares its end with the start of the next.
pub(crate) fn one<'t, C: Consumer<'t>>(
    trace: &'t Trace,
    program: &Program,
    worker: &mut Worker<'_, '_, 't>,
    consumer: &mut C,
    index: u64,
) -> Result<Output<C::Output>, CheckError> {
    let chunk = verified(trace, index)?;
    let replayed = worker.replay(&chunk, consumer).map_err(CheckError::from)?;
    if index + 1 < trace.len() {
        let next = trace.chunk(index + 1)?;
        let hart = &replayed.hart;
        if let Some((item, found, expected)) = first_difference(hart, &start_state(next.header)) {
            let kind = DifferenceKind::NextStart {
                item,
                expected,
                found,
            };
            let step = next.header.first_step.get();
            return Err(Difference::new(program, index, step, hart.pc, kind).into());
        }
    }
    Ok(Output {
        steps: chunk.header.steps.get(),
        log_bytes: chunk.header.log_len.get(),
        event_bytes: chunk.header.events_len.get(),
        output: replayed.output,
    })
}

/// Takes finished chunks.
struct Merge<O> {
    order: Order,
    /// The chunk whose turn it is.
    next: u64,
    waiting: BTreeMap<u64, Done<O>>,
    summary: Summary,
}

impl<O> Merge<O> {
    /// Hands out chunks, a few ahead of the one whose turn it is, and takes the results.
    fn feed<E: From<CheckError>>(
        &mut self,
        range: Range<u64>,
        window: u64,
        work: Sender<u64>,
        done: &Receiver<Done<O>>,
        take: &mut impl FnMut(u64, O) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut handed = range.start;
        while self.next < range.end {
            while handed < range.end && handed < self.next + window {
                work.send(handed).map_err(|_| CheckError::Thread)?;
                handed += 1;
            }
            let result = done.recv().map_err(|_| CheckError::Thread)?;
            match self.order {
                Order::Ready => {
                    self.take(result, take)?;
                    self.next += 1;
                }
                Order::Chunks => {
                    self.waiting.insert(result.index, result);
                    while let Some(result) = self.waiting.remove(&self.next) {
                        self.take(result, take)?;
                        self.next += 1;
                    }
                }
            }
        }
        Ok(())
    }

    fn take<E: From<CheckError>>(
        &mut self,
        done: Done<O>,
        take: &mut impl FnMut(u64, O) -> Result<(), E>,
    ) -> Result<(), E> {
        let output = done.result?;
        if let Some(thread) = self.summary.threads.get_mut(done.thread) {
            thread.chunks += 1;
            thread.steps += output.steps;
            thread.busy += done.busy;
        }
        self.summary.chunks += 1;
        self.summary.steps += output.steps;
        self.summary.log_bytes += output.log_bytes;
        self.summary.event_bytes += output.event_bytes;
        take(done.index, output.output)
    }
}
