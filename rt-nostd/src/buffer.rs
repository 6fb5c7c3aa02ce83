//! Bytes that grow: there is no allocator.

use crate::report::Failure;
use crate::sys;
use core::ptr::with_exposed_provenance_mut;

/// A growing run of bytes in a mapping of its own, kept to the end of the process.
pub struct Buffer {
    addr: usize,
    len: usize,
    capacity: usize,
}

const FIRST_CAPACITY: usize = 64 << 10;

fn failed(errno: sys::Errno) -> Failure {
    Failure::Host {
        what: "no memory for the trace's tables",
        errno,
    }
}

impl Buffer {
    /// An empty buffer.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn new() -> Result<Buffer, Failure> {
        let addr = sys::map(FIRST_CAPACITY, sys::PROT_RW).map_err(failed)?;
        Ok(Buffer {
            addr,
            len: 0,
            capacity: FIRST_CAPACITY,
        })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let len = self.len + bytes.len();
        if len > self.capacity {
            let capacity = len.next_power_of_two();
            // SAFETY: the mapping is this buffer's, and no slice of it is borrowed.
            let addr = unsafe { sys::remap(self.addr, self.capacity, capacity) };
            self.addr = addr.map_err(failed)?;
            self.capacity = capacity;
        }
        let start = self.len;
        self.len = len;
        self.bytes_mut()[start..].copy_from_slice(bytes);
        Ok(())
    }

    /// The bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        let start = with_exposed_provenance_mut(self.addr);
        // SAFETY: `len` bytes of the mapping are this buffer's alone, and zero at first.
        unsafe { core::slice::from_raw_parts_mut(start, self.len) }
    }

    /// Takes a buffer apart, to hand it to another thread.
    pub fn into_parts(self) -> [usize; 3] {
        [self.addr, self.len, self.capacity]
    }

    /// Puts a buffer together again.
    ///
    /// # Safety
    /// The parts come from [`Buffer::into_parts`] and are used once.
    pub unsafe fn from_parts([addr, len, capacity]: [usize; 3]) -> Buffer {
        Buffer {
            addr,
            len,
            capacity,
        }
    }
}
