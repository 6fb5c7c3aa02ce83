//! The fast interpreter loop: decoded code in slots, each with the function that executes it.
//!
//! A plain loop around [`crate::execute`] has one dispatch site, and the next fetch waits for the
//! instruction's length. Here every instruction dispatches the next one itself (the host predicts
//! each such jump on its own), and a function exists per instruction and length, so both are
//! constants in it. The semantics are still those of [`crate::step`], and only those.

use crate::table::handler;
use crate::{Hart, Inst, Op, Port, Step, Trap, Width, decode_at, semantics::step_known};

/// Longest chain of handlers. The compiler turns their calls into jumps when it optimises; where
/// it does not, this bounds the stack.
const BURST: u64 = 256;

/// Why [`run`] returned.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Stop<F> {
    /// The limit is reached.
    Limit,
    /// An `ecall` retired (and counts); the caller performs the call.
    Ecall,
    /// The code has no instruction at the hart's pc: outside the slots, odd, or undecodable.
    NoInstruction,
    /// The instruction at the hart's pc trapped and did not retire.
    Trap(Trap<F>),
}

/// One halfword of code, 16 bytes: the instruction that starts there, ready to run.
pub struct Slot<P: Port> {
    handler: Handler<P>,
    imm: i32,
    rd: u8,
    rs1: u8,
    rs2: u8,
}

/// Executes the slot at a pc and goes on, with so many instructions left in the burst.
pub(crate) type Handler<P> = fn(&mut Frame<'_, P>, &[Slot<P>], &Slot<P>, u64, u64);

impl<P: Port> Slot<P> {
    /// The slot of an instruction.
    pub fn new(inst: &Inst) -> Slot<P> {
        let Inst {
            op,
            rd,
            rs1,
            rs2,
            imm,
            ..
        } = *inst;
        let handler = if inst.len == 2 {
            handler::<P, 2>(op)
        } else {
            handler::<P, 4>(op)
        };
        Slot {
            handler,
            imm,
            rd,
            rs1,
            rs2,
        }
    }

    /// The slot of a halfword at which no instruction starts.
    pub fn none() -> Slot<P> {
        Slot {
            handler: no_instruction::<P>,
            imm: 0,
            rd: 0,
            rs1: 0,
            rs2: 0,
        }
    }
}

impl<P: Port> Clone for Slot<P> {
    fn clone(&self) -> Slot<P> {
        *self
    }
}

impl<P: Port> Copy for Slot<P> {}

/// The slots of `text`, one for each halfword, so that also a jump into the middle of an
/// instruction finds what is encoded there. `text` ends where the executable bytes end.
pub fn predecode<P: Port>(text: &[u8]) -> impl Iterator<Item = Slot<P>> {
    let halfwords = text.len() / 2;
    (0..halfwords).map(|index| match decode_at(&text[2 * index..]) {
        Ok(inst) => Slot::new(&inst),
        Err(_) => Slot::none(),
    })
}

/// What handlers share; the hart's pc and the count of steps travel in their arguments.
pub(crate) struct Frame<'a, P: Port> {
    hart: &'a mut Hart,
    port: &'a mut P,
    /// Address of the first slot.
    base: u64,
    /// Instructions retired by this [`run`] up to the start of the burst.
    retired: u64,
    /// Length of the burst.
    burst: u64,
    stop: Stop<P::Fault>,
}

impl<P: Port> Frame<'_, P> {
    /// Ends a burst with `left` of its instructions not retired.
    fn end(&mut self, pc: u64, left: u64, stop: Stop<P::Fault>) {
        self.hart.pc = pc;
        self.retired += self.burst - left;
        self.stop = stop;
    }

    fn slot<'c>(&self, code: &'c [Slot<P>], pc: u64) -> Option<&'c Slot<P>> {
        code.get(usize::try_from(pc.wrapping_sub(self.base) >> 1).ok()?)
    }
}

/// The caller's port, with the steps of the current run added to its count.
struct Counting<'a, P: Port> {
    port: &'a mut P,
    retired: u64,
}

impl<P: Port> Port for Counting<'_, P> {
    type Fault = P::Fault;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, P::Fault> {
        self.port.load(addr, width)
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), P::Fault> {
        self.port.store(addr, width, value)
    }

    #[inline(always)]
    fn steps(&mut self) -> u64 {
        self.port.steps() + self.retired
    }
}

/// Executes an instruction whose operation and length are known, then the next one.
pub(crate) fn handle<P: Port, const OP: u8, const LEN: u8>(
    frame: &mut Frame<'_, P>,
    code: &[Slot<P>],
    slot: &Slot<P>,
    pc: u64,
    left: u64,
) {
    let Slot {
        imm, rd, rs1, rs2, ..
    } = *slot;
    let inst = Inst {
        op: Op::ALL[OP as usize],
        rd,
        rs1,
        rs2,
        len: LEN,
        imm,
        raw: 0,
    };
    let retired = frame.retired + (frame.burst - left);
    let mut port = Counting {
        port: &mut *frame.port,
        retired,
    };
    let Hart { x, reservation, .. } = &mut *frame.hart;
    let next = match step_known::<_, OP>(x, reservation, pc, &inst, &mut port) {
        Ok(Step::Next(next)) => next,
        Ok(Step::Ecall(next)) => return frame.end(next, left - 1, Stop::Ecall),
        Err(trap) => return frame.end(pc, left, Stop::Trap(trap)),
    };
    let left = left - 1;
    if left == 0 {
        return frame.end(next, 0, Stop::Limit);
    }
    match frame.slot(code, next) {
        Some(slot) => (slot.handler)(frame, code, slot, next, left),
        None => frame.end(next, left, Stop::NoInstruction),
    }
}

fn no_instruction<P: Port>(
    frame: &mut Frame<'_, P>,
    _code: &[Slot<P>],
    _slot: &Slot<P>,
    pc: u64,
    left: u64,
) {
    frame.end(pc, left, Stop::NoInstruction);
}

/// Executes up to `limit` instructions from `hart.pc` on. `code[i]` is the slot of address
/// `base + 2 * i`. Returns how many retired, and why it stopped; the hart is at the next
/// instruction, or at the one that trapped.
///
/// While it runs, the counters read as `port.steps()` plus the instructions that this call has
/// retired, so the port counts whole calls only.
pub fn run<P: Port>(
    hart: &mut Hart,
    code: &[Slot<P>],
    base: u64,
    port: &mut P,
    limit: u64,
) -> (u64, Stop<P::Fault>) {
    let mut frame = Frame {
        hart,
        port,
        base,
        retired: 0,
        burst: 0,
        stop: Stop::Limit,
    };
    // Instructions keep an even pc even.
    if frame.hart.pc & 1 != 0 && limit != 0 {
        return (0, Stop::NoInstruction);
    }
    while frame.retired < limit && matches!(frame.stop, Stop::Limit) {
        let pc = frame.hart.pc;
        frame.burst = BURST.min(limit - frame.retired);
        let burst = frame.burst;
        match frame.slot(code, pc) {
            Some(slot) => (slot.handler)(&mut frame, code, slot, pc, burst),
            None => frame.end(pc, burst, Stop::NoInstruction),
        }
    }
    (frame.retired, frame.stop)
}
