//! Rank 0: hands out ranges and brings together what is said of them.

use super::range::{Finding, Sum, Work};
use super::wire::{Order, Said};
use super::{Link, LinkError, Options, RanksError, digest, receive_within};
use crate::check::{self, CheckError, Merge, Worker, check_serially};
use crate::drive::same_program;
use crate::engine::Engine;
use crate::error::Difference;
use crate::trace::Trace;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// Ranges that a rank has at a time: one that it works on, and the next.
const AHEAD: usize = 2;

/// Most chunks of a range by default: 16 million steps of the default size.
const MOST_CHUNKS: u64 = 64;

/// Result of a check that found nothing wrong.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// As [`check_with`](crate::check::check_with) says it, but for each rank what that says for
    /// each thread.
    pub check: check::Report,
    /// The machine of each rank.
    pub hosts: Vec<String>,
    /// Ranks that interpret, although rank 0 has compiled code, or the other way round.
    pub other_engine: Vec<usize>,
}

/// What rank 0 knows of the others and of the ranges.
struct Lead<'a, L> {
    link: &'a mut L,
    chunks: u64,
    range_chunks: u64,
    /// Number of the range that is handed out next.
    claimed: u64,
    /// Number of the range that is brought together next.
    next: u64,
    waiting: BTreeMap<u64, (usize, Finding)>,
    /// Ranges that each rank has, the one that it works on first.
    has: Vec<VecDeque<Range<u64>>>,
    ranks: Vec<Worker>,
    pace: Pace,
}

/// Who said something when.
struct Pace {
    patience: Option<Duration>,
    /// Per rank: its last message, or its first order after it had none.
    heard: Vec<Instant>,
    /// When the others were told last that rank 0 is there.
    told: Instant,
}

impl Pace {
    fn new(ranks: usize, patience: Option<Duration>) -> Pace {
        let now = Instant::now();
        Pace {
            patience,
            heard: vec![now; ranks],
            told: now,
        }
    }

    fn hear(&mut self, rank: usize) {
        if let Some(heard) = self.heard.get_mut(rank) {
            *heard = Instant::now();
        }
    }

    /// Whether a rank that has something to do has said nothing for too long.
    fn is_overdue(&self, rank: usize) -> bool {
        let heard = self.heard.get(rank).map(Instant::elapsed);
        self.patience
            .zip(heard)
            .is_some_and(|(most, silent)| silent > most)
    }

    fn stalled(&self, rank: usize, hosts: &[String], range: Option<Range<u64>>) -> RanksError {
        let host = hosts.get(rank).map(|host| format!(" ({host})"));
        RanksError::Stalled {
            rank,
            host: host.unwrap_or_default(),
            range,
            seconds: self.patience.unwrap_or_default().as_secs(),
        }
    }

    /// Whether the others are to be told that rank 0 is there: they wait as long for it.
    fn tell(&mut self) -> bool {
        let due = self.patience.is_some_and(|p| self.told.elapsed() > p / 4);
        if due {
            self.told = Instant::now();
        }
        due
    }
}

/// The next message of those that are waited for, or `None` for a moment.
fn listen(
    link: &mut impl Link,
    patience: Option<Duration>,
) -> Result<Option<(usize, Vec<u8>)>, LinkError> {
    match patience {
        None => link.receive().map(Some),
        Some(patience) => receive_within(link, Instant::now() + patience / 8),
    }
}

/// Checks a trace together with the other ranks, which [`serve`](super::serve). `host` names this
/// machine; `progress` is told the number of chunks done. This is for rank 0.
///
/// # Errors
/// [`RanksError`]. The other ranks have ended then, unless one is gone.
pub fn lead<'t>(
    link: &mut impl Link,
    host: &str,
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<Report, RanksError> {
    let start = Instant::now();
    let result = greet(link, host, trace, engine, options).and_then(|mut report| {
        fill(&mut report, link, trace, engine, options, progress)?;
        Ok(report)
    });
    match &result {
        // Who is gone cannot be dismissed.
        Err(RanksError::Link(_) | RanksError::Stalled { .. }) => {}
        _ => dismiss(link, options.patience)?,
    }
    let mut report = result?;
    report.check.wall = start.elapsed();
    Ok(report)
}

/// Takes what all others say first, and sends them away.
pub(super) fn refuse(link: &mut impl Link, patience: Option<Duration>) -> Result<(), RanksError> {
    let mut silent = Silent::all(link, patience);
    while silent.next(link, |_| true)?.is_some() {}
    dismiss(link, patience)
}

/// Those that something is still waited for.
struct Silent {
    ranks: BTreeSet<usize>,
    pace: Pace,
}

impl Silent {
    fn all(link: &impl Link, patience: Option<Duration>) -> Silent {
        Silent {
            ranks: (1..link.ranks()).collect(),
            pace: Pace::new(1, patience),
        }
    }

    /// The first message that counts of the next that says one; `None`: all did. Others are lost.
    fn next(
        &mut self,
        link: &mut impl Link,
        counts: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<(usize, Vec<u8>)>, RanksError> {
        while let Some(first) = self.ranks.first().copied() {
            match listen(link, self.pace.patience)? {
                Some((rank, message)) if counts(&message) && self.ranks.remove(&rank) => {
                    return Ok(Some((rank, message)));
                }
                Some(_) => {}
                None if self.pace.is_overdue(0) => {
                    return Err(self.pace.stalled(first, &[], None));
                }
                None => {}
            }
        }
        Ok(None)
    }
}

/// Sends the others away, and takes what they still say.
pub(super) fn dismiss(link: &mut impl Link, patience: Option<Duration>) -> Result<(), RanksError> {
    for rank in 1..link.ranks() {
        link.send(rank, &Order::Stop.encode())?;
    }
    // What was under way may come first.
    let bye = |message: &[u8]| Said::decode(message) == Ok(Said::Bye);
    let mut silent = Silent::all(link, patience);
    while silent.next(link, bye)?.is_some() {}
    Ok(())
}

fn said(rank: usize, message: &[u8]) -> Result<Said, RanksError> {
    Said::decode(message).map_err(|what| RanksError::Message { rank, what })
}

/// Waits until all ranks are ready.
fn greet<'t>(
    link: &mut impl Link,
    host: &str,
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
) -> Result<Report, RanksError> {
    let own = digest(trace, engine.program(), options);
    let mut hosts = vec![host.to_owned(); link.ranks().max(1)];
    let mut other_engine = Vec::new();
    let mut error: BTreeMap<usize, RanksError> = BTreeMap::new();
    let mut silent = Silent::all(link, options.patience);
    while let Some((rank, message)) = silent.next(link, |_| true)? {
        match said(rank, &message) {
            Ok(Said::Hello {
                digest,
                compiled,
                host,
            }) => {
                if own.as_ref().is_ok_and(|own| *own != digest) {
                    let host = host.clone();
                    error.insert(rank, RanksError::Differs { rank, host });
                }
                if compiled != engine.is_compiled() {
                    other_engine.push(rank);
                }
                if let Some(place) = hosts.get_mut(rank) {
                    *place = host;
                }
            }
            Ok(Said::Failed { status, host, text }) => {
                let failed = RanksError::Failed {
                    rank,
                    host,
                    status,
                    text,
                };
                error.insert(rank, failed);
            }
            Ok(_) => {
                let what = "not a greeting";
                error.insert(rank, RanksError::Message { rank, what });
            }
            Err(malformed) => {
                error.insert(rank, malformed);
            }
        }
    }
    own?;
    if let Some((_, first)) = error.pop_first() {
        return Err(first);
    }
    other_engine.sort_unstable();
    Ok(Report {
        check: check::Report {
            chunks: 0,
            steps: 0,
            log_bytes: 0,
            event_bytes: 0,
            workers: vec![Worker::default(); hosts.len()],
            wall: std::time::Duration::ZERO,
            memory: !options.no_memory,
            unpinned: 0,
        },
        hosts,
        other_engine,
    })
}

/// Has everything checked.
fn fill<'t>(
    Report {
        check: report,
        hosts,
        ..
    }: &mut Report,
    link: &mut impl Link,
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    options: &Options,
    progress: &mut dyn FnMut(u64),
) -> Result<(), RanksError> {
    let program = engine.program();
    same_program(trace, program)?;
    let mut merge = Merge::at_start(program, trace, report.memory)?;
    let ranks = link.ranks().max(1);
    let several = trace.len() / (8 * ranks as u64);
    let default = several.clamp(1, MOST_CHUNKS);
    let mut lead = Lead {
        link,
        chunks: trace.len(),
        range_chunks: options.range_chunks.unwrap_or(default).max(1),
        claimed: 0,
        next: 0,
        waiting: BTreeMap::new(),
        has: vec![VecDeque::new(); ranks],
        ranks: std::mem::take(&mut report.workers),
        pace: Pace::new(ranks, options.patience),
    };
    let mut worker = engine.worker();
    let mut own: Option<Work> = None;
    while lead.next * lead.range_chunks < lead.chunks {
        while let Some((rank, message)) = lead.link.poll()? {
            lead.hear(rank, &message)?;
        }
        lead.hand_out()?;
        lead.keep_pace(hosts)?;
        if let Some((rank, finding)) = lead.waiting.remove(&lead.next) {
            lead.take(report, rank, &finding);
            bring_together(trace, engine, &mut merge, rank, finding)?;
            lead.next += 1;
            progress(report.chunks);
        } else if let Some(work) = &mut own {
            // A chunk at a time: the others must not wait for long.
            if work.advance(trace, program, &mut worker)
                && let Some(work) = own.take()
            {
                lead.put(0, work.finish())?;
            }
        } else if let Some(range) = lead.claim() {
            lead.has[0].push_back(range.clone());
            own = Some(Work::new(range, report.memory));
        } else if let Some((rank, message)) = listen(lead.link, options.patience)? {
            lead.hear(rank, &message)?;
        }
    }
    report.workers = lead.ranks;
    if let Some(footer) = trace.footer()? {
        merge.finish(footer.fixed)?;
    }
    Ok(())
}

impl<L: Link> Lead<'_, L> {
    /// The next range. Only so many are handed out that what waits stays small.
    fn claim(&mut self) -> Option<Range<u64>> {
        let window = 2 * (AHEAD * self.has.len()) as u64;
        let start = self.claimed.checked_mul(self.range_chunks)?;
        if start >= self.chunks || self.claimed >= self.next + window {
            return None;
        }
        self.claimed += 1;
        Some(start..start.saturating_add(self.range_chunks).min(self.chunks))
    }

    fn hand_out(&mut self) -> Result<(), RanksError> {
        for round in 1..=AHEAD {
            for rank in 1..self.has.len() {
                if self.has[rank].len() < round
                    && let Some(range) = self.claim()
                {
                    if self.has[rank].is_empty() {
                        self.pace.hear(rank);
                    }
                    self.link.send(rank, &Order::Work(range.clone()).encode())?;
                    self.has[rank].push_back(range);
                }
            }
        }
        Ok(())
    }

    /// Notices a rank that does nothing, and tells the others that rank 0 is there.
    fn keep_pace(&mut self, hosts: &[String]) -> Result<(), RanksError> {
        for (rank, has) in self.has.iter().enumerate().skip(1) {
            if let Some(range) = has.front()
                && self.pace.is_overdue(rank)
            {
                return Err(self.pace.stalled(rank, hosts, Some(range.clone())));
            }
        }
        if self.pace.tell() {
            for rank in 1..self.has.len() {
                self.link.send(rank, &Order::Wait.encode())?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, rank: usize, message: &[u8]) -> Result<(), RanksError> {
        self.pace.hear(rank);
        match said(rank, message)? {
            Said::Done(finding) => self.put(rank, *finding),
            _ => {
                let what = "not the result of a range";
                Err(RanksError::Message { rank, what })
            }
        }
    }

    /// Keeps what a rank says of a range until it is its turn.
    fn put(&mut self, rank: usize, finding: Finding) -> Result<(), RanksError> {
        let number = finding.range.start / self.range_chunks;
        let has = self.has.get_mut(rank);
        let handed = has.filter(|has| has.front() == Some(&finding.range));
        let Some(handed) = handed else {
            let what = "a range that it was not handed";
            return Err(RanksError::Message { rank, what });
        };
        handed.pop_front();
        self.waiting.insert(number, (rank, finding));
        Ok(())
    }

    fn take(&mut self, report: &mut check::Report, rank: usize, finding: &Finding) {
        let Some(sum) = &finding.sum else {
            return;
        };
        let chunks = finding.range.end - finding.range.start;
        report.chunks += chunks;
        report.steps += sum.steps;
        report.log_bytes += sum.log_bytes;
        report.event_bytes += sum.event_bytes;
        if let Some(worker) = self.ranks.get_mut(rank) {
            worker.chunks += chunks;
            worker.steps += sum.steps;
            worker.busy += finding.busy;
        }
    }
}

/// What following memory through a range came to.
enum Followed {
    Right,
    /// An access does not agree. Memory is as it was after the environment call in this chunk at
    /// this step; `None`: as it was before the range.
    Wrong(Option<(u64, u64)>),
}

/// Takes the next range.
fn bring_together<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    merge: &mut Merge<'_>,
    rank: usize,
    finding: Finding,
) -> Result<(), RanksError> {
    let Range { start, end } = finding.range;
    let followed = match finding.sum {
        Some(mut sum) => follow(trace, engine, merge, rank, end, &mut sum)?,
        None => Followed::Wrong(None),
    };
    let (from, after) = match followed {
        Followed::Right => return Ok(()),
        Followed::Wrong(None) => (start, None),
        Followed::Wrong(Some((chunk, step))) => (chunk, Some(step)),
    };
    check_serially(trace, engine, merge, from..end, after)?;
    Err(RanksError::Unconfirmed { rank, start, end })
}

/// Follows memory through a range that ends before chunk `end`.
fn follow<'t>(
    trace: &'t Trace,
    engine: &Engine<'_, 't>,
    merge: &mut Merge<'_>,
    rank: usize,
    end: u64,
    sum: &mut Sum,
) -> Result<Followed, RanksError> {
    let Some(auditor) = merge.auditor() else {
        return Ok(Followed::Right);
    };
    let mut last = None;
    for segment in &mut sum.segments {
        // What is wrong is looked for in memory as it was before.
        if !auditor.accesses(&mut segment.lines) {
            return Ok(Followed::Wrong(last));
        }
        let Some(own) = &segment.call else {
            continue;
        };
        let what = "not a host event";
        let call = own.call().ok_or(RanksError::Message { rank, what })?;
        auditor.call(&call).map_err(|kind| {
            let found = Difference::new(engine.program(), own.chunk, call.step, call.pc, kind);
            CheckError::from(found)
        })?;
        last = Some((own.chunk, call.step));
    }
    if let Some(index) = end.checked_sub(1) {
        merge.end(trace.chunk(index)?.header, &sum.hart)?;
    }
    Ok(Followed::Right)
}
