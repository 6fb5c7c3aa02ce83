//! System calls of the host: no libc is linked.

use core::arch::asm;
use core::ffi::CStr;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use hartlog_filter::{Instruction, number, value};

/// Error number of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// Interrupted by a signal.
    pub const EINTR: Errno = Errno(4);
    /// Input/output error.
    pub const EIO: Errno = Errno(5);
    /// Try again.
    pub const EAGAIN: Errno = Errno(11);
    /// The address range is taken.
    pub const EEXIST: Errno = Errno(17);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
}

/// Name and text of the errors that are likely here.
const ERRORS: [(u16, &str); 24] = [
    (1, "Operation not permitted (EPERM)"),
    (2, "No such file or directory (ENOENT)"),
    (4, "Interrupted system call (EINTR)"),
    (5, "Input/output error (EIO)"),
    (6, "No such device or address (ENXIO)"),
    (9, "Bad file descriptor (EBADF)"),
    (11, "Resource temporarily unavailable (EAGAIN)"),
    (12, "Cannot allocate memory (ENOMEM)"),
    (13, "Permission denied (EACCES)"),
    (14, "Bad address (EFAULT)"),
    (17, "File exists (EEXIST)"),
    (20, "Not a directory (ENOTDIR)"),
    (21, "Is a directory (EISDIR)"),
    (22, "Invalid argument (EINVAL)"),
    (23, "Too many open files in system (ENFILE)"),
    (24, "Too many open files (EMFILE)"),
    (26, "Text file busy (ETXTBSY)"),
    (27, "File too large (EFBIG)"),
    (28, "No space left on device (ENOSPC)"),
    (30, "Read-only file system (EROFS)"),
    (32, "Broken pipe (EPIPE)"),
    (36, "File name too long (ENAMETOOLONG)"),
    (38, "Function not implemented (ENOSYS)"),
    (122, "Disk quota exceeded (EDQUOT)"),
];

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ERRORS.iter().find(|(n, _)| *n == self.0) {
            Some((_, text)) => f.write_str(text),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// Performs a system call.
///
/// # Safety
/// That of the call.
unsafe fn call(number: u32, a: [usize; 6]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel preserves all registers but rax, rcx and r11; the rest is the caller's.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize as isize => result,
            in("rdi") a[0],
            in("rsi") a[1],
            in("rdx") a[2],
            in("r10") a[3],
            in("r8") a[4],
            in("r9") a[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    if (-4095..0).contains(&result) {
        Err(Errno(-result as u16))
    } else {
        Ok(result as usize)
    }
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    loop {
        // SAFETY: it does not return.
        let _ = unsafe { call(number::EXIT_GROUP, [status.into(), 0, 0, 0, 0, 0]) };
    }
}

/// Ends the calling thread.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: it does not return.
        let _ = unsafe { call(number::EXIT, [0; 6]) };
    }
}

/// Reads into memory of the guest.
///
/// # Errors
/// That of `read`.
///
/// # Safety
/// `len` bytes at `addr` are no memory that Rust knows of, or are borrowed for this call.
pub unsafe fn read(fd: i32, addr: usize, len: usize) -> Result<usize, Errno> {
    // SAFETY: the kernel writes to no more than these bytes.
    unsafe { call(number::READ, [fd as usize, addr, len, 0, 0, 0]) }
}

/// Writes bytes that may be the guest's.
///
/// # Errors
/// That of `write`.
pub fn write(fd: i32, addr: usize, len: usize) -> Result<usize, Errno> {
    // SAFETY: the kernel only reads, and refuses what is not mapped.
    unsafe { call(number::WRITE, [fd as usize, addr, len, 0, 0, 0]) }
}

/// A part of a [`writev`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct IoVec<'a> {
    addr: usize,
    len: usize,
    bytes: PhantomData<&'a [u8]>,
}

impl<'a> IoVec<'a> {
    /// All of these bytes.
    pub fn new(bytes: &'a [u8]) -> IoVec<'a> {
        IoVec {
            addr: bytes.as_ptr().expose_provenance(),
            len: bytes.len(),
            bytes: PhantomData,
        }
    }

    /// Bytes that are left.
    pub fn left(&self) -> usize {
        self.len
    }

    /// Leaves out the first `n` bytes, at most all.
    pub fn advance(&mut self, n: usize) {
        let n = n.min(self.len);
        self.addr += n;
        self.len -= n;
    }
}

/// Writes the parts one after another.
///
/// # Errors
/// That of `writev`.
pub fn writev(fd: i32, parts: &[IoVec<'_>]) -> Result<usize, Errno> {
    let args = [fd as usize, parts.as_ptr().addr(), parts.len(), 0, 0, 0];
    // SAFETY: the kernel only reads, and refuses what is not mapped.
    unsafe { call(number::WRITEV, args) }
}

/// `POLLIN` of [`wait_ready`].
pub const READABLE: u16 = 1;
/// `POLLOUT` of [`wait_ready`].
pub const WRITABLE: u16 = 4;

/// Waits until a descriptor in non-blocking mode is ready (or has an error).
pub fn wait_ready(fd: i32, events: u16) {
    #[repr(C)]
    struct PollFd {
        fd: i32,
        events: u16,
        revents: u16,
    }
    let mut poll = PollFd {
        fd,
        events,
        revents: 0,
    };
    let forever = -1isize as usize;
    let args = [(&raw mut poll).expose_provenance(), 1, forever, 0, 0, 0];
    // SAFETY: `poll` is one structure and lives through the call. An error shows in the next call
    // that uses the descriptor.
    let _ = unsafe { call(number::POLL, args) };
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: i32) -> bool {
    const TCGETS: usize = 0x5401;
    let mut termios = [0u64; 16];
    let args = [
        fd as usize,
        TCGETS,
        termios.as_mut_ptr().expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel's `struct termios` has 36 bytes.
    unsafe { call(number::IOCTL, args) }.is_ok()
}

/// Opens a file to write it from its start; it is created with the mode that the umask allows. Its
/// descriptor is none of the standard streams', even if those are closed.
///
/// # Errors
/// That of `openat`.
pub fn create(path: &CStr) -> Result<i32, Errno> {
    const AT_FDCWD: isize = -100;
    const WRONLY_CREAT_TRUNC_CLOEXEC: usize = 0o1 | 0o100 | 0o1000 | 0o2000000;
    let args = [
        AT_FDCWD as usize,
        path.as_ptr().addr(),
        WRONLY_CREAT_TRUNC_CLOEXEC,
        0o666,
        0,
        0,
    ];
    // SAFETY: the path ends with a NUL.
    let fd = unsafe { call(number::OPENAT, args) }?;
    if fd > 2 {
        return Ok(fd as i32);
    }
    // A standard stream is closed, and its number was free. What the guest or a message writes to
    // it must not get into the file.
    const F_DUPFD_CLOEXEC: usize = 1030;
    // SAFETY: no memory is touched, and the descriptor is this function's.
    unsafe {
        let above = call(number::FCNTL, [fd, F_DUPFD_CLOEXEC, 3, 0, 0, 0]);
        let _ = call(number::CLOSE, [fd, 0, 0, 0, 0, 0]);
        above.map(|fd| fd as i32)
    }
}

/// Sets the size of a file.
///
/// # Errors
/// That of `ftruncate`.
pub fn truncate(fd: i32, len: u64) -> Result<(), Errno> {
    // SAFETY: no memory is touched.
    unsafe { call(number::FTRUNCATE, [fd as usize, len as usize, 0, 0, 0, 0]) }.map(drop)
}

/// `PROT_NONE`.
pub const PROT_NONE: usize = value::PROT_NONE as usize;
/// `PROT_READ`.
pub const PROT_READ: usize = value::PROT_READ as usize;
/// `PROT_READ | PROT_WRITE`.
pub const PROT_RW: usize = value::PROT_RW as usize;

const MAP_FRESH: usize = value::MAP_FRESH as usize;
const MAP_FIXED: usize = value::MAP_FIXED as usize;
const MAP_FIXED_NOREPLACE: usize = value::MAP_FIXED_NOREPLACE as usize;
const NO_FD: usize = value::NO_FD as usize;

/// Maps fresh zeroed memory that nothing else uses; pages are committed when touched.
///
/// # Errors
/// That of `mmap`.
pub fn map(len: usize, prot: usize) -> Result<usize, Errno> {
    let args = [0, len, prot, MAP_FRESH, NO_FD, 0];
    // SAFETY: without a wish for an address, the kernel takes one that is free.
    unsafe { call(number::MMAP, args) }
}

/// Maps fresh zeroed memory at an address where nothing is mapped yet.
///
/// # Errors
/// That of `mmap`; [`Errno::EEXIST`] if something is there.
pub fn map_new_at(addr: usize, len: usize, prot: usize) -> Result<(), Errno> {
    let flags = MAP_FRESH | MAP_FIXED_NOREPLACE;
    let args = [addr, len, prot, flags, NO_FD, 0];
    // SAFETY: nothing is replaced.
    let got = unsafe { call(number::MMAP, args) }?;
    // Kernels before 4.17 take the address for a wish.
    if got == addr {
        Ok(())
    } else {
        Err(Errno::EEXIST)
    }
}

/// Maps fresh zeroed memory, whatever was there.
///
/// # Errors
/// That of `mmap`.
///
/// # Safety
/// Nothing refers to what was there.
pub unsafe fn map_at(addr: usize, len: usize, prot: usize) -> Result<(), Errno> {
    let flags = MAP_FRESH | MAP_FIXED;
    // SAFETY: the caller's.
    unsafe { call(number::MMAP, [addr, len, prot, flags, NO_FD, 0]) }.map(drop)
}

/// Maps a file, shared with whoever else maps it, whatever was there.
///
/// # Errors
/// That of `mmap`.
///
/// # Safety
/// Nothing refers to what was there.
pub unsafe fn map_shared_at(addr: usize, len: usize, fd: i32) -> Result<(), Errno> {
    const MAP_SHARED_NORESERVE: usize = 0x1 | 0x4000;
    let flags = MAP_SHARED_NORESERVE | MAP_FIXED;
    // SAFETY: the caller's.
    unsafe { call(number::MMAP, [addr, len, PROT_RW, flags, fd as usize, 0]) }.map(drop)
}

/// Forbids that a file in memory changes its size, for good.
///
/// # Errors
/// That of `fcntl`.
pub fn seal_size(fd: i32) -> Result<(), Errno> {
    const F_ADD_SEALS: usize = 1033;
    const SEAL_SHRINK_GROW: usize = 1 | 2 | 4;
    let args = [fd as usize, F_ADD_SEALS, SEAL_SHRINK_GROW, 0, 0, 0];
    // SAFETY: no memory is touched.
    unsafe { call(number::FCNTL, args) }.map(drop)
}

/// Closes a descriptor.
pub fn close(fd: i32) {
    // SAFETY: no memory is touched. There is nothing to do about an error.
    let _ = unsafe { call(number::CLOSE, [fd as usize, 0, 0, 0, 0, 0]) };
}

/// Asks for a signal when the parent of this process ends.
///
/// # Errors
/// That of `prctl`.
pub fn signal_when_parent_ends(signal: i32) -> Result<(), Errno> {
    const PR_SET_PDEATHSIG: usize = 1;
    let args = [PR_SET_PDEATHSIG, signal as usize, 0, 0, 0, 0];
    // SAFETY: no memory is touched.
    unsafe { call(number::PRCTL, args) }.map(drop)
}

/// The parent of this process.
pub fn parent() -> i32 {
    // SAFETY: no memory is touched.
    unsafe { call(number::GETPPID, [0; 6]) }.map_or(0, |pid| pid as i32)
}

/// Grows a mapping; it may move.
///
/// # Errors
/// That of `mremap`.
///
/// # Safety
/// `addr` and `old` are a whole mapping, and nothing refers to it but the caller.
pub unsafe fn remap(addr: usize, old: usize, new: usize) -> Result<usize, Errno> {
    const MAY_MOVE: usize = value::MREMAP_MAYMOVE as usize;
    // SAFETY: the caller's.
    unsafe { call(number::MREMAP, [addr, old, new, MAY_MOVE, 0, 0]) }
}

/// Unmaps pages.
///
/// # Errors
/// That of `munmap`.
///
/// # Safety
/// Nothing refers to them.
pub unsafe fn unmap(addr: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: the caller's.
    unsafe { call(number::MUNMAP, [addr, len, 0, 0, 0, 0]) }.map(drop)
}

/// Changes the protection of pages.
///
/// # Errors
/// That of `mprotect`.
///
/// # Safety
/// What refers to them does no more than the protection allows.
pub unsafe fn protect(addr: usize, len: usize, prot: usize) -> Result<(), Errno> {
    // SAFETY: the caller's.
    unsafe { call(number::MPROTECT, [addr, len, prot, 0, 0, 0]) }.map(drop)
}

/// Asks for huge pages.
///
/// # Errors
/// That of `madvise`.
pub fn advise_huge(addr: usize, len: usize) -> Result<(), Errno> {
    const ADVICE: usize = value::MADV_HUGEPAGE as usize;
    // SAFETY: contents do not change.
    unsafe { call(number::MADVISE, [addr, len, ADVICE, 0, 0, 0]) }.map(drop)
}

/// Commits pages, as writing to each would.
///
/// # Errors
/// That of `madvise`: [`Errno::EINVAL`] before Linux 5.14.
pub fn populate(addr: usize, len: usize) -> Result<(), Errno> {
    const ADVICE: usize = value::MADV_POPULATE_WRITE as usize;
    // SAFETY: contents do not change.
    unsafe { call(number::MADVISE, [addr, len, ADVICE, 0, 0, 0]) }.map(drop)
}

/// Gives pages of a mapping back (if it is shared, those of the file); they read as zero
/// afterwards.
///
/// # Errors
/// That of `madvise`.
///
/// # Safety
/// Nothing relies on what is in them.
pub unsafe fn discard(addr: usize, len: usize, shared: bool) -> Result<(), Errno> {
    let advice = if shared {
        value::MADV_REMOVE
    } else {
        value::MADV_DONTNEED
    };
    // SAFETY: the caller's.
    unsafe { call(number::MADVISE, [addr, len, advice as usize, 0, 0, 0]) }.map(drop)
}

/// Commits pages and keeps them in memory.
///
/// # Errors
/// That of `mlock`.
pub fn lock(addr: usize, len: usize) -> Result<(), Errno> {
    // SAFETY: contents do not change.
    unsafe { call(number::MLOCK, [addr, len, 0, 0, 0, 0]) }.map(drop)
}

/// A limit of this process and how far it may be raised, after it was set if there is a new one.
fn limit(which: usize, new: Option<[u64; 2]>) -> Result<[u64; 2], Errno> {
    let mut old = [u64::MAX; 2];
    let new = new.as_ref().map_or(0, |n| n.as_ptr().expose_provenance());
    let args = [0, which, new, old.as_mut_ptr().expose_provenance(), 0, 0];
    // SAFETY: `struct rlimit64` has two words; `new` is one or null.
    unsafe { call(number::PRLIMIT64, args) }?;
    Ok(old)
}

/// How much memory may be locked, in bytes (`RLIMIT_MEMLOCK`); without end if it is not known.
pub fn lock_limit() -> u64 {
    const RLIMIT_MEMLOCK: usize = 8;
    limit(RLIMIT_MEMLOCK, None).map_or(u64::MAX, |limit| limit[0])
}

/// Lets the stack of this process grow to `len` bytes (`RLIMIT_STACK`).
///
/// # Errors
/// That of `prlimit64`, if it has to be allowed and is not.
pub fn allow_stack(len: u64) -> Result<(), Errno> {
    const RLIMIT_STACK: usize = 3;
    match limit(RLIMIT_STACK, None) {
        Ok([now, most]) if now < len => limit(RLIMIT_STACK, Some([len, most])).map(drop),
        _ => Ok(()),
    }
}

/// Number of processors that this process may run on, at least 1.
pub fn processors() -> u32 {
    let mut set = [0u64; 128];
    let args = [
        0,
        size_of_val(&set),
        set.as_mut_ptr().expose_provenance(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel writes at most the size that it is told.
    let _ = unsafe { call(number::SCHED_GETAFFINITY, args) };
    set.iter().map(|w| w.count_ones()).sum::<u32>().max(1)
}

/// Time of a clock that only goes forward, in nanoseconds.
pub fn monotonic() -> u64 {
    const CLOCK_MONOTONIC: usize = value::CLOCK_MONOTONIC as usize;
    let mut time = [0u64; 2];
    let args = [
        CLOCK_MONOTONIC,
        time.as_mut_ptr().expose_provenance(),
        0,
        0,
        0,
        0,
    ];
    // SAFETY: `struct timespec` has two words.
    let _ = unsafe { call(number::CLOCK_GETTIME, args) };
    time[0] * 1_000_000_000 + time[1]
}

const FUTEX_WAIT: usize = value::FUTEX_WAIT as usize;
const FUTEX_WAKE: usize = value::FUTEX_WAKE as usize;

/// Waits until woken, if the word has this value. May return early.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    futex_wait_for(word, value, None);
}

/// The same, for so many nanoseconds at most (less than a second).
pub fn futex_wait_for(word: &AtomicU32, value: u32, nanoseconds: Option<u64>) {
    let timeout = [0, nanoseconds.unwrap_or(0)];
    let args = [
        word.as_ptr().expose_provenance(),
        FUTEX_WAIT,
        value as usize,
        nanoseconds.map_or(0, |_| timeout.as_ptr().expose_provenance()),
        0,
        0,
    ];
    // SAFETY: the word and the timeout (`struct timespec`) live through the call.
    let _ = unsafe { call(number::FUTEX, args) };
}

/// Attempts at a wake-up.
const WAKE_ATTEMPTS: u32 = 1000;

/// Wakes everybody who waits on the word.
pub fn futex_wake(word: &AtomicU32) {
    let all = i32::MAX as usize;
    let args = [word.as_ptr().expose_provenance(), FUTEX_WAKE, all, 0, 0, 0];
    // A wake-up that fails has woken nobody, who would wait for ever. No kernel is known to refuse
    // one, but what stands in between (a tracer, a filter of the host's) may.
    for _ in 0..WAKE_ATTEMPTS {
        // SAFETY: the word is not touched.
        if unsafe { call(number::FUTEX, args) }.is_ok() {
            return;
        }
    }
}

/// What happens on a signal (the kernel's `struct sigaction`).
#[repr(C)]
pub struct SigAction {
    /// Address of the handler, or `SIG_IGN`.
    pub handler: usize,
    /// `SA_*`.
    pub flags: u64,
    /// Address of what the handler returns to.
    pub restorer: usize,
    /// Signals that are blocked in the handler.
    pub mask: u64,
}

/// Sets what happens on a signal.
///
/// # Errors
/// That of `rt_sigaction`.
///
/// # Safety
/// Handler and restorer are code for this purpose.
pub unsafe fn set_action(signal: i32, action: &SigAction) -> Result<(), Errno> {
    let args = [signal as usize, (&raw const *action).addr(), 0, 8, 0, 0];
    // SAFETY: the caller's.
    unsafe { call(number::RT_SIGACTION, args) }.map(drop)
}

/// Sets the stack of signal handlers. It is used also when `rsp` happens to point into it
/// (`SS_AUTODISARM`), since generated code counts in `rsp`.
///
/// # Errors
/// That of `sigaltstack`.
///
/// # Safety
/// The memory is used for nothing else, for good.
pub unsafe fn set_signal_stack(addr: usize, len: usize) -> Result<(), Errno> {
    const SS_AUTODISARM: u64 = 1 << 31;
    let set = |flags: u64| {
        let stack = [addr as u64, flags, len as u64];
        let args = [stack.as_ptr().addr(), 0, 0, 0, 0, 0];
        // SAFETY: `stack_t` has three words; the rest is the caller's.
        unsafe { call(number::SIGALTSTACK, args) }.map(drop)
    };
    // Kernels before 4.7 do not know the flag.
    set(SS_AUTODISARM).or_else(|_| set(0))
}

/// Makes the kernel refuse, from now on and for good, what a filter does not allow, to every
/// thread of the process.
///
/// # Errors
/// That of `prctl` or `seccomp`.
pub fn filter_calls(filter: &[Instruction]) -> Result<(), Errno> {
    const PR_SET_NO_NEW_PRIVS: usize = 38;
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    // All threads; without the mitigations that older kernels force on filtered processes: there
    // is nothing in this process that its guest may not know.
    const TSYNC: usize = 1;
    const SPEC_ALLOW: usize = 4;
    #[repr(C)]
    struct Program {
        len: u16,
        filter: *const Instruction,
    }
    let program = Program {
        len: filter.len() as u16,
        filter: filter.as_ptr(),
    };
    let at = (&raw const program).expose_provenance();
    let set = |flags| {
        let args = [SECCOMP_SET_MODE_FILTER, flags, at, 0, 0, 0];
        // SAFETY: the kernel reads the program, which lives through the call. Calls that are
        // refused do nothing.
        unsafe { call(number::SECCOMP, args) }
    };
    // SAFETY: no memory is touched. Without privileges, only who gives up new ones may filter.
    unsafe { call(number::PRCTL, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0]) }?;
    // Kernels before 4.17 do not know the second flag.
    match set(TSYNC | SPEC_ALLOW).or_else(|_| set(TSYNC))? {
        0 => Ok(()),
        // A thread that could not follow.
        _ => Err(Errno::EAGAIN),
    }
}
