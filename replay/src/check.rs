//! Checks a whole trace: re-executes its chunks in parallel, and follows memory in order.

use crate::audit::{AuditError, Auditor, LineError, Stretch};
use crate::chunk::{Call, Consumer, LogPort, Row, execute, replay};
use crate::drive::{self, Order, verified};
use crate::engine::{Engine, ReplayError};
use crate::error::{Difference, DifferenceKind};
use crate::program::{Code, Program};
use crate::shadow::{Line, Shadow};
use crate::trace::{Trace, TraceError};
use crate::witness::{self, Columns, MemoryOp};
use crossbeam::channel::{self, Receiver, Sender};
use hartlog_format::parse::{Chunk, Header};
use hartlog_format::trace::{ChunkHeader, FooterHeader};
use hartlog_isa::Hart;
use std::ops::Range;
use std::time::Duration;

pub use crate::drive::Thread as Worker;

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

impl Options {
    /// Whether memory is followed.
    pub fn memory(&self) -> bool {
        !self.no_memory && self.chunks.is_none()
    }

    /// The columns that an engine for [`check_with`] must hand over.
    pub fn columns(&self) -> Columns {
        if self.memory() {
            Columns::MEMORY
        } else {
            Columns::NONE
        }
    }
}

/// Result of a check that found nothing wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
#[non_exhaustive]
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
    /// The engine found a difference that the interpreter does not find.
    #[error("chunk {chunk}: the engine is wrong: the interpreter finds no difference")]
    Engine {
        /// The chunk.
        chunk: u64,
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

impl From<ReplayError> for CheckError {
    fn from(error: ReplayError) -> CheckError {
        match error {
            ReplayError::Difference(difference) => CheckError::Difference(difference),
            ReplayError::Engine { chunk } => CheckError::Engine { chunk },
        }
    }
}

impl From<Difference> for CheckError {
    fn from(difference: Difference) -> CheckError {
        CheckError::Difference(Box::new(difference))
    }
}

/// What is to be said of a chunk.
pub(crate) struct Followed<'t> {
    chunk: Chunk<'t>,
    hart: Hart,
    /// The first step that `stretches` tell of.
    from: u64,
    stretches: Vec<Stretch<'t>>,
}

impl Followed<'_> {
    /// Leaves out what was taken before: everything up to the environment call at `step`.
    pub(crate) fn after(&mut self, step: u64) {
        let call = |s: &Stretch<'_>| s.call.as_ref().is_some_and(|c| c.step == step);
        if let Some(at) = self.stretches.iter().position(call) {
            self.stretches.drain(..=at);
            self.from = step + 1;
        }
    }
}

/// What a [`Follower`] says of a chunk; `None` if a value read is not the one that was written in
/// the chunk.
pub(crate) type FollowerOutput<'t> = Option<Followed<'t>>;

/// Collects the memory accesses of a chunk.
pub(crate) struct Follower<'t> {
    /// `None`: memory is not followed.
    shadow: Option<Shadow>,
    /// Buffers that were used before: fresh memory costs more than what is done with it.
    spare: Receiver<Vec<Line>>,
    chunk: Option<Chunk<'t>>,
    stretches: Vec<Stretch<'t>>,
    contradiction: bool,
}

impl Follower<'_> {
    /// A consumer for a thread, which finds buffers in `spare`.
    pub(crate) fn new(memory: bool, spare: Receiver<Vec<Line>>) -> Self {
        Follower {
            shadow: memory.then(Shadow::new),
            spare,
            chunk: None,
            stretches: Vec::new(),
            contradiction: false,
        }
    }

    /// What was accessed since the last call.
    fn cut(&mut self) -> Vec<Line> {
        match &mut self.shadow {
            Some(shadow) => shadow.take(self.spare.try_recv().unwrap_or_default()),
            None => Vec::new(),
        }
    }
}

impl<'t> witness::Consumer<'t> for Follower<'t> {
    type Output = FollowerOutput<'t>;

    fn begin_chunk(&mut self, chunk: &Chunk<'t>) {
        if self.chunk.replace(*chunk).is_some() {
            // The last one was wrong.
            self.cut();
            self.stretches.clear();
            self.contradiction = false;
        }
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        let Some(shadow) = &mut self.shadow else {
            return;
        };
        self.contradiction |= !shadow.follow(ops);
    }

    fn call(&mut self, call: &Call<'t>) {
        if self.shadow.is_some() {
            let lines = self.cut();
            self.stretches.push(Stretch {
                lines,
                call: Some(call.clone()),
            });
        }
    }

    fn end_chunk(&mut self, end: &Hart) -> FollowerOutput<'t> {
        let lines = self.cut();
        self.stretches.push(Stretch { lines, call: None });
        let stretches = std::mem::take(&mut self.stretches);
        let contradiction = std::mem::take(&mut self.contradiction);
        let chunk = self.chunk.take().filter(|_| !contradiction)?;
        Some(Followed {
            chunk,
            hart: end.clone(),
            from: chunk.header.first_step.get(),
            stretches,
        })
    }
}

/// Checks a trace with the interpreter. `progress` is told the number of chunks done.
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
    let engine = Engine::interpreted(program, options.columns());
    check_with(trace, &engine, options, progress)
}

/// [`check`] with an engine, which must hand over [`Options::columns`].
///
/// # Errors
/// [`CheckError`].
pub fn check_with<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, CheckError> {
    let program = engine.program();
    drive::same_program(trace, program)?;
    let memory = options.memory();
    let mut merge = Merge::at_start(program, trace, memory)?;
    let options = drive::Options {
        cores: options.cores.clone(),
        jobs: options.jobs,
        chunks: options.chunks.clone(),
        order: Order::Chunks,
    };
    let mut done = 0;
    let spare = merge.spare();
    let result = drive::run(
        trace,
        engine,
        &options,
        |_| Follower::new(memory, spare.clone()),
        |index, output| {
            match output {
                Some(followed) => merge.take(followed)?,
                None => return Err(contradiction(program, &trace.chunk(index)?)),
            }
            done += 1;
            progress(done);
            Ok::<(), CheckError>(())
        },
    );
    let summary = result.map_err(|error| first(trace, program, memory, error))?;
    if let Some(footer) = trace.footer()? {
        merge.finish(footer.fixed)?;
    }
    Ok(Report {
        chunks: summary.chunks,
        steps: summary.steps,
        log_bytes: summary.log_bytes,
        event_bytes: summary.event_bytes,
        workers: summary.threads,
        wall: summary.wall,
        memory,
        unpinned: summary.unpinned,
    })
}

/// The first difference of the chunk that an error is of: inside a chunk it may be one of memory.
fn first(trace: &Trace, program: &Program, memory: bool, error: CheckError) -> CheckError {
    match error {
        CheckError::Difference(found) if memory => match trace.chunk(found.chunk) {
            Ok(chunk) => first_of(program, &chunk, found),
            Err(_) => CheckError::Difference(found),
        },
        error => error,
    }
}

/// Checks chunks one after another on this thread, in the memory of `merge`. What comes up to the
/// environment call at step `after` was taken before.
///
/// # Errors
/// Those of [`check_with`].
pub(crate) fn check_serially<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    merge: &mut Merge<'_>,
    chunks: Range<u64>,
    after: Option<u64>,
) -> Result<(), CheckError> {
    let (program, memory) = (engine.program(), merge.memory);
    let mut worker = engine.worker();
    let mut follower = Follower::new(memory, merge.spare());
    for index in chunks {
        let result = drive::one(trace, program, &mut worker, &mut follower, index);
        let output = result.map_err(|error| first(trace, program, memory, error))?;
        match output.output {
            Some(mut followed) => {
                if let Some(step) = after {
                    followed.after(step);
                }
                merge.take(followed)?;
            }
            None => return Err(contradiction(program, &trace.chunk(index)?)),
        }
    }
    Ok(())
}

/// Takes finished chunks in order.
pub(crate) struct Merge<'p> {
    program: &'p Program,
    memory: bool,
    auditor: Option<Auditor<'p>>,
    /// Takes back buffers.
    spare: (Sender<Vec<Line>>, Receiver<Vec<Line>>),
}

impl<'p> Merge<'p> {
    /// Nothing taken yet. If memory is followed, [`Merge::start`] is next.
    pub(crate) fn new(program: &'p Program, memory: bool) -> Merge<'p> {
        Merge {
            program,
            memory,
            auditor: None,
            spare: channel::unbounded(),
        }
    }

    /// Memory before the first step of a trace, if it is followed.
    pub(crate) fn at_start(
        program: &'p Program,
        trace: &Trace,
        memory: bool,
    ) -> Result<Merge<'p>, CheckError> {
        let mut merge = Merge::new(program, memory);
        if memory {
            let first = (!trace.is_empty())
                .then(|| verified(trace, 0))
                .transpose()?;
            merge.start(&trace.header()?, first.map(|c| c.header))?;
        }
        Ok(merge)
    }

    /// Where the threads find buffers.
    pub(crate) fn spare(&self) -> Receiver<Vec<Line>> {
        self.spare.1.clone()
    }

    /// Memory before the first step, see [`Auditor::new`].
    pub(crate) fn start(
        &mut self,
        header: &Header<'_>,
        first: Option<&ChunkHeader>,
    ) -> Result<(), CheckError> {
        if self.memory {
            self.auditor = Some(Auditor::new(self.program, header, first)?);
        }
        Ok(())
    }

    /// Takes the next chunk.
    pub(crate) fn take(&mut self, followed: Followed<'_>) -> Result<(), CheckError> {
        let header = followed.chunk.header;
        let Some(auditor) = &mut self.auditor else {
            return Ok(());
        };
        let mut from = followed.from;
        for stretch in followed.stretches {
            if let Err(error) = auditor.accesses(&stretch.lines) {
                return Err(find(self.program, &followed.chunk, from, error)?.into());
            }
            // Nobody takes it after the last chunk; small ones are not worth it.
            if stretch.lines.capacity() >= 64 {
                let _ = self.spare.0.send(stretch.lines);
            }
            if let Some(call) = &stretch.call {
                auditor.call(call).map_err(|kind| {
                    let index = header.index.get();
                    Difference::new(self.program, index, call.step, call.pc, kind)
                })?;
                from = call.step + 1;
            }
        }
        self.end(header, &followed.hart)
    }

    /// Takes the end of the next chunk, of which everything else was taken.
    pub(crate) fn end(&mut self, header: &ChunkHeader, hart: &Hart) -> Result<(), CheckError> {
        let Some(auditor) = &mut self.auditor else {
            return Ok(());
        };
        let step = header.first_step.get() + header.steps.get();
        let ended = auditor.fault(header, hart);
        let ended = ended.and_then(|()| auditor.request(header, hart, step));
        ended.map_err(|kind| {
            Difference::new(self.program, header.index.get(), step, hart.pc, kind)
        })?;
        Ok(())
    }

    /// Memory and ABI; `None` if memory is not followed.
    pub(crate) fn auditor(&mut self) -> Option<&mut Auditor<'p>> {
        self.auditor.as_mut()
    }

    /// Compares the output with what the footer says.
    pub(crate) fn finish(&self, footer: &FooterHeader) -> Result<(), CheckError> {
        let Some(auditor) = &self.auditor else {
            return Ok(());
        };
        let (len, digest) = auditor.output();
        if footer.output_len.get() != len {
            return Err(CheckError::Output { what: "length" });
        }
        if footer.output_sha256 != digest {
            return Err(CheckError::Output { what: "digest" });
        }
        Ok(())
    }
}

/// The first difference inside a chunk with a value read that was not written.
pub(crate) fn contradiction(program: &Program, chunk: &Chunk<'_>) -> CheckError {
    match in_memory(program, chunk) {
        Some(difference) => CheckError::Difference(difference),
        None => CheckError::Engine {
            chunk: chunk.header.index.get(),
        },
    }
}

/// The first difference of a chunk of which one is known, memory included.
pub(crate) fn first_of(program: &Program, chunk: &Chunk<'_>, known: Box<Difference>) -> CheckError {
    CheckError::Difference(in_memory(program, chunk).unwrap_or(known))
}

/// The first difference inside a chunk, accesses to memory included.
fn in_memory(program: &Program, chunk: &Chunk<'_>) -> Option<Box<Difference>> {
    let code: Code<LogPort<'_, Shadow>> = program.code();
    let mut port = LogPort::new(Shadow::new());
    let result = execute(program, &code, chunk, &mut port, |shadow, _| {
        shadow.take(Vec::new());
    });
    result.err().map(Box::new)
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
