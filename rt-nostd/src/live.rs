//! The ring of a live run: a file in memory, sized and filled here, consumed by the parent process
//! while the guest runs.

use crate::drain::{RunHeader, file_header};
use crate::guest::Output;
use crate::recorder::{ChunkEnd, Ring, events_capacities, no_room, reserve};
use crate::report::Failure;
use crate::{signal, sys};
use core::ptr::with_exposed_provenance_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use hartlog_config::Consumer;
use hartlog_format::ring::{
    DESCRIPTION_OFFSET, Description, FOOTER_OFFSET, Geometry, HEADER_OFFSET, LOOKS, MAGIC,
    MAX_HEADER_LEN, Park, Ticket, VERSION, Wait, state,
};
use hartlog_format::trace::{FOOTER_MAGIC, FooterHeader};
use sha2::Digest;

/// The consumer's end comes as a signal; this is for a wake-up that got lost because somebody
/// wrote into the ring.
const LOOK_AGAIN_NS: u64 = 200_000_000;

/// Waits by futex, and looks again now and then.
struct Timed {
    looks: u32,
}

impl Park<AtomicU32> for Timed {
    fn wait(&self, word: &AtomicU32, value: u32) -> bool {
        sys::futex_wait_for(word, value, Some(LOOK_AGAIN_NS));
        true
    }

    fn wake(&self, word: &AtomicU32) {
        sys::futex_wake(word);
    }

    fn looks(&self) -> u32 {
        self.looks
    }
}

/// The producer's side of a live run.
pub struct Live {
    ring: Ring,
}

impl Live {
    /// Sizes and maps the ring and tells the consumer that it is there.
    ///
    /// # Errors
    /// [`Failure::Host`], [`Failure::Live`].
    pub fn start<A, E>(
        consumer: Consumer,
        run: RunHeader<A, E>,
        slots: Option<u64>,
        memory: Option<u64>,
    ) -> Result<Live, Failure>
    where
        A: Iterator<Item = &'static [u8]> + Clone,
        E: Iterator<Item = &'static [u8]>,
    {
        signal::end_with_parent(consumer.pid)?;
        let chunk_steps = run.chunk_steps;
        let (_, mut header) = file_header(run)?;
        let header = header.bytes_mut();
        let len = header.len() as u64;
        if len > MAX_HEADER_LEN {
            return Err(Failure::Live("the arguments are too long for a live run"));
        }
        let mut result = Err(sys::Errno::EINVAL);
        for events_capacity in events_capacities(memory) {
            let geometry = Geometry::new(chunk_steps, slots, events_capacity, len);
            result = map(consumer.fd, geometry);
            if result.is_ok() {
                break;
            }
        }
        let ring = result.map_err(no_room)?;
        // The mapping keeps the file.
        sys::close(consumer.fd);
        let geometry = &ring.geometry;
        let description = Description {
            magic: MAGIC,
            version: VERSION.into(),
            slots: (geometry.slots as u32).into(),
            events_capacity: geometry.events_capacity.into(),
            header_len: len.into(),
        };
        let live = Live { ring };
        live.put(DESCRIPTION_OFFSET, description);
        let to = with_exposed_provenance_mut(ring.base + HEADER_OFFSET as usize);
        // SAFETY: the geometry has room for the header, which is not in the ring.
        unsafe { core::ptr::copy_nonoverlapping(header.as_ptr(), to, header.len()) };
        live.announce(state::READY);
        Ok(live)
    }

    /// The ring.
    pub fn ring(&self) -> Ring {
        self.ring
    }

    /// Writes a value before the slots.
    fn put<T>(&self, offset: u64, value: T) {
        let to = with_exposed_provenance_mut::<T>(self.ring.base + offset as usize);
        // SAFETY: the offsets used are those of the layout, inside the mapping; the consumer reads
        // there only what it was told to be valid.
        unsafe { to.write_unaligned(value) };
    }

    fn announce(&self, state: u32) {
        let word = &self.ring.control().state.0;
        word.store(state, Ordering::Release);
        sys::futex_wake(word);
    }

    /// Waits until a chunk's slot is free.
    ///
    /// # Errors
    /// [`Failure::Live`].
    pub fn acquire(&self, chunk: u64, ticket: Ticket) -> Result<(), Failure> {
        let control = self.ring.control();
        if !control.turn(ticket).is_at(ticket.phase) {
            control.producer_waits.0.store(chunk + 1, Ordering::Release);
            let looks = if control.apart.is_raised() { LOOKS } else { 0 };
            let outcome = control.acquire(ticket, &Timed { looks });
            control.producer_waits.0.store(0, Ordering::Release);
            if outcome != Wait::Reached {
                return Err(Failure::Live("the ring is damaged"));
            }
        }
        if control.stop.is_raised() {
            return Err(Failure::Live("the replayer cannot go on"));
        }
        Ok(())
    }

    /// Tells how the run ended, after the last chunk.
    pub fn complete(self, chunks: u64, total_steps: u64, last: ChunkEnd, output: Output) {
        self.put(
            FOOTER_OFFSET,
            FooterHeader {
                magic: FOOTER_MAGIC,
                chunks: chunks.into(),
                total_steps: total_steps.into(),
                end_kind: last.kind.into(),
                end_code: last.code.into(),
                output_len: output.len.into(),
                output_sha256: output.digest.finalize().into(),
            },
        );
        self.announce(state::ENDED);
    }
}

/// Gives a file in memory the size of a ring, for good, and maps it.
fn map(fd: i32, geometry: Geometry) -> Result<Ring, sys::Errno> {
    // The file can grow only.
    let base = reserve(&geometry, sys::PROT_NONE)?;
    sys::truncate(fd, geometry.size())?;
    sys::seal_size(fd)?;
    // SAFETY: the range was just reserved, and is as large as the ring.
    unsafe { sys::map_shared_at(base, geometry.size() as usize, fd) }?;
    Ok(Ring {
        base,
        geometry,
        shared: true,
    })
}
