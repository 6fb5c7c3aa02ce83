//! What the ABI needs from whoever runs the guest.

use crate::Errno;

/// What the guest may do with a page. There is no write-only page, and pages that hold code can
/// be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Prot {
    /// Nothing.
    None = 0,
    /// Load.
    Read = 1,
    /// Load and store.
    ReadWrite = 2,
}

/// Memory, files and trace of a run.
///
/// Addresses and lengths of [`map`](Host::map), [`unmap`](Host::unmap) and
/// [`protect`](Host::protect) are multiples of the page size and inside the guest's window. The
/// other methods are called only for memory that is mapped with the protection that they need:
/// the ABI has checked it against its own map of the guest's memory.
///
/// An `Err` ends the run at once: the host could not do its part, and the guest must not see that.
/// The event of the call is then not complete.
pub trait Host {
    /// What the host could not do.
    type Error;

    /// Copies guest memory into `bytes`.
    fn read(&mut self, addr: u64, bytes: &mut [u8]);

    /// Copies `bytes` into guest memory.
    fn write(&mut self, addr: u64, bytes: &[u8]);

    /// Maps fresh pages that read as zero. Pages that were mapped there are replaced.
    ///
    /// # Errors
    /// When the host has no memory.
    fn map(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Self::Error>;

    /// Unmaps pages; some of them may not be mapped.
    ///
    /// # Errors
    /// When the host cannot.
    fn unmap(&mut self, addr: u64, len: u64) -> Result<(), Self::Error>;

    /// Changes the protection of pages that are all mapped.
    ///
    /// # Errors
    /// When the host cannot.
    fn protect(&mut self, addr: u64, len: u64, prot: Prot) -> Result<(), Self::Error>;

    /// Reads up to `len` (not 0) bytes of standard input into guest memory and returns how many;
    /// 0 = end of input. One system call: the ABI repeats it. Interrupted calls are repeated by
    /// the host.
    ///
    /// # Errors
    /// The error of the system call; the guest sees it.
    fn input(&mut self, addr: u64, len: u64) -> Result<u64, Errno>;

    /// Whether standard input is a terminal: then a read ends with what one system call gives.
    fn is_terminal(&mut self) -> bool;

    /// Writes `len` bytes of guest memory to standard output (`fd` 1) or error (2), all of them.
    ///
    /// # Errors
    /// When they could not be written.
    fn output(&mut self, fd: u32, addr: u64, len: u64) -> Result<(), Self::Error>;

    /// Appends bytes to the host events of the chunk.
    ///
    /// # Errors
    /// When there is no room.
    fn record(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Appends guest memory, as it is now, to the host events of the chunk.
    ///
    /// # Errors
    /// When there is no room.
    fn record_guest(&mut self, addr: u64, len: u64) -> Result<(), Self::Error>;

    /// The guest made a call that does not exist here and gets ENOSYS; said once per number.
    fn unknown_call(&mut self, number: u64);
}
