//! The producer of the trace: opens a chunk in a slot of the ring, collects its host events, seals
//! it.

use crate::drain::Drain;
use crate::live::Live;
use crate::report::{Failure, say};
use crate::sys;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::AtomicU32;
use hartlog_format::contract::HartState;
use hartlog_format::layout::{PAGE, page_ceil};
use hartlog_format::ring::{
    Control, Geometry, HUGE_PAGE, LOG_OFFSET, MAX_EVENTS_CAPACITY, Park, Ticket, Wait,
    slot_checksum,
};
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
const EVENTS_CAPACITY: [u64; 2] = [MAX_EVENTS_CAPACITY, 64 << 20];

/// Sizes that the event area of a slot may have, of a guest with so much memory.
pub fn events_capacities(memory: Option<u64>) -> impl Iterator<Item = u64> {
    let most = memory.map_or(u64::MAX, |bytes| page_ceil(bytes).max(EVENTS_KEPT));
    EVENTS_CAPACITY.into_iter().map(move |size| size.min(most))
}

/// Part of the event area that a slot keeps from round to round.
const EVENTS_KEPT: u64 = 1 << 20;

/// Part of the event area that is committed from the start (in small slots).
const EVENTS_COMMITTED: u64 = 64 << 10;

/// Waits by futex.
pub struct Futex;

impl Park<AtomicU32> for Futex {
    fn wait(&self, word: &AtomicU32, value: u32) -> bool {
        sys::futex_wait(word, value);
        true
    }

    fn wake(&self, word: &AtomicU32) {
        sys::futex_wake(word);
    }
}

/// The ring in memory.
#[derive(Clone, Copy)]
pub struct Ring {
    /// Address of its start.
    pub base: usize,
    /// Sizes and offsets.
    pub geometry: Geometry,
    /// It is a file in memory that another process maps too.
    pub shared: bool,
}

/// Maps address space for a ring, aligned for huge pages.
///
/// # Errors
/// That of `mmap`.
pub fn reserve(geometry: &Geometry, prot: usize) -> Result<usize, sys::Errno> {
    let size = geometry.size() + HUGE_PAGE;
    let addr = sys::map(size as usize, prot)?;
    Ok(addr.next_multiple_of(HUGE_PAGE as usize))
}

/// There is no room for a ring.
pub fn no_room(errno: sys::Errno) -> Failure {
    Failure::Host {
        what: "no address space for the trace ring (smaller chunks or fewer slots take less)",
        errno,
    }
}

impl Ring {
    /// Maps a ring. The host events of a chunk may take no more than `memory` bytes.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn map(chunk_steps: u64, slots: Option<u64>, memory: Option<u64>) -> Result<Ring, Failure> {
        let mut result = Err(sys::Errno::EINVAL);
        for events_capacity in events_capacities(memory) {
            let geometry = Geometry::new(chunk_steps, slots, events_capacity, 0);
            result = reserve(&geometry, sys::PROT_RW).map(|base| Ring {
                base,
                geometry,
                shared: false,
            });
            if result.is_ok() {
                break;
            }
        }
        result.map_err(no_room)
    }

    /// The control page.
    pub fn control(&self) -> &'static Control {
        // SAFETY: the page is part of the mapping, which stays, and starts as zero; all that is
        // in it are atomics.
        unsafe { &*with_exposed_provenance(self.base) }
    }

    /// Address of a slot.
    pub fn slot(&self, ticket: Ticket) -> usize {
        self.base + self.geometry.slot(ticket) as usize
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

/// Where sealed chunks go.
pub enum Sink {
    /// Nowhere.
    Nowhere,
    /// To a thread that writes a file.
    File(Drain),
    /// To another process.
    Live(Live),
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
    sink: Sink,
    /// Bytes of log in sealed chunks.
    pub log_bytes: u64,
    /// Bytes of host events in sealed chunks.
    pub event_bytes: u64,
}

impl Recorder {
    /// A recorder without chunk.
    pub fn new(ring: Ring, sink: Sink, quiet: bool) -> Recorder {
        let mut recorder = Recorder {
            ring,
            ticket: Ticket::new(ring.geometry.slots, 0),
            chunk: 0,
            is_open: false,
            events_len: 0,
            prepared: 0,
            quiet,
            lock_limit: sys::lock_limit(),
            sink,
            log_bytes: 0,
            event_bytes: 0,
        };
        recorder.prepare();
        recorder
    }

    /// Descriptor of the trace, if it is written.
    pub fn trace_fd(&self) -> Option<u32> {
        match &self.sink {
            Sink::File(drain) => Some(drain.fd()),
            Sink::Nowhere | Sink::Live(_) => None,
        }
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
    /// [`Failure::Trace`], [`Failure::Live`] when the consumer cannot go on.
    pub fn open(&mut self, state: &mut HartState, step: u64) -> Result<(), Failure> {
        self.ticket = Ticket::new(self.ring.geometry.slots, self.chunk);
        let control = self.ring.control();
        match &self.sink {
            Sink::Nowhere => {}
            Sink::File(drain) => {
                // This ring is this process's own, and the drain always ends its phases.
                let _: Wait = control.acquire(self.ticket, &Futex);
                self.is_open = true;
                if control.stop.is_raised() {
                    return Err(drain.failure());
                }
            }
            Sink::Live(live) => live.acquire(self.chunk, self.ticket)?,
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
                let len = page_ceil(used - EVENTS_KEPT) as usize;
                // SAFETY: the slot is the producer's and its events are consumed. On an error the
                // memory stays, and is used again.
                let _ = unsafe { sys::discard(start, len, self.ring.shared) };
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

    /// Writes the last bytes before the log pointer, which generated code had not stored yet.
    pub fn complete(&mut self, state: &HartState, last: &[u8]) {
        let to = with_exposed_provenance_mut(state.log as usize - last.len());
        // SAFETY: the log pointer has advanced over these bytes, inside of the slot, which is the
        // producer's; `last` is not in the ring.
        unsafe { core::ptr::copy_nonoverlapping(last.as_ptr(), to, last.len()) };
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
        header.checksum = slot_checksum(header).into();
        self.log_bytes += log_len;
        self.event_bytes += events_len;
        self.chunk += 1;
        self.hand_over();
    }

    fn hand_over(&mut self) {
        self.is_open = false;
        if !matches!(self.sink, Sink::Nowhere) {
            self.ring.control().publish(self.ticket, &Futex);
        }
    }

    /// Ends the trace: after the last chunk, or without one if the run failed. Then what is
    /// sealed is written, and returned with whom the rest of the trace is to be written by.
    ///
    /// # Errors
    /// [`Failure::Trace`].
    pub fn finish(&mut self) -> Result<Sink, Failure> {
        let sink = core::mem::replace(&mut self.sink, Sink::Nowhere);
        if let Sink::File(drain) = &sink {
            if self.is_open {
                self.header().magic = [0; 4];
                self.is_open = false;
                self.ring.control().publish(self.ticket, &Futex);
            }
            drain.join()?;
        }
        Ok(sink)
    }
}
