//! The steps of a run do not depend on how it is cut into chunks, nor on who replays them.

mod common;

use hartlog_isa::Hart;
use quickcheck::{TestResult, quickcheck};
use replay::chunk::{Access, Call, Consumer, LogPort, NoSink, Row, execute, replay};
use replay::interp::{End, Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;

#[derive(Clone, Debug, PartialEq)]
struct Step {
    step: u64,
    pc: u64,
    index: u64,
    rs1: u64,
    rs2: u64,
    rd: u64,
    access: Option<Access>,
    next_pc: u64,
}

#[derive(Default)]
struct Recorder {
    steps: Vec<Step>,
    calls: Vec<(u64, u64)>,
    ends: Vec<Hart>,
    begun: u64,
}

impl Consumer for Recorder {
    fn begin_chunk(&mut self, _: &hartlog_format::parse::Chunk<'_>) {
        self.begun += 1;
    }

    fn row(&mut self, row: &Row<'_>) {
        self.steps.push(Step {
            step: row.step,
            pc: row.pc,
            index: row.index,
            rs1: row.rs1,
            rs2: row.rs2,
            rd: row.rd,
            access: row.access,
            next_pc: row.next_pc,
        });
    }

    fn call(&mut self, call: &Call<'_>) {
        self.calls.push((call.step, call.x[17]));
    }

    fn end_chunk(&mut self, hart: &Hart) {
        self.ends.push(hart.clone());
    }
}

fn record(program: &Program, chunk_steps: u64, backwards: bool) -> Recorder {
    let bytes = common::trace_bytes(program, chunk_steps);
    let trace = Trace::from_bytes(bytes).expect("a trace");
    let mut parts: Vec<Recorder> = Vec::new();
    let order: Vec<u64> = if backwards {
        (0..trace.len()).rev().collect()
    } else {
        (0..trace.len()).collect()
    };
    for index in order {
        let mut part = Recorder::default();
        let chunk = trace.chunk(index).expect("a chunk");
        replay(program, &chunk, &mut part).expect("it replays");
        assert_eq!(part.steps.len() as u64, chunk.header.steps.get());
        // The fast loop comes to the same end.
        let code = program.code();
        let mut port = LogPort::new(NoSink);
        let hart = execute(program, &code, &chunk, &mut port, |_, _| {}).expect("it replays");
        assert_eq!(part.ends, [hart]);
        parts.push(part);
    }
    if backwards {
        parts.reverse();
    }
    let mut all = Recorder::default();
    for part in parts {
        all.steps.extend(part.steps);
        all.calls.extend(part.calls);
        all.begun += part.begun;
        all.ends = part.ends;
    }
    all
}

#[test]
fn the_same_for_every_chunk_size() {
    let program = common::program();
    let whole = record(&program, 1 << 18, false);
    assert_eq!(whole.begun, 1);
    assert!(whole.steps.len() > 80);
    assert_eq!(whole.calls.len(), 6);
    for chunk_steps in [1, 2, 3, 16, 100] {
        let parts = record(&program, chunk_steps, chunk_steps % 2 == 0);
        assert_eq!(parts.steps, whole.steps, "{chunk_steps}");
        assert_eq!(parts.calls, whole.calls, "{chunk_steps}");
        assert_eq!(parts.ends, whole.ends, "{chunk_steps}");
        let expected = (whole.steps.len() as u64).div_ceil(chunk_steps);
        assert_eq!(parts.begun, expected, "{chunk_steps}");
    }
}

#[test]
fn a_run_that_ends_on_the_boundary_has_no_empty_chunk() {
    let program = common::program();
    let steps = record(&program, 1 << 18, false).steps.len() as u64;
    assert_eq!(record(&program, steps, false).begun, 1);
    assert_eq!(record(&program, steps - 1, false).begun, 2);
}

#[test]
fn a_fault_on_the_boundary_is_in_a_chunk_of_its_own() {
    use hartlog_isa::{Inst, Op};
    let program = common::parse(&[
        Inst::new(Op::Addi, 5, 0, 0, 1),
        Inst::new(Op::Addi, 5, 0, 0, 2),
        Inst::new(Op::Ebreak, 0, 0, 0, 0),
    ]);
    let bytes = common::trace_bytes(&program, 2);
    let trace = Trace::from_bytes(bytes.clone()).expect("a trace");
    assert_eq!(trace.len(), 2);
    let last = trace.chunk(1).expect("a chunk");
    assert_eq!(last.header.steps.get(), 0);
    common::check_bytes(&program, bytes).expect("it is fine");
}

quickcheck! {
    /// A step limit anywhere gives a trace of exactly so many steps that is accepted.
    fn a_step_limit_cuts_anywhere(limit: u8, chunk_steps: u8) -> TestResult {
        let (limit, chunk_steps) = (u64::from(limit), u64::from(chunk_steps));
        if chunk_steps == 0 {
            return TestResult::discard();
        }
        let program = common::program();
        let options = Options { chunk_steps, step_limit: Some(limit), ..Options::default() };
        let mut bytes = Vec::new();
        let mut interpreter = Interpreter::new(&program, options).expect("it loads");
        let end = interpreter
            .run_traced(&mut Buffers::default(), &mut bytes)
            .expect("it runs");
        let steps = Trace::from_bytes(bytes.clone()).expect("a trace").total_steps();
        let right = match end {
            End::StepLimit => steps == limit,
            End::Exit(3) => steps <= limit,
            _ => false,
        };
        TestResult::from_bool(right && common::check_bytes(&program, bytes).is_ok())
    }
}
