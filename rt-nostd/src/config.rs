//! Configuration by the environment; see the crate's page for the variables.

use crate::report::{Failure, say};
use core::ffi::CStr;
use hartlog_format::layout::MAX_CHUNK_STEPS;
use hartlog_format::ring::{MAX_SLOTS, slots_for};

/// Most steps of a run. Step numbers stay far away from where they would overflow.
const MAX_STEPS: u64 = 1 << 62;

/// What the environment asks for.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// `HARTLOG_TRACE`: path of the trace.
    pub trace: Option<&'static CStr>,
    /// `HARTLOG_CHUNK_STEPS`: retired instructions in a chunk.
    pub chunk_steps: Option<u64>,
    /// `HARTLOG_STEPS`: retired instructions after which the run ends.
    pub steps: Option<u64>,
    /// `HARTLOG_MEMORY`: bytes that the guest may have.
    pub memory: Option<u64>,
    /// `HARTLOG_RING`: slots of the ring.
    ring: Option<u64>,
    /// `HARTLOG_RING_BYTES`: size of the ring, if the number of slots is not given.
    ring_bytes: Option<u64>,
    /// `HARTLOG_LIVE`: file in memory that becomes the ring, and the process that consumes it.
    pub live: Option<Consumer>,
    /// `HARTLOG_STATS`: print figures at the end.
    pub stats: bool,
    /// `HARTLOG_QUIET`: no warnings.
    pub quiet: bool,
    /// `HARTLOG_FILTER`: the kernel refuses system calls that the runtime does not make.
    pub filter: bool,
    /// `HARTLOG_GUEST_ENV`: the guest's environment, `;` between the strings.
    guest_env: &'static [u8],
}

/// The process that consumes the ring of a live run.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    /// File in memory.
    pub fd: i32,
    /// Process.
    pub pid: i32,
}

const PREFIX: &[u8] = b"HARTLOG_";
const TRACE: &str = "HARTLOG_TRACE";
const CHUNK_STEPS: &str = "HARTLOG_CHUNK_STEPS";
const STEPS: &str = "HARTLOG_STEPS";
const MEMORY: &str = "HARTLOG_MEMORY";
const RING: &str = "HARTLOG_RING";
const RING_BYTES: &str = "HARTLOG_RING_BYTES";
const LIVE: &str = "HARTLOG_LIVE";
const STATS: &str = "HARTLOG_STATS";
const QUIET: &str = "HARTLOG_QUIET";
const FILTER: &str = "HARTLOG_FILTER";
const GUEST_ENV: &str = "HARTLOG_GUEST_ENV";

impl Config {
    /// Reads the variables among these strings of the environment.
    ///
    /// # Errors
    /// [`Failure::Config`].
    pub fn read(
        environment: impl Iterator<Item = &'static CStr> + Clone,
    ) -> Result<Config, Failure> {
        let mut config = Config {
            trace: None,
            chunk_steps: None,
            steps: None,
            memory: None,
            ring: None,
            ring_bytes: None,
            live: None,
            stats: false,
            quiet: false,
            filter: true,
            guest_env: &[],
        };
        let mut unknown = None;
        for string in environment {
            let bytes = string.to_bytes();
            let Some(at) = bytes.iter().position(|b| *b == b'=') else {
                continue;
            };
            let (name, value) = (&bytes[..at], &bytes[at + 1..]);
            if !name.starts_with(PREFIX) {
                continue;
            }
            let is = |known: &str| name == known.as_bytes();
            if is(TRACE) {
                require(!value.is_empty(), TRACE, value, "a path")?;
                config.trace = string.to_bytes_with_nul().get(at + 1..).and_then(|s| {
                    // The string's own NUL is its only one.
                    CStr::from_bytes_with_nul(s).ok()
                });
            } else if is(CHUNK_STEPS) {
                let expected = "a number from 1 to 4294967296";
                config.chunk_steps =
                    Some(number(CHUNK_STEPS, value, 1, MAX_CHUNK_STEPS, expected)?);
            } else if is(STEPS) {
                let expected = "a number from 0 to 2^62";
                config.steps = Some(number(STEPS, value, 0, MAX_STEPS, expected)?);
            } else if is(MEMORY) {
                let expected = "a number from 0 to 2^62";
                config.memory = Some(number(MEMORY, value, 0, 1 << 62, expected)?);
            } else if is(RING) {
                let expected = "a number from 1 to 32";
                config.ring = Some(number(RING, value, 1, MAX_SLOTS, expected)?);
            } else if is(RING_BYTES) {
                let expected = "a number from 1 to 2^40";
                config.ring_bytes = Some(number(RING_BYTES, value, 1, 1 << 40, expected)?);
            } else if is(LIVE) {
                config.live = Some(consumer(value)?);
            } else if is(STATS) {
                config.stats = number(STATS, value, 0, 1, "0 or 1")? == 1;
            } else if is(QUIET) {
                config.quiet = number(QUIET, value, 0, 1, "0 or 1")? == 1;
            } else if is(FILTER) {
                config.filter = number(FILTER, value, 0, 1, "0 or 1")? == 1;
            } else if is(GUEST_ENV) {
                let ok = strings(value).all(|s| s.iter().position(|b| *b == b'=') > Some(0));
                require(ok, GUEST_ENV, value, "NAME=VALUE, with ; between several")?;
                config.guest_env = value;
            } else {
                unknown = Some(name);
            }
        }
        let both = config.live.is_some() && config.trace.is_some();
        require(!both, LIVE, b"", "unset where HARTLOG_TRACE is set")?;
        if let (Some(name), false) = (unknown, config.quiet) {
            say!("warning: {} has no meaning", name.escape_ascii());
        }
        Ok(config)
    }

    /// Slots of the ring, if they are asked for.
    pub fn slots(&self, chunk_steps: u64) -> Option<u64> {
        self.ring
            .or_else(|| self.ring_bytes.map(|bytes| slots_for(chunk_steps, bytes)))
    }

    /// The guest's environment.
    pub fn guest_env(&self) -> impl Iterator<Item = &'static [u8]> + Clone + use<> {
        strings(self.guest_env)
    }
}

fn strings(list: &'static [u8]) -> impl Iterator<Item = &'static [u8]> + Clone {
    list.split(|b| *b == b';').filter(|s| !s.is_empty())
}

/// `FD:PID`.
fn consumer(value: &'static [u8]) -> Result<Consumer, Failure> {
    let expected = "DESCRIPTOR:PROCESS, as `replay run` sets it";
    let most = i32::MAX as u64;
    let at = value.iter().position(|b| *b == b':');
    require(at.is_some(), LIVE, value, expected)?;
    let (fd, pid) = value.split_at(at.unwrap_or(0));
    Ok(Consumer {
        fd: number(LIVE, fd, 3, most, expected)? as i32,
        pid: number(LIVE, pid.get(1..).unwrap_or_default(), 1, most, expected)? as i32,
    })
}

fn require(
    ok: bool,
    name: &'static str,
    value: &'static [u8],
    expected: &'static str,
) -> Result<(), Failure> {
    if ok {
        Ok(())
    } else {
        Err(Failure::Config {
            name,
            value,
            expected,
        })
    }
}

fn number(
    name: &'static str,
    value: &'static [u8],
    least: u64,
    most: u64,
    expected: &'static str,
) -> Result<u64, Failure> {
    // `parse` takes a sign too.
    let digits = value.iter().all(u8::is_ascii_digit);
    let parsed = str::from_utf8(value).ok().and_then(|s| s.parse().ok());
    let in_range = parsed.filter(|n| digits && (least..=most).contains(n));
    require(in_range.is_some(), name, value, expected)?;
    Ok(in_range.unwrap_or(least))
}
