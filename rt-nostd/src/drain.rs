//! The consumer of the ring: a thread that writes sealed chunks to the trace file.

use crate::buffer::Buffer;
use crate::guest::Output;
use crate::recorder::{Futex, Ring};
use crate::report::Failure;
use crate::sys::{self, Errno, IoVec};
use crate::thread;
use core::ffi::CStr;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use hartlog_format::layout::PAGE;
use hartlog_format::ring::{Ticket, Wait};
use hartlog_format::trace::*;
use sha2::Digest;
use zerocopy::IntoBytes;

/// What the trace file says about the run as a whole.
pub struct RunHeader<A, E> {
    /// Retired instructions in a chunk.
    pub chunk_steps: u64,
    /// SHA-256 of the ELF file.
    pub elf_sha256: [u8; 32],
    /// Arguments, from argv\[0\] on.
    pub args: A,
    /// Environment strings.
    pub env: E,
}

/// What the drain's two threads share. It fills the start of a mapping of its own.
#[repr(C)]
struct Shared {
    ring: Ring,
    fd: i32,
    /// File offset of the first chunk.
    start: u64,
    /// Chunks in the file.
    chunks: AtomicU64,
    /// File offset after the last of them.
    end: AtomicU64,
    /// Why writing failed, or 0.
    error: AtomicU32,
    /// Not 0 when the thread has ended.
    finished: AtomicU32,
    /// Parts of the buffer with the footer; the thread's until it has finished.
    footer: [AtomicUsize; 3],
}

/// The drain, as the producer sees it.
pub struct Drain {
    shared: &'static Shared,
    path: &'static [u8],
    header_checksum: u64,
}

/// Writes all parts. Some are cut off at their start when only a part of them was written.
fn write_all(fd: i32, parts: &mut [IoVec<'_>]) -> Result<(), Errno> {
    while parts.iter().any(|p| p.left() != 0) {
        let mut done = match sys::writev(fd, parts) {
            Ok(0) => return Err(Errno::EIO),
            Ok(n) => n,
            Err(Errno::EINTR) => continue,
            Err(Errno::EAGAIN) => {
                sys::wait_ready(fd, sys::WRITABLE);
                continue;
            }
            Err(error) => return Err(error),
        };
        for part in parts.iter_mut() {
            let n = done.min(part.left());
            part.advance(n);
            done -= n;
        }
    }
    Ok(())
}

impl Drain {
    /// Creates the trace file, writes its header and starts the thread.
    ///
    /// # Errors
    /// [`Failure::Trace`], [`Failure::Host`].
    pub fn start<A, E>(
        path: &'static CStr,
        ring: Ring,
        run: RunHeader<A, E>,
    ) -> Result<Drain, Failure>
    where
        A: Iterator<Item = &'static [u8]> + Clone,
        E: Iterator<Item = &'static [u8]>,
    {
        let path_bytes = path.to_bytes();
        let failed = |errno| Failure::Trace {
            path: path_bytes,
            errno,
            chunks: 0,
        };
        let (header_checksum, mut header) = file_header(run)?;
        let mut parts = [IoVec::new(header.bytes_mut())];
        let start = parts.iter().map(|p| p.left() as u64).sum();
        let fd = sys::create(path).map_err(failed)?;
        write_all(fd, &mut parts).map_err(failed)?;

        let mut footer = Buffer::new()?;
        footer.extend(&[0; size_of::<FooterHeader>()])?;
        let shared = share(Shared {
            ring,
            fd,
            start,
            chunks: AtomicU64::new(0),
            end: AtomicU64::new(start),
            error: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            footer: footer.into_parts().map(AtomicUsize::new),
        })?;
        thread::spawn(run_drain, (&raw const *shared).expose_provenance())?;
        Ok(Drain {
            shared,
            path: path_bytes,
            header_checksum,
        })
    }

    /// Descriptor of the trace.
    pub fn fd(&self) -> u32 {
        self.shared.fd as u32
    }

    /// Why the drain stopped writing.
    pub fn failure(&self) -> Failure {
        Failure::Trace {
            path: self.path,
            errno: Errno(self.shared.error.load(Ordering::Acquire) as u16),
            chunks: self.shared.chunks.load(Ordering::Acquire),
        }
    }

    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// [`Failure::Trace`].
    pub fn join(&self) -> Result<(), Failure> {
        while self.shared.finished.load(Ordering::Acquire) == 0 {
            sys::futex_wait(&self.shared.finished, 0);
        }
        if self.shared.error.load(Ordering::Acquire) != 0 {
            return Err(self.failure());
        }
        Ok(())
    }

    /// Completes the trace of a run that ended so. The thread has ended.
    ///
    /// # Errors
    /// [`Failure::Trace`].
    pub fn complete(
        self,
        total_steps: u64,
        end_kind: u32,
        end_code: u32,
        output: Output,
    ) -> Result<(), Failure> {
        let shared = self.shared;
        let header = FooterHeader {
            magic: FOOTER_MAGIC,
            chunks: shared.chunks.load(Ordering::Acquire).into(),
            total_steps: total_steps.into(),
            end_kind: end_kind.into(),
            end_code: end_code.into(),
            output_len: output.len.into(),
            output_sha256: output.digest.finalize().into(),
        };
        let parts = shared.footer.each_ref().map(|p| p.load(Ordering::Acquire));
        // SAFETY: the thread has ended, and this takes `self`.
        let mut footer = unsafe { Buffer::from_parts(parts) };
        let covered = footer.bytes_mut();
        covered[..size_of::<FooterHeader>()].copy_from_slice(header.as_bytes());
        let tail = FooterTail {
            checksum: checksum_after(self.header_checksum, covered).into(),
            footer_offset: shared.end.load(Ordering::Acquire).into(),
            magic: TAIL_MAGIC,
        };
        write_all(
            shared.fd,
            &mut [IoVec::new(covered), IoVec::new(tail.as_bytes())],
        )
        .map_err(|errno| shared.fail(errno))
        .map_err(|()| self.failure())
    }
}

/// The start of a trace, up to its first chunk, and its checksum.
///
/// # Errors
/// [`Failure::Host`].
pub fn file_header<A, E>(run: RunHeader<A, E>) -> Result<(u64, Buffer), Failure>
where
    A: Iterator<Item = &'static [u8]> + Clone,
    E: Iterator<Item = &'static [u8]>,
{
    const SIZE: usize = size_of::<FileHeader>();
    let mut bytes = Buffer::new()?;
    bytes.extend(&[0; SIZE])?;
    let argc = run.args.clone().count() as u32;
    for string in run.args.chain(run.env) {
        bytes.extend(string)?;
        bytes.extend(&[0])?;
    }
    let (fixed, args) = bytes.bytes_mut().split_at_mut(SIZE);
    let header = FileHeader {
        magic: FILE_MAGIC,
        version: VERSION.into(),
        header_len: (SIZE as u32).into(),
        xlen: 64.into(),
        abi: ABI_LINUX.into(),
        isa: ISA.into(),
        chunk_steps: run.chunk_steps.into(),
        elf_sha256: run.elf_sha256,
        log_form: LOG_PACKED.into(),
        argc: argc.into(),
        args_len: (args.len() as u64).into(),
        reserved: [0; 32],
    };
    fixed.copy_from_slice(header.as_bytes());
    let checksum = header_checksum(&header, args);
    let padding = pad8(args.len() as u64) as usize - args.len();
    bytes.extend(&[0; 8][..padding])?;
    bytes.extend(&checksum.to_le_bytes())?;
    Ok((checksum, bytes))
}

/// Moves a value to where both threads see it.
fn share(value: Shared) -> Result<&'static Shared, Failure> {
    const { assert!(size_of::<Shared>() <= PAGE as usize) };
    let addr = sys::map(PAGE as usize, sys::PROT_RW).map_err(|errno| Failure::Host {
        what: "no memory for the thread that writes the trace",
        errno,
    })?;
    let at = with_exposed_provenance_mut(addr);
    // SAFETY: the page is new, large enough and stays.
    unsafe {
        core::ptr::write(at, value);
        Ok(&*at)
    }
}

impl Shared {
    /// Notes an error. What was written of a chunk that is not whole is cut off, where the file
    /// lets that be done.
    fn fail(&self, errno: Errno) {
        // A pipe cannot be cut; its reader sees a chunk that ends too early.
        let _ = sys::truncate(self.fd, self.end.load(Ordering::Acquire));
        self.error.store(errno.0.into(), Ordering::Release);
    }
}

/// The thread.
extern "C" fn run_drain(shared: usize) -> ! {
    // SAFETY: `Drain::start` passes the address of a structure that stays.
    let shared: &'static Shared = unsafe { &*with_exposed_provenance(shared) };
    let parts = shared.footer.each_ref().map(|p| p.load(Ordering::Acquire));
    // SAFETY: until it has finished, the buffer is this thread's.
    let mut footer = unsafe { Buffer::from_parts(parts) };
    let control = shared.ring.control();
    let mut offset = shared.start;
    let mut chunk = 0;
    loop {
        let ticket = Ticket::new(shared.ring.geometry.slots, chunk);
        // This ring is this process's own, and the producer always ends its phases.
        let _: Wait = control.receive(ticket, 0, &Futex);
        // SAFETY: it is the consumer's turn to use the slot, and this is the only consumer.
        let header = unsafe { shared.ring.header(ticket) };
        let is_last = header.magic != CHUNK_MAGIC || header.end_kind.get() != end::NEXT;
        if header.magic == CHUNK_MAGIC && shared.error.load(Ordering::Relaxed) == 0 {
            let log_len = header.log_len.get();
            let events_len = header.events_len.get() as usize;
            let log_at = with_exposed_provenance(shared.ring.log(ticket));
            let events_at = with_exposed_provenance(shared.ring.events(ticket));
            // SAFETY: it is the consumer's turn; the producer has written this much of both.
            let (log, events) = unsafe {
                (
                    core::slice::from_raw_parts(log_at, pad8(log_len) as usize),
                    core::slice::from_raw_parts(events_at, events_len),
                )
            };
            header.checksum = chunk_checksum(header, &log[..log_len as usize], events).into();
            let mut parts = [
                IoVec::new(header.as_bytes()),
                IoVec::new(log),
                IoVec::new(events),
            ];
            let size: u64 = parts.iter().map(|p| p.left() as u64).sum();
            let written = write_all(shared.fd, &mut parts);
            // Without room for the footer the trace ends here too.
            match written.and_then(|()| footer.extend(&offset.to_le_bytes()).map_err(no_room)) {
                Ok(()) => {
                    offset += size;
                    chunk += 1;
                    shared.end.store(offset, Ordering::Release);
                    shared.chunks.store(chunk, Ordering::Release);
                }
                Err(errno) => {
                    shared.fail(errno);
                    control.stop.raise();
                    chunk += 1;
                }
            }
        } else {
            chunk += 1;
        }
        control.release(ticket, &Futex);
        if is_last {
            break;
        }
    }
    for (to, from) in shared.footer.iter().zip(footer.into_parts()) {
        to.store(from, Ordering::Release);
    }
    shared.finished.store(1, Ordering::Release);
    sys::futex_wake(&shared.finished);
    sys::exit_thread()
}

fn no_room(failure: Failure) -> Errno {
    match failure {
        Failure::Host { errno, .. } => errno,
        _ => Errno::EINVAL,
    }
}
