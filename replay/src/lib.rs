//! Re-executes and checks the minimal traces of RISC-V programs.
//!
//! A chunk of a trace is self-contained: with the ELF alone it is re-executed without memory, in
//! any order, on any machine.
//!
//! * [`trace::Trace`] opens a trace and finds its chunks;
//! * [`chunk::replay`] re-executes one and hands each step to a [`chunk::Consumer`];
//!   [`chunk::execute`] does it without rows, several times as fast;
//! * [`witness`] has the rows in columns and in batches, for any number of threads
//!   ([`drive::run`]);
//! * `tables` (a feature, on by default) writes them to Arrow and Parquet files;
//! * [`check::check`] re-executes all of them in parallel and follows memory in order;
//! * [`ranks`] does it with several processes, on one machine or many;
//! * [`interp::Interpreter`] is the reference: it runs a program and writes the trace.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use replay::{chunk, interp, io, program::Program, trace::Trace};
//!
//! struct Loads(u64);
//! impl chunk::Consumer for Loads {
//!     fn row(&mut self, row: &chunk::Row<'_>) {
//!         self.0 += u64::from(row.access.is_some_and(|a| a.read.is_some()));
//!     }
//! }
//!
//! # let bytes = replay::doc::exit_elf();
//! let program = Program::new(hartlog_elf::Elf::parse(bytes)?);
//! let mut file = Vec::new();
//! interp::Interpreter::new(&program, interp::Options::default())?
//!     .run_traced(&mut io::Buffers::default(), &mut file)?;
//!
//! let trace = Trace::from_bytes(file)?;
//! let mut loads = Loads(0);
//! for i in 0..trace.len() {
//!     chunk::replay(&program, &trace.chunk(i)?, &mut loads)?;
//! }
//! assert_eq!(loads.0, 0);
//! # Ok(())
//! # }
//! ```

// Their types are in signatures here.
pub use hartlog_elf as elf;
pub use hartlog_format as format;
pub use hartlog_isa as isa;

pub mod audit;
pub mod check;
pub mod chunk;
mod compressed;
#[doc(hidden)]
pub mod doc;
pub mod drive;
pub mod engine;
pub mod error;
pub mod fault;
pub mod interp;
pub mod io;
#[cfg(target_os = "linux")]
pub mod live;
pub mod mapping;
pub mod memory;
pub mod program;
pub mod ranks;
mod rows;
pub mod shadow;
#[cfg(feature = "tables")]
pub mod tables;
pub mod trace;
pub mod witness;
pub mod write;
