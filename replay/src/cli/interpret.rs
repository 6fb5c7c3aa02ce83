//! `replay interpret`.

use super::{CliError, load};
use hartlog_format::layout::{DEFAULT_CHUNK_STEPS, MAX_CHUNK_STEPS};
use hartlog_format::status::exit;
use replay::fault::Message;
use replay::interp::{End, Interpreter, Options};
use replay::io::Stdio;
use std::fs::File;
use std::io::BufWriter;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Instant;

/// Runs a program on the reference interpreter. The exit status is the guest's; a fault is 192 to
/// 197, the step limit 200, as for a translated program.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    replay interpret prog.elf < input\n  \
    replay interpret prog.elf --trace prog.trace --chunk-steps 4096 -- arg1 arg2\n  \
    replay interpret prog.elf --steps 1000000 --stats")]
pub struct Args {
    /// The executable.
    elf: PathBuf,
    /// Write the minimal trace to this file.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Retired instructions in a chunk.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CHUNK_STEPS,
          value_parser = clap::value_parser!(u64).range(1..=MAX_CHUNK_STEPS))]
    chunk_steps: u64,
    /// Stop after so many retired instructions.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Bytes of memory that the guest may have.
    #[arg(long, value_name = "N")]
    memory: Option<u64>,
    /// Environment string of the guest, such as KEY=VALUE (may be repeated).
    #[arg(long, value_name = "STRING")]
    env: Vec<std::ffi::OsString>,
    /// Print steps and speed to standard error.
    #[arg(long)]
    stats: bool,
    /// Arguments of the guest.
    #[arg(last = true)]
    args: Vec<std::ffi::OsString>,
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        super::refuse_overwriting(&[&self.elf], &[self.trace.as_deref()])?;
        let program = load(&self.elf)?;
        let bytes = |list: Vec<std::ffi::OsString>| list.into_iter().map(|s| s.into_vec());
        let options = Options {
            chunk_steps: self.chunk_steps,
            step_limit: self.steps,
            memory_limit: self.memory,
            args: bytes(self.args).collect(),
            env: bytes(self.env).collect(),
        };
        let mut interpreter = Interpreter::new(&program, options)?;
        let mut io = Stdio::new();
        let start = Instant::now();
        let end = match &self.trace {
            Some(path) => {
                let file = File::create(path).map_err(|source| CliError::TraceFile {
                    path: path.clone(),
                    source,
                })?;
                interpreter.run_traced(&mut io, BufWriter::with_capacity(1 << 20, file))?
            }
            None => interpreter.run(&mut io)?,
        };
        if self.stats {
            let (steps, seconds) = (interpreter.steps(), start.elapsed().as_secs_f64());
            eprintln!(
                "replay: {steps} steps in {seconds:.3} s, {:.0} MIPS",
                steps as f64 / seconds / 1e6
            );
        }
        Ok(match end {
            End::Exit(status) => status,
            End::Fault(fault) => {
                let message = Message {
                    program: &program,
                    fault: &fault,
                    hart: interpreter.hart(),
                    steps: interpreter.steps(),
                    stack_top: interpreter.abi().stack_top(),
                };
                eprintln!("{message}");
                fault.kind.exit_status()
            }
            End::StepLimit => {
                let (pc, steps) = (interpreter.hart().pc, interpreter.steps());
                eprintln!(
                    "hartlog: the step limit of {steps} was reached at pc {}",
                    program.elf().locate(pc)
                );
                exit::STEP_LIMIT
            }
            End::MemoryLimit(limit) => {
                eprintln!(
                    "hartlog: the memory limit of {limit} bytes was reached at pc {}",
                    program.elf().locate(interpreter.hart().pc)
                );
                exit::MEMORY_LIMIT
            }
        })
    }
}
