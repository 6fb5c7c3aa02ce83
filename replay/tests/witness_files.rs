//! `replay witness`: files, errors, and the example in Python.
#![cfg(feature = "tables")]

mod common;

use hartlog_format::status::exit;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A directory of one test, removed when it ends.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Scratch {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let scratch = Scratch(dir);
        let program = common::program();
        scratch.file("prog.elf", program.elf().bytes());
        scratch.file("prog.trace", &common::trace_bytes(&program, 16));
        scratch
    }

    fn file(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).expect("a file");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).expect("a file")
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path())
            .expect("a directory")
            .flatten();
        let mut names: Vec<_> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    /// Runs `replay witness` with the interpreter, which needs no cache.
    fn witness(&self, args: &str) -> Output {
        self.command(env!("CARGO_BIN_EXE_replay"))
            .args("witness prog.trace --elf prog.elf --engine interpreted".split(' '))
            .args(args.split(' '))
            .output()
            .expect("it starts")
    }

    #[track_caller]
    fn expect(&self, args: &str, status: u8, message: &str) {
        let output = self.witness(args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status.into()), "{args}: {text}");
        assert!(text.contains(message), "{args}: {text}");
    }
}

#[test]
fn files_are_those_of_the_library() {
    use replay::tables::{self, Column, Format, Options};
    let scratch = Scratch::new();
    let program = common::program();
    let trace = replay::trace::Trace::from_bytes(scratch.read("prog.trace")).expect("a trace");
    for (name, format) in [("arrow", Format::Arrow), ("parquet", Format::Parquet)] {
        let columns = [Column::Rd, Column::Step, Column::Mnemonic];
        let args = format!(
            "--format {name} -o rows --memory-ops memory --columns rd,step,mnemonic --chunks 1..4"
        );
        scratch.expect(&args, exit::OK, "3 chunks, 48 rows, ");
        let witness = tables::witness_columns(&columns, true);
        let engine = replay::engine::Engine::interpreted(&program, witness);
        let options = Options {
            chunks: Some(1..4),
            ..Options::new(format, &columns)
        };
        let (mut rows, mut memory) = (Vec::new(), Vec::new());
        tables::write(
            &trace,
            &engine,
            &options,
            Some(&mut rows),
            Some(&mut memory),
        )
        .expect("all is well");
        assert!(rows == scratch.read("rows") && memory == scratch.read("memory"));
        // One table alone.
        scratch.expect(
            &format!("--format {name} --memory-ops all"),
            exit::OK,
            "0 rows",
        );
        assert!(scratch.read("all").len() > memory.len());
    }
    let expected = ["all", "memory", "prog.elf", "prog.trace", "rows"];
    assert_eq!(scratch.names(), expected);
}

/// Where compiled code cannot be had, the interpreter is compared with itself.
#[test]
fn compiled_code_writes_the_same_files() {
    let scratch = Scratch::new();
    for format in ["arrow", "parquet"] {
        let args = format!("--format {format} -o rows --memory-ops memory");
        scratch.expect(&args, exit::OK, "interpreted");
        let files = [scratch.read("rows"), scratch.read("memory")];
        let output = scratch
            .command(env!("CARGO_BIN_EXE_replay"))
            .args("witness prog.trace --elf prog.elf --cache cache".split(' '))
            .args(args.split(' '))
            .output()
            .expect("it starts");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(
            files == [scratch.read("rows"), scratch.read("memory")],
            "{text}"
        );
    }
}

#[test]
fn wrong_command_lines() {
    let scratch = Scratch::new();
    for (args, message) in [
        ("--format arrow", "required"),
        ("-o rows", "--format"),
        ("--format csv -o rows", "invalid value"),
        (
            "--format arrow -o rows --columns step,sum",
            "columns are step, pc",
        ),
        ("--format arrow -o rows --columns pc,pc", "chosen twice"),
        ("--format arrow --memory-ops m --columns pc", "--output"),
        ("--format arrow -o rows --chunks 5..9", "there are 6 chunks"),
    ] {
        scratch.expect(args, exit::USAGE, message);
    }
    assert_eq!(scratch.names(), ["prog.elf", "prog.trace"]);
}

#[test]
fn what_cannot_be_written_leaves_nothing_half_done() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.0.path().join("folder")).expect("a directory");
    for format in ["arrow", "parquet"] {
        for (place, message) in [
            ("folder", "folder: is a directory"),
            ("missing/rows", "missing/rows: No such file"),
            ("prog.elf/rows", "prog.elf/rows: Not a directory"),
            ("/dev/full", "/dev/full: No space left on device"),
        ] {
            scratch.expect(&format!("--format {format} -o {place}"), exit::IO, message);
            let args = format!("--format {format} -o rows --memory-ops {place}");
            scratch.expect(&args, exit::IO, message);
        }
    }
    assert_eq!(scratch.names(), ["folder", "prog.elf", "prog.trace"]);
}

#[test]
fn a_wrong_trace_leaves_what_was_there() {
    let scratch = Scratch::new();
    let mut trace = scratch.read("prog.trace");
    let at = |n: usize| {
        let starts = trace.windows(4).enumerate().filter(|(_, w)| w == b"CHNK");
        starts.map(|(at, _)| at).nth(n).expect("a chunk")
    };
    let last = at(5);
    trace[last + 100] ^= 1;
    common::repair(&mut trace);
    scratch.file("prog.trace", &trace);
    scratch.file("rows", b"old");
    for format in ["arrow", "parquet"] {
        let args = format!("--format {format} -o rows --memory-ops memory --jobs 2");
        scratch.expect(&args, exit::MISMATCH, "chunk 4, step 80");
    }
    assert_eq!(scratch.read("rows"), b"old");
    assert_eq!(scratch.names(), ["prog.elf", "prog.trace", "rows"]);
    // What comes before it is right.
    scratch.expect("--format parquet -o rows --chunks ..4", exit::OK, "64 rows");
    assert!(scratch.read("rows").starts_with(b"PAR1"));
}

#[test]
fn an_incomplete_trace_is_written_as_far_as_it_goes() {
    let scratch = Scratch::new();
    let trace = scratch.read("prog.trace");
    scratch.file("prog.trace", &trace[..trace.len() - 100]);
    scratch.expect("--format arrow -o rows", exit::INCOMPLETE, "did not end");
    let first = scratch.read("rows");
    scratch.expect(
        "--format arrow -o rows --allow-incomplete",
        exit::OK,
        " rows",
    );
    assert!(first == scratch.read("rows") && first.starts_with(b"ARROW1"));
}

#[test]
fn links_and_pipes_are_kept() {
    let scratch = Scratch::new();
    scratch.file("real", b"old");
    std::os::unix::fs::symlink("real", scratch.0.path().join("link")).expect("a link");
    scratch.expect("--format parquet -o link", exit::OK, "rows");
    let link = std::fs::symlink_metadata(scratch.0.path().join("link")).expect("a link");
    assert!(link.is_symlink() && scratch.read("real").starts_with(b"PAR1"));

    let replay = env!("CARGO_BIN_EXE_replay");
    let command = format!(
        "'{replay}' witness prog.trace --elf prog.elf --engine interpreted --format parquet \
         -o /dev/stdout"
    );
    let shell = |script: String| {
        let output = scratch.command("sh").args(["-c", &script]).output();
        output.expect("it starts")
    };
    let output = shell(format!("{command} | cat"));
    assert!(output.stdout == scratch.read("real"), "the same bytes");
}

/// A program with more rows than a pipe holds.
#[test]
fn a_closed_pipe_is_an_error() {
    use hartlog_isa::{Inst, Op};
    let scratch = Scratch::new();
    let i = Inst::new;
    let program = common::parse(&[
        i(Op::Lui, 5, 0, 0, 0x8000),
        i(Op::Addi, 5, 5, 0, -1),
        i(Op::Bne, 0, 5, 0, -4),
        i(Op::Addi, 17, 0, 0, 93),
        i(Op::Ecall, 0, 0, 0, 0),
    ]);
    scratch.file("prog.elf", program.elf().bytes());
    scratch.file("prog.trace", &common::trace_bytes(&program, 5000));
    let script = format!(
        "{{ '{}' witness prog.trace --elf prog.elf --engine interpreted --format arrow \
         -o /dev/stdout --memory-ops memory; echo status $? >&2; }} | head -c 4",
        env!("CARGO_BIN_EXE_replay")
    );
    let output = scratch.command("sh").args(["-c", &script]).output();
    let output = output.expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("/dev/stdout: Broken pipe"), "{text}");
    assert!(text.contains("status 5"), "{text}");
    assert_eq!(scratch.names(), ["prog.elf", "prog.trace"]);
}

/// Python with Polars, which `scripts/test` puts beside the build.
fn python(scratch: &Scratch) -> Option<Command> {
    let packages = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../python");
    let command = || {
        let mut command = scratch.command("python3");
        command.env("PYTHONPATH", &packages);
        command
    };
    let found = command().args(["-c", "import polars"]).output();
    found.is_ok_and(|o| o.status.success()).then(command)
}

/// `replay` with these arguments, in the folder of the test.
fn run_replay(scratch: &Scratch, args: &str) -> Output {
    let mut command = scratch.command(env!("CARGO_BIN_EXE_replay"));
    command.args(args.split(' ')).output().expect("it starts")
}

#[test]
fn the_example_in_python_finds_the_witness_right() {
    let scratch = Scratch::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = python(&scratch) else {
        println!("skipped: no python3 with polars (scripts/test installs it)");
        return;
    };
    let mut python = python;
    let guest = root.join("../tests/guests/prebuilt/c/sha256.elf");
    std::fs::copy(guest, scratch.0.path().join("prog.elf")).expect("the guest");
    let interpret = "interpret prog.elf --trace prog.trace --chunk-steps 65536 --steps 400000";
    run_replay(&scratch, interpret);
    let counts = "counts prog.trace --elf prog.elf --json --engine interpreted";
    let counts = run_replay(&scratch, counts);
    assert!(counts.status.success(), "{counts:?}");
    scratch.file("counts.json", &counts.stdout);
    for format in ["arrow", "parquet"] {
        let (rows, memory) = (format!("rows.{format}"), format!("memory.{format}"));
        let args = format!("--format {format} -o {rows} --memory-ops {memory}");
        scratch.expect(&args, exit::OK, "400000 rows");
        let script = root.join("examples/witness.py");
        python.arg(script).args([&rows, &memory, "counts.json"]);
        let output = python.output().expect("it starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("400000 instructions"), "{text}");
        assert!(text.contains("values read: ok"), "{text}");
        python = self::python(&scratch).expect("as before");
    }
    // It does find what is wrong.
    let counts = String::from_utf8_lossy(&counts.stdout).replacen("\"add\": ", "\"add\": 1", 1);
    scratch.file("counts.json", counts.as_bytes());
    let script = root.join("examples/witness.py");
    let output = python
        .arg(script)
        .args(["rows.arrow", "memory.arrow", "counts.json"])
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("counts differ"));
}

/// Whether a program is in PATH.
fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// pc, operands and results of every step, against qemu's registers.
#[test]
fn qemu_finds_the_witness_right() {
    let scratch = Scratch::new();
    if python(&scratch).is_none() || !installed("qemu-riscv64") {
        println!(
            "skipped: no python3 with polars, or no qemu-riscv64 (scripts/test installs them)"
        );
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let replay = |args: &str| {
        let output = run_replay(&scratch, args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let compare = |rows: &str| {
        let mut python = python(&scratch).expect("as before");
        python.arg(root.join("examples/qemu.py"));
        let output = python.args([rows, "prog.elf"]).output().expect("it starts");
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    };
    for guest in ["atomics", "pairs", "ops"] {
        let elf = root.join(format!("../tests/guests/prebuilt/c/{guest}.elf"));
        std::fs::copy(elf, scratch.0.path().join("prog.elf")).expect("the guest");
        replay("interpret prog.elf --trace prog.trace --chunk-steps 4096");
        let info = replay("info prog.trace");
        let steps = info.lines().find_map(|line| line.strip_prefix("steps "));
        let steps: u64 = steps.and_then(|n| n.trim().parse().ok()).expect("a number");
        assert!(steps > 5000, "{info}");
        // By compiled code, where that can be had.
        replay(
            "witness prog.trace --elf prog.elf --cache cache --format parquet -o rows.parquet \
             --columns step,pc,word,mnemonic,rs1,rd",
        );
        let (text, errors) = compare("rows.parquet");
        let expected = format!("qemu agrees: {steps} instructions, ");
        assert!(text.starts_with(&expected), "{guest}: {text}{errors}");
    }
    // It does find what is wrong: a value of one row, a row too few.
    for (change, message) in [
        (
            "wrong = rows.filter(pl.col('rd') != 0, pl.col('word') % 4 == 3)['step'][5000]\n\
             rd = pl.when(pl.col('step') == wrong).then(pl.col('rd') + 1).otherwise(pl.col('rd'))\n\
             rows = rows.with_columns(rd=rd)",
            ": rd is ",
        ),
        ("rows = rows.head(-1)", "qemu goes on"),
    ] {
        let script = format!(
            "import polars as pl\nrows = pl.read_parquet('rows.parquet')\n\
             {change}\nrows.write_parquet('wrong.parquet')"
        );
        let mut python = python(&scratch).expect("as before");
        let status = python.args(["-c", &script]).status().expect("it starts");
        assert!(status.success());
        let (text, errors) = compare("wrong.parquet");
        assert!(
            text.is_empty() && errors.contains(message),
            "{change}: {text}{errors}"
        );
    }
}
