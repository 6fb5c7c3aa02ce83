//! Guest programs from ELF to checked trace: output and exit status, the trace byte for byte
//! against the reference interpreter's for several chunk sizes, the check of the trace, and
//! qemu-user where it is installed.
//!
//! `HARTLOG_GUESTS` restricts the names (comma-separated beginnings); `HARTLOG_DEEP=1` takes all
//! chunk sizes for all guests.

use compiler::{Mode, Options};
use hartlog_format::status::FaultKind;
use replay::interp::End;
use replay::program::Program;
use replay::trace::Trace;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use tests::guests::{Guest, Interpreted, Place, Scratch, all, build, interpret, run};

/// Longer than any run.
const WHOLE: u64 = 1 << 32;
/// Guests with more steps than this are not run in chunks of 1 and 2 (a chunk has a header).
const FEW_STEPS: u64 = 30_000;
/// Guests with more steps than this are not run in chunks of 100.
const SOME_STEPS: u64 = 1_000_000;

fn deep() -> bool {
    std::env::var_os("HARTLOG_DEEP").is_some()
}

/// Runs `test` for every guest of a kind, on as many threads as there are cores.
fn each(kind: &str, test: impl Fn(&Guest, &Scratch) + Sync) {
    let mut guests = all(kind);
    if let Ok(names) = std::env::var("HARTLOG_GUESTS") {
        guests.retain(|g| names.split(',').any(|n| g.name.starts_with(n)));
    }
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(guest) = guests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    test(guest, &Scratch::new(&guest.name));
                }
            });
        }
    });
}

fn same(what: &str, found: &[u8], expected: &[u8]) {
    if found != expected {
        let at = found
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        let around = |bytes: &[u8]| {
            let part = bytes
                .get(at.saturating_sub(32)..bytes.len().min(at + 32))
                .unwrap_or_default();
            format!("{}", part.escape_ascii())
        };
        panic!(
            "{what}: {} bytes, expected {}; the first difference is at byte {at}: `{}`, expected `{}`",
            found.len(),
            expected.len(),
            around(found),
            around(expected)
        );
    }
}

/// Chunk sizes for a run of so many steps; the first one is used in any case.
fn chunk_sizes(steps: u64) -> Vec<u64> {
    let mut sizes = vec![1 << 18];
    if steps <= FEW_STEPS || (deep() && steps <= 10 * FEW_STEPS) {
        sizes.extend([1, 2]);
    }
    if steps <= SOME_STEPS || deep() {
        sizes.push(100);
    }
    if steps <= 20 * SOME_STEPS || deep() {
        sizes.push(4096);
    }
    sizes.push(WHOLE);
    sizes
}

fn check_trace(name: &str, program: &Program, bytes: Vec<u8>, steps: u64) {
    let trace = match Trace::from_bytes(bytes) {
        Ok(trace) => trace,
        Err(e) => panic!("{name}: the trace cannot be read: {e}"),
    };
    match replay::check::check(
        &trace,
        program,
        &replay::check::Options::default(),
        &mut |_| {},
    ) {
        Ok(report) => assert_eq!(report.steps, steps, "{name}: steps checked"),
        Err(e) => panic!("{name}: the trace is rejected: {e}"),
    }
}

fn end_to_end(guest: &Guest, scratch: &Scratch) {
    let name = &guest.name;
    let program = Program::new(guest.load());
    let input = guest.input();
    let first = interpret(&program, &guest.args, input.clone(), 1 << 18);
    expected(guest, &first);

    // An address above the window is noticed by code that checks, and by replay.
    let checked_addresses = match first.end {
        End::Fault(fault) => {
            fault.kind != FaultKind::FetchAccess && fault.value > u64::from(u32::MAX)
        }
        _ => false,
    };
    let options = |mode| Options {
        mode,
        checked_addresses,
        ..Options::default()
    };
    let native = scratch.path("native");
    if checked_addresses {
        build(program.elf(), &Options::default(), &native);
        aliases(guest, &program, &native, scratch, &first.trace);
    }
    build(program.elf(), &options(Mode::Trace), &native);
    let file = scratch.path("trace");
    let path = file.to_string_lossy();
    for size in chunk_sizes(first.steps) {
        let wanted = if size == 1 << 18 {
            None
        } else {
            Some(interpret(&program, &guest.args, input.clone(), size))
        };
        let wanted = wanted.as_ref().unwrap_or(&first);
        let env = [
            ("HARTLOG_TRACE", path.as_ref()),
            ("HARTLOG_CHUNK_STEPS", &size.to_string()),
            ("HARTLOG_QUIET", "1"),
        ];
        let output = run(&native, &guest.args, &input, &env);
        ended(guest, &output, wanted);
        let trace = std::fs::read(&file).unwrap_or_default();
        same(
            &format!("{name}: trace in chunks of {size}"),
            &trace,
            &wanted.trace,
        );
        if size == 1 << 18 || first.steps <= FEW_STEPS {
            check_trace(name, &program, trace, first.steps);
        }
    }
    // Without a trace: the same program with nobody to write it to, and code that logs nothing.
    let output = run(&native, &guest.args, &input, &[("HARTLOG_QUIET", "1")]);
    ended(guest, &output, &first);
    build(program.elf(), &options(Mode::Fast), &native);
    let output = run(&native, &guest.args, &input, &[("HARTLOG_QUIET", "1")]);
    ended(guest, &output, &first);
}

/// Without checks the access goes elsewhere. Either it faults there, too, and the runtime finds the
/// real address; or the trace is rejected.
fn aliases(guest: &Guest, program: &Program, native: &Path, scratch: &Scratch, wanted: &[u8]) {
    let file = scratch.path("trace");
    run(
        native,
        &guest.args,
        &guest.input(),
        &[("HARTLOG_TRACE", &file.to_string_lossy())],
    );
    let bytes = std::fs::read(&file).unwrap_or_default();
    if bytes == wanted {
        return;
    }
    let trace = Trace::from_bytes(bytes).map_err(|e| e.to_string());
    let options = replay::check::Options::default();
    let checked = trace.and_then(|t| {
        replay::check::check(&t, program, &options, &mut |_| {}).map_err(|e| e.to_string())
    });
    match checked {
        Err(e) if e.contains("access") => {}
        Err(e) => panic!(
            "{}: the trace is rejected for another reason: {e}",
            guest.name
        ),
        Ok(_) => panic!("{}: nothing is wrong with the trace", guest.name),
    }
}

/// What the manifest says.
fn expected(guest: &Guest, found: &Interpreted) {
    let name = &guest.name;
    if let Some(output) = guest.expected() {
        same(
            &format!("{name}: interpreted output"),
            &found.output,
            &output,
        );
    }
    match (&guest.fault, guest.exit, found.end) {
        (Some(fault), _, End::Fault(end)) => {
            assert_eq!(fault.kind, format!("{:?}", end.kind), "{name}")
        }
        (None, Some(exit), End::Exit(status)) => assert_eq!(exit, status, "{name}"),
        (fault, exit, end) => {
            panic!("{name} ended with {end:?}, expected {fault:?} or status {exit:?}")
        }
    }
}

fn ended(guest: &Guest, output: &std::process::Output, wanted: &Interpreted) {
    let name = &guest.name;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        output.status.code(),
        Some(i32::from(wanted.status())),
        "{name}: {}\n{stderr}",
        output.status
    );
    same(&format!("{name}: output"), &output.stdout, &wanted.output);
    // Messages of the runtime follow what the guest wrote.
    assert!(
        output.stderr.starts_with(&wanted.error),
        "{name}: standard error:\n{stderr}"
    );
    if let End::Fault(fault) = wanted.end {
        let pc = format!("{:#x}", fault.pc);
        assert!(stderr.contains(&pc), "{name}: no {pc} in:\n{stderr}");
        let place = guest.fault.as_ref().and_then(|f| f.pc.as_ref());
        // Only code has symbols in messages.
        if let (Some(Place::Symbol { symbol, offset: 0 }), true) =
            (place, fault.kind != FaultKind::FetchAccess)
        {
            assert!(stderr.contains(symbol), "{name}: no {symbol} in:\n{stderr}");
        }
    }
}

#[test]
fn compute_guests_end_to_end() {
    each("compute", end_to_end);
}

#[test]
fn feature_guests_end_to_end() {
    each("feature", end_to_end);
}

#[test]
fn faulting_guests_end_to_end() {
    each("fault", end_to_end);
}

#[test]
fn two_compilations_are_identical() {
    for guest in all("compute").iter().chain(&all("feature")) {
        let elf = guest.load();
        for mode in [Mode::Trace, Mode::Fast, Mode::Replay] {
            let options = Options {
                mode,
                ..Options::default()
            };
            let objects = [(); 2].map(|()| match compiler::compile(&elf, &options) {
                Ok(translation) => translation.object,
                Err(e) => panic!("{}: {e}", guest.name),
            });
            same(
                &format!("{}: object for {mode:?}", guest.name),
                &objects[1],
                &objects[0],
            );
        }
    }
}
