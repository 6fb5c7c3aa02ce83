//! Generated code and interpreter side by side, chunk by chunk.
//!
//! [`Native`] does what the runtime does: it enters the block at the hart's pc, and where there is
//! none, or where the budget does not cover it, it interprets until there is one.

use crate::native::{Exit, Machine, Signal};
use crate::program::Program;
use crate::reference::{Fault, Reference, Region, Stop, environment_call, interpret, replay};
use compiler::Mode;
use hartlog_format::status::FaultKind;
use hartlog_isa::{ABI_NAMES, Effect, Hart, Op, Outcome, decode_at};
use std::fmt;

/// A run of generated code.
pub struct Native<'p> {
    program: &'p Program,
    /// Code and memory.
    pub machine: Machine,
    /// Steps retired.
    pub steps: u64,
    /// How often generated code was entered and did something.
    pub entered: u64,
    /// Steps that were interpreted.
    pub interpreted: u64,
    /// Replay: bytes of the chunk's log.
    log_len: usize,
}

/// Generated code did something that it never may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect(pub String);

impl<'p> Native<'p> {
    /// Maps code and memory, for chunks of up to `max_steps` steps.
    ///
    /// # Panics
    /// If memory cannot be mapped.
    pub fn new(program: &'p Program, memory: &[Region], max_steps: u64) -> Native<'p> {
        // Replay accesses no memory: the guest's is not even there.
        let memory = if program.setup.mode == Mode::Replay {
            &[]
        } else {
            memory
        };
        let machine = match Machine::new(program, memory, max_steps) {
            Ok(machine) => machine,
            Err(e) => panic!("the program cannot be mapped: {e}"),
        };
        Native {
            program,
            machine,
            steps: 0,
            entered: 0,
            interpreted: 0,
            log_len: 0,
        }
    }

    /// Sets the hart's state; `steps` were retired before.
    pub fn start(&mut self, hart: &Hart, steps: u64) {
        self.steps = steps;
        let state = self.machine.state();
        state.x = hart.x;
        state.pc = hart.pc;
        state.reservation = hart.reservation;
        // What templates leave there must not matter.
        state.scratch = [0x5c5c_5c5c_5c5c_5c5c; 8];
    }

    /// The hart, between chunks.
    pub fn hart(&mut self) -> Hart {
        let state = self.machine.state();
        Hart {
            x: state.x,
            pc: state.pc,
            reservation: state.reservation,
        }
    }

    /// Runs a chunk of so many steps.
    ///
    /// # Errors
    /// [`Defect`].
    pub fn chunk(&mut self, budget: u64) -> Result<Stop, Defect> {
        self.machine.clear_log();
        self.go(budget)
    }

    /// Re-executes a chunk of so many steps with the values that it logged.
    ///
    /// # Errors
    /// [`Defect`].
    pub fn replay(&mut self, budget: u64, log: &[u8]) -> Result<Stop, Defect> {
        self.machine.set_log(log);
        self.log_len = log.len();
        let stop = self.go(budget)?;
        match self
            .machine
            .state()
            .log
            .wrapping_sub(self.machine.log_start())
        {
            taken if taken == log.len() as u64 => Ok(stop),
            taken => Err(Defect(format!(
                "{taken} bytes of the log read, not {}",
                log.len()
            ))),
        }
    }

    fn go(&mut self, budget: u64) -> Result<Stop, Defect> {
        let end = self.steps + budget;
        let state = self.machine.state();
        state.budget = budget as i64;
        state.step_end = end;
        let stop = self.chunk_until(end);
        self.steps = end.wrapping_sub(self.machine.state().budget as u64);
        stop
    }

    fn chunk_until(&mut self, end: u64) -> Result<Stop, Defect> {
        loop {
            let state = self.machine.state();
            let (pc, budget) = (state.pc, state.budget);
            if budget < 0 || budget > end as i64 {
                return Err(Defect(format!("the budget is {budget}")));
            }
            if budget == 0 {
                return Ok(Stop::Budget);
            }
            let mut at_block = false;
            if let Some(host) = self.machine.entry(pc) {
                let exit = self.machine.enter(host);
                let done = self.machine.state().budget != budget || matches!(exit, Exit::Fault(_));
                self.entered += u64::from(done);
                match exit {
                    Exit::ChunkEnd => at_block = true,
                    Exit::Jump => {}
                    Exit::Ecall => {
                        self.machine.state().pc += 4;
                        if let Some(status) = environment_call(&mut self.machine.state().x) {
                            return Ok(Stop::Exit(status));
                        }
                    }
                    Exit::Fault(signal) => return Ok(Stop::Fault(self.explain(signal)?)),
                    Exit::Unexplained(signal) => {
                        return Err(Defect(format!("signal without fault site: {signal:x?}")));
                    }
                    Exit::Unknown(reason) => {
                        return Err(Defect(format!("left with reason {reason}")));
                    }
                }
                if self.machine.state().x[0] != 0 {
                    return Err(Defect("x0 is not 0".to_owned()));
                }
            } else {
                at_block = true;
            }
            // The block at the pc cannot run, or there is none: go on without it.
            if at_block
                && self.machine.state().budget != 0
                && let Some(stop) = self.interpret(end)
            {
                return Ok(stop);
            }
        }
    }

    /// One instruction by the interpreter, on the native side's state.
    fn interpret(&mut self, end: u64) -> Option<Stop> {
        let mut hart = self.hart();
        let steps = end - self.machine.state().budget as u64;
        let elf = &self.program.elf;
        let outcome = if self.program.setup.mode == Mode::Replay {
            replay(elf, &mut hart, self.machine.unread(self.log_len), steps).map(
                |(outcome, taken)| {
                    self.machine.skip_log(taken);
                    outcome
                },
            )
        } else {
            let mut log = Vec::new();
            let outcome = interpret(elf, &mut hart, &mut self.machine, &mut log, steps);
            self.machine.append_log(&log);
            outcome
        };
        let state = self.machine.state();
        (state.x, state.pc, state.reservation) = (hart.x, hart.pc, hart.reservation);
        match outcome {
            Err(fault) => return Some(Stop::Fault(fault)),
            Ok(outcome) => {
                state.budget -= 1;
                self.interpreted += 1;
                if outcome == Outcome::Ecall {
                    return environment_call(&mut state.x).map(Stop::Exit);
                }
            }
        }
        None
    }

    /// The guest's fault behind a signal.
    fn explain(&mut self, signal: Signal) -> Result<Fault, Defect> {
        let pc = self.machine.state().pc;
        let inst = self
            .program
            .elf
            .code_at(pc)
            .and_then(|bytes| decode_at(bytes).ok());
        let fault = |kind, value| Ok(Fault { kind, pc, value });
        let Some(inst) = inst else {
            return fault(FaultKind::Illegal, 0);
        };
        if signal.number != libc::SIGILL {
            let store = match inst.op.effect() {
                Effect::Write(_) | Effect::CondStore(_) => true,
                Effect::ReadWrite(_) => signal.write,
                Effect::Read(_) | Effect::Reserve(_) => false,
                Effect::None => return Err(Defect(format!("{signal:x?} at {inst}"))),
            };
            let kind = if store {
                FaultKind::StoreAccess
            } else {
                FaultKind::LoadAccess
            };
            return fault(kind, signal.addr);
        }
        match (inst.op.effect(), inst.op) {
            (Effect::None, Op::Ebreak) => fault(FaultKind::Breakpoint, 0),
            (Effect::None, _) => fault(FaultKind::Illegal, 0),
            (effect, _) => {
                // Either an address above the window (checked mode) or a misaligned atomic. What
                // the registers hold here is not the architectural state, except at atomics.
                let atomic = !matches!(effect, Effect::Read(_) | Effect::Write(_));
                let addr = self.machine.state().x[usize::from(inst.rs1)];
                let width = effect.width().map_or(1, |w| w.bytes());
                if atomic && !addr.is_multiple_of(width) {
                    return fault(FaultKind::MisalignedAtomic, addr);
                }
                let store = matches!(effect, Effect::Write(_) | Effect::CondStore(_));
                fault(
                    if store {
                        FaultKind::StoreAccess
                    } else {
                        FaultKind::LoadAccess
                    },
                    0,
                )
            }
        }
    }
}

/// The first difference between the two sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Steps retired before the chunk.
    pub steps: u64,
    /// Its length.
    pub budget: u64,
    /// The hart at the start of the chunk.
    pub start: Hart,
    /// What differs.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference {
            steps,
            budget,
            start,
            what,
        } = self;
        writeln!(
            f,
            "chunk of {budget} steps from step {steps}, pc {:#x}: {what}",
            start.pc
        )?;
        for (name, value) in ABI_NAMES.iter().zip(start.x) {
            write!(f, " {name}={value:#x}")?;
        }
        writeln!(f)
    }
}

/// Runs one chunk on both sides and compares everything but memory.
///
/// A run ends, without a comparison, where the guest uses an address above the window and the code
/// was not asked to check that: it aliases then, and only replay sees it.
///
/// # Errors
/// What differs.
pub fn chunk(
    native: &mut Native<'_>,
    reference: &mut Reference<'_>,
    budget: u64,
) -> Result<Stop, String> {
    let before = reference.steps;
    let wanted = reference.chunk(budget);
    if native.program.setup.mode == Mode::Replay {
        // A chunk says how many of its steps retired; what ended it is for the interpreter.
        let found = native
            .replay(reference.steps - before, &reference.log)
            .map_err(|defect| defect.0)?;
        if !matches!(found, Stop::Budget | Stop::Exit(_)) {
            return Err(format!("stopped with {found:x?} in replay"));
        }
        return same_hart(native, reference).map(|()| wanted);
    }
    if let Stop::Fault(Fault {
        kind: FaultKind::LoadAccess | FaultKind::StoreAccess,
        value,
        ..
    }) = wanted
        && value > u64::from(u32::MAX)
        && !native.program.setup.checked
    {
        native.steps = u64::MAX;
        return Ok(wanted);
    }
    let found = native
        .chunk(budget)
        .map_err(|defect| format!("{}; expected {wanted:?}", defect.0))?;
    if !same_stop(found, wanted) {
        return Err(format!("stopped with {found:x?}, expected {wanted:x?}"));
    }
    if native.steps != reference.steps {
        return Err(format!(
            "{} steps retired, expected {}",
            native.steps, reference.steps
        ));
    }
    if native.program.setup.mode == Mode::Trace {
        let log = native.machine.log();
        if log != reference.log {
            return Err(format!("log {log:02x?}, expected {:02x?}", reference.log));
        }
    }
    // A fault ends the run: what registers hold then goes nowhere.
    if matches!(wanted, Stop::Fault(_)) {
        return Ok(wanted);
    }
    same_hart(native, reference).map(|()| wanted)
}

fn same_hart(native: &mut Native<'_>, reference: &Reference<'_>) -> Result<(), String> {
    let (a, b) = (native.hart(), &reference.hart);
    for ((name, found), wanted) in ABI_NAMES.iter().zip(a.x).zip(b.x) {
        if found != wanted {
            return Err(format!("{name} = {found:#x}, expected {wanted:#x}"));
        }
    }
    if a.pc != b.pc {
        return Err(format!("pc = {:#x}, expected {:#x}", a.pc, b.pc));
    }
    if a.reservation != b.reservation {
        return Err(format!(
            "reservation = {:#x}, expected {:#x}",
            a.reservation, b.reservation
        ));
    }
    Ok(())
}

/// Equal, but for the address where generated code cannot know it.
fn same_stop(found: Stop, wanted: Stop) -> bool {
    match (found, wanted) {
        (Stop::Fault(a), Stop::Fault(b)) => {
            a.kind == b.kind
                && a.pc == b.pc
                && (a.value == b.value || a.value == 0 || b.value >> 32 != 0)
        }
        _ => found == wanted,
    }
}

/// Runs both sides from `start` in chunks of the lengths given, repeated, for at most `limit`
/// steps, and compares everything after each.
///
/// # Errors
/// The first [`Difference`].
pub fn compare(
    native: &mut Native<'_>,
    memory: &[Region],
    start: &Hart,
    budgets: &[u64],
    limit: u64,
) -> Result<Stop, Box<Difference>> {
    native.machine.reset(memory);
    native.start(start, 0);
    let mut reference = Reference::new(&native.program.elf, start.clone(), memory.to_vec());
    let mut budgets = budgets.iter().copied().cycle();
    loop {
        let budget = budgets.next().unwrap_or(1);
        let (steps, before) = (reference.steps, reference.hart.clone());
        let difference = |what| {
            Box::new(Difference {
                steps,
                budget,
                start: before.clone(),
                what,
            })
        };
        let stop = chunk(native, &mut reference, budget).map_err(difference)?;
        if native.steps != reference.steps {
            return Ok(stop);
        }
        if let Some(addr) = native.machine.difference(&reference.memory) {
            return Err(difference(format!("memory differs at {addr:#x}")));
        }
        if stop != Stop::Budget || reference.steps >= limit {
            return Ok(stop);
        }
    }
}
