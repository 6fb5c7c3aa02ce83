//! Chunks re-executed by the interpreter.

use crate::chunk::{LogPort, MemorySink, NoSink, PortFault, Walk};
use crate::error::Difference;
use crate::program::{self, Program};
use crate::rows::{RowPort, next_row};
use crate::witness::batch::{Fill, Owned, Storage};
use crate::witness::{BATCH_OPS, BATCH_STEPS, Columns, Consumer, MemoryOp};
use hartlog_format::parse::Chunk;
use hartlog_isa::{Hart, Stop, Width};

/// Decoded code for the loop that the columns need.
pub(super) enum Code<'t> {
    Bare(program::Code<LogPort<'t, NoSink>>),
    Ops(program::Code<LogPort<'t, Ops>>),
    Rows,
}

impl Code<'_> {
    pub(super) fn new(program: &Program, columns: Columns) -> Self {
        if columns.has_rows() || columns.contains(Columns::MEMORY | Columns::STEPS) {
            Code::Rows
        } else if columns.contains(Columns::MEMORY) {
            Code::Ops(program.code())
        } else {
            Code::Bare(program.code())
        }
    }
}

/// Collects memory operations; there is always room for those of [`BATCH_STEPS`] steps.
pub(super) struct Ops {
    ops: Vec<MemoryOp>,
    len: usize,
}

impl Ops {
    #[inline(always)]
    fn push(&mut self, addr: u64, value: u64, kind: u32) {
        if let Some(place) = self.ops.get_mut(self.len) {
            *place = MemoryOp {
                addr,
                value,
                step: 0,
                kind,
            };
            self.len += 1;
        }
    }

    fn flush<'t, C: Consumer<'t>>(&mut self, consumer: &mut C) {
        if self.len > 0 {
            consumer.memory_ops(&self.ops[..self.len]);
            self.len = 0;
        }
    }
}

impl MemorySink for Ops {
    #[inline(always)]
    fn read(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        self.push(addr, value, width.bytes() as u32);
        Ok(())
    }

    #[inline(always)]
    fn write(&mut self, addr: u64, width: Width, value: u64) -> Result<(), PortFault> {
        self.push(addr, value, width.bytes() as u32 | MemoryOp::WRITE);
        Ok(())
    }
}

pub(super) struct Worker<'t> {
    columns: Columns,
    bare: LogPort<'t, NoSink>,
    ops: LogPort<'t, Ops>,
    batch: Owned,
}

impl<'t> Worker<'t> {
    pub(super) fn new(columns: Columns) -> Worker<'t> {
        let len = if columns.contains(Columns::MEMORY) {
            BATCH_OPS
        } else {
            0
        };
        Worker {
            columns,
            bare: LogPort::new(NoSink),
            ops: LogPort::new(Ops {
                ops: vec![MemoryOp::default(); len],
                len: 0,
            }),
            batch: Owned::new(columns),
        }
    }

    pub(super) fn replay<C: Consumer<'t>>(
        &mut self,
        program: &Program,
        code: &Code<'t>,
        chunk: &Chunk<'t>,
        consumer: &mut C,
    ) -> Result<Hart, Box<Difference>> {
        consumer.begin_chunk(chunk);
        let walk = Walk::new(program, chunk);
        let hart = match code {
            Code::Bare(code) => bare(walk, code, chunk, &mut self.bare, consumer),
            Code::Ops(code) => ops(walk, code, chunk, &mut self.ops, consumer),
            Code::Rows => rows(walk, self.columns, chunk, &mut self.batch, consumer),
        };
        hart.map_err(Box::new)
    }
}

fn bare<'t, C: Consumer<'t>>(
    mut walk: Walk<'_, 't>,
    code: &program::Code<LogPort<'t, NoSink>>,
    chunk: &Chunk<'t>,
    port: &mut LogPort<'t, NoSink>,
    consumer: &mut C,
) -> Result<Hart, Difference> {
    port.rewind(chunk);
    loop {
        let left = walk.left();
        match burst(&mut walk, code, port, left) {
            Stop::Limit => return walk.finish(port.at),
            Stop::Ecall => consumer.call(walk.call()?),
            Stop::NoInstruction => return Err(walk.no_instruction()),
            Stop::Trap(trap) => return Err(walk.trapped(trap)),
        }
    }
}

fn ops<'t, C: Consumer<'t>>(
    mut walk: Walk<'_, 't>,
    code: &program::Code<LogPort<'t, Ops>>,
    chunk: &Chunk<'t>,
    port: &mut LogPort<'t, Ops>,
    consumer: &mut C,
) -> Result<Hart, Difference> {
    port.rewind(chunk);
    port.sink.len = 0;
    loop {
        let left = walk.left().min(BATCH_STEPS as u64);
        let stop = burst(&mut walk, code, port, left);
        port.sink.flush(consumer);
        match stop {
            Stop::Limit if walk.left() > 0 => {}
            Stop::Limit => return walk.finish(port.at),
            Stop::Ecall => consumer.call(walk.call()?),
            Stop::NoInstruction => return Err(walk.no_instruction()),
            Stop::Trap(trap) => return Err(walk.trapped(trap)),
        }
    }
}

fn burst<'t, S: MemorySink>(
    walk: &mut Walk<'_, 't>,
    code: &program::Code<LogPort<'t, S>>,
    port: &mut LogPort<'t, S>,
    limit: u64,
) -> Stop<PortFault> {
    let (count, stop) = code.run(&mut walk.hart, port, limit, |port, count| {
        port.steps += count;
    });
    walk.done += count;
    stop
}

fn rows<'t, C: Consumer<'t>>(
    mut walk: Walk<'_, 't>,
    columns: Columns,
    chunk: &Chunk<'t>,
    batch: &mut Owned,
    consumer: &mut C,
) -> Result<Hart, Difference> {
    let mut port = RowPort::new(chunk);
    let mut fill = Fill::new(columns, walk.step());
    let mut view = batch.view();
    fill.clear(&mut view);
    while walk.left() > 0 {
        if fill.room() == 0 {
            fill.flush(&mut view, walk.program, walk.hart.pc, consumer);
        }
        let step = walk.done;
        let row = next_row(&mut walk, &mut port, |call| {
            fill.flush_ops(&view, consumer);
            consumer.call(call);
        });
        match row {
            Ok(row) => fill.push(&mut view, &row, step),
            Err(difference) => {
                fill.clear(&mut view);
                return Err(difference);
            }
        }
    }
    fill.flush(&mut view, walk.program, walk.hart.pc, consumer);
    walk.finish(port.log.at)
}
