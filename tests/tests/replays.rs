//! Random programs: compiled replay hands over the rows and memory operations of interpreted
//! replay, in random sets of columns, for chunks of random lengths, with random registers pinned;
//! and it notices a log that was altered wherever interpreted replay does.
//!
//! `HARTLOG_CASES` is the number of programs (default 300: each is linked by `ld` several times),
//! `HARTLOG_SEED` a program to run alone.

use compiler::{Columns, Mode, Options, link, object};
use hartlog_format::parse::Chunk;
use hartlog_format::trace::{CHUNK_MAGIC, ChunkHeader, EventHeader, end};
use hartlog_isa::{Hart, Inst, Op, Outcome, decode_at};
use replay::engine::{Engine, ReplayError};
use replay::witness::{Call, Consumer, MemoryOp, Rows};
use std::path::Path;
use tests::program::{Program, Setup};
use tests::random::{Rng, cases, number};
use tests::reference::{EXIT, Region, environment_call, interpret};
use tests::sample::Sample;
use zerocopy::{FromZeros, IntoBytes};

/// Steps after which a program is cut off.
const LIMIT: u64 = 400;
/// Chunks start anywhere in a program, with registers of any value.
const STARTS: u64 = 8;

/// Everything that a replay hands over.
#[derive(Debug, Default, PartialEq)]
struct Witness {
    rows: Vec<[u64; 7]>,
    next_pc: Option<u64>,
    ops: Vec<MemoryOp>,
    calls: Vec<u64>,
}

impl<'t> Consumer<'t> for Witness {
    type Output = Witness;

    fn begin_chunk(&mut self, _: &Chunk<'t>) {
        *self = Witness::default();
    }

    fn rows(&mut self, rows: &Rows<'_>) {
        let value = |column: &[u64], i: usize| column.get(i).copied().unwrap_or(0);
        for i in 0..rows.len() {
            self.rows.push([
                rows.pc().get(i).map_or(0, |pc| u64::from(*pc)),
                value(rows.rs1(), i),
                value(rows.rs2(), i),
                value(rows.rd(), i),
                value(rows.addr(), i),
                value(rows.read(), i),
                value(rows.written(), i),
            ]);
        }
        self.next_pc = rows.len().checked_sub(1).and_then(|i| rows.next_pc(i));
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        self.ops.extend_from_slice(ops);
    }

    fn call(&mut self, call: &Call<'t>) {
        self.calls.push(call.step);
    }

    fn end_chunk(&mut self, _: &Hart) -> Witness {
        std::mem::take(self)
    }
}

/// A chunk in memory.
struct Record {
    header: ChunkHeader,
    log: Vec<u8>,
    events: Vec<u8>,
}

impl Record {
    /// Runs a program from a state for so many steps, or up to what no chunk can hold.
    fn run(program: &Program, memory: &[Region], start: &Hart, first: u64, steps: u64) -> Record {
        let (mut hart, mut memory) = (start.clone(), memory.to_vec());
        let (mut log, mut events) = (Vec::new(), Vec::new());
        let mut done = 0;
        while done < steps {
            if is_special_call(program, &hart) {
                break;
            }
            let step = first + done;
            match interpret(&program.elf, &mut hart, &mut memory, &mut log, step) {
                Err(_) => break,
                Ok(Outcome::Next) => {}
                Ok(Outcome::Ecall) => {
                    environment_call(&mut hart.x);
                    let event = EventHeader {
                        step: step.into(),
                        result: hart.x[10].into(),
                        ranges: 0.into(),
                        reserved: 0.into(),
                    };
                    events.extend_from_slice(event.as_bytes());
                }
            }
            done += 1;
        }
        let mut header = ChunkHeader::new_zeroed();
        header.magic = CHUNK_MAGIC;
        header.first_step = first.into();
        header.steps = done.into();
        header.start_pc = start.pc.into();
        for (field, value) in header.regs.iter_mut().zip(&start.x[1..]) {
            *field = (*value).into();
        }
        header.reservation = start.reservation.into();
        header.end_kind = end::NEXT.into();
        header.end_pc = hart.pc.into();
        header.log_len = (log.len() as u64).into();
        header.events_len = (events.len() as u64).into();
        Record {
            header,
            log,
            events,
        }
    }

    fn chunk(&self) -> Chunk<'_> {
        Chunk {
            header: &self.header,
            log: &self.log,
            room: &self.log,
            events: &self.events,
            offset: 0,
            end: 0,
        }
    }
}

/// Whether the next instruction is a call about which more must be known than its result.
fn is_special_call(program: &Program, hart: &Hart) -> bool {
    use hartlog_abi::number::{EXIT_GROUP, GETRANDOM, READ, WRITE};
    let inst = program.elf.code_at(hart.pc).map(decode_at);
    matches!(inst, Some(Ok(Inst { op: Op::Ecall, .. })))
        && [EXIT, EXIT_GROUP, READ, WRITE, GETRANDOM].contains(&hart.x[17])
}

/// The object of a replay, linked.
fn link(program: &Program, columns: Columns, dir: &Path) -> Vec<u8> {
    let options = Options {
        mode: Mode::Replay,
        columns,
        ..Options::default()
    };
    let mut code = program.code.clone();
    let object = object::write(&program.elf, &mut code, &options).expect("an object");
    let path = dir.join("prog.replay.so");
    link::link_shared(&object, &path, "ld").expect("ld links it");
    std::fs::read(path).expect("what ld wrote")
}

fn equal(sample: &Sample, dir: &Path) -> Result<(), String> {
    let image = sample.image();
    let memory = Sample::memory(&image);
    let mut rng = Rng::new(sample.seed ^ 2);
    let addresses = sample.assemble().addresses;
    let sets = [
        Columns::ALL,
        [Columns::NONE, Columns::MEMORY][rng.below(2) as usize],
        Columns::from_bits(rng.below(512) as u16).unwrap_or_default(),
    ];
    for columns in sets {
        let program = Program::new(
            &image,
            Setup {
                mode: Mode::Replay,
                columns,
                order: sample.order.clone(),
                cut: sample.cut(),
                ..Setup::default()
            },
        );
        let decoded = replay::program::Program::new(
            hartlog_elf::Elf::parse(image.build()).map_err(|e| e.to_string())?,
        );
        let object = link(&program, columns, dir);
        let mut records = Vec::new();
        for number in 0..STARTS {
            let mut start = sample.hart();
            if number > 0 {
                start.pc = rng.pick(&addresses);
                for x in &mut start.x[10..18] {
                    *x = rng.value();
                }
            }
            let steps = [1, 1 + rng.below(7), 1 + rng.below(60), LIMIT][number as usize % 4];
            let first = rng.below(1 << 40);
            records.push(Record::run(&program, &memory, &start, first, steps));
        }
        // Some with a log that is wrong in a bit, too long or too short.
        for i in 0..records.len() {
            let Record {
                header,
                log,
                events,
            } = &records[i];
            let (mut header, mut log) = (*header, log.clone());
            match rng.below(3) {
                0 if !log.is_empty() => {
                    let at = rng.below(log.len() as u64) as usize;
                    log[at] ^= 1 << rng.below(8);
                }
                1 if !log.is_empty() => log.truncate(rng.below(log.len() as u64) as usize),
                _ => log.push(0),
            }
            header.log_len = (log.len() as u64).into();
            let events = events.clone();
            records.push(Record {
                header,
                log,
                events,
            });
        }
        let compiled = Engine::compiled(&decoded, columns, object).map_err(|e| e.to_string())?;
        let interpreted = Engine::interpreted(&decoded, columns);
        let (mut a, mut b) = (compiled.worker(), interpreted.worker());
        for (i, record) in records.iter().enumerate() {
            let chunk = record.chunk();
            let found = a.replay(&chunk, &mut Witness::default());
            let wanted = b.replay(&chunk, &mut Witness::default());
            let same = match (&found, &wanted) {
                (Ok(a), Ok(b)) => a.hart == b.hart && a.output == b.output,
                (Err(ReplayError::Difference(a)), Err(ReplayError::Difference(b))) => a == b,
                _ => false,
            };
            if !same {
                return Err(format!(
                    "{columns:?}, chunk {i} of {} steps from {:#x}: {found:x?}\nexpected {wanted:x?}\n{}",
                    record.header.steps,
                    record.header.start_pc,
                    program.listing()
                ));
            }
            if i < STARTS as usize && wanted.is_err() {
                return Err(format!("chunk {i} is wrong: {wanted:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn compiled_replay_of_random_programs_is_interpreted_replay() {
    let dir = tempfile::tempdir().expect("a directory for temporary files");
    let seeds = match number("HARTLOG_SEED", 16) {
        Some(seed) => vec![seed],
        None => {
            let cases = cases(300);
            let start = number("HARTLOG_START", 10).unwrap_or(0);
            (start..start + cases).collect()
        }
    };
    for seed in seeds {
        let size = 1 + (seed % 60) as usize;
        let sample = Sample::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), size);
        if let Err(what) = equal(&sample, dir.path()) {
            panic!("seed {seed:x}\n{sample:?}{what}");
        }
    }
}
