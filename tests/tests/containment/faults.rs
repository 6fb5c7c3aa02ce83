//! Faults of the host: the k-th of each system call fails, for every k and several errors (by
//! strace, where it is installed). The run goes on and writes the same trace, or ends with a
//! documented status and leaves whole chunks that pass the check.

use compiler::Options;
use hartlog_format::status::exit;
use replay::program::Program;
use replay::trace::Trace;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tests::guests::{Scratch, build, interpret, named};

const CHUNK_STEPS: u64 = 4096;

/// Errors that are made.
const ERRORS: [&str; 5] = ["ENOMEM", "EIO", "ENOSPC", "EINTR", "EAGAIN"];

/// Most failures of one call and error: the first so many. With `HARTLOG_EVERY` all, which takes long.
const MOST: usize = 12;

/// Longest time of a run; one that waits for ever is found by it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the guest under strace. The filter would refuse the calls that strace answers itself.
fn traced(native: &Path, input: &Path, trace: &Path, strace: &[&str]) -> Output {
    let _ = std::fs::remove_file(trace);
    let mut child = Command::new("strace")
        .arg("-f")
        .args(strace)
        .arg(native)
        .env("HARTLOG_FILTER", "0")
        .env("HARTLOG_QUIET", "1")
        .env("HARTLOG_TRACE", trace)
        .env("HARTLOG_CHUNK_STEPS", CHUNK_STEPS.to_string())
        .stdin(std::fs::File::open(input).expect("the guest's input"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace starts");
    let start = Instant::now();
    // The guest says little, so that the pipes cannot be full.
    while child.try_wait().expect("it is a child").is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().expect("it is a child");
            panic!("{strace:?}: not ended after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.wait_with_output().expect("it is a child")
}

#[test]
fn every_failing_system_call_ends_well() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let guest = named("wordcount");
    let scratch = Scratch::new("failing-calls");
    let native = scratch.path("native");
    let program = Program::new(guest.load());
    build(program.elf(), &Options::default(), &native);
    let wanted = interpret(&program, &[], guest.input(), CHUNK_STEPS);
    let input = tests::guests::folder().join(guest.stdin.expect("it reads"));
    let (trace, calls) = (scratch.path("trace"), scratch.path("calls"));
    let calls_file = calls.to_str().expect("UTF-8");

    // Which calls there are, and how many of each.
    let output = traced(&native, &input, &trace, &["-o", calls_file]);
    assert_eq!(
        output.status.code(),
        Some(wanted.status().into()),
        "{output:?}"
    );
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(&calls)
        .expect("strace's file")
        .lines()
    {
        let call = line
            .split_whitespace()
            .nth(1)
            .and_then(|c| c.split_once('('));
        if let Some((call, _)) = call {
            *counts.entry(call.to_owned()).or_insert(0) += 1;
        }
    }
    for ending in ["execve", "exit", "exit_group", "rt_sigreturn", "strace"] {
        counts.remove(ending);
    }
    assert!(counts.len() >= 14, "calls of all parts: {counts:?}");

    let every = std::env::var_os("HARTLOG_EVERY").is_some();
    let most = if every { usize::MAX } else { MOST };
    let (mut same, mut ended) = (0, 0);
    for (call, count) in counts {
        for error in ERRORS {
            for k in 1..=most.min(count) {
                let what = format!("inject={call}:error={error}:when={k}");
                let filter = format!("trace={call}");
                let strace = ["-o", "/dev/null", "-e", &filter, "-e", &what];
                let output = traced(&native, &input, &trace, &strace);
                let said = String::from_utf8_lossy(&output.stderr);
                let code = output.status.code();
                let bytes = std::fs::read(&trace).unwrap_or_default();
                // An error of the guest's input is the guest's to handle.
                let of_guest = call == "read" && code == Some(1);
                if code == Some(wanted.status().into()) {
                    assert!(bytes == wanted.trace, "{what}: the trace differs");
                    assert!(output.stdout == wanted.output, "{what}: another output");
                    same += 1;
                    continue;
                }
                let documented = [exit::TRACE_OUTPUT, exit::HOST].map(|s| Some(i32::from(s)));
                assert!(
                    of_guest || documented.contains(&code) && said.starts_with("hartlog: "),
                    "{what}: {} {said}",
                    output.status
                );
                ended += 1;
                if !bytes.is_empty() {
                    let trace = Trace::from_bytes(bytes).unwrap_or_else(|e| panic!("{what}: {e}"));
                    assert_eq!(trace.is_complete(), of_guest, "{what}");
                    replay::check::check(&trace, &program, &Default::default(), &mut |_| {})
                        .unwrap_or_else(|e| panic!("{what}: {e}"));
                }
            }
        }
    }
    println!("{same} runs as without the fault, {ended} with a documented status");
    assert!(same > 100 && ended > 30, "{same} {ended}");
}
