//! Timed runs. Every run's output and status are compared, so that a wrong program never counts.

use crate::error::Error;
use crate::guests::Guest;
use crate::machine;
use crate::model::{GuestResult, RunStats, Timing, Variant};
use crate::prepare::Places;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How runs are made.
#[derive(Clone, Debug)]
pub struct Runner {
    /// Where the programs are.
    pub places: Places,
    /// The core on which everything runs.
    pub core: usize,
    /// Another for the thread that writes traces, if there is one.
    pub other: Option<usize>,
    /// Where traces are written, as far as there is room.
    pub trace_dir: PathBuf,
    /// qemu-riscv64.
    pub qemu: Option<PathBuf>,
}

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of user and system time.
    pub cpu: f64,
    /// Exit status; `None` after a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
}

/// A trace may fill this part of what is free in its file system: it can be memory.
const TRACE_SHARE: u64 = 4;

impl Runner {
    /// Runs a program once, with nothing in its environment but these variables.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::Pin`], [`Error::File`].
    pub fn once(
        &self,
        guest: &Guest,
        variant: Variant,
        args: &[String],
        env: &[(&str, &Path)],
    ) -> Result<Run, Error> {
        let program = self.places.program(guest, variant);
        let mut command = match (variant, &self.qemu) {
            (Variant::Qemu, Some(qemu)) => {
                let mut command = Command::new(qemu);
                command.arg(&program);
                command
            }
            (Variant::Qemu, None) => return Err(Error::Missing("qemu-riscv64")),
            _ => Command::new(&program),
        };
        command.args(args).env_clear().envs(env.iter().copied());
        if variant.is_translated() {
            command.env("HARTLOG_STATS", "1");
        }
        command.stdin(match &guest.stdin {
            Some(path) => std::fs::File::open(path).map_err(Error::file(path))?.into(),
            None => Stdio::null(),
        });
        match (variant, self.other) {
            (Variant::TraceFile, Some(other)) => machine::pin(&[self.core, other])?,
            _ => machine::pin(&[self.core])?,
        }
        let cpu = machine::children_seconds();
        let start = Instant::now();
        let output = command.output();
        let wall = start.elapsed().as_secs_f64();
        let output = output.map_err(|source| Error::Start {
            program: program.display().to_string(),
            source,
        })?;
        Ok(Run {
            wall,
            cpu: machine::children_seconds() - cpu,
            status: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// As [`Runner::once`]; the run writes a trace if the variant does, which goes away.
    fn with_trace(&self, guest: &Guest, variant: Variant, args: &[String]) -> Result<Run, Error> {
        if variant != Variant::TraceFile {
            return self.once(guest, variant, args, &[]);
        }
        let path = self.trace_dir.join(format!("{}.trace", guest.name));
        let run = self.once(guest, variant, args, &[("HARTLOG_TRACE", &path)]);
        // Nothing is there if the run failed early.
        let _ = std::fs::remove_file(&path);
        run
    }

    /// Whether a trace of so many bytes may be written.
    fn has_room(&self, bytes: u64) -> bool {
        nix::sys::statvfs::statvfs(&self.trace_dir)
            .is_ok_and(|fs| fs.blocks_available() * fs.fragment_size() / TRACE_SHARE >= bytes)
    }

    /// Measures a guest: a first run of each variant, a short run whose output is known, then
    /// `repeats` rounds over the variants.
    ///
    /// # Errors
    /// Those of [`Runner::once`]; [`Error::Wrong`] for a run that differs from the others or from
    /// what is expected.
    pub fn measure(
        &self,
        guest: &Guest,
        variants: &[Variant],
        repeats: usize,
    ) -> Result<GuestResult, Error> {
        let mut result = GuestResult {
            name: guest.name.clone(),
            group: guest.group().to_owned(),
            args: guest.bench_args.clone(),
            in_mean: guest.in_mean,
            plain: guest.is_plain(),
            note: guest.note.clone(),
            ..GuestResult::default()
        };
        let mut variants = variants.to_vec();
        let mut reference: Option<Run> = None;
        let mut index = 0;
        while let Some(&variant) = variants.get(index) {
            if variant == Variant::TraceFile {
                let bytes = result.stats.map_or(0, |s| s.log_bytes + s.event_bytes);
                if !self.has_room(bytes) {
                    eprint!("  (no room for a trace of {} MB)", bytes / 1_000_000);
                    variants.remove(index);
                    continue;
                }
            }
            let run = self.with_trace(guest, variant, &guest.bench_args)?;
            if let Some(reference) = &reference {
                compare(guest, variant, &run, reference.status, &reference.stdout)?;
            }
            self.keep_stats(guest, variant, &run, &mut result)?;
            let timing = Timing {
                first: run.wall,
                ..Timing::default()
            };
            result.timings.insert(variant, timing);
            reference.get_or_insert(run);
            index += 1;
        }
        let expected = std::fs::read(&guest.expected).map_err(Error::file(&guest.expected))?;
        for &variant in &variants {
            let run = self.with_trace(guest, variant, &guest.args)?;
            compare(guest, variant, &run, Some(guest.exit), &expected)?;
        }
        for _ in 0..repeats {
            for &variant in &variants {
                let run = self.with_trace(guest, variant, &guest.bench_args)?;
                if let Some(reference) = &reference {
                    compare(guest, variant, &run, reference.status, &reference.stdout)?;
                }
                self.keep_stats(guest, variant, &run, &mut result)?;
                let timing = result.timings.entry(variant).or_default();
                timing.wall.push(run.wall);
                timing.cpu.push(run.cpu);
            }
        }
        Ok(result)
    }

    /// Takes the figures of the first run, those of a run with trace if there is one, and sees
    /// that other runs have the same.
    fn keep_stats(
        &self,
        guest: &Guest,
        variant: Variant,
        run: &Run,
        result: &mut GuestResult,
    ) -> Result<(), Error> {
        if !variant.is_translated() {
            return Ok(());
        }
        let wrong = |what: String| Error::Wrong {
            guest: guest.name.clone(),
            variant: variant.name().to_owned(),
            what,
        };
        let stats = stats_line(&run.stderr)
            .ok_or_else(|| wrong(format!("no figures of the run: {}", run.stderr)))?;
        match &mut result.stats {
            Some(known) if known.steps != stats.steps => Err(wrong(format!(
                "{} steps retired, other runs {}",
                stats.steps, known.steps
            ))),
            Some(known) if stats.chunks > 0 && known.chunks > 0 && *known != stats => {
                Err(wrong(format!("{stats:?}, other runs {known:?}")))
            }
            Some(known) if stats.chunks <= known.chunks => Ok(()),
            kept => {
                *kept = Some(stats);
                Ok(())
            }
        }
    }
}

/// The line that `HARTLOG_STATS=1` makes a translated program print last.
pub fn stats_line(stderr: &str) -> Option<RunStats> {
    let line = stderr.lines().rfind(|l| l.starts_with("{\"steps\":"))?;
    serde_json::from_str(line).ok()
}

fn compare(
    guest: &Guest,
    variant: Variant,
    run: &Run,
    status: Option<i32>,
    stdout: &[u8],
) -> Result<(), Error> {
    let what = if run.status != status {
        format!(
            "exit status {:?}, expected {status:?}\n{}",
            run.status, run.stderr
        )
    } else if run.stdout != stdout {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(500)]).into_owned();
        format!(
            "output {:?}, expected {:?}",
            text(&run.stdout),
            text(stdout)
        )
    } else {
        return Ok(());
    };
    Err(Error::Wrong {
        guest: guest.name.clone(),
        variant: variant.name().to_owned(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests::Language;

    const LINE: &str = "{\"steps\":1200,\"interpreted\":7,\"chunks\":2,\"log_bytes\":900,\
                        \"event_bytes\":80,\"wall_ns\":5,\"mips\":1.000,\"status\":0}";

    fn guest() -> Guest {
        Guest {
            name: "hello".to_owned(),
            language: Language::C,
            elf: PathBuf::new(),
            args: Vec::new(),
            bench_args: vec!["hello".to_owned()],
            native: "hello".to_owned(),
            stdin: None,
            exit: 0,
            expected: PathBuf::new(),
            in_mean: true,
            note: None,
        }
    }

    /// A runner whose native and translated program is this shell script.
    fn runner(name: &str, script: &str) -> Runner {
        let cache = std::env::temp_dir().join(format!("hartlog-{name}-{}", std::process::id()));
        for dir in ["native-c", "fast"] {
            let dir = cache.join(dir);
            std::fs::create_dir_all(&dir).expect("a temporary directory");
            let path = dir.join("hello");
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).expect("its mode");
        }
        Runner {
            trace_dir: cache.clone(),
            places: Places {
                root: PathBuf::new(),
                compiler: PathBuf::new(),
                cache,
            },
            core: machine::allowed_cores().expect("some core")[0],
            other: None,
            qemu: None,
        }
    }

    #[test]
    fn figures_are_found_behind_other_lines() {
        let stats = stats_line(&format!("hartlog: warning: no\n{LINE}\n")).expect("a line");
        assert_eq!((stats.steps, stats.interpreted, stats.chunks), (1200, 7, 2));
        assert_eq!((stats.log_bytes, stats.event_bytes), (900, 80));
        assert_eq!(stats_line("hartlog: warning: no\n"), None);
    }

    #[test]
    fn a_program_without_figures_or_with_other_output_does_not_count() {
        let variants = [Variant::Native, Variant::Fast];
        let script = "echo $0 | grep -c fast";
        let runner_a = runner("other-output", script);
        let error = runner_a.measure(&guest(), &variants, 1);
        std::fs::remove_dir_all(&runner_a.places.cache).expect("what was made");
        let text = error
            .expect_err("the output has the program's name")
            .to_string();
        assert!(text.starts_with("hello, fast: "), "{text}");

        let runner_b = runner("no-figures", "echo same");
        let error = runner_b.measure(&guest(), &variants, 1);
        std::fs::remove_dir_all(&runner_b.places.cache).expect("what was made");
        let text = error.expect_err("nothing on standard error").to_string();
        assert!(text.contains("no figures"), "{text}");
    }

    #[test]
    fn every_round_gives_a_sample() {
        let runner = runner("rounds", &format!("echo \"$1\"; echo '{LINE}' >&2"));
        let mut guest = guest();
        guest.args = vec!["short".to_owned()];
        guest.expected = runner.places.cache.join("expected");
        std::fs::write(&guest.expected, "short\n").expect("a file");
        let result = runner.measure(&guest, &[Variant::Native, Variant::Fast], 3);
        std::fs::remove_dir_all(&runner.places.cache).expect("what was made");
        let result = result.expect("two good programs");
        for variant in [Variant::Native, Variant::Fast] {
            assert_eq!(result.timings[&variant].wall.len(), 3);
            assert!(result.timings[&variant].first > 0.0);
        }
        assert_eq!(result.stats.expect("fast prints them").steps, 1200);
    }
}
