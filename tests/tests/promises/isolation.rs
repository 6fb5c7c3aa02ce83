//! The address space of a translated program: what is where, and what a guest can reach.

use crate::{CODE, addi, bytes, call, ecall, load, lui, program, reg};
use compiler::{Mode, Options};
use hartlog_elf::Elf;
use hartlog_format::contract::TABLE_OFFSET;
use hartlog_format::layout::{GUEST_END, HOST_BASE, PAGE, STACK_GUARD, STACK_SIZE, WINDOW_END};
use hartlog_format::status::exit;
use hartlog_isa::{Inst, Op};
use replay::program::Program;
use replay::trace::Trace;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::elf::{PF_R, PF_W, PF_X, Segment};
use tests::guests::{Scratch, build, interpret, run};

/// Writable data; a host address with these lower 32 bits is in the image of the program.
const DATA: u64 = 0x1000_0000;
/// Read-only data.
const RODATA: u64 = 0x2000_0000;
/// Code that is data, too.
const RWX: u64 = 0x3000_0000;

/// A line of `/proc/PID/maps`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mapping {
    start: u64,
    end: u64,
    access: String,
}

fn mappings(pid: u32) -> Vec<Mapping> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("a running process");
    let number = |text: &str| u64::from_str_radix(text, 16).expect("hexadecimal");
    let line = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        Some(Mapping {
            start: number(start),
            end: number(end),
            access: rest.get(..3)?.to_owned(),
        })
    };
    text.lines()
        .map(|l| line(l).expect("start, end, access"))
        .collect()
}

/// Neighbours of equal access as one.
fn merged(mappings: impl IntoIterator<Item = Mapping>) -> Vec<Mapping> {
    let mut out: Vec<Mapping> = Vec::new();
    for m in mappings {
        match out.last_mut() {
            Some(last) if last.end == m.start && last.access == m.access => last.end = m.end,
            _ => out.push(m),
        }
    }
    out
}

/// Asks for `bytes` of memory with this protection, wherever: MAP_PRIVATE | MAP_ANONYMOUS.
fn map(code: &mut Vec<Inst>, bytes: i32, protection: i32) {
    use reg::*;
    code.extend([
        addi(A0, ZERO, 0),
        lui(A1, bytes),
        addi(A2, ZERO, protection),
        addi(A3, ZERO, 0x22),
        addi(A4, ZERO, -1),
    ]);
    ecall(code, call::MMAP);
}

/// Asks for all kinds of memory, says so with one byte, and waits for input.
fn waiting_guest() -> Elf {
    use reg::*;
    let mut code = vec![addi(A0, ZERO, 0)];
    ecall(&mut code, call::BRK);
    // Three pages of heap.
    code.extend([lui(T0, 0x3000), Inst::new(Op::Add, A0, A0, T0, 0)]);
    ecall(&mut code, call::BRK);
    // Two pages that are to be readable, writable and executable.
    map(&mut code, 0x2000, 7);
    code.extend([
        lui(S0, DATA as i32),
        addi(A0, ZERO, 1),
        addi(A1, S0, 0),
        addi(A2, ZERO, 1),
    ]);
    ecall(&mut code, call::WRITE);
    code.extend([addi(A0, ZERO, 0), addi(A1, S0, 0), addi(A2, ZERO, 1)]);
    ecall(&mut code, call::READ);
    code.push(addi(A0, ZERO, 0));
    ecall(&mut code, call::EXIT);
    let rwx = bytes(&[Inst::new(Op::Jal, ZERO, 0, 0, 0)]);
    let more = [
        Segment {
            mem_size: 2 * PAGE,
            ..Segment::new(DATA, b"!".to_vec(), PF_R | PF_W)
        },
        Segment::new(RODATA, vec![1; 8], PF_R),
        Segment::new(RWX, rwx, PF_R | PF_W | PF_X),
    ];
    load(&program(bytes(&code), &more))
}

/// Asserts what holds for every translated program, and returns what is mapped below 4 GiB.
fn sound(what: &str, all: &[Mapping]) -> Vec<Mapping> {
    for m in all {
        let both = m.access.contains('w') && m.access.contains('x');
        assert!(!both, "{what}: writable and executable: {m:x?}");
        assert!(
            m.end <= GUEST_END || m.start >= WINDOW_END,
            "{what}: crosses the edge of the window: {m:x?}"
        );
        let executable = m.start < WINDOW_END && m.access.contains('x');
        assert!(
            !executable,
            "{what}: guest memory that is executable: {m:x?}"
        );
    }
    let code = all
        .iter()
        .find(|m| m.start >= HOST_BASE && m.access.contains('x'));
    let code = code.unwrap_or_else(|| panic!("{what}: there is host code"));
    // In front of it, behind the state block: where computed jumps go.
    let table = HOST_BASE + TABLE_OFFSET..code.start;
    let of_table = merged(
        all.iter()
            .filter(|m| m.end > table.start && m.start < table.end)
            .cloned(),
    );
    assert!(
        matches!(&of_table[..], [m] if m.access == "r--" && m.start <= table.start && m.end >= table.end),
        "{what}: the jump table is not read-only: {of_table:x?}"
    );
    merged(all.iter().filter(|m| m.start < WINDOW_END).cloned())
}

/// Runs a program until it has written a byte, and returns what is mapped while it waits for
/// input.
fn mapped_while_waiting(native: &Path, trace: Option<&Path>) -> Vec<Mapping> {
    let mut command = Command::new(native);
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.envs(trace.map(|path| ("HARTLOG_TRACE", path)));
    let mut child = command.spawn().expect("it starts");
    let mut byte = [0];
    let read = child
        .stdout
        .as_mut()
        .expect("it is a pipe")
        .read_exact(&mut byte);
    let mappings = mappings(child.id());
    drop(child.stdin.take());
    let status = child.wait().expect("it is a child");
    read.expect("the guest writes a byte");
    assert_eq!(status.code(), Some(0), "{status}");
    mappings
}

#[test]
fn only_the_guest_is_below_4_gib_and_no_page_is_writable_and_executable() {
    let elf = waiting_guest();
    let scratch = Scratch::new("mappings");
    let native = scratch.path("native");
    let trace = scratch.path("trace");
    let mapping = |start, len, access: &str| Mapping {
        start,
        end: start + len,
        access: access.to_owned(),
    };
    let stack = GUEST_END - STACK_SIZE;
    // Segments, heap behind the last, mapping below the guard, stack; nothing else.
    let wanted = merged([
        mapping(CODE, PAGE, "r--"),
        mapping(DATA, 2 * PAGE, "rw-"),
        mapping(RODATA, PAGE, "r--"),
        mapping(RWX, PAGE, "rw-"),
        mapping(RWX + PAGE, 3 * PAGE, "rw-"),
        mapping(stack - STACK_GUARD - 2 * PAGE, 2 * PAGE, "rw-"),
        mapping(stack, STACK_SIZE, "rw-"),
    ]);
    for (mode, trace) in [
        (Mode::Trace, Some(trace.as_path())),
        (Mode::Trace, None),
        (Mode::Fast, None),
    ] {
        let what = format!("{mode:?}, trace {trace:?}");
        build(
            &elf,
            &Options {
                mode,
                ..Options::default()
            },
            &native,
        );
        // What is readable is what the layout says; pages without access hold nothing.
        let mut found = sound(&what, &mapped_while_waiting(&native, trace));
        found.retain(|m| m.access != "---");
        assert_eq!(found, wanted, "{what}");
    }
}

/// Offset in [`DATA`] of what is accessed.
const TARGET: u64 = 16;
/// What is there.
const VALUE: u64 = 42;

/// Reads an address, does this with it in t0, and exits with a0.
fn access(then: &[Inst]) -> Elf {
    use reg::*;
    let mut code = vec![
        lui(S0, DATA as i32),
        addi(A0, ZERO, 0),
        addi(A1, S0, 0),
        addi(A2, ZERO, 8),
    ];
    ecall(&mut code, call::READ);
    code.extend([Inst::new(Op::Ld, T0, S0, 0, 0), addi(T1, ZERO, 7)]);
    code.extend_from_slice(then);
    ecall(&mut code, call::EXIT);
    let mut data = vec![0; PAGE as usize];
    data[TARGET as usize..][..8].copy_from_slice(&VALUE.to_le_bytes());
    load(&program(
        bytes(&code),
        &[Segment::new(DATA, data, PF_R | PF_W)],
    ))
}

#[test]
fn addresses_of_the_host_fault_or_reach_guest_memory() {
    use reg::*;
    let again = Inst::new(Op::Ld, A0, S0, 0, TARGET as i32);
    // Each with the exit status without check of addresses, and the fault with it.
    let cases = [
        (
            "load",
            vec![Inst::new(Op::Ld, A0, T0, 0, 0)],
            VALUE as u8,
            exit::FAULT_LOAD,
        ),
        (
            "store",
            vec![Inst::new(Op::Sd, 0, T0, T1, 0), again],
            7,
            exit::FAULT_STORE,
        ),
        (
            "amo",
            vec![Inst::new(Op::AmoaddD, A0, T0, T1, 0), again],
            VALUE as u8 + 7,
            exit::FAULT_STORE,
        ),
        (
            "lr",
            vec![Inst::new(Op::LrD, A0, T0, 0, 0)],
            VALUE as u8,
            exit::FAULT_LOAD,
        ),
    ];
    let low = DATA + TARGET;
    // In the image of the program, where stack and libraries are, in the kernel, at the very end.
    let addresses = [
        HOST_BASE + TARGET,
        0x7fff_0000_0000 | low,
        1 << 63 | low,
        0xffff_ffff_0000_0000 | low,
    ];
    assert_eq!(
        addresses[0] as u32, low as u32,
        "the addresses are that of the target, with more bits"
    );

    let scratch = Scratch::new("host-addresses");
    let (native, trace) = (scratch.path("native"), scratch.path("trace"));
    let env = [
        ("HARTLOG_TRACE", trace.to_str().expect("UTF-8")),
        ("HARTLOG_QUIET", "1"),
    ];
    for (name, then, aliased, fault) in cases {
        let elf = access(&then);
        let program = Program::new(elf.clone());
        let check = || {
            let trace = Trace::open(&trace).expect("the trace opens");
            replay::check::check(&trace, &program, &Default::default(), &mut |_| {})
        };
        build(&elf, &Options::default(), &native);
        // An address of the guest, to see that the program does what it should.
        let output = run(&native, &[], &low.to_le_bytes(), &env);
        assert_eq!(
            output.status.code(),
            Some(aliased.into()),
            "{name}: {output:?}"
        );
        check().unwrap_or_else(|e| panic!("{name}: {e}"));
        for address in addresses {
            // It reaches the guest's memory and nothing else; the check notices.
            let output = run(&native, &[], &address.to_le_bytes(), &env);
            assert_eq!(
                output.status.code(),
                Some(aliased.into()),
                "{name} {address:#x}: {output:?}"
            );
            let error = check().expect_err("no hart does that").to_string();
            assert!(
                error.contains("access") && error.contains(&format!("{address:#x}")),
                "{name}: {error}"
            );
        }
        for mode in [Mode::Trace, Mode::Fast] {
            build(
                &elf,
                &Options {
                    mode,
                    checked_addresses: true,
                    ..Options::default()
                },
                &native,
            );
            let env = if mode == Mode::Trace {
                &env[..]
            } else {
                &env[1..]
            };
            for address in addresses {
                let output = run(&native, &[], &address.to_le_bytes(), env);
                assert_eq!(
                    output.status.code(),
                    Some(fault.into()),
                    "{name} {address:#x}, {mode:?}: {output:?}"
                );
                if mode == Mode::Trace {
                    let said = String::from_utf8_lossy(&output.stderr);
                    assert!(
                        said.contains(&format!("address: {address:#x}")),
                        "{name}: {said}"
                    );
                    check().unwrap_or_else(|e| panic!("{name} {address:#x}: {e}"));
                }
            }
        }
    }
}

#[test]
fn pages_that_were_given_back_are_gone() {
    use reg::*;
    let scratch = Scratch::new("given-back");
    let (native, file) = (scratch.path("native"), scratch.path("trace"));
    // Of three: a load from each, before and after.
    for (page, gone) in (0..3).flat_map(|page| [(page, false), (page, true)]) {
        let mut code = Vec::new();
        map(&mut code, 0x3000, 3);
        code.push(addi(S0, A0, 0));
        if gone {
            code.push(lui(A1, 0x3000));
            ecall(&mut code, call::MUNMAP);
        }
        code.extend([
            lui(T0, page * PAGE as i32),
            Inst::new(Op::Add, T0, S0, T0, 0),
            Inst::new(Op::Ld, A0, T0, 0, 8),
        ]);
        ecall(&mut code, call::EXIT);
        let program = Program::new(load(&program(bytes(&code), &[])));
        build(program.elf(), &Options::default(), &native);
        let wanted = interpret(&program, &[], Vec::new(), 1 << 18);
        let env = [("HARTLOG_TRACE", file.to_str().expect("UTF-8"))];
        let status = run(&native, &[], &[], &env).status.code();
        let right = if gone { exit::FAULT_LOAD } else { exit::OK };
        assert_eq!(wanted.status(), right, "page {page}, gone {gone}");
        assert_eq!(status, Some(right.into()), "page {page}, gone {gone}");
        let trace = std::fs::read(&file).expect("there is a trace");
        assert!(trace == wanted.trace, "page {page}, gone {gone}: the trace");
    }
}

#[test]
fn a_signal_of_another_process_is_no_fault_of_the_guest() {
    let scratch = Scratch::new("sent");
    let (native, trace) = (scratch.path("native"), scratch.path("trace"));
    build(&waiting_guest(), &Options::default(), &native);
    for (name, number) in [("SEGV", 11), ("BUS", 7), ("FPE", 8), ("ILL", 4)] {
        let mut child = Command::new(&native)
            .env("HARTLOG_TRACE", &trace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut byte = [0];
        let stdout = child.stdout.as_mut().expect("it is a pipe");
        stdout.read_exact(&mut byte).expect("the guest writes one");
        let sent = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status();
        assert!(sent.expect("kill starts").success());
        let output = child.wait_with_output().expect("it is a child");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(128 + number), "{name}: {said}");
        let wanted = format!("killed by signal {number}, which another process has sent");
        assert!(said.contains(&wanted), "{name}: {said}");
        // The chunk that it was in is not there.
        let bytes = std::fs::read(&trace).expect("there is a trace");
        let trace = Trace::from_bytes(bytes).expect("it has a header");
        assert!(!trace.is_complete() && trace.is_empty(), "{name}");
    }
}
