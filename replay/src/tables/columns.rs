//! Names, types and meaning of the columns.

use super::{Options, Table, TableError};
use crate::check::CheckError;
use crate::program::Program;
use crate::trace::Trace;
use crate::witness::Columns;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use hartlog_isa::Op;
use std::collections::HashMap;
use std::sync::Arc;

/// Version of the tables, in the metadata of a file. It changes when a column changes its name,
/// type or meaning.
pub const VERSION: u32 = 1;

/// Columns of the table of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Column {
    /// Steps retired before the instruction, since the start of the run.
    Step,
    /// Address of the instruction.
    Pc,
    /// Its index in the decoded program, see [`Program::fetch_indexed`].
    Instruction,
    /// Its bits: 32, or the 16 of a compressed one.
    Word,
    /// Name of the operation; that of the 32-bit form for a compressed one.
    Mnemonic,
    /// Value of rs1 before.
    Rs1,
    /// Value of rs2 before, or the immediate, sign-extended.
    Rs2,
    /// Value of rd after; a0 of an `ecall`.
    Rd,
    /// Effective address.
    Address,
    /// Value read from memory, zero-extended.
    Read,
    /// Value written to memory, zero-extended.
    Written,
    /// Address of the instruction after it.
    NextPc,
}

impl Column {
    /// All columns, in order.
    pub const ALL: [Column; 12] = [
        Column::Step,
        Column::Pc,
        Column::Instruction,
        Column::Word,
        Column::Mnemonic,
        Column::Rs1,
        Column::Rs2,
        Column::Rd,
        Column::Address,
        Column::Read,
        Column::Written,
        Column::NextPc,
    ];

    /// Name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Column::Step => "step",
            Column::Pc => "pc",
            Column::Instruction => "instruction",
            Column::Word => "word",
            Column::Mnemonic => "mnemonic",
            Column::Rs1 => "rs1",
            Column::Rs2 => "rs2",
            Column::Rd => "rd",
            Column::Address => "address",
            Column::Read => "read",
            Column::Written => "written",
            Column::NextPc => "next_pc",
        }
    }

    /// The column of a name.
    pub fn from_name(name: &str) -> Option<Column> {
        Column::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Whether it is null for instructions that have no such value.
    pub const fn is_nullable(self) -> bool {
        matches!(
            self,
            Column::Rs1
                | Column::Rs2
                | Column::Rd
                | Column::Address
                | Column::Read
                | Column::Written
        )
    }

    /// Name, type and whether it may be null.
    pub fn field(self) -> Field {
        let kind = match self {
            Column::Instruction | Column::Word => DataType::UInt32,
            Column::Mnemonic => {
                DataType::Dictionary(Box::new(DataType::UInt8), Box::new(DataType::Utf8))
            }
            _ => DataType::UInt64,
        };
        Field::new(self.name(), kind, self.is_nullable())
    }

    /// Name, type in Arrow's words, and whether it may be null.
    pub fn describe(self) -> (String, String, bool) {
        describe(&self.field())
    }

    /// What must be handed over for it.
    fn witness(self) -> Columns {
        match self {
            Column::Step
            | Column::Pc
            | Column::Instruction
            | Column::Word
            | Column::Mnemonic
            | Column::NextPc => Columns::PC,
            Column::Rs1 => Columns::PC | Columns::RS1,
            Column::Rs2 => Columns::PC | Columns::RS2,
            Column::Rd => Columns::PC | Columns::RD,
            Column::Address => Columns::PC | Columns::ADDR,
            Column::Read => Columns::PC | Columns::READ,
            // An SC that did not write has no address.
            Column::Written => Columns::PC | Columns::ADDR | Columns::WRITTEN,
        }
    }
}

fn describe(field: &Field) -> (String, String, bool) {
    let kind = field.data_type().to_string();
    (field.name().clone(), kind, field.is_nullable())
}

/// [`Column::describe`] of [`MEMORY_COLUMNS`].
pub fn describe_memory() -> Vec<(String, String, bool)> {
    memory_fields().iter().map(describe).collect()
}

const _: () = assert!(Op::COUNT <= 256, "a mnemonic has an 8-bit key");

/// Columns of the table of memory operations, in order: step, effective address, width in bytes,
/// value (zero-extended), and whether it is a write. An AMO is a read followed by a write.
pub const MEMORY_COLUMNS: [&str; 5] = ["step", "address", "width", "value", "is_write"];

/// Types of [`MEMORY_COLUMNS`].
pub(super) fn memory_fields() -> Vec<Field> {
    let types = [
        DataType::UInt64,
        DataType::UInt64,
        DataType::UInt8,
        DataType::UInt64,
        DataType::Boolean,
    ];
    MEMORY_COLUMNS
        .iter()
        .zip(types)
        .map(|(name, kind)| Field::new(*name, kind, false))
        .collect()
}

/// What an engine must hand over for these columns, and for the table of memory operations.
pub fn witness_columns(columns: &[Column], memory: bool) -> Columns {
    let rows = columns
        .iter()
        .fold(Columns::NONE, |all, c| all | c.witness());
    if memory {
        rows | Columns::MEMORY | Columns::STEPS
    } else {
        rows
    }
}

/// Whether a table can have these columns.
pub(super) fn validate(columns: &[Column], wanted: bool) -> Result<(), TableError> {
    if wanted && columns.is_empty() {
        return Err(TableError::Columns("none was chosen"));
    }
    let twice = (1..columns.len()).any(|i| columns[..i].contains(&columns[i]));
    if twice {
        return Err(TableError::Columns("one was chosen twice"));
    }
    Ok(())
}

/// Keys of the metadata of a file.
pub const METADATA: [&str; 7] = [
    "hartlog.version",
    "hartlog.table",
    "hartlog.elf_sha256",
    "hartlog.trace_version",
    "hartlog.chunk_steps",
    "hartlog.chunks",
    "hartlog.complete",
];

/// What stands in the metadata of a file.
pub(super) fn metadata(
    table: Table,
    trace: &Trace,
    program: &Program,
    options: &Options,
) -> Result<HashMap<String, String>, TableError> {
    let header = trace.header().map_err(CheckError::from)?;
    let chunks = options.chunks.clone().unwrap_or(0..trace.len());
    let values = [
        VERSION.to_string(),
        table.name().to_owned(),
        crate::check::hex(&program.elf().sha256),
        header.fixed.version.to_string(),
        header.fixed.chunk_steps.to_string(),
        format!("{}..{}", chunks.start, chunks.end),
        trace.is_complete().to_string(),
    ];
    let entries = METADATA.iter().zip(values);
    Ok(entries.map(|(k, v)| ((*k).to_owned(), v)).collect())
}

pub(super) fn schema(fields: Vec<Field>, metadata: HashMap<String, String>) -> SchemaRef {
    Arc::new(Schema::new_with_metadata(fields, metadata))
}
