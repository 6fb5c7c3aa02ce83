//! Every prebuilt guest on the reference interpreter: output, exit status and fault as its
//! manifest says, and a trace that the checker accepts.

use hartlog_format::status::FaultKind;
use replay::check::{self, check};
use replay::interp::{End, Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
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
    exit: Option<u8>,
    fault: Option<FaultExpected>,
    stdout: Option<PathBuf>,
}

#[derive(Deserialize)]
struct FaultExpected {
    kind: String,
    pc: Option<Address>,
    address: Option<Address>,
}

/// A number, or a distance from a symbol.
#[derive(Deserialize)]
struct Address {
    value: Option<String>,
    symbol: Option<String>,
    #[serde(default)]
    offset: u64,
}

/// Steps after which a guest's trace is checked only in part: the test is to end soon.
const CHECKED_STEPS: u64 = 3_000_000;

fn guests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests")
}

impl Address {
    fn resolve(&self, program: &Program, name: &str) -> Option<u64> {
        if let Some(value) = &self.value {
            let digits = value.trim_start_matches("0x");
            return Some(u64::from_str_radix(digits, 16).expect("hexadecimal"));
        }
        let wanted = self.symbol.as_deref().expect("a value or a symbol");
        let elf = program.elf();
        let symbol = elf.symbols.iter().find(|s| elf.name(s) == wanted);
        // Data symbols are not loaded: there is nothing to compare with.
        let Some(symbol) = symbol else {
            assert_eq!(wanted, "data", "{name}: no symbol {wanted}");
            return None;
        };
        Some(symbol.addr.wrapping_add(self.offset))
    }
}

fn run(guest: &Guest) {
    let dir = guests_dir();
    let read = |path: &PathBuf| std::fs::read(dir.join(path)).expect("a file of the manifest");
    let name = &guest.name;
    let elf = hartlog_elf::Elf::open(&dir.join(&guest.elf)).expect("a valid ELF");
    let program = Program::new(elf);
    let options = Options {
        args: guest.args.iter().map(|a| a.clone().into_bytes()).collect(),
        ..Options::default()
    };
    let input = guest.stdin.as_ref().map(read).unwrap_or_default();
    let mut io = Buffers {
        input: input.clone(),
        ..Buffers::default()
    };
    let mut interpreter = Interpreter::new(&program, options.clone()).expect("it loads");
    let end = interpreter.run(&mut io).expect("it runs");
    if let Some(expected) = guest.stdout.as_ref().map(read) {
        let same = io.output == expected;
        assert!(
            same,
            "{name}: output is\n{}",
            String::from_utf8_lossy(&io.output)
        );
    }
    match (&guest.fault, end) {
        (None, End::Exit(status)) => assert_eq!(Some(status), guest.exit, "{name}"),
        (Some(expected), End::Fault(fault)) => {
            assert_eq!(format!("{:?}", fault.kind), expected.kind, "{name}");
            assert!(FaultKind::ALL.contains(&fault.kind), "{name}");
            let resolve = |a: &Option<Address>| a.as_ref()?.resolve(&program, name);
            if let Some(pc) = resolve(&expected.pc) {
                assert_eq!(fault.pc, pc, "{name}: pc");
            }
            if let Some(address) = resolve(&expected.address) {
                assert_eq!(fault.value, address, "{name}: address");
            }
        }
        (_, end) => panic!("{name} ended with {end:?}"),
    }

    // Prime chunk size: chunks end in the middle of blocks.
    let traced = Options {
        chunk_steps: 99_991,
        step_limit: (interpreter.steps() > CHECKED_STEPS).then_some(CHECKED_STEPS),
        ..options
    };
    let mut file = Vec::new();
    let mut io = Buffers {
        input,
        ..Buffers::default()
    };
    Interpreter::new(&program, traced)
        .expect("it loads")
        .run_traced(&mut io, &mut file)
        .expect("it runs");
    let trace = Trace::from_bytes(file).expect("a well-formed trace");
    let options = check::Options {
        jobs: Some(2),
        ..check::Options::default()
    };
    if let Err(error) = check(&trace, &program, &options, &mut |_| {}) {
        panic!("{name}: {error}");
    }
}

fn run_manifest(file: &str) {
    let text = std::fs::read_to_string(guests_dir().join(file)).expect("the manifest");
    let manifest: Manifest = serde_json::from_str(&text).expect("valid JSON");
    assert!(manifest.guests.len() >= 20, "{file} lists its guests");
    for guest in &manifest.guests {
        run(guest);
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
