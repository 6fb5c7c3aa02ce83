//! Puts the witness of a chunk into columns of tables.

use super::columns::Column;
use super::gate::{Gate, Pieces};
use super::sink::{Encoder, GROUP_ROWS};
use super::{Table, TableError};
use crate::program::{Fetched, Program};
use crate::witness::{Consumer, MemoryOp, Rows};
use arrow_array::types::UInt8Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, RecordBatch, StringArray, UInt8Array, UInt32Array,
    UInt64Array,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::ArrowError;
use hartlog_format::parse::Chunk;
use hartlog_isa::{Effect, Format, Hart, Inst, Op};
use std::sync::Arc;

/// Which values an instruction has.
mod has {
    pub const RS1: u8 = 1;
    pub const RS2: u8 = 2;
    pub const RD: u8 = 4;
    pub const ADDRESS: u8 = 8;
    pub const READ: u8 = 16;
    pub const WRITTEN: u8 = 32;
    /// Address and value written are there only if it wrote.
    pub const CONDITIONAL: u8 = 64;
}

/// What is the same whenever an instruction is executed.
#[derive(Clone, Copy, Default)]
struct Fact {
    word: u32,
    op: u8,
    has: u8,
}

impl Fact {
    fn new(inst: &Inst) -> Fact {
        let (rs1, rs2) = inst.sources();
        let flag = |set: bool, flag| if set { flag } else { 0 };
        let no_immediate = matches!(
            inst.op.format(),
            Format::Unary | Format::Lr | Format::System
        );
        let memory = match inst.op.effect() {
            Effect::None => 0,
            Effect::Read(_) | Effect::Reserve(_) => has::ADDRESS | has::READ,
            Effect::Write(_) => has::ADDRESS | has::WRITTEN,
            Effect::ReadWrite(_) => has::ADDRESS | has::READ | has::WRITTEN,
            Effect::CondStore(_) => has::ADDRESS | has::WRITTEN | has::CONDITIONAL,
        };
        let rd = inst.writes().is_some() || inst.op == Op::Ecall;
        Fact {
            word: inst.raw,
            op: inst.op as u8,
            has: flag(rs1.is_some(), has::RS1)
                | flag(rs2.is_some() || !no_immediate, has::RS2)
                | flag(rd, has::RD)
                | memory,
        }
    }
}

/// Facts of all instructions of a program, by index.
pub(super) struct Facts {
    each: Vec<Fact>,
    mnemonics: Arc<StringArray>,
}

impl Facts {
    pub(super) fn new(program: &Program) -> Facts {
        let fact = |pc| match program.fetch(pc) {
            Fetched::Inst(inst) => Fact::new(inst),
            _ => Fact::default(),
        };
        Facts {
            each: program.addresses().map(fact).collect(),
            mnemonics: Arc::new(Op::ALL.iter().map(|op| Some(op.mnemonic())).collect()),
        }
    }
}

/// A column that is being filled.
enum Values {
    U64(Vec<u64>),
    U32(Vec<u32>),
    U8(Vec<u8>),
    /// Values, and whether they are there.
    Nullable(Vec<u64>, BooleanBufferBuilder),
}

impl Values {
    fn new(column: Column) -> Values {
        match column {
            Column::Instruction | Column::Word => Values::U32(Vec::new()),
            Column::Mnemonic => Values::U8(Vec::new()),
            nullable if nullable.is_nullable() => {
                Values::Nullable(Vec::new(), BooleanBufferBuilder::new(0))
            }
            _ => Values::U64(Vec::new()),
        }
    }

    /// Takes what is there. The next rows are likely to be as many.
    fn take(&mut self, mnemonics: &Arc<StringArray>) -> Result<ArrayRef, ArrowError> {
        fn anew<T>(values: &mut Vec<T>) -> Vec<T> {
            let spare = Vec::with_capacity(values.len());
            std::mem::replace(values, spare)
        }
        Ok(match self {
            Values::U64(values) => Arc::new(UInt64Array::from(anew(values))),
            Values::U32(values) => Arc::new(UInt32Array::from(anew(values))),
            Values::U8(values) => {
                let keys = UInt8Array::from(anew(values));
                Arc::new(DictionaryArray::<UInt8Type>::try_new(
                    keys,
                    mnemonics.clone(),
                )?)
            }
            Values::Nullable(values, there) => {
                let there = NullBuffer::new(there.finish());
                Arc::new(UInt64Array::try_new(anew(values).into(), Some(there))?)
            }
        })
    }
}

/// Consumer that hands over the rows of a chunk to a [`Gate`].
pub(super) struct Filler<'f, 'w> {
    gate: &'f Gate<'w>,
    facts: &'f Facts,
    columns: &'f [Column],
    /// For the table of instructions.
    instructions: Option<Encoder>,
    /// For the table of memory operations.
    memory: Option<Encoder>,
    values: Vec<Values>,
    len: usize,
    ops: Ops,
    /// Indices of the instructions of a batch.
    indices: Vec<u32>,
    /// Which values they have.
    has: Vec<u8>,
    chunk: u64,
    first_step: u64,
    kept: Pieces,
    /// Something is wrong: nobody wants the rows any more.
    void: bool,
}

/// Memory operations that are being collected.
#[derive(Default)]
struct Ops {
    step: Vec<u64>,
    address: Vec<u64>,
    width: Vec<u8>,
    value: Vec<u64>,
    is_write: Vec<bool>,
}

impl<'f, 'w> Filler<'f, 'w> {
    pub(super) fn new(
        gate: &'f Gate<'w>,
        facts: &'f Facts,
        columns: &'f [Column],
        encoders: &[Encoder],
    ) -> Filler<'f, 'w> {
        let encoder = |table| encoders.iter().find(|e| e.table() == table).cloned();
        Filler {
            gate,
            facts,
            columns,
            instructions: encoder(Table::Instructions),
            memory: encoder(Table::Memory),
            values: columns.iter().map(|c| Values::new(*c)).collect(),
            len: 0,
            ops: Ops::default(),
            indices: Vec::new(),
            has: Vec::new(),
            chunk: 0,
            first_step: 0,
            kept: Pieces::default(),
            void: false,
        }
    }

    fn fill(&mut self, rows: &Rows<'_>) {
        let program = rows.program();
        self.indices.clear();
        self.has.clear();
        let (addresses, pcs) = (rows.addr(), rows.pc());
        for (row, pc) in pcs.iter().enumerate() {
            let index = program.index(u64::from(*pc));
            let mut has = self.facts.each.get(index).map_or(0, |fact| fact.has);
            // No guest has memory at address 0.
            if has & has::CONDITIONAL != 0 && addresses.get(row).is_some_and(|a| *a == 0) {
                has &= !(has::ADDRESS | has::WRITTEN);
            }
            self.indices.push(index as u32);
            self.has.push(has);
        }
        let facts = &self.facts.each;
        let each = self.indices.iter();
        let fact = |index: &u32| facts.get(*index as usize).copied().unwrap_or_default();
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            let (from, flag) = match column {
                Column::Rs1 => (rows.rs1(), has::RS1),
                Column::Rs2 => (rows.rs2(), has::RS2),
                Column::Rd => (rows.rd(), has::RD),
                Column::Address => (rows.addr(), has::ADDRESS),
                Column::Read => (rows.read(), has::READ),
                Column::Written => (rows.written(), has::WRITTEN),
                _ => (&[][..], 0),
            };
            match (column, values) {
                (_, Values::Nullable(values, there)) => {
                    append_nullable(values, there, from, &self.has, flag);
                }
                (Column::Step, Values::U64(values)) => {
                    let first = rows.first_step();
                    values.extend(first..first + rows.len() as u64);
                }
                (Column::NextPc, Values::U64(values)) => {
                    values.extend(pcs.iter().skip(1).map(|pc| u64::from(*pc)));
                    values.extend(pcs.len().checked_sub(1).and_then(|i| rows.next_pc(i)));
                }
                (_, Values::U64(values)) => values.extend(pcs.iter().map(|pc| u64::from(*pc))),
                (Column::Instruction, Values::U32(values)) => values.extend(each.clone()),
                (_, Values::U32(values)) => values.extend(each.clone().map(|i| fact(i).word)),
                (_, Values::U8(values)) => values.extend(each.clone().map(|i| fact(i).op)),
            }
        }
        self.len += rows.len();
    }

    fn submit(&mut self, encoder: &Encoder, columns: Result<Vec<ArrayRef>, ArrowError>) {
        let batch = columns.and_then(|c| RecordBatch::try_new(encoder.schema().clone(), c));
        let piece = batch
            .map_err(|error| encoder.arrow(error))
            .and_then(|batch| encoder.piece(batch));
        match piece {
            Ok(piece) => self.void |= !self.gate.submit(self.chunk, &mut self.kept, piece),
            Err(error) => self.give_up(Some(error)),
        }
    }

    fn give_up(&mut self, error: Option<TableError>) {
        self.void = true;
        self.gate.fail(error);
    }

    fn submit_rows(&mut self) {
        if self.len > 0
            && let Some(encoder) = self.instructions.clone()
        {
            self.len = 0;
            let mnemonics = &self.facts.mnemonics;
            let columns = self.values.iter_mut().map(|v| v.take(mnemonics)).collect();
            self.submit(&encoder, columns);
        }
    }

    fn submit_ops(&mut self) {
        if !self.ops.step.is_empty()
            && let Some(encoder) = self.memory.clone()
        {
            let ops = std::mem::take(&mut self.ops);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(UInt64Array::from(ops.step)),
                Arc::new(UInt64Array::from(ops.address)),
                Arc::new(UInt8Array::from(ops.width)),
                Arc::new(UInt64Array::from(ops.value)),
                Arc::new(BooleanArray::from(ops.is_write)),
            ];
            self.submit(&encoder, Ok(columns));
        }
    }
}

/// Appends values, null where `flag` is not in `has`.
fn append_nullable(
    values: &mut Vec<u64>,
    there: &mut BooleanBufferBuilder,
    from: &[u64],
    has: &[u8],
    flag: u8,
) {
    values.extend_from_slice(from);
    // A null has no value: whoever looks below the mask finds 0.
    let start = values.len() - from.len();
    for (value, has) in values[start..].iter_mut().zip(has) {
        *value &= u64::from(has & flag != 0).wrapping_neg();
    }
    for part in has.chunks(64) {
        let bits = part.iter().enumerate();
        let bits = bits.fold(0, |bits, (i, has)| bits | u64::from(has & flag != 0) << i);
        there.append_packed_range(0..part.len(), &bits.to_le_bytes());
    }
}

impl<'t> Consumer<'t> for Filler<'_, '_> {
    type Output = Pieces;

    fn begin_chunk(&mut self, chunk: &Chunk<'t>) {
        self.chunk = chunk.header.index.get();
        self.first_step = chunk.header.first_step.get();
    }

    fn rows(&mut self, rows: &Rows<'_>) {
        if self.void {
            return;
        }
        if self.len + rows.len() > GROUP_ROWS {
            self.submit_rows();
        }
        self.fill(rows);
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        if self.void {
            return;
        }
        if self.ops.step.len() + ops.len() > GROUP_ROWS {
            self.submit_ops();
        }
        let first = self.first_step;
        let to = &mut self.ops;
        to.step
            .extend(ops.iter().map(|op| first + u64::from(op.step)));
        to.address.extend(ops.iter().map(|op| op.addr));
        to.width.extend(ops.iter().map(|op| op.width() as u8));
        to.value.extend(ops.iter().map(|op| op.value));
        to.is_write.extend(ops.iter().map(MemoryOp::is_write));
    }

    fn end_chunk(&mut self, _: &Hart) -> Pieces {
        if !self.void {
            self.submit_rows();
            self.submit_ops();
        }
        std::mem::take(&mut self.kept)
    }

    fn wrong_chunk(&mut self) {
        self.give_up(None);
    }
}
