//! Re-executes a chunk and hands over every step with its values.

use crate::chunk::{Call, LogPort, NoSink, PortFault, Walk};
use crate::error::Difference;
use crate::program::{Fetched, Program};
use hartlog_format::parse::Chunk;
use hartlog_isa::{Hart, Port, Step, Width, step};

/// One retired instruction. Values that an instruction does not have are 0.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Steps retired before it, since the start of the run.
    pub step: u64,
    /// Its address.
    pub pc: u64,
    /// Its index in the decoded program, see [`Program::fetch_indexed`].
    pub index: u64,
    /// The instruction.
    pub inst: &'a hartlog_isa::Inst,
    /// Value of rs1 before.
    pub rs1: u64,
    /// Value of rs2 before, or the immediate (sign-extended) if there is no rs2.
    pub rs2: u64,
    /// Value of rd after; a0 of an `ecall`.
    pub rd: u64,
    /// Memory access.
    pub access: Option<Access>,
    /// Address of the next instruction.
    pub next_pc: u64,
}

/// A memory access of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Effective address.
    pub addr: u64,
    /// Width.
    pub width: Width,
    /// Value read, zero-extended.
    pub read: Option<u64>,
    /// Value written, zero-extended.
    pub written: Option<u64>,
}

/// Takes the steps of a chunk, one by one. Every method does nothing unless it is written.
pub trait Consumer {
    /// A chunk starts.
    fn begin_chunk(&mut self, _chunk: &Chunk<'_>) {}
    /// An instruction retired.
    fn row(&mut self, _row: &Row<'_>) {}
    /// An environment call; its row follows.
    fn call(&mut self, _call: &Call<'_>) {}
    /// The chunk is at its end, in this state.
    fn end_chunk(&mut self, _hart: &Hart) {}
}

/// [`LogPort`] that remembers the access.
pub(crate) struct RowPort<'t> {
    pub(crate) log: LogPort<'t, NoSink>,
    access: Option<Access>,
}

impl<'t> RowPort<'t> {
    /// A port at the start of a chunk.
    pub(crate) fn new(chunk: &Chunk<'t>) -> RowPort<'t> {
        let mut log = LogPort::new(NoSink);
        log.rewind(chunk);
        RowPort { log, access: None }
    }
}

impl Port for RowPort<'_> {
    type Fault = PortFault;

    #[inline(always)]
    fn load(&mut self, addr: u64, width: Width) -> Result<u64, PortFault> {
        let value = self.log.load(addr, width)?;
        self.access = Some(Access {
            addr,
            width,
            read: Some(value),
            written: None,
        });
        Ok(value)
    }

    #[inline(always)]
    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        self.log.store(addr, width, value)?;
        let read = self.access.and_then(|a| a.read);
        self.access = Some(Access {
            addr,
            width,
            read,
            written: Some(value),
        });
        Ok(())
    }

    #[inline(always)]
    fn steps(&mut self) -> u64 {
        self.log.steps
    }
}

/// Executes the next instruction of a chunk. `on_call` is told of an environment call.
///
/// # Errors
/// [`Difference`] if it does not retire.
#[inline]
pub(crate) fn next_row<'p, 't>(
    walk: &mut Walk<'p, 't>,
    port: &mut RowPort<'t>,
    on_call: impl FnOnce(&Call<'t>),
) -> Result<Row<'p>, Difference> {
    let pc = walk.hart.pc;
    let (fetched, index) = walk.program.fetch_indexed(pc);
    let Fetched::Inst(inst) = fetched else {
        return Err(walk.no_instruction());
    };
    let value = |x: &[u64; 32], register: Option<u8>, other| {
        register.map_or(other, |r| x[usize::from(r & 31)])
    };
    let (rs1, rs2) = inst.sources();
    let rs1 = value(&walk.hart.x, rs1, 0);
    let rs2 = value(&walk.hart.x, rs2, i64::from(inst.imm) as u64);
    port.access = None;
    let hart = &mut walk.hart;
    let outcome = step(&mut hart.x, &mut hart.reservation, pc, inst, port);
    let step = walk.step();
    let rd = match outcome {
        Ok(Step::Next(next)) => {
            walk.hart.pc = next;
            walk.done += 1;
            value(&walk.hart.x, inst.writes(), 0)
        }
        Ok(Step::Ecall(next)) => {
            walk.hart.pc = next;
            walk.done += 1;
            on_call(walk.call()?);
            walk.hart.x[10]
        }
        Err(trap) => return Err(walk.trapped(trap)),
    };
    port.log.steps += 1;
    Ok(Row {
        step,
        pc,
        index,
        inst,
        rs1,
        rs2,
        rd,
        access: port.access,
        next_pc: walk.hart.pc,
    })
}

/// Re-executes a chunk and hands over every step. Returns the state at its end.
///
/// # Errors
/// The first [`Difference`] inside the chunk; the rows before it were handed over.
pub fn replay<'t, C: Consumer>(
    program: &Program,
    chunk: &Chunk<'t>,
    consumer: &mut C,
) -> Result<Hart, Difference> {
    let mut walk = Walk::new(program, chunk);
    let mut port = RowPort::new(chunk);
    consumer.begin_chunk(chunk);
    while walk.left() > 0 {
        let row = next_row(&mut walk, &mut port, |call| consumer.call(call))?;
        consumer.row(&row);
    }
    let hart = walk.finish(port.log.at)?;
    consumer.end_chunk(&hart);
    Ok(hart)
}
