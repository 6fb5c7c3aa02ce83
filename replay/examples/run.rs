//! Runs a program on the reference interpreter, keeps its output, and counts its steps.
//!
//! `cargo run --release -p replay --example run -- tests/guests/prebuilt/c/hello.elf`

use replay::elf::Elf;
use replay::interp::{End, Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use std::error::Error;
use std::path::Path;

/// Runs a program on this input: how it ended, its steps, its output.
pub fn run(elf: &Path, input: &[u8]) -> Result<(End, u64, Vec<u8>), Box<dyn Error>> {
    let program = Program::new(Elf::open(elf)?);
    let mut io = Buffers {
        input: input.to_vec(),
        ..Buffers::default()
    };
    let mut interpreter = Interpreter::new(&program, Options::default())?;
    let end = interpreter.run(&mut io)?;
    Ok((end, interpreter.steps(), io.output))
}

fn main() -> Result<(), Box<dyn Error>> {
    let elf = std::env::args_os().nth(1).ok_or("usage: run PROG.ELF")?;
    let (end, steps, output) = run(Path::new(&elf), b"")?;
    print!("{}", String::from_utf8_lossy(&output));
    println!("{end:?} after {steps} steps");
    Ok(())
}
