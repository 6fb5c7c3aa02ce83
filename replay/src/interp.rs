//! The reference interpreter: runs a program and writes the trace that every other way of running
//! it has to match, byte for byte.

use crate::fault::{Fault, classify};
use crate::io::GuestIo;
use crate::memory::{AccessFault, Memory};
use crate::program::{Code, Program};
use crate::write::{ChunkEnd, ChunkStart, RunHeader, TraceWriter};
use hartlog_abi::{ARGV0, Abi, Errno, Host, Image, Prot, Segment, SetupError};
use hartlog_elf::Elf;
use hartlog_format::layout::{DEFAULT_CHUNK_STEPS, MAX_CHUNK_STEPS};
use hartlog_format::trace::end;
use hartlog_isa::{Effect, Hart, Port, Stop, Trap, Width};
use std::io::{self, Write};

/// How to run a program.
#[derive(Clone, Debug)]
pub struct Options {
    /// Retired instructions in a chunk (at least 1).
    pub chunk_steps: u64,
    /// Stop after so many steps.
    pub step_limit: Option<u64>,
    /// Bytes of memory that the guest may have.
    pub memory_limit: Option<u64>,
    /// Arguments after argv\[0\], without NULs inside.
    pub args: Vec<Vec<u8>>,
    /// Environment strings.
    pub env: Vec<Vec<u8>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            chunk_steps: DEFAULT_CHUNK_STEPS,
            step_limit: None,
            memory_limit: None,
            args: Vec::new(),
            env: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest exited with this status.
    Exit(u8),
    /// The guest faulted.
    Fault(Fault),
    /// The step limit was reached.
    StepLimit,
    /// The call at the pc asks for more memory than the guest may have, which is this.
    MemoryLimit(u64),
}

/// Why a run could not go on (the guest is not to blame).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InterpretError {
    /// The host refused memory.
    #[error("no address space for the guest: {0}")]
    Memory(io::Error),
    /// The guest could not be started.
    #[error("{0}")]
    Setup(SetupError<std::convert::Infallible>),
    /// Output of the guest could not be written.
    #[error("output of the guest cannot be written: {0}")]
    Output(io::Error),
    /// The trace could not be written.
    #[error("trace cannot be written: {0}")]
    Trace(io::Error),
    /// A number of steps that no trace can have.
    #[error("chunk size {0} is not in 1..={MAX_CHUNK_STEPS}")]
    ChunkSteps(u64),
    /// An argument with a NUL in it.
    #[error("argument {0} has a NUL character")]
    Argument(usize),
}

/// Values read, packed.
struct Log {
    enabled: bool,
    bytes: Vec<u8>,
}

/// The hart's view of the world: real memory, and a log of what it reads.
struct MemoryPort {
    memory: Memory,
    log: Log,
    steps: u64,
}

impl Port for MemoryPort {
    type Fault = AccessFault;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, AccessFault> {
        let value = self.memory.load(addr, width)?;
        if self.log.enabled {
            let bytes = value.to_le_bytes();
            self.log
                .bytes
                .extend_from_slice(&bytes[..width.bytes() as usize]);
        }
        Ok(value)
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), AccessFault> {
        self.memory.store(addr, width, value)
    }

    #[inline(always)]
    fn steps(&mut self) -> u64 {
        self.steps
    }
}

/// [`Host`] of the interpreter.
struct InterpHost<'a, 'io> {
    memory: &'a mut Memory,
    events: Option<&'a mut Vec<u8>>,
    io: &'a mut (dyn GuestIo + 'io),
    output: &'a mut dyn FnMut(&[u8]),
}

impl Host for InterpHost<'_, '_> {
    type Error = io::Error;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) {
        bytes.copy_from_slice(self.memory.bytes(addr, bytes.len() as u64));
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) {
        self.memory.write(addr, bytes);
    }

    fn map(&mut self, addr: u64, len: u64, prot: Prot) -> io::Result<()> {
        self.memory.map(addr, len, prot);
        Ok(())
    }

    fn unmap(&mut self, addr: u64, len: u64) -> io::Result<()> {
        self.memory.unmap(addr, len);
        Ok(())
    }

    fn protect(&mut self, addr: u64, len: u64, prot: Prot) -> io::Result<()> {
        self.memory.protect(addr, len, prot);
        Ok(())
    }

    fn input(&mut self, addr: u64, len: u64) -> Result<u64, Errno> {
        let got = self.io.input(self.memory.bytes_mut(addr, len));
        got.map(|n| n as u64).map_err(|error| {
            let number = error.raw_os_error().and_then(|n| u16::try_from(n).ok());
            number.map_or(Errno::EIO, Errno)
        })
    }

    fn is_terminal(&mut self) -> bool {
        self.io.is_terminal()
    }

    fn output(&mut self, fd: u32, addr: u64, len: u64) -> io::Result<()> {
        let bytes = self.memory.bytes(addr, len);
        (self.output)(bytes);
        self.io.output(fd, bytes)
    }

    fn record(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(events) = &mut self.events {
            events.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn record_guest(&mut self, addr: u64, len: u64) -> io::Result<()> {
        if let Some(events) = &mut self.events {
            events.extend_from_slice(self.memory.bytes(addr, len));
        }
        Ok(())
    }

    fn unknown_call(&mut self, number: u64) {
        self.io.unknown_call(number);
    }
}

/// Arguments of the guest, from argv\[0\] on.
pub(crate) fn argv(args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    std::iter::once(ARGV0.to_vec())
        .chain(args.iter().cloned())
        .collect()
}

/// Puts a program into memory and returns the ABI and the hart before the first instruction.
///
/// # Errors
/// [`SetupError`].
pub(crate) fn start(
    elf: &Elf,
    memory: &mut Memory,
    args: &[Vec<u8>],
    env: &[Vec<u8>],
) -> Result<(Abi, Hart), SetupError<std::convert::Infallible>> {
    let image = Image {
        segments: elf.segments.iter().map(|s| Segment {
            vaddr: s.vaddr,
            mem_size: s.mem_size,
            writable: s.writable,
            data: elf.data(s),
        }),
        entry: elf.entry,
        args: args.iter().map(Vec::as_slice),
        env: env.iter().map(Vec::as_slice),
    };
    let (abi, sp) = Abi::start(&mut crate::audit::SetupHost { memory }, &image)?;
    let mut hart = Hart::new(elf.entry);
    hart.x[2] = sp;
    Ok((abi, hart))
}

/// A program that is being interpreted.
pub struct Interpreter<'p> {
    program: &'p Program,
    code: Code<MemoryPort>,
    port: MemoryPort,
    abi: Abi,
    hart: Hart,
    options: Options,
}

impl<'p> Interpreter<'p> {
    /// Loads a program.
    ///
    /// # Errors
    /// [`InterpretError`] when the options are wrong or the host has no room.
    pub fn new(program: &'p Program, options: Options) -> Result<Interpreter<'p>, InterpretError> {
        if !(1..=MAX_CHUNK_STEPS).contains(&options.chunk_steps) {
            return Err(InterpretError::ChunkSteps(options.chunk_steps));
        }
        let strings = options.args.iter().chain(&options.env);
        if let Some(at) = strings.into_iter().position(|s| s.contains(&0)) {
            return Err(InterpretError::Argument(at));
        }
        let mut memory = Memory::new().map_err(InterpretError::Memory)?;
        let args = argv(&options.args);
        let (mut abi, hart) = start(program.elf(), &mut memory, &args, &options.env)
            .map_err(InterpretError::Setup)?;
        abi.limit_memory(options.memory_limit.unwrap_or(u64::MAX));
        let log = Log {
            enabled: false,
            bytes: Vec::new(),
        };
        Ok(Interpreter {
            program,
            code: program.code(),
            port: MemoryPort {
                memory,
                log,
                steps: 0,
            },
            abi,
            hart,
            options,
        })
    }

    /// Architectural state.
    pub fn hart(&self) -> &Hart {
        &self.hart
    }

    /// The guest's memory.
    pub fn memory(&self) -> &Memory {
        &self.port.memory
    }

    /// What is mapped.
    pub fn abi(&self) -> &Abi {
        &self.abi
    }

    /// Steps retired so far.
    pub fn steps(&self) -> u64 {
        self.port.steps
    }

    /// Runs to the end, without a trace.
    ///
    /// # Errors
    /// [`InterpretError`].
    pub fn run(&mut self, io: &mut dyn GuestIo) -> Result<End, InterpretError> {
        self.run_with::<io::Sink>(io, None)
    }

    /// Runs to the end and writes the trace.
    ///
    /// # Errors
    /// [`InterpretError`]. What was written then is an incomplete trace.
    pub fn run_traced<W: Write>(
        &mut self,
        io: &mut dyn GuestIo,
        out: W,
    ) -> Result<End, InterpretError> {
        let args = argv(&self.options.args);
        let header = RunHeader {
            chunk_steps: self.options.chunk_steps,
            elf_sha256: self.program.elf().sha256,
            args: &args,
            env: &self.options.env,
        };
        let mut writer = TraceWriter::new(out, &header).map_err(InterpretError::Trace)?;
        self.port.log.enabled = true;
        let end = self.run_with(io, Some(&mut writer))?;
        writer.finish().map_err(InterpretError::Trace)?;
        Ok(end)
    }

    fn run_with<W: Write>(
        &mut self,
        io: &mut dyn GuestIo,
        mut writer: Option<&mut TraceWriter<W>>,
    ) -> Result<End, InterpretError> {
        let mut events = Vec::new();
        let limit = self.options.step_limit.unwrap_or(u64::MAX);
        let mut index = 0;
        loop {
            let start = ChunkStart {
                index,
                first_step: self.port.steps,
                pc: self.hart.pc,
                x: self.hart.x,
                reservation: self.hart.reservation,
            };
            // The next instruction is attempted only if both budgets allow it.
            let chunk_end = start.first_step.saturating_add(self.options.chunk_steps);
            let stop_at = chunk_end.min(limit);
            let ended = self.run_until(stop_at, io, &mut events, &mut writer)?;
            let ended = ended.or((self.port.steps >= limit).then_some(End::StepLimit));
            if let Some(writer) = &mut writer {
                let (kind, code, value) = match ended {
                    None => (end::NEXT, 0, 0),
                    Some(End::Exit(status)) => (end::EXIT, status.into(), 0),
                    Some(End::Fault(fault)) => (end::FAULT, fault.kind as u32, fault.value),
                    Some(End::StepLimit) => (end::STEP_LIMIT, 0, 0),
                    Some(End::MemoryLimit(bytes)) => (end::MEMORY_LIMIT, 0, bytes),
                };
                let end = ChunkEnd {
                    kind,
                    code,
                    pc: self.hart.pc,
                    value,
                };
                let steps = self.port.steps - start.first_step;
                let log = &mut self.port.log.bytes;
                writer
                    .chunk(&start, steps, end, log, &events)
                    .map_err(InterpretError::Trace)?;
                log.clear();
                events.clear();
            }
            if let Some(end) = ended {
                return Ok(end);
            }
            index += 1;
        }
    }

    /// Runs until so many steps are retired in all, or to the end of the run.
    fn run_until<W: Write>(
        &mut self,
        stop_at: u64,
        io: &mut dyn GuestIo,
        events: &mut Vec<u8>,
        writer: &mut Option<&mut TraceWriter<W>>,
    ) -> Result<Option<End>, InterpretError> {
        if self.port.steps == 0
            && let Some(end) = self.over_limit(None)
        {
            return Ok(Some(end));
        }
        loop {
            let left = stop_at - self.port.steps;
            let (_, stop) = self
                .code
                .run(&mut self.hart, &mut self.port, left, |port, count| {
                    port.steps += count;
                });
            match stop {
                Stop::Limit => return Ok(None),
                Stop::Ecall => {
                    if let Some(end) = self.over_limit(Some(&self.hart.x)) {
                        // It has not retired.
                        self.port.steps -= 1;
                        self.hart.pc -= 4;
                        return Ok(Some(end));
                    }
                    let mut host = InterpHost {
                        memory: &mut self.port.memory,
                        events: writer.is_some().then_some(&mut *events),
                        io,
                        output: &mut |bytes| {
                            if let Some(writer) = writer {
                                writer.output(bytes);
                            }
                        },
                    };
                    let step = self.port.steps - 1;
                    let outcome = self
                        .abi
                        .call(&mut host, &self.hart.x, step)
                        .map_err(InterpretError::Output)?;
                    self.hart.x[10] = outcome.result;
                    if let Some(status) = outcome.exit {
                        return Ok(Some(End::Exit(status)));
                    }
                }
                Stop::NoInstruction => {
                    return Ok(Some(End::Fault(self.program.fetch_fault(self.hart.pc))));
                }
                Stop::Trap(trap) => {
                    self.forget_read(&trap);
                    let trap = match trap {
                        Trap::Illegal => Trap::Illegal,
                        Trap::Breakpoint => Trap::Breakpoint,
                        Trap::Misaligned { addr } => Trap::Misaligned { addr },
                        Trap::Memory(fault) => Trap::Memory(fault.addr),
                    };
                    let fault = classify(self.program, self.hart.pc, trap);
                    return Ok(Some(End::Fault(fault)));
                }
            }
        }
    }

    /// The end of a guest that has too much memory, or would after the call that `x` asks for.
    fn over_limit(&self, x: Option<&[u64; 32]>) -> Option<End> {
        let over = self.abi.over_limit(x);
        over.then(|| End::MemoryLimit(self.abi.memory_limit()))
    }

    /// An instruction that traps leaves no log entry, but an AMO reads before its write fails.
    fn forget_read(&mut self, trap: &Trap<AccessFault>) {
        let (Trap::Memory(AccessFault { write: true, .. }), true) = (trap, self.port.log.enabled)
        else {
            return;
        };
        if let crate::program::Fetched::Inst(inst) = self.program.fetch(self.hart.pc)
            && let Effect::ReadWrite(width) = inst.op.effect()
        {
            let log = &mut self.port.log.bytes;
            log.truncate(log.len() - width.bytes() as usize);
        }
    }
}
