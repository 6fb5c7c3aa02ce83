//! What the tests share: programs made in memory, generated code run in this process, and the
//! interpreter it is compared with.
//!
//! * [`elf`]: ELF files from parts;
//! * [`guests`]: guest programs, translated and linked;
//! * [`program`]: a translated program;
//! * [`reference`](mod@reference): the interpreter, with the memory that both sides have;
//! * [`native`]: generated code, run without linker and runtime;
//! * [`lockstep`]: both, chunk by chunk;
//! * [`random`]: boundary-biased values;
//! * [`sample`]: random programs.

#![deny(unsafe_op_in_unsafe_fn)]

pub mod elf;
pub mod guests;
pub mod image;
pub mod lockstep;
pub mod native;
pub mod program;
pub mod random;
pub mod reference;
pub mod sample;
