//! Every prebuilt guest: compiled replay is interpreted replay, row for row.

mod common;
#[path = "common/witness.rs"]
mod expected;

use expected::{column_sets, compare};
use replay::check::{self, check_with};
use replay::engine::{Cache, Choice, Engine};
use replay::interp::{Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use replay::witness::Columns;
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Manifest {
    guests: Vec<Guest>,
}

#[derive(Deserialize)]
struct Guest {
    name: String,
    elf: PathBuf,
    args: Vec<String>,
    stdin: Option<PathBuf>,
}

/// Chunk sizes, and steps after which a run with such chunks is cut off.
const RUNS: [(u64, u64); 4] = [(1, 300), (7, 3000), (1000, 60_000), (1 << 18, 800_000)];

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests")
}

fn run(guest: &Guest, number: usize) {
    let dir = guests_dir();
    let elf = hartlog_elf::Elf::open(&dir.join(&guest.elf)).expect("a valid ELF");
    let program = Program::new(elf);
    let input = guest.stdin.as_ref();
    let input = input.map(|path| std::fs::read(dir.join(path)).expect("its input"));
    let traces = RUNS.map(|(chunk_steps, limit)| {
        let options = Options {
            chunk_steps,
            step_limit: Some(limit),
            args: guest.args.iter().map(|a| a.clone().into_bytes()).collect(),
            ..Options::default()
        };
        let mut io = Buffers {
            input: input.clone().unwrap_or_default(),
            ..Buffers::default()
        };
        let mut file = Vec::new();
        Interpreter::new(&program, options)
            .and_then(|mut i| i.run_traced(&mut io, &mut file))
            .expect("it runs");
        Trace::from_bytes(file).expect("a well-formed trace")
    });
    let sets = column_sets();
    for columns in [
        Columns::NONE,
        Columns::FOLLOW,
        Columns::MEMORY,
        Columns::ALL,
        sets[number % sets.len()],
    ] {
        let (engine, _) = Engine::choose(&program, columns, Choice::Compiled, &Cache::none())
            .unwrap_or_else(|e| panic!("{}: no compiled code: {e}", guest.name));
        for trace in &traces {
            if columns != Columns::FOLLOW {
                compare(&engine, trace);
            }
            let options = check::Options {
                jobs: Some(2),
                no_memory: columns == Columns::NONE,
                ..check::Options::default()
            };
            if [Columns::NONE, Columns::FOLLOW, Columns::MEMORY].contains(&columns)
                && let Err(error) = check_with(trace, &engine, &options, &mut |_| {})
            {
                panic!("{}: {error}", guest.name);
            }
        }
    }
}

fn run_manifest(file: &str) {
    let text = std::fs::read_to_string(guests_dir().join(file)).expect("the manifest");
    let manifest: Manifest = serde_json::from_str(&text).expect("valid JSON");
    assert!(manifest.guests.len() >= 20, "{file} lists its guests");
    for (number, guest) in manifest.guests.iter().enumerate() {
        run(guest, number);
    }
}

#[test]
fn guests_in_c_and_assembly() {
    run_manifest("guests-c.json");
}

#[test]
fn guests_in_rust() {
    run_manifest("guests-rust.json");
}
