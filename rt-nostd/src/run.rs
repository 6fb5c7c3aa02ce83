//! The run: generated code as far as it goes, the interpreter for the rest, chunk after chunk.

use crate::guest::GuestHost;
use crate::interp::{
    Decoder, GuestFault, GuestPort, access_kind, classify, first_inaccessible, replay,
};
use crate::program::Program;
use crate::recorder::ChunkEnd;
use crate::report::Failure;
use crate::signal;
use hartlog_abi::Abi;
use hartlog_format::contract::{HartState, reason};
use hartlog_format::status::FaultKind;
use hartlog_format::trace::end;
use hartlog_isa::{Format, Inst, Op, Step, step};

/// How the guest ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this status.
    Exit(u8),
    /// By a fault of the instruction at the hart's pc.
    Fault(GuestFault),
    /// The step limit was reached.
    StepLimit,
    /// The call at the hart's pc asks for more memory than the guest may have, which is this.
    MemoryLimit(u64),
}

impl End {
    /// How the last chunk ends.
    pub fn of_chunk(&self) -> ChunkEnd {
        let (kind, code, value) = match *self {
            End::Exit(status) => (end::EXIT, status.into(), 0),
            End::Fault(fault) => (end::FAULT, fault.kind as u32, fault.value),
            End::StepLimit => (end::STEP_LIMIT, 0, 0),
            End::MemoryLimit(bytes) => (end::MEMORY_LIMIT, 0, bytes),
        };
        ChunkEnd { kind, code, value }
    }
}

/// Why guest instructions are not executed any more, for now.
enum Stop {
    /// Generated code: the budget does not cover the next block.
    Short,
    /// Something else is to execute the instruction at the pc: there is a block, or there is none,
    /// or the budget is used up.
    Elsewhere,
    /// An `ecall` retired; the pc is after it.
    Ecall,
    /// The instruction at the pc trapped.
    Fault(GuestFault),
}

/// Interprets up to the budget, which is not changed; the port counts the steps.
#[inline(never)]
fn interpret(
    program: &Program,
    decoder: &mut Decoder,
    state: &mut HartState,
    port: &mut GuestPort<'_>,
    until_entry: bool,
) -> Stop {
    let end = port.steps + state.budget as u64;
    let mut pc = state.pc;
    let stop = loop {
        if port.steps >= end {
            break Stop::Elsewhere;
        }
        let inst = match decoder.fetch(pc) {
            Ok(inst) => inst,
            Err(fault) => break Stop::Fault(fault),
        };
        let log = port.log;
        let done = step(&mut state.x, &mut state.reservation, pc, inst, port);
        let next = match done {
            Ok(Step::Next(next) | Step::Ecall(next)) => next,
            Err(trap) => {
                // An AMO has read before its write failed.
                port.log = log;
                break Stop::Fault(classify(inst, trap));
            }
        };
        pc = next;
        port.steps += 1;
        if let Ok(Step::Ecall(_)) = done {
            break Stop::Ecall;
        }
        if until_entry && program.entry(pc).is_some() {
            break Stop::Elsewhere;
        }
    };
    state.pc = pc;
    stop
}

/// Steps after which a run without trace comes back to the runtime. `rsp` counts them: a larger
/// number could look like an address of the host.
const SLICE: u64 = 1 << 40;

/// A guest that is running.
pub struct Run {
    program: Program,
    /// Registers and pc.
    pub state: &'static mut HartState,
    /// Memory map.
    pub abi: Abi,
    /// Memory, files, trace.
    pub host: GuestHost,
    decoder: Decoder,
    chunk_steps: u64,
    limit: u64,
    /// Steps that the interpreter retired.
    pub interpreted: u64,
}

impl Run {
    /// A guest before its first instruction.
    ///
    /// # Errors
    /// [`Failure::Host`].
    pub fn new(
        program: Program,
        state: &'static mut HartState,
        abi: Abi,
        host: GuestHost,
        chunk_steps: u64,
        limit: u64,
    ) -> Result<Run, Failure> {
        let chunk_steps = if host.recorder.is_some() {
            chunk_steps
        } else {
            SLICE
        };
        Ok(Run {
            program,
            state,
            abi,
            host,
            decoder: Decoder::new(program)?,
            chunk_steps,
            limit,
            interpreted: 0,
        })
    }

    /// Steps retired so far.
    pub fn steps(&self) -> u64 {
        self.state.step_end.wrapping_sub(self.state.budget as u64)
    }

    /// The instruction at the pc, if there is one.
    pub fn instruction(&mut self) -> Option<Inst> {
        self.decoder.fetch(self.state.pc).ok().copied()
    }

    /// Runs the guest to its end.
    ///
    /// # Errors
    /// [`Failure`], when the host cannot go on.
    pub fn run(&mut self) -> Result<End, Failure> {
        self.open_chunk(0)?;
        if self.abi.over_limit(None) {
            let end = self.memory_limit();
            self.seal_chunk(end.of_chunk());
            return Ok(end);
        }
        // The rest of the chunk is interpreted, up to its last step.
        let mut short = false;
        loop {
            if self.state.budget == 0 {
                if let Some(end) = self.next_chunk()? {
                    return Ok(end);
                }
                short = false;
            }
            let entry = if short {
                None
            } else {
                self.program.entry(self.state.pc)
            };
            let stop = match entry {
                Some(target) => self.enter(target)?,
                None => self.interpret(!short),
            };
            let end = match stop {
                Stop::Elsewhere => continue,
                Stop::Short => {
                    short = true;
                    continue;
                }
                Stop::Ecall => match self.environment_call()? {
                    Some(end) => end,
                    None => continue,
                },
                Stop::Fault(fault) => End::Fault(fault),
            };
            self.seal_chunk(end.of_chunk());
            return Ok(end);
        }
    }

    fn open_chunk(&mut self, step: u64) -> Result<(), Failure> {
        self.state.step_end = step.saturating_add(self.chunk_steps).min(self.limit);
        self.state.budget = (self.state.step_end - step) as i64;
        match &mut self.host.recorder {
            Some(recorder) => recorder.open(self.state, step),
            None => Ok(()),
        }
    }

    fn seal_chunk(&mut self, how: ChunkEnd) {
        let step = self.steps();
        if let Some(recorder) = &mut self.host.recorder {
            recorder.seal(self.state, step, how);
        }
    }

    /// The budget is used up and another instruction is to be attempted.
    fn next_chunk(&mut self) -> Result<Option<End>, Failure> {
        let step = self.steps();
        if step >= self.limit {
            self.seal_chunk(End::StepLimit.of_chunk());
            return Ok(Some(End::StepLimit));
        }
        self.seal_chunk(ChunkEnd::NEXT);
        self.open_chunk(step)?;
        Ok(None)
    }

    /// Executes generated code from a block on.
    fn enter(&mut self, target: u64) -> Result<Stop, Failure> {
        let enter = core::ptr::with_exposed_provenance::<()>(self.program.raw.enter as usize);
        // SAFETY: the contract says that this function is there. It keeps to the C ABI, touches
        // the state block, the jump table, the guest's memory, and the log (which has room for
        // what the budget allows).
        let enter: extern "C" fn(*mut HartState, u64) = unsafe { core::mem::transmute(enter) };
        enter(&raw mut *self.state, target);
        Ok(match self.state.reason {
            reason::CHUNK_END => Stop::Short,
            reason::JUMP => Stop::Elsewhere,
            reason::ECALL => {
                self.state.pc += 4;
                Stop::Ecall
            }
            _ => Stop::Fault(self.resolve_fault()?),
        })
    }

    /// Interprets until the budget is used up or, if so wanted, there is a block at the pc.
    fn interpret(&mut self, until_entry: bool) -> Stop {
        let first = self.steps();
        let Run {
            program,
            state,
            abi,
            host,
            decoder,
            ..
        } = self;
        let log = host.recorder.is_some().then_some(state.log);
        let mut port = GuestPort::new(abi, log, first);
        let stop = interpret(program, decoder, state, &mut port, until_entry);
        if let Some(log) = port.log {
            state.log = log;
        }
        let retired = port.steps - first;
        state.budget -= retired as i64;
        self.interpreted += retired;
        stop
    }

    fn memory_limit(&self) -> End {
        End::MemoryLimit(self.abi.memory_limit())
    }

    /// Performs the call of the `ecall` that retired last. How the guest ends, if it does.
    fn environment_call(&mut self) -> Result<Option<End>, Failure> {
        if self.abi.over_limit(Some(&self.state.x)) {
            // It is not to be performed, so it has not retired.
            self.state.pc -= 4;
            self.state.budget += 1;
            return Ok(Some(self.memory_limit()));
        }
        let step = self.steps() - 1;
        let outcome = self.abi.call(&mut self.host, &self.state.x, step)?;
        self.state.x[10] = outcome.result;
        Ok(outcome.exit.map(End::Exit))
    }

    /// What the guest did wrong when generated code raised a signal.
    ///
    /// Generated code defers and renames registers inside of a block. With a trace, the chunk up
    /// to the fault is executed again from its log, which gives every register; then the faulting
    /// instruction is interpreted and tells exactly what the reference interpreter would.
    fn resolve_fault(&mut self) -> Result<GuestFault, Failure> {
        let fault = signal::last_fault();
        self.state.budget += fault.refund as i64;
        let mut exact = false;
        let steps = self.steps();
        if let Some(recorder) = &mut self.host.recorder {
            self.state.log += fault.log;
            recorder.complete(self.state, &fault.vector[..fault.waiting.min(16)]);
            let (header, log, events) = recorder.so_far(self.state);
            let count = steps - header.first_step.get();
            let hart = replay(&mut self.decoder, header, log, events, count);
            if let Some(hart) = hart.filter(|h| h.pc == self.state.pc) {
                self.state.x = hart.x;
                self.state.reservation = hart.reservation;
                exact = true;
            }
        }
        let inst = match self.decoder.fetch(self.state.pc) {
            Ok(inst) => *inst,
            Err(fault) => return Ok(fault),
        };
        if exact || !fault.access {
            let HartState {
                mut x,
                mut reservation,
                pc,
                ..
            } = *self.state;
            let mut port = GuestPort::new(&self.abi, None, steps);
            if let Err(trap) = step(&mut x, &mut reservation, pc, &inst, &mut port) {
                return Ok(classify(&inst, trap));
            }
            if exact && fault.access {
                return Err(Failure::Page { addr: fault.addr });
            }
        }
        Ok(self.guess(&inst, fault.addr))
    }

    /// The same from the address of the signal alone; registers may be out of date.
    fn guess(&self, inst: &Inst, signal_addr: u64) -> GuestFault {
        let Some(width) = inst.op.effect().width() else {
            let kind = if inst.op == Op::Ebreak {
                FaultKind::Breakpoint
            } else {
                FaultKind::Illegal
            };
            return GuestFault {
                kind,
                value: inst.raw.into(),
            };
        };
        let kind = access_kind(inst);
        let base = self.state.x[usize::from(inst.rs1 & 31)];
        let addr = base.wrapping_add(i64::from(inst.imm) as u64);
        if matches!(inst.op.format(), Format::Amo | Format::Lr) && signal_addr == 0 {
            return GuestFault {
                kind: FaultKind::MisalignedAtomic,
                value: addr,
            };
        }
        let write = kind == FaultKind::StoreAccess;
        // The signal knows the lower half of the address only.
        let value = match first_inaccessible(&self.abi, addr, width.bytes(), write) {
            Some(addr) if addr as u32 == signal_addr as u32 => addr,
            _ => signal_addr,
        };
        GuestFault { kind, value }
    }
}
