//! `replay info`.

use super::{CliError, in_trace, open, refuse_damage};
use hartlog_format::status::{FaultKind, exit};
use hartlog_format::trace::end;
use replay::check::hex;
use replay::trace::{Trace, TraceError, end_name};
use std::io::Write;
use std::path::PathBuf;

/// Shows the header, the footer and totals of a trace.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  replay info prog.trace\n  replay info prog.trace --chunks")]
pub struct Args {
    /// The trace.
    trace: PathBuf,
    #[command(flatten)]
    limit: super::Decompressed,
    /// A line for each chunk.
    #[arg(long)]
    chunks: bool,
}

/// How a run or chunk ended, in words.
pub fn end_text(kind: u32, code: u32) -> String {
    match kind {
        end::EXIT => format!("exit {code}"),
        end::FAULT => match FaultKind::from_code(code) {
            Some(kind) => kind.describe().to_owned(),
            None => format!("fault {code}"),
        },
        other => end_name(other).to_owned(),
    }
}

/// Letters of `misa` bits.
fn letters(isa: u64) -> String {
    (0..26u8)
        .filter(|i| isa >> i & 1 == 1)
        .map(|i| char::from(b'A' + i))
        .collect()
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let trace = open(&self.trace, &self.limit)?;
        let error = in_trace(&self.trace);
        let text = self.describe(&trace).map_err(error)?;
        write!(std::io::stdout(), "{text}")?;
        refuse_damage(&trace, &self.trace)?;
        Ok(if trace.is_complete() {
            exit::OK
        } else {
            exit::INCOMPLETE
        })
    }

    fn describe(&self, trace: &Trace) -> Result<String, TraceError> {
        let mut out = String::new();
        let mut line = |name: &str, value: String| {
            out.push_str(&format!("{name:<12} {value}\n"));
        };
        let header = trace.header()?;
        let fixed = header.fixed;
        let strings = |list: &mut dyn Iterator<Item = &[u8]>| {
            let list: Vec<_> = list.map(|s| s.escape_ascii().to_string()).collect();
            list.join(" ")
        };
        line("version", fixed.version.to_string());
        line("ELF SHA-256", hex(&fixed.elf_sha256));
        line(
            "ISA",
            format!("RV{} {}", fixed.xlen, letters(fixed.isa.get())),
        );
        line("chunk steps", fixed.chunk_steps.to_string());
        line("arguments", strings(&mut header.arguments()));
        line("environment", strings(&mut header.environment()));
        line("file bytes", trace.file_len().to_string());
        if let Some(len) = trace.compressed_len() {
            line("compressed", format!("{len} bytes"));
        }
        line("chunks", trace.len().to_string());
        line("steps", trace.total_steps().to_string());
        let (mut log, mut events) = (0, 0);
        for i in 0..trace.len() {
            let chunk = trace.chunk(i)?;
            log += chunk.header.log_len.get();
            events += chunk.header.events_len.get();
        }
        let per_step = if trace.total_steps() > 0 {
            log as f64 / trace.total_steps() as f64
        } else {
            0.0
        };
        line("read log", format!("{log} bytes, {per_step:.3} per step"));
        line("host events", format!("{events} bytes"));
        match trace.footer()? {
            Some(footer) => {
                let fixed = footer.fixed;
                line("end", end_text(fixed.end_kind.get(), fixed.end_code.get()));
                line(
                    "output",
                    format!(
                        "{} bytes, SHA-256 {}",
                        fixed.output_len,
                        hex(&fixed.output_sha256)
                    ),
                );
            }
            None => line(
                "end",
                format!(
                    "incomplete: {} bytes after the last whole chunk",
                    trace.rest()
                ),
            ),
        }
        if let Some(error) = trace.damage() {
            line("damage", error.to_string());
        }
        if self.chunks {
            out.push_str(
                "\n   chunk   first step      steps   start pc       log    events  end\n",
            );
            for i in 0..trace.len() {
                let chunk = trace.chunk(i)?;
                let h = chunk.header;
                out.push_str(&format!(
                    "{:>8} {:>12} {:>10} {:>10} {:>9} {:>9}  {}\n",
                    i,
                    h.first_step,
                    h.steps,
                    format!("{:#x}", h.start_pc.get()),
                    h.log_len,
                    h.events_len,
                    end_text(h.end_kind.get(), h.end_code.get()),
                ));
            }
        }
        Ok(out)
    }
}
