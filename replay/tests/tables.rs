//! Witness tables: what is in the files, and what happens when they cannot be written.
#![cfg(feature = "tables")]

mod common;

use arrow_array::cast::AsArray;
use arrow_array::types::{UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use arrow_ipc::reader::FileReader;
use common::{parse, program, trace_bytes};
use hartlog_isa::{Inst, Op};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use replay::chunk::{self, Access, Row};
use replay::engine::Engine;
use replay::program::Program;
use replay::tables::{self, Column, Format, Options, Report, Table, TableError};
use replay::trace::Trace;
use std::collections::HashMap;
use std::io::{self, Cursor, Write};

const FORMATS: [Format; 2] = [Format::Arrow, Format::Parquet];

/// Writes both tables to memory.
fn write(trace: &Trace, program: &Program, options: &Options) -> (Report, [Vec<u8>; 2]) {
    let witness = tables::witness_columns(&options.columns, true);
    let engine = Engine::interpreted(program, witness);
    let mut files = [Vec::new(), Vec::new()];
    let [rows, memory] = &mut files;
    let report =
        tables::write(trace, &engine, options, Some(rows), Some(memory)).expect("all is well");
    (report, files)
}

fn read(format: Format, file: &[u8]) -> Vec<RecordBatch> {
    let file = file.to_vec();
    match format {
        Format::Arrow => {
            let reader = FileReader::try_new(Cursor::new(file), None).expect("an Arrow file");
            reader.map(|batch| batch.expect("a batch")).collect()
        }
        Format::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(file_bytes(file));
            let reader = reader.expect("a Parquet file").build().expect("a reader");
            reader.map(|batch| batch.expect("a batch")).collect()
        }
    }
}

fn file_bytes(file: Vec<u8>) -> impl parquet::file::reader::ChunkReader + 'static {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = path.join(format!(
        "tables-{}-{:?}.parquet",
        std::process::id(),
        std::thread::current().id()
    ));
    std::fs::write(&path, file).expect("a file");
    let opened = std::fs::File::open(&path).expect("a file");
    std::fs::remove_file(&path).expect("it is open");
    opened
}

/// A value of a row; `None` is null.
fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<u64> {
    let array = batch.column_by_name(column).expect(column);
    if array.is_null(row) {
        return None;
    }
    if let Some(values) = array.as_primitive_opt::<UInt64Type>() {
        return Some(values.value(row));
    }
    if let Some(values) = array.as_primitive_opt::<UInt32Type>() {
        return Some(values.value(row).into());
    }
    if let Some(values) = array.as_primitive_opt::<UInt8Type>() {
        return Some(values.value(row).into());
    }
    Some(array.as_boolean().value(row).into())
}

fn mnemonic(batch: &RecordBatch, row: usize) -> String {
    let array = batch.column_by_name("mnemonic").expect("mnemonic");
    let array = array.as_dictionary::<UInt8Type>();
    let name = array.values().as_string::<i32>();
    name.value(array.keys().value(row).into()).to_owned()
}

/// What a row must hold, from the instruction and a step that was executed on its own.
fn expected(row: &Row<'_>) -> HashMap<&'static str, Option<u64>> {
    let (rs1, rs2) = row.inst.sources();
    let text = row.inst.to_string();
    let operands = text.split_once(' ').map_or("", |(_, operands)| operands);
    // Operands are named in assembly: three of them, or one before a bracket.
    let immediate = rs2.is_none()
        && (operands.matches(',').count() > usize::from(rs1.is_some()) || operands.contains('('))
        || matches!(
            row.inst.op,
            Op::Lui | Op::Auipc | Op::Jal | Op::Fence | Op::FenceI
        );
    let immediate = immediate && !text.starts_with("lr.");
    let writes = row.inst.rd != 0 || row.inst.op == Op::Ecall;
    let access = |f: fn(&Access) -> Option<u64>| row.access.as_ref().and_then(f);
    HashMap::from([
        ("step", Some(row.step)),
        ("pc", Some(row.pc)),
        ("instruction", Some(row.index)),
        ("word", Some(row.inst.raw.into())),
        ("rs1", rs1.map(|_| row.rs1)),
        ("rs2", (rs2.is_some() || immediate).then_some(row.rs2)),
        ("rd", writes.then_some(row.rd)),
        ("address", access(|a| Some(a.addr))),
        ("read", access(|a| a.read)),
        ("written", access(|a| a.written)),
        ("next_pc", Some(row.next_pc)),
    ])
}

/// Takes rows one by one and compares them with the files.
struct Comparison {
    rows: Vec<(RecordBatch, usize)>,
    memory: Vec<(RecordBatch, usize)>,
    row: usize,
    op: usize,
}

fn flat(batches: Vec<RecordBatch>) -> Vec<(RecordBatch, usize)> {
    let each = batches.into_iter();
    each.flat_map(|b| (0..b.num_rows()).map(move |i| (b.clone(), i)))
        .collect()
}

impl chunk::Consumer for Comparison {
    fn row(&mut self, row: &Row<'_>) {
        let (batch, i) = &self.rows[self.row];
        for (column, value) in expected(row) {
            let found = number(batch, column, *i);
            assert_eq!(found, value, "step {}, {}: {column}", row.step, row.inst);
        }
        assert_eq!(mnemonic(batch, *i), row.inst.op.mnemonic());
        self.row += 1;
        let Some(access) = row.access else {
            return;
        };
        for (value, is_write) in [(access.read, 0), (access.written, 1)] {
            let Some(value) = value else {
                continue;
            };
            let (batch, i) = &self.memory[self.op];
            let found = tables::MEMORY_COLUMNS.map(|c| number(batch, c, *i));
            let width = access.width.bytes();
            let wanted = [row.step, access.addr, width, value, is_write].map(Some);
            assert_eq!(found, wanted, "step {}", row.step);
            self.op += 1;
        }
    }
}

fn compare(program: &Program, trace: &Trace, format: Format, files: [Vec<u8>; 2]) {
    let [rows, memory] = files.map(|file| flat(read(format, &file)));
    let mut comparison = Comparison {
        rows,
        memory,
        row: 0,
        op: 0,
    };
    for i in 0..trace.len() {
        let chunk = trace.chunk(i).expect("a chunk");
        chunk::replay(program, &chunk, &mut comparison).expect("nothing is wrong");
    }
    assert_eq!(comparison.row, comparison.rows.len());
    assert_eq!(comparison.op, comparison.memory.len());
    assert!(comparison.op > 0);
}

/// Instructions of every format, a failing `sc` among them.
fn every_format() -> Program {
    let i = Inst::new;
    parse(&[
        i(Op::Lui, 8, 0, 0, 0x11000),
        i(Op::Auipc, 9, 0, 0, 0),
        i(Op::Jal, 0, 0, 0, 4),
        i(Op::Jal, 1, 0, 0, 4),
        i(Op::Jalr, 1, 9, 0, 16),
        i(Op::Add, 5, 8, 9, 0),
        i(Op::Clz, 6, 5, 0, 0),
        i(Op::Slli, 6, 5, 0, 63),
        i(Op::Sraiw, 6, 5, 0, 3),
        i(Op::Sd, 0, 8, 5, 8),
        i(Op::Lbu, 0, 8, 0, 8),
        i(Op::LrW, 6, 8, 0, 0),
        i(Op::ScW, 6, 8, 5, 0),
        i(Op::ScW, 6, 8, 5, 0),
        i(Op::ScW, 0, 8, 5, 0),
        i(Op::AmoswapD, 0, 8, 5, 0),
        i(Op::Csrrs, 7, 0, 0, 0xc02),
        i(Op::Csrrsi, 7, 0, 0, 0xc02),
        i(Op::Fence, 0, 0, 0, 0xff),
        i(Op::FenceI, 0, 0, 0, 0),
        i(Op::Beq, 0, 5, 8, 8),
        i(Op::Addi, 17, 0, 0, 93),
        i(Op::Ecall, 0, 0, 0, 0),
    ])
}

#[test]
fn tables_hold_the_rows() {
    for program in [program(), every_format()] {
        for chunk_steps in [1, 7, 1 << 18] {
            let trace = Trace::from_bytes(trace_bytes(&program, chunk_steps)).expect("a trace");
            for format in FORMATS {
                let options = Options::new(format, &Column::ALL);
                let (report, files) = write(&trace, &program, &options);
                assert_eq!(report.rows, trace.total_steps());
                compare(&program, &trace, format, files);
            }
        }
    }
}

/// A loop of four instructions, `4 * loops + 5` steps.
fn long_program(loops: i32) -> Program {
    let i = Inst::new;
    parse(&[
        i(Op::Lui, 8, 0, 0, 0x11000),
        i(Op::Lui, 5, 0, 0, loops),
        i(Op::AmoaddD, 6, 8, 5, 0),
        i(Op::Sw, 0, 8, 6, 8),
        i(Op::Addi, 5, 5, 0, -1),
        i(Op::Bne, 0, 5, 0, -12),
        i(Op::Addi, 17, 0, 0, 93),
        i(Op::Ecall, 0, 0, 0, 0),
    ])
}

#[test]
fn files_do_not_depend_on_threads_or_on_what_may_wait() {
    let program = long_program(0x1_4000);
    for chunk_steps in [5000, 50_000, 1 << 20] {
        let trace = Trace::from_bytes(trace_bytes(&program, chunk_steps)).expect("a trace");
        for format in FORMATS {
            let options = |jobs, waiting| Options {
                jobs: Some(jobs),
                waiting,
                ..Options::new(format, &Column::ALL)
            };
            let (report, files) = write(&trace, &program, &options(1, usize::MAX));
            assert_eq!(report.rows, trace.total_steps());
            assert_eq!(report.memory_ops, 3 * 0x1_4000);
            for (jobs, waiting) in [(3, usize::MAX), (3, 0), (2, 2 << 20)] {
                let again = write(&trace, &program, &options(jobs, waiting)).1;
                assert!(
                    files == again,
                    "{format:?}, {jobs} threads, {waiting} bytes"
                );
            }
            let groups = read(format, &files[0]);
            if format == Format::Arrow {
                // Chunks that are large have groups of their own, others are put together.
                let sizes: Vec<_> = groups.iter().map(RecordBatch::num_rows).collect();
                assert!(sizes.iter().all(|n| *n <= 1 << 18), "{sizes:?}");
                assert!(sizes.len() <= 8, "{sizes:?}");
            }
        }
    }
}

#[test]
fn chosen_columns_and_chunks() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, 16)).expect("a trace");
    for format in FORMATS {
        for columns in Column::ALL.map(|c| vec![c]).iter().chain([&vec![
            Column::Written,
            Column::Step,
            Column::Rd,
        ]]) {
            let options = Options {
                chunks: Some(1..3),
                ..Options::new(format, columns)
            };
            let engine = Engine::interpreted(&program, tables::witness_columns(columns, false));
            let mut file = Vec::new();
            let report = tables::write(&trace, &engine, &options, Some(&mut file), None);
            assert_eq!(report.expect("all is well").rows, 32);
            let all = Options::new(format, &Column::ALL);
            let wanted = read(format, &write(&trace, &program, &all).1[0]);
            let found = read(format, &file);
            let schema = found[0].schema();
            let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            assert_eq!(names, columns.iter().map(|c| c.name()).collect::<Vec<_>>());
            for column in columns {
                let name = column.name();
                let (found, wanted) = (&found[0][name], wanted[0][name].slice(16, 32));
                assert_eq!(found.as_ref(), wanted.as_ref(), "{name}");
            }
        }
    }
}

#[test]
fn the_metadata_says_what_it_is() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, 16)).expect("a trace");
    for format in FORMATS {
        let (_, files) = write(&trace, &program, &Options::new(format, &Column::ALL));
        for (file, table) in files.iter().zip(["instructions", "memory"]) {
            let metadata: HashMap<String, String> = match format {
                Format::Arrow => read(format, file)[0].schema().metadata().clone().into(),
                Format::Parquet => {
                    let reader = ParquetRecordBatchReaderBuilder::try_new(file_bytes(file.clone()))
                        .expect("a Parquet file");
                    let own = reader.metadata().file_metadata().key_value_metadata();
                    let own = own.expect("metadata").iter();
                    own.map(|kv| (kv.key.clone(), kv.value.clone().unwrap_or_default()))
                        .collect()
                }
            };
            let get = |key: &str| metadata.get(key).map_or("", String::as_str);
            assert_eq!(get("hartlog.table"), table);
            assert_eq!(get("hartlog.version"), tables::VERSION.to_string());
            let sha = replay::check::hex(&program.elf().sha256);
            assert_eq!(get("hartlog.elf_sha256"), sha);
            assert_eq!(get("hartlog.chunk_steps"), "16");
            assert_eq!(get("hartlog.chunks"), "0..6");
            assert_eq!(get("hartlog.complete"), "true");
        }
    }
}

/// A disk with room for so many bytes.
struct Disk(usize);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let len = bytes.len().min(self.0);
        self.0 -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_is_full() {
    let program = long_program(0x1_0000);
    let trace = Trace::from_bytes(trace_bytes(&program, 40_000)).expect("a trace");
    for format in FORMATS {
        let options = Options::new(format, &Column::ALL);
        let sizes = write(&trace, &program, &options).1.map(|file| file.len());
        let engine = Engine::interpreted(&program, tables::witness_columns(&Column::ALL, true));
        for waiting in [0, usize::MAX] {
            let options = Options {
                jobs: Some(3),
                waiting,
                ..options.clone()
            };
            for part in 0..=8 {
                for table in [Table::Instructions, Table::Memory] {
                    let room = |t: Table| if t == table { part } else { 9 };
                    let mut rows = Disk(sizes[0] * room(Table::Instructions) / 8);
                    let mut memory = Disk(sizes[1] * room(Table::Memory) / 8);
                    let result = tables::write(
                        &trace,
                        &engine,
                        &options,
                        Some(&mut rows),
                        Some(&mut memory),
                    );
                    match result {
                        Ok(_) => assert_eq!(part, 8),
                        Err(TableError::Write {
                            table: found,
                            source,
                        }) => {
                            assert!(part < 8);
                            assert_eq!(found, table);
                            assert_eq!(source.kind(), io::ErrorKind::StorageFull);
                        }
                        Err(other) => panic!("{other}"),
                    }
                }
            }
        }
    }
}

/// Threads that wait for their turn are woken when a chunk before theirs is wrong.
#[test]
fn a_wrong_chunk_ends_it() {
    let program = long_program(0x1_0000);
    let bytes = trace_bytes(&program, 20_000);
    let starts: Vec<usize> = bytes
        .windows(4)
        .enumerate()
        .filter(|(_, w)| *w == b"CHNK")
        .map(|(at, _)| at)
        .collect();
    for chunk in [0, 1, 5, 13] {
        // The checksum, or a register at the start, which does not continue the chunk before.
        for start in [false, true] {
            if start && chunk == 0 {
                // Nothing comes before it, and the program sets the register itself.
                continue;
            }
            let mut altered = bytes.clone();
            let field = if start {
                100
            } else {
                std::mem::offset_of!(hartlog_format::trace::ChunkHeader, checksum)
            };
            altered[starts[chunk] + field] ^= 1;
            if start {
                common::repair(&mut altered);
            }
            let trace = Trace::from_bytes(altered).expect("it can be opened");
            let witness = tables::witness_columns(&Column::ALL, false);
            let engine = Engine::interpreted(&program, witness);
            for waiting in [0, usize::MAX] {
                let options = Options {
                    jobs: Some(4),
                    waiting,
                    ..Options::new(Format::Arrow, &Column::ALL)
                };
                let mut file = Vec::new();
                let result = tables::write(&trace, &engine, &options, Some(&mut file), None);
                let Err(TableError::Check(error)) = result else {
                    panic!("chunk {chunk} is accepted");
                };
                let first = if start { chunk - 1 } else { chunk };
                let text = error.to_string();
                assert!(
                    text.starts_with(&format!("chunk {first}")),
                    "{text}: chunk {first}"
                );
            }
        }
    }
}

#[test]
fn columns_that_make_no_table() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, 16)).expect("a trace");
    let engine = Engine::interpreted(&program, tables::witness_columns(&[Column::Pc], false));
    for columns in [
        &[][..],
        &[Column::Pc, Column::Step, Column::Pc],
        &[Column::Rd],
    ] {
        let options = Options::new(Format::Arrow, columns);
        let result = tables::write(&trace, &engine, &options, Some(&mut Vec::new()), None);
        assert!(matches!(result, Err(TableError::Columns(_))), "{columns:?}");
    }
}
