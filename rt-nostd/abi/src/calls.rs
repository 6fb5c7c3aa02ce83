//! Environment calls: which one, and those that only answer or that change the memory map.

use crate::event::{begin, zeroed_range};
use crate::{Abi, Errno, Host, Prot, Region, number};
use hartlog_format::layout::{GUEST_END, GUEST_MIN, PAGE, page_ceil};

/// What an environment call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// a0 after the call.
    pub result: u64,
    /// The guest ended with this status.
    pub exit: Option<u8>,
}

/// Unknown calls that were named already.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    small: [u64; 16],
    others: [u64; 16],
    count: usize,
}

impl Named {
    pub(crate) const fn new() -> Named {
        Named {
            small: [0; 16],
            others: [0; 16],
            count: 0,
        }
    }

    /// Whether this is the first time. Of the numbers from 1024 on, the first 16 are known.
    fn first(&mut self, number: u64) -> bool {
        if number < 1024 {
            let word = &mut self.small[(number / 64) as usize];
            let bit = 1 << (number % 64);
            let first = *word & bit == 0;
            *word |= bit;
            return first;
        }
        let known = &self.others[..self.count];
        if known.len() == self.others.len() || known.contains(&number) {
            return false;
        }
        self.others[self.count] = number;
        self.count += 1;
        true
    }
}

const SIGABRT: u64 = 6;
/// Exit status of a guest that aborted, as a shell shows it.
const ABORTED: u8 = 128 + SIGABRT as u8;
/// Process and thread id of the guest.
const ID: u64 = 1;

/// `futex` operations without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME (`linux/futex.h`).
mod futex {
    pub(super) const FLAGS: u64 = 128 | 256;
    pub(super) const WAIT: u64 = 0;
    pub(super) const WAKE: u64 = 1;
    pub(super) const WAIT_BITSET: u64 = 9;
    pub(super) const WAKE_BITSET: u64 = 10;
}

/// `PROT_*` of `mmap` (`asm-generic/mman-common.h`).
const PROT_WRITE: u64 = 2;

/// `MAP_*` (`linux/mman.h`).
mod map {
    pub(super) const TYPE: u64 = 15;
    pub(super) const SHARED: u64 = 1;
    pub(super) const PRIVATE: u64 = 2;
    pub(super) const SHARED_VALIDATE: u64 = 3;
    pub(super) const FIXED: u64 = 0x10;
    pub(super) const ANONYMOUS: u64 = 0x20;
    pub(super) const FIXED_NOREPLACE: u64 = 0x10_0000;
}

fn prot(bits: u64) -> Prot {
    if bits & PROT_WRITE != 0 {
        Prot::ReadWrite
    } else if bits != 0 {
        Prot::Read
    } else {
        Prot::None
    }
}

/// Descriptors that the guest has.
pub(crate) fn is_open(fd: u64) -> bool {
    fd as u32 <= 2
}

/// Start and end of the pages from `addr` on that hold `len` bytes, if they are in the window.
fn pages(addr: u64, len: u64) -> Option<(u64, u64)> {
    if len == 0 || !addr.is_multiple_of(PAGE) || addr < GUEST_MIN {
        return None;
    }
    let end = addr.checked_add(page_ceil(len))?;
    (end <= GUEST_END).then_some((addr, end))
}

fn of(result: Result<u64, Errno>) -> u64 {
    result.unwrap_or_else(Errno::result)
}

/// The status with which the guest ends, if these registers ask for it.
pub fn exit_status(x: &[u64; 32]) -> Option<u8> {
    match x[17] {
        number::EXIT | number::EXIT_GROUP => Some(x[10] as u8),
        number::KILL | number::TKILL if is_abort(x[10], x[11]) => Some(ABORTED),
        number::TGKILL if is_self(x[10]) && is_abort(x[11], x[12]) => Some(ABORTED),
        _ => None,
    }
}

impl Abi {
    /// Performs the call that `x` asks for (a7 = number, a0 to a5 = arguments) and records its
    /// host event. `step` is the number of steps retired before the `ecall`. The caller sets a0.
    ///
    /// # Errors
    /// What the host could not do; the run cannot go on.
    pub fn call<H: Host>(
        &mut self,
        host: &mut H,
        x: &[u64; 32],
        step: u64,
    ) -> Result<Outcome, H::Error> {
        let a: [u64; 6] = [x[10], x[11], x[12], x[13], x[14], x[15]];
        let call = x[17];
        let exit = exit_status(x);
        if exit.is_some() {
            begin(host, step, a[0], 0)?;
            return Ok(Outcome { result: a[0], exit });
        }
        let result = match call {
            number::READ => self.read(host, step, a[0], a[1], a[2])?,
            number::WRITE => self.write(host, step, a[0], a[1], a[2])?,
            number::READV => self.readv(host, step, a[0], a[1], a[2])?,
            number::WRITEV => self.writev(host, step, a[0], a[1], a[2])?,
            number::BRK => self.brk(host, step, a[0])?,
            number::MMAP => self.mmap(host, step, a)?,
            number::MUNMAP => {
                let result = of(self.munmap(host, a[0], a[1])?);
                begin(host, step, result, 0)?;
                result
            }
            number::MPROTECT => {
                let result = of(self.mprotect(host, a[0], a[1], a[2])?);
                begin(host, step, result, 0)?;
                result
            }
            number::FSTAT
            | number::NEWFSTATAT
            | number::CLOCK_GETTIME
            | number::CLOCK_GETRES
            | number::GETTIMEOFDAY
            | number::UNAME
            | number::GETRLIMIT
            | number::PRLIMIT64
            | number::RT_SIGACTION
            | number::RT_SIGPROCMASK
            | number::SIGALTSTACK
            | number::RISCV_HWPROBE
            | number::GETRANDOM => self.inform(host, step, call, a)?,
            _ => {
                let result = of(self.answer(host, call, a));
                begin(host, step, result, 0)?;
                result
            }
        };
        Ok(Outcome { result, exit: None })
    }

    /// Whether the guest has more memory than its limit, or would have after the call that these
    /// registers ask for. Then the run ends in front of the `ecall`: the guest is told nothing that
    /// depends on the limit.
    pub fn over_limit(&self, x: Option<&[u64; 32]>) -> bool {
        let limit = self.memory_limit;
        if limit == u64::MAX {
            return false;
        }
        let fresh = match x {
            Some(x) => self.fresh(x),
            None => 0,
        };
        self.mapped() + fresh > limit
    }

    /// Bytes of the pages that a call would map where there are none.
    fn fresh(&self, x: &[u64; 32]) -> u64 {
        match x[17] {
            number::BRK => {
                let (old, new) = (page_ceil(self.brk), page_ceil(x[10]));
                if self.regions.is_free(old, new) {
                    new.saturating_sub(old)
                } else {
                    0
                }
            }
            number::MMAP => match self.place([x[10], x[11], x[12], x[13], x[14], x[15]]) {
                Ok((start, end)) => {
                    let there = self.regions.as_slice().iter();
                    let there = there.map(|r| r.end.min(end).saturating_sub(r.start.max(start)));
                    end - start - there.sum::<u64>()
                }
                Err(_) => 0,
            },
            _ => 0,
        }
    }

    /// Calls that touch no memory and change nothing.
    fn answer<H: Host>(&mut self, host: &mut H, call: u64, a: [u64; 6]) -> Result<u64, Errno> {
        let open = |error| Err(if is_open(a[0]) { error } else { Errno::EBADF });
        match call {
            number::IOCTL => open(Errno::ENOTTY),
            number::LSEEK => open(Errno::ESPIPE),
            number::CLOSE if is_open(a[0]) => Ok(0),
            number::CLOSE => Err(Errno::EBADF),
            number::SET_TID_ADDRESS | number::GETPID | number::GETTID => Ok(ID),
            number::GETPPID
            | number::GETUID
            | number::GETEUID
            | number::GETGID
            | number::GETEGID
            | number::SET_ROBUST_LIST
            | number::SCHED_YIELD
            | number::MADVISE
            | number::RISCV_FLUSH_ICACHE => Ok(0),
            number::FUTEX => match a[1] & !futex::FLAGS {
                futex::WAKE | futex::WAKE_BITSET => Ok(0),
                // There is no other thread that could wake this one.
                futex::WAIT | futex::WAIT_BITSET => Err(Errno::EAGAIN),
                _ => Err(Errno::ENOSYS),
            },
            number::KILL | number::TKILL if a[1] == 0 && is_self(a[0]) => Ok(0),
            number::TGKILL if a[2] == 0 && is_self(a[0]) && is_self(a[1]) => Ok(0),
            _ => {
                if self.unknown.first(call) {
                    host.unknown_call(call);
                }
                Err(Errno::ENOSYS)
            }
        }
    }

    /// Sets the program break; the result is the break, which did not change if it could not.
    fn brk<H: Host>(&mut self, host: &mut H, step: u64, wanted: u64) -> Result<u64, H::Error> {
        let (old, new) = (page_ceil(self.brk), page_ceil(wanted));
        let mut fresh = None;
        if wanted >= self.brk_start && wanted <= GUEST_END {
            if new > old {
                let room = self.regions.is_free(old, new)
                    && self.regions.set(old, new, Some(Prot::ReadWrite)).is_ok();
                if room {
                    host.map(old, new - old, Prot::ReadWrite)?;
                    fresh = Some((old, new - old));
                    self.brk = wanted;
                }
            } else if self.regions.set(new, old, None).is_ok() {
                if new < old {
                    host.unmap(new, old - new)?;
                }
                self.brk = wanted;
            }
        }
        begin(host, step, self.brk, fresh.is_some().into())?;
        if let Some((addr, len)) = fresh {
            zeroed_range(host, addr, len)?;
        }
        Ok(self.brk)
    }

    fn mmap<H: Host>(&mut self, host: &mut H, step: u64, a: [u64; 6]) -> Result<u64, H::Error> {
        match self.place(a) {
            Ok((start, end)) => {
                let prot = prot(a[2]);
                if self.regions.set(start, end, Some(prot)).is_err() {
                    let result = Errno::ENOMEM.result();
                    begin(host, step, result, 0)?;
                    return Ok(result);
                }
                host.map(start, end - start, prot)?;
                begin(host, step, start, 1)?;
                zeroed_range(host, start, end - start)?;
                Ok(start)
            }
            Err(error) => {
                begin(host, step, error.result(), 0)?;
                Ok(error.result())
            }
        }
    }

    /// Where a new mapping goes.
    fn place(&self, a: [u64; 6]) -> Result<(u64, u64), Errno> {
        let [addr, len, _, flags, fd, _] = a;
        let kind = flags & map::TYPE;
        if len == 0 || !matches!(kind, map::SHARED | map::PRIVATE | map::SHARED_VALIDATE) {
            return Err(Errno::EINVAL);
        }
        if flags & map::ANONYMOUS == 0 {
            return Err(if is_open(fd) {
                Errno::ENODEV
            } else {
                Errno::EBADF
            });
        }
        if len > GUEST_END {
            return Err(Errno::ENOMEM);
        }
        let len = page_ceil(len);
        if flags & (map::FIXED | map::FIXED_NOREPLACE) != 0 {
            if !addr.is_multiple_of(PAGE) {
                return Err(Errno::EINVAL);
            }
            let (start, end) = pages(addr, len).ok_or(Errno::ENOMEM)?;
            if flags & map::FIXED_NOREPLACE != 0 && !self.regions.is_free(start, end) {
                return Err(Errno::EEXIST);
            }
            return Ok((start, end));
        }
        // A wish is fulfilled if there is room.
        if let Some((start, end)) = pages(page_ceil(addr), len)
            && self.regions.is_free(start, end)
        {
            return Ok((start, end));
        }
        let end = self
            .regions
            .highest_gap(self.mmap_top, len)
            .ok_or(Errno::ENOMEM)?;
        Ok((end - len, end))
    }

    fn munmap<H: Host>(
        &mut self,
        host: &mut H,
        addr: u64,
        len: u64,
    ) -> Result<Result<u64, Errno>, H::Error> {
        let Some((start, end)) = pages(addr, len) else {
            return Ok(Err(Errno::EINVAL));
        };
        if self.regions.set(start, end, None).is_err() {
            return Ok(Err(Errno::ENOMEM));
        }
        host.unmap(start, end - start)?;
        Ok(Ok(0))
    }

    fn mprotect<H: Host>(
        &mut self,
        host: &mut H,
        addr: u64,
        len: u64,
        bits: u64,
    ) -> Result<Result<u64, Errno>, H::Error> {
        if !addr.is_multiple_of(PAGE) {
            return Ok(Err(Errno::EINVAL));
        }
        if len == 0 {
            return Ok(Ok(0));
        }
        // All or nothing: Linux would change the pages before the first that is not mapped.
        let Some((start, end)) = pages(addr, len).filter(|p| self.regions.is_mapped(p.0, p.1))
        else {
            return Ok(Err(Errno::ENOMEM));
        };
        let prot = prot(bits);
        if self.regions.set(start, end, Some(prot)).is_err() {
            return Ok(Err(Errno::ENOMEM));
        }
        host.protect(start, end - start, prot)?;
        Ok(Ok(0))
    }

    /// The region that holds an address.
    pub fn region(&self, addr: u64) -> Option<Region> {
        self.regions.find(addr)
    }
}

/// Whether a process or thread id means the guest.
fn is_self(id: u64) -> bool {
    matches!(id as i32, -1..=1)
}

fn is_abort(id: u64, signal: u64) -> bool {
    is_self(id) && signal == SIGABRT
}
