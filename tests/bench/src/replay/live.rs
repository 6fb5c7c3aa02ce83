//! Live runs: a program and one thread that replays it, against the program alone.

use super::{Sample, wrong};
use crate::error::Error;
use crate::guests::Guest;
use crate::machine;
use crate::measure::Runner;
use crate::model::Variant;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Wall time of the whole process, start to end, and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Live {
    /// The program with its trace to nowhere; seconds.
    pub nowhere: Sample,
    /// `replay run --no-memory` with one thread on a core of its own; seconds.
    pub verify: Sample,
    /// The same with memory followed; seconds.
    pub check: Sample,
    /// Peak of resident memory of the replayer that follows memory, its ring included; MB.
    pub peak: Sample,
}

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Measures a guest on two cores.
pub fn measure(
    runner: &Runner,
    guest: &Guest,
    cores: [usize; 2],
    repeats: u16,
) -> Result<Live, Error> {
    let cache = runner.places.cache.join("replay-live");
    let live = |memory: bool| run(runner, guest, cores, &cache, memory);
    // So that compiled code is there.
    live(false)?;
    live(true)?;
    let (mut nowhere, mut verify, mut check, mut peak) = (vec![], vec![], vec![], vec![]);
    for _ in 0..repeats {
        nowhere.push(
            runner
                .once(guest, Variant::Trace, &guest.bench_args, &[])?
                .wall,
        );
        verify.push(live(false)?.0);
        let (wall, memory) = live(true)?;
        check.push(wall);
        peak.push(memory);
    }
    Ok(Live {
        nowhere: Sample::of(&nowhere),
        verify: Sample::of(&verify),
        check: Sample::of(&check),
        peak: Sample::of(&peak),
    })
}

/// Seconds and MB of one live run.
fn run(
    runner: &Runner,
    guest: &Guest,
    cores: [usize; 2],
    cache: &Path,
    memory: bool,
) -> Result<(f64, f64), Error> {
    let replay = runner.places.compiler.with_file_name("replay");
    let program = runner.places.program(guest, Variant::Trace);
    let mut command = Command::new(&replay);
    command
        .args(["run", "--quiet", "--jobs", "1", "--cores"])
        .arg(format!("{},{}", cores[0], cores[1]))
        .arg("--cache")
        .arg(cache)
        .arg("--elf")
        .arg(&guest.elf);
    if !memory {
        command.arg("--no-memory");
    }
    command.arg(&program).arg("--").args(&guest.bench_args);
    command.stdin(match &guest.stdin {
        Some(path) => std::fs::File::open(path).map_err(Error::file(path))?.into(),
        None => Stdio::null(),
    });
    machine::pin(&cores)?;
    let start = Instant::now();
    let failed = |source| Error::Start {
        program: replay.display().to_string(),
        source,
    };
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let mut peak = 0;
    let watch = std::thread::scope(|scope| {
        let status = format!("/proc/{}/status", child.id());
        let (done, ended) = std::sync::mpsc::channel::<()>();
        let peak = &mut peak;
        scope.spawn(move || {
            while ended.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                *peak = resident(&status).unwrap_or(0).max(*peak);
            }
        });
        let status = child.wait().map(|status| status.code());
        let wall = start.elapsed().as_secs_f64();
        drop(done);
        status.map(|status| (status, wall))
    });
    let (status, wall) = watch.map_err(failed)?;
    // A guest's own status is passed through; these are the replayer's.
    match status {
        Some(code) if !(192..=223).contains(&code) => Ok((wall, peak as f64 / 1e3)),
        _ => Err(wrong(guest, format!("replay run ended with {status:?}"))),
    }
}

/// Peak of resident memory so far, in kB.
fn resident(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn resident_memory_is_read() {
        assert!(super::resident("/proc/self/status").is_some_and(|kb| kb > 100));
        assert_eq!(super::resident("/proc/self/no-such-file"), None);
    }
}
