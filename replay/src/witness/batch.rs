//! A batch of rows and memory operations that is being filled.

use super::{Columns, Consumer, MemoryOp, Rows};
use crate::chunk::Access;
use crate::program::Program;
use crate::rows::Row;
use hartlog_format::witness::{BATCH_OPS, BATCH_ROWS};

/// The memory of a batch.
pub(crate) struct View<'a> {
    /// [`Columns::PC`]
    pub pc: &'a mut [u32],
    /// The other columns of a row, in their order.
    pub values: [&'a mut [u64]; 6],
    /// Memory operations.
    pub ops: &'a mut [MemoryOp],
}

/// Gives access to the memory of a batch.
pub(crate) trait Storage {
    /// The memory. Beyond what is filled, every column but `PC` and `RS2` is zero.
    fn view(&mut self) -> View<'_>;
}

/// A batch in memory of its own.
pub(crate) struct Owned {
    pc: Vec<u32>,
    values: [Vec<u64>; 6],
    ops: Vec<MemoryOp>,
}

impl Owned {
    pub(crate) fn new(columns: Columns) -> Owned {
        let len = |set: Columns, len| if columns.intersects(set) { len } else { 0 };
        Owned {
            pc: vec![0; len(Columns::PC, BATCH_ROWS)],
            values: std::array::from_fn(|i| {
                let column = Columns::EACH[1 + i];
                vec![0; len(column, BATCH_ROWS)]
            }),
            ops: vec![MemoryOp::default(); len(Columns::MEMORY, BATCH_OPS)],
        }
    }
}

impl Storage for Owned {
    fn view(&mut self) -> View<'_> {
        View {
            pc: &mut self.pc,
            values: self.values.each_mut().map(Vec::as_mut_slice),
            ops: &mut self.ops,
        }
    }
}

/// How far a batch is filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub columns: Columns,
    /// Rows; counted only if there are any columns of rows.
    pub rows: usize,
    /// Memory operations.
    pub ops: usize,
    /// Step of the run of the first row.
    pub first_step: u64,
}

impl Fill {
    pub(crate) fn new(columns: Columns, first_step: u64) -> Fill {
        Fill {
            columns,
            rows: 0,
            ops: 0,
            first_step,
        }
    }

    /// Steps that certainly fit.
    pub(crate) fn room(&self) -> u64 {
        let rows = if self.columns.has_rows() {
            (BATCH_ROWS - self.rows) as u64
        } else {
            u64::MAX
        };
        let ops = if self.columns.intersects(Columns::MEMORY) {
            (BATCH_OPS - self.ops) as u64 / 2
        } else {
            u64::MAX
        };
        rows.min(ops)
    }

    /// Appends an interpreted instruction, `step` steps into its chunk.
    pub(crate) fn push(&mut self, view: &mut View<'_>, row: &Row<'_>, step: u64) {
        if self.columns.has_rows() {
            let (mut addr, mut read, mut written) = (0, 0, 0);
            if let Some(access) = row.access {
                addr = access.addr;
                read = access.read.unwrap_or(0);
                written = access.written.unwrap_or(0);
            }
            if let Some(pc) = view.pc.get_mut(self.rows) {
                *pc = row.pc as u32;
            }
            let values = [row.rs1, row.rs2, row.rd, addr, read, written];
            for (column, value) in view.values.iter_mut().zip(values) {
                if let Some(place) = column.get_mut(self.rows) {
                    *place = value;
                }
            }
            self.rows += 1;
        }
        if self.columns.intersects(Columns::MEMORY)
            && let Some(access) = row.access
        {
            let step = if self.columns.contains(Columns::STEPS) {
                step as u32
            } else {
                0
            };
            for op in ops(access, step).into_iter().flatten() {
                if let Some(place) = view.ops.get_mut(self.ops) {
                    *place = op;
                    self.ops += 1;
                }
            }
        }
    }

    /// Hands over the memory operations.
    pub(crate) fn flush_ops<'t, C: Consumer<'t>>(&mut self, view: &View<'_>, consumer: &mut C) {
        if self.ops > 0 {
            consumer.memory_ops(view.ops.get(..self.ops).unwrap_or_default());
            self.ops = 0;
        }
    }

    /// Hands over everything; `next_pc` is the pc after the last row.
    pub(crate) fn flush<'t, C: Consumer<'t>>(
        &mut self,
        view: &mut View<'_>,
        program: &Program,
        next_pc: u64,
        consumer: &mut C,
    ) {
        if self.rows > 0 {
            let values = view.values.each_ref();
            consumer.rows(&Rows {
                program,
                first_step: self.first_step,
                len: self.rows,
                next_pc,
                pc: view.pc.get(..self.rows).unwrap_or_default(),
                values: values.map(|v| v.get(..self.rows).unwrap_or_default()),
            });
        }
        self.flush_ops(view, consumer);
        self.clear(view);
    }

    /// Drops what is there.
    pub(crate) fn clear(&mut self, view: &mut View<'_>) {
        // An instruction that trapped may have left a part of its row behind.
        let end = self.rows + 1;
        for (i, column) in view.values.iter_mut().enumerate() {
            if Columns::EACH[1 + i] != Columns::RS2 {
                let end = end.min(column.len());
                column[..end].fill(0);
            }
        }
        self.first_step += self.rows as u64;
        self.rows = 0;
        self.ops = 0;
    }
}

/// The memory operations of an access.
pub(crate) fn ops(access: Access, step: u32) -> [Option<MemoryOp>; 2] {
    let op = |value: Option<u64>, kind: u32| {
        value.map(|value| MemoryOp {
            addr: access.addr,
            value,
            step,
            kind: access.width.bytes() as u32 | kind,
        })
    };
    [op(access.read, 0), op(access.written, MemoryOp::WRITE)]
}
