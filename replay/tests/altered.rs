//! A trace in which anything was altered is rejected: by its form, by its checksums, and where
//! whoever altered it has repaired them, by re-execution, continuity and memory.

mod common;

use common::{check_bytes, program, repair, trace_bytes};
use hartlog_format::trace::{ChunkHeader, FileHeader};
use replay::trace::Trace;
use std::mem::offset_of;

const CHUNK_STEPS: u64 = 16;

#[test]
fn the_unaltered_trace_is_accepted() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    check_bytes(&program, bytes.clone()).expect("it is fine");
    let mut repaired = bytes.clone();
    repair(&mut repaired);
    assert_eq!(repaired, bytes, "repairing what is whole changes nothing");
}

#[test]
fn every_truncation_is_rejected() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    for len in 0..bytes.len() {
        let result = check_bytes(&program, bytes[..len].to_vec());
        assert!(result.is_err(), "{len} of {} bytes", bytes.len());
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(check_bytes(&program, longer).is_err(), "a byte too many");
}

#[test]
fn every_flipped_bit_is_rejected() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    for bit in 0..8 * bytes.len() {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let result = check_bytes(&program, altered);
        assert!(result.is_err(), "bit {} of byte {:#x}", bit % 8, bit / 8);
    }
}

#[test]
fn every_flipped_bit_is_rejected_with_checksums_repaired() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let mut undone = 0;
    for bit in 0..8 * bytes.len() {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        repair(&mut altered);
        if altered == bytes {
            // The bit was one of a checksum.
            undone += 1;
            continue;
        }
        let result = check_bytes(&program, altered);
        assert!(result.is_err(), "bit {} of byte {:#x}", bit % 8, bit / 8);
    }
    // One checksum for the header, one for the footer, one for each chunk.
    let chunks = Trace::from_bytes(bytes).expect("it is fine").len();
    assert_eq!(undone, 64 * (chunks + 2));
}

/// Start and end of each chunk record.
fn chunks(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let trace = Trace::from_bytes(bytes.to_vec()).expect("it is fine");
    (0..trace.len())
        .map(|i| {
            let chunk = trace.chunk(i).expect("it is there");
            chunk.offset as usize..chunk.end as usize
        })
        .collect()
}

fn set(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn swapped_chunks_are_rejected() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let list = chunks(&bytes);
    for a in 0..list.len() {
        for b in a + 1..list.len() {
            let mut altered = bytes[..list[a].start].to_vec();
            altered.extend_from_slice(&bytes[list[b].clone()]);
            altered.extend_from_slice(&bytes[list[a].end..list[b].start]);
            altered.extend_from_slice(&bytes[list[a].clone()]);
            altered.extend_from_slice(&bytes[list[b].end..]);
            for renumber in [false, true] {
                let mut altered = altered.clone();
                if renumber {
                    renumber_chunks(&mut altered, list[0].start, list.len());
                }
                repair(&mut altered);
                assert!(check_bytes(&program, altered).is_err(), "{a} and {b}");
            }
        }
    }
}

/// Gives the chunk records from `at` on ascending numbers and steps.
fn renumber_chunks(bytes: &mut [u8], mut at: usize, count: usize) {
    for index in 0..count as u64 {
        set(bytes, at + offset_of!(ChunkHeader, index), index);
        let first = at + offset_of!(ChunkHeader, first_step);
        set(bytes, first, index * CHUNK_STEPS);
        at = common::chunk_end(bytes, at).expect("a whole record");
    }
}

#[test]
fn dropped_and_duplicated_chunks_are_rejected() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let list = chunks(&bytes);
    for (i, chunk) in list.iter().enumerate() {
        let mut dropped = bytes[..chunk.start].to_vec();
        dropped.extend_from_slice(&bytes[chunk.end..]);
        let mut doubled = bytes[..chunk.end].to_vec();
        doubled.extend_from_slice(&bytes[chunk.start..]);
        for (mut altered, count) in [(dropped, list.len() - 1), (doubled, list.len() + 1)] {
            renumber_chunks(&mut altered, list[0].start, count);
            common::rebuild_footer(&mut altered, list[0].start, count);
            repair(&mut altered);
            assert!(check_bytes(&program, altered).is_err(), "chunk {i}");
        }
    }
}

#[test]
fn a_foreign_elf_and_another_version_are_rejected() {
    let program = program();
    let bytes = trace_bytes(&program, CHUNK_STEPS);
    let other = common::other_program();
    let error = check_bytes(&other, bytes.clone()).expect_err("another ELF");
    assert!(error.contains("another ELF"), "{error}");
    let mut old = bytes;
    old[offset_of!(FileHeader, version)] ^= 1;
    repair(&mut old);
    let error = check_bytes(&program, old).expect_err("another version");
    assert!(error.contains("version"), "{error}");
}

#[test]
fn errors_name_chunk_step_symbol_register_and_values() {
    let program = program();
    let mut bytes = trace_bytes(&program, CHUNK_STEPS);
    let second = chunks(&bytes)[1].start;
    let a0 = second + offset_of!(ChunkHeader, regs) + 8 * 9;
    set(&mut bytes, a0, 0x1234);
    repair(&mut bytes);
    let error = check_bytes(&program, bytes).expect_err("a register differs");
    assert!(error.starts_with("chunk 0, step 16, pc 0x1"), "{error}");
    assert!(error.contains("x10 (a0) is 0x"), "{error}");
    assert!(error.contains("0x1234"), "{error}");
}

#[test]
fn a_value_that_was_never_written_is_named() {
    let program = program();
    let mut bytes = trace_bytes(&program, CHUNK_STEPS);
    let list = chunks(&bytes);
    // The first value that the first chunk reads is what it has just stored; alter it there, where
    // only the order of memory accesses tells, and everything that depends on it stays as it was.
    let log = list[0].start + size_of::<ChunkHeader>();
    bytes[log] ^= 1;
    repair(&mut bytes);
    let error = check_bytes(&program, bytes).expect_err("it was not written");
    assert!(error.contains("was read from 0x11000"), "{error}");
}

/// A trace of the program with this much memory, and what it had from the start.
fn limited(memory: impl Fn(u64) -> u64) -> (Vec<u8>, u64) {
    let program = program();
    let mapped = replay::interp::Interpreter::new(&program, Default::default())
        .expect("it loads")
        .abi()
        .mapped();
    let options = replay::interp::Options {
        chunk_steps: CHUNK_STEPS,
        memory_limit: Some(memory(mapped)),
        ..Default::default()
    };
    let mut bytes = Vec::new();
    let end = replay::interp::Interpreter::new(&program, options)
        .and_then(|mut i| i.run_traced(&mut replay::io::Buffers::default(), &mut bytes))
        .expect("it runs");
    assert_eq!(end, replay::interp::End::MemoryLimit(memory(mapped)));
    (bytes, mapped)
}

#[test]
fn a_memory_limit_that_is_not_reached_is_rejected() {
    let program = program();
    // In front of the call that asks for a page; at the very start.
    for (at_start, memory) in [(false, 0), (true, 1)] {
        let (mut bytes, mapped) = limited(|mapped| mapped - memory);
        let last = chunks(&bytes).last().expect("a chunk").start;
        let field = last + offset_of!(ChunkHeader, end_value);
        assert_eq!(bytes[field..][..8], (mapped - memory).to_le_bytes());
        for limit in [
            0,
            1,
            mapped - 1,
            mapped,
            mapped + 4095,
            mapped + 4096,
            u64::MAX,
        ] {
            bytes[field..][..8].copy_from_slice(&limit.to_le_bytes());
            repair(&mut bytes).expect("it is whole");
            let result = check_bytes(&program, bytes.clone());
            // Less than what the guest had from the start would have ended the run there.
            let right = if at_start {
                limit < mapped
            } else {
                (mapped..mapped + 4096).contains(&limit)
            };
            assert_eq!(
                result.is_ok(),
                right,
                "{limit:#x} of {mapped:#x}: {result:?}"
            );
            if let Err(error) = result {
                assert!(error.contains("bytes of memory are wanted"), "{error}");
            }
        }
    }
}

#[test]
fn every_flipped_bit_of_a_run_that_ended_at_its_memory_limit_is_rejected() {
    let program = program();
    let (bytes, mapped) = limited(|mapped| mapped);
    let last = chunks(&bytes).last().expect("a chunk").start;
    let field = last + offset_of!(ChunkHeader, end_value);
    let mut equivalent = 0;
    for bit in 0..8 * bytes.len() {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        repair(&mut altered);
        if altered == bytes || check_bytes(&program, altered.clone()).is_err() {
            continue;
        }
        // Another limit that gives the same run.
        assert!(
            (field..field + 8).contains(&(bit / 8)),
            "byte {:#x}",
            bit / 8
        );
        let limit = u64::from_le_bytes(altered[field..][..8].try_into().expect("8 bytes"));
        assert!((mapped..mapped + 4096).contains(&limit), "{limit:#x}");
        equivalent += 1;
    }
    assert_eq!(equivalent, 12, "the bits below a page");
}
