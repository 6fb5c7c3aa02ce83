//! The one owner of everything that two parts of Hartlog must agree on:
//!
//! * [`layout`]: where guest and host live in the address space;
//! * [`contract`]: what generated code and the runtime share (state block, program descriptor,
//!   fault sites, reasons for leaving generated code);
//! * [`trace`]: the byte layout of a trace, its checksums, and a validating parser;
//! * [`ring`]: the ring of chunk slots, its layout and its protocol;
//! * [`status`]: exit statuses and fault kinds.
//!
//! Nothing outside this crate repeats one of its numbers: assembly takes `offset_of!` constants.
#![no_std]
#![forbid(unsafe_code)]

pub mod contract;
pub mod layout;
pub mod parse;
pub mod ring;
pub mod status;
pub mod trace;
pub mod witness;
