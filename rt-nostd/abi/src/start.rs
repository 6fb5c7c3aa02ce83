//! Memory and registers of a guest before its first instruction.

use crate::regions::Regions;
use crate::{Abi, HWCAP, Host, Prot, calls::Named, random};
use core::fmt;
use hartlog_format::layout::*;

/// A loadable segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Guest address of the first byte.
    pub vaddr: u64,
    /// Bytes in memory; those after `data` are zero.
    pub mem_size: u64,
    /// Whether the guest may store there. Loads may read every segment.
    pub writable: bool,
    /// Bytes of the file.
    pub data: &'a [u8],
}

/// What is to be started. Each iterator is walked several times.
#[derive(Clone, Debug)]
pub struct Image<S, A, E> {
    /// [`Segment`]s, in any order, disjoint, inside the guest's window. Pages that two of them
    /// share are writable if one of them is.
    pub segments: S,
    /// pc of the first instruction.
    pub entry: u64,
    /// Argument strings without their NULs, from [`crate::ARGV0`] on.
    pub args: A,
    /// Environment strings without their NULs.
    pub env: E,
}

/// Why a guest cannot be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetupError<E> {
    /// A segment is not in the guest's window.
    Segment {
        /// Its address.
        vaddr: u64,
        /// Its size in memory.
        mem_size: u64,
    },
    /// There are more regions than [`crate::MAX_REGIONS`].
    Regions,
    /// No gap between the segments has room for the stack.
    Stack,
    /// The arguments and the environment take more than a quarter of the stack.
    Arguments {
        /// Bytes that they take.
        bytes: u64,
    },
    /// The host failed.
    Host(E),
}

impl<E: fmt::Display> fmt::Display for SetupError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetupError::Segment { vaddr, mem_size } => write!(
                f,
                "segment at {vaddr:#x} of {mem_size:#x} bytes is outside {GUEST_MIN:#x} to \
                 {GUEST_END:#x}"
            ),
            SetupError::Regions => f.write_str("too many segments"),
            SetupError::Stack => {
                write!(
                    f,
                    "no room for a stack of {STACK_SIZE:#x} bytes and its guard"
                )
            }
            SetupError::Arguments { bytes } => write!(
                f,
                "arguments and environment take {bytes} bytes, at most {} are possible",
                STACK_SIZE / 4
            ),
            SetupError::Host(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for SetupError<E> {}

/// Types of the auxiliary vector (`linux/auxvec.h`).
mod at {
    pub(super) const NULL: u64 = 0;
    pub(super) const PHDR: u64 = 3;
    pub(super) const PHENT: u64 = 4;
    pub(super) const PHNUM: u64 = 5;
    pub(super) const PAGESZ: u64 = 6;
    pub(super) const ENTRY: u64 = 9;
    pub(super) const UID: u64 = 11;
    pub(super) const EUID: u64 = 12;
    pub(super) const GID: u64 = 13;
    pub(super) const EGID: u64 = 14;
    pub(super) const HWCAP: u64 = 16;
    pub(super) const CLKTCK: u64 = 17;
    pub(super) const SECURE: u64 = 23;
    pub(super) const RANDOM: u64 = 25;
}

/// Entries of the auxiliary vector: those above that are always there, and [`at::NULL`].
const AUX_FIXED: u64 = 11;
/// Entries about program headers.
const AUX_HEADERS: u64 = 3;

/// Words of the stream that `AT_RANDOM` takes.
const AT_RANDOM_WORDS: u64 = 2;

/// Program headers in memory.
#[derive(Clone, Copy)]
struct Headers {
    addr: u64,
    size: u64,
    count: u64,
}

/// The program headers, if the ELF header and they are part of the segment, as linkers arrange it.
fn headers(segment: &Segment<'_>) -> Option<Headers> {
    let data = segment.data;
    let field = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(data.get(at..at + len)?);
        Some(u64::from_le_bytes(bytes))
    };
    // Offsets of Elf64_Ehdr: e_phoff, e_phentsize, e_phnum.
    if !data.starts_with(b"\x7fELF") {
        return None;
    }
    let (offset, size, count) = (field(32, 8)?, field(54, 2)?, field(56, 2)?);
    let end = offset.checked_add(size * count)?;
    (count > 0 && end <= data.len() as u64).then_some(Headers {
        addr: segment.vaddr + offset,
        size,
        count,
    })
}

impl Abi {
    /// Maps and fills the guest's memory. Returns the ABI and the stack pointer; every other
    /// register is 0 and the pc is the entry.
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn start<'a, H, S, A, E>(
        host: &mut H,
        image: &Image<S, A, E>,
    ) -> Result<(Abi, u64), SetupError<H::Error>>
    where
        H: Host,
        S: Iterator<Item = Segment<'a>> + Clone,
        A: Iterator<Item = &'a [u8]> + Clone,
        E: Iterator<Item = &'a [u8]> + Clone,
    {
        let abi = Abi::lay_out(image.segments.clone())?;
        for region in abi.regions.as_slice() {
            let (start, len) = (region.start, region.end - region.start);
            // Only what is filled below has to be writable.
            let prot = match region.prot {
                Prot::None => Prot::None,
                _ => Prot::ReadWrite,
            };
            host.map(start, len, prot).map_err(SetupError::Host)?;
        }
        for segment in image.segments.clone() {
            let len = segment.data.len().min(segment.mem_size as usize);
            host.write(segment.vaddr, &segment.data[..len]);
        }
        let sp = abi.fill_stack(host, image)?;
        for region in abi.regions.as_slice() {
            if region.prot == Prot::Read {
                host.protect(region.start, region.end - region.start, Prot::Read)
                    .map_err(SetupError::Host)?;
            }
        }
        Ok((abi, sp))
    }

    /// Where everything goes: a function of the segments alone.
    fn lay_out<'a, E>(segments: impl Iterator<Item = Segment<'a>>) -> Result<Abi, SetupError<E>> {
        let mut regions = Regions::new();
        for Segment {
            vaddr,
            mem_size,
            writable,
            ..
        } in segments
        {
            let error = SetupError::Segment { vaddr, mem_size };
            let (start, end) = match vaddr.checked_add(mem_size) {
                Some(end) if vaddr >= GUEST_MIN && end <= GUEST_END => {
                    (page_floor(vaddr), page_ceil(end))
                }
                _ => return Err(error),
            };
            let prot = if writable {
                Prot::ReadWrite
            } else {
                Prot::Read
            };
            let mut at = start;
            while at < end {
                // The rest of a region that is there already, or of the gap up to the next.
                let (part_end, part) = match regions.find(at) {
                    Some(r) => (r.end.min(end), r.prot.max(prot)),
                    None => (regions.next_start(at).min(end), prot),
                };
                regions
                    .set(at, part_end, Some(part))
                    .map_err(|_| SetupError::Regions)?;
                at = part_end;
            }
        }
        let stack_top = regions
            .highest_gap(GUEST_END, STACK_SIZE + STACK_GUARD)
            .ok_or(SetupError::Stack)?;
        let stack_start = stack_top - STACK_SIZE;
        let guard_start = stack_start - STACK_GUARD;
        let brk = regions
            .as_slice()
            .iter()
            .rev()
            .find(|r| r.end <= guard_start)
            .map_or(GUEST_MIN, |r| r.end);
        for (start, end, prot) in [
            (stack_start, stack_top, Prot::ReadWrite),
            (guard_start, stack_start, Prot::None),
        ] {
            regions
                .set(start, end, Some(prot))
                .map_err(|_| SetupError::Regions)?;
        }
        Ok(Abi {
            regions,
            stack_top,
            brk_start: brk,
            brk,
            mmap_top: guard_start,
            random: AT_RANDOM_WORDS,
            unknown: Named::new(),
            memory_limit: u64::MAX,
        })
    }

    /// Builds argc, argv, envp and auxv as the psABI and `execve` of Linux do; returns sp.
    fn fill_stack<'a, H, S, A, E>(
        &self,
        host: &mut H,
        image: &Image<S, A, E>,
    ) -> Result<u64, SetupError<H::Error>>
    where
        H: Host,
        S: Iterator<Item = Segment<'a>> + Clone,
        A: Iterator<Item = &'a [u8]> + Clone,
        E: Iterator<Item = &'a [u8]> + Clone,
    {
        let measure = |strings: &mut dyn Iterator<Item = &'a [u8]>| {
            strings.fold((0u64, 0u64), |(n, bytes), s| {
                (n + 1, bytes.saturating_add(s.len() as u64 + 1))
            })
        };
        let (argc, arg_bytes) = measure(&mut image.args.clone());
        let (envc, env_bytes) = measure(&mut image.env.clone());
        let headers = image.segments.clone().find_map(|s| headers(&s));
        let aux = AUX_FIXED + if headers.is_some() { AUX_HEADERS } else { 0 };
        // argc, argv and envp with their ends, pairs of auxv.
        let words = 1 + argc + 1 + envc + 1 + 2 * aux;
        let string_bytes = arg_bytes.saturating_add(env_bytes);
        let bytes = string_bytes.saturating_add(8 * words);
        if bytes > STACK_SIZE / 4 {
            return Err(SetupError::Arguments { bytes });
        }
        let strings = self.stack_top - string_bytes;
        let random_at = (strings & !15) - 8 * AT_RANDOM_WORDS;
        let sp = (random_at - 8 * words) & !15;

        for n in 0..AT_RANDOM_WORDS {
            host.write(random_at + 8 * n, &random::word(n).to_le_bytes());
        }
        let mut at = sp;
        let mut push = |host: &mut H, word: u64| {
            host.write(at, &word.to_le_bytes());
            at += 8;
        };
        push(host, argc);
        let mut text = strings;
        for list in [
            &mut image.args.clone() as &mut dyn Iterator<Item = &'a [u8]>,
            &mut image.env.clone(),
        ] {
            for string in list {
                push(host, text);
                host.write(text, string);
                host.write(text + string.len() as u64, &[0]);
                text += string.len() as u64 + 1;
            }
            push(host, 0);
        }
        if let Some(headers) = headers {
            for (kind, value) in [
                (at::PHDR, headers.addr),
                (at::PHENT, headers.size),
                (at::PHNUM, headers.count),
            ] {
                push(host, kind);
                push(host, value);
            }
        }
        let fixed: [(u64, u64); AUX_FIXED as usize] = [
            (at::PAGESZ, PAGE),
            (at::ENTRY, image.entry),
            (at::UID, 0),
            (at::EUID, 0),
            (at::GID, 0),
            (at::EGID, 0),
            (at::SECURE, 0),
            (at::HWCAP, HWCAP),
            (at::CLKTCK, 100),
            (at::RANDOM, random_at),
            (at::NULL, 0),
        ];
        for (kind, value) in fixed {
            push(host, kind);
            push(host, value);
        }
        Ok(sp)
    }
}
