//! Standard input, output and error of an interpreted guest.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsFd;

/// Where the guest's input comes from and its output goes.
pub trait GuestIo {
    /// Reads into `buffer` (not empty); 0 = end of input.
    ///
    /// # Errors
    /// The guest sees the error number.
    fn input(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Whether input comes from a terminal: then one read returns what one call gives.
    fn is_terminal(&self) -> bool {
        false
    }

    /// Writes output of the guest; `fd` is 1 or 2.
    ///
    /// # Errors
    /// End the run.
    fn output(&mut self, fd: u32, bytes: &[u8]) -> io::Result<()>;

    /// The guest made an unknown call; told once per number.
    fn unknown_call(&mut self, number: u64);
}

/// The streams of this process, unbuffered: the guest decides when it writes.
#[derive(Debug)]
pub struct Stdio {
    input: Option<File>,
    outputs: [Option<File>; 2],
    terminal: bool,
}

fn duplicate(stream: &impl AsFd) -> Option<File> {
    stream.as_fd().try_clone_to_owned().ok().map(File::from)
}

impl Stdio {
    /// Duplicates the streams of this process. One that is closed stays so for the guest.
    pub fn new() -> Stdio {
        Stdio {
            input: duplicate(&io::stdin()),
            outputs: [duplicate(&io::stdout()), duplicate(&io::stderr())],
            terminal: io::stdin().is_terminal(),
        }
    }
}

impl Default for Stdio {
    fn default() -> Stdio {
        Stdio::new()
    }
}

/// EBADF, for a stream that is closed.
fn closed() -> io::Error {
    io::Error::from_raw_os_error(hartlog_abi::Errno::EBADF.0.into())
}

impl GuestIo for Stdio {
    fn input(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let input = self.input.as_mut().ok_or_else(closed)?;
        loop {
            match input.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn is_terminal(&self) -> bool {
        self.terminal
    }

    fn output(&mut self, fd: u32, bytes: &[u8]) -> io::Result<()> {
        let stream = usize::from(fd != 1);
        self.outputs[stream]
            .as_mut()
            .ok_or_else(closed)?
            .write_all(bytes)
    }

    fn unknown_call(&mut self, number: u64) {
        eprintln!("hartlog: environment call {number} does not exist, the guest gets ENOSYS");
    }
}

/// Streams in memory.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    /// Input; what was read is removed.
    pub input: Vec<u8>,
    /// Standard output.
    pub output: Vec<u8>,
    /// Standard error.
    pub error: Vec<u8>,
    /// Unknown calls.
    pub unknown: BTreeSet<u64>,
}

impl GuestIo for Buffers {
    fn input(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.input.len());
        buffer[..len].copy_from_slice(&self.input[..len]);
        self.input.drain(..len);
        Ok(len)
    }

    fn output(&mut self, fd: u32, bytes: &[u8]) -> io::Result<()> {
        let stream = if fd == 1 {
            &mut self.output
        } else {
            &mut self.error
        };
        stream.extend_from_slice(bytes);
        Ok(())
    }

    fn unknown_call(&mut self, number: u64) {
        self.unknown.insert(number);
    }
}
