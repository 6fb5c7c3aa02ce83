//! The trace reader on files that no run has written.

use crate::{addi, bytes, call, ecall, in_child, is_child, load, lui, peak_memory, program, reg};
use hartlog_format::trace::{CHUNK_MAGIC, checksum, checksum_after, pad8};
use hartlog_isa::{Inst, Op};
use replay::program::Program;
use replay::trace::Trace;
use std::ops::Range;
use std::time::Duration;
use tests::elf::{PF_R, PF_W, Segment};
use tests::guests::interpret;
use tests::random::Rng;

/// Sizes and offsets of docs/trace.md.
mod format {
    pub const FILE_HEADER: usize = 120;
    pub const ARGS_LEN: usize = 80;
    pub const CHUNK_HEADER: usize = 344;
    pub const LOG_LEN: usize = 320;
    pub const EVENTS_LEN: usize = 328;
    pub const CHUNK_CHECKSUM: usize = 336;
    pub const TAIL: usize = 24;
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

fn set(bytes: &mut [u8], at: usize, value: u64) -> Option<()> {
    bytes
        .get_mut(at..at.checked_add(8)?)?
        .copy_from_slice(&value.to_le_bytes());
    Some(())
}

/// The part of a file of this length, if it is whole.
fn part(start: usize, len: u64, bytes: &[u8]) -> Option<Range<usize>> {
    let range = start..start.checked_add(usize::try_from(len).ok()?)?;
    bytes.get(range.clone())?;
    Some(range)
}

/// Makes the checksums right, as far as the structure can be followed.
fn repair(bytes: &mut [u8]) -> Option<()> {
    let args_len = word(bytes, format::ARGS_LEN)?;
    let args = part(format::FILE_HEADER, args_len, bytes)?;
    let seed = checksum_after(checksum(&bytes[..format::FILE_HEADER]), &bytes[args]);
    let mut at = part(format::FILE_HEADER, pad8(args_len), bytes)?.end;
    set(bytes, at, seed)?;
    at += 8;
    while bytes.get(at..at + 4) == Some(&CHUNK_MAGIC) {
        let header = part(at, format::CHUNK_HEADER as u64, bytes)?;
        let log_len = word(bytes, at + format::LOG_LEN)?;
        let log = part(header.end, log_len, bytes)?;
        let padded = part(header.end, pad8(log_len), bytes)?;
        let events = part(padded.end, word(bytes, at + format::EVENTS_LEN)?, bytes)?;
        let sum = checksum(&bytes[at..at + format::CHUNK_CHECKSUM]);
        let sum = checksum_after(checksum_after(sum, &bytes[log]), &bytes[events.clone()]);
        set(bytes, at + format::CHUNK_CHECKSUM, sum)?;
        at = events.end;
    }
    let tail = bytes.len().checked_sub(format::TAIL)?;
    let sum = checksum_after(seed, bytes.get(at..tail)?);
    set(bytes, tail, sum)
}

/// Standard input of the program.
const INPUT: &[u8] = b"some bytes of the input";

/// Stores, loads, reads input, writes output: all that a trace has.
fn small() -> (Program, Vec<u8>) {
    use reg::*;
    const DATA: u64 = 0x1000_0000;
    let mut code = vec![
        lui(S0, DATA as i32),
        addi(A1, S0, 0),
        addi(A2, ZERO, 24),
        addi(A0, ZERO, 0),
    ];
    ecall(&mut code, call::READ);
    for i in 0..12 {
        let (load, store) = (
            Inst::new(Op::Ld, T0, S0, 0, 8 * i),
            Inst::new(Op::Sd, 0, S0, T0, 8 * i + 8),
        );
        code.extend([
            load,
            addi(T0, T0, 1),
            store,
            Inst::new(Op::Lb, T1, S0, 0, i),
        ]);
    }
    code.push(addi(A0, ZERO, 1));
    ecall(&mut code, call::WRITE);
    code.push(addi(A0, ZERO, 0));
    ecall(&mut code, call::EXIT);
    let data = Segment {
        mem_size: 4096,
        ..Segment::new(DATA, vec![1], PF_R | PF_W)
    };
    let program = Program::new(load(&program(bytes(&code), &[data])));
    let trace = interpret(&program, &[], INPUT.to_vec(), 16).trace;
    (program, trace)
}

/// Opens and checks. Returns whether the trace was accepted.
fn accepted(program: &Program, bytes: Vec<u8>) -> bool {
    let options = replay::check::Options {
        jobs: Some(1),
        ..Default::default()
    };
    Trace::from_bytes(bytes).is_ok_and(|trace| {
        let _ = (trace.header().is_ok(), trace.footer().is_ok());
        for i in 0..trace.len() {
            let _ = trace.chunk(i).map(|chunk| chunk.verify());
        }
        replay::check::check(&trace, program, &options, &mut |_| {}).is_ok() && trace.is_complete()
    })
}

/// Memory that the reader may take in addition, for files of a few kilobytes. The threads of a
/// check and their queues are in it.
const MEMORY: u64 = 16 << 20;

/// Every word of a trace replaced by extreme values, then random damage in several places; with
/// and without checksums that fit.
fn feed_reader() {
    let (program, trace) = small();
    assert!(accepted(&program, trace.clone()), "the trace as it is");
    let mut whole = trace.clone();
    repair(&mut whole).expect("it is whole");
    assert!(whole == trace, "repairing what is whole changes nothing");
    let before = peak_memory();

    let start = trace
        .windows(INPUT.len())
        .position(|w| w == INPUT)
        .expect("the input is an event");
    // A word that begins before it reaches into it.
    let input = start - 7..start + INPUT.len();
    let len = trace.len() as u64;
    let extreme = [
        0,
        1,
        7,
        len - 1,
        len,
        len + 1,
        1 << 31,
        u64::from(u32::MAX),
        1 << 32,
        1 << 40,
        1 << 63,
        u64::MAX - 7,
        u64::MAX,
    ];
    let mut tried = 0;
    for at in (0..trace.len() - 8).step_by(4) {
        for value in extreme {
            for (width, repaired) in [(4, true), (8, true), (8, false)] {
                let mut altered = trace.clone();
                altered[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
                if repaired {
                    let _ = repair(&mut altered);
                }
                let same = altered == trace;
                // With checksums that fit, it can be the trace of a run with another input.
                let fine = same || repaired && input.contains(&at);
                let passes = accepted(&program, altered);
                assert!(fine || !passes, "{value:#x} in {width} bytes at {at:#x}");
                tried += 1;
            }
        }
    }
    let mut rng = Rng::new(1);
    for _ in 0..5000 {
        let mut altered = trace.clone();
        for _ in 0..1 + rng.below(4) {
            let at = rng.below(altered.len() as u64 - 8) as usize;
            match rng.below(4) {
                0 => altered.truncate(at + 9),
                1 => altered[at] = rng.value() as u8,
                2 => set(&mut altered, at & !7, rng.value()).expect("inside"),
                _ => {
                    let from = rng.below(altered.len() as u64 - 8) as usize;
                    let end = altered.len().min(from + rng.below(400) as usize);
                    let copy = altered[from..end].to_vec();
                    altered.splice(at..at, copy);
                }
            }
        }
        let _ = repair(&mut altered);
        accepted(&program, altered);
        tried += 1;
    }
    // Nothing but noise.
    for len in 0..2000 {
        let noise = (0..len).map(|_| rng.value() as u8).collect();
        assert!(!accepted(&program, noise));
        tried += 1;
    }
    println!("measured {tried} {}", peak_memory() - before);
}

#[test]
fn the_reader_ends_with_an_error_in_little_memory() {
    if is_child() {
        return feed_reader();
    }
    let output = in_child(
        "reader::the_reader_ends_with_an_error_in_little_memory",
        Duration::from_secs(60),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    let measured = said
        .lines()
        .find_map(|l| l.split("measured ").nth(1))
        .expect("the figures");
    println!("files and bytes: {measured}");
    let (tried, grown) = measured.split_once(' ').expect("two figures");
    assert!(
        tried.parse::<u64>().expect("a number") > 10_000,
        "{measured}"
    );
    assert!(
        grown.parse::<u64>().expect("a number") < MEMORY,
        "bytes: {measured}"
    );
}
