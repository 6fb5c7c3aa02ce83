//! The fallback interpreter: the ends of chunks, jumps without a native block, and the exact
//! state at a fault. It logs what it reads exactly as generated code does.

use crate::guest;
use crate::program::Program;
use crate::report::Failure;
use crate::sys;
use core::mem::MaybeUninit;
use core::ptr::with_exposed_provenance_mut;
use hartlog_abi::{Abi, Prot, Region};
use hartlog_format::layout::page_floor;
use hartlog_format::parse::Events;
use hartlog_format::status::FaultKind;
use hartlog_format::trace::ChunkHeader;
use hartlog_isa::{
    DecodeError, Effect, Hart, Inst, NO_RESERVATION, Port, Step, Trap, Width, decode_at, step,
};

/// What the guest did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFault {
    /// Kind of fault.
    pub kind: FaultKind,
    /// Address of the first byte that is not accessible, or the raw instruction.
    pub value: u64,
}

/// Decoded instructions that are kept: a direct-mapped cache by address, which text of up to half
/// a megabyte fits into. Pages of it are committed when they are first used.
const ENTRIES: usize = 1 << 18;

/// All zero, it holds nothing.
struct Entry {
    /// Address + 1, or 0. Instructions are at even addresses.
    tag: u32,
    inst: MaybeUninit<Inst>,
}

/// Decodes instructions, and remembers them.
pub struct Decoder {
    program: Program,
    cache: &'static mut [Entry; ENTRIES],
}

impl Decoder {
    /// Nothing is decoded yet.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn new(program: Program) -> Result<Decoder, Failure> {
        let size = size_of::<[Entry; ENTRIES]>();
        let addr = sys::map(size, sys::PROT_RW).map_err(|errno| Failure::Host {
            what: "no memory for the interpreter",
            errno,
        })?;
        // SAFETY: the mapping is new, large enough and stays; entries may be zero.
        let cache = unsafe { &mut *with_exposed_provenance_mut(addr) };
        Ok(Decoder { program, cache })
    }

    /// The instruction at a pc.
    ///
    /// # Errors
    /// The fault of an attempt to execute there.
    #[inline(always)]
    pub fn fetch(&mut self, pc: u64) -> Result<&Inst, GuestFault> {
        let index = (pc >> 1) as usize % ENTRIES;
        let tag = self.cache[index].tag;
        if u64::from(tag) != pc.wrapping_add(1) || tag == 0 {
            self.decode(pc)?;
        }
        // SAFETY: an entry with a tag has an instruction.
        Ok(unsafe { self.cache[index].inst.assume_init_ref() })
    }

    #[cold]
    fn decode(&mut self, pc: u64) -> Result<(), GuestFault> {
        let code = self.program.code_at(pc);
        match decode_at(code) {
            Ok(inst) => {
                // There is no code above 4 GiB.
                self.cache[(pc >> 1) as usize % ENTRIES] = Entry {
                    tag: pc as u32 + 1,
                    inst: MaybeUninit::new(inst),
                };
                Ok(())
            }
            Err(DecodeError::Truncated) => Err(GuestFault {
                kind: FaultKind::FetchAccess,
                value: 0,
            }),
            Err(_) => Err(GuestFault {
                kind: FaultKind::Illegal,
                value: raw(code).into(),
            }),
        }
    }
}

/// The word at the start of code, or the halfword if it is the start of a compressed instruction.
fn raw(code: &[u8]) -> u32 {
    match *code {
        [a, b, c, d, ..] if a & 3 == 3 => u32::from_le_bytes([a, b, c, d]),
        [a, b, ..] => u16::from_le_bytes([a, b]).into(),
        _ => 0,
    }
}

/// The fault that a trap of an instruction is.
pub fn classify(inst: &Inst, trap: Trap<u64>) -> GuestFault {
    let (kind, value) = match trap {
        Trap::Illegal => (FaultKind::Illegal, inst.raw.into()),
        Trap::Breakpoint => (FaultKind::Breakpoint, 0),
        Trap::Misaligned { addr } => (FaultKind::MisalignedAtomic, addr),
        Trap::Memory(addr) => (access_kind(inst), addr),
    };
    GuestFault { kind, value }
}

/// What an inaccessible address means: an AMO is a store, also where its read fails.
pub fn access_kind(inst: &Inst) -> FaultKind {
    match inst.op.effect() {
        Effect::Write(_) | Effect::ReadWrite(_) | Effect::CondStore(_) => FaultKind::StoreAccess,
        Effect::None | Effect::Read(_) | Effect::Reserve(_) => FaultKind::LoadAccess,
    }
}

/// The first of `len` bytes (at most a page) that the guest cannot read, or write if `write`.
pub fn first_inaccessible(abi: &Abi, addr: u64, len: u64, write: bool) -> Option<u64> {
    if abi.accessible(addr, len, write) {
        None
    } else if abi.accessible(addr, 1, write) {
        Some(page_floor(addr + len - 1))
    } else {
        Some(addr)
    }
}

/// The hart's view of real memory. Faults are found in the guest's memory map, not by signals.
pub struct GuestPort<'a> {
    abi: &'a Abi,
    /// Host address of the next log entry, if reads are logged.
    pub log: Option<u64>,
    /// Steps retired so far.
    pub steps: u64,
    /// Regions of the latest load and store: the map does not change between environment calls.
    readable: Region,
    writable: Region,
}

impl<'a> GuestPort<'a> {
    /// A view of the memory of this guest.
    pub fn new(abi: &'a Abi, log: Option<u64>, steps: u64) -> GuestPort<'a> {
        let nothing = Region {
            start: 0,
            end: 0,
            prot: Prot::None,
        };
        GuestPort {
            abi,
            log,
            steps,
            readable: nothing,
            writable: nothing,
        }
    }

    #[cold]
    fn check(&mut self, addr: u64, width: Width, write: bool) -> Result<(), u64> {
        if let Some(addr) = first_inaccessible(self.abi, addr, width.bytes(), write) {
            return Err(addr);
        }
        if let Some(region) = self.abi.region(addr) {
            if write {
                self.writable = region;
            } else {
                self.readable = region;
            }
        }
        Ok(())
    }
}

#[inline(always)]
fn inside(region: &Region, addr: u64, width: Width) -> bool {
    // Regions are larger than any access.
    addr >= region.start && addr <= region.end.wrapping_sub(width.bytes()) && region.end != 0
}

impl Port for GuestPort<'_> {
    type Fault = u64;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, u64> {
        if !inside(&self.readable, addr, width) {
            self.check(addr, width, false)?;
        }
        // SAFETY: the map of the guest's memory says that it is readable.
        let value = unsafe { guest::load(addr, width) };
        if let Some(log) = &mut self.log {
            // SAFETY: a chunk's log has room for each of its steps, and this is one of them.
            unsafe { guest::store(*log, width, value) };
            *log += width.bytes();
        }
        Ok(value)
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), u64> {
        if !inside(&self.writable, addr, width) {
            self.check(addr, width, true)?;
        }
        // SAFETY: the map of the guest's memory says that it is writable.
        unsafe { guest::store(addr, width, value) };
        Ok(())
    }

    #[inline(always)]
    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// Memory as the read log knows it.
struct LogPort<'a> {
    log: &'a [u8],
    steps: u64,
}

impl Port for LogPort<'_> {
    type Fault = ();

    fn load(&mut self, _: u64, width: Width) -> Result<u64, ()> {
        let (entry, rest) = self
            .log
            .split_at_checked(width.bytes() as usize)
            .ok_or(())?;
        let mut value = [0; 8];
        value[..entry.len()].copy_from_slice(entry);
        self.log = rest;
        Ok(u64::from_le_bytes(value))
    }

    fn store(&mut self, _: u64, _: Width, _: u64) -> Result<(), ()> {
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// Executes the first `count` steps of a chunk again, from its start, log and events alone. `None`
/// if they do not fit together.
pub fn replay(
    decoder: &mut Decoder,
    header: &ChunkHeader,
    log: &[u8],
    events: &[u8],
    count: u64,
) -> Option<Hart> {
    let mut hart = Hart::new(header.start_pc.get());
    for (to, from) in hart.x[1..].iter_mut().zip(&header.regs) {
        *to = from.get();
    }
    hart.reservation = header.reservation.get();
    let first = header.first_step.get();
    let mut port = LogPort { log, steps: first };
    let mut events = Events::new(events);
    while port.steps < first + count {
        let inst = decoder.fetch(hart.pc).ok()?;
        match step(&mut hart.x, &mut hart.reservation, hart.pc, inst, &mut port).ok()? {
            Step::Next(pc) => hart.pc = pc,
            Step::Ecall(pc) => {
                hart.pc = pc;
                hart.x[10] = events.next()?.ok()?.header.result.get();
            }
        }
        port.steps += 1;
    }
    port.log.is_empty().then_some(hart)
}

const _: () = assert!(NO_RESERVATION == u64::MAX);
