//! Checks a trace with several processes ("ranks"), on one machine or on many.
//!
//! Every rank has the trace and the ELF. Rank 0 hands out ranges of chunks, re-executes some
//! itself, and takes what the others say of theirs: the first value read from and the last value
//! written to each address, and the environment calls. It brings these together in the order of
//! chunks. That every chunk ends where the next one starts is checked by the rank that re-executes
//! it, also where the next one belongs to another rank.
//!
//! The result is that of [`check_with`](crate::check::check_with): where something is wrong, rank 0
//! looks for the first difference again, chunk by chunk, from the last range that was right.
//!
//! How messages get from one rank to another is up to a [`Link`]; `replay mpi-check` has one for
//! MPI.

mod lead;
mod range;
mod wire;

pub use lead::{Report, lead};

use crate::check::CheckError;
use crate::engine::Engine;
use crate::program::Program;
use crate::trace::{Trace, TraceError};
use crate::witness::Columns;
use range::Work;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};
use wire::{Order, Said};
use zerocopy::IntoBytes;

/// Carries messages between ranks. Those from one rank to another arrive whole and in order.
pub trait Link {
    /// Number of this rank.
    fn rank(&self) -> usize;

    /// Number of all ranks.
    fn ranks(&self) -> usize;

    /// Sends a message. May wait until it is received.
    ///
    /// # Errors
    /// [`LinkError`] when there is nobody any more.
    fn send(&mut self, to: usize, message: &[u8]) -> Result<(), LinkError>;

    /// Waits for the next message, and says from whom it is.
    ///
    /// # Errors
    /// [`LinkError`] when none will come.
    fn receive(&mut self) -> Result<(usize, Vec<u8>), LinkError>;

    /// The next message if there is one.
    ///
    /// # Errors
    /// [`LinkError`] when none will come.
    fn poll(&mut self) -> Result<Option<(usize, Vec<u8>)>, LinkError>;
}

/// A rank cannot be reached any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// How to check. All ranks must have the same.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Leave out memory consistency.
    pub no_memory: bool,
    /// Chunks of a range; default: so many that each rank gets several, and at most 64.
    pub range_chunks: Option<u64>,
    /// How long a rank may take for a range, or rank 0 may say nothing to one that waits; default:
    /// for ever.
    pub patience: Option<Duration>,
}

impl Options {
    /// The columns that an engine for [`lead`] and [`serve`] must hand over.
    pub fn columns(&self) -> Columns {
        match self.no_memory {
            true => Columns::NONE,
            false => Columns::MEMORY,
        }
    }
}

/// Why a trace is rejected, or could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RanksError {
    /// The trace is wrong, or rank 0 could not check it.
    #[error("{0}")]
    Check(#[from] CheckError),
    /// A rank could not start.
    #[error("rank {rank} ({host}): {text}")]
    Failed {
        /// The rank.
        rank: usize,
        /// Its machine.
        host: String,
        /// Exit status for this kind of failure.
        status: u8,
        /// What it said.
        text: String,
    },
    /// A rank has other files, options or another version.
    #[error("rank {rank} ({host}) has another trace, ELF, option or version than rank 0")]
    Differs {
        /// The rank.
        rank: usize,
        /// Its machine.
        host: String,
    },
    /// A rank finds something wrong that rank 0 does not find.
    #[error("rank {rank} rejects chunks {start}..{end}, rank 0 finds nothing wrong there")]
    Unconfirmed {
        /// The rank.
        rank: usize,
        /// First chunk.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// A rank does nothing, and is not gone either.
    #[error("rank {rank}{host}: no progress for {seconds} s{}", orders(.range))]
    Stalled {
        /// The rank.
        rank: usize,
        /// Its machine, in brackets, if that is known.
        host: String,
        /// The chunks that it was to re-execute.
        range: Option<Range<u64>>,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A message that no rank sends.
    #[error("rank {rank}: malformed message: {what}")]
    Message {
        /// The rank.
        rank: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A rank is gone.
    #[error("{0}")]
    Link(#[from] LinkError),
}

impl RanksError {
    /// A rank that took or said nothing for so long, where no more is known of it.
    pub fn stalled(rank: usize, patience: Duration) -> RanksError {
        RanksError::Stalled {
            rank,
            host: String::new(),
            range: None,
            seconds: patience.as_secs(),
        }
    }
}

fn orders(range: &Option<Range<u64>>) -> String {
    range
        .as_ref()
        .map_or_else(String::new, |Range { start, end }| {
            format!(" with chunks {start}..{end}")
        })
}

impl From<TraceError> for RanksError {
    fn from(error: TraceError) -> RanksError {
        RanksError::Check(error.into())
    }
}

/// What must be the same at all ranks: the program, and the headers of all chunks, which hold the
/// checksums of the rest.
fn digest(trace: &Trace, program: &Program, options: &Options) -> Result<[u8; 32], RanksError> {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update(program.elf().sha256);
    hash.update([options.no_memory.into()]);
    hash.update(trace.header()?.checksum.to_le_bytes());
    for index in 0..trace.len() {
        hash.update(trace.chunk(index)?.header.as_bytes());
    }
    if let Some(footer) = trace.footer()? {
        hash.update(footer.fixed.as_bytes());
    }
    Ok(hash.finalize().into())
}

/// What every rank but 0 does: re-executes the chunks that it is handed until rank 0 says that it
/// is enough. `host` names this machine in messages.
///
/// # Errors
/// [`RanksError`], none of which says anything about the trace: that is for rank 0.
pub fn serve<'t>(
    link: &mut impl Link,
    host: &str,
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
) -> Result<(), RanksError> {
    let hello = Said::Hello {
        digest: digest(trace, engine.program(), options)?,
        compiled: engine.is_compiled(),
        host: host.to_owned(),
    };
    link.send(0, &hello.encode())?;
    let mut queue = VecDeque::new();
    let mut worker = engine.worker();
    loop {
        // An order to stop is obeyed before what is left to do.
        while let Some(message) = next(link, queue.is_empty(), options.patience)? {
            let order = Order::decode(&message);
            match order.map_err(|what| RanksError::Message { rank: 0, what })? {
                Order::Work(range) => queue.push_back(range),
                Order::Wait => {}
                Order::Stop => {
                    link.send(0, &Said::Bye.encode())?;
                    return Ok(());
                }
            }
        }
        if let Some(range) = queue.pop_front() {
            let mut work = Work::new(range, !options.no_memory);
            while !work.advance(trace, engine.program(), &mut worker) {}
            link.send(0, &Said::Done(Box::new(work.finish())).encode())?;
        }
    }
}

/// The next message from rank 0, if there is one or it is to be waited for.
fn next(
    link: &mut impl Link,
    wait: bool,
    patience: Option<Duration>,
) -> Result<Option<Vec<u8>>, RanksError> {
    let message = match (wait, patience) {
        (false, _) => link.poll()?,
        (true, None) => Some(link.receive()?),
        (true, Some(patience)) => {
            let message = receive_within(link, Instant::now() + patience)?;
            Some(message.ok_or_else(|| RanksError::stalled(0, patience))?)
        }
    };
    Ok(message.map(|(_, message)| message))
}

/// The next message, if it comes until then.
fn receive_within(
    link: &mut impl Link,
    end: Instant,
) -> Result<Option<(usize, Vec<u8>)>, LinkError> {
    const PAUSE: Duration = Duration::from_micros(200);
    loop {
        let message = link.poll()?;
        if message.is_some() || Instant::now() >= end {
            return Ok(message);
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a rank does that could not open its files: says so, and ends with the others. `status` is
/// its exit status.
///
/// # Errors
/// [`RanksError::Link`] and [`RanksError::Stalled`].
pub fn give_up(
    link: &mut impl Link,
    host: &str,
    status: u8,
    text: &str,
    options: &Options,
) -> Result<(), RanksError> {
    if link.rank() == 0 {
        return lead::refuse(link, options.patience);
    }
    let failed = Said::Failed {
        status,
        host: host.to_owned(),
        text: text.to_owned(),
    };
    link.send(0, &failed.encode())?;
    while let Some(message) = next(link, true, options.patience)? {
        if Order::decode(&message) == Ok(Order::Stop) {
            break;
        }
    }
    Ok(link.send(0, &Said::Bye.encode())?)
}
