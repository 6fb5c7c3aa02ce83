//! The RISC-V instruction set as this project knows it: one table ([`table`]), and from it the
//! decoder, encoder, compressed forms, disassembler, semantics and documentation page.
//!
//! The crate has no dependencies, no allocation and no `unsafe`; it runs in the runtime of a
//! translated program as well as in host tools. Chapter numbers refer to the RISC-V unprivileged
//! specification, version 20240411.

#![no_std]
#![forbid(unsafe_code)]

mod compressed;
mod decode;
mod disasm;
mod encode;
mod inst;
mod kinds;
mod page;
mod run;
mod semantics;
pub mod table;

pub use compressed::compress;
pub use decode::{DecodeError, decode, decode_at};
pub use inst::{Flow, Inst};
pub use kinds::{Effect, Extension, Format, Width};
pub use page::write_isa_page;
pub use run::{Slot, Stop, predecode, run};
pub use semantics::{Hart, NO_RESERVATION, Outcome, Port, Step, Trap, execute, step};
pub use table::Op;

/// ABI names of x0..x31 (RISC-V psABI, integer register convention).
pub const ABI_NAMES: [&str; 32] = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
];

/// CSR number of the `cycle` counter (Zicntr); reads the number of steps retired before it.
pub const CSR_CYCLE: u16 = 0xc00;
/// CSR number of the `time` counter (Zicntr); same value as [`CSR_CYCLE`].
pub const CSR_TIME: u16 = 0xc01;
/// CSR number of the `instret` counter (Zicntr); same value as [`CSR_CYCLE`].
pub const CSR_INSTRET: u16 = 0xc02;
