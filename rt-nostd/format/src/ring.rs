//! The ring of chunk slots: its layout in memory and the protocol of its producer and consumers.
//!
//! The ring is private memory of a translated program whose drain thread writes a file, or memory
//! shared with a replayer (a live run). Nothing in it is an address: everything is found by offsets.
//!
//! # Layout
//!
//! ```text
//! ring = Control, padding to a page,
//!        Description, FooterHeader, padding to a page,
//!        bytes of the trace's file header, padding to 2 MiB,
//!        slot * slots
//! slot = ChunkHeader, padding to a page, read log, host events, padding to 2 MiB
//! ```
//!
//! Description, footer and file header are there in a live run only. Memory is committed when it
//! is first touched; the reaches of log and events that are rarely used cost address space only.
//!
//! # Protocol
//!
//! Chunk `i` goes through slot `i % slots`, in round `i / slots`. The slot's [`Turn`] says whose
//! it is: phase `2 * round` the producer's, `2 * round + 1` the consumer's. Each side waits for
//! its phase and ends it; there is no other state, no lock, and a wake-up costs a system call
//! only if somebody waits. A phase that cannot be there ([`Wait::Broken`]) is an error, not a
//! reason to wait. A consumer that cannot go on raises [`Control::stop`] and keeps ending its
//! phases, so the producer never waits in vain; the producer looks at it when it takes a slot.
//! The producer's last chunk says so in its header.
//!
//! In a live run, [`Control::state`] goes from [`state::NEW`] to [`state::READY`] when everything
//! before the first slot is written, and to [`state::ENDED`] after the last chunk, when the footer
//! is. Until a chunk is in a file, its checksum is that of [`slot_checksum`]: of the header only.
//! A damaged log shows when it is replayed.

use crate::layout::{LOG_BYTES_PER_STEP, MAX_BLOCK_STEPS, MAX_CHUNK_STEPS, PAGE, page_ceil};
use crate::trace::{ChunkHeader, FooterHeader, checksum};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Most slots of a ring.
pub const MAX_SLOTS: u64 = 32;

/// First bytes of a [`Description`].
pub const MAGIC: [u8; 8] = *b"HLRING\0\0";

/// Version of the layout and the protocol.
pub const VERSION: u32 = 2;

/// Signal that a producer gets when the process that consumes its ring ends (of those that have no
/// other use).
pub const CONSUMER_GONE_SIGNAL: i32 = 60;

/// An atomic word of 32 bits. A trait, so that the protocol can be checked with words that try
/// every order of events.
pub trait Word {
    /// Reads it (acquire).
    fn load(&self) -> u32;
    /// Replaces it (acquire and release); the old value.
    fn swap(&self, value: u32) -> u32;
    /// Replaces it if it has a value; whether it had.
    fn replace(&self, old: u32, new: u32) -> bool;
    /// Clears the bits that the mask has not (acquire and release).
    fn and(&self, mask: u32);
}

impl Word for AtomicU32 {
    fn load(&self) -> u32 {
        AtomicU32::load(self, Ordering::Acquire)
    }

    fn swap(&self, value: u32) -> u32 {
        AtomicU32::swap(self, value, Ordering::AcqRel)
    }

    fn replace(&self, old: u32, new: u32) -> bool {
        let order = Ordering::Acquire;
        self.compare_exchange(old, new, order, order).is_ok()
    }

    fn and(&self, mask: u32) {
        self.fetch_and(mask, Ordering::AcqRel);
    }
}

/// How often a side looks for its turn before it sleeps, where the other runs at the same time: tens
/// of microseconds, in which most turns come. To be woken takes as long, and costs the other side a
/// system call.
pub const LOOKS: u32 = 1000;

/// How a side waits for the other.
pub trait Park<W> {
    /// Waits until woken, if the word has this value. May return early. `false`: do not wait any
    /// longer.
    fn wait(&self, word: &W, value: u32) -> bool;
    /// Wakes all who wait on the word.
    fn wake(&self, word: &W);
    /// How often to look again before waiting: 0, or [`LOOKS`] where the other side has a core of its
    /// own.
    fn looks(&self) -> u32 {
        0
    }
}

/// How waiting ended.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is one's turn.
    Reached,
    /// [`Park::wait`] did not want to wait any longer, and it is not one's turn.
    GaveUp,
    /// The phase is one that no run comes to from here.
    Broken,
}

/// Whose turn it is to use a slot. It has a cache line of its own.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Turn<W = AtomicU32>(W);

/// Set in a [`Turn`] while somebody waits for the next phase.
const WAITED_FOR: u32 = 1 << 31;

impl<W: Word> Turn<W> {
    /// A turn at its first phase, 0.
    pub const fn new(word: W) -> Turn<W> {
        Turn(word)
    }

    /// Waits for a phase (of which the lower 31 bits count), which is at most `distance` phases
    /// away.
    pub fn await_phase(&self, phase: u32, distance: u32, park: &impl Park<W>) -> Wait {
        let phase = phase & !WAITED_FOR;
        let mut waiting = true;
        let mut looks = park.looks();
        loop {
            let seen = self.0.load();
            let left = phase.wrapping_sub(seen) & !WAITED_FOR;
            if left == 0 {
                return Wait::Reached;
            }
            if left > distance {
                return Wait::Broken;
            }
            if !waiting {
                // Who saw the mark that this side made sleeps although there was an alarm.
                self.alarm(park);
                return Wait::GaveUp;
            }
            if looks > 0 {
                looks -= 1;
                core::hint::spin_loop();
                continue;
            }
            let marked = seen | WAITED_FOR;
            // If this fails, the phase may have changed.
            if self.0.replace(seen, marked) {
                waiting = park.wait(&self.0, marked);
            }
        }
    }

    /// Ends the caller's phase and begins the next, `phase`.
    pub fn begin_phase(&self, phase: u32, park: &impl Park<W>) {
        let seen = self.0.swap(phase & !WAITED_FOR);
        if seen & WAITED_FOR != 0 {
            park.wake(&self.0);
        }
    }

    /// Wakes all who wait for a phase, so that they look for themselves whether to go on: at what
    /// was written before this call.
    pub fn alarm(&self, park: &impl Park<W>) {
        // Who has looked and does not sleep yet must not: the word is another now.
        self.0.and(!WAITED_FOR);
        park.wake(&self.0);
    }

    /// Whether this is the phase now.
    pub fn is_at(&self, phase: u32) -> bool {
        (self.0.load() ^ phase) & !WAITED_FOR == 0
    }
}

/// Something that is said once. It has a cache line of its own.
#[repr(C, align(64))]
pub struct Flag<W = AtomicU32>(W);

impl<W: Word> Flag<W> {
    /// Raises the flag.
    pub fn raise(&self) {
        self.0.swap(1);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.load() != 0
    }
}

/// Values of [`Control::state`].
pub mod state {
    /// Nothing is valid yet.
    pub const NEW: u32 = 0;
    /// Everything before the slots is valid.
    pub const READY: u32 = 1;
    /// The last chunk was handed over, and the footer is valid.
    pub const ENDED: u32 = 2;
}

/// A word with a cache line of its own.
#[repr(C, align(64))]
pub struct Line<T>(pub T);

/// The control page. All zero, it is that of a ring that nobody has used yet.
#[repr(C)]
pub struct Control<W = AtomicU32> {
    /// One of [`state`].
    pub state: Line<W>,
    /// Raised by a consumer that cannot go on.
    pub stop: Flag<W>,
    /// Raised by the consumer if both sides have cores of their own: then the producer, too, looks
    /// for its turn for a while before it sleeps.
    pub apart: Flag<W>,
    /// While the producer waits for the slot of chunk `i`: `i + 1`, else 0.
    pub producer_waits: Line<AtomicU64>,
    turns: [Turn<W>; MAX_SLOTS as usize],
}

const _: () = assert!(size_of::<Control>() as u64 <= PAGE);

/// A slot in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Number of the slot.
    pub slot: u64,
    /// The producer's phase; the consumer's is the next.
    pub phase: u32,
}

impl Ticket {
    /// The slot that a chunk goes through. `slots` is not 0.
    pub fn new(slots: u64, chunk: u64) -> Ticket {
        Ticket {
            slot: chunk % slots,
            phase: (2 * (chunk / slots)) as u32,
        }
    }
}

impl<W: Word> Control<W> {
    /// A control page that nobody has used yet. `word` makes words that are 0.
    pub fn new(mut word: impl FnMut() -> W) -> Control<W> {
        Control {
            state: Line(word()),
            stop: Flag(word()),
            producer_waits: Line(AtomicU64::new(0)),
            turns: core::array::from_fn(|_| Turn::new(word())),
            apart: Flag(word()),
        }
    }

    /// The turn of a slot.
    pub fn turn(&self, ticket: Ticket) -> &Turn<W> {
        &self.turns[ticket.slot as usize % self.turns.len()]
    }

    /// All turns.
    pub fn turns(&self) -> &[Turn<W>] {
        &self.turns
    }

    /// Producer: waits until the slot is its own.
    pub fn acquire(&self, ticket: Ticket, park: &impl Park<W>) -> Wait {
        // The consumer of the last round is all that there is to wait for.
        self.turn(ticket).await_phase(ticket.phase, 1, park)
    }

    /// Producer: hands a filled slot over.
    pub fn publish(&self, ticket: Ticket, park: &impl Park<W>) {
        self.turn(ticket)
            .begin_phase(ticket.phase.wrapping_add(1), park);
    }

    /// Consumer: waits until the slot is filled. `earlier`: how many chunks before this one may
    /// still have to go through the slot.
    pub fn receive(&self, ticket: Ticket, earlier: u32, park: &impl Park<W>) -> Wait {
        let distance = earlier.saturating_mul(2).saturating_add(1);
        self.turn(ticket)
            .await_phase(ticket.phase.wrapping_add(1), distance, park)
    }

    /// Consumer: gives a slot back.
    pub fn release(&self, ticket: Ticket, park: &impl Park<W>) {
        self.turn(ticket)
            .begin_phase(ticket.phase.wrapping_add(2), park);
    }
}

/// What a consumer has to know of a live ring. The rest follows from the file header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Description {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// [`VERSION`].
    pub version: U32,
    /// Number of slots.
    pub slots: U32,
    /// Bytes of host events that fit into a slot.
    pub events_capacity: U64,
    /// Bytes of the trace's file header, its arguments and its checksum.
    pub header_len: U64,
}

/// From the start of a ring to its [`Description`].
pub const DESCRIPTION_OFFSET: u64 = PAGE;

/// From the start of a ring to its footer, a [`FooterHeader`].
pub const FOOTER_OFFSET: u64 = DESCRIPTION_OFFSET + size_of::<Description>() as u64;

/// From the start of a ring to the trace's file header.
pub const HEADER_OFFSET: u64 = 2 * PAGE;

const _: () = assert!(FOOTER_OFFSET + size_of::<FooterHeader>() as u64 <= HEADER_OFFSET);

/// Most bytes of host events that a slot has room for: address space, not memory.
pub const MAX_EVENTS_CAPACITY: u64 = 16 << 30;

/// Most bytes of a file header. Linux allows fewer for arguments and environment.
pub const MAX_HEADER_LEN: u64 = 64 << 20;

/// Size in bytes that a ring which two cores share has at least, where this processor wants that. On AMD
/// processors it is slow to write to memory that another core has read as long as a second-level
/// cache has it (Zen 4; see docs/live.md): slots have left these caches when they come round again,
/// though chunks fill an eighth of them, more or less. On others a ring that stays there is faster.
pub fn large_ring() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        let vendor = core::arch::x86_64::__cpuid_count(0, 0);
        let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
        (name.as_flattened() == b"AuthenticAMD").then_some(36 << 20)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        None
    }
}

/// Sizes and offsets of a ring, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Number of slots.
    pub slots: u64,
    /// From the start of the ring to its first slot.
    pub slots_offset: u64,
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

/// Bytes from the start of a slot to its events, for chunks of so many steps.
fn log_end(chunk_steps: u64) -> u64 {
    // A block may be charged and leave early: its log entries fit all the same.
    LOG_OFFSET + page_ceil((chunk_steps + MAX_BLOCK_STEPS) * LOG_BYTES_PER_STEP)
}

/// Number of slots that make up a ring of about so many bytes: at least 2, at most [`MAX_SLOTS`].
pub fn slots_for(chunk_steps: u64, bytes: u64) -> u64 {
    (bytes / log_end(chunk_steps.min(MAX_CHUNK_STEPS))).clamp(2, MAX_SLOTS)
}

impl Geometry {
    /// A ring for chunks of so many steps (at most [`MAX_CHUNK_STEPS`]). Two slots are enough for
    /// producer and consumer to work at the same time.
    pub fn new(
        chunk_steps: u64,
        slots: Option<u64>,
        events_capacity: u64,
        header_len: u64,
    ) -> Geometry {
        let events_offset = log_end(chunk_steps.min(MAX_CHUNK_STEPS));
        let default = if events_offset < LARGE_LOG {
            DEFAULT_SLOTS
        } else {
            2
        };
        let stride = (events_offset + events_capacity).next_multiple_of(HUGE_PAGE);
        Geometry {
            slots: slots.unwrap_or(default),
            slots_offset: (HEADER_OFFSET + header_len).next_multiple_of(HUGE_PAGE),
            stride,
            events_offset,
            events_capacity,
        }
    }

    /// The ring that a description is of.
    ///
    /// # Errors
    /// What no ring has.
    pub fn described(
        description: &Description,
        chunk_steps: u64,
    ) -> Result<Geometry, &'static str> {
        let slots = u64::from(description.slots.get());
        let events_capacity = description.events_capacity.get();
        let header_len = description.header_len.get();
        if description.magic != MAGIC {
            return Err("magic number of the ring");
        }
        if description.version.get() != VERSION {
            return Err("version of the ring");
        }
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err("number of slots");
        }
        if events_capacity > MAX_EVENTS_CAPACITY || !events_capacity.is_multiple_of(PAGE) {
            return Err("room for host events");
        }
        if header_len > MAX_HEADER_LEN {
            return Err("length of the file header");
        }
        Ok(Geometry::new(
            chunk_steps,
            Some(slots),
            events_capacity,
            header_len,
        ))
    }

    /// From the start of the ring to a slot.
    pub fn slot(&self, ticket: Ticket) -> u64 {
        self.slots_offset + ticket.slot * self.stride
    }

    /// Size of the ring.
    pub fn size(&self) -> u64 {
        self.slots_offset + self.slots * self.stride
    }
}

/// Checksum of a chunk that is in a slot: of its header without the last field.
pub fn slot_checksum(header: &ChunkHeader) -> u64 {
    let bytes = header.as_bytes();
    checksum(&bytes[..bytes.len() - size_of::<U64>()])
}
