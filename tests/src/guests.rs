//! Guest programs: the manifests of `tests/guests`, translated and linked, run in every way there
//! is.

use compiler::Options;
use hartlog_elf::Elf;
use replay::interp::{End, Interpreter};
use replay::io::Buffers;
use replay::program::Program;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// A guest of a manifest.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Guest {
    /// Its name.
    pub name: String,
    /// Executable, relative to `tests/guests`.
    pub elf: PathBuf,
    /// `compute`, `feature` or `fault`.
    pub kind: String,
    /// Arguments.
    pub args: Vec<String>,
    /// File with its standard input.
    pub stdin: Option<PathBuf>,
    /// Exit status.
    pub exit: Option<u8>,
    /// The fault that it ends with.
    pub fault: Option<Fault>,
    /// File with its standard output.
    pub stdout: Option<PathBuf>,
    /// `qemu` if qemu-user gives the same output and status.
    pub oracle: String,
    /// Under qemu: the signal of a fault.
    pub signal: Option<String>,
}

/// An expected fault.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Fault {
    /// Name of a `FaultKind`.
    pub kind: String,
    /// Where it is, if that is the same for every layout of the program.
    pub pc: Option<Place>,
}

/// A guest address: a symbol and a distance from it, or a number.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(untagged)]
pub enum Place {
    /// Relative to a symbol.
    Symbol {
        /// Its name.
        symbol: String,
        /// The distance.
        offset: u64,
    },
    /// A number.
    Value {
        /// In C notation.
        value: String,
    },
}

#[derive(serde::Deserialize)]
struct Manifest {
    guests: Vec<Guest>,
}

/// `tests/guests`.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("guests")
}

/// All guests of all manifests, of a kind.
///
/// # Panics
/// If a manifest cannot be read.
pub fn all(kind: &str) -> Vec<Guest> {
    let mut guests = Vec::new();
    for manifest in ["guests-c.json", "guests-rust.json"] {
        let path = folder().join(manifest);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) => panic!("{}: {e}", path.display()),
        };
        match serde_json::from_str::<Manifest>(&text) {
            Ok(found) => guests.extend(found.guests),
            Err(e) => panic!("{}: {e}", path.display()),
        }
    }
    guests.retain(|g| g.kind == kind);
    guests
}

/// The guest with this name.
///
/// # Panics
/// If there is none.
pub fn named(name: &str) -> Guest {
    let guests = ["compute", "feature", "fault"].into_iter().flat_map(all);
    match guests.into_iter().find(|g| g.name == name) {
        Some(guest) => guest,
        None => panic!("no manifest has a guest {name}"),
    }
}

fn read(path: &Path) -> Vec<u8> {
    match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) => panic!("{}: {e}", path.display()),
    }
}

impl Guest {
    /// The loaded executable.
    ///
    /// # Panics
    /// If it does not load.
    pub fn load(&self) -> Elf {
        match Elf::open(&folder().join(&self.elf)) {
            Ok(elf) => elf,
            Err(e) => panic!("{e}"),
        }
    }

    /// Its standard input.
    pub fn input(&self) -> Vec<u8> {
        self.stdin
            .as_ref()
            .map(|path| read(&folder().join(path)))
            .unwrap_or_default()
    }

    /// Its standard output, if it is known.
    pub fn expected(&self) -> Option<Vec<u8>> {
        self.stdout.as_ref().map(|path| read(&folder().join(path)))
    }
}

/// A file or folder that goes away with this value.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// A new folder below the system's folder for temporary files.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn new(name: &str) -> Scratch {
        match tempfile::Builder::new()
            .prefix(&format!("hartlog-test-{name}-"))
            .tempdir()
        {
            Ok(folder) => Scratch(folder),
            Err(e) => panic!("a folder for {name}: {e}"),
        }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Translates and links.
///
/// # Panics
/// If that fails.
pub fn build(elf: &Elf, options: &Options, output: &Path) {
    let translation = match compiler::compile(elf, options) {
        Ok(translation) => translation,
        Err(e) => panic!("{e}"),
    };
    if let Err(e) = compiler::link::link(&translation.object, output, "ld") {
        panic!("{e}");
    }
}

/// Runs a program to its end with an input and environment variables, of which it inherits none.
///
/// # Panics
/// If it cannot be started.
pub fn run(program: &Path, args: &[String], input: &[u8], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    command.args(args).env_clear().envs(env.iter().copied());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => panic!("{}: {e}", program.display()),
    };
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A guest need not read its input.
            let _ = stdin.map(|mut pipe| pipe.write_all(input));
        });
        match child.wait_with_output() {
            Ok(output) => output,
            Err(e) => panic!("{}: {e}", program.display()),
        }
    })
}

/// What the reference interpreter makes of a guest.
#[derive(Debug)]
pub struct Interpreted {
    /// How it ended.
    pub end: End,
    /// Retired instructions.
    pub steps: u64,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub error: Vec<u8>,
    /// The trace.
    pub trace: Vec<u8>,
}

impl Interpreted {
    /// The exit status of a translated program that ends this way.
    pub fn status(&self) -> u8 {
        match self.end {
            End::Exit(status) => status,
            End::Fault(fault) => fault.kind.exit_status(),
            End::StepLimit => hartlog_format::status::exit::STEP_LIMIT,
            End::MemoryLimit(_) => hartlog_format::status::exit::MEMORY_LIMIT,
        }
    }
}

/// Runs a guest on the reference interpreter.
///
/// # Panics
/// If the interpreter cannot run it.
pub fn interpret(
    program: &Program,
    args: &[String],
    input: Vec<u8>,
    chunk_steps: u64,
) -> Interpreted {
    let options = replay::interp::Options {
        chunk_steps,
        args: args.iter().map(|a| a.clone().into_bytes()).collect(),
        ..Default::default()
    };
    let mut io = Buffers {
        input,
        ..Buffers::default()
    };
    let mut trace = Vec::new();
    let result = Interpreter::new(program, options).and_then(|mut interpreter| {
        let end = interpreter.run_traced(&mut io, &mut trace)?;
        Ok((end, interpreter.steps()))
    });
    match result {
        Ok((end, steps)) => Interpreted {
            end,
            steps,
            output: io.output,
            error: io.error,
            trace,
        },
        Err(e) => panic!("{e}"),
    }
}
