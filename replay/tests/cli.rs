//! The command line: what is printed, and which exit status.

mod common;

use hartlog_format::status::exit;
use replay::engine::{Cache, Choice, Engine};
use replay::witness::Columns;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory of one test, removed when it ends.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.into_os_string().into_string().expect("UTF-8")
    }

    /// ELF and trace of the small program.
    fn program(&self) -> (String, String) {
        let program = common::program();
        let elf = self.file("prog.elf", program.elf().bytes());
        let trace = self.file("prog.trace", &common::trace_bytes(&program, 16));
        (elf, trace)
    }
}

fn replay(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(args)
        .env(
            "XDG_CACHE_HOME",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"),
        )
        .stdin(Stdio::null())
        .output()
        .expect("it starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn expect(args: &[&str], status: u8) -> Output {
    let output = replay(args);
    let code = output.status.code();
    assert_eq!(code, Some(status.into()), "{}", stderr(&output));
    let told = status == exit::OK || !output.stderr.is_empty();
    assert!(told, "a message goes with status {status}");
    output
}

#[test]
fn help_has_examples() {
    for args in [
        &["--help"][..],
        &["check", "--help"],
        &["interpret", "--help"],
        &["info", "--help"],
        &["dump", "--help"],
    ] {
        let text = stdout(&expect(args, exit::OK));
        assert!(text.contains("Examples:"), "{text}");
    }
}

#[test]
fn wrong_command_lines() {
    for args in [
        &[][..],
        &["check"],
        &["check", "t", "--elf", "e", "--jobs", "0"],
        &["check", "t", "--elf", "e", "--chunk", "5..2"],
        &["interpret", "e", "--chunk-steps", "0"],
        &["frobnicate"],
    ] {
        expect(args, exit::USAGE);
    }
}

#[test]
fn a_good_trace() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let text = stdout(&expect(&["check", &trace, "--elf", &elf], exit::OK));
    for part in [
        "ok: 6 chunks",
        "exit 3",
        "per step",
        "thread 0",
        "MIPS in all",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let text = stdout(&expect(
        &["check", &trace, "--elf", &elf, "--json", "--jobs", "2"],
        exit::OK,
    ));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["ok"], true);
    assert_eq!(json["chunks"], 6);
    assert_eq!(json["memory_checked"], true);
    assert_eq!(json["threads"].as_array().map(Vec::len), Some(2));
    let steps: u64 = json["threads"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| t["steps"].as_u64())
        .sum();
    assert_eq!(Some(steps), json["steps"].as_u64());
}

#[test]
fn parts_of_a_trace() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    for (range, chunks) in [("1..3", 2), ("..2", 2), ("4..", 2), ("0", 1), ("3..3", 0)] {
        let args = ["check", &trace, "--elf", &elf, "--chunk", range, "--json"];
        let json: serde_json::Value =
            serde_json::from_str(&stdout(&expect(&args, exit::OK))).expect("JSON");
        assert_eq!(json["chunks"], chunks, "{range}");
        assert_eq!(json["memory_checked"], false);
    }
    let args = ["check", &trace, "--elf", &elf, "--chunk", "5..7"];
    expect(&args, exit::USAGE);
}

#[test]
fn cores_that_are_not_there_are_a_warning() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let args = ["check", &trace, "--elf", &elf, "--cores", "100000,5000"];
    let output = expect(&args, exit::OK);
    let text = stderr(&output);
    assert!(text.contains("2 threads could not be pinned"), "{text}");
}

#[test]
fn statuses_of_check() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let bytes = std::fs::read(&trace).expect("the trace");
    let other = scratch.file("other.elf", common::other_program().elf().bytes());
    expect(&["check", &trace, "--elf", &other], exit::MISMATCH);
    expect(&["check", "/nonexistent", "--elf", &elf], exit::IO);
    expect(&["check", &trace, "--elf", "/nonexistent"], exit::IO);
    expect(&["check", &trace, "--elf", &trace], exit::INPUT);
    expect(&["check", &elf, "--elf", &elf], exit::INPUT);

    let mut altered = bytes.clone();
    let chunk = bytes
        .windows(4)
        .position(|w| w == b"CHNK")
        .expect("a chunk");
    altered[chunk + 40] ^= 1;
    let broken = scratch.file("broken.trace", &altered);
    expect(&["check", &broken, "--elf", &elf], exit::INPUT);
    common::repair(&mut altered);
    let repaired = scratch.file("repaired.trace", &altered);
    let args = ["check", &repaired, "--elf", &elf, "--json"];
    let output = expect(&args, exit::MISMATCH);
    assert!(stdout(&output).contains("\"ok\": false"));

    let cut = scratch.file("cut.trace", &bytes[..bytes.len() - 100]);
    let output = expect(&["check", &cut, "--elf", &elf], exit::INCOMPLETE);
    assert!(stderr(&output).contains("incomplete"));
    let args = ["check", &cut, "--elf", &elf, "--allow-incomplete"];
    expect(&args, exit::OK);
    let output = replay(&["info", &cut]);
    assert_eq!(output.status.code(), Some(exit::INCOMPLETE.into()));
}

#[test]
fn info_and_dump() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let text = stdout(&expect(&["info", &trace, "--chunks"], exit::OK));
    for part in [
        "RV64 ABCIM",
        "chunk steps  16",
        "arguments    guest",
        "exit 3",
        "next",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let args = [
        "dump", &trace, "--elf", &elf, "--chunk", "0", "--steps", "2..6",
    ];
    let text = stdout(&expect(&args, exit::OK));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    for (line, part) in lines.iter().zip([
        "sd t0,0(s0)",
        "read 0x5 -> t1=0x5",
        "[0x11002]",
        "read 0x5 wrote 0xa -> t1=0x5",
    ]) {
        assert!(line.contains(part), "{part} is missing in\n{text}");
    }
    let args = ["dump", &trace, "--elf", &elf, "--chunk", "3"];
    let text = stdout(&expect(&args, exit::OK));
    assert!(
        text.contains("environment call 64(0x1, 0x11000, 0x8"),
        "{text}"
    );
    let args = ["dump", &trace, "--elf", &elf, "--chunk", "6"];
    expect(&args, exit::INPUT);
}

#[test]
fn arguments_say_nothing_to_a_terminal() {
    let scratch = Scratch::new();
    let (elf, _) = scratch.program();
    let trace = scratch.file("args.trace", b"");
    let args = [
        "interpret",
        &elf,
        "--trace",
        &trace,
        "--",
        "\x1b[2J\u{9b}\n",
    ];
    assert_eq!(replay(&args).status.code(), Some(3));
    let output = expect(&["info", &trace], exit::OK);
    let text = stdout(&output);
    assert!(text.contains(r"guest \x1b[2J\xc2\x9b\n"), "{text}");
    assert!(!text.contains(['\x1b', '\u{9b}']), "{text}");
}

#[test]
fn interpret_passes_the_status_on() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let written = scratch.file("written.trace", b"");
    let args = [
        "interpret",
        &elf,
        "--trace",
        &written,
        "--chunk-steps",
        "16",
    ];
    assert_eq!(replay(&args).status.code(), Some(3));
    let read = |path: &String| std::fs::read(path).expect("a trace");
    assert_eq!(read(&written), read(&trace));

    let args = ["interpret", &elf, "--steps", "10"];
    let output = expect(&args, exit::STEP_LIMIT);
    assert!(stderr(&output).contains("the step limit of 10 was reached at pc 0x1"));
    let args = ["interpret", &elf, "--trace", "/nonexistent/file"];
    expect(&args, exit::TRACE_OUTPUT);
    expect(
        &["interpret", &elf, "--trace", "/dev/full"],
        exit::TRACE_OUTPUT,
    );

    let fault = common::parse(&[hartlog_isa::Inst::new(hartlog_isa::Op::Ebreak, 0, 0, 0, 0)]);
    let fault = scratch.file("fault.elf", fault.elf().bytes());
    let output = expect(&["interpret", &fault], exit::FAULT_BREAKPOINT);
    let text = stderr(&output);
    assert!(
        text.starts_with("hartlog: guest fault: breakpoint at pc 0x100b0"),
        "{text}"
    );
    assert!(text.contains("instruction: ebreak (0x00100073)"), "{text}");
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(["dump", &trace, "--elf", &elf, "--chunk", "0"])
        .stdout(writer)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(exit::IO.into()));
    assert!(!stderr(&output).contains("panicked"));
}

#[test]
fn engines_are_chosen_and_named() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let cache = scratch.0.path().join("cache");
    let cache = cache.to_str().expect("UTF-8");
    for (engine, name) in [
        ("auto", "compiled"),
        ("compiled", "compiled"),
        ("interpreted", "interpreted"),
    ] {
        let args = ["check", &trace, "--elf", &elf, "--json", "--cache", cache];
        let output = expect(&[&args[..], &["--engine", engine]].concat(), exit::OK);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
        assert_eq!(value["engine"], name);
        assert_eq!(stderr(&output), "");
    }
    let kept: Vec<PathBuf> = std::fs::read_dir(cache)
        .expect("a cache")
        .filter_map(|e| Some(e.ok()?.path()))
        .collect();
    let [kept] = &kept[..] else {
        panic!("one file: {kept:?}");
    };
    let kept = kept.to_str().expect("UTF-8");
    let with = ["check", &trace, "--elf", &elf, "--compiled", kept];
    expect(&with, exit::OK);
    // Compiled for other columns.
    let other = [&with[..], &["--no-memory"]].concat();
    let output = expect(&other, exit::INPUT);
    assert_eq!(
        stderr(&output),
        "replay: compiled replay: it was made with --columns follow, and --columns none is needed\n"
    );
}

#[test]
fn what_is_read_is_not_overwritten() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let other = scratch
        .0
        .path()
        .join("other")
        .to_string_lossy()
        .into_owned();
    std::fs::hard_link(&elf, &other).expect("a link");
    let new = scratch.0.path().join("new").to_string_lossy().into_owned();
    let before = [&elf, &trace].map(|f| std::fs::read(f).expect("a file"));
    let witness = ["witness", &trace, "--elf", &elf, "--format", "arrow"];
    let run = ["run", &other, "--elf", &elf];
    for args in [
        &["interpret", &elf, "--trace", &elf][..],
        &["interpret", &elf, "--trace", &other],
        &[&run[..], &["--trace", &elf]].concat(),
        &[&run[..], &["--json", &other]].concat(),
        &[&run[..], &["--trace", &new, "--json", &new]].concat(),
        &[&witness[..], &["-o", &elf]].concat(),
        &[&witness[..], &["--memory-ops", &trace]].concat(),
        &[&witness[..], &["-o", &new, "--memory-ops", &new]].concat(),
    ] {
        let said = stderr(&expect(args, exit::USAGE));
        assert!(said.contains("this would overwrite"), "{said}");
        let after = [&elf, &trace].map(|f| std::fs::read(f).expect("a file"));
        assert!(before == after && !Path::new(&new).exists(), "{args:?}");
    }
    let nowhere = ["-o", "/dev/null", "--memory-ops", "/dev/null"];
    expect(&[&witness[..], &nowhere].concat(), exit::OK);
}

#[test]
fn what_is_no_trace_is_said_once_and_at_once() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let other = scratch.file("other.elf", common::other_program().elf().bytes());
    for command in [
        &["check", "--elf", &elf][..],
        &["info"],
        &["dump", "--chunk", "0", "--elf", &elf],
        &["counts", "--elf", &elf],
    ] {
        // All of a device without end would be all memory.
        let said = stderr(&expect(&[command, &["/dev/zero"]].concat(), exit::INPUT));
        assert!(
            said.contains("/dev/zero: offset 0x0: not the start"),
            "{said}"
        );
        let said = stderr(&expect(&[command, &["/no/trace"]].concat(), exit::IO));
        assert_eq!(said.matches("/no/trace").count(), 1, "{said}");
    }
    let dump = ["dump", &trace, "--chunk", "0", "--elf", &other];
    let output = expect(&dump, exit::MISMATCH);
    let said = stderr(&output);
    assert!(
        said.contains("the trace is of another ELF") && output.stdout.is_empty(),
        "{said}"
    );
    // What cannot be a cache.
    let args = ["check", &trace, "--elf", &elf, "--cache", &elf];
    expect(&args, exit::IO);
    // A pipe can be a trace.
    let bytes = std::fs::read(&trace).expect("a trace");
    let mut child = Command::new(env!("CARGO_BIN_EXE_replay"))
        .args([
            "check",
            "/dev/stdin",
            "--elf",
            &elf,
            "--engine",
            "interpreted",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, &bytes).expect("it is read");
    drop(pipe);
    assert!(child.wait().expect("it ends").success());
}

/// docs/replay.md says which file each command takes.
#[test]
fn compiled_code_is_for_columns_and_says_so() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let program = common::program();
    let cache = Cache::at(scratch.0.path());
    let file = |columns| {
        let made = Engine::choose(&program, columns, Choice::Compiled, &cache);
        assert!(made.is_ok_and(|(engine, _)| engine.is_compiled()));
        let path = cache.path(&program, columns).expect("a path");
        path.into_os_string().into_string().expect("UTF-8")
    };
    let rows = scratch.0.path().join("rows.arrow");
    let rows = rows.to_str().expect("UTF-8");
    let witness = ["witness", &trace, "--format", "arrow", "-o", rows];
    let commands: [(&[&str], Columns); 4] = [
        (&["check", &trace], Columns::MEMORY),
        (&["check", &trace, "--no-memory"], Columns::NONE),
        (&["counts", &trace], Columns::PC),
        (&witness, Columns::ROWS),
    ];
    for (command, wanted) in commands {
        for (_, found) in commands {
            let file = file(found);
            let args = [command, &["--elf", &elf, "--compiled", &file]].concat();
            if found == wanted {
                expect(&args, exit::OK);
            } else {
                let said = stderr(&expect(&args, exit::INPUT));
                let columns =
                    format!("made with --columns {found}, and --columns {wanted} is needed");
                assert!(said.contains(&columns), "{said}");
            }
        }
    }
}

#[test]
fn columns_are_named_as_on_the_command_line() {
    let both = Columns::MEMORY | Columns::RS2 | Columns::PC;
    assert_eq!(both.to_string(), "pc,rs2,memory");
    for (name, columns) in Columns::NAMES {
        assert_eq!(columns.to_string(), name);
    }
}

#[test]
fn without_a_linker_chunks_are_interpreted() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    let run = |engine: &str| {
        Command::new(env!("CARGO_BIN_EXE_replay"))
            .args(["check", &trace, "--elf", &elf, "--engine", engine])
            .env("XDG_CACHE_HOME", scratch.0.path().join("empty"))
            .env("PATH", "/nonexistent")
            .output()
            .expect("it starts")
    };
    let output = run("auto");
    assert_eq!(output.status.code(), Some(exit::OK.into()));
    let warning = stderr(&output);
    assert_eq!(
        warning
            .matches("warning: interpreting: cannot run ld")
            .count(),
        1,
        "{warning}"
    );
    assert!(stdout(&output).contains(", interpreted"));
    assert_eq!(run("compiled").status.code(), Some(exit::IO.into()));
}

#[test]
fn counts_of_operations_and_instructions() {
    let scratch = Scratch::new();
    let (elf, trace) = scratch.program();
    for engine in ["compiled", "interpreted"] {
        let args = ["counts", &trace, "--elf", &elf, "--engine", engine];
        let text = stdout(&expect(&args, exit::OK));
        let total = text.lines().next().expect("a line").trim();
        assert_eq!(total, "82 instructions", "{text}");
        assert!(text.contains(" 5   6.10 %  amoadd.d"), "{text}");
        let json = [&args[..], &["--instructions", "--json"]].concat();
        let output = expect(&json, exit::OK);
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
        assert_eq!(value["instructions"], 82);
        assert_eq!(value["operations"]["amoadd.d"], 5);
        let each = value["each"].as_array().expect("a list");
        let sum: u64 = each.iter().filter_map(|e| e["count"].as_u64()).sum();
        assert_eq!(sum, 82);
        let listing = [&args[..], &["--instructions"]].concat();
        let text = stdout(&expect(&listing, exit::OK));
        assert_eq!(
            text.lines().filter(|l| l.contains(" amoadd.d ")).count(),
            1,
            "{text}"
        );
    }
}
