//! `replay check`.

use super::{CliError, Span, completeness, failure_json, in_trace, load, open};
use indicatif::{ProgressBar, ProgressStyle};
use replay::check::{self, Options, Report};
use replay::trace::{CompressionErrorKind, Trace};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Re-executes every chunk of a trace without memory, in parallel, and verifies that it is the
/// trace of a run of this ELF.
///
/// Checked are: checksums; registers, pc and step from chunk to chunk; that every byte of the read
/// logs and every host event is used; that every value read is the one that was written last (or
/// is in the ELF, or zero); that every access is allowed; that environment calls did what they do;
/// the digest of the output.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    replay check prog.trace --elf prog.elf\n  \
    replay check prog.trace --elf prog.elf --jobs 4 --cores 2,3,4,5 --json\n  \
    replay check prog.trace --elf prog.elf --chunk 10..20")]
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
    /// Only these chunks (`i..j`, `i..`, `..j` or `i`), without memory consistency.
    #[arg(long, value_name = "RANGE")]
    chunk: Option<Span>,
    /// Leave out memory consistency.
    #[arg(long)]
    no_memory: bool,
    #[command(flatten)]
    engine: super::engine::Args,
    /// The trace may lack its footer: check what is there.
    #[arg(long)]
    allow_incomplete: bool,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self) -> Result<u8, CliError> {
        let program = load(&self.elf)?;
        let trace = open(&self.trace, &self.limit)?;
        let range = self.chunk.map(|span| span.over(trace.len()));
        let total = range.clone().map_or(trace.len(), |r| r.end - r.start);
        let options = Options {
            cores: self.cores.clone(),
            jobs: self.jobs.map(usize::from),
            chunks: range,
            no_memory: self.no_memory,
        };
        let engine = self.engine.engine(&program, options.columns())?;
        let bar = progress_bar(total);
        let result = check::check_with(&trace, &engine, &options, &mut |done| {
            bar.set_position(done);
        });
        bar.finish_and_clear();
        let report = match result {
            Ok(report) => report,
            Err(source) => {
                if self.json {
                    let value = failure_json(&source);
                    writeln!(std::io::stdout(), "{value:#}")?;
                }
                return Err(CliError::Check {
                    path: self.trace,
                    source,
                });
            }
        };
        if report.unpinned > 0 {
            eprintln!(
                "replay: warning: {} threads could not be pinned to their cores",
                report.unpinned
            );
        }
        if self.json {
            let value = json(&trace, &report, engine.is_compiled());
            writeln!(std::io::stdout(), "{value:#}")?;
        } else {
            self.print(&trace, &report, engine.is_compiled())?;
        }
        completeness(&self.trace, &trace, self.allow_incomplete)
    }

    fn print(&self, trace: &Trace, report: &Report, compiled: bool) -> Result<(), CliError> {
        let mut out = std::io::stdout().lock();
        write_verdict(&mut out, &self.trace, trace, report)?;
        write_report(&mut out, report, compiled)?;
        Ok(())
    }
}

/// Says that nothing is wrong.
pub fn write_verdict(
    out: &mut dyn Write,
    path: &Path,
    trace: &Trace,
    report: &Report,
) -> Result<(), CliError> {
    let end = match trace.footer().map_err(in_trace(path))? {
        Some(footer) => {
            super::info::end_text(footer.fixed.end_kind.get(), footer.fixed.end_code.get())
        }
        None => "incomplete".to_owned(),
    };
    let (chunks, steps) = (report.chunks, report.steps);
    let path = path.display();
    let ok = trace.damage().map_or("ok", |_| "ok up to the damage");
    writeln!(out, "{path}: {ok}: {chunks} chunks, {steps} steps, {end}")?;
    Ok(())
}

/// What a check found, but for the line that says which.
pub fn write_report(out: &mut dyn Write, report: &Report, compiled: bool) -> std::io::Result<()> {
    let thread = |i: usize| {
        let core = report.workers.get(i).and_then(|w| w.core);
        let core = core.map_or("any core".to_owned(), |c| format!("core {c}"));
        format!("thread {i} ({core})")
    };
    write_report_of(out, report, compiled, &thread)
}

/// The same for workers that have other names.
pub fn write_report_of(
    out: &mut dyn Write,
    report: &Report,
    compiled: bool,
    worker_name: &dyn Fn(usize) -> String,
) -> std::io::Result<()> {
    writeln!(
        out,
        "read log {} bytes ({:.3} per step), host events {} bytes, memory {}",
        report.log_bytes,
        ratio(report.log_bytes as f64, report.steps as f64),
        report.event_bytes,
        if report.memory {
            "consistent"
        } else {
            "not checked"
        }
    )?;
    for (i, worker) in report.workers.iter().enumerate() {
        writeln!(
            out,
            "{}: {} chunks, {} steps, {:.0} MIPS",
            worker_name(i),
            worker.chunks,
            worker.steps,
            mips(worker.steps, worker.busy.as_secs_f64())
        )?;
    }
    writeln!(
        out,
        "{:.3} s, {:.0} MIPS in all, {}",
        report.wall.as_secs_f64(),
        mips(report.steps, report.wall.as_secs_f64()),
        super::engine::name(compiled)
    )
}

fn ratio(a: f64, b: f64) -> f64 {
    if b > 0.0 { a / b } else { 0.0 }
}

fn mips(steps: u64, seconds: f64) -> f64 {
    ratio(steps as f64, seconds) / 1e6
}

pub fn progress_bar(total: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} chunks, {per_sec}, {eta} left");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

pub fn json(trace: &Trace, report: &Report, compiled: bool) -> serde_json::Value {
    let mut value = report_json(report, compiled);
    value["complete"] = trace.is_complete().into();
    value["file_bytes"] = trace.file_len().into();
    value["compressed_bytes"] = trace.compressed_len().into();
    if let Some(error) = trace.damage() {
        value["ok"] = (error.kind == CompressionErrorKind::CutShort).into();
        value["error"] = error.to_string().into();
    }
    value
}

/// What a check found.
pub fn report_json(report: &Report, compiled: bool) -> serde_json::Value {
    let workers: Vec<_> = report
        .workers
        .iter()
        .map(|w| {
            serde_json::json!({
                "core": w.core,
                "chunks": w.chunks,
                "steps": w.steps,
                "busy_seconds": w.busy.as_secs_f64(),
                "mips": mips(w.steps, w.busy.as_secs_f64()),
            })
        })
        .collect();
    serde_json::json!({
        "ok": true,
        "engine": super::engine::name(compiled),
        "chunks": report.chunks,
        "steps": report.steps,
        "log_bytes": report.log_bytes,
        "log_bytes_per_step": ratio(report.log_bytes as f64, report.steps as f64),
        "event_bytes": report.event_bytes,
        "memory_checked": report.memory,
        "wall_seconds": report.wall.as_secs_f64(),
        "mips": mips(report.steps, report.wall.as_secs_f64()),
        "threads": workers,
    })
}
