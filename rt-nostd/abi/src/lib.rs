//! The Linux user ABI of an RV64 guest: memory layout, initial stack, environment calls.
//!
//! There is one implementation, used by the runtime of a translated program (over real memory and
//! real system calls), by the reference interpreter, and by the checker (which runs it again over
//! the host events of a trace). What differs is behind [`Host`].
//!
//! Everything that a guest can see is a function of its ELF, its arguments and its input: the
//! clock counts steps, random numbers are a fixed stream, addresses follow from the segments.
//!
//! # Memory
//!
//! The stack is [`layout::STACK_SIZE`](hartlog_format::layout::STACK_SIZE) bytes at the top of the
//! highest gap between the segments that has room for it and its guard. Anonymous mappings go
//! below the guard, top down. The heap of `brk` starts at the page after the highest segment below
//! the stack and grows up to the next region.
//!
//! # Calls
//!
//! See [`number`] for the list. Each call appends one host event to the trace; memory that it
//! read or wrote is part of that event, so the trace alone shows what went in and out.
#![no_std]
#![forbid(unsafe_code)]

mod calls;
mod errno;
mod event;
mod host;
mod info;
pub mod number;
pub mod random;
mod regions;
mod start;
mod transfer;

pub use calls::{Outcome, exit_status};
pub use errno::Errno;
pub use event::MAX_EVENT_BYTES;
pub use host::{Host, Prot};
pub use info::REALTIME_START;
pub use regions::{MAX_REGIONS, Region};
pub use start::{Image, Segment, SetupError};

use regions::Regions;

/// `argv[0]` of every guest: the name of the file must not reach it.
pub const ARGV0: &[u8] = b"guest";

/// `AT_HWCAP`: the letters that Linux reports (`arch/riscv/include/uapi/asm/hwcap.h`).
pub const HWCAP: u64 = letter(b'I') | letter(b'M') | letter(b'A') | letter(b'C');

const fn letter(c: u8) -> u64 {
    1 << (c - b'A')
}

/// Most bytes that one read or write call transfers; a longer one is short, which POSIX allows.
pub const MAX_TRANSFER: u64 = 64 << 10;

/// State of the ABI: the guest's memory map and what calls remember.
#[derive(Clone, Debug)]
pub struct Abi {
    regions: Regions,
    stack_top: u64,
    /// Start of the heap.
    brk_start: u64,
    /// Current program break.
    brk: u64,
    /// Anonymous mappings without a wish for an address end at or below this.
    mmap_top: u64,
    /// Words drawn from the random stream.
    random: u64,
    unknown: calls::Named,
    /// Most bytes of memory that the guest may have.
    memory_limit: u64,
}

impl Abi {
    /// Where the guest's memory is, ascending, neighbours of equal protection merged.
    pub fn regions(&self) -> &[Region] {
        self.regions.as_slice()
    }

    /// Whether all `len` bytes at `addr` can be read, or written if `write`.
    pub fn accessible(&self, addr: u64, len: u64, write: bool) -> bool {
        self.regions.accessible(addr, len, write)
    }

    /// Bytes of all pages that the guest has, whatever their protection: segments, stack and its
    /// guard, heap, mappings.
    pub fn mapped(&self) -> u64 {
        self.regions
            .as_slice()
            .iter()
            .map(|r| r.end - r.start)
            .sum()
    }

    /// Sets the most bytes of memory that the guest may have; see [`Abi::over_limit`].
    pub fn limit_memory(&mut self, bytes: u64) {
        self.memory_limit = bytes;
    }

    /// The most bytes of memory that the guest may have.
    pub fn memory_limit(&self) -> u64 {
        self.memory_limit
    }

    /// End (exclusive) of the stack.
    pub fn stack_top(&self) -> u64 {
        self.stack_top
    }
}
