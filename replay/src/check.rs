//! Checks a whole trace: re-executes its chunks in parallel, and follows memory in order.

use crate::audit::{AuditError, Auditor, LineError, Stretch};
use crate::chunk::{
    Consumer, LogPort, MemorySink, NoSink, Row, execute, first_difference, replay, start_state,
};
use crate::error::{Difference, DifferenceKind};
use crate::program::{Code, Program};
use crate::shadow::{Line, Shadow};
use crate::trace::{Trace, TraceError};
use core_affinity::CoreId;
use crossbeam::channel::{self, Receiver, Sender};
use hartlog_format::parse::Chunk;
use hartlog_isa::Hart;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

/// How to check.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Cores to pin threads to, one thread each; empty: as many threads as there are cores that
    /// this process may use, pinned to them.
    pub cores: Vec<usize>,
    /// Number of threads; default: one per core.
    pub jobs: Option<usize>,
    /// Only these chunks, without memory.
    pub chunks: Option<Range<u64>>,
    /// Leave out memory consistency (trace.md, property 4).
    pub no_memory: bool,
}

/// What one thread did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Worker {
    /// Core that it is pinned to.
    pub core: Option<usize>,
    /// Chunks.
    pub chunks: u64,
    /// Steps.
    pub steps: u64,
    /// Time spent on them.
    pub busy: Duration,
}

/// Result of a check that found nothing wrong.
#[derive(Clone, Debug)]
pub struct Report {
    /// Chunks checked.
    pub chunks: u64,
    /// Steps re-executed.
    pub steps: u64,
    /// Bytes of read log in these chunks.
    pub log_bytes: u64,
    /// Bytes of host events in these chunks.
    pub event_bytes: u64,
    /// Per thread.
    pub workers: Vec<Worker>,
    /// From start to end.
    pub wall: Duration,
    /// Whether memory was followed.
    pub memory: bool,
    /// Cores that a thread could not be pinned to.
    pub unpinned: usize,
}

/// Why a trace is rejected, or could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// It is malformed.
    #[error("{0}")]
    Trace(#[from] TraceError),
    /// It was written for another program.
    #[error("the trace is of another ELF: SHA-256 {trace}, the file has {elf}")]
    OtherElf {
        /// SHA-256 in the trace.
        trace: String,
        /// SHA-256 of the file.
        elf: String,
    },
    /// A field of the header has a value that no run writes.
    #[error("header: {field} is {found:#x}, expected {expected:#x}")]
    Header {
        /// Which field.
        field: &'static str,
        /// What every run writes.
        expected: u64,
        /// What it holds.
        found: u64,
    },
    /// argv\[0\] is not the one that every guest gets.
    #[error("header: the first argument is not \"{}\"", hartlog_abi::ARGV0.escape_ascii())]
    Argv0,
    /// It is not that of a run of the program.
    #[error("{0}")]
    Difference(Box<Difference>),
    /// The output digest in the footer is wrong.
    #[error("footer: {what} of the guest's output differs from what the environment calls wrote")]
    Output {
        /// Length or digest.
        what: &'static str,
    },
    /// Memory could not be followed.
    #[error("{0}")]
    Audit(AuditError),
    /// The chunks that were asked for are not there.
    #[error("there are {len} chunks, {start}..{end} was asked for")]
    Chunks {
        /// First.
        start: u64,
        /// One past the last.
        end: u64,
        /// How many there are.
        len: u64,
    },
    /// A thread ended without a result.
    #[error("a thread ended early")]
    Thread,
}

impl From<AuditError> for CheckError {
    fn from(error: AuditError) -> CheckError {
        match error {
            AuditError::Difference(difference) => CheckError::Difference(difference),
            other => CheckError::Audit(other),
        }
    }
}

impl From<Difference> for CheckError {
    fn from(difference: Difference) -> CheckError {
        CheckError::Difference(Box::new(difference))
    }
}

/// What re-executing a chunk gives.
struct Replayed<'t> {
    chunk: Chunk<'t>,
    hart: Hart,
    stretches: Vec<Stretch<'t>>,
}

/// A finished chunk, from the thread that did it.
struct Done<'t> {
    index: u64,
    worker: usize,
    busy: Duration,
    result: Result<Replayed<'t>, CheckError>,
}

/// A sink that can be cut into stretches.
trait Stretches: MemorySink + Send {
    /// What was accessed; goes on in `spare`.
    fn cut(&mut self, spare: &Receiver<Vec<Line>>) -> Vec<Line>;
}

impl Stretches for NoSink {
    fn cut(&mut self, _: &Receiver<Vec<Line>>) -> Vec<Line> {
        Vec::new()
    }
}

impl Stretches for Shadow {
    fn cut(&mut self, spare: &Receiver<Vec<Line>>) -> Vec<Line> {
        self.take(spare.try_recv().unwrap_or_default())
    }
}

/// Checks a trace. `progress` is told the number of chunks done.
///
/// Errors are deterministic: the one reported is that of the lowest chunk that has one.
///
/// # Errors
/// [`CheckError`].
pub fn check(
    trace: &Trace,
    program: &Program,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, CheckError> {
    let header = trace.header()?;
    let elf = program.elf().sha256;
    if header.fixed.elf_sha256 != elf {
        return Err(CheckError::OtherElf {
            trace: hex(&header.fixed.elf_sha256),
            elf: hex(&elf),
        });
    }
    let isa = header.fixed.isa.get();
    if isa != hartlog_format::trace::ISA {
        return Err(CheckError::Header {
            field: "isa",
            expected: hartlog_format::trace::ISA,
            found: isa,
        });
    }
    if header.arguments().next() != Some(hartlog_abi::ARGV0) {
        return Err(CheckError::Argv0);
    }
    let len = trace.len();
    let range = options.chunks.clone().unwrap_or(0..len);
    if range.start > range.end || range.end > len {
        return Err(CheckError::Chunks {
            start: range.start,
            end: range.end,
            len,
        });
    }
    let memory = !options.no_memory && options.chunks.is_none();
    if memory {
        run(trace, program, options, range, progress, Shadow::new)
    } else {
        run(trace, program, options, range, progress, NoSink::default)
    }
}

/// Threads and the cores that they are to be pinned to.
fn placement(options: &Options, allowed: &[CoreId]) -> Vec<Option<usize>> {
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
fn pin(core: Option<usize>, allowed: &[CoreId]) -> bool {
    core.is_none_or(|id| {
        // Other numbers would be taken for an index by the system's own tables.
        let known = allowed.iter().any(|c| c.id == id);
        known && core_affinity::set_for_current(CoreId { id })
    })
}

fn run<S: Stretches>(
    trace: &Trace,
    program: &Program,
    options: &Options,
    range: Range<u64>,
    progress: &mut dyn FnMut(u64),
    sink: fn() -> S,
) -> Result<Report, CheckError> {
    let start = Instant::now();
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let placement = placement(options, &allowed);
    let code: Code<LogPort<'_, S>> = program.code();
    let memory = !options.no_memory && options.chunks.is_none();
    let auditor = if memory {
        let first = (!trace.is_empty())
            .then(|| verified(trace, 0))
            .transpose()?;
        let header = trace.header()?;
        Some(Auditor::new(program, &header, first.map(|c| c.header))?)
    } else {
        None
    };
    let jobs = placement.len();
    let (work_sender, work) = channel::unbounded();
    let (done_sender, done) = channel::unbounded();
    let (pin_sender, pinned) = channel::unbounded();
    let (spare_sender, spare) = channel::unbounded();
    let scope = crossbeam::scope(|scope| {
        for (worker, core) in placement.iter().enumerate() {
            let (work, done, report) = (work.clone(), done_sender.clone(), pin_sender.clone());
            let (core, allowed) = (*core, &allowed);
            let replayer = Replayer {
                trace,
                program,
                code: &code,
                spare: spare.clone(),
                worker,
            };
            scope.spawn(move |_| {
                let ok = pin(core, allowed);
                // The receiver outlives this thread; were it gone, nobody would wait.
                let _ = report.send(ok);
                replayer.serve(sink(), &work, &done);
            });
        }
        drop((done_sender, pin_sender));
        let mut merge = Merge {
            trace,
            program,
            auditor,
            spare: spare_sender,
            next: range.start,
            waiting: BTreeMap::new(),
            report: Report {
                chunks: 0,
                steps: 0,
                log_bytes: 0,
                event_bytes: 0,
                workers: placement
                    .iter()
                    .map(|core| Worker {
                        core: *core,
                        ..Worker::default()
                    })
                    .collect(),
                wall: Duration::ZERO,
                memory,
                unpinned: 0,
            },
        };
        let result = merge.feed(range, jobs, work_sender, &done, progress);
        merge.report.unpinned = pinned.iter().filter(|ok| !ok).count();
        result.map(|()| merge.report)
    });
    let mut report = scope.map_err(|_| CheckError::Thread)??;
    report.wall = start.elapsed();
    Ok(report)
}

/// A chunk whose checksum is right.
fn verified(trace: &Trace, index: u64) -> Result<Chunk<'_>, TraceError> {
    let chunk = trace.chunk(index)?;
    chunk.verify().map_err(|source| TraceError::Chunk {
        chunk: index,
        source,
    })?;
    Ok(chunk)
}

/// What a thread needs to re-execute chunks.
struct Replayer<'a, 't, S: Stretches> {
    trace: &'t Trace,
    program: &'a Program,
    code: &'a Code<LogPort<'t, S>>,
    /// Buffers that were used before: fresh memory costs more than what is done with it.
    spare: Receiver<Vec<Line>>,
    worker: usize,
}

impl<'t, S: Stretches> Replayer<'_, 't, S> {
    /// Re-executes chunks until there are no more.
    fn serve(&self, sink: S, work: &Receiver<u64>, done: &Sender<Done<'t>>) {
        let mut port = LogPort::new(sink);
        for index in work {
            let start = Instant::now();
            let result = self.one(&mut port, index);
            let sent = done.send(Done {
                index,
                worker: self.worker,
                busy: start.elapsed(),
                result,
            });
            if sent.is_err() {
                return;
            }
        }
    }

    /// Re-executes a chunk and compares its end with the start of the next.
    fn one(&self, port: &mut LogPort<'t, S>, index: u64) -> Result<Replayed<'t>, CheckError> {
        let chunk = verified(self.trace, index)?;
        let mut stretches = Vec::new();
        let executed = execute(self.program, self.code, &chunk, port, |sink, call| {
            stretches.push(Stretch {
                lines: sink.cut(&self.spare),
                call: Some(call.clone()),
            });
        });
        let lines = port.sink.cut(&self.spare);
        let hart = executed?;
        stretches.push(Stretch { lines, call: None });
        if index + 1 < self.trace.len() {
            let next = self.trace.chunk(index + 1)?;
            let difference = first_difference(&hart, &start_state(next.header));
            if let Some((item, found, expected)) = difference {
                let kind = DifferenceKind::NextStart {
                    item,
                    expected,
                    found,
                };
                let step = next.header.first_step.get();
                return Err(Difference::new(self.program, index, step, hart.pc, kind).into());
            }
        }
        Ok(Replayed {
            chunk,
            hart,
            stretches,
        })
    }
}

/// Takes finished chunks in order.
struct Merge<'p, 't> {
    trace: &'t Trace,
    program: &'p Program,
    auditor: Option<Auditor<'p>>,
    /// Takes back buffers.
    spare: Sender<Vec<Line>>,
    /// The chunk whose turn it is.
    next: u64,
    waiting: BTreeMap<u64, Done<'t>>,
    report: Report,
}

impl<'t> Merge<'_, 't> {
    /// Hands out chunks, a few ahead of the one whose turn it is, and takes the results.
    fn feed(
        &mut self,
        range: Range<u64>,
        jobs: usize,
        work: Sender<u64>,
        done: &Receiver<Done<'t>>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), CheckError> {
        let window = 4 * jobs as u64;
        let mut handed = range.start;
        while self.next < range.end {
            while handed < range.end && handed < self.next + window {
                work.send(handed).map_err(|_| CheckError::Thread)?;
                handed += 1;
            }
            let result = done.recv().map_err(|_| CheckError::Thread)?;
            self.waiting.insert(result.index, result);
            while let Some(result) = self.waiting.remove(&self.next) {
                self.take(result)?;
                self.next += 1;
                progress(self.next - range.start);
            }
        }
        drop(work);
        self.finish()
    }

    fn take(&mut self, done: Done<'t>) -> Result<(), CheckError> {
        let replayed = done.result?;
        let header = replayed.chunk.header;
        let steps = header.steps.get();
        if let Some(worker) = self.report.workers.get_mut(done.worker) {
            worker.chunks += 1;
            worker.steps += steps;
            worker.busy += done.busy;
        }
        self.report.chunks += 1;
        self.report.steps += steps;
        self.report.log_bytes += header.log_len.get();
        self.report.event_bytes += header.events_len.get();
        let Some(auditor) = &mut self.auditor else {
            return Ok(());
        };
        let mut from = header.first_step.get();
        for stretch in replayed.stretches {
            if let Err(error) = auditor.accesses(&stretch.lines) {
                return Err(find(self.program, &replayed.chunk, from, error)?.into());
            }
            // Nobody takes it after the last chunk; small ones are not worth it.
            if stretch.lines.capacity() >= 64 {
                let _ = self.spare.send(stretch.lines);
            }
            if let Some(call) = &stretch.call {
                auditor.call(call).map_err(|kind| {
                    let index = header.index.get();
                    Difference::new(self.program, index, call.step, call.pc, kind)
                })?;
                from = call.step + 1;
            }
        }
        auditor.fault(header, &replayed.hart).map_err(|kind| {
            let step = header.first_step.get() + steps;
            Difference::new(
                self.program,
                header.index.get(),
                step,
                replayed.hart.pc,
                kind,
            )
        })?;
        Ok(())
    }

    fn finish(&self) -> Result<(), CheckError> {
        let (Some(auditor), Some(footer)) = (&self.auditor, self.trace.footer()?) else {
            return Ok(());
        };
        let (len, digest) = auditor.output();
        if footer.fixed.output_len.get() != len {
            return Err(CheckError::Output { what: "length" });
        }
        if footer.fixed.output_sha256 != digest {
            return Err(CheckError::Output { what: "digest" });
        }
        Ok(())
    }
}

/// Finds the access of a chunk, from a step on, that does not agree with memory.
fn find(
    program: &Program,
    chunk: &Chunk<'_>,
    from: u64,
    error: LineError,
) -> Result<Difference, CheckError> {
    let mut finder = Finder {
        from,
        error,
        found: None,
    };
    // The chunk was re-executed once already.
    replay(program, chunk, &mut finder)?;
    let (step, pc, kind) = finder.found.unwrap_or((
        from,
        chunk.header.start_pc.get(),
        DifferenceKind::Address { addr: error.addr },
    ));
    let index = chunk.header.index.get();
    Ok(Difference::new(program, index, step, pc, kind))
}

struct Finder {
    from: u64,
    error: LineError,
    found: Option<(u64, u64, DifferenceKind)>,
}

impl Consumer for Finder {
    fn row(&mut self, row: &Row<'_>) {
        let Some(access) = row
            .access
            .filter(|_| row.step >= self.from && self.found.is_none())
        else {
            return;
        };
        let offset = self.error.addr.wrapping_sub(access.addr);
        if offset >= access.width.bytes() {
            return;
        }
        let kind = match (self.error.expected, access.read) {
            (Some(byte), Some(found)) => {
                let shift = 8 * offset;
                DifferenceKind::Memory {
                    addr: access.addr,
                    width: access.width.bytes(),
                    expected: found & !(0xff << shift) | u64::from(byte) << shift,
                    found,
                }
            }
            (None, _) if self.error.write == access.written.is_some() => DifferenceKind::Access {
                addr: self.error.addr,
                write: self.error.write,
            },
            _ => return,
        };
        self.found = Some((row.step, row.pc, kind));
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
