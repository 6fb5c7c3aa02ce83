//! What is fuzzed: each function takes bytes that may come from anywhere and panics if what is
//! promised for all of them does not hold.
//!
//! * [`elf()`]: an ELF is loaded, translated, interpreted, and its code run beside the interpreter;
//! * [`trace()`]: a trace is opened and checked; what is accepted is what a run writes;
//! * [`compressed()`]: the same for files that are put together from frames and damage;
//! * [`ring()`]: a ring of a live run is opened, and chunks are taken from it;
//! * [`config()`]: variables of the environment and command lines are read.
//!
//! `scripts/fuzz` runs them under libFuzzer (`tests/fuzz/libfuzzer`), which is led by the branches
//! that inputs take. `tests/fuzz/tests/mutants.rs` runs them on mutants of the [`seeds`].

pub mod alter;
mod compressed;
mod config;
mod elf;
pub mod mutate;
mod ring;
pub mod seeds;
mod trace;

pub use compressed::{compressed, part};
pub use config::config;
pub use elf::elf;
pub use ring::ring;
pub use trace::{Verdict, rerun, trace};
