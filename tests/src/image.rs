//! Linked programs as bytes: where a symbol's bytes are in the file, so that a test can change them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use object::{Object, ObjectSection, ObjectSymbol};

/// File offset and size of a symbol of a linked program.
///
/// # Panics
/// If the file is not a program, or has no such symbol with bytes in the file.
pub fn place(program: &[u8], symbol: &str) -> std::ops::Range<usize> {
    let file = object::File::parse(program).expect("an ELF file");
    let found = file
        .symbols()
        .find(|s| s.name() == Ok(symbol))
        .unwrap_or_else(|| panic!("there is no symbol {symbol}"));
    let section = found
        .section_index()
        .and_then(|index| file.section_by_index(index).ok())
        .expect("the symbol has a section");
    let (start, _) = section.file_range().expect("the section is in the file");
    let start = (start + found.address() - section.address()) as usize;
    start..start + found.size() as usize
}

/// Writes a program. Another process does it: a descriptor of this one, open for writing, could be
/// inherited by a child that another thread starts, and then the program cannot be executed.
///
/// # Panics
/// If it cannot be written.
pub fn install(path: &Path, program: &[u8]) {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "rm -f \"$0\" && cat > \"$0\" && chmod +x \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(program).expect("cat reads all of it");
    drop(stdin);
    assert!(child.wait().expect("it is a child").success());
}
