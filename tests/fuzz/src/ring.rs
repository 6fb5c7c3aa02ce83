//! Rings of live runs, as a program that is not what it should be may fill them.

use crate::seeds;
use hartlog_format::parse::Header;
use hartlog_format::ring::{
    DESCRIPTION_OFFSET, Description, Geometry, HEADER_OFFSET, LOG_OFFSET, Ticket, slot_checksum,
};
use hartlog_format::trace::ChunkHeader;
use replay::chunk::{Consumer, Row, replay};
use replay::live::Ring;
use replay::program::Program;
use rustix::fs::{SealFlags, fcntl_add_seals, ftruncate};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

/// Bits of the first byte: what is made right before the ring is opened.
pub(crate) mod choice {
    pub const SIZE: u8 = 1;
    pub const SEALS: u8 = 2;
    pub const CHECKSUM: u8 = 4;
    /// The chunk is wanted with the checksum of a file.
    pub const SUM: u8 = 8;
}

/// Takes so many bytes off the front.
fn take<'a>(data: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = data.split_at(len.min(data.len()));
    *data = rest;
    taken
}

/// Takes a value off the front; what is missing is zero.
fn value<T: FromZeros + FromBytes + IntoBytes>(data: &mut &[u8]) -> T {
    let mut value = T::new_zeroed();
    let bytes = take(data, size_of::<T>());
    value.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    value
}

/// Counts what it is told.
#[derive(Default)]
struct Count(u64);

impl Consumer for Count {
    fn row(&mut self, _: &Row<'_>) {
        self.0 += 1;
    }
}

/// Opens a ring, takes a chunk from it and re-executes it. The bytes are: choices, size, chunk,
/// description, length of the file header and the file header, header of the chunk, its log and
/// events.
pub fn ring(mut data: &[u8]) {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| seeds::traced().0);

    let data = &mut data;
    let choices: u8 = value(data);
    let mut size: u64 = value(data);
    let index: u64 = value(data);
    let description: Description = value(data);
    let header_len: u16 = value(data);
    let header = take(data, header_len.into());
    let mut chunk: ChunkHeader = value(data);
    let log = take(data, chunk.log_len.get().min(1 << 16) as usize);
    let events = *data;

    let parsed = Header::parse(header).ok();
    let geometry =
        parsed.and_then(|h| Geometry::described(&description, h.fixed.chunk_steps.get()).ok());
    if let Some(geometry) = geometry.filter(|_| choices & choice::SIZE != 0) {
        size = geometry.size();
    }
    if choices & choice::CHECKSUM != 0 {
        chunk.checksum = slot_checksum(&chunk).into();
    }

    let host = "memory for a small ring";
    let ring = Ring::new().expect(host);
    // It never shrinks, and larger ones do not exist.
    if ftruncate(ring.file(), size).is_err() {
        return;
    }
    let file = File::from(ring.file().try_clone_to_owned().expect(host));
    // As much of each as fits.
    let put = |bytes: &[u8], at: u64| {
        let room = size.saturating_sub(at).min(bytes.len() as u64) as usize;
        file.write_all_at(&bytes[..room], at).expect(host);
    };
    put(description.as_bytes(), DESCRIPTION_OFFSET);
    put(header, HEADER_OFFSET);
    let mut ticket = None;
    if let Some(geometry) = geometry {
        let place = Ticket::new(geometry.slots, index);
        let at = geometry.slot(place);
        put(chunk.as_bytes(), at);
        put(log, at + LOG_OFFSET);
        put(events, at + geometry.events_offset);
        ticket = Some(place);
    }
    if choices & choice::SEALS != 0 {
        fcntl_add_seals(
            ring.file(),
            SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )
        .expect(host);
    }

    let header = match ring.open() {
        Ok(header) => header,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let chunk_steps = header.fixed.chunk_steps.get();
    let ticket = ticket.expect("it was opened, so it is described");
    assert_eq!(ring.geometry(), geometry.as_ref());
    // SAFETY: nobody else has this ring, and this is the first chunk that is taken.
    let taken = unsafe { ring.take(ticket, index, choices & choice::SUM != 0) };
    let taken = match taken {
        Ok(taken) => taken,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    assert_eq!(taken.header.index.get(), index);
    assert!(taken.log.len() <= taken.room.len());
    assert_eq!(
        taken.verify().is_ok(),
        choices & choice::SUM != 0,
        "its checksum is that of a chunk in a file, if that is wanted"
    );
    // Nobody waits for the steps of a chunk that claims 2^32 of them.
    if chunk_steps <= 1 << 12 {
        let mut count = Count::default();
        if let Err(difference) = replay(program, &taken, &mut count) {
            let _ = difference.to_string();
        }
        assert!(count.0 <= taken.header.steps.get());
    }
    assert!(ring.footer().is_none(), "the run has not ended");
}
