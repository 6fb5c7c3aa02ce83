//! Prints the jumps of a trace that were not to the next instruction, with the step of each.
//!
//! `cargo run --release -p replay --example rows -- prog.trace prog.elf`

use replay::chunk::{self, Consumer, Row};
use replay::elf::Elf;
use replay::program::Program;
use replay::trace::Trace;
use std::{error::Error, path::Path};

/// Takes rows one by one, on one thread: step, pc and target of each jump that was taken.
struct Jumps(Vec<[u64; 3]>);

impl Consumer for Jumps {
    fn row(&mut self, row: &Row<'_>) {
        if row.next_pc != row.pc + u64::from(row.inst.len) {
            self.0.push([row.step, row.pc, row.next_pc]);
        }
    }
}

/// Step, pc and target of each jump that was taken.
pub fn jumps(trace: &Path, elf: &Path) -> Result<Vec<[u64; 3]>, Box<dyn Error>> {
    let program = Program::new(Elf::open(elf)?);
    let trace = Trace::open(trace)?;
    let mut jumps = Jumps(Vec::new());
    for i in 0..trace.len() {
        chunk::replay(&program, &trace.chunk(i)?, &mut jumps)?;
    }
    Ok(jumps.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(trace), Some(elf)) = (args.next(), args.next()) else {
        return Err("usage: rows PROG.TRACE PROG.ELF".into());
    };
    for [step, from, to] in jumps(Path::new(&trace), Path::new(&elf))? {
        println!("step {step}: {from:#x} -> {to:#x}");
    }
    Ok(())
}
