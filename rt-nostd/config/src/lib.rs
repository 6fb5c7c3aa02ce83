//! Configuration of a translated program by its environment; see the page of `rt-nostd` for the
//! variables.
//!
//! ```
//! use hartlog_config::Config;
//! let config = Config::read([c"HARTLOG_STEPS=1000", c"HOME=/"].into_iter()).expect("it is right");
//! assert_eq!(config.steps, Some(1000));
//! let error = Config::read([c"HARTLOG_STEPS=-1"].into_iter()).expect_err("no number");
//! assert_eq!(error.name, "HARTLOG_STEPS");
//! ```
#![no_std]
#![forbid(unsafe_code)]

use core::ffi::CStr;
use core::fmt;
use hartlog_format::layout::MAX_CHUNK_STEPS;
use hartlog_format::ring::{MAX_SLOTS, slots_for};

/// Most steps of a run. Step numbers stay far away from where they would overflow.
const MAX_STEPS: u64 = 1 << 62;

/// What the environment asks for.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// `HARTLOG_TRACE`: path of the trace.
    pub trace: Option<&'a CStr>,
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
    guest_env: &'a [u8],
    /// The last variable that starts with `HARTLOG_` and means nothing.
    pub unknown: Option<&'a [u8]>,
}

/// A variable has a value that it cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid<'a> {
    /// Name of the variable.
    pub name: &'static str,
    /// Its value.
    pub value: &'a [u8],
    /// What it should be.
    pub expected: &'static str,
}

impl fmt::Display for Invalid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Invalid {
            name,
            value,
            expected,
        } = self;
        let value = value.escape_ascii();
        write!(f, "{name} is \"{value}\", it must be {expected}")
    }
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

impl<'a> Config<'a> {
    /// Reads the variables among these strings of the environment. Of several with the same name
    /// the last counts.
    ///
    /// # Errors
    /// [`Invalid`].
    pub fn read(environment: impl Iterator<Item = &'a CStr>) -> Result<Config<'a>, Invalid<'a>> {
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
            unknown: None,
        };
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
                config.unknown = Some(name);
            }
        }
        let both = config.live.is_some() && config.trace.is_some();
        require(!both, LIVE, b"", "unset where HARTLOG_TRACE is set")?;
        Ok(config)
    }

    /// Slots of the ring, if they are asked for.
    pub fn slots(&self, chunk_steps: u64) -> Option<u64> {
        self.ring
            .or_else(|| self.ring_bytes.map(|bytes| slots_for(chunk_steps, bytes)))
    }

    /// The guest's environment.
    pub fn guest_env(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        strings(self.guest_env)
    }
}

fn strings(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split(|b| *b == b';').filter(|s| !s.is_empty())
}

/// `FD:PID`.
fn consumer(value: &[u8]) -> Result<Consumer, Invalid<'_>> {
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

fn require<'a>(
    ok: bool,
    name: &'static str,
    value: &'a [u8],
    expected: &'static str,
) -> Result<(), Invalid<'a>> {
    if ok {
        Ok(())
    } else {
        Err(Invalid {
            name,
            value,
            expected,
        })
    }
}

fn number<'a>(
    name: &'static str,
    value: &'a [u8],
    least: u64,
    most: u64,
    expected: &'static str,
) -> Result<u64, Invalid<'a>> {
    // `parse` takes a sign too.
    let digits = value.iter().all(u8::is_ascii_digit);
    let parsed = str::from_utf8(value).ok().and_then(|s| s.parse().ok());
    let in_range = parsed.filter(|n| digits && (least..=most).contains(n));
    require(in_range.is_some(), name, value, expected)?;
    Ok(in_range.unwrap_or(least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'a>(strings: &[&'a CStr]) -> Result<Config<'a>, Invalid<'a>> {
        Config::read(strings.iter().copied())
    }

    #[test]
    fn nothing_is_set() {
        let config = read(&[c"PATH=/bin", c"HARTLOG", c"HARTLOG_STEPS", c"=", c""]);
        let config = config.expect("none of them is a variable of the runtime");
        assert!(config.trace.is_none() && config.live.is_none() && config.unknown.is_none());
        assert_eq!(
            (config.steps, config.memory, config.chunk_steps),
            (None, None, None)
        );
        assert_eq!(config.slots(1), None);
        assert!(!config.stats && !config.quiet && config.filter);
        assert_eq!(config.guest_env().count(), 0);
    }

    #[test]
    fn limits_of_numbers() {
        let cases: [(&CStr, bool); 26] = [
            (c"HARTLOG_CHUNK_STEPS=0", false),
            (c"HARTLOG_CHUNK_STEPS=1", true),
            (c"HARTLOG_CHUNK_STEPS=4294967296", true),
            (c"HARTLOG_CHUNK_STEPS=4294967297", false),
            (c"HARTLOG_STEPS=0", true),
            (c"HARTLOG_STEPS=4611686018427387904", true),
            (c"HARTLOG_STEPS=4611686018427387905", false),
            (c"HARTLOG_MEMORY=18446744073709551616", false),
            (c"HARTLOG_MEMORY=", false),
            (c"HARTLOG_MEMORY=+1", false),
            (c"HARTLOG_MEMORY= 1", false),
            (c"HARTLOG_MEMORY=007", true),
            (c"HARTLOG_RING=0", false),
            (c"HARTLOG_RING=32", true),
            (c"HARTLOG_RING=33", false),
            (c"HARTLOG_RING_BYTES=0", false),
            (c"HARTLOG_RING_BYTES=1099511627776", true),
            (c"HARTLOG_STATS=2", false),
            (c"HARTLOG_QUIET=yes", false),
            (c"HARTLOG_QUIET=2", false),
            (c"HARTLOG_FILTER=0", true),
            (c"HARTLOG_FILTER=2", false),
            (c"HARTLOG_LIVE=2:1", false),
            (c"HARTLOG_LIVE=3:1", true),
            (c"HARTLOG_LIVE=3", false),
            (c"HARTLOG_LIVE=3:2147483648", false),
        ];
        for (string, right) in cases {
            assert_eq!(read(&[string]).is_ok(), right, "{string:?}");
        }
    }

    #[test]
    fn the_last_of_a_name_counts_and_what_is_unknown_is_told() {
        let strings = [c"HARTLOG_STEPS=1", c"HARTLOG_STEP=5", c"HARTLOG_STEPS=2"];
        let config = read(&strings).expect("right");
        assert_eq!(config.steps, Some(2));
        assert_eq!(config.unknown, Some(&b"HARTLOG_STEP"[..]));
    }

    #[test]
    fn a_trace_and_a_live_run_exclude_each_other() {
        let error = read(&[c"HARTLOG_TRACE=t", c"HARTLOG_LIVE=3:1"]).expect_err("both");
        assert_eq!((error.name, error.value), (LIVE, &b""[..]));
        assert!(read(&[c"HARTLOG_TRACE="]).is_err());
        let trace = read(&[c"HARTLOG_TRACE=a=b"]).expect("right").trace;
        assert_eq!(trace, Some(c"a=b"));
    }

    #[test]
    fn the_guests_environment() {
        let config = read(&[c"HARTLOG_GUEST_ENV=A=1;;B=;C==;"]).expect("right");
        assert!(config.guest_env().eq([&b"A=1"[..], b"B=", b"C=="]));
        for wrong in [c"HARTLOG_GUEST_ENV=A", c"HARTLOG_GUEST_ENV=A=1;=2"] {
            assert!(read(&[wrong]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn slots_of_a_ring() {
        let bytes = read(&[c"HARTLOG_RING_BYTES=1"]).expect("right");
        assert_eq!(bytes.slots(1), Some(2));
        let both = read(&[c"HARTLOG_RING_BYTES=1", c"HARTLOG_RING=1"]).expect("right");
        assert_eq!(both.slots(1), Some(1));
    }
}
