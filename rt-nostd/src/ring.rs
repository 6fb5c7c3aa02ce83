//! The ring of chunk slots: its layout in memory and the protocol of its producer and consumer.
//!
//! # Layout
//!
//! ```text
//! ring = slot * slots, control page
//! slot = chunk header, padding to a page, read log, host events
//! ```
//!
//! Everything is found by offsets from the start of the ring, so that it can be mapped at another
//! address by another process. Memory is committed when it is first touched; the reaches of log
//! and events that are rarely used cost address space only.
//!
//! # Protocol
//!
//! Chunk `i` goes through slot `i % slots`, in round `i / slots`. The slot's [`Turn`] says whose
//! it is: phase `2 * round` the producer's, `2 * round + 1` the consumer's. Each side waits for
//! its phase and ends it; there is no other state, no lock, and a wake-up costs a system call
//! only if somebody waits. A consumer that cannot go on raises [`Control::stop`] and keeps
//! ending its phases, so the producer never waits in vain; the producer looks at it when it takes
//! a slot. The producer's last chunk says so in its header; if the producer fails before that, it
//! hands over a slot whose header has no magic.

use crate::config::MAX_SLOTS;
use core::sync::atomic::{AtomicU32, Ordering};
use hartlog_format::layout::{LOG_BYTES_PER_STEP, MAX_BLOCK_STEPS, PAGE, page_ceil};
use hartlog_format::trace::ChunkHeader;

/// How a side waits for the other.
pub trait Park {
    /// Waits until woken, if the word has this value. May return early.
    fn wait(&self, word: &AtomicU32, value: u32);
    /// Wakes who waits on the word.
    fn wake(&self, word: &AtomicU32);
}

/// Whose turn it is to use a slot. It has a cache line of its own.
#[repr(C, align(64))]
pub struct Turn(AtomicU32);

/// Set in a [`Turn`] while somebody waits for the next phase.
const WAITED_FOR: u32 = 1 << 31;

impl Turn {
    /// Waits for a phase (of which the lower 31 bits count).
    pub fn await_phase(&self, phase: u32, park: &impl Park) {
        let phase = phase & !WAITED_FOR;
        let mut seen = self.0.load(Ordering::Acquire);
        while seen & !WAITED_FOR != phase {
            let marked = seen | WAITED_FOR;
            let order = Ordering::Acquire;
            // If this fails, the phase may have changed.
            if self.0.compare_exchange(seen, marked, order, order).is_ok() {
                park.wait(&self.0, marked);
            }
            seen = self.0.load(Ordering::Acquire);
        }
    }

    /// Ends the caller's phase and begins the next, `phase`.
    pub fn begin_phase(&self, phase: u32, park: &impl Park) {
        let seen = self.0.swap(phase & !WAITED_FOR, Ordering::AcqRel);
        if seen & WAITED_FOR != 0 {
            park.wake(&self.0);
        }
    }
}

/// A request to stop. It has a cache line of its own.
#[repr(C, align(64))]
pub struct Flag(AtomicU32);

impl Flag {
    /// Raises the flag.
    pub fn raise(&self) {
        self.0.store(1, Ordering::Release);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// The control page. All zero, it is that of a ring that nobody has used yet.
#[repr(C)]
pub struct Control {
    /// Raised by a consumer that cannot go on.
    pub stop: Flag,
    turns: [Turn; MAX_SLOTS as usize],
}

const _: () = assert!(size_of::<Control>() as u64 <= PAGE);

/// A slot in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Number of the slot.
    pub slot: u64,
    /// The producer's phase.
    phase: u32,
}

impl Control {
    /// The slot that a chunk goes through.
    pub fn ticket(geometry: &Geometry, chunk: u64) -> Ticket {
        Ticket {
            slot: chunk % geometry.slots,
            phase: (2 * (chunk / geometry.slots)) as u32,
        }
    }

    fn turn(&self, ticket: Ticket) -> &Turn {
        &self.turns[ticket.slot as usize % self.turns.len()]
    }

    /// Producer: waits until the slot is its own.
    pub fn acquire(&self, ticket: Ticket, park: &impl Park) {
        self.turn(ticket).await_phase(ticket.phase, park);
    }

    /// Producer: hands a filled slot over.
    pub fn publish(&self, ticket: Ticket, park: &impl Park) {
        self.turn(ticket)
            .begin_phase(ticket.phase.wrapping_add(1), park);
    }

    /// Consumer: waits until the slot is filled.
    pub fn receive(&self, ticket: Ticket, park: &impl Park) {
        self.turn(ticket)
            .await_phase(ticket.phase.wrapping_add(1), park);
    }

    /// Consumer: gives a slot back.
    pub fn release(&self, ticket: Ticket, park: &impl Park) {
        self.turn(ticket)
            .begin_phase(ticket.phase.wrapping_add(2), park);
    }
}

/// Sizes and offsets of a ring, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Geometry {
    /// Number of slots.
    pub slots: u64,
    /// From a slot to the next.
    pub stride: u64,
    /// From the start of a slot to its event area, which follows the log.
    pub events_offset: u64,
    /// Event area.
    pub events_capacity: u64,
}

/// From the start of a slot to its log.
pub const LOG_OFFSET: u64 = PAGE;

const _: () = assert!(size_of::<ChunkHeader>() as u64 <= LOG_OFFSET);

/// Slots start at multiples of this, so that huge pages fit.
pub const HUGE_PAGE: u64 = 2 << 20;

/// Slots unless asked otherwise.
const DEFAULT_SLOTS: u64 = 4;

/// Log capacity from which on there are only two slots unless asked otherwise.
const LARGE_LOG: u64 = 64 << 20;

impl Geometry {
    /// A ring for chunks of so many steps. Two slots are enough for producer and consumer to work
    /// at the same time.
    pub fn new(chunk_steps: u64, slots: Option<u64>, events_capacity: u64) -> Geometry {
        // A block may be charged and leave early: its log entries fit all the same.
        let log_capacity = page_ceil((chunk_steps + MAX_BLOCK_STEPS) * LOG_BYTES_PER_STEP);
        let default = if log_capacity < LARGE_LOG {
            DEFAULT_SLOTS
        } else {
            2
        };
        let events_offset = LOG_OFFSET + log_capacity;
        let stride = (events_offset + events_capacity).next_multiple_of(HUGE_PAGE);
        Geometry {
            slots: slots.unwrap_or(default),
            stride,
            events_offset,
            events_capacity,
        }
    }

    /// From the start of the ring to its control page.
    pub fn control_offset(&self) -> u64 {
        self.slots * self.stride
    }

    /// Size of the ring.
    pub fn size(&self) -> u64 {
        self.control_offset() + PAGE
    }
}
