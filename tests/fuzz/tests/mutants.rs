//! The fuzz targets on mutants of their seeds. `scripts/fuzz` runs them for longer, and better led.
//!
//! `HARTLOG_CASES` is the number of mutants for each target.

use fuzz::mutate::mutant;
use fuzz::{Verdict, seeds};
use tests::random::{Rng, cases};

/// Runs a target on all seeds and on mutants of them. A failure aborts: the input is printed before
/// by the hook.
fn run(seeds: &[Vec<u8>], default: u64, mut target: impl FnMut(&[u8])) {
    let mut rng = Rng::new(1);
    let mutants = (0..cases(default)).map(|_| mutant(&mut rng, seeds));
    for input in seeds.iter().cloned().chain(mutants) {
        target(&input);
    }
}

#[test]
fn elf_files() {
    run(&seeds::elf(), 4_000, fuzz::elf);
}

/// Runs a target that judges; at least one of so many seeds must be accepted, most others not.
fn judged(seeds: &[Vec<u8>], seeds_for_one: u64, target: impl Fn(&[u8]) -> Verdict) {
    let mut verdicts = [0u64; 3];
    run(seeds, 4_000, |input| {
        verdicts[target(input) as usize] += 1;
    });
    let [rejected, incomplete, runs] = verdicts;
    println!("{rejected} rejected, {incomplete} incomplete, {runs} runs");
    let accepted = seeds.len() as u64 / seeds_for_one;
    assert!(runs >= accepted && rejected > runs && incomplete > 0);
}

#[test]
fn trace_files() {
    judged(&seeds::trace(), 2, fuzz::trace);
}

#[test]
fn compressed_traces() {
    judged(&seeds::compressed(), 4, fuzz::compressed);
}

#[test]
fn a_frame_with_a_wrong_checksum_that_is_no_trace_is_refused() {
    let input = [&[2, b's', 99, 0][..], &[b'n'; 99], b"x\0\0"].concat();
    assert_eq!(fuzz::compressed(&input), Verdict::Rejected);
}

#[test]
fn altered_inputs_are_traces_of_other_runs() {
    let (program, mut bytes) = seeds::traced();
    let at = bytes
        .windows(4)
        .position(|w| w == b"some")
        .expect("the input");
    bytes[at] = b'S';
    let input = [&[1][..], &bytes].concat();
    // Its bytes are read, so the log has them, too: nothing fits.
    assert_eq!(fuzz::trace(&input), Verdict::Rejected);
    let at = bytes
        .windows(3)
        .position(|w| w == b"one")
        .expect("the argument");
    bytes[at] = b'O';
    let input = [&[1][..], &bytes].concat();
    assert_eq!(
        fuzz::trace(&input),
        Verdict::Rejected,
        "and so is the input"
    );
    let (_, mut bytes) = seeds::traced();
    bytes[at] = b'O';
    let input = [&[1][..], &bytes].concat();
    // Nobody looks at the argument.
    assert_eq!(fuzz::trace(&input), Verdict::Run);
    drop(program);
}

#[test]
fn rings() {
    run(&seeds::ring(), 4_000, fuzz::ring);
}

#[test]
fn configurations() {
    run(&seeds::config(), 20_000, fuzz::config);
}
