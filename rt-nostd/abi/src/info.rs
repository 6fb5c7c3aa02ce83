//! Calls that fill a structure of the guest.

use crate::calls::is_open;
use crate::event::{begin, guest_range};
use crate::{Abi, Errno, Host, MAX_TRANSFER, number, random};
use hartlog_format::layout::STACK_SIZE;
use hartlog_format::trace::range;

/// What `CLOCK_REALTIME` shows at step 0, in seconds since 1970: the start of the year 2000. Other
/// clocks start at 0. All advance by 1 ns per retired instruction.
pub const REALTIME_START: u64 = 946_684_800;

const NANOS: u64 = 1_000_000_000;
const CLOCK_REALTIME: u64 = 0;
const CLOCK_REALTIME_COARSE: u64 = 5;
/// Highest number of a clock (`CLOCK_TAI`, `linux/time.h`).
const CLOCK_LAST: u64 = 11;
const AT_EMPTY_PATH: u64 = 0x1000;
const RLIMIT_STACK: u64 = 3;
const RLIM_NLIMITS: u64 = 16;
const RLIM_INFINITY: u64 = u64::MAX;
/// `sa_handler`, `sa_flags`, `sa_mask` (RISC-V has no restorer).
const SIGACTION_BYTES: usize = 24;
const SIGNALS: u64 = 64;
const SIGSET_BYTES: u64 = 8;
const SS_DISABLE: u64 = 2;
const STAT_BYTES: usize = 128;
const UTSNAME_FIELD: usize = 65;
/// Most pairs of a `riscv_hwprobe` call.
const MAX_PAIRS: u64 = 64;

/// What a call puts into guest memory: nothing, or the first `len` of these bytes at `addr`.
struct Reply {
    addr: u64,
    len: usize,
    bytes: [u8; 6 * UTSNAME_FIELD],
}

impl Reply {
    const NONE: Reply = Reply {
        addr: 0,
        len: 0,
        bytes: [0; 6 * UTSNAME_FIELD],
    };

    fn zeroed(addr: u64, len: usize) -> Reply {
        Reply {
            addr,
            len,
            ..Reply::NONE
        }
    }

    fn words(addr: u64, words: &[u64]) -> Reply {
        let mut reply = Reply::zeroed(addr, 8 * words.len());
        for (i, word) in words.iter().enumerate() {
            reply.put(8 * i, &word.to_le_bytes());
        }
        reply
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The guest passed no address: it does not want the answer.
    fn optional(self) -> Reply {
        if self.addr == 0 { Reply::NONE } else { self }
    }
}

impl Abi {
    pub(crate) fn inform<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        call: u64,
        a: [u64; 6],
    ) -> Result<u64, H::Error> {
        let reply = match call {
            number::GETRANDOM => return self.getrandom(host, step, a[0], a[1], a[2]),
            number::RISCV_HWPROBE => return self.hwprobe(host, step, a),
            number::NEWFSTATAT => return self.newfstatat(host, step, a),
            number::FSTAT => stat(a[0], a[1]),
            number::CLOCK_GETTIME => clock(a[0], step).map(|t| Reply::words(a[1], &t)),
            number::CLOCK_GETRES => {
                clock(a[0], step).map(|_| Reply::words(a[1], &[0, 1]).optional())
            }
            number::GETTIMEOFDAY => {
                // The time zone (second argument) is obsolete and not touched.
                let time = [REALTIME_START + step / NANOS, step % NANOS / 1000];
                Ok(Reply::words(a[0], &time).optional())
            }
            number::UNAME => Ok(uname(a[0])),
            number::GETRLIMIT => limit(a[0], a[1]),
            number::PRLIMIT64 if !matches!(a[0] as i32, 0 | 1) => Err(Errno::ESRCH),
            number::PRLIMIT64 if a[2] != 0 => Err(Errno::EPERM),
            number::PRLIMIT64 => limit(a[1], a[3]).map(Reply::optional),
            number::RT_SIGACTION if a[0] == 0 || a[0] > SIGNALS => Err(Errno::EINVAL),
            number::RT_SIGACTION => Ok(Reply::zeroed(a[2], SIGACTION_BYTES).optional()),
            number::RT_SIGPROCMASK if a[3] != SIGSET_BYTES => Err(Errno::EINVAL),
            number::RT_SIGPROCMASK => Ok(Reply::zeroed(a[2], SIGSET_BYTES as usize).optional()),
            _ => Ok(Reply::words(a[1], &[0, SS_DISABLE, 0]).optional()),
        };
        self.reply(host, step, reply)
    }

    fn reply<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        reply: Result<Reply, Errno>,
    ) -> Result<u64, H::Error> {
        let reply = reply.and_then(|r| {
            let ok = self.regions.accessible(r.addr, r.len as u64, true);
            if ok { Ok(r) } else { Err(Errno::EFAULT) }
        });
        match reply {
            Ok(Reply { addr, len, bytes }) => {
                begin(host, step, 0, (len > 0).into())?;
                if len > 0 {
                    host.write(addr, &bytes[..len]);
                    guest_range(host, addr, len as u64, range::WRITTEN)?;
                }
                Ok(0)
            }
            Err(error) => {
                begin(host, step, error.result(), 0)?;
                Ok(error.result())
            }
        }
    }

    fn getrandom<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        buf: u64,
        len: u64,
        flags: u64,
    ) -> Result<u64, H::Error> {
        /// GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE (`linux/random.h`).
        const FLAGS: u64 = 7;
        let len = len.min(MAX_TRANSFER);
        if flags & !FLAGS != 0 {
            return self.reply(host, step, Err(Errno::EINVAL));
        }
        if !self.regions.accessible(buf, len, true) {
            return self.reply(host, step, Err(Errno::EFAULT));
        }
        let mut done = 0;
        while done < len {
            let word = random::word(self.random).to_le_bytes();
            self.random = self.random.wrapping_add(1);
            let part = (len - done).min(8);
            host.write(buf + done, &word[..part as usize]);
            done += part;
        }
        begin(host, step, len, (len > 0).into())?;
        if len > 0 {
            guest_range(host, buf, len, range::WRITTEN)?;
        }
        Ok(len)
    }

    /// `fstatat` with an empty path is `fstat`; there are no files.
    fn newfstatat<H: Host>(
        &mut self,
        host: &mut H,
        step: u64,
        a: [u64; 6],
    ) -> Result<u64, H::Error> {
        if !self.regions.accessible(a[1], 1, false) {
            return self.reply(host, step, Err(Errno::EFAULT));
        }
        let mut first = [0];
        host.read(a[1], &mut first);
        let reply = if first[0] == 0 && a[3] & AT_EMPTY_PATH != 0 {
            stat(a[0], a[2])
        } else {
            Err(Errno::ENOENT)
        };
        let reply = reply.and_then(|r| {
            let ok = self.regions.accessible(r.addr, r.len as u64, true);
            if ok { Ok(r) } else { Err(Errno::EFAULT) }
        });
        let result = reply.as_ref().err().map_or(0, |e| e.result());
        begin(host, step, result, 1 + u32::from(reply.is_ok()))?;
        guest_range(host, a[1], 1, range::READ)?;
        if let Ok(r) = reply {
            host.write(r.addr, &r.bytes[..r.len]);
            guest_range(host, r.addr, r.len as u64, range::WRITTEN)?;
        }
        Ok(result)
    }

    /// `riscv_hwprobe(pairs, count, ...)`: the value of each key, or key -1 where it is not known.
    fn hwprobe<H: Host>(&mut self, host: &mut H, step: u64, a: [u64; 6]) -> Result<u64, H::Error> {
        let (pairs, count) = (a[0], a[1]);
        // No flags; the set of processors does not matter, there is one.
        if a[4] != 0 || count > MAX_PAIRS {
            return self.reply(host, step, Err(Errno::EINVAL));
        }
        let len = count * 16;
        if !self.regions.accessible(pairs, len, true) {
            return self.reply(host, step, Err(Errno::EFAULT));
        }
        if len == 0 {
            return self.reply(host, step, Ok(Reply::NONE));
        }
        begin(host, step, 0, 2)?;
        guest_range(host, pairs, len, range::READ)?;
        for i in 0..count {
            let at = pairs + 16 * i;
            let mut key = [0; 8];
            host.read(at, &mut key);
            let (key, value) = hardware(i64::from_le_bytes(key));
            host.write(at, &key.to_le_bytes());
            host.write(at + 8, &value.to_le_bytes());
        }
        guest_range(host, pairs, len, range::WRITTEN)?;
        Ok(0)
    }
}

/// Key and value of `riscv_hwprobe` (`arch/riscv/include/uapi/asm/hwprobe.h`).
fn hardware(key: i64) -> (i64, u64) {
    const C_ZBA_ZBB_ZBS: u64 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5;
    const MISALIGNED_FAST: u64 = 3;
    match key {
        // Vendor, architecture, implementation: none.
        0..=2 => (key, 0),
        // Base behaviour: IMA.
        3 => (key, 1),
        4 => (key, C_ZBA_ZBB_ZBS),
        5 => (key, MISALIGNED_FAST),
        _ => (-1, 0),
    }
}

/// Seconds and nanoseconds of a clock.
fn clock(clock: u64, step: u64) -> Result<[u64; 2], Errno> {
    let start = match clock {
        CLOCK_REALTIME | CLOCK_REALTIME_COARSE | CLOCK_LAST => REALTIME_START,
        0..CLOCK_LAST => 0,
        _ => return Err(Errno::EINVAL),
    };
    Ok([start + step / NANOS, step % NANOS])
}

/// A character device that nothing is known of (`struct stat` of `asm-generic/stat.h`).
fn stat(fd: u64, addr: u64) -> Result<Reply, Errno> {
    const MODE: u32 = 0o020_620;
    const BLOCK: u32 = 1024;
    if !is_open(fd) {
        return Err(Errno::EBADF);
    }
    let mut reply = Reply::zeroed(addr, STAT_BYTES);
    reply.put(8, &1u64.to_le_bytes()); // st_ino
    reply.put(16, &MODE.to_le_bytes());
    reply.put(20, &1u32.to_le_bytes()); // st_nlink
    reply.put(32, &0x8800u64.to_le_bytes()); // st_rdev: major 136, as a pseudo-terminal has
    reply.put(56, &BLOCK.to_le_bytes());
    Ok(reply)
}

fn uname(addr: u64) -> Reply {
    let fields: [&[u8]; 6] = [b"Linux", b"hartlog", b"6.1.0", b"#1", b"riscv64", b"(none)"];
    let mut reply = Reply::zeroed(addr, 6 * UTSNAME_FIELD);
    for (i, field) in fields.iter().enumerate() {
        reply.put(i * UTSNAME_FIELD, field);
    }
    reply
}

fn limit(resource: u64, addr: u64) -> Result<Reply, Errno> {
    match resource {
        RLIMIT_STACK => Ok(Reply::words(addr, &[STACK_SIZE, STACK_SIZE])),
        0..RLIM_NLIMITS => Ok(Reply::words(addr, &[RLIM_INFINITY, RLIM_INFINITY])),
        _ => Err(Errno::EINVAL),
    }
}
