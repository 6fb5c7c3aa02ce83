//! The machine that measures, and pinning to its cores.

use crate::error::Error;
use crate::model::Machine;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// Cores that this process may use, ascending.
///
/// # Errors
/// [`Error::Pin`].
pub fn allowed_cores() -> Result<Vec<usize>, Error> {
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(|source| Error::Pin {
        cores: Vec::new(),
        source,
    })?;
    Ok((0..CpuSet::count())
        .filter(|core| set.is_set(*core).unwrap_or(false))
        .collect())
}

/// Pins this thread, and with it the processes that it starts, to these cores.
///
/// # Errors
/// [`Error::Pin`].
pub fn pin(cores: &[usize]) -> Result<(), Error> {
    let failed = |source| Error::Pin {
        cores: cores.to_vec(),
        source,
    };
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core).map_err(failed)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).map_err(failed)
}

/// User and system time, in seconds, of the processes that ended so far.
pub fn children_seconds() -> f64 {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return 0.0;
    };
    let seconds = |of: fn(&Usage) -> nix::sys::time::TimeVal| {
        let time = of(&usage);
        time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6
    };
    seconds(Usage::user_time) + seconds(Usage::system_time)
}

/// The first line that a command prints; empty if it cannot be run.
fn first_line(program: &str, args: &[&str], dir: &Path) -> String {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let text = output.map(|o| o.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Average load over a minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|t| t.parse().ok()).unwrap_or(0.0)
}

/// Describes machine, tools and checkout.
pub fn describe(root: &Path, cores: usize) -> Machine {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo
            .lines()
            .find(|l| l.split(':').next().map(str::trim) == Some(name));
        let value = line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim());
        value.unwrap_or("unknown").to_owned()
    };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Machine {
        processor: format!(
            "{}, family {} model {}",
            field("model name"),
            field("cpu family"),
            field("model")
        ),
        cores,
        kernel: kernel.trim().to_owned(),
        rustc: first_line("rustc", &["--version"], root),
        gcc: first_line("gcc", &["--version"], root),
        commit: first_line("git", &["describe", "--always", "--dirty"], root),
        unix_time: now.map(|d| d.as_secs()).unwrap_or(0),
        load: (load(), 0.0),
    }
}

/// Path of a program in PATH.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_is_seen() {
        let cores = allowed_cores().expect("some core");
        let last = *cores.last().expect("some core");
        pin(&[last]).expect("an allowed core");
        assert_eq!(allowed_cores().expect("that core"), [last]);
        pin(&cores).expect("as before");
    }

    #[test]
    fn time_of_children_grows() {
        let before = children_seconds();
        let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let status = Command::new("sh").args(["-c", busy]).status();
        assert!(status.expect("a shell").success());
        assert!(children_seconds() > before);
    }

    #[test]
    fn programs_are_found_in_path() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-program-has-this-name"), None);
    }
}
