//! x86-64 templates: how each RISC-V instruction is done on the host.
//!
//! * [`asm`]: the assembler (iced-x86 behind typed operands);
//! * [`place`]: what each host register holds;
//! * [`block`]: the instructions that are emitted together, and what is known about each value;
//! * [`emit`]: emission of a block, with deferred values;
//! * [`rewrite`]: idioms of several instructions that the host does in one;
//! * `borrow`: registers in memory that borrow a host register for a while;
//! * `local`: long blocks, in which every host register is lent;
//! * `pairs`: two results from one host instruction;
//! * `rows`: witness rows and checked addresses of a replay;
//! * `follow`: loads and stores of a replay that follows memory;
//! * `alu`, `muldiv`, `memory`, `flow`: the templates;
//! * [`stubs`]: entry to and exit from generated code.
#![forbid(unsafe_code)]

mod alu;
pub mod asm;
pub mod block;
mod borrow;
pub mod emit;
mod encode;
mod flow;
mod follow;
mod local;
mod log;
mod memory;
mod muldiv;
mod pairs;
mod parked;
pub mod place;
pub mod rewrite;
mod rows;
mod skip;
pub mod stubs;
mod window;
