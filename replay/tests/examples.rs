//! The examples, run on small programs, and how long they are.

mod common;

#[allow(dead_code)]
#[path = "../examples/check.rs"]
mod check;
#[allow(dead_code)]
#[path = "../examples/consumer.rs"]
mod consumer;
#[allow(dead_code)]
#[path = "../examples/rows.rs"]
mod rows;
#[allow(dead_code)]
#[path = "../examples/run.rs"]
mod run;

use hartlog_isa::{Inst, Op};
use replay::interp::End;
use replay::trace::Trace;
use std::path::{Path, PathBuf};

/// ELF and trace of the small program, in a directory of the test's own.
fn files(name: &str) -> (PathBuf, PathBuf) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("examples-{name}"));
    std::fs::create_dir_all(&dir).expect("a directory");
    let program = common::program();
    let (elf, trace) = (dir.join("prog.elf"), dir.join("prog.trace"));
    std::fs::write(&elf, program.elf().bytes()).expect("a file");
    std::fs::write(&trace, common::trace_bytes(&program, 16)).expect("a file");
    (elf, trace)
}

#[test]
fn a_run_has_output_and_steps() {
    let (elf, trace) = files("run");
    let (end, steps, output) = run::run(&elf, b"").expect("it runs");
    assert_eq!(end, End::Exit(3));
    let trace = Trace::open(&trace).expect("a trace");
    assert_eq!(steps, trace.total_steps());
    let footer = trace.footer().expect("readable").expect("complete");
    assert_eq!(output.len() as u64, footer.fixed.output_len.get());
    assert_eq!(output.len(), 8);
}

#[test]
fn rows_name_the_jumps() {
    let (elf, trace) = files("rows");
    // Five rounds of a loop of ten instructions at the third.
    let jumps = rows::jumps(&trace, &elf).expect("a trace");
    let steps: Vec<u64> = jumps.iter().map(|j| j[0]).collect();
    assert_eq!(steps, [11, 21, 31, 41]);
    assert!(jumps.iter().all(|[_, from, to]| from - to == 36));
}

#[test]
fn a_consumer_has_a_result_for_each_chunk() {
    let i = Inst::new;
    let mut code = vec![i(Op::Lui, 8, 0, 0, 0x11000)];
    for value in [5, 9, 2, 7] {
        code.push(i(Op::Addi, 5, 0, 0, value));
        code.push(i(Op::Sd, 0, 8, 5, 0));
    }
    code.push(i(Op::Addi, 17, 0, 0, 93));
    code.push(i(Op::Ecall, 0, 0, 0, 0));
    let program = common::parse(&code);
    let trace = Trace::from_bytes(common::trace_bytes(&program, 5)).expect("a trace");
    let largest = consumer::largest(&trace, &program);
    assert_eq!(largest.expect("a trace"), [9, 7, 0]);
}

#[test]
fn a_check_accepts_what_is_right_only() {
    let (elf, trace) = files("check");
    let report = check::verify(&trace, &elf).expect("it is right");
    assert!(report.memory && report.chunks == 6);
    let mut bytes = std::fs::read(&trace).expect("the trace");
    let (whole, cut) = (bytes.clone(), trace.with_extension("cut"));
    std::fs::write(&cut, &bytes[..bytes.len() - 100]).expect("a file");
    let error = check::verify(&cut, &elf).expect_err("incomplete");
    assert!(error.to_string().contains("did not end"), "{error}");
    let chunk = whole
        .windows(4)
        .position(|w| w == b"CHNK")
        .expect("a chunk");
    bytes[chunk + 40] ^= 1;
    common::repair(&mut bytes);
    std::fs::write(&cut, &bytes).expect("a file");
    assert!(check::verify(&cut, &elf).is_err());
}

#[test]
fn examples_are_short() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("a directory").flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).expect("a file");
            let code = text.lines().filter(|line| !line.starts_with("//!")).count();
            assert!(code < 40, "{} has {code} lines", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 4);
}
