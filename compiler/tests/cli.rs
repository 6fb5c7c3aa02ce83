//! The command line: which combinations are refused, and what is never overwritten.

use hartlog_format::status::exit;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const ELF: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/guests/prebuilt/c/sha256.elf"
);

/// A directory of one test, removed when it ends.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory"))
    }

    fn elf(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::copy(ELF, &path).expect("a copy");
        path
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
}

fn compiler(elf: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compiler"))
        .arg(elf)
        .args(options)
        .output()
        .expect("it starts")
}

#[track_caller]
fn expect(elf: &Path, options: &[&str], status: u8) -> String {
    let output = compiler(elf, options);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status.into()), "{said}");
    said
}

#[test]
fn the_input_is_not_overwritten() {
    let scratch = Scratch::new();
    let elf = scratch.elf("prog");
    std::fs::hard_link(&elf, scratch.0.path().join("other")).expect("a link");
    std::os::unix::fs::symlink(&elf, scratch.0.path().join("prog.o")).expect("a link");
    let before = scratch.names();
    let in_scratch = |name: &str| scratch.0.path().join(name).to_string_lossy().into_owned();
    let other = in_scratch("other");
    // Without a suffix the name of the program is that of the ELF; the name of the object is a
    // link to it.
    for options in [
        &["--link"][..],
        &[],
        &["--link", "-o", &other],
        &["-o", &other],
        &["--emit", "asm", "-o", &other],
    ] {
        let said = expect(&elf, options, exit::USAGE);
        assert!(said.contains("would overwrite the input"), "{said}");
        let there = std::fs::read(&elf).expect("the ELF");
        assert!(there == std::fs::read(ELF).expect("the ELF"), "{options:?}");
        assert_eq!(scratch.names(), before);
    }
    expect(&elf, &["--link", "-o", &in_scratch("new")], exit::OK);
}

/// What is no file gets the bytes. A pipe stands for all: the test must not put a program in the place
/// of /dev/null when it fails.
#[test]
fn what_is_no_file_is_written_to_and_not_replaced() {
    let scratch = Scratch::new();
    let elf = scratch.elf("prog.elf");
    let pipe = scratch.0.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo starts").success());
    let name = pipe.to_str().expect("UTF-8");
    for options in [&["--link"][..], &[], &["--mode", "replay", "--link"]] {
        let mut reader = Command::new("head")
            .args(["-c", "4"])
            .arg(&pipe)
            .stdout(Stdio::piped())
            .spawn()
            .expect("head starts");
        // Its reader goes away early: the status may be that of a closed pipe.
        compiler(&elf, &[options, &["-o", name]].concat());
        let kind = std::fs::metadata(&pipe).expect("it is there").file_type();
        if !kind.is_fifo() {
            reader.kill().expect("it is killed");
        }
        let read = reader.wait_with_output().expect("it ends").stdout;
        assert!(kind.is_fifo() && read == b"\x7fELF", "{options:?}");
        let said = expect(&elf, &[options, &["-o", "."]].concat(), exit::IO);
        assert!(said.to_lowercase().contains("is a directory"), "{said}");
    }
    assert_eq!(scratch.names(), ["pipe", "prog.elf"]);
}

#[test]
fn a_device_without_end_is_no_elf_file() {
    let said = expect(Path::new("/dev/zero"), &[], exit::INPUT);
    assert!(said.contains("/dev/zero: not an ELF file"), "{said}");
}

#[test]
fn options_that_mean_nothing_together_are_refused() {
    let scratch = Scratch::new();
    let elf = scratch.elf("prog.elf");
    for options in [
        &["--emit", "asm", "--link"][..],
        &["--emit", "asm", "--json"],
        &["--columns", "pc"],
        &["--columns", "pc", "--mode", "fast"],
    ] {
        expect(&elf, options, exit::USAGE);
    }
    assert_eq!(scratch.names(), ["prog.elf"]);
}
