//! The guest's memory: identity-mapped in the low 4 GiB, where nothing of the host is.

use crate::recorder::Recorder;
use crate::report::{Failure, say};
use crate::sys;
use core::ptr::{copy_nonoverlapping, with_exposed_provenance, with_exposed_provenance_mut};
use hartlog_abi::{Errno, Host, Prot};
use hartlog_format::layout::{page_ceil, page_floor};
use hartlog_isa::Width;
use sha2::{Digest, Sha256};

/// Reads a little-endian value of guest memory, zero-extended.
///
/// # Safety
/// The bytes are mapped and readable.
#[inline(always)]
pub unsafe fn load(addr: u64, width: Width) -> u64 {
    let at = with_exposed_provenance::<u8>(addr as usize);
    // SAFETY: the caller's; any bytes are a value.
    unsafe {
        match width {
            Width::B => at.read().into(),
            Width::H => at.cast::<u16>().read_unaligned().into(),
            Width::W => at.cast::<u32>().read_unaligned().into(),
            Width::D => at.cast::<u64>().read_unaligned(),
        }
    }
}

/// Writes the low bytes of a value into guest memory.
///
/// # Safety
/// The bytes are mapped and writable.
#[inline(always)]
pub unsafe fn store(addr: u64, width: Width, value: u64) {
    let at = with_exposed_provenance_mut::<u8>(addr as usize);
    // SAFETY: the caller's; nothing of the host is there.
    unsafe {
        match width {
            Width::B => at.write(value as u8),
            Width::H => at.cast::<u16>().write_unaligned(value as u16),
            Width::W => at.cast::<u32>().write_unaligned(value as u32),
            Width::D => at.cast::<u64>().write_unaligned(value),
        }
    }
}

/// Digest of what the guest wrote to its standard output and error, in the order of the calls.
#[derive(Clone, Default)]
pub struct Output {
    /// Bytes.
    pub len: u64,
    /// SHA-256 of them.
    pub digest: Sha256,
}

/// What the ABI needs: the guest's memory, the files of the process, the trace.
pub struct GuestHost {
    /// Where host events go, if there is a trace.
    pub recorder: Option<Recorder>,
    /// What was written; kept only with a trace.
    pub output: Output,
    /// Nothing may be replaced yet: the guest is being set up.
    pub starting: bool,
    /// No warnings.
    pub quiet: bool,
    terminal: bool,
}

impl GuestHost {
    /// A host for a guest without memory.
    pub fn new(quiet: bool) -> GuestHost {
        GuestHost {
            recorder: None,
            output: Output::default(),
            starting: true,
            quiet,
            terminal: sys::is_terminal(0),
        }
    }
}

/// Asks for huge pages for a large piece of the guest's memory: what walks over tens of MiB waits
/// for address translation more than for anything else.
pub fn prefer_huge_pages(addr: u64, len: u64) {
    const LARGE: u64 = 4 << 20;
    if len >= LARGE {
        let start = page_floor(addr);
        // Where there are none, small pages do.
        let _ = sys::advise_huge(start as usize, (page_ceil(addr + len) - start) as usize);
    }
}

/// Pages are never executable: what runs is their translation.
fn protection(prot: Prot) -> usize {
    match prot {
        Prot::None => sys::PROT_NONE,
        Prot::Read => sys::PROT_READ,
        Prot::ReadWrite => sys::PROT_RW,
    }
}

impl Host for GuestHost {
    type Error = Failure;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) {
        let from = with_exposed_provenance(addr as usize);
        // SAFETY: the ABI reads only what is mapped and readable; `bytes` is memory of the host.
        unsafe { copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) {
        let to = with_exposed_provenance_mut(addr as usize);
        // SAFETY: the ABI writes only what is mapped and writable; `bytes` is memory of the host.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn map(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Failure> {
        let (at, size, prot) = (addr as usize, len as usize, protection(prot));
        let mapped = if self.starting {
            sys::map_new_at(at, size, prot)
        } else {
            // SAFETY: the ABI maps inside the guest's window, where Rust has no references.
            unsafe { sys::map_at(at, size, prot) }
        };
        mapped.map_err(|errno| Failure::Memory { addr, len, errno })?;
        if !self.starting {
            prefer_huge_pages(addr, len);
        }
        Ok(())
    }

    fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Failure> {
        // SAFETY: as for `map`.
        let unmapped = unsafe { sys::unmap(addr as usize, len as usize) };
        unmapped.map_err(|errno| Failure::Memory { addr, len, errno })
    }

    fn protect(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Failure> {
        // SAFETY: as for `map`.
        let done = unsafe { sys::protect(addr as usize, len as usize, protection(prot)) };
        done.map_err(|errno| Failure::Memory { addr, len, errno })
    }

    fn input(&mut self, addr: u64, len: u64) -> Result<u64, Errno> {
        loop {
            // SAFETY: the ABI has checked that the guest may write there.
            match unsafe { sys::read(0, addr as usize, len as usize) } {
                Ok(n) => return Ok(n as u64),
                Err(sys::Errno::EINTR) => {}
                Err(sys::Errno::EAGAIN) => sys::wait_ready(0, sys::READABLE),
                Err(error) => return Err(Errno(error.0)),
            }
        }
    }

    fn is_terminal(&mut self) -> bool {
        self.terminal
    }

    fn output(&mut self, fd: u32, addr: u64, len: u64) -> Result<(), Failure> {
        if self.recorder.is_some() {
            let start = with_exposed_provenance::<u8>(addr as usize);
            // SAFETY: the ABI has checked that the guest may read there, and the guest is not
            // running.
            let bytes = unsafe { core::slice::from_raw_parts(start, len as usize) };
            self.output.digest.update(bytes);
            self.output.len += len;
        }
        let mut done = 0;
        while done < len {
            match sys::write(fd as i32, (addr + done) as usize, (len - done) as usize) {
                Ok(n) => done += n as u64,
                Err(sys::Errno::EINTR) => {}
                Err(sys::Errno::EAGAIN) => sys::wait_ready(fd as i32, sys::WRITABLE),
                Err(errno) => return Err(Failure::Output { fd, errno }),
            }
        }
        Ok(())
    }

    fn record(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.recorder {
            Some(recorder) => recorder.event(bytes),
            None => Ok(()),
        }
    }

    fn record_guest(&mut self, addr: u64, len: u64) -> Result<(), Failure> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let start = with_exposed_provenance(addr as usize);
        // SAFETY: the ABI has checked that the guest may read there, and the guest is not running.
        recorder.event(unsafe { core::slice::from_raw_parts(start, len as usize) })
    }

    fn unknown_call(&mut self, number: u64) {
        if !self.quiet {
            say!("environment call {number} does not exist, the guest gets ENOSYS");
        }
    }
}
