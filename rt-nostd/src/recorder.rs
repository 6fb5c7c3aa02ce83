//! The producer of the trace: opens a chunk in a slot of the ring, collects its host events, seals
//! it.

use crate::drain::Drain;
use crate::report::{Failure, say};
use crate::ring::{Control, Geometry, HUGE_PAGE, LOG_OFFSET, Park, Ticket};
use crate::sys;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::AtomicU32;
use hartlog_format::contract::HartState;
use hartlog_format::layout::{PAGE, page_ceil};
use hartlog_format::trace::{CHUNK_MAGIC, ChunkHeader, end};

/// How a chunk or a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEnd {
    /// One of [`end`].
    pub kind: u32,
    /// Exit status or fault kind.
    pub code: u32,
    /// Address or raw instruction of a fault.
    pub value: u64,
}

impl ChunkEnd {
    /// The run goes on.
    pub const NEXT: ChunkEnd = ChunkEnd {
        kind: end::NEXT,
        code: 0,
        value: 0,
    };
}

/// Sizes that the event area of a slot may have: address space, not memory. The second is for
/// hosts that limit address space.
const EVENTS_CAPACITY: [u64; 2] = [16 << 30, 64 << 20];

/// Part of the event area that a slot keeps from round to round.
const EVENTS_KEPT: u64 = 1 << 20;

/// Part of the event area that is committed from the start (in small slots).
const EVENTS_COMMITTED: u64 = 64 << 10;

/// Waits by futex.
pub struct Futex;

impl Park for Futex {
    fn wait(&self, word: &AtomicU32, value: u32) {
        sys::futex_wait(word, value);
    }

    fn wake(&self, word: &AtomicU32) {
        sys::futex_wake(word);
    }
}

/// The ring in memory.
#[derive(Clone, Copy)]
pub struct Ring {
    base: usize,
    /// Sizes and offsets.
    pub geometry: Geometry,
}

impl Ring {
    /// Maps a ring. The host events of a chunk may take no more than `memory` bytes.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn map(chunk_steps: u64, slots: Option<u64>, memory: Option<u64>) -> Result<Ring, Failure> {
        let most = memory.map_or(u64::MAX, |bytes| page_ceil(bytes).max(EVENTS_KEPT));
        let mut result = Err(sys::Errno::EINVAL);
        for events_capacity in EVENTS_CAPACITY {
            let geometry = Geometry::new(chunk_steps, slots, events_capacity.min(most));
            let size = geometry.size() + HUGE_PAGE;
            result = sys::map(size as usize, sys::PROT_RW).map(|addr| Ring {
                base: addr.next_multiple_of(HUGE_PAGE as usize),
                geometry,
            });
            if result.is_ok() {
                break;
            }
        }
        result.map_err(|errno| Failure::Host {
            what: "no address space for the trace ring (smaller chunks or fewer slots take less)",
            errno,
        })
    }

    /// The control page.
    pub fn control(&self) -> &'static Control {
        let at = self.base + self.geometry.control_offset() as usize;
        // SAFETY: the page is part of the mapping, which stays, and starts as zero; all that is
        // in it are atomics.
        unsafe { &*with_exposed_provenance(at) }
    }

    /// Address of a slot.
    pub fn slot(&self, ticket: Ticket) -> usize {
        self.base + (ticket.slot * self.geometry.stride) as usize
    }

    /// Address of a slot's log.
    pub fn log(&self, ticket: Ticket) -> usize {
        self.slot(ticket) + LOG_OFFSET as usize
    }

    /// Address of a slot's events.
    pub fn events(&self, ticket: Ticket) -> usize {
        self.slot(ticket) + self.geometry.events_offset as usize
    }

    /// A slot's chunk header.
    ///
    /// # Safety
    /// It is the caller's turn to use the slot, and there is no other reference to the header.
    pub unsafe fn header(&self, ticket: Ticket) -> &'static mut ChunkHeader {
        // SAFETY: inside of the mapping, which stays; any bytes are a header.
        unsafe { &mut *with_exposed_provenance_mut(self.slot(ticket)) }
    }
}

/// Writes chunks into the ring.
pub struct Recorder {
    ring: Ring,
    ticket: Ticket,
    /// Number of the chunk that is open, or of the next.
    chunk: u64,
    /// The slot is the producer's.
    is_open: bool,
    events_len: u64,
    /// Bit per slot: it was used before.
    prepared: u32,
    quiet: bool,
    /// Most bytes that may be locked in memory.
    lock_limit: u64,
    drain: Option<Drain>,
    /// Bytes of log in sealed chunks.
    pub log_bytes: u64,
    /// Bytes of host events in sealed chunks.
    pub event_bytes: u64,
}

impl Recorder {
    /// A recorder without chunk. Without a drain, sealed chunks go nowhere.
    pub fn new(ring: Ring, drain: Option<Drain>, quiet: bool) -> Recorder {
        let mut recorder = Recorder {
            ring,
            ticket: Control::ticket(&ring.geometry, 0),
            chunk: 0,
            is_open: false,
            events_len: 0,
            prepared: 0,
            quiet,
            lock_limit: sys::lock_limit(),
            drain,
            log_bytes: 0,
            event_bytes: 0,
        };
        recorder.prepare();
        recorder
    }

    /// Descriptor of the trace, if it is written.
    pub fn trace_fd(&self) -> Option<u32> {
        self.drain.as_ref().map(Drain::fd)
    }

    /// Chunks that were sealed.
    pub fn chunks(&self) -> u64 {
        self.chunk
    }

    fn header(&mut self) -> &mut ChunkHeader {
        // SAFETY: the slot is the producer's from `open` to `seal`, and the borrow of `self` keeps
        // the reference unique on this side.
        unsafe { self.ring.header(self.ticket) }
    }

    /// Opens the next chunk, which starts with this state at this step. Waits until a slot is
    /// free.
    ///
    /// # Errors
    /// [`Failure::Trace`] when the drain cannot go on.
    pub fn open(&mut self, state: &mut HartState, step: u64) -> Result<(), Failure> {
        self.ticket = Control::ticket(&self.ring.geometry, self.chunk);
        if let Some(drain) = &self.drain {
            let control = self.ring.control();
            control.acquire(self.ticket, &Futex);
            self.is_open = true;
            if control.stop.is_raised() {
                return Err(drain.failure());
            }
        }
        self.is_open = true;
        self.prepare();
        self.events_len = 0;
        state.log = self.ring.log(self.ticket) as u64;
        let chunk = self.chunk;
        let header = self.header();
        header.index = chunk.into();
        header.first_step = step.into();
        header.start_pc = state.pc.into();
        for (to, from) in header.regs.iter_mut().zip(&state.x[1..]) {
            *to = (*from).into();
        }
        header.reservation = state.reservation.into();
        Ok(())
    }

    /// Commits and locks a slot's memory before it is used for the first time, and gives back
    /// what an unusual chunk has left behind.
    fn prepare(&mut self) {
        let bit = 1 << self.ticket.slot;
        if self.prepared & bit != 0 {
            let used = self.header().events_len.get();
            if used > EVENTS_KEPT {
                let start = self.ring.events(self.ticket) + EVENTS_KEPT as usize;
                // SAFETY: the slot is the producer's and its events are consumed. On an error the
                // memory stays, and is used again.
                let _ = unsafe { sys::discard(start, page_ceil(used - EVENTS_KEPT) as usize) };
            }
            return;
        }
        self.prepared |= bit;
        let slot = self.ring.slot(self.ticket);
        let wanted = self.ring.geometry.events_offset + EVENTS_COMMITTED;
        let len = wanted.min(HUGE_PAGE) as usize;
        if len == HUGE_PAGE as usize {
            // Without huge pages, small ones do.
            let _ = sys::advise_huge(slot, len);
        }
        let Err(errno) = sys::lock(slot, len) else {
            return;
        };
        if !self.quiet {
            // Said once.
            self.quiet = true;
            say!(
                "warning: the trace ring is not locked in memory ({errno}): RLIMIT_MEMLOCK is {} \
                 KiB, {} KiB are wanted",
                self.lock_limit / 1024,
                len as u64 * self.ring.geometry.slots / 1024
            );
        }
        if sys::populate(slot, len).is_err() {
            for page in (slot..slot + len).step_by(PAGE as usize) {
                // SAFETY: inside of the slot, which was never used.
                unsafe { with_exposed_provenance_mut::<u8>(page).write_volatile(0) };
            }
        }
    }

    /// Appends bytes to the host events of the open chunk.
    ///
    /// # Errors
    /// [`Failure::Events`].
    pub fn event(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let len = self.events_len + bytes.len() as u64;
        if len > self.ring.geometry.events_capacity {
            return Err(Failure::Events);
        }
        let at = self.ring.events(self.ticket) + self.events_len as usize;
        let to = with_exposed_provenance_mut(at);
        // SAFETY: inside of the slot, which is the producer's; `bytes` is not in the ring.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.events_len = len;
        Ok(())
    }

    /// Header, log and events of the open chunk so far.
    pub fn so_far(&mut self, state: &HartState) -> (&ChunkHeader, &[u8], &[u8]) {
        let log = self.ring.log(self.ticket);
        let events = self.ring.events(self.ticket);
        let log_len = state.log as usize - log;
        let events_len = self.events_len as usize;
        // SAFETY: inside of the slot, which is the producer's, and written; generated code is not
        // running.
        let (log, events) = unsafe {
            (
                core::slice::from_raw_parts(with_exposed_provenance(log), log_len),
                core::slice::from_raw_parts(with_exposed_provenance(events), events_len),
            )
        };
        (self.header(), log, events)
    }

    /// Closes the open chunk at this state and step, and hands it over.
    pub fn seal(&mut self, state: &HartState, step: u64, how: ChunkEnd) {
        let log_len = state.log - self.ring.log(self.ticket) as u64;
        let padding = with_exposed_provenance_mut::<[u8; 8]>(state.log as usize);
        // SAFETY: the log area is larger than what a chunk can log.
        unsafe { padding.write([0; 8]) };
        let events_len = self.events_len;
        let header = self.header();
        header.magic = CHUNK_MAGIC;
        header.header_len = (size_of::<ChunkHeader>() as u32).into();
        header.steps = (step - header.first_step.get()).into();
        header.end_kind = how.kind.into();
        header.end_code = how.code.into();
        header.end_pc = state.pc.into();
        header.end_value = how.value.into();
        header.log_len = log_len.into();
        header.events_len = events_len.into();
        self.log_bytes += log_len;
        self.event_bytes += events_len;
        self.chunk += 1;
        self.hand_over();
    }

    fn hand_over(&mut self) {
        self.is_open = false;
        if self.drain.is_some() {
            self.ring.control().publish(self.ticket, &Futex);
        }
    }

    /// Ends the trace: after the last chunk, or without one if the run failed. Then what is
    /// sealed is written, and returned with whom the rest of the trace is to be written by.
    ///
    /// # Errors
    /// [`Failure::Trace`].
    pub fn finish(&mut self) -> Result<Option<Drain>, Failure> {
        if self.is_open {
            self.header().magic = [0; 4];
            self.hand_over();
        }
        let Some(drain) = self.drain.take() else {
            return Ok(None);
        };
        drain.join()?;
        Ok(Some(drain))
    }
}
