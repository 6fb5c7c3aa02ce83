//! Re-executes a chunk from its log: without memory, without the chunks before it.

use crate::error::{Difference, DifferenceKind, StateItem};
use crate::fault::{Fault, classify, memory_fault};
use crate::memory::AccessFault;
use crate::program::{Code, Fetched, Program};
use hartlog_abi::{exit_status, number};
use hartlog_format::layout::{GUEST_END, GUEST_MIN};
use hartlog_format::parse::{Chunk, Event, Events};
use hartlog_format::status::FaultKind;
use hartlog_format::trace::{ChunkHeader, EventHeader, RangeHeader, end, pad8, range};
use hartlog_isa::{Hart, Port, Stop, Trap, Width};

pub use crate::rows::{Access, Consumer, Row, replay};

/// Who wants to know of the memory accesses of a chunk.
pub trait MemorySink {
    /// `width` bytes were read.
    ///
    /// # Errors
    /// Why that cannot have happened.
    fn read(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault>;
    /// `width` bytes were written.
    ///
    /// # Errors
    /// Why that cannot have happened.
    fn write(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault>;
}

/// Nobody does.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl MemorySink for NoSink {
    #[inline(always)]
    fn read(&mut self, _: u64, _: Width, _: u64) -> Result<(), PortFault> {
        Ok(())
    }
    #[inline(always)]
    fn write(&mut self, _: u64, _: Width, _: u64) -> Result<(), PortFault> {
        Ok(())
    }
}

/// Memory as a chunk sees it: reads come from the log.
pub struct LogPort<'t, S> {
    log: &'t [u8],
    pub(crate) at: usize,
    pub(crate) steps: u64,
    /// Told of every access.
    pub sink: S,
}

/// Why an access cannot have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortFault {
    /// The log is used up.
    LogShort,
    /// The address is outside the guest's window.
    Address(u64),
    /// Memory does not allow it at this byte.
    Access {
        /// Guest address.
        addr: u64,
        /// Whether it is a store.
        write: bool,
    },
    /// The value read is not the one that memory holds.
    Memory {
        /// Effective address.
        addr: u64,
        /// Bytes.
        width: Width,
        /// What memory holds.
        expected: u64,
        /// What the log says.
        found: u64,
    },
}

impl From<AccessFault> for PortFault {
    fn from(fault: AccessFault) -> PortFault {
        let AccessFault { addr, write } = fault;
        PortFault::Access { addr, write }
    }
}

impl PortFault {
    /// What that is in a trace; `log` is how many bytes of log there are.
    pub(crate) fn kind(self, log: u64) -> DifferenceKind {
        match self {
            PortFault::LogShort => DifferenceKind::LogShort { len: log },
            PortFault::Address(addr) => DifferenceKind::Address { addr },
            PortFault::Access { addr, write } => DifferenceKind::Access { addr, write },
            PortFault::Memory {
                addr,
                width,
                expected,
                found,
            } => DifferenceKind::Memory {
                addr,
                width: width.bytes(),
                expected,
                found,
            },
        }
    }
}

impl<'t, S: MemorySink> LogPort<'t, S> {
    /// A port without log; [`execute`] gives it that of its chunk.
    pub fn new(sink: S) -> LogPort<'t, S> {
        LogPort {
            log: &[],
            at: 0,
            steps: 0,
            sink,
        }
    }

    pub(crate) fn rewind(&mut self, chunk: &Chunk<'t>) {
        self.log = chunk.log;
        self.at = 0;
        self.steps = chunk.header.first_step.get();
    }
}

#[inline(always)]
fn in_window(addr: u64, width: Width) -> Result<(), PortFault> {
    if addr.wrapping_sub(GUEST_MIN) <= GUEST_END - GUEST_MIN - width.bytes() {
        Ok(())
    } else {
        Err(PortFault::Address(addr))
    }
}

impl<S: MemorySink> Port for LogPort<'_, S> {
    type Fault = PortFault;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, PortFault> {
        in_window(addr, width)?;
        let len = width.bytes() as usize;
        let bytes = self.log.get(self.at..self.at + len);
        let mut value = [0; 8];
        value[..len].copy_from_slice(bytes.ok_or(PortFault::LogShort)?);
        self.at += len;
        let value = u64::from_le_bytes(value);
        self.sink.read(addr, width, value)?;
        Ok(value)
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        in_window(addr, width)?;
        self.sink.write(addr, width, value)
    }

    #[inline(always)]
    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// An environment call of a chunk, before its result is set.
#[derive(Clone, Debug)]
pub struct Call<'t> {
    /// Steps retired before the `ecall`.
    pub step: u64,
    /// pc of the `ecall`.
    pub pc: u64,
    /// Registers before the call.
    pub x: [u64; 32],
    /// The host event.
    pub event: Event<'t>,
    /// Bytes of the event.
    pub raw: &'t [u8],
}

/// The events of a chunk, in order.
struct EventQueue<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> EventQueue<'t> {
    /// The event of the `ecall` at `step`.
    fn next(&mut self, step: u64) -> Result<(Event<'t>, &'t [u8]), DifferenceKind> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let event = match Events::new(rest).next() {
            None => return Err(DifferenceKind::EventMissing),
            Some(Err(error)) => return Err(DifferenceKind::EventMalformed(error)),
            Some(Ok(event)) => event,
        };
        let ranges: u64 = event
            .ranges()
            .map(|r| size_of::<RangeHeader>() as u64 + pad8(r.data.len() as u64))
            .sum();
        let len = size_of::<EventHeader>() + ranges as usize;
        self.at += len;
        let found = event.header.step.get();
        if found != step {
            let expected = step;
            return Err(DifferenceKind::EventStep { expected, found });
        }
        Ok((event, rest.get(..len).unwrap_or_default()))
    }
}

/// State of the hart at the start of a chunk.
pub fn start_state(header: &ChunkHeader) -> Hart {
    let mut hart = Hart::new(header.start_pc.get());
    for (x, value) in hart.x[1..].iter_mut().zip(&header.regs) {
        *x = value.get();
    }
    hart.reservation = header.reservation.get();
    hart
}

/// The first part of two states that differs, with both values.
pub fn first_difference(a: &Hart, b: &Hart) -> Option<(StateItem, u64, u64)> {
    if a.pc != b.pc {
        return Some((StateItem::Pc, a.pc, b.pc));
    }
    let register = (1..32).find(|i| a.x[*i] != b.x[*i]);
    if let Some(i) = register {
        return Some((StateItem::X(i as u8), a.x[i], b.x[i]));
    }
    (a.reservation != b.reservation).then_some((
        StateItem::Reservation,
        a.reservation,
        b.reservation,
    ))
}

/// What the walk over a chunk has come to.
pub(crate) struct Walk<'p, 't> {
    pub(crate) program: &'p Program,
    chunk: &'p Chunk<'t>,
    pub(crate) hart: Hart,
    events: EventQueue<'t>,
    /// Steps retired in the chunk.
    pub(crate) done: u64,
    /// The last instruction that retired, if it was an `ecall`.
    last_call: Option<Call<'t>>,
}

impl<'p, 't> Walk<'p, 't> {
    pub(crate) fn new(program: &'p Program, chunk: &'p Chunk<'t>) -> Walk<'p, 't> {
        Walk {
            program,
            chunk,
            hart: start_state(chunk.header),
            events: EventQueue {
                bytes: chunk.events,
                at: 0,
            },
            done: 0,
            last_call: None,
        }
    }

    pub(crate) fn left(&self) -> u64 {
        self.chunk.header.steps.get() - self.done
    }

    pub(crate) fn step(&self) -> u64 {
        self.chunk.header.first_step.get() + self.done
    }

    /// A difference at an instruction.
    fn difference_at(&self, step: u64, pc: u64, kind: DifferenceKind) -> Difference {
        let chunk = self.chunk.header.index.get();
        Difference::new(self.program, chunk, step, pc, kind)
    }

    /// A difference at the next instruction.
    fn difference(&self, kind: DifferenceKind) -> Difference {
        self.difference_at(self.step(), self.hart.pc, kind)
    }

    /// Takes the event of an `ecall` that has just retired, and its result.
    pub(crate) fn call(&mut self) -> Result<&Call<'t>, Difference> {
        const ECALL_BYTES: u64 = 4;
        let (step, pc) = (self.step() - 1, self.hart.pc.wrapping_sub(ECALL_BYTES));
        let (event, raw) = self
            .events
            .next(step)
            .map_err(|kind| self.difference_at(step, pc, kind))?;
        let call = Call {
            step,
            pc,
            x: self.hart.x,
            event,
            raw,
        };
        check_call(&call).map_err(|kind| self.difference_at(step, pc, kind))?;
        let last = self.left() == 0 && self.chunk.header.end_kind.get() == end::EXIT;
        if let Some(status) = exit_status(&call.x).filter(|_| !last) {
            return Err(self.difference_at(step, pc, DifferenceKind::ExitIgnored { status }));
        }
        self.hart.x[10] = call.event.header.result.get();
        Ok(self.last_call.insert(call))
    }

    /// The instruction at pc did not retire.
    pub(crate) fn trapped(&self, trap: Trap<PortFault>) -> Difference {
        let trap = match trap {
            Trap::Illegal => Trap::Illegal,
            Trap::Breakpoint => Trap::Breakpoint,
            Trap::Misaligned { addr } => Trap::Misaligned { addr },
            Trap::Memory(fault) => {
                return self.difference(fault.kind(self.chunk.log.len() as u64));
            }
        };
        let fault = classify(self.program, self.hart.pc, trap);
        self.difference(DifferenceKind::Trap(fault))
    }

    /// There is no instruction at pc.
    pub(crate) fn no_instruction(&self) -> Difference {
        let fault = self.program.fetch_fault(self.hart.pc);
        self.difference(DifferenceKind::Trap(fault))
    }

    /// Everything that must hold after the last step.
    pub(crate) fn finish(self, log_used: usize) -> Result<Hart, Difference> {
        let header = self.chunk.header;
        if log_used != self.chunk.log.len() {
            let len = self.chunk.log.len() as u64;
            let left = len - log_used as u64;
            return Err(self.difference(DifferenceKind::LogLeft { left, len }));
        }
        if self.events.at != self.chunk.events.len() {
            let left = (self.chunk.events.len() - self.events.at) as u64;
            return Err(self.difference(DifferenceKind::EventsLeft { left }));
        }
        if self.hart.pc != header.end_pc.get() {
            let (expected, found) = (header.end_pc.get(), self.hart.pc);
            return Err(self.difference(DifferenceKind::EndPc { expected, found }));
        }
        let steps = header.steps.get();
        let first = header.index.get() == 0;
        let kind = match header.end_kind.get() {
            end::EXIT => self.check_exit(header.end_code.get()).err(),
            end::FAULT => self.check_fault().err(),
            end::MEMORY_LIMIT => self.check_request(header.end_value.get()).err(),
            // The limit is looked at before a chunk is opened.
            end::STEP_LIMIT if steps == 0 && !first => Some(DifferenceKind::EndSteps { steps }),
            _ => None,
        };
        match kind {
            Some(kind) => Err(self.difference(kind)),
            None => Ok(self.hart),
        }
    }

    /// The last step must be a call that ends the guest with this status.
    fn check_exit(&self, status: u32) -> Result<(), DifferenceKind> {
        // `last_call` is the last step exactly if nothing retired after it.
        let call = self
            .last_call
            .as_ref()
            .filter(|c| c.step + 1 == self.step() && self.done > 0);
        match call.and_then(|c| exit_status(&c.x)) {
            Some(found) if u32::from(found) == status => Ok(()),
            _ => Err(DifferenceKind::NoExit { status }),
        }
    }

    /// The next instruction must be a call, unless nothing was executed at all. What it asks for is
    /// known with memory.
    fn check_request(&self, limit: u64) -> Result<(), DifferenceKind> {
        let is_call = match self.program.fetch(self.hart.pc) {
            Fetched::Inst(inst) => inst.op == hartlog_isa::Op::Ecall,
            _ => false,
        };
        if is_call || self.step() == 0 {
            Ok(())
        } else {
            Err(DifferenceKind::NoRequest { limit })
        }
    }

    /// The next instruction must raise this fault, as far as that can be known without memory.
    fn check_fault(&self) -> Result<(), DifferenceKind> {
        let header = self.chunk.header;
        let expected = Fault {
            kind: FaultKind::from_code(header.end_code.get()).unwrap_or(FaultKind::Illegal),
            pc: self.hart.pc,
            value: header.end_value.get(),
        };
        let no = Err(DifferenceKind::NoFault { expected });
        let inst = match self.program.fetch(self.hart.pc) {
            Fetched::Inst(inst) => inst,
            _ if self.program.fetch_fault(self.hart.pc) == expected => return Ok(()),
            _ => return no,
        };
        let mut probe = self.hart.clone();
        let trap = match hartlog_isa::execute(&mut probe, inst, &mut Probe) {
            Err(trap) => trap,
            Ok(_) => return no,
        };
        let Trap::Memory((addr, width)) = trap else {
            let trap = match trap {
                Trap::Illegal => Trap::Illegal,
                Trap::Misaligned { addr } => Trap::Misaligned { addr },
                _ => Trap::Breakpoint,
            };
            let found = classify(self.program, self.hart.pc, trap);
            return if found == expected { Ok(()) } else { no };
        };
        let kind = memory_fault(Some(inst.op.effect()));
        let inside = expected.value.wrapping_sub(addr) < width.bytes();
        if kind == expected.kind && inside {
            Ok(())
        } else {
            no
        }
    }
}

/// A port that refuses every access and says which it was.
struct Probe;

impl Port for Probe {
    type Fault = (u64, Width);

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, (u64, Width)> {
        Err((addr, width))
    }
    fn store(&mut self, addr: u64, width: Width, _: u64) -> Result<(), (u64, Width)> {
        Err((addr, width))
    }
    fn steps(&mut self) -> u64 {
        0
    }
}

/// What must hold for an event whatever memory holds.
fn check_call(call: &Call<'_>) -> Result<(), DifferenceKind> {
    let (number, x) = (call.x[17], &call.x);
    let result = call.event.header.result.get();
    let differs = |what, expected, found| {
        Err(DifferenceKind::Event {
            number,
            what,
            expected,
            found,
        })
    };
    let kind = match number {
        number::READ | number::GETRANDOM => range::WRITTEN,
        number::WRITE => range::READ,
        _ => return Ok(()),
    };
    let (buf, len) = if number == number::GETRANDOM {
        (x[10], x[11])
    } else {
        (x[11], x[12])
    };
    let failed = result > u64::MAX - 4096;
    let moved = if failed { 0 } else { result };
    if moved > len.min(hartlog_abi::MAX_TRANSFER) {
        return differs("bytes moved", len.min(hartlog_abi::MAX_TRANSFER), moved);
    }
    let ranges = u64::from(moved > 0);
    if u64::from(call.event.header.ranges.get()) != ranges {
        let found = call.event.header.ranges.get().into();
        return differs("ranges of memory", ranges, found);
    }
    for found in call.event.ranges() {
        if found.kind != kind {
            return differs("kind of range", kind.into(), found.kind.into());
        }
        if found.addr != buf {
            return differs("address", buf, found.addr);
        }
        if found.len != moved {
            return differs("bytes", moved, found.len);
        }
    }
    Ok(())
}

/// Re-executes a chunk by the fast loop, and returns the state at its end.
///
/// `on_call` is told of every environment call; the port's sink of every memory access.
///
/// # Errors
/// The first [`Difference`] inside the chunk.
pub fn execute<'t, S: MemorySink>(
    program: &Program,
    code: &Code<LogPort<'t, S>>,
    chunk: &Chunk<'t>,
    port: &mut LogPort<'t, S>,
    mut on_call: impl FnMut(&mut S, &Call<'t>),
) -> Result<Hart, Difference> {
    let mut walk = Walk::new(program, chunk);
    port.rewind(chunk);
    loop {
        let left = walk.left();
        let (count, stop) = code.run(&mut walk.hart, port, left, |port, count| {
            port.steps += count;
        });
        walk.done += count;
        match stop {
            Stop::Limit => return walk.finish(port.at),
            Stop::Ecall => on_call(&mut port.sink, walk.call()?),
            Stop::NoInstruction => return Err(walk.no_instruction()),
            Stop::Trap(trap) => return Err(walk.trapped(trap)),
        }
    }
}
