//! The witness: the same rows and memory operations from every engine, in every set of columns.

mod common;
#[path = "common/witness.rs"]
mod expected;

use common::{program, trace_bytes};
use expected::{Collector, column_sets, compare};
use hartlog_isa::{Inst, Op};
use replay::check::CheckError;
use replay::drive::{self, Order};
use replay::engine::{Cache, Choice, Engine};
use replay::program::Program;
use replay::trace::Trace;
use replay::witness::{Columns, Counter, Counts, Verify};

#[test]
fn interpreted_batches_are_the_rows() {
    let program = program();
    for chunk_steps in [1, 7, 1000, 1 << 18] {
        let trace = Trace::from_bytes(trace_bytes(&program, chunk_steps)).expect("a trace");
        for columns in column_sets() {
            compare(&Engine::interpreted(&program, columns), &trace);
        }
    }
}

fn compiled<'p, 't>(program: &'p Program, columns: Columns) -> Engine<'p, 't> {
    match Engine::choose(program, columns, Choice::Compiled, &Cache::none()) {
        Ok((engine, _)) => engine,
        Err(e) => panic!("no compiled code: {e}"),
    }
}

#[test]
fn compiled_batches_are_the_rows() {
    let program = program();
    let traces = [1, 7, 1000, 1 << 18]
        .map(|steps| Trace::from_bytes(trace_bytes(&program, steps)).expect("a trace"));
    for columns in column_sets() {
        let engine = compiled(&program, columns);
        assert!(engine.is_compiled());
        for trace in &traces {
            compare(&engine, trace);
        }
    }
}

/// A loop of five instructions, with more steps than fit in a batch.
fn long_program() -> replay::program::Program {
    let i = Inst::new;
    common::parse(&[
        i(Op::Lui, 8, 0, 0, 0x11000),
        i(Op::Lui, 5, 0, 0, 0x5000),
        i(Op::AmoaddD, 6, 8, 5, 0),
        i(Op::AmoswapW, 7, 8, 6, 0),
        i(Op::Addi, 5, 5, 0, -1),
        i(Op::Bne, 0, 5, 0, -12),
        i(Op::Addi, 17, 0, 0, 93),
        i(Op::Ecall, 0, 0, 0, 0),
    ])
}

#[test]
fn batches_are_handed_over_when_they_are_full() {
    let program = long_program();
    let trace = Trace::from_bytes(trace_bytes(&program, 1 << 18)).expect("a trace");
    assert!(trace.total_steps() > 80_000);
    for columns in [Columns::ALL, Columns::PC, Columns::MEMORY] {
        compare(&Engine::interpreted(&program, columns), &trace);
        compare(&compiled(&program, columns), &trace);
    }
}

#[test]
fn counts_are_those_of_the_rows() {
    let program = long_program();
    let trace = Trace::from_bytes(trace_bytes(&program, 1000)).expect("a trace");
    let engine = Engine::interpreted(&program, Counter::COLUMNS);
    let options = drive::Options {
        order: Order::Ready,
        ..drive::Options::default()
    };
    let mut counts = Counts::new(&program);
    drive::run(
        &trace,
        &engine,
        &options,
        |_| Counter::new(&program),
        |_, chunk| {
            counts.take(&chunk);
            Ok::<(), CheckError>(())
        },
    )
    .expect("nothing is wrong");
    assert_eq!(counts.total(), trace.total_steps());
    let loops = 0x5000;
    let found: Vec<(Op, u64)> = counts
        .executed(&program)
        .map(|(_, inst, count)| (inst.op, count))
        .collect();
    let wanted = [
        (Op::Lui, 1),
        (Op::Lui, 1),
        (Op::AmoaddD, loops),
        (Op::AmoswapW, loops),
        (Op::Addi, loops),
        (Op::Bne, loops),
        (Op::Addi, 1),
        (Op::Ecall, 1),
    ];
    assert_eq!(found, wanted);
    let by_operation = counts.by_operation(&program);
    assert_eq!(by_operation.first(), Some(&(Op::Addi, loops + 1)));
    let sum: u64 = by_operation.iter().map(|(_, n)| n).sum();
    assert_eq!(sum, trace.total_steps());
}

#[test]
fn the_taker_can_end_a_replay() {
    let program = long_program();
    let trace = Trace::from_bytes(trace_bytes(&program, 1000)).expect("a trace");
    let engine = Engine::interpreted(&program, Columns::NONE);
    #[derive(Debug)]
    enum Ended {
        Enough(u64),
        Wrong,
    }
    impl From<CheckError> for Ended {
        fn from(_: CheckError) -> Ended {
            Ended::Wrong
        }
    }
    let options = drive::Options::default();
    let result = drive::run(
        &trace,
        &engine,
        &options,
        |_| Verify,
        |index, ()| {
            if index == 5 {
                Err(Ended::Enough(index))
            } else {
                Ok(())
            }
        },
    );
    assert!(matches!(result, Err(Ended::Enough(5))), "{result:?}");
}

#[test]
fn a_chosen_range_of_chunks() {
    let program = long_program();
    let trace = Trace::from_bytes(trace_bytes(&program, 1000)).expect("a trace");
    let engine = Engine::interpreted(&program, Columns::PC);
    let options = drive::Options {
        chunks: Some(3..5),
        ..drive::Options::default()
    };
    let mut seen = Vec::new();
    drive::run(
        &trace,
        &engine,
        &options,
        |_| Collector::new(Columns::PC),
        |index, found| {
            seen.push((index, found.first_step, found.rows.len()));
            Ok::<(), CheckError>(())
        },
    )
    .expect("nothing is wrong");
    assert_eq!(seen, [(3, Some(3000), 1000), (4, Some(4000), 1000)]);
    let options = drive::Options {
        chunks: Some(3..10_000),
        ..drive::Options::default()
    };
    let result = drive::run(
        &trace,
        &engine,
        &options,
        |_| Verify,
        |_, ()| Ok::<(), CheckError>(()),
    );
    assert!(matches!(result, Err(CheckError::Chunks { .. })));
}
