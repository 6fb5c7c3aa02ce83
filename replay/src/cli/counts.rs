//! `replay counts`.

use super::{CliError, load, open_undamaged};
use hartlog_format::status::exit;
use replay::check::CheckError;
use replay::drive::{self, Order};
use replay::program::Program;
use replay::witness::{Counter, Counts};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

/// Counts how often each operation, and each instruction, was executed.
///
/// Every chunk is re-executed and verified, as by `check --no-memory`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    replay counts prog.trace --elf prog.elf\n  \
    replay counts prog.trace --elf prog.elf --instructions --json")]
pub struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    limit: super::Decompressed,
    /// The executable that was run.
    #[arg(long)]
    elf: PathBuf,
    /// Number of threads [default: one per core].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Cores to pin the threads to [default: all that this process may use].
    #[arg(long, value_delimiter = ',')]
    cores: Vec<usize>,
    /// Also every instruction that was executed, by address.
    #[arg(long)]
    instructions: bool,
    #[command(flatten)]
    engine: super::engine::Args,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let program = load(&self.elf)?;
        let trace = open_undamaged(&self.trace, &self.limit)?;
        let engine = self.engine.engine(&program, Counter::COLUMNS)?;
        let options = drive::Options {
            cores: self.cores.clone(),
            jobs: self.jobs.map(usize::from),
            order: Order::Ready,
            ..drive::Options::default()
        };
        let mut counts = Counts::new(&program);
        let counter = |_| Counter::new(&program);
        let take = |_, chunk: Vec<(u32, u64)>| {
            counts.take(&chunk);
            Ok::<(), CheckError>(())
        };
        drive::run(&trace, &engine, &options, counter, take).map_err(|source| CliError::Check {
            path: self.trace.clone(),
            source,
        })?;
        if self.json {
            self.print_json(&program, &counts)?;
        } else {
            self.print(&program, &counts)?;
        }
        Ok(exit::OK)
    }

    fn print(&self, program: &Program, counts: &Counts) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        let total = counts.total();
        writeln!(out, "{total:>16} instructions")?;
        for (op, count) in counts.by_operation(program) {
            let part = 100.0 * count as f64 / total as f64;
            writeln!(out, "{count:>16} {part:6.2} %  {}", op.mnemonic())?;
        }
        if self.instructions {
            writeln!(out)?;
            for (pc, inst, count) in counts.executed(program) {
                let place = program.elf().locate(pc);
                writeln!(out, "{count:>16}  {place}  {inst}")?;
            }
        }
        Ok(())
    }

    fn print_json(&self, program: &Program, counts: &Counts) -> Result<(), CliError> {
        let operations: serde_json::Map<String, serde_json::Value> = counts
            .by_operation(program)
            .into_iter()
            .map(|(op, count)| (op.mnemonic().to_owned(), count.into()))
            .collect();
        let mut value = json!({ "instructions": counts.total(), "operations": operations });
        if self.instructions {
            let each: Vec<_> = counts
                .executed(program)
                .map(|(pc, inst, count)| {
                    json!({ "pc": pc, "instruction": inst.to_string(), "count": count })
                })
                .collect();
            value["each"] = each.into();
        }
        writeln!(std::io::stdout(), "{value:#}")?;
        Ok(())
    }
}
