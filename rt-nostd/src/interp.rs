//! The fallback interpreter: the ends of chunks, jumps without a native block, and the exact
//! state at a fault. It logs what it reads exactly as generated code does.

use crate::guest;
use crate::program::Program;
use hartlog_abi::{Abi, Prot, Region};
use hartlog_format::layout::page_floor;
use hartlog_format::parse::Events;
use hartlog_format::status::FaultKind;
use hartlog_format::trace::ChunkHeader;
use hartlog_isa::{
    DecodeError, Effect, Hart, Inst, NO_RESERVATION, Op, Port, Step, Trap, Width, decode_at, step,
};

/// What the guest did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestFault {
    /// Kind of fault.
    pub kind: FaultKind,
    /// Address of the first byte that is not accessible, or the raw instruction.
    pub value: u64,
}

const CACHE: usize = 2048;

/// Decodes instructions, and remembers the latest.
pub struct Decoder {
    program: Program,
    /// Direct-mapped by address.
    cache: [(u64, Inst); CACHE],
}

impl Decoder {
    /// Nothing is decoded yet.
    pub fn new(program: Program) -> Decoder {
        // No instruction is at an odd address.
        const NOWHERE: u64 = u64::MAX;
        let nothing = Inst::new(Op::Addi, 0, 0, 0, 0);
        Decoder {
            program,
            cache: [(NOWHERE, nothing); CACHE],
        }
    }

    /// The instruction at a pc.
    ///
    /// # Errors
    /// The fault of an attempt to execute there.
    #[inline]
    pub fn fetch(&mut self, pc: u64) -> Result<Inst, GuestFault> {
        let (at, inst) = self.cache[(pc >> 1) as usize % CACHE];
        if at == pc { Ok(inst) } else { self.decode(pc) }
    }

    #[cold]
    fn decode(&mut self, pc: u64) -> Result<Inst, GuestFault> {
        let code = self.program.code_at(pc);
        match decode_at(code) {
            Ok(inst) => {
                self.cache[(pc >> 1) as usize % CACHE] = (pc, inst);
                Ok(inst)
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
        match step(
            &mut hart.x,
            &mut hart.reservation,
            hart.pc,
            &inst,
            &mut port,
        )
        .ok()?
        {
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
