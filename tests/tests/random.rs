//! Random programs: generated code against the interpreter, after every chunk: registers, pc,
//! reservation, steps, read log, memory.
//!
//! `HARTLOG_CASES` is the number of programs (default 3,000), other ones each time; `HARTLOG_START`
//! is where their seeds start, for the same ones again; `HARTLOG_SEED` is a program to run alone.

use hartlog_isa::Hart;
use quickcheck::{Arbitrary, Gen, QuickCheck, Testable};
use std::fmt;
use tests::lockstep::{Native, compare};
use tests::program::Mode;
use tests::random::{Rng, cases, number};
use tests::sample::Sample;

/// Steps after which a program is cut off.
const LIMIT: u64 = 600;
/// How many more starts a program gets, and for how many steps each.
const STARTS: u64 = 12;
const SHORT: u64 = 64;

/// Modes, and whether addresses are checked. Every program takes the first and one other.
const MODES: [(Mode, bool); 4] = [
    (Mode::Trace, false),
    (Mode::Fast, false),
    (Mode::Replay, false),
    (Mode::Trace, true),
];

/// Printed as it is.
struct Failure(String);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

/// Everything about one program.
fn equal(sample: &Sample) -> Result<(), Failure> {
    let image = sample.image();
    let memory = Sample::memory(&image);
    let mut rng = Rng::new(sample.seed ^ 1);
    let mixed: Vec<u64> = (0..16).map(|_| 1 + rng.below(40)).collect();
    let start = sample.hart();
    // Much of a random program is not reached from its start: begin elsewhere, too.
    let addresses = sample.assemble().addresses;
    let starts: Vec<Hart> = (0..STARTS)
        .map(|_| {
            let mut hart = start.clone();
            hart.pc = rng.pick(&addresses);
            for x in &mut hart.x[10..18] {
                *x = rng.value();
            }
            hart
        })
        .collect();
    for (mode, checked) in [MODES[0], MODES[1 + rng.below(3) as usize]] {
        let program = sample.translate(&image, mode, checked);
        let mut native = Native::new(&program, &memory, 1 << 18);
        let mut check = |start: &Hart, budgets: &[u64], limit: u64| {
            compare(&mut native, &memory, start, budgets, limit).map_err(|difference| {
                let listing = program.listing();
                Failure(format!(
                    "{mode:?}, checked {checked}, chunks of {budgets:?}: {difference}{listing}"
                ))
            })
        };
        for budgets in [&[1][..], &[1 << 18], &mixed, &[2 + rng.below(7)], &[100]] {
            check(&start, budgets, LIMIT)?;
        }
        for start in &starts {
            check(start, &[SHORT], SHORT)?;
        }
    }
    Ok(())
}

fn quickcheck(test: impl Testable) {
    QuickCheck::new()
        .rng(Gen::new(60))
        .tests(cases(3000))
        .max_tests(u64::MAX)
        .quickcheck(test);
}

#[test]
fn random_programs_run_as_interpreted() {
    if let Some(seed) = number("HARTLOG_SEED", 16) {
        let size = number("HARTLOG_SIZE", 10).unwrap_or(30) as usize;
        if let Err(failure) = minimal(Sample::new(seed, size), &equal) {
            panic!("{failure:?}");
        }
        return;
    }
    let Some(start) = number("HARTLOG_START", 10) else {
        quickcheck(equal_sample as fn(Sample) -> Result<(), Failure>);
        return;
    };
    let cases = cases(3000);
    let mut rng = Rng::new(start);
    for _ in 0..cases {
        let sample = Sample::new(rng.next(), 1 + rng.below(60) as usize);
        if let Err(failure) = minimal(sample, &equal) {
            panic!("{failure:?}");
        }
    }
    println!("{cases} programs from {start}: 0 differences");
}

fn equal_sample(sample: Sample) -> Result<(), Failure> {
    equal(&sample)
}

/// The smallest failing sample that shrinking finds, with its failure.
fn minimal(sample: Sample, test: &dyn Fn(&Sample) -> Result<(), Failure>) -> Result<(), Failure> {
    let Err(mut failure) = test(&sample) else {
        return Ok(());
    };
    let mut smallest = sample;
    while let Some((sample, found)) = smallest
        .shrink()
        .find_map(|s| test(&s).err().map(|f| (s, f)))
    {
        (smallest, failure) = (sample, found);
    }
    Err(Failure(format!("{smallest:?}{}", failure.0)))
}
