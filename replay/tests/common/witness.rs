//! What a witness must hold, from the rows that are handed over one by one.

use hartlog_format::parse::Chunk;
use hartlog_isa::Hart;
use replay::check::CheckError;
use replay::chunk;
use replay::drive::{self, Order};
use replay::engine::Engine;
use replay::program::Program;
use replay::trace::Trace;
use replay::witness::{BATCH_ROWS, Call, Columns, Consumer, MemoryOp, Rows};

/// A row in columns: pc, rs1, rs2, rd, address, value read, value written.
type Fields = [u64; 7];

/// Rows and memory operations of a chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Witness {
    pub first_step: Option<u64>,
    pub rows: Vec<Fields>,
    pub next_pcs: Vec<u64>,
    pub ops: Vec<MemoryOp>,
    /// (step, memory operations handed over before it)
    pub calls: Vec<(u64, usize)>,
    pub end: Option<Hart>,
}

/// Collects what an engine hands over.
pub struct Collector {
    columns: Columns,
    now: Witness,
}

impl Collector {
    pub fn new(columns: Columns) -> Collector {
        Collector {
            columns,
            now: Witness::default(),
        }
    }
}

impl<'t> Consumer<'t> for Collector {
    type Output = Witness;

    fn begin_chunk(&mut self, _: &Chunk<'t>) {
        self.now = Witness::default();
    }

    fn rows(&mut self, rows: &Rows<'_>) {
        assert!(!rows.is_empty() && rows.len() <= BATCH_ROWS);
        let first = *self.now.first_step.get_or_insert(rows.first_step());
        assert_eq!(first + self.now.rows.len() as u64, rows.first_step());
        let pc: Vec<u64> = rows.pc().iter().map(|pc| u64::from(*pc)).collect();
        let columns = [
            &pc[..],
            rows.rs1(),
            rows.rs2(),
            rows.rd(),
            rows.addr(),
            rows.read(),
            rows.written(),
        ];
        for (values, column) in columns.iter().zip(Columns::EACH) {
            let chosen = self.columns.contains(column);
            assert_eq!(values.len(), if chosen { rows.len() } else { 0 });
        }
        for (i, pc) in pc
            .iter()
            .chain(std::iter::repeat(&0))
            .take(rows.len())
            .enumerate()
        {
            self.now
                .rows
                .push(columns.map(|c| c.get(i).copied().unwrap_or(0)));
            if self.columns.contains(Columns::PC) {
                self.now.next_pcs.push(rows.next_pc(i).expect("a row"));
                let (inst, index) = rows.instruction(i).expect("it retired");
                assert_eq!(rows.program().fetch_indexed(*pc).1, index);
                assert!(inst.len > 0);
            }
        }
        assert_eq!(rows.next_pc(rows.len()), None);
        assert!(rows.instruction(rows.len()).is_none());
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        self.now.ops.extend_from_slice(ops);
    }

    fn call(&mut self, call: &Call<'t>) {
        self.now.calls.push((call.step, self.now.ops.len()));
    }

    fn end_chunk(&mut self, end: &Hart) -> Witness {
        self.now.end = Some(end.clone());
        std::mem::take(&mut self.now)
    }
}

/// Makes the same from single rows.
struct Expected {
    columns: Columns,
    first: u64,
    now: Witness,
}

impl chunk::Consumer for Expected {
    fn begin_chunk(&mut self, chunk: &Chunk<'_>) {
        self.first = chunk.header.first_step.get();
    }

    fn row(&mut self, row: &chunk::Row<'_>) {
        let access = row.access;
        let memory = |f: fn(&chunk::Access) -> Option<u64>| access.as_ref().and_then(f);
        let (read, written) = (memory(|a| a.read), memory(|a| a.written));
        let all = [
            row.pc,
            row.rs1,
            row.rs2,
            row.rd,
            access.map_or(0, |a| a.addr),
            read.unwrap_or(0),
            written.unwrap_or(0),
        ];
        if self.columns.has_rows() {
            self.now.first_step.get_or_insert(row.step);
            let mut fields = all;
            for (field, column) in fields.iter_mut().zip(Columns::EACH) {
                if !self.columns.contains(column) {
                    *field = 0;
                }
            }
            self.now.rows.push(fields);
        }
        if self.columns.contains(Columns::PC) {
            self.now.next_pcs.push(row.next_pc);
        }
        if let Some(access) = access.filter(|_| self.columns.contains(Columns::MEMORY)) {
            let step = if self.columns.contains(Columns::STEPS) {
                (row.step - self.first) as u32
            } else {
                0
            };
            for (value, kind) in [(read, 0), (written, MemoryOp::WRITE)] {
                if let Some(value) = value {
                    let kind = access.width.bytes() as u32 | kind;
                    self.now.ops.push(MemoryOp {
                        addr: access.addr,
                        value,
                        step,
                        kind,
                    });
                }
            }
        }
    }

    fn call(&mut self, call: &chunk::Call<'_>) {
        self.now.calls.push((call.step, self.now.ops.len()));
    }

    fn end_chunk(&mut self, hart: &Hart) {
        self.now.end = Some(hart.clone());
    }
}

/// The witness of a chunk from single rows.
pub fn expected(program: &Program, chunk: &Chunk<'_>, columns: Columns) -> Witness {
    let mut consumer = Expected {
        columns,
        first: 0,
        now: Witness::default(),
    };
    chunk::replay(program, chunk, &mut consumer).expect("nothing is wrong");
    consumer.now
}

/// Sets of columns: none, each, all, and several together.
pub fn column_sets() -> Vec<Columns> {
    let mut sets = vec![
        Columns::NONE,
        Columns::ALL,
        Columns::ROWS,
        Columns::MEMORY,
        Columns::MEMORY | Columns::STEPS,
        Columns::PC | Columns::MEMORY,
        Columns::RS1 | Columns::RD | Columns::WRITTEN,
        Columns::ADDR | Columns::READ | Columns::MEMORY | Columns::STEPS,
    ];
    sets.extend(Columns::EACH);
    sets
}

/// Compares what an engine hands over with [`expected`], chunk by chunk.
pub fn compare<'t>(engine: &Engine<'_, 't>, trace: &'t Trace) {
    let columns = engine.columns();
    let options = drive::Options {
        jobs: Some(2),
        ..drive::Options::default()
    };
    let mut next = 0;
    let summary = drive::run(
        trace,
        engine,
        &options,
        |_| Collector::new(columns),
        |index, found| {
            assert_eq!(index, next, "in order");
            next += 1;
            let chunk = trace.chunk(index)?;
            let wanted = expected(engine.program(), &chunk, columns);
            assert_same(&found, &wanted, &format!("chunk {index}, {columns:?}"));
            Ok::<(), CheckError>(())
        },
    )
    .expect("nothing is wrong");
    assert_eq!(summary.chunks, trace.len());
    assert_eq!(summary.steps, trace.total_steps());
    assert_eq!(next, trace.len());
    let options = drive::Options {
        order: Order::Ready,
        ..options
    };
    let mut seen = vec![false; trace.len() as usize];
    drive::run(
        trace,
        engine,
        &options,
        |_| Collector::new(columns),
        |index, found| {
            assert!(!std::mem::replace(&mut seen[index as usize], true));
            let chunk = trace.chunk(index)?;
            assert_eq!(found.end.map(|h| h.pc), Some(chunk.header.end_pc.get()));
            Ok::<(), CheckError>(())
        },
    )
    .expect("nothing is wrong");
    assert!(seen.iter().all(|s| *s), "every chunk");
}

/// Compares without printing millions of rows.
fn assert_same(found: &Witness, wanted: &Witness, what: &str) {
    for (i, (a, b)) in found.rows.iter().zip(&wanted.rows).enumerate() {
        assert_eq!(a, b, "{what}, row {i}");
    }
    assert_eq!(found.rows.len(), wanted.rows.len(), "{what}: rows");
    for (i, (a, b)) in found.ops.iter().zip(&wanted.ops).enumerate() {
        assert_eq!(a, b, "{what}, memory operation {i}");
    }
    assert_eq!(found.ops.len(), wanted.ops.len(), "{what}: operations");
    assert!(found.next_pcs == wanted.next_pcs, "{what}: next pc");
    assert_eq!(found.first_step, wanted.first_step, "{what}");
    assert_eq!(found.calls, wanted.calls, "{what}");
    assert_eq!(found.end, wanted.end, "{what}");
}
