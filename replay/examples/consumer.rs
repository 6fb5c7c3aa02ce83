//! Finds the largest value that each chunk wrote to memory: a consumer of the witness in columns, on
//! all cores. `Engine::choose` instead of `Engine::interpreted` does it with compiled code.
//!
//! `cargo run --release -p replay --example consumer -- prog.trace prog.elf`

use replay::check::CheckError;
use replay::witness::{Columns, Consumer, Rows};
use replay::{drive, elf::Elf, engine::Engine, isa::Hart, program::Program, trace::Trace};

#[derive(Default)]
struct Largest(u64);

impl Consumer<'_> for Largest {
    type Output = u64;

    fn rows(&mut self, rows: &Rows<'_>) {
        self.0 = rows.written().iter().fold(self.0, |a, b| a.max(*b));
    }

    fn end_chunk(&mut self, _: &Hart) -> u64 {
        std::mem::take(&mut self.0)
    }
}

/// The largest value written, for each chunk.
pub fn largest(trace: &Trace, program: &Program) -> Result<Vec<u64>, CheckError> {
    let engine = Engine::interpreted(program, Columns::WRITTEN);
    let (options, mut each) = (drive::Options::default(), Vec::new());
    let consumer = |_thread| Largest::default();
    drive::run(trace, &engine, &options, consumer, |_chunk, value| {
        each.push(value);
        Ok::<(), CheckError>(())
    })?;
    Ok(each)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [trace, elf] = [1, 2].map(|i| std::env::args_os().nth(i).unwrap_or_default());
    let program = Program::new(Elf::open(elf.as_ref())?);
    let each = largest(&Trace::open(trace.as_ref())?, &program)?;
    println!("{each:x?}");
    Ok(())
}
