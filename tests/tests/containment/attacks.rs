//! The guest `attacks` (`tests/guests/c/attacks.c`): everything that it tries ends as on the
//! reference interpreter, with the same trace, which passes the check.

use compiler::{Mode, Options};
use hartlog_format::layout::DEFAULT_CHUNK_STEPS;
use hartlog_format::status::exit;
use replay::interp::{End, Interpreter};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use std::collections::BTreeSet;
use std::path::Path;
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

    let listed = run(&native, &[], &[], &[]).stdout;
    let listed: BTreeSet<&str> = str::from_utf8(&listed).expect("names").lines().collect();
    let tried: BTreeSet<&str> = ATTACKS.iter().flat_map(|a| a.2).copied().collect();
    assert_eq!(tried, listed, "every attack of the guest is tried");

    for &(status, limit, names) in ATTACKS {
        for &name in names {
            let attempt = Attempt {
                name,
                steps: limit,
                memory: None,
                chunk_steps: DEFAULT_CHUNK_STEPS,
            };
            let io = attempt.same(&program, &native, &trace_path, status);
            let told = String::from_utf8_lossy(&io.output);
            assert!(!told.contains("escaped"), "{name}: {told}");
            if status == exit::OK {
                assert!(told.ends_with("contained\n"), "{name}: {told}");
            }
            let limit = limit.to_string();
            let env = [("HARTLOG_STEPS", limit.as_str()), ("HARTLOG_QUIET", "1")];
            let output = run(&fast, &[name.to_owned()], &[], &env);
            assert_eq!(output.status.code(), Some(status.into()), "{name}: fast");
            assert!(output.stdout == io.output, "{name}: fast: another output");
        }
    }
}

/// A run of an attack.
#[derive(Clone, Copy, Debug)]
struct Attempt<'a> {
    name: &'a str,
    steps: u64,
    memory: Option<u64>,
    chunk_steps: u64,
}

impl Attempt<'_> {
    /// Runs it, translated and interpreted: status, output and trace must be the same, and the
    /// trace must pass the check.
    fn same(self, program: &Program, native: &Path, trace: &Path, status: u8) -> Buffers {
        let (steps, chunk_steps) = (self.steps.to_string(), self.chunk_steps.to_string());
        let memory = self.memory.map(|bytes| bytes.to_string());
        let mut env = vec![
            ("HARTLOG_TRACE", trace.to_str().expect("UTF-8")),
            ("HARTLOG_STEPS", &steps),
            ("HARTLOG_CHUNK_STEPS", &chunk_steps),
            ("HARTLOG_QUIET", "1"),
        ];
        env.extend(memory.as_deref().map(|bytes| ("HARTLOG_MEMORY", bytes)));
        let output = run(native, &[self.name.to_owned()], &[], &env);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(status.into()),
            "{self:?}: {said}"
        );

        let mut wanted = Vec::new();
        let mut io = Buffers::default();
        let options = replay::interp::Options {
            args: vec![self.name.into()],
            step_limit: Some(self.steps),
            memory_limit: self.memory,
            chunk_steps: self.chunk_steps,
            ..Default::default()
        };
        let end = Interpreter::new(program, options)
            .and_then(|mut i| i.run_traced(&mut io, &mut wanted))
            .unwrap_or_else(|e| panic!("{self:?}: {e}"));
        let wanted_status = match end {
            End::Exit(status) => status,
            End::Fault(fault) => fault.kind.exit_status(),
            End::StepLimit => exit::STEP_LIMIT,
            End::MemoryLimit(_) => exit::MEMORY_LIMIT,
        };
        assert_eq!(status, wanted_status, "{self:?}: interpreted");
        assert!(output.stdout == io.output, "{self:?}: the output differs");
        let bytes = std::fs::read(trace).expect("there is a trace");
        assert!(bytes == wanted, "{self:?}: the trace differs");
        let trace = Trace::from_bytes(bytes).expect("it opens");
        replay::check::check(&trace, program, &Default::default(), &mut |_| {})
            .unwrap_or_else(|e| panic!("{self:?}: {e}"));
        io
    }
}

const MIB: u64 = 1 << 20;

#[test]
fn limits_of_memory_and_steps_end_runs_with_a_sealed_trace() {
    let program = Program::new(named("attacks").load());
    let scratch = Scratch::new("limits");
    let (native, trace) = (scratch.path("native"), scratch.path("trace"));
    build(program.elf(), &Options::default(), &native);
    let attempt = |name, memory, chunk_steps| Attempt {
        name,
        steps: LIMIT,
        memory: Some(memory),
        chunk_steps,
    };
    let over = exit::MEMORY_LIMIT;
    for chunk_steps in [1, 100, DEFAULT_CHUNK_STEPS] {
        for name in ["exhaust", "exhaust_heap", "memory", "exec_mapped"] {
            // More than the guest has from the start is 9 MiB for its stack and what is around.
            for memory in [0, MIB, 9 * MIB + 4096, 10 * MIB, 12 * MIB + 4095] {
                // Not all of them ask for that much.
                let little = name == "exec_mapped" && memory >= 10 * MIB;
                let status = if little { exit::FAULT_FETCH } else { over };
                attempt(name, memory, chunk_steps).same(&program, &native, &trace, status);
            }
        }
    }
    // Exactly what is needed is enough, one byte less is not.
    let mut needed = (MIB, 64 * MIB);
    while needed.1 - needed.0 > 1 {
        let middle = needed.0.midpoint(needed.1);
        let options = replay::interp::Options {
            args: vec!["memory".into()],
            memory_limit: Some(middle),
            ..Default::default()
        };
        let end = Interpreter::new(&program, options)
            .and_then(|mut i| i.run(&mut Buffers::default()))
            .expect("it runs");
        match end {
            End::Exit(0) => needed.1 = middle,
            _ => needed.0 = middle,
        }
    }
    assert_eq!(needed.1 % 4096, 0, "whole pages: {needed:x?}");
    for (memory, status) in [(needed.0, over), (needed.1, exit::OK)] {
        attempt("memory", memory, 1000).same(&program, &native, &trace, status);
    }
    // The limit of steps, at every one of some.
    for steps in (0..40).chain([5_000, 5_001]) {
        let attempt = Attempt {
            name: "spin",
            steps,
            memory: None,
            chunk_steps: 7,
        };
        attempt.same(&program, &native, &trace, exit::STEP_LIMIT);
    }
    // What goes into the trace is bounded likewise.
    let env = [
        ("HARTLOG_TRACE", trace.to_str().expect("UTF-8")),
        ("HARTLOG_MEMORY", "12000000"),
        ("HARTLOG_CHUNK_STEPS", "1000000"),
    ];
    let output = run(&native, &["events_forever".to_owned()], &[], &env);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit::HOST.into()), "{said}");
    assert!(said.contains("host events of one chunk"), "{said}");
}
