//! The guest `attacks` (`tests/guests/c/attacks.c`): everything that it tries ends as on the
//! reference interpreter, with the same trace, which passes the check.

use compiler::{Mode, Options};
use hartlog_format::status::exit;
use replay::interp::{End, Interpreter};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use std::collections::BTreeSet;
use tests::guests::{Scratch, build, named, run};

/// Steps that every attack gets.
const LIMIT: u64 = 20_000_000;
/// Steps of those that take something with each.
const GREEDY: u64 = 3_000;

/// Attacks, the status that each ends with, and its step limit.
const ATTACKS: &[(u8, u64, &[&str])] = &[
    (
        exit::FAULT_LOAD,
        LIMIT,
        &["read_null", "read_below", "read_edge", "read_last"],
    ),
    (
        exit::FAULT_STORE,
        LIMIT,
        &[
            "write_null",
            "write_edge",
            "write_last",
            "write_text",
            "recursion",
        ],
    ),
    (
        exit::FAULT_FETCH,
        LIMIT,
        &[
            "exec_data",
            "exec_stack",
            "exec_mapped",
            "exec_heap",
            "jump_host",
            "jump_table",
            "jump_odd",
            "jump_kernel",
            "jump_last",
            "jump_null",
        ],
    ),
    (
        exit::OK,
        LIMIT,
        &[
            "probe",
            "own_text",
            "map_over_text",
            "calls",
            "witnesses",
            "enormous",
            "pieces",
            "exhaust",
            "exhaust_heap",
            "events",
            "complain",
            "memory",
        ],
    ),
    (
        exit::STEP_LIMIT,
        LIMIT / 20,
        &["spin", "spin_calls", "spin_jumps"],
    ),
    (exit::STEP_LIMIT, GREEDY, &["events_forever"]),
];

#[test]
fn attacks_end_as_on_the_reference_interpreter() {
    let guest = named("attacks");
    let program = Program::new(guest.load());
    let scratch = Scratch::new("attacks");
    let (native, fast) = (scratch.path("native"), scratch.path("fast"));
    build(program.elf(), &Options::default(), &native);
    let options = Options {
        mode: Mode::Fast,
        ..Options::default()
    };
    build(program.elf(), &options, &fast);
    let trace_path = scratch.path("trace");
    let trace_file = trace_path.to_str().expect("UTF-8");

    let listed = run(&native, &[], &[], &[]).stdout;
    let listed: BTreeSet<&str> = str::from_utf8(&listed).expect("names").lines().collect();
    let tried: BTreeSet<&str> = ATTACKS.iter().flat_map(|a| a.2).copied().collect();
    assert_eq!(tried, listed, "every attack of the guest is tried");

    for &(status, limit, names) in ATTACKS {
        for &name in names {
            let args = [name.to_owned()];
            let limit_text = limit.to_string();
            let env = [
                ("HARTLOG_TRACE", trace_file),
                ("HARTLOG_STEPS", &limit_text),
                ("HARTLOG_QUIET", "1"),
            ];
            let output = run(&native, &args, &[], &env);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(status.into()), "{name}: {said}");
            let told = String::from_utf8_lossy(&output.stdout);
            assert!(!told.contains("escaped"), "{name}: {told}");
            if status == exit::OK {
                assert!(told.ends_with("contained\n"), "{name}: {told}");
            }

            let mut wanted = Vec::new();
            let mut io = Buffers::default();
            let options = replay::interp::Options {
                args: vec![name.into()],
                step_limit: Some(limit),
                ..Default::default()
            };
            let end = Interpreter::new(&program, options)
                .and_then(|mut i| i.run_traced(&mut io, &mut wanted))
                .unwrap_or_else(|e| panic!("{name}: {e}"));
            let wanted_status = match end {
                End::Exit(status) => status,
                End::Fault(fault) => fault.kind.exit_status(),
                End::StepLimit => exit::STEP_LIMIT,
            };
            assert_eq!(status, wanted_status, "{name}: interpreted");
            assert!(output.stdout == io.output, "{name}: the output differs");
            let bytes = std::fs::read(&trace_path).expect("there is a trace");
            assert!(bytes == wanted, "{name}: the trace differs");
            let trace = Trace::from_bytes(bytes).expect("it opens");
            replay::check::check(&trace, &program, &Default::default(), &mut |_| {})
                .unwrap_or_else(|e| panic!("{name}: {e}"));

            let output = run(&fast, &args, &[], &env[1..]);
            assert_eq!(output.status.code(), Some(status.into()), "{name}: fast");
            assert!(output.stdout == io.output, "{name}: fast: another output");
        }
    }
}
