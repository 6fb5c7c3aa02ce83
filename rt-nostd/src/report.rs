//! What the runtime says on standard error, and why a run can fail.

use crate::sys::{self, Errno};
use core::fmt::{self, Write};
use hartlog_abi::SetupError;
use hartlog_config::Invalid;
use hartlog_format::status::exit;

/// Standard error, line by line. What does not fit is cut off.
pub struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Line {
        Line {
            bytes: [0; 1024],
            len: 0,
        }
    }

    /// Writes the line, with one system call as far as the host allows.
    pub fn print(mut self) {
        let last = self.len.min(self.bytes.len() - 1);
        self.bytes[last] = b'\n';
        let mut rest = &self.bytes[..=last];
        while !rest.is_empty() {
            match sys::write(2, rest.as_ptr().addr(), rest.len()) {
                Ok(n) => rest = &rest[n.min(rest.len())..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => sys::wait_ready(2, sys::WRITABLE),
                // There is nobody to tell.
                Err(_) => return,
            }
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.len..];
        let len = text.len().min(room.len());
        room[..len].copy_from_slice(&text.as_bytes()[..len]);
        self.len += len;
        Ok(())
    }
}

/// Prints `hartlog: ` and a message.
macro_rules! say {
    ($($arg:tt)*) => {{
        let mut line = $crate::report::Line::new();
        // A line takes everything.
        let _ = core::fmt::Write::write_fmt(&mut line, format_args!("hartlog: {}", format_args!($($arg)*)));
        line.print();
    }};
}
pub(crate) use say;

/// Why a run could not start or go on. The guest is not to blame.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// A variable of the environment has a value that it cannot have.
    Config(Invalid<'static>),
    /// A trace is wanted of a program that was translated without.
    NoTrace,
    /// The processor lacks a feature.
    Cpu(&'static str),
    /// The object or the linker script do not go with this runtime.
    Program(&'static str),
    /// A system call failed.
    Host {
        /// What was being done.
        what: &'static str,
        /// Its error.
        errno: Errno,
    },
    /// Guest memory could not be had.
    Memory {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
        /// The error of the system call.
        errno: Errno,
    },
    /// The host refused an access that the guest's memory map allows.
    Page {
        /// The address.
        addr: u64,
    },
    /// The host events of a chunk need more room than can be had.
    Events,
    /// The guest's output could not be written.
    Output {
        /// File descriptor.
        fd: u32,
        /// The error of the system call.
        errno: Errno,
    },
    /// The guest could not be started.
    Setup(SetupError<()>),
    /// The trace could not be written.
    Trace {
        /// Path of the trace.
        path: &'static [u8],
        /// The error of the system call.
        errno: Errno,
        /// Chunks that are in the file.
        chunks: u64,
    },
    /// Nobody consumes the ring any more.
    Live(&'static str),
}

impl Failure {
    /// Exit status of a program that fails this way.
    pub fn exit_status(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::NoTrace => exit::CONFIG,
            Failure::Trace { .. } | Failure::Live(_) => exit::TRACE_OUTPUT,
            Failure::Program(_) => exit::INTERNAL,
            Failure::Cpu(_)
            | Failure::Host { .. }
            | Failure::Memory { .. }
            | Failure::Page { .. }
            | Failure::Events
            | Failure::Output { .. }
            | Failure::Setup(_) => exit::HOST,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Failure::Config(invalid) => invalid.fmt(f),
            Failure::NoTrace => f.write_str(
                "a trace is wanted, but this program was translated without (--mode fast)",
            ),
            Failure::Cpu(feature) => write!(
                f,
                "this processor lacks {feature}, which translated code needs"
            ),
            Failure::Program(what) => write!(f, "the program cannot be run: {what}"),
            Failure::Host { what, errno } => write!(f, "{what}: {errno}"),
            Failure::Memory { addr, len, errno } => write!(
                f,
                "guest memory of {len:#x} bytes at {addr:#x} cannot be had: {errno}"
            ),
            Failure::Page { addr } => {
                write!(f, "the host has no memory for guest address {addr:#x}")
            }
            Failure::Events => {
                f.write_str("the host events of one chunk need more room than can be had")
            }
            Failure::Output { fd, errno } => {
                let name = if fd == 1 { "output" } else { "error" };
                write!(f, "standard {name} of the guest cannot be written: {errno}")
            }
            Failure::Setup(ref error) => match error {
                SetupError::Segment { vaddr, mem_size } => SetupError::<&str>::Segment {
                    vaddr: *vaddr,
                    mem_size: *mem_size,
                }
                .fmt(f),
                SetupError::Regions => SetupError::<&str>::Regions.fmt(f),
                SetupError::Stack => SetupError::<&str>::Stack.fmt(f),
                SetupError::Arguments { bytes } => {
                    SetupError::<&str>::Arguments { bytes: *bytes }.fmt(f)
                }
                SetupError::Host(()) => f.write_str("no memory"),
            },
            Failure::Live(why) => write!(f, "{why}: the guest is stopped"),
            Failure::Trace {
                path,
                errno,
                chunks,
            } => write!(
                f,
                "trace \"{}\" cannot be written: {errno}; {chunks} chunks are in it",
                path.escape_ascii()
            ),
        }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    say!("internal error: {info}");
    sys::exit(exit::INTERNAL)
}
