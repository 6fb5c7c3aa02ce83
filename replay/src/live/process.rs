//! The program of a live run as a process: started on its core, watched, ended.

use super::Options;
use super::ring::Ring;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::FdFlags;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

/// A running program.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    pidfd: OwnedFd,
}

impl Process {
    /// Starts the program. It gets the ring, and a signal when the calling thread ends.
    pub(super) fn start(options: &Options, ring: &Ring) -> io::Result<Process> {
        let mut command = Command::new(&options.program);
        command.args(&options.args);
        let this = std::process::id();
        command.env(
            "HARTLOG_LIVE",
            format!("{}:{this}", ring.file().as_raw_fd()),
        );
        command.env_remove("HARTLOG_TRACE");
        let mut set = |name: &str, value: Option<u64>| {
            if let Some(value) = value {
                command.env(name, value.to_string());
            }
        };
        set("HARTLOG_CHUNK_STEPS", options.chunk_steps);
        set("HARTLOG_STEPS", options.steps);
        set("HARTLOG_RING", options.slots);
        set("HARTLOG_RING_BYTES", options.ring_bytes);
        set("HARTLOG_QUIET", options.quiet.then_some(1));
        // It is inherited by what is started while the flag is away.
        rustix::io::fcntl_setfd(ring.file(), FdFlags::empty())?;
        let child = command.spawn();
        rustix::io::fcntl_setfd(ring.file(), FdFlags::CLOEXEC)?;
        let mut child = child?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        match pidfd {
            Ok(pidfd) => Ok(Process { child, pidfd }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// Its end, if it has come.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal. A process that has ended does not mind.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Ends it and takes its status.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.kill();
        }
    }
}

/// What ends a wait of the thread that watches.
#[derive(Debug)]
pub(super) struct Bell {
    /// Written to by signal handlers.
    signals: [(Signal, UnixStream); 2],
    handlers: Vec<signal_hook::SigId>,
    /// Written to by worker threads.
    inside: (UnixStream, UnixStream),
}

fn pair() -> io::Result<(UnixStream, UnixStream)> {
    let pair = UnixStream::pair()?;
    pair.0.set_nonblocking(true)?;
    pair.1.set_nonblocking(true)?;
    Ok(pair)
}

impl Bell {
    /// From now on, SIGINT and SIGTERM do not end this process but ring.
    pub(super) fn new() -> io::Result<Bell> {
        let mut handlers = Vec::new();
        let mut listen = |signal: Signal| {
            let (reader, writer) = pair()?;
            handlers.push(signal_hook::low_level::pipe::register(
                signal.as_raw(),
                writer,
            )?);
            Ok::<_, io::Error>((signal, reader))
        };
        let signals = [listen(Signal::INT)?, listen(Signal::TERM)?];
        Ok(Bell {
            signals,
            handlers,
            inside: pair()?,
        })
    }

    /// Rings.
    pub(super) fn ring(&self) {
        use std::io::Write as _;
        // Full: it has rung.
        let _ = (&self.inside.1).write(&[1]);
    }

    /// Waits until the process ends, a bell rings, or for so long. The signals that came.
    pub(super) fn wait(&self, process: &Process, most: Duration) -> Vec<Signal> {
        let mut fds = [
            PollFd::new(&process.pidfd, PollFlags::IN),
            PollFd::new(&self.inside.0, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals[0].1.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals[1].1.as_fd(), PollFlags::IN),
        ];
        let most = Timespec {
            tv_sec: most.as_secs() as _,
            tv_nsec: most.subsec_nanos() as _,
        };
        // An interrupted wait is one that has ended.
        let _ = poll(&mut fds, Some(&most));
        let mut buffer = [0; 64];
        let _ = (&self.inside.0).read(&mut buffer);
        let rang =
            |stream: &UnixStream| matches!((&mut &*stream).read(&mut [0; 64]), Ok(n) if n > 0);
        let came = self.signals.iter().filter(|(_, stream)| rang(stream));
        came.map(|(signal, _)| *signal).collect()
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        for handler in self.handlers.drain(..) {
            signal_hook::low_level::unregister(handler);
        }
    }
}

/// Size of the last-level cache in bytes.
pub fn last_level_cache() -> Option<u64> {
    (0..8)
        .filter_map(|index| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
            let text = std::fs::read_to_string(path).ok()?;
            let text = text.trim();
            let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
            let unit = match &text[digits.len()..] {
                "K" => 1 << 10,
                "M" => 1 << 20,
                "G" => 1 << 30,
                _ => 1,
            };
            digits.parse::<u64>().ok()?.checked_mul(unit)
        })
        .max()
}
