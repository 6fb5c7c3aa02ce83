//! `replay dump`.

use super::{CliError, Span, in_trace, load, open};
use hartlog_format::status::exit;
use hartlog_format::trace::range;
use hartlog_isa::ABI_NAMES;
use replay::check::{CheckError, hex};
use replay::chunk::{Call, Consumer, Row, replay};
use replay::program::Program;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Shows the steps of a chunk: pc, instruction, the values that it read and wrote.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    replay dump prog.trace --elf prog.elf --chunk 0\n  \
    replay dump prog.trace --elf prog.elf --chunk 3 --steps 786500..786520")]
pub struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    limit: super::Decompressed,
    /// The executable that was run.
    #[arg(long)]
    elf: PathBuf,
    /// Number of the chunk.
    #[arg(long)]
    chunk: u64,
    /// Only these steps, counted from the start of the run (`a..b`, `a..`, `..b` or `a`).
    #[arg(long, value_name = "RANGE")]
    steps: Option<Span>,
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let program = load(&self.elf)?;
        let trace = open(&self.trace, &self.limit)?;
        let header = trace.header().map_err(in_trace(&self.trace))?;
        if header.fixed.elf_sha256 != program.elf().sha256 {
            return Err(CliError::Check {
                path: self.trace,
                source: CheckError::OtherElf {
                    trace: hex(&header.fixed.elf_sha256),
                    elf: hex(&program.elf().sha256),
                },
            });
        }
        let chunk = trace.chunk(self.chunk).map_err(in_trace(&self.trace))?;
        let mut dumper = Dumper {
            program: &program,
            steps: self.steps.map_or(0..u64::MAX, |s| s.over(u64::MAX)),
            out: BufWriter::new(io::stdout().lock()),
            result: Ok(()),
        };
        let replayed = replay(&program, &chunk, &mut dumper);
        let Dumper {
            mut out, result, ..
        } = dumper;
        result?;
        out.flush()?;
        replayed.map_err(|difference| CliError::Check {
            path: self.trace,
            source: CheckError::from(difference),
        })?;
        Ok(exit::OK)
    }
}

struct Dumper<'p, W> {
    program: &'p Program,
    steps: std::ops::Range<u64>,
    out: W,
    result: io::Result<()>,
}

impl<W: Write> Dumper<'_, W> {
    fn row_text(&mut self, row: &Row<'_>) -> io::Result<()> {
        let location = self.program.elf().locate(row.pc).to_string();
        write!(
            self.out,
            "{:>12}  {location:<32} {:<28}",
            row.step,
            row.inst.to_string()
        )?;
        let (rs1, rs2) = row.inst.sources();
        for (register, value) in [(rs1, row.rs1), (rs2, row.rs2)] {
            if let Some(r) = register.filter(|r| *r != 0) {
                write!(self.out, " {}={value:#x}", name(r))?;
            }
        }
        if let Some(access) = row.access {
            write!(self.out, " [{:#x}]", access.addr)?;
            if let Some(value) = access.read {
                write!(self.out, " read {value:#x}")?;
            }
            if let Some(value) = access.written {
                write!(self.out, " wrote {value:#x}")?;
            }
        }
        if let Some(rd) = row.inst.writes() {
            write!(self.out, " -> {}={:#x}", name(rd), row.rd)?;
        }
        if row.next_pc != row.pc.wrapping_add(row.inst.len.into()) {
            write!(self.out, " -> pc={:#x}", row.next_pc)?;
        }
        writeln!(self.out)
    }

    fn call_text(&mut self, call: &Call<'_>) -> io::Result<()> {
        let result = call.event.header.result.get();
        let args: Vec<_> = call.x[10..16].iter().map(|a| format!("{a:#x}")).collect();
        writeln!(
            self.out,
            "{:>12}  environment call {}({}) = {result:#x}",
            call.step,
            call.x[17],
            args.join(", ")
        )?;
        for r in call.event.ranges() {
            let kind = match r.kind {
                range::WRITTEN => "host wrote",
                range::READ => "host read",
                _ => "zeroed",
            };
            writeln!(
                self.out,
                "{:>14}{kind} {} bytes at {:#x}",
                "", r.len, r.addr
            )?;
        }
        Ok(())
    }
}

fn name(register: u8) -> &'static str {
    ABI_NAMES[usize::from(register & 31)]
}

impl<W: Write> Consumer for Dumper<'_, W> {
    fn row(&mut self, row: &Row<'_>) {
        if self.result.is_ok() && self.steps.contains(&row.step) {
            self.result = self.row_text(row);
        }
    }

    fn call(&mut self, call: &Call<'_>) {
        if self.result.is_ok() && self.steps.contains(&call.step) {
            self.result = self.call_text(call);
        }
    }
}
