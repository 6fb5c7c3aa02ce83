//! A check by several ranks comes to the same as one by one process. Ranks are threads here.

mod common;

use common::{program, repair, trace_bytes};
use crossbeam::channel::{Receiver, Sender, unbounded};
use hartlog_format::trace::ChunkHeader;
use replay::check::{self, check};
use replay::engine::Engine;
use replay::program::Program;
use replay::ranks::{self, Link, LinkError, RanksError, Report};
use replay::trace::Trace;
use replay::witness::Columns;
use std::mem::offset_of;
use std::time::Duration;

const CHUNK_STEPS: u64 = 16;

type Message = (usize, Vec<u8>);

/// Messages between threads.
struct Threads {
    rank: usize,
    /// `None`: somebody is gone.
    senders: Vec<Sender<Option<Message>>>,
    receiver: Receiver<Option<Message>>,
    /// Messages that this rank sends before it is gone.
    lives: usize,
    /// Messages that this rank sends before none arrives any more.
    heard: usize,
    /// How long this rank waits before it says anything.
    late: Duration,
}

impl Link for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.senders.len()
    }

    fn send(&mut self, to: usize, message: &[u8]) -> Result<(), LinkError> {
        let gone = || LinkError(format!("rank {to} is gone"));
        let Some(lives) = self.lives.checked_sub(1) else {
            let _ = self.senders[0].send(None);
            return Err(gone());
        };
        self.lives = lives;
        let Some(heard) = self.heard.checked_sub(1) else {
            return Ok(());
        };
        self.heard = heard;
        std::thread::sleep(std::mem::take(&mut self.late));
        let message = Some((self.rank, message.to_vec()));
        self.senders[to].send(message).map_err(|_| gone())
    }

    fn receive(&mut self) -> Result<Message, LinkError> {
        let message = self.receiver.recv_timeout(Duration::from_secs(60));
        let message = message.map_err(|_| LinkError("nobody answers".to_owned()))?;
        message.ok_or_else(|| LinkError("somebody is gone".to_owned()))
    }

    fn poll(&mut self) -> Result<Option<Message>, LinkError> {
        if self.receiver.is_empty() {
            return Ok(None);
        }
        self.receive().map(Some)
    }
}

fn links(count: usize) -> Vec<Threads> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| unbounded()).unzip();
    let link = |(rank, receiver)| Threads {
        rank,
        senders: senders.clone(),
        receiver,
        lives: usize::MAX,
        heard: usize::MAX,
        late: Duration::ZERO,
    };
    receivers.into_iter().enumerate().map(link).collect()
}

fn options(range_chunks: u64) -> ranks::Options {
    let mut options = ranks::Options::default();
    options.range_chunks = Some(range_chunks);
    options
}

fn engine<'p, 't>(program: &'p Program) -> Engine<'p, 't> {
    Engine::interpreted(program, Columns::MEMORY)
}

/// Rank 0's result; the other ranks have `others`.
fn check_with_ranks(
    program: &Program,
    trace: &Trace,
    others: &Trace,
    mut links: Vec<Threads>,
    options: &ranks::Options,
) -> Result<Report, RanksError> {
    std::thread::scope(|scope| {
        let mut zero = links.remove(0);
        for mut link in links {
            scope
                .spawn(move || ranks::serve(&mut link, "other", others, &engine(program), options));
        }
        ranks::lead(
            &mut zero,
            "zero",
            trace,
            &engine(program),
            options,
            &mut |_| {},
        )
    })
}

/// Ranks must say the same as one process; whether that accepts the trace as a whole.
#[track_caller]
fn same_verdict(program: &Program, bytes: &[u8], ranks: usize, range_chunks: u64) -> bool {
    let Ok(trace) = Trace::from_bytes(bytes.to_vec()) else {
        return false;
    };
    let alone = check::Options {
        jobs: Some(1),
        ..check::Options::default()
    };
    let alone = check(&trace, program, &alone, &mut |_| {}).map_err(|e| e.to_string());
    let options = options(range_chunks);
    let found = check_with_ranks(program, &trace, &trace, links(ranks), &options);
    let figures = |r: &check::Report| (r.chunks, r.steps, r.log_bytes, r.event_bytes, r.memory);
    let expected = alone.as_ref().map(figures).map_err(String::clone);
    let found = found
        .as_ref()
        .map(|r| figures(&r.check))
        .map_err(|e| e.to_string());
    assert_eq!(found, expected, "{ranks} ranks, {range_chunks} chunks");
    // Without its end a trace is right as far as it goes.
    expected.is_ok() && trace.is_complete()
}

#[test]
fn the_report_is_that_of_one_process() {
    let program = program();
    for chunk_steps in [1, 7, 16, 1000] {
        let bytes = trace_bytes(&program, chunk_steps);
        for ranks in 1..=4 {
            for range_chunks in [1, 2, 3, 100] {
                assert!(same_verdict(&program, &bytes, ranks, range_chunks));
            }
        }
    }
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let trace = Trace::from_bytes(bytes).expect("it is fine");
    let report = check_with_ranks(&program, &trace, &trace, links(3), &options(1));
    let report = report.expect("it is fine");
    assert_eq!(report.hosts, ["zero", "other", "other"]);
    assert_eq!(report.check.workers.len(), 3);
    let steps: u64 = report.check.workers.iter().map(|w| w.steps).sum();
    assert_eq!(steps, trace.total_steps());
}

#[test]
fn flipped_bits_with_checksums_repaired_have_the_same_first_difference() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let mut rejected = 0;
    // Every bit of a byte has its turn.
    for bit in (0..8 * bytes.len()).step_by(11) {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        repair(&mut altered);
        if altered == bytes || Trace::from_bytes(altered.clone()).is_err() {
            continue;
        }
        let accepted = same_verdict(&program, &altered, 1 + bit % 3, 1 + bit as u64 / 3 % 3);
        assert!(!accepted, "bit {} of byte {:#x}", bit % 8, bit / 8);
        rejected += 1;
    }
    assert!(rejected > 1_000, "{rejected}");
}

#[test]
fn flipped_bits_without_repair_have_the_same_first_difference() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    for byte in (0..bytes.len()).step_by(3) {
        let mut altered = bytes.clone();
        altered[byte] ^= 1 << (byte % 8);
        assert!(!same_verdict(&program, &altered, 1 + byte % 3, 2));
    }
}

/// Several wrong chunks: the lowest is named, whoever has it.
#[test]
fn the_lowest_of_several_differences_is_named() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let trace = Trace::from_bytes(bytes.clone()).expect("it is fine");
    let start = |i| trace.chunk(i).expect("a chunk").offset as usize;
    for first in 0..trace.len() {
        let mut altered = bytes.clone();
        for chunk in first..trace.len() {
            // x31 at the start: nothing in the program reads it.
            altered[start(chunk) + offset_of!(ChunkHeader, regs) + 8 * 30] ^= 1 << chunk;
        }
        repair(&mut altered);
        for ranks in 1..=3 {
            assert!(!same_verdict(&program, &altered, ranks, 1));
        }
    }
}

#[test]
fn incomplete_traces_are_checked_as_far_as_they_go() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let mut count = 0;
    for len in (0..bytes.len()).step_by(40) {
        let Ok(trace) = Trace::from_bytes(bytes[..len].to_vec()) else {
            continue;
        };
        assert!(!trace.is_complete());
        same_verdict(&program, &bytes[..len], 3, 1);
        count += 1;
    }
    assert!(count > 20, "{count}");
}

#[test]
fn another_trace_at_another_rank_is_refused() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let trace = Trace::from_bytes(bytes.clone()).expect("it is fine");
    let mut altered = bytes;
    let last = trace.chunk(trace.len() - 1).expect("a chunk").offset as usize;
    altered[last + offset_of!(ChunkHeader, checksum)] ^= 1;
    let others = Trace::from_bytes(altered).expect("its form is fine");
    let found = check_with_ranks(&program, &trace, &others, links(2), &options(1));
    assert!(
        matches!(found, Err(RanksError::Differs { rank: 1, .. })),
        "{found:?}"
    );
    // The same headers, and something else behind them.
    let mut altered = trace_bytes(&program, CHUNK_STEPS);
    altered[last - 8] ^= 1;
    let others = Trace::from_bytes(altered).expect("its form is fine");
    let found = check_with_ranks(&program, &trace, &others, links(2), &options(1000));
    let found = found.map(|_| ()).map_err(|e| e.to_string());
    // Whether it is noticed depends on who has the range.
    assert!(found.is_ok() || found.is_err_and(|e| e.contains("rank 1 rejects")));
}

#[test]
fn a_rank_that_cannot_start_or_is_gone_ends_the_check() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, CHUNK_STEPS)).expect("it is fine");
    let mut all = links(3);
    let mut failed = all.pop().expect("a link");
    std::thread::scope(|scope| {
        scope.spawn(move || ranks::give_up(&mut failed, "two", 5, "no such file", &options(1)));
        let found = check_with_ranks(&program, &trace, &trace, all, &options(1));
        let error = found.expect_err("rank 2 has no file").to_string();
        assert_eq!(error, "rank 2 (two): no such file");
    });
    // Rank 0 itself.
    let mut all = links(2);
    let (mut one, mut zero) = (all.pop().expect("a link"), all.pop().expect("a link"));
    std::thread::scope(|scope| {
        let (program, trace) = (&program, &trace);
        let other = scope
            .spawn(move || ranks::serve(&mut one, "one", trace, &engine(program), &options(1)));
        ranks::give_up(&mut zero, "zero", 5, "unused", &options(1)).expect("the other answers");
        assert!(matches!(other.join(), Ok(Ok(()))), "it is told to stop");
    });
    // After the greeting and a range: it has two from the start.
    let mut all = links(2);
    all[1].lives = 2;
    let found = check_with_ranks(&program, &trace, &trace, all, &options(1));
    let gone = matches!(&found, Err(RanksError::Link(e)) if e.0 == "somebody is gone");
    assert!(gone, "{found:?}");
}

#[test]
fn a_rank_that_says_nothing_ends_the_check() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, CHUNK_STEPS)).expect("it is fine");
    let mut options = options(1);
    options.patience = Some(Duration::from_millis(300));
    // Never, after the greeting, and after the greeting and a range.
    for (heard, with_range) in [(0, false), (1, true), (2, true)] {
        let mut all = links(3);
        all[1].heard = heard;
        let found = check_with_ranks(&program, &trace, &trace, all, &options);
        let Err(RanksError::Stalled { rank: 1, range, .. }) = &found else {
            panic!("{found:?}");
        };
        assert_eq!(range.is_some(), with_range, "{found:?}");
    }
    // Rank 0: the others end by themselves.
    let mut all = links(2);
    let mut one = all.pop().expect("a link");
    let engine = engine(&program);
    let found = ranks::serve(&mut one, "one", &trace, &engine, &options);
    let rank_0 = matches!(found, Err(RanksError::Stalled { rank: 0, .. }));
    assert!(rank_0, "{found:?}");
}

#[test]
fn nobody_is_overdue_while_others_work() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, CHUNK_STEPS)).expect("it is fine");
    let mut options = options(1);
    options.patience = Some(Duration::from_millis(400));
    let mut all = links(3);
    // Rank 2 greets the others late: all of them wait.
    all[2].late = Duration::from_millis(250);
    let found = check_with_ranks(&program, &trace, &trace, all, &options);
    assert!(found.is_ok(), "{found:?}");
}

#[test]
fn messages_of_strangers_are_refused() {
    let program = program();
    let trace = Trace::from_bytes(trace_bytes(&program, CHUNK_STEPS)).expect("it is fine");
    for message in [vec![], vec![9; 8], vec![6, 0, 0, 0, 0, 0, 0, 0]] {
        let mut all = links(2);
        let (mut one, mut zero) = (all.pop().expect("a link"), all.pop().expect("a link"));
        one.send(0, &message).expect("it is there");
        // For the farewell.
        one.send(0, &[6, 0, 0, 0, 0, 0, 0, 0]).expect("it is there");
        let engine = engine(&program);
        let found = ranks::lead(&mut zero, "", &trace, &engine, &options(1), &mut |_| {});
        assert!(
            matches!(found, Err(RanksError::Message { rank: 1, .. })),
            "{found:?}"
        );
    }
}
