//! The consumer's side of a ring that a running program fills.
//!
//! The program could write into the ring at any time, so nothing in it is trusted: headers and host
//! events are copied out once and the copies are checked; logs are read where they are, and what is
//! read from them is data, bounds excepted, which come from the copies. The size of the file is
//! sealed before it is mapped, so no access can fail. All `unsafe` of live runs is here.

use hartlog_format::layout::PAGE;
use hartlog_format::parse::{Chunk, Header, ParseError, check_chunk_header};
use hartlog_format::ring::{
    Control, DESCRIPTION_OFFSET, Description, FOOTER_OFFSET, Geometry, HEADER_OFFSET, LOG_OFFSET,
    MAX_HEADER_LEN, Ticket, slot_checksum, state,
};
use hartlog_format::trace::{ChunkHeader, FooterHeader, chunk_checksum, end};
use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::{MemfdFlags, SealFlags};
use std::cell::UnsafeCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use zerocopy::{FromBytes, FromZeros};

/// What is wrong with a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// Something before its slots.
    #[error("the ring is damaged: {0}")]
    Layout(&'static str),
    /// The file header in it.
    #[error("the ring is damaged: file header: {0}")]
    Header(ParseError),
    /// A slot.
    #[error("the ring is damaged: chunk {chunk} in slot {slot}: {source}")]
    Slot {
        /// Number of the chunk.
        chunk: u64,
        /// Number of the slot.
        slot: u64,
        /// What is wrong.
        source: ParseError,
    },
    /// A slot that holds another chunk, or one that cannot be there.
    #[error("the ring is damaged: chunk {chunk} in slot {slot}: {what}")]
    Order {
        /// Number of the chunk.
        chunk: u64,
        /// Number of the slot.
        slot: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// Bytes of a slot's host events for which memory is kept.
const EVENTS_KEPT: usize = 1 << 20;

/// A file in memory that becomes the ring of one run. It lives as long as the chunks in it are
/// used.
pub struct Ring {
    file: OwnedFd,
    /// The first page: all that is needed until the program says that the ring is there.
    first: MmapRaw,
    mapped: OnceLock<Mapped>,
}

struct Mapped {
    memory: MmapRaw,
    geometry: Geometry,
    chunk_steps: u64,
    /// Bytes of the file header.
    header: Vec<u8>,
    copies: Vec<UnsafeCell<Copies>>,
}

/// What was copied out of a slot.
struct Copies {
    header: ChunkHeader,
    events: Vec<u8>,
}

// SAFETY: `copies` is what is not `Sync`. One of them is written only by `Ring::take`, which its
// contract allows to one thread at a time, while nobody else refers to it.
unsafe impl Sync for Mapped {}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// A new file in memory, with one page.
    ///
    /// # Errors
    /// When the host has none.
    pub fn new() -> io::Result<Ring> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("hartlog-ring", flags)?;
        // The program finds its standard streams at 0 to 2, and nothing else.
        let file = rustix::io::fcntl_dupfd_cloexec(&file, 3)?;
        rustix::fs::ftruncate(&file, PAGE)?;
        // From now on it can only grow, so that what is mapped can always be read.
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK)?;
        let first = MmapOptions::new().len(PAGE as usize).map_raw(&file)?;
        Ok(Ring {
            file,
            first,
            mapped: OnceLock::new(),
        })
    }

    /// The file.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The control page.
    pub fn control(&self) -> &Control {
        // SAFETY: the page is mapped, shared and writable for as long as `self`; what is in it is
        // atomic, and any bytes are values of it. The file never shrinks: its owner only grows it,
        // and then seals it.
        unsafe { &*self.first.as_ptr().cast::<Control>() }
    }

    /// Maps the whole ring, which the program has announced.
    ///
    /// # Errors
    /// [`RingError`], or what the host says.
    pub fn open(&self) -> Result<Header<'_>, OpenError> {
        let damaged = |what| OpenError::Ring(RingError::Layout(what));
        let size = rustix::fs::fstat(&self.file)
            .map_err(io::Error::from)?
            .st_size as u64;
        let seals = rustix::fs::fcntl_get_seals(&self.file).map_err(io::Error::from)?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL) {
            return Err(damaged("its size is not sealed"));
        }
        if size < HEADER_OFFSET {
            return Err(damaged("its size"));
        }
        let len = usize::try_from(size).map_err(|_| damaged("its size"))?;
        let memory = MmapOptions::new().len(len).map_raw(&self.file)?;
        let bytes = copy(&memory, DESCRIPTION_OFFSET, size_of::<Description>() as u64);
        let description =
            Description::read_from_bytes(&bytes).map_err(|_| damaged("its description"))?;
        let header_len = description.header_len.get();
        if header_len > MAX_HEADER_LEN.min(size - HEADER_OFFSET) {
            return Err(damaged("length of the file header"));
        }
        let bytes = copy(&memory, HEADER_OFFSET, header_len);
        let header = Header::parse(&bytes).map_err(|e| OpenError::Ring(RingError::Header(e)))?;
        if header.end != header_len {
            return Err(damaged("length of the file header"));
        }
        let chunk_steps = header.fixed.chunk_steps.get();
        let geometry = Geometry::described(&description, chunk_steps).map_err(damaged)?;
        if geometry.size() != size {
            return Err(damaged("its size"));
        }
        let copies = (0..geometry.slots)
            .map(|_| {
                UnsafeCell::new(Copies {
                    header: ChunkHeader::new_zeroed(),
                    events: Vec::new(),
                })
            })
            .collect();
        let mapped = self.mapped.get_or_init(|| Mapped {
            memory,
            geometry,
            chunk_steps,
            header: bytes,
            copies,
        });
        Ok(Header::parse(&mapped.header).map_err(RingError::Header)?)
    }

    /// Sizes and offsets of the opened ring.
    pub fn geometry(&self) -> Option<&Geometry> {
        self.mapped.get().map(|m| &m.geometry)
    }

    /// Bytes of the file header of the opened ring.
    pub fn header_bytes(&self) -> &[u8] {
        self.mapped.get().map_or(&[], |m| &m.header)
    }

    /// The chunk in a slot, of which everything but the contents of its log and events is checked.
    /// With `sum`, its checksum is that of a chunk in a file.
    ///
    /// # Safety
    /// It is the consumer's turn, the calling thread is the only one that calls this for the
    /// ticket, and no chunk that was taken from the slot before is used any more.
    ///
    /// # Errors
    /// [`RingError`].
    pub unsafe fn take(
        &self,
        ticket: Ticket,
        index: u64,
        sum: bool,
    ) -> Result<Chunk<'_>, RingError> {
        let slot = ticket.slot;
        let order = |what| RingError::Order {
            chunk: index,
            slot,
            what,
        };
        let malformed = |source| RingError::Slot {
            chunk: index,
            slot,
            source,
        };
        let mapped = self.mapped.get().ok_or(order("the ring is not open"))?;
        let copies = mapped.copies.get(slot as usize);
        let copies = copies.ok_or(order("no such slot"))?.get();
        // SAFETY: the caller is the only one to refer to these copies.
        let Copies { header, events } = unsafe { &mut *copies };
        let (geometry, memory) = (&mapped.geometry, &mapped.memory);
        let at = geometry.slot(ticket);
        // The geometry is that of the mapping.
        debug_assert!(at + geometry.stride <= memory.len() as u64);
        let from = memory.as_ptr().wrapping_add(at as usize);
        // SAFETY: the slot is inside the mapping; any bytes are a header.
        *header = unsafe { from.cast::<ChunkHeader>().read() };
        check_chunk_header(header, at, mapped.chunk_steps).map_err(malformed)?;
        if slot_checksum(header) != header.checksum.get() {
            return Err(malformed(ParseError::Checksum {
                offset: at,
                what: "header",
            }));
        }
        if header.index.get() != index {
            return Err(order("it is another chunk"));
        }
        if header.end_kind.get() == end::FAULT && header.steps.get() == mapped.chunk_steps {
            return Err(order("it is full and ends with a fault"));
        }
        let events_len = header.events_len.get();
        if events_len > geometry.events_capacity || events_len > self.committed() {
            return Err(order("it has more host events than there is room for"));
        }
        events.clear();
        events.shrink_to(EVENTS_KEPT);
        events.reserve_exact(events_len as usize);
        let log_at = from.wrapping_add(LOG_OFFSET as usize);
        let events_at = from.wrapping_add(geometry.events_offset as usize);
        // SAFETY: both areas are inside the slot, and the events were compared with theirs. The
        // vector has room, and bytes that are copied are initialised. The program does not write to the slot while
        // it is the consumer's turn; were it to, the log would be other bytes, but bytes.
        let room = unsafe {
            std::ptr::copy_nonoverlapping(events_at, events.as_mut_ptr(), events_len as usize);
            events.set_len(events_len as usize);
            std::slice::from_raw_parts(log_at, (geometry.events_offset - LOG_OFFSET) as usize)
        };
        let log = room.get(..header.log_len.get() as usize);
        let log = log.ok_or(order("its log is longer than there is room for"))?;
        if sum {
            header.checksum = chunk_checksum(header, log, events).into();
        }
        // SAFETY: from here on the copies are only read, until the next call for the slot, before
        // which the caller forgets this chunk.
        let copies = unsafe { &*copies };
        Ok(Chunk {
            header: &copies.header,
            log,
            room,
            events: &copies.events,
            offset: at,
            end: at + geometry.stride,
        })
    }

    /// Bytes of memory that the file has.
    fn committed(&self) -> u64 {
        const BLOCK: u64 = 512;
        rustix::fs::fstat(&self.file).map_or(0, |s| s.st_blocks as u64 * BLOCK)
    }

    /// What the program says of its run, after its last chunk.
    pub fn footer(&self) -> Option<FooterHeader> {
        let mapped = self.mapped.get()?;
        if self.control().state.0.load(Ordering::Acquire) != state::ENDED {
            return None;
        }
        let bytes = copy(
            &mapped.memory,
            FOOTER_OFFSET,
            size_of::<FooterHeader>() as u64,
        );
        FooterHeader::read_from_bytes(&bytes).ok()
    }
}

/// Copies bytes out of the ring; none that are outside.
fn copy(memory: &MmapRaw, offset: u64, len: u64) -> Vec<u8> {
    let inside = offset.saturating_add(len) <= memory.len() as u64;
    let len = if inside { len as usize } else { 0 };
    let mut bytes = vec![0; len];
    let from = memory.as_ptr().wrapping_add(offset as usize);
    // SAFETY: the range is inside the mapping. Were the program to write there meanwhile, the copy
    // would be other bytes.
    unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), len) };
    bytes
}

/// Why a ring cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It is damaged.
    #[error("{0}")]
    Ring(#[from] RingError),
    /// The host does not map it.
    #[error("the ring cannot be mapped: {0}")]
    Io(#[from] io::Error),
}
