//! What a translated program can do when its generated code is not what the compiler makes: the
//! code of a guest function is overwritten with host code that makes system calls. This is what a
//! defect of a template or of the runtime would have to be used for. The kernel refuses.

use compiler::Options;
use hartlog_filter::{RULES, number, value};
use hartlog_format::layout::{GUEST_END, HOST_BASE};
use hartlog_format::status::exit;
use std::path::PathBuf;
use tests::guests::{Scratch, build, named, run};

/// Status with which the host code ends when its call came back.
const PASSED: u8 = 77;

/// A program whose guest's first function is overwritten.
struct Hijacked {
    scratch: Scratch,
    program: Vec<u8>,
    place: std::ops::Range<usize>,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    Passed,
}

impl Hijacked {
    fn new(test: &str) -> Hijacked {
        let scratch = Scratch::new(test);
        let native = scratch.path("native");
        build(&named("sha256").load(), &Options::default(), &native);
        let program = std::fs::read(&native).expect("it was just linked");
        // Generated code stands in one section for each function; this one is never called twice.
        let place = tests::image::place(&program, "guest.guest_main");
        Hijacked {
            scratch,
            program,
            place,
        }
    }

    /// Runs this host code instead of the guest's `guest_main`.
    fn run(&mut self, code: &[u8], trace: bool) -> std::process::Output {
        assert!(
            code.len() <= self.place.len(),
            "the function is long enough"
        );
        self.program[self.place.start..][..code.len()].copy_from_slice(code);
        let path: PathBuf = self.scratch.path("hijacked");
        tests::image::install(&path, &self.program);
        let file = self.scratch.path("trace");
        let file = file.to_str().expect("UTF-8");
        let env = [("HARTLOG_QUIET", "1"), ("HARTLOG_TRACE", file)];
        run(&path, &[], b"input", &env[..1 + usize::from(trace)])
    }

    fn call(&mut self, number: u32, args: [u64; 6]) -> Outcome {
        let output = self.run(&system_call(number, args), false);
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(code) if code == i32::from(PASSED) => Outcome::Passed,
            Some(code) if code == i32::from(exit::INTERNAL) => {
                let wanted = format!("internal error: system call {number} is not allowed");
                assert!(said.contains(&wanted), "{number}: {said}");
                Outcome::Refused
            }
            _ => panic!("{number} {args:x?}: {} {said}", output.status),
        }
    }
}

/// `mov eax, number; mov rdi, ...; syscall`, then `exit_group`.
fn system_call(number: u32, args: [u64; 6]) -> Vec<u8> {
    // mov r64, imm64 to rdi, rsi, rdx, r10, r8, r9.
    const MOVE: [[u8; 2]; 6] = [
        [0x48, 0xbf],
        [0x48, 0xbe],
        [0x48, 0xba],
        [0x49, 0xba],
        [0x49, 0xb8],
        [0x49, 0xb9],
    ];
    let mut code = Vec::new();
    for (opcode, value) in MOVE.iter().zip(args) {
        code.extend(opcode);
        code.extend(value.to_le_bytes());
    }
    code.push(0xb8);
    code.extend(number.to_le_bytes());
    code.extend([0x0f, 0x05]);
    code.extend(leave());
    code
}

/// `exit_group(PASSED)`.
fn leave() -> Vec<u8> {
    let mut code = vec![0xbf, PASSED, 0, 0, 0, 0xb8];
    code.extend(number::EXIT_GROUP.to_le_bytes());
    code.extend([0x0f, 0x05]);
    code
}

/// Calls that end, replace or suspend the caller when they are allowed.
const SPECIAL: [u32; 4] = [
    number::EXIT,
    number::EXIT_GROUP,
    number::RT_SIGRETURN,
    number::RESTART_SYSCALL,
];

/// `uretprobe`, `uprobe`.
const PROBES: [u32; 2] = [335, 336];

#[test]
fn no_other_system_call_is_executed() {
    let mut program = Hijacked::new("hijacked-numbers");
    // It is run at all, and the filter is what stops the rest.
    assert_eq!(
        program.call(number::WRITE, [1, 0, 0, 0, 0, 0]),
        Outcome::Passed
    );
    let mut refused = 0;
    // x32 numbers are far above; a few of them, and what is no number at all.
    let numbers = (0..480).chain([1 << 30, 1 << 30 | 1, 1 << 30 | 59, 1 << 31, u32::MAX]);
    for number in numbers.filter(|n| !SPECIAL.contains(n) && !PROBES.contains(n)) {
        // Those that have a rule are tried below.
        if RULES.iter().all(|r| r.number != number) {
            assert_eq!(program.call(number, [7; 6]), Outcome::Refused, "{number}");
            refused += 1;
        }
    }
    // Kernels from 6.11 on have two calls of their own for probes, and newer ones show them to no
    // filter. To whoever is no probe they do nothing, or raise SIGILL.
    for number in PROBES {
        let output = program.run(&system_call(number, [7; 6]), false);
        let code = output.status.code();
        assert!(
            code == Some(exit::INTERNAL.into()) || code == Some(PASSED.into()),
            "{number}: {output:?}"
        );
    }
    assert!(refused > 450, "{refused} calls were tried");
}

#[test]
fn allowed_calls_are_allowed_for_their_purpose_only() {
    use number::*;
    let mut program = Hijacked::new("hijacked-arguments");
    let anywhere = HOST_BASE + 0x1000;
    let fresh = value::MAP_FRESH;
    let fixed = fresh | value::MAP_FIXED;
    let none = value::NO_FD;
    let cases: &[(&str, u32, [u64; 6])] = &[
        (
            "write to the descriptor of nothing",
            WRITE,
            [3, anywhere, 1, 0, 0, 0],
        ),
        (
            "write to a huge descriptor",
            WRITE,
            [1 << 32 | 1, anywhere, 1, 0, 0, 0],
        ),
        (
            "read from standard output",
            READ,
            [1, 0x2000_0000, 1, 0, 0, 0],
        ),
        (
            "read from another descriptor",
            READ,
            [3, 0x2000_0000, 1, 0, 0, 0],
        ),
        ("writev without a trace", WRITEV, [1, anywhere, 1, 0, 0, 0]),
        ("truncate without a trace", FTRUNCATE, [1, 0, 0, 0, 0, 0]),
        (
            "executable memory",
            MMAP,
            [0x5000_0000, 4096, 5, fixed, none, 0],
        ),
        (
            "memory that is all of it",
            MMAP,
            [0x5000_0000, 4096, 7, fixed, none, 0],
        ),
        (
            "memory above the window",
            MMAP,
            [HOST_BASE, 4096, 3, fixed, none, 0],
        ),
        (
            "memory over the edge",
            MMAP,
            [GUEST_END - 4096, 8192, 3, fixed, none, 0],
        ),
        (
            "memory that wraps",
            MMAP,
            [0x5000_0000, u64::MAX - 0xfff, 3, fixed, none, 0],
        ),
        (
            "memory that wraps at 32 bits",
            MMAP,
            [0xf000_0000, 0xf000_0000, 3, fixed, none, 0],
        ),
        ("memory anywhere", MMAP, [0, 4096, 3, fresh, none, 0]),
        ("memory of a file", MMAP, [0x5000_0000, 4096, 3, 0x12, 0, 0]),
        ("shared memory", MMAP, [0x5000_0000, 4096, 3, 0x31, none, 0]),
        (
            "host code writable",
            MPROTECT,
            [HOST_BASE, 4096, 3, 0, 0, 0],
        ),
        (
            "host code writable and executable",
            MPROTECT,
            [HOST_BASE, 4096, 7, 0, 0, 0],
        ),
        (
            "guest memory executable",
            MPROTECT,
            [0x1_0000, 4096, 5, 0, 0, 0],
        ),
        ("host memory away", MUNMAP, [HOST_BASE, 4096, 0, 0, 0, 0]),
        (
            "guest memory moved",
            MREMAP,
            [0x1_0000, 4096, 8192, 1, 0, 0],
        ),
        (
            "host memory moved to a place",
            MREMAP,
            [HOST_BASE, 4096, 8192, 3, 0x5000_0000, 0],
        ),
        ("memory freed", MADVISE, [HOST_BASE, 4096, 8, 0, 0, 0]),
        (
            "memory of the guest dropped",
            MADVISE,
            [0x1_0000, 4096, 4, 0, 0, 0],
        ),
        (
            "memory of the guest locked",
            MLOCK,
            [0x1_0000, 4096, 0, 0, 0, 0],
        ),
        (
            "futex for process-shared requeue",
            FUTEX,
            [anywhere, 3, 1, 0, 0, 0],
        ),
        ("futex with priority", FUTEX, [anywhere, 6, 1, 0, 0, 0]),
        ("several descriptors", POLL, [anywhere, 2, 0, 0, 0, 0]),
        ("time of day", CLOCK_GETTIME, [0, anywhere, 0, 0, 0, 0]),
        (
            "time of the processor",
            CLOCK_GETTIME,
            [2, anywhere, 0, 0, 0, 0],
        ),
        (
            "the end of a thread with a status",
            EXIT,
            [1, 0, 0, 0, 0, 0],
        ),
        ("another filter", SECCOMP, [1, 0, anywhere, 0, 0, 0]),
        (
            "a file",
            OPENAT,
            [0xffff_ffff_ffff_ff9c, anywhere, 0, 0, 0, 0],
        ),
    ];
    for (what, number, args) in cases {
        assert_eq!(program.call(*number, *args), Outcome::Refused, "{what}");
    }
    // The narrow forms pass (and do what they can).
    for (what, number, args) in [
        ("guest memory", MMAP, [0x5000_0000, 4096, 3, fixed, none, 0]),
        (
            "up to the edge",
            MMAP,
            [GUEST_END - 4096, 4096, 1, fixed, none, 0],
        ),
        ("guest memory away", MUNMAP, [0x5000_0000, 4096, 0, 0, 0, 0]),
        ("monotonic time", CLOCK_GETTIME, [1, 0, 0, 0, 0, 0]),
    ] {
        assert_eq!(program.call(number, args), Outcome::Passed, "{what}");
    }
}

#[test]
fn the_thread_of_the_trace_is_filtered_too_and_its_file_is_the_only_one() {
    let mut program = Hijacked::new("hijacked-trace");
    // The trace is the first descriptor after the standard ones, or later: find it by what passes.
    let passing: Vec<u64> = (0..32)
        .filter(|fd| {
            let output = program.run(&system_call(number::WRITEV, [*fd, 0, 0, 0, 0, 0]), true);
            output.status.code() == Some(PASSED.into())
        })
        .collect();
    assert_eq!(passing.len(), 1, "one descriptor: {passing:?}");
    assert!(passing[0] > 2, "{passing:?}");
    // All threads have the filter: the mode of each is in /proc.
    let spin = [0xeb, 0xfe];
    program.run_while(&spin, |pid| {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let mut seen = 0;
        for task in tasks.flatten() {
            let status = std::fs::read_to_string(task.path().join("status")).expect("it runs");
            let field = |name: &str| {
                let line = status.lines().find_map(|l| l.strip_prefix(name));
                line.map(str::trim).map(str::to_owned)
            };
            if field("Seccomp:").as_deref() != Some("2")
                || field("NoNewPrivs:").as_deref() != Some("1")
            {
                return false;
            }
            seen += 1;
        }
        seen == 2
    });
}

impl Hijacked {
    /// Runs host code that does not end until this holds, for ten seconds at most.
    fn run_while(&mut self, code: &[u8], mut holds: impl FnMut(u32) -> bool) {
        // Written by a run that ends.
        let _ = self.run(&leave(), true);
        self.program[self.place.start..][..code.len()].copy_from_slice(code);
        let path = self.scratch.path("waiting");
        tests::image::install(&path, &self.program);
        let mut child = std::process::Command::new(&path)
            .env_clear()
            .env("HARTLOG_TRACE", self.scratch.path("trace"))
            .stdin(std::process::Stdio::null())
            .spawn()
            .expect("it starts");
        let held = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            holds(child.id())
        });
        child.kill().expect("it is a child");
        child.wait().expect("it is a child");
        assert!(held, "every thread is filtered");
    }
}

#[test]
fn calls_of_the_32_bit_interface_are_refused() {
    let mut program = Hijacked::new("hijacked-i386");
    // mov eax, 1 (exit of i386); mov ebx, 9; int 0x80
    let mut code = vec![0xb8, 1, 0, 0, 0, 0xbb, 9, 0, 0, 0, 0xcd, 0x80];
    code.extend(leave());
    let output = program.run(&code, false);
    let said = String::from_utf8_lossy(&output.stderr);
    // A kernel without that interface raises SIGSEGV, which the runtime reports as a defect too.
    assert_eq!(output.status.code(), Some(exit::INTERNAL.into()), "{said}");
    assert!(said.contains("internal error"), "{said}");
}

#[test]
fn without_the_filter_calls_pass() {
    // What the tests above rely on: it is the filter that refuses.
    let mut program = Hijacked::new("hijacked-open");
    let code = system_call(39, [0; 6]);
    assert_eq!(program.call(39, [0; 6]), Outcome::Refused);
    program.program[program.place.start..][..code.len()].copy_from_slice(&code);
    let path = program.scratch.path("hijacked");
    let env = [("HARTLOG_QUIET", "1"), ("HARTLOG_FILTER", "0")];
    let output = run(&path, &[], &[], &env);
    assert_eq!(output.status.code(), Some(PASSED.into()), "{output:?}");
}
