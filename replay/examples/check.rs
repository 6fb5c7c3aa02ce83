//! Checks a trace, and says where it is wrong.
//!
//! `cargo run --release -p replay --example check -- prog.trace prog.elf`

use replay::check::{CheckError, Options, Report, check};
use replay::elf::Elf;
use replay::program::Program;
use replay::trace::Trace;
use std::error::Error;
use std::path::Path;

/// Everything that `replay check` verifies, memory included.
pub fn verify(trace: &Path, elf: &Path) -> Result<Report, Box<dyn Error>> {
    let program = Program::new(Elf::open(elf)?);
    let trace = Trace::open(trace)?;
    let report = check(&trace, &program, &Options::default(), &mut |_done| {});
    match report {
        Ok(report) if trace.is_complete() => Ok(report),
        Ok(_) => Err("the run that wrote the trace did not end".into()),
        Err(CheckError::Difference(found)) => {
            eprintln!(
                "the first difference: chunk {}, step {}",
                found.chunk, found.step
            );
            Err(found.into())
        }
        Err(other) => Err(other.into()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let (Some(trace), Some(elf)) = (args.next(), args.next()) else {
        return Err("usage: check PROG.TRACE PROG.ELF".into());
    };
    let report = verify(Path::new(&trace), Path::new(&elf))?;
    println!(
        "{} steps in {} chunks are right",
        report.steps, report.chunks
    );
    Ok(())
}
