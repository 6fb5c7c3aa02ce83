//! Error numbers of Linux (`asm-generic/errno.h`).

/// A guest-visible error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

impl Errno {
    /// Operation not permitted.
    pub const EPERM: Errno = Errno(1);
    /// No such file or directory.
    pub const ENOENT: Errno = Errno(2);
    /// No such process.
    pub const ESRCH: Errno = Errno(3);
    /// Input/output error.
    pub const EIO: Errno = Errno(5);
    /// Bad file descriptor.
    pub const EBADF: Errno = Errno(9);
    /// Try again.
    pub const EAGAIN: Errno = Errno(11);
    /// Out of memory.
    pub const ENOMEM: Errno = Errno(12);
    /// Bad address.
    pub const EFAULT: Errno = Errno(14);
    /// File exists.
    pub const EEXIST: Errno = Errno(17);
    /// No such device.
    pub const ENODEV: Errno = Errno(19);
    /// Invalid argument.
    pub const EINVAL: Errno = Errno(22);
    /// Not a terminal.
    pub const ENOTTY: Errno = Errno(25);
    /// Illegal seek.
    pub const ESPIPE: Errno = Errno(29);
    /// No such call.
    pub const ENOSYS: Errno = Errno(38);

    /// As a0 shows it: the negated number.
    pub const fn result(self) -> u64 {
        (self.0 as u64).wrapping_neg()
    }
}
