//! What becomes of a trace that was altered, with checksums as they were or made to fit: it is
//! refused, or it is what a run writes. The figures are those of docs/trace.md.

use fuzz::alter::{assemble, records, repair};
use fuzz::{rerun, seeds};
use hartlog_format::parse::{ParseError, event_header};
use hartlog_format::trace::{ChunkHeader, FileHeader, end};
use replay::check::{self, CheckError};
use replay::error::DifferenceKind;
use replay::program::Program;
use replay::trace::{Trace, TraceError};
use std::mem::offset_of;
use tests::random::Rng;
use zerocopy::{FromBytes, IntoBytes};

/// What refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Form,
    Checksum,
    OtherElf,
    /// Re-execution: continuity, pc, what is left of log and events, how the run ends.
    Execution,
    Calls,
    Memory,
    Output,
    /// Nothing: there is no footer, or the run that writes it exists.
    Incomplete,
    Nothing,
}

const KINDS: usize = 9;

fn of_trace(error: &TraceError) -> By {
    match error {
        TraceError::Parse(ParseError::Checksum { .. })
        | TraceError::Chunk {
            source: ParseError::Checksum { .. },
            ..
        } => By::Checksum,
        _ => By::Form,
    }
}

fn verdict(program: &Program, bytes: &[u8]) -> By {
    let trace = match Trace::from_bytes(bytes.to_vec()) {
        Ok(trace) => trace,
        Err(error) => return of_trace(&error),
    };
    let options = check::Options {
        jobs: Some(1),
        ..Default::default()
    };
    match check::check(&trace, program, &options, &mut |_| {}) {
        Ok(_) if !trace.is_complete() => By::Incomplete,
        Ok(_) => {
            assert!(
                rerun(program, &trace) == bytes,
                "accepted, but no run writes it"
            );
            By::Nothing
        }
        Err(CheckError::Trace(error)) => of_trace(&error),
        Err(CheckError::OtherElf { .. }) => By::OtherElf,
        Err(CheckError::Header { .. } | CheckError::Argv0) => By::Form,
        Err(CheckError::Output { .. }) => By::Output,
        Err(CheckError::Difference(difference)) => {
            assert!(difference.chunk < trace.len());
            match difference.kind {
                DifferenceKind::Memory { .. } | DifferenceKind::Access { .. } => By::Memory,
                DifferenceKind::EventMissing
                | DifferenceKind::EventStep { .. }
                | DifferenceKind::EventMalformed(_)
                | DifferenceKind::EventsLeft { .. }
                | DifferenceKind::Event { .. } => By::Calls,
                _ => By::Execution,
            }
        }
        Err(error) => panic!("no verdict: {error}"),
    }
}

/// Figures of a kind of alteration.
struct Row {
    name: &'static str,
    count: u64,
    by: [u64; KINDS],
}

/// Altered traces of one kind. Those that are as before are left out.
fn row(
    name: &'static str,
    program: &Program,
    original: &[u8],
    altered: impl Iterator<Item = Vec<u8>>,
) -> Row {
    let (mut count, mut by) = (0, [0; KINDS]);
    for bytes in altered.filter(|b| b != original) {
        count += 1;
        by[verdict(program, &bytes) as usize] += 1;
    }
    Row { name, count, by }
}

fn flip(bytes: &mut [u8], bit: u64) {
    let bit = bit as usize % (8 * bytes.len());
    bytes[bit / 8] ^= 1 << (bit % 8);
}

fn repaired(mut bytes: Vec<u8>) -> Vec<u8> {
    let _ = repair(&mut bytes);
    bytes
}

/// Records with two of them exchanged.
fn swapped(records: &[Vec<u8>], a: usize, b: usize) -> Vec<Vec<u8>> {
    let mut records = records.to_vec();
    records.swap(a, b);
    records
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |a| (a + 1..n).map(move |b| (a, b)))
}

#[test]
fn every_alteration_is_refused_or_another_run() {
    let (program, original) = seeds::traced();
    let foreign: Vec<Vec<u8>> = seeds::trace()[1..3]
        .iter()
        .flat_map(|t| records(&t[1..]))
        .collect();
    let own = records(&original);
    let bits = 8 * original.len() as u64;
    let mut rng = Rng::new(5);
    let (p, o) = (&program, &original[..]);
    let flipped = |bit: u64| {
        let mut bytes = original.clone();
        flip(&mut bytes, bit);
        bytes
    };
    assert_eq!(verdict(p, o), By::Nothing, "as it is");
    assert!(assemble(o, &own) == original, "put together as it was");

    let mut rows = vec![
        row("every bit", p, o, (0..bits).map(flipped)),
        row(
            "every bit, repaired",
            p,
            o,
            (0..bits).map(|b| repaired(flipped(b))),
        ),
        row(
            "every truncation",
            p,
            o,
            (0..original.len()).map(|n| original[..n].to_vec()),
        ),
        row(
            "every truncation, repaired",
            p,
            o,
            (0..original.len()).map(|n| repaired(original[..n].to_vec())),
        ),
    ];
    let two: Vec<_> = (0..20_000)
        .map(|_| (rng.below(bits), rng.below(bits)))
        .collect();
    rows.push(row(
        "20,000 pairs of bits, repaired",
        p,
        o,
        two.iter().map(|(a, b)| {
            let mut bytes = flipped(*a);
            flip(&mut bytes, *b);
            repaired(bytes)
        }),
    ));
    rows.push(row(
        "two chunks exchanged",
        p,
        o,
        pairs(own.len()).map(|(a, b)| assemble(o, &swapped(&own, a, b))),
    ));
    let left_out = |i: usize| {
        let mut records = own.clone();
        records.remove(i);
        assemble(o, &records)
    };
    rows.push(row("a chunk left out", p, o, (0..own.len()).map(left_out)));
    let doubled = |i: usize| {
        let mut records = own.clone();
        records.insert(i, own[i].clone());
        assemble(o, &records)
    };
    rows.push(row("a chunk twice", p, o, (0..own.len()).map(doubled)));
    rows.push(row(
        "a chunk of another run in its place",
        p,
        o,
        (0..own.len() * foreign.len()).map(|i| {
            let mut records = own.clone();
            records[i / foreign.len()] = foreign[i % foreign.len()].clone();
            assemble(o, &records)
        }),
    ));
    // An event of 24 bytes without memory: of a step that is there, and of one that is not.
    let with_event = |i: usize| {
        let mut records = own.clone();
        let record = &mut records[i / 2];
        let (mut chunk, _) = ChunkHeader::read_from_prefix(record).expect("a record");
        let step = chunk.first_step.get() + chunk.steps.get() - 1 + (i % 2) as u64;
        chunk.events_len = (chunk.events_len.get() + 24).into();
        record.extend(event_header(step, 0, 0));
        record[..size_of::<ChunkHeader>()].copy_from_slice(chunk.as_bytes());
        assemble(o, &records)
    };
    rows.push(row(
        "a host event too many",
        p,
        o,
        (0..2 * own.len()).map(with_event),
    ));
    let with_log = |i: usize| {
        let mut records = own.clone();
        let record = &mut records[i];
        let (mut chunk, _) = ChunkHeader::read_from_prefix(record).expect("a record");
        let end = size_of::<ChunkHeader>() + chunk.log_len.get() as usize;
        record.splice(end..end, [0; 8]);
        chunk.log_len = (chunk.log_len.get() + 8).into();
        record[..size_of::<ChunkHeader>()].copy_from_slice(chunk.as_bytes());
        assemble(o, &records)
    };
    rows.push(row(
        "8 bytes of log too many",
        p,
        o,
        (0..own.len()).map(with_log),
    ));
    // Ends that a run does not have: what remains of a chunk says that the limit of steps was
    // reached, after chunks that are full; and after the call that exits.
    let emptied = |i: usize| {
        let mut records = own[..=i].to_vec();
        let (mut chunk, _) = ChunkHeader::read_from_prefix(&records[i]).expect("a record");
        chunk.end_kind = end::STEP_LIMIT.into();
        chunk.end_code = 0.into();
        if i + 1 < own.len() {
            chunk.steps = 0.into();
            chunk.log_len = 0.into();
            chunk.events_len = 0.into();
            chunk.end_pc = chunk.start_pc;
            records[i].clear();
            records[i].extend(chunk.as_bytes());
        } else {
            records[i][..size_of::<ChunkHeader>()].copy_from_slice(chunk.as_bytes());
        }
        assemble(o, &records)
    };
    rows.push(row("another end", p, o, (1..own.len()).map(emptied)));
    let mixed: Vec<_> = (0..5_000)
        .map(|_| {
            let n = own.len() as u64;
            (rng.below(n) as usize, rng.below(n) as usize, rng.next())
        })
        .collect();
    rows.push(row(
        "5,000: two chunks exchanged and a bit, repaired",
        p,
        o,
        mixed.iter().map(|(a, b, bit)| {
            let mut bytes = assemble(o, &swapped(&own, *a, *b));
            flip(&mut bytes, *bit);
            repaired(bytes)
        }),
    ));
    rows.push(row(
        "another version",
        p,
        o,
        (0..32).map(|bit| repaired(flipped(8 * offset_of!(FileHeader, version) as u64 + bit))),
    ));
    let other = Program::new(hartlog_elf::Elf::parse(replay::doc::exit_elf()).expect("a program"));
    rows.push(row(
        "another ELF",
        &other,
        b"",
        std::iter::once(original.clone()),
    ));

    let page = include_str!("../../../docs/trace.md");
    let mut missing = Vec::new();
    for Row { name, count, by } in &rows {
        assert_eq!(by.iter().sum::<u64>(), *count);
        let cells: Vec<String> = by.iter().map(u64::to_string).collect();
        let line = format!("| {name} | {count} | {} |", cells.join(" | "));
        println!("{line}");
        if !page.contains(&line) {
            missing.push(line);
        }
    }
    assert!(
        missing.is_empty(),
        "docs/trace.md lacks\n{}",
        missing.join("\n")
    );
}
