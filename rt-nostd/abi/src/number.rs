//! Numbers of the calls that exist (Linux `asm-generic/unistd.h`, and `asm/unistd.h` of RISC-V).

/// `ioctl`: ENOTTY.
pub const IOCTL: u64 = 29;
/// `close`: nothing happens to descriptors 0 to 2.
pub const CLOSE: u64 = 57;
/// `lseek`: ESPIPE.
pub const LSEEK: u64 = 62;
/// `read` of descriptor 0.
pub const READ: u64 = 63;
/// `write` to descriptors 1 and 2.
pub const WRITE: u64 = 64;
/// `readv` of descriptor 0.
pub const READV: u64 = 65;
/// `writev` to descriptors 1 and 2.
pub const WRITEV: u64 = 66;
/// `newfstatat`: of descriptors 0 to 2 by an empty path.
pub const NEWFSTATAT: u64 = 79;
/// `fstat` of descriptors 0 to 2.
pub const FSTAT: u64 = 80;
/// `exit`.
pub const EXIT: u64 = 93;
/// `exit_group`.
pub const EXIT_GROUP: u64 = 94;
/// `set_tid_address`: 1.
pub const SET_TID_ADDRESS: u64 = 96;
/// `futex`: wakes nobody, never waits.
pub const FUTEX: u64 = 98;
/// `set_robust_list`: 0.
pub const SET_ROBUST_LIST: u64 = 99;
/// `clock_gettime`: see [`crate::REALTIME_START`].
pub const CLOCK_GETTIME: u64 = 113;
/// `clock_getres`: 1 ns.
pub const CLOCK_GETRES: u64 = 114;
/// `sched_yield`: 0.
pub const SCHED_YIELD: u64 = 124;
/// `kill`: SIGABRT to itself.
pub const KILL: u64 = 129;
/// `tkill`: SIGABRT to itself.
pub const TKILL: u64 = 130;
/// `tgkill`: SIGABRT to itself.
pub const TGKILL: u64 = 131;
/// `sigaltstack`: there are no signals.
pub const SIGALTSTACK: u64 = 132;
/// `rt_sigaction`: there are no signals.
pub const RT_SIGACTION: u64 = 134;
/// `rt_sigprocmask`: there are no signals.
pub const RT_SIGPROCMASK: u64 = 135;
/// `uname`.
pub const UNAME: u64 = 160;
/// `getrlimit`: the size of the stack.
pub const GETRLIMIT: u64 = 163;
/// `gettimeofday`: see [`crate::REALTIME_START`].
pub const GETTIMEOFDAY: u64 = 169;
/// `getpid`: 1.
pub const GETPID: u64 = 172;
/// `getppid`: 0.
pub const GETPPID: u64 = 173;
/// `getuid`: 0.
pub const GETUID: u64 = 174;
/// `geteuid`: 0.
pub const GETEUID: u64 = 175;
/// `getgid`: 0.
pub const GETGID: u64 = 176;
/// `getegid`: 0.
pub const GETEGID: u64 = 177;
/// `gettid`: 1.
pub const GETTID: u64 = 178;
/// `brk`.
pub const BRK: u64 = 214;
/// `munmap`.
pub const MUNMAP: u64 = 215;
/// `mmap`: anonymous memory.
pub const MMAP: u64 = 222;
/// `mprotect`.
pub const MPROTECT: u64 = 226;
/// `madvise`: 0.
pub const MADVISE: u64 = 233;
/// `riscv_hwprobe`.
pub const RISCV_HWPROBE: u64 = 258;
/// `riscv_flush_icache`: 0, since code does not change.
pub const RISCV_FLUSH_ICACHE: u64 = 259;
/// `prlimit64`: the size of the stack.
pub const PRLIMIT64: u64 = 261;
/// `getrandom`: see [`crate::random`].
pub const GETRANDOM: u64 = 278;
