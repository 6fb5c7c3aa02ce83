//! Checks a whole trace: re-executes its chunks in parallel, and follows memory in order.

use crate::audit::{AuditError, Auditor, Stretch};
use crate::chunk::{Call, LogPort, MemorySink, PortFault, execute};
use crate::drive::{self, Order, verified};
use crate::engine::{Engine, ReplayError};
use crate::error::{Difference, DifferenceKind};
use crate::memory::Memory;
use crate::program::{Code, Program};
use crate::shadow::{Line, Shadow};
use crate::trace::{Trace, TraceError};
use crate::witness::{self, Columns, MemoryOp};
use crossbeam::channel::{self, Receiver, Sender};
use hartlog_format::parse::{Chunk, Header};
use hartlog_format::trace::{ChunkHeader, FooterHeader};
use hartlog_isa::{Hart, Width};
use std::ops::Range;
use std::time::{Duration, Instant};

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

    fn threads(&self) -> usize {
        let cores = || core_affinity::get_core_ids().map_or(1, |cores| cores.len());
        let named = Some(self.cores.len()).filter(|n| *n > 0);
        self.jobs.or(named).unwrap_or_else(cores)
    }

    /// The columns that an engine for [`check_with`] must hand over.
    pub fn columns(&self) -> Columns {
        columns(self.memory(), self.threads())
    }
}

/// What an engine must hand over to so many threads.
pub(crate) fn columns(memory: bool, threads: usize) -> Columns {
    match memory {
        true if threads <= IN_ORDER => Columns::FOLLOW,
        true => Columns::MEMORY,
        false => Columns::NONE,
    }
}

/// Up to so many threads, one that takes the chunks in order and follows memory as it goes is
/// faster than all of them out of order.
const IN_ORDER: usize = 4;

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
    if let Some(merge) = Merge::following(engine, memory) {
        return in_order(trace, engine, merge, options, progress);
    }
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
                Some(followed) => merge.take(followed).map_err(Failure::First)?,
                None => {
                    let chunk = trace.chunk(index).map_err(CheckError::from)?;
                    let from = chunk.header.first_step.get();
                    return Err(Failure::First(merge.first_difference(&chunk, from)));
                }
            }
            done += 1;
            progress(done);
            Ok(())
        },
    );
    let summary = match result {
        Ok(summary) => summary,
        Err(Failure::First(error)) => return Err(error),
        Err(Failure::Alone(error)) => return Err(first(trace, &mut merge, error, None)),
    };
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

/// [`check_with`] by one thread that takes the chunks in order and follows memory as it goes.
fn in_order<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    mut merge: Merge<'_>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, CheckError> {
    let start = Instant::now();
    let program = engine.program();
    let allowed = core_affinity::get_core_ids().unwrap_or_default();
    let threads = drive::Options {
        cores: options.cores.clone(),
        jobs: options.jobs,
        ..drive::Options::default()
    };
    let threads = drive::placement(&threads, &allowed);
    let core = threads.first().copied().flatten();
    merge.begin(trace)?;
    // The others have nothing to do.
    let idle = threads.iter().map(|core| Worker {
        core: *core,
        ..Worker::default()
    });
    let mut workers: Vec<Worker> = idle.collect();
    let mut summary = workers.first().copied().unwrap_or_default();
    let mut report = Report {
        chunks: 0,
        steps: 0,
        log_bytes: 0,
        event_bytes: 0,
        workers: Vec::new(),
        wall: Duration::ZERO,
        memory: true,
        unpinned: 0,
    };
    let (counted, count) = channel::unbounded();
    let done = crossbeam::scope(|scope| {
        let (report, summary, merge) = (&mut report, &mut summary, &mut merge);
        let allowed = &allowed;
        let thread = scope.spawn(move |_| {
            report.unpinned = usize::from(!drive::pin(core, allowed));
            let mut worker = engine.follower();
            for index in 0..trace.len() {
                let start = Instant::now();
                let output = merge
                    .follow(|consumer| drive::one(trace, program, &mut worker, consumer, index))?;
                merge.end(trace.chunk(index)?.header, &output.output)?;
                report.chunks += 1;
                report.steps += output.steps;
                report.log_bytes += output.log_bytes;
                report.event_bytes += output.event_bytes;
                summary.busy += start.elapsed();
                // Somebody listens as long as this thread is there.
                let _ = counted.send(report.chunks);
            }
            Ok(())
        });
        count.iter().for_each(progress);
        thread.join().unwrap_or(Err(CheckError::Thread))
    });
    done.unwrap_or(Err(CheckError::Thread))?;
    if let Some(footer) = trace.footer()? {
        merge.finish(footer.fixed)?;
    }
    summary.chunks = report.chunks;
    summary.steps = report.steps;
    if let Some(first) = workers.first_mut() {
        *first = summary;
    }
    report.workers = workers;
    let missing = |core: &&Option<usize>| core.is_some_and(|id| allowed.iter().all(|c| c.id != id));
    report.unpinned += threads.iter().skip(1).filter(missing).count();
    report.wall = start.elapsed();
    Ok(report)
}

/// Follows memory while a chunk is re-executed, in the memory that the chunks before it left.
pub(crate) struct InOrder<'m, 'p> {
    merge: &'m mut Merge<'p>,
    chunk: u64,
    /// The first difference, if it is one of an environment call: what comes later is void.
    wrong: Option<Difference>,
    /// There were memory operations: nobody compared them.
    lost: bool,
}

impl<'t> witness::Consumer<'t> for InOrder<'_, '_> {
    type Output = Hart;

    fn begin_chunk(&mut self, chunk: &Chunk<'t>) {
        self.chunk = chunk.header.index.get();
    }

    fn call(&mut self, call: &Call<'t>) {
        if self.wrong.is_some() {
            return;
        }
        if let Some(auditor) = &mut self.merge.auditor
            && let Err(kind) = auditor.call(call)
        {
            let program = self.merge.program;
            let wrong = Difference::new(program, self.chunk, call.step, call.pc, kind);
            self.wrong = Some(wrong);
        }
    }

    fn memory_ops(&mut self, _: &[MemoryOp]) {
        self.lost = true;
    }

    fn followed(&mut self) -> Option<&mut Memory> {
        self.merge.auditor.as_mut().map(Auditor::memory_mut)
    }

    fn end_chunk(&mut self, end: &Hart) -> Hart {
        end.clone()
    }
}

/// Why a chunk is wrong.
enum Failure {
    /// The first difference.
    First(CheckError),
    /// What was found without memory.
    Alone(CheckError),
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Failure {
        Failure::Alone(error)
    }
}

/// The first step of a chunk, or the one behind the environment call at step `after`.
fn first_step(chunk: &Chunk<'_>, after: Option<u64>) -> u64 {
    after.map_or(chunk.header.first_step.get(), |step| step + 1)
}

/// The first difference of the chunk that an error is of, the next one for `merge`: it may be one of
/// memory. Memory is as it was after the environment call at step `after`, if there is one.
fn first(
    trace: &Trace,
    merge: &mut Merge<'_>,
    error: CheckError,
    after: Option<u64>,
) -> CheckError {
    let CheckError::Difference(found) = &error else {
        return error;
    };
    match trace.chunk(found.chunk) {
        Ok(chunk) => {
            let from = first_step(&chunk, after);
            merge.first_of(&chunk, from, error)
        }
        Err(_) => error,
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
    let start = chunks.start;
    for index in chunks {
        let after = after.filter(|_| index == start);
        let result = drive::one(trace, program, &mut worker, &mut follower, index);
        let output = result.map_err(|error| first(trace, merge, error, after))?;
        match output.output {
            Some(mut followed) => {
                if let Some(step) = after {
                    followed.after(step);
                }
                merge.take(followed)?;
            }
            None => {
                let chunk = trace.chunk(index)?;
                let from = first_step(&chunk, after);
                return Err(merge.first_difference(&chunk, from));
            }
        }
    }
    Ok(())
}

/// Takes finished chunks in order.
pub(crate) struct Merge<'p> {
    program: &'p Program,
    memory: bool,
    /// The memory to be followed while chunks are re-executed ([`InOrder`]), until it is set up.
    followed: Option<Memory>,
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
            followed: None,
            auditor: None,
            spare: channel::unbounded(),
        }
    }

    /// [`Merge::new`] for [`InOrder`], if memory is wanted, the engine can follow it and the host
    /// gives it: a limit of the size of files is one of this memory, too. It is asked now and
    /// not again.
    pub(crate) fn following(engine: &Engine<'p, '_>, memory: bool) -> Option<Merge<'p>> {
        if !(memory && engine.follows()) {
            return None;
        }
        Some(Merge {
            followed: Some(Memory::shared().ok()?),
            ..Merge::new(engine.program(), true)
        })
    }

    /// Memory before the first step of a trace, if it is followed.
    pub(crate) fn at_start(
        program: &'p Program,
        trace: &Trace,
        memory: bool,
    ) -> Result<Merge<'p>, CheckError> {
        let mut merge = Merge::new(program, memory);
        merge.begin(trace)?;
        Ok(merge)
    }

    /// Memory before the first step of a trace, if it is followed.
    fn begin(&mut self, trace: &Trace) -> Result<(), CheckError> {
        if self.memory {
            let first = (!trace.is_empty())
                .then(|| verified(trace, 0))
                .transpose()?;
            self.start(&trace.header()?, first.map(|c| c.header))?;
        }
        Ok(())
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
            let memory = match self.followed.take() {
                Some(memory) => memory,
                None => Memory::new().map_err(AuditError::Memory)?,
            };
            self.auditor = Some(Auditor::over(memory, self.program, header, first)?);
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
        for mut stretch in followed.stretches {
            if !auditor.accesses(&mut stretch.lines) {
                return Err(self.first_difference(&followed.chunk, from));
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

    /// Has the next chunk re-executed, and follows memory meanwhile.
    pub(crate) fn follow<O>(
        &mut self,
        replay: impl FnOnce(&mut InOrder<'_, 'p>) -> Result<O, CheckError>,
    ) -> Result<O, CheckError> {
        let mut consumer = InOrder {
            merge: self,
            chunk: 0,
            wrong: None,
            lost: false,
        };
        let result = replay(&mut consumer);
        match consumer.wrong {
            // There was no memory for compiled code any more.
            _ if consumer.lost => {
                let error = std::io::ErrorKind::OutOfMemory.into();
                Err(AuditError::Memory(error).into())
            }
            Some(wrong) => Err(wrong.into()),
            None => result,
        }
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

    /// The first difference of the next chunk, in which there is one; of memory, it is after the
    /// environment call that memory is the state behind: the one before step `from`.
    pub(crate) fn first_difference(&mut self, chunk: &Chunk<'_>, from: u64) -> CheckError {
        let index = chunk.header.index.get();
        let Some(auditor) = &mut self.auditor else {
            return CheckError::Engine { chunk: index };
        };
        let code: Code<LogPort<'_, Interpreted<'_, '_>>> = self.program.code();
        let mut port = LogPort::new(Interpreted {
            auditor,
            from,
            reached: from == chunk.header.first_step.get(),
            wrong: None,
        });
        let result = execute(self.program, &code, chunk, &mut port, Interpreted::call);
        let call = port.sink.wrong;
        let call = call.map(|(s, pc, kind)| Difference::new(self.program, index, s, pc, kind));
        match call.or(result.err()) {
            Some(difference) => difference.into(),
            None => CheckError::Engine { chunk: index },
        }
    }

    /// The first difference of the next chunk, of which one was found without memory.
    pub(crate) fn first_of(
        &mut self,
        chunk: &Chunk<'_>,
        from: u64,
        known: CheckError,
    ) -> CheckError {
        let open = matches!(known, CheckError::Difference(_) | CheckError::Engine { .. });
        if self.auditor.is_none() || !open {
            return known;
        }
        match self.first_difference(chunk, from) {
            CheckError::Engine { .. } => known,
            first => first,
        }
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

/// Memory and ABI while the interpreter goes through a chunk.
struct Interpreted<'a, 'p> {
    auditor: &'a mut Auditor<'p>,
    /// The step from which on memory is what the chunk sees.
    from: u64,
    reached: bool,
    /// The first difference, if it is one of an environment call.
    wrong: Option<(u64, u64, DifferenceKind)>,
}

impl Interpreted<'_, '_> {
    fn call(&mut self, call: &Call<'_>) {
        if !self.reached {
            self.reached = call.step + 1 == self.from;
        } else if self.wrong.is_none()
            && let Err(kind) = self.auditor.call(call)
        {
            self.wrong = Some((call.step, call.pc, kind));
        }
    }
}

impl MemorySink for Interpreted<'_, '_> {
    fn read(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        if !self.reached {
            return Ok(());
        }
        self.auditor.memory().expect(addr, width, value)
    }

    fn write(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        if !self.reached {
            return Ok(());
        }
        Ok(self.auditor.memory_mut().store(addr, width, value)?)
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
