//! The trace file of a host that is short of something.

use crate::{addi, bytes, call, ecall, load, own_status, program, reg};
use compiler::Options;
use hartlog_format::status::exit;
use hartlog_isa::{Inst, Op};
use replay::program::Program;
use replay::trace::Trace;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tests::guests::{Interpreted, Scratch, build, interpret, named, run};

const CHUNK_STEPS: u64 = 4096;

/// A translated guest, and what the interpreter makes of it.
struct Case {
    scratch: Scratch,
    native: PathBuf,
    program: Program,
    input: Vec<u8>,
    wanted: Interpreted,
}

impl Case {
    fn new(guest: &str, test: &str) -> Case {
        let guest = named(guest);
        assert!(
            guest.args.is_empty(),
            "{}: the shell gets arguments of its own",
            guest.name
        );
        let scratch = Scratch::new(&format!("{test}-{}", guest.name));
        let native = scratch.path("native");
        let program = Program::new(guest.load());
        build(program.elf(), &Options::default(), &native);
        let input = guest.input();
        let wanted = interpret(&program, &[], input.clone(), CHUNK_STEPS);
        Case {
            scratch,
            native,
            program,
            input,
            wanted,
        }
    }

    /// Runs the guest, as `"$0"` of a shell script, with a trace.
    fn run(&self, script: &str, trace: &Path, env: &[(&str, &str)]) -> Output {
        let (trace, steps) = (trace.to_string_lossy(), CHUNK_STEPS.to_string());
        let mut all = vec![
            ("HARTLOG_TRACE", trace.as_ref()),
            ("HARTLOG_CHUNK_STEPS", &steps),
        ];
        all.extend_from_slice(env);
        let args = [
            "-c".to_owned(),
            script.to_owned(),
            self.native.to_string_lossy().into_owned(),
        ];
        run(Path::new("/bin/sh"), &args, &self.input, &all)
    }

    /// Asserts that a run has ended as the interpreter's.
    fn ended_well(&self, what: &str, output: &Output) {
        assert_eq!(
            output.status.code(),
            Some(self.wanted.status().into()),
            "{what}: {}",
            stderr(output)
        );
        assert!(
            output.stdout == self.wanted.output,
            "{what}: another output"
        );
    }

    /// Asserts that a file is the beginning of the trace, that its whole chunks can be read and
    /// pass the check, and returns how many they are and how many bytes follow.
    fn readable(&self, what: &str, bytes: Vec<u8>) -> (u64, u64) {
        assert!(
            self.wanted.trace.starts_with(&bytes),
            "{what}: not the beginning of the trace"
        );
        let trace = Trace::from_bytes(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
        assert!(
            !trace.is_complete(),
            "{what}: the trace says that it is complete"
        );
        let options = replay::check::Options::default();
        let report = replay::check::check(&trace, &self.program, &options, &mut |_| {});
        let report = report.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(
            report.steps,
            trace.len() * CHUNK_STEPS,
            "{what}: steps of whole chunks"
        );
        (trace.len(), trace.rest())
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Numbers of warnings that the ring is not locked, that there is one processor, and others.
fn warnings(output: &Output) -> [usize; 3] {
    let mut found = [0; 3];
    for line in stderr(output)
        .lines()
        .filter(|l| l.starts_with("hartlog: warning"))
    {
        let kind = ["not locked in memory", "one processor"]
            .iter()
            .position(|k| line.contains(k));
        found[kind.unwrap_or(2)] += 1;
    }
    found
}

/// What comes before a command so that RLIMIT_MEMLOCK holds for it: a privileged process may lock
/// what it likes (CAP_IPC_LOCK, capability 14).
fn without_privilege() -> &'static str {
    let effective = u64::from_str_radix(&own_status("CapEff"), 16).expect("hexadecimal");
    if effective >> 14 & 1 == 0 {
        ""
    } else {
        "setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock"
    }
}

#[test]
fn a_host_with_little_gives_the_same_trace() {
    // The first of the processors that this process may use.
    let allowed = own_status("Cpus_allowed_list");
    let cpu: String = allowed.chars().take_while(|c| c.is_ascii_digit()).collect();
    let unlocked = without_privilege();
    let plain = "exec \"$0\"";
    let low = format!("ulimit -l 64 && exec {unlocked} \"$0\"");
    let single = format!("exec taskset -c {cpu} \"$0\"");
    let both = format!("ulimit -l 64 && exec taskset -c {cpu} {unlocked} \"$0\"");
    let (one, most) = ([("HARTLOG_RING", "1")], [("HARTLOG_RING", "32")]);
    for guest in ["wordcount", "sha256"] {
        let case = Case::new(guest, "little");
        let trace = case.scratch.path("trace");
        let test = |what: &str, script: &str, env: &[(&str, &str)]| {
            let output = case.run(script, &trace, env);
            case.ended_well(what, &output);
            let bytes = std::fs::read(&trace).expect("there is a trace");
            assert!(
                bytes == case.wanted.trace,
                "{guest}: {what}: the trace differs"
            );
            std::fs::remove_file(&trace).expect("it was there");
            let found = warnings(&output);
            assert!(
                found[0] <= 1 && found[1] <= 1 && found[2] == 0,
                "{guest}: {what}: {}",
                stderr(&output)
            );
            found
        };
        test("as it is", plain, &[]);
        test("one slot", plain, &one);
        test("little stack", "ulimit -S -s 64 && exec \"$0\"", &[]);
        test("most slots", plain, &most);
        assert_eq!(test("little lockable memory", &low, &[])[0], 1);
        assert_eq!(test("one processor", &single, &[])[1], 1);
        assert_eq!(test("all of it", &both, &one), [1, 1, 0]);
        assert_eq!(
            test(
                "all of it, quiet",
                &both,
                &[("HARTLOG_RING", "1"), ("HARTLOG_QUIET", "1")]
            ),
            [0; 3]
        );
        let output = case.run("ulimit -s 64 && exec \"$0\"", &trace, &[]);
        assert_eq!(output.status.code(), Some(202), "{}", stderr(&output));
        assert!(stderr(&output).contains("stack"), "{}", stderr(&output));
    }
}

#[test]
fn a_full_disk_leaves_whole_chunks() {
    let case = Case::new("sha256", "full");
    let output = case.run("exec \"$0\"", Path::new("/dev/full"), &[]);
    let said = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(exit::TRACE_OUTPUT.into()),
        "{said}"
    );
    assert!(
        said.contains("trace \"/dev/full\" cannot be written: No space left"),
        "{said}"
    );
    assert!(said.contains("; 0 chunks are in it"), "{said}");
    assert!(output.stdout.is_empty(), "the guest did not start");

    // A limit in the middle: writes stop there in the midst of a chunk, as on a full disk.
    let file = case.scratch.path("trace");
    let mut seen = Vec::new();
    for blocks in [1, 400, 1000, 3000] {
        let what = format!("{blocks} blocks");
        let output = case.run(&format!("ulimit -f {blocks} && exec \"$0\""), &file, &[]);
        let said = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(exit::TRACE_OUTPUT.into()),
            "{what}: {said}"
        );
        let (chunks, rest) = case.readable(&what, std::fs::read(&file).expect("there is a trace"));
        assert_eq!(rest, 0, "{what}: part of a chunk is left");
        assert!(
            said.contains(&format!("; {chunks} chunks are in it")),
            "{what}: {said}"
        );
        seen.push(chunks);
    }
    assert!(
        seen.is_sorted() && seen[3] > seen[1],
        "more room, more chunks: {seen:?}"
    );
}

#[test]
fn a_run_ends_soon_after_its_trace_cannot_be_written() {
    let case = Case::new("sha256", "soon");
    assert!(
        !case.wanted.output.is_empty(),
        "it says something at its end"
    );
    let file = case.scratch.path("trace");
    // With one slot, no chunk is begun before the one ahead is written.
    for ring in ["1", "2"] {
        let script = "ulimit -f 400 && exec \"$0\"";
        let output = case.run(script, &file, &[("HARTLOG_RING", ring)]);
        let said = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(exit::TRACE_OUTPUT.into()),
            "{ring} slots: {said}"
        );
        assert!(
            output.stdout.is_empty(),
            "{ring} slots: the guest went on to its end"
        );
    }
}

#[test]
fn a_closed_pipe_leaves_whole_chunks() {
    let case = Case::new("sha256", "pipe");
    // More than what a pipe holds by itself (64 KiB) has to follow.
    const READ: usize = 100_001;
    assert!(
        case.wanted.trace.len() > READ + (128 << 10),
        "the trace is long enough"
    );
    let pipe = case.scratch.path("pipe");
    let made = Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo starts");
    assert!(made.success());
    let (output, bytes) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut bytes = vec![0; READ];
            File::open(&pipe)
                .and_then(|mut f| f.read_exact(&mut bytes))
                .map(|()| bytes)
        });
        (
            case.run("exec \"$0\"", &pipe, &[]),
            reader.join().expect("no panic"),
        )
    });
    let said = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(exit::TRACE_OUTPUT.into()),
        "{said}"
    );
    assert!(said.contains("cannot be written: Broken pipe"), "{said}");
    let (chunks, rest) = case.readable("pipe", bytes.expect("the pipe gives that much"));
    assert!(
        chunks > 0 && rest > 0,
        "cut in the middle of a chunk: {chunks} chunks, {rest} bytes"
    );
}

#[test]
fn closed_descriptors_do_not_reach_the_trace() {
    let case = Case::new("wordcount", "closed");
    let file = case.scratch.path("trace");
    // Nobody listens: the guest cannot be given what it asks for, and the run ends there.
    for script in ["exec \"$0\" >&-", "exec \"$0\" >/dev/full"] {
        let output = case.run(script, &file, &[]);
        let said = stderr(&output);
        assert_eq!(
            output.status.code(),
            Some(exit::HOST.into()),
            "{script}: {said}"
        );
        assert!(
            said.contains("standard output of the guest cannot be written"),
            "{script}: {said}"
        );
        let (chunks, rest) = case.readable(script, std::fs::read(&file).expect("there is a trace"));
        assert!(
            chunks > 0 && rest == 0,
            "{script}: {chunks} chunks, {rest} bytes"
        );
    }
    // A pipe whose reader is gone before the guest, which counts its whole input, writes to it.
    let mut command = Command::new(&case.native);
    command
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(&case.input).expect("the guest reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it is a child");
    let said = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(exit::HOST.into()),
        "{}: {said}",
        output.status
    );
    assert!(
        said.contains("standard output of the guest cannot be written: Broken pipe"),
        "{said}"
    );
    // What the runtime says on standard error goes nowhere, and not into the trace.
    let output = case.run("exec \"$0\" 2>&-", &file, &[("HARTLOG_STATS", "1")]);
    case.ended_well("no standard error", &output);
    assert!(
        std::fs::read(&file).expect("there is a trace") == case.wanted.trace,
        "no standard error"
    );
}

#[test]
fn every_exit_status_is_in_the_trace() {
    const SP: u8 = 2;
    let mut code = vec![
        addi(reg::A1, SP, -16),
        addi(reg::A2, reg::ZERO, 8),
        addi(reg::A0, reg::ZERO, 0),
    ];
    ecall(&mut code, call::READ);
    code.push(Inst::new(Op::Ld, reg::A0, SP, 0, -16));
    ecall(&mut code, call::EXIT);
    let program = Program::new(load(&program(bytes(&code), &[])));
    let scratch = Scratch::new("statuses");
    let (native, file) = (scratch.path("native"), scratch.path("trace"));
    build(program.elf(), &Options::default(), &native);
    let file_name = file.to_str().expect("UTF-8");
    for value in [
        0,
        1,
        127,
        128,
        129,
        200,
        254,
        255,
        256,
        0x1_0080,
        u64::MAX,
        1 << 63,
    ] {
        let input = value.to_le_bytes();
        let wanted = interpret(&program, &[], input.to_vec(), CHUNK_STEPS);
        let steps = CHUNK_STEPS.to_string();
        let env = [
            ("HARTLOG_TRACE", file_name),
            ("HARTLOG_CHUNK_STEPS", &steps),
        ];
        let output = run(&native, &[], &input, &env);
        // The lower 8 bits, as with Linux.
        let status = value.to_le_bytes()[0];
        assert_eq!(wanted.status(), status, "{value:#x}");
        assert_eq!(output.status.code(), Some(status.into()), "{value:#x}");
        let trace = std::fs::read(&file).expect("there is a trace");
        assert!(trace == wanted.trace, "{value:#x}: the trace differs");
        let trace = Trace::from_bytes(trace).expect("it is right");
        let options = replay::check::Options::default();
        let report = replay::check::check(&trace, &program, &options, &mut |_| {});
        let report = report.unwrap_or_else(|e| panic!("{value:#x}: {e}"));
        assert_eq!(report.steps, wanted.steps, "{value:#x}");
    }
}

/// Most of a long block that a chunk ends or starts in is executed in pieces, natively.
#[test]
fn few_steps_are_interpreted_at_the_ends_of_chunks() {
    let scratch = Scratch::new("ends-of-chunks");
    let native = scratch.path("native");
    let steps = CHUNK_STEPS.to_string();
    for guest in ["keccak", "curve", "rust_sha2"] {
        let guest = named(guest);
        build(&guest.load(), &Options::default(), &native);
        let env = [("HARTLOG_STATS", "1"), ("HARTLOG_CHUNK_STEPS", &steps)];
        let output = run(&native, &guest.args, &guest.input(), &env);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let statistics = said.lines().rfind(|line| line.starts_with('{'));
        let statistics: serde_json::Value =
            serde_json::from_str(statistics.unwrap_or_default()).expect("statistics");
        let number = |name: &str| statistics[name].as_u64().expect("a number");
        let (interpreted, chunks) = (number("interpreted"), number("chunks"));
        assert!(chunks > 1000, "{statistics}");
        assert!(
            interpreted < 24 * chunks,
            "{}: {interpreted} steps interpreted at the ends of {chunks} chunks",
            guest.name
        );
    }
}
