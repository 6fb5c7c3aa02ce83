//! The threads that consume a ring: each takes the next chunk, re-executes it where it is, and
//! whoever finishes the chunk whose turn it is brings it together with those before.

use super::LiveError;
use super::file::{TraceFile, frame, parts};
use super::process::Bell;
use super::ring::{Ring, RingError};
use crate::check::{CheckError, Followed, Follower, Merge};
use crate::chunk::{first_difference, start_state};
use crate::drive::Thread;
use crate::engine::Engine;
use crate::error::{Difference, DifferenceKind};
use hartlog_format::parse::{Chunk, Header};
use hartlog_format::ring::{LOOKS, Park, Ticket, Wait};
use hartlog_format::trace::{ChunkHeader, end};
use hartlog_isa::Hart;
use rustix::thread::futex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

/// How long a thread waits before it looks whether there is still something to wait for. It is
/// woken when there is not; this is for a wake-up that got lost because somebody wrote into the
/// ring.
const LOOK_AGAIN_NS: i64 = 100_000_000;

/// No chunk.
const NONE: u64 = u64::MAX;

/// A chunk that is done, and what is to be said of it.
struct Done<'t> {
    chunk: Chunk<'t>,
    ticket: Ticket,
    hart: Hart,
    /// `None`: memory was followed meanwhile.
    followed: Option<Followed<'t>>,
    frame: Option<Vec<u8>>,
}

/// A chunk that is wrong, and the chunk, if there may be a difference that comes first: at the end of
/// the chunk before, or in memory.
struct Wrong<'t> {
    error: LiveError,
    chunk: Option<Box<Chunk<'t>>>,
}

impl<E: Into<LiveError>> From<E> for Wrong<'_> {
    fn from(error: E) -> Self {
        Wrong {
            error: error.into(),
            chunk: None,
        }
    }
}

/// Chunks that are done and those before them are not.
struct Waiting<'t> {
    next: u64,
    /// A thread is at the one before `next`.
    busy: bool,
    done: BTreeMap<u64, Result<Done<'t>, Wrong<'t>>>,
}

/// What chunks come to, in order.
pub(super) struct Sum<'p> {
    pub(super) merge: Merge<'p>,
    pub(super) file: Option<TraceFile>,
    /// State at the end of the last chunk.
    last: Option<Hart>,
    /// `end_kind` and `end_code` of the last chunk.
    pub(super) end: (u32, u32),
    pub(super) chunks: u64,
    pub(super) steps: u64,
    pub(super) log_bytes: u64,
    pub(super) event_bytes: u64,
}

/// What the threads share.
pub(super) struct Shared<'a, 'p, 't> {
    ring: &'t Ring,
    slots: u64,
    header: Header<'t>,
    engine: &'a Engine<'p, 't>,
    bell: &'a Bell,
    memory: bool,
    /// One thread takes the chunks in order and follows memory as it goes.
    in_order: bool,
    /// Level of compression, if there is a trace file; `Some(None)`: no compression.
    file: Option<Option<i32>>,
    threads: u32,
    /// Whether program and threads have cores of their own.
    apart: bool,
    claimed: AtomicU64,
    /// Per slot the chunk that may be taken from it: the one before is forgotten. The turns in the
    /// ring say so too, but the program can write to them.
    free_for: Vec<AtomicU64>,
    received: AtomicU64,
    /// Chunks received and not given back.
    in_flight: AtomicU64,
    /// Number of the last chunk of the run, or [`NONE`].
    last: AtomicU64,
    /// The program has ended.
    ended: AtomicBool,
    failed: AtomicBool,
    error: Mutex<Option<LiveError>>,
    waiting: Mutex<Waiting<'t>>,
    sum: Mutex<Sum<'p>>,
}

/// Nobody panics while it is held.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How a consumer waits.
struct Consumer<F> {
    looks: u32,
    /// Whether there is nothing to wait for any more.
    is_over: F,
}

impl<F: Fn() -> bool> Park<AtomicU32> for Consumer<F> {
    fn wait(&self, word: &AtomicU32, value: u32) -> bool {
        if (self.is_over)() {
            return false;
        }
        let timeout = futex::Timespec {
            tv_sec: 0,
            tv_nsec: LOOK_AGAIN_NS,
        };
        // Whatever it says, the word is looked at again.
        let _ = futex::wait(word, futex::Flags::empty(), value, Some(&timeout));
        true
    }

    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }

    fn looks(&self) -> u32 {
        self.looks
    }
}

fn wake(word: &AtomicU32) {
    // It fails for addresses that are not mapped only.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

/// Wakes everybody.
struct Alarm;

impl Park<AtomicU32> for Alarm {
    fn wait(&self, _: &AtomicU32, _: u32) -> bool {
        false
    }

    fn wake(&self, word: &AtomicU32) {
        wake(word);
    }
}

/// How chunks are consumed.
pub(super) struct Setting<'a, 'p, 't> {
    pub(super) ring: &'t Ring,
    pub(super) header: Header<'t>,
    pub(super) engine: &'a Engine<'p, 't>,
    pub(super) bell: &'a Bell,
    pub(super) memory: bool,
    pub(super) file: Option<TraceFile>,
    pub(super) threads: usize,
    pub(super) slots: u64,
    /// Whether program and threads have cores of their own.
    pub(super) apart: bool,
}

impl<'a, 'p, 't> Shared<'a, 'p, 't> {
    pub(super) fn new(setting: Setting<'a, 'p, 't>) -> Shared<'a, 'p, 't> {
        let program = setting.engine.program();
        let following = Merge::following(setting.engine, setting.memory);
        let in_order = following.is_some();
        let merge = following.unwrap_or_else(|| Merge::new(program, setting.memory));
        Shared {
            ring: setting.ring,
            slots: setting.slots,
            header: setting.header,
            engine: setting.engine,
            bell: setting.bell,
            memory: setting.memory,
            in_order,
            file: setting.file.as_ref().map(TraceFile::zstd),
            threads: setting.threads as u32,
            apart: setting.apart,
            claimed: AtomicU64::new(0),
            free_for: (0..setting.slots).map(AtomicU64::new).collect(),
            received: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            last: AtomicU64::new(NONE),
            ended: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            waiting: Mutex::new(Waiting {
                next: 0,
                busy: false,
                done: BTreeMap::new(),
            }),
            sum: Mutex::new(Sum {
                merge,
                file: setting.file,
                last: None,
                end: (end::NEXT, 0),
                chunks: 0,
                steps: 0,
                log_bytes: 0,
                event_bytes: 0,
            }),
        }
    }

    /// Whether there will be no chunk of this number, for all that is known.
    fn nothing_after(&self, index: u64) -> bool {
        self.failed.load(Ordering::Acquire)
            || self.ended.load(Ordering::Acquire)
            || self.last.load(Ordering::Acquire) < index
    }

    /// The chunk that may be taken from a slot.
    fn free_for(&self, ticket: Ticket) -> &AtomicU64 {
        &self.free_for[ticket.slot as usize % self.free_for.len()]
    }

    /// Wakes the threads that wait for a chunk.
    fn alarm(&self) {
        for turn in self.ring.control().turns() {
            turn.alarm(&Alarm);
        }
    }

    /// The program has ended: what it handed over is all.
    pub(super) fn program_ended(&self) {
        self.ended.store(true, Ordering::Release);
        self.alarm();
    }

    /// Whether a thread found something wrong.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Notes the first error, and stops everybody.
    pub(super) fn fail(&self, error: LiveError) {
        lock(&self.error).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
        self.ring.control().stop.raise();
        self.alarm();
        self.bell.ring();
    }

    /// Whether program and threads wait for each other: that cannot be unless somebody wrote into
    /// the ring.
    pub(super) fn is_stuck(&self) -> Option<u64> {
        let received = self.received.load(Ordering::Acquire);
        if self.in_flight.load(Ordering::Acquire) != 0 || self.nothing_after(received) {
            return None;
        }
        let control = self.ring.control();
        let chunk = control
            .producer_waits
            .0
            .load(Ordering::Acquire)
            .checked_sub(1)?;
        let ticket = Ticket::new(self.slots, chunk);
        let its_turn = control.turn(ticket).is_at(ticket.phase);
        (received < chunk || !its_turn).then_some(received)
    }

    /// Ends the threads' part: the first error, if there is one, and the sum.
    pub(super) fn into_result(self) -> (Option<LiveError>, Sum<'p>) {
        let take = |e: std::sync::PoisonError<_>| e.into_inner();
        let error = self.error.into_inner().unwrap_or_else(take);
        let take = |e: std::sync::PoisonError<_>| e.into_inner();
        (error, self.sum.into_inner().unwrap_or_else(take))
    }

    /// Consumes chunks until there are no more.
    pub(super) fn serve(&self, thread: usize, core: Option<usize>) -> Thread {
        let mut stats = Thread {
            core,
            ..Thread::default()
        };
        if self.in_order && thread != 0 {
            return stats;
        }
        let mut worker = match self.in_order {
            true => self.engine.follower(),
            false => self.engine.worker(),
        };
        let spare = lock(&self.sum).merge.spare();
        let mut follower = Follower::new(self.memory, spare);
        loop {
            let index = self.claimed.fetch_add(1, Ordering::AcqRel);
            if self.last.load(Ordering::Acquire) < index {
                return stats;
            }
            let ticket = Ticket::new(self.slots, index);
            let park = Consumer {
                looks: if self.apart { LOOKS } else { 0 },
                is_over: || self.nothing_after(index),
            };
            // Others are at most one chunk each behind.
            let outcome = self.ring.control().receive(ticket, self.threads, &park);
            let result = match outcome {
                Wait::GaveUp => return stats,
                Wait::Reached if self.has_failed() => return stats,
                Wait::Reached => {
                    self.in_flight.fetch_add(1, Ordering::AcqRel);
                    self.received.fetch_add(1, Ordering::AcqRel);
                    let start = Instant::now();
                    let result = self.one(&mut worker, &mut follower, ticket, index);
                    if let Ok(done) = &result {
                        stats.chunks += 1;
                        stats.steps += done.chunk.header.steps.get();
                    }
                    stats.busy += start.elapsed();
                    result
                }
                Wait::Broken => Err(RingError::Order {
                    chunk: index,
                    slot: ticket.slot,
                    what: "nobody's turn",
                }
                .into()),
            };
            self.hand_in(index, result);
        }
    }

    /// Re-executes a chunk.
    fn one(
        &self,
        worker: &mut crate::engine::Worker<'_, 'p, 't>,
        follower: &mut Follower<'t>,
        ticket: Ticket,
        index: u64,
    ) -> Result<Done<'t>, Wrong<'t>> {
        if self.free_for(ticket).load(Ordering::Acquire) != index {
            return Err(RingError::Order {
                chunk: index,
                slot: ticket.slot,
                what: "the chunk before it is still there",
            }
            .into());
        }
        // SAFETY: `claimed` gives a chunk to one thread, and the slot is free for it: the thread
        // that forgot the chunk before (`Shared::take`) said so, whatever the ring says.
        let chunk = unsafe { self.ring.take(ticket, index, self.file.is_some()) }?;
        if chunk.header.end_kind.get() != end::NEXT {
            self.last.store(index, Ordering::Release);
            self.alarm();
        }
        let (hart, followed) = if self.in_order {
            (self.follow(worker, &chunk)?, None)
        } else {
            let wrong = |error: CheckError| Wrong {
                error: error.into(),
                chunk: Some(Box::new(chunk)),
            };
            let replayed = worker.replay(&chunk, follower);
            let replayed = replayed.map_err(|error| wrong(error.into()))?;
            let engine = CheckError::Engine { chunk: index };
            let followed = replayed.output.ok_or_else(|| wrong(engine))?;
            (replayed.hart, Some(followed))
        };
        let frame = match self.file {
            // The file says so itself when it is its turn.
            Some(Some(level)) => frame(level, &parts(&chunk)).ok(),
            _ => None,
        };
        Ok(Done {
            chunk,
            ticket,
            hart,
            followed,
            frame,
        })
    }

    /// Re-executes the next chunk and follows memory; the one before it was taken.
    fn follow(
        &self,
        worker: &mut crate::engine::Worker<'_, 'p, 't>,
        chunk: &Chunk<'t>,
    ) -> Result<Hart, CheckError> {
        let mut sum = lock(&self.sum);
        // What it starts with must not reach memory if it is not what the one before ended with.
        self.before(&mut sum, chunk.header)?;
        let hart = sum.merge.follow(|consumer| {
            let replayed = worker.replay(chunk, consumer)?;
            Ok(replayed.hart)
        })?;
        sum.merge.end(chunk.header, &hart)?;
        Ok(hart)
    }

    /// Takes the result of a chunk, and those whose turn it is.
    fn hand_in(&self, index: u64, result: Result<Done<'t>, Wrong<'t>>) {
        let mut waiting = lock(&self.waiting);
        waiting.done.insert(index, result);
        if waiting.busy {
            return;
        }
        waiting.busy = true;
        while !self.has_failed() {
            let next = waiting.next;
            let Some(result) = waiting.done.remove(&next) else {
                break;
            };
            waiting.next += 1;
            drop(waiting);
            let taken = match result {
                Ok(done) => self.take(done),
                Err(wrong) => Err(self.first_error(wrong)),
            };
            if let Err(error) = taken {
                self.fail(error);
            }
            waiting = lock(&self.waiting);
        }
        waiting.busy = false;
    }

    /// Takes the next chunk and gives its slot back.
    fn take(&self, done: Done<'t>) -> Result<(), LiveError> {
        let Done {
            chunk,
            ticket,
            hart,
            followed,
            frame,
        } = done;
        let header = chunk.header;
        let mut sum = lock(&self.sum);
        if let Some(followed) = followed {
            self.before(&mut sum, header)?;
            sum.merge.take(followed)?;
        }
        sum.last = Some(hart);
        sum.end = (header.end_kind.get(), header.end_code.get());
        sum.chunks += 1;
        sum.steps += header.steps.get();
        sum.log_bytes += header.log_len.get();
        sum.event_bytes += header.events_len.get();
        if let Some(file) = &mut sum.file {
            file.chunk(&chunk, frame.as_deref())?;
        }
        drop(sum);
        let next = header.index.get().saturating_add(self.slots);
        self.free_for(ticket).store(next, Ordering::Release);
        self.ring.control().release(ticket, &Alarm);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        Ok(())
    }

    /// What is wrong with the next chunk.
    fn first_error(&self, wrong: Wrong<'t>) -> LiveError {
        match wrong.chunk {
            Some(chunk) => self.first_difference(&chunk, wrong.error),
            None => wrong.error,
        }
    }

    /// The first difference of the next chunk: that the one before does not end where it starts, if
    /// that is so, or one in memory.
    fn first_difference(&self, chunk: &Chunk<'t>, known: LiveError) -> LiveError {
        let mut sum = lock(&self.sum);
        if let Err(error) = self.before(&mut sum, chunk.header) {
            return error.into();
        }
        let from = chunk.header.first_step.get();
        match known {
            LiveError::Check(known) if self.memory => sum.merge.first_of(chunk, from, known).into(),
            known => known,
        }
    }

    /// What has to hold before the next chunk is taken: memory is set up for the first one, the
    /// others start where the one before ended.
    fn before(&self, sum: &mut Sum<'p>, header: &ChunkHeader) -> Result<(), CheckError> {
        if sum.chunks == 0 {
            sum.merge.start(&self.header, Some(header))?;
        }
        match &sum.last {
            Some(last) => self.continuous(last, header),
            None => Ok(()),
        }
    }

    /// Whether a chunk starts where the one before ended.
    fn continuous(&self, last: &Hart, header: &ChunkHeader) -> Result<(), CheckError> {
        let next = start_state(header);
        let Some((item, found, expected)) = first_difference(last, &next) else {
            return Ok(());
        };
        let kind = DifferenceKind::NextStart {
            item,
            expected,
            found,
        };
        let (index, step) = (header.index.get(), header.first_step.get());
        let program = self.engine.program();
        Err(Difference::new(program, index - 1, step, last.pc, kind).into())
    }
}
