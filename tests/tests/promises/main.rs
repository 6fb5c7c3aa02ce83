//! Promises of SPECIFICATION.md about what surrounds the generated code: the compiler's errors and
//! its needs, the trace file when the host is short of something, the address space of a
//! translated program, and the trace reader on what no run has written.

mod compile;
mod hostile;
mod isolation;
mod reader;
mod trace;

use hartlog_elf::Elf;
use hartlog_isa::{Inst, Op};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tests::elf::{Image, PF_R, PF_X, Segment, Symbol};

/// Guest address of the first instruction of a [`program`].
const CODE: u64 = 0x1_0000;

/// Registers by their ABI names.
mod reg {
    pub const ZERO: u8 = 0;
    pub const T0: u8 = 5;
    pub const T1: u8 = 6;
    pub const S0: u8 = 8;
    pub const A0: u8 = 10;
    pub const A1: u8 = 11;
    pub const A2: u8 = 12;
    pub const A3: u8 = 13;
    pub const A4: u8 = 14;
    pub const A7: u8 = 17;
}

/// Numbers of environment calls (docs/abi.md).
mod call {
    pub const READ: i32 = 63;
    pub const WRITE: i32 = 64;
    pub const EXIT: i32 = 93;
    pub const BRK: i32 = 214;
    pub const MUNMAP: i32 = 215;
    pub const MMAP: i32 = 222;
}

/// `addi`, which loads small numbers and copies registers.
fn addi(rd: u8, rs1: u8, imm: i32) -> Inst {
    Inst::new(Op::Addi, rd, rs1, 0, imm)
}

/// `lui`; the value has its lower 12 bits clear.
fn lui(rd: u8, value: i32) -> Inst {
    Inst::new(Op::Lui, rd, 0, 0, value)
}

/// Appends an environment call.
fn ecall(code: &mut Vec<Inst>, number: i32) {
    code.extend([
        addi(reg::A7, reg::ZERO, number),
        Inst::new(Op::Ecall, 0, 0, 0, 0),
    ]);
}

/// Instructions of 4 bytes each.
fn bytes(code: &[Inst]) -> Vec<u8> {
    code.iter().flat_map(|i| i.encode().to_le_bytes()).collect()
}

/// An executable without compressed instructions, all of it one function `f`, with more segments.
fn program(code: Vec<u8>, more: &[Segment]) -> Image {
    let symbol = Symbol {
        name: "f".to_owned(),
        addr: CODE,
        size: code.len() as u64,
    };
    let mut segments = vec![Segment::new(CODE, code, PF_R | PF_X)];
    segments.extend_from_slice(more);
    Image {
        entry: CODE,
        flags: 0,
        segments,
        symbols: vec![symbol],
    }
}

fn load(image: &Image) -> Elf {
    Elf::parse(image.build()).expect("the test's executable loads")
}

/// Set in a process that runs one test of this file by itself, to be measured.
const CHILD: &str = "HARTLOG_TEST_CHILD";

fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs a test of this file in a process of its own, which [`is_child`], for so long at most.
fn in_child(test: &str, limit: Duration) -> Output {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, "1");
    command.stdin(std::process::Stdio::null());
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("this program starts again");
    let start = Instant::now();
    // It says little, so that the pipes cannot be full.
    while child.try_wait().expect("it is a child").is_none() {
        if start.elapsed() > limit {
            child.kill().expect("it is a child");
            panic!("{test} has not ended after {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().expect("it is a child");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{test}: {}\n{said}", output.status);
    output
}

/// A field of `/proc/self/status`.
fn own_status(field: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status
        .lines()
        .find_map(|l| l.strip_prefix(field)?.strip_prefix(':'));
    line.expect("the field is there").trim().to_owned()
}

/// The most memory that this process has had so far, in bytes.
fn peak_memory() -> u64 {
    let peak = own_status("VmHWM");
    let kib = peak
        .strip_suffix(" kB")
        .and_then(|n| n.trim().parse::<u64>().ok());
    kib.expect("a number of KiB") * 1024
}
