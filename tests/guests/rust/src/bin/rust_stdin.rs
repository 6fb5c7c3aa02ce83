//! Reads standard input to its end and prints its digest and its most frequent words.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use sha2::{Digest, Sha256};
use support::println;

support::entry!(run);

fn run(args: support::Args) {
    let top = args.iterations(12) as usize;
    let mut input = Vec::new();
    let mut buffer = [0u8; 997];
    loop {
        match support::read_stdin(&mut buffer) {
            0 => break,
            count => input.extend_from_slice(&buffer[..count]),
        }
    }
    let mut counts = BTreeMap::<&[u8], u64>::new();
    for word in input
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        *counts.entry(word).or_insert(0) += 1;
    }
    let mut sorted: Vec<_> = counts
        .iter()
        .map(|(word, count)| (Reverse(count), word))
        .collect();
    sorted.sort();
    println!(
        "{} bytes, {} words, {} different",
        input.len(),
        counts.values().sum::<u64>(),
        counts.len()
    );
    for (Reverse(count), word) in sorted.iter().take(top) {
        println!("{count:6} {}", word.escape_ascii());
    }
    let digest: [u8; 32] = Sha256::digest(&input).into();
    println!(
        "sha256 {:016x}",
        u64::from_be_bytes(*digest.first_chunk().unwrap_or(&[0; 8]))
    );
}
