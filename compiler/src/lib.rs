//! Translates a static RV64 ELF executable to one relocatable x86-64 object.
//!
//! The path of an instruction through this crate:
//!
//! 1. [`code`]: the bytes of executable sections are decoded;
//! 2. [`discover`]: where blocks start (branch targets, return sites, symbols, code pointers);
//! 3. [`blocks`]: the straight runs that are emitted together;
//! 4. [`weights`]: which guest registers get a host register;
//! 5. [`codegen`]: blocks through the templates to host code, one definition per guest function;
//! 6. [`object`]: definitions, jump table, descriptor and tables as an ELF object (faerie);
//! 7. [`link`]: the system linker puts object and runtime together.
//!
//! ```no_run
//! let elf = hartlog_elf::Elf::open("prog.elf".as_ref())?;
//! let translation = compiler::compile(&elf, &compiler::Options::default())?;
//! std::fs::write("prog.o", &translation.object)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod blocks;
pub mod code;
pub mod codegen;
pub mod discover;
mod error;
pub mod link;
pub mod listing;
mod loops;
pub mod object;
pub mod regions;
mod relocations;
pub mod weights;

pub use error::Error;

use hartlog_elf::Elf;
pub use hartlog_format::witness::Columns;
use std::time::{Duration, Instant};

/// What the program is translated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// No trace.
    Fast,
    /// Every read is logged and chunks are sealed.
    #[default]
    Trace,
    /// Re-execution of chunks from their logs.
    Replay,
}

/// Options of a translation.
#[derive(Clone, Debug)]
pub struct Options {
    /// With or without trace.
    pub mode: Mode,
    /// Retired instructions in a chunk, 1 to [`hartlog_format::layout::MAX_CHUNK_STEPS`].
    pub chunk_steps: u64,
    /// Generated code checks that guest addresses fit 32 bits.
    pub checked_addresses: bool,
    /// What the code of [`Mode::Replay`] writes.
    pub columns: Columns,
    /// Which blocks are emitted in pieces, too, unless the mode is [`Mode::Fast`].
    pub cut: blocks::Cut,
    /// Keep what [`listing::write`] needs.
    pub listing: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            mode: Mode::Trace,
            chunk_steps: hartlog_format::layout::DEFAULT_CHUNK_STEPS,
            checked_addresses: false,
            columns: Columns::NONE,
            cut: blocks::Cut::default(),
            listing: false,
        }
    }
}

/// A finished translation.
#[derive(Debug)]
pub struct Translation {
    /// The relocatable object.
    pub object: Vec<u8>,
    /// The code by definition, for listings: without its bytes unless [`Options::listing`] was set.
    pub code: codegen::Code,
    /// Figures.
    pub statistics: Statistics,
    /// What is odd about the program without being an error.
    pub warnings: Vec<String>,
}

/// Figures of a translation.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Statistics {
    /// Guest instructions decoded.
    pub instructions: u64,
    /// Bytes of guest text.
    pub text_bytes: u64,
    /// Blocks emitted.
    pub blocks: u64,
    /// Guest instructions emitted, over all blocks.
    pub emitted: u64,
    /// Definitions of host code.
    pub definitions: u64,
    /// Bytes of host code.
    pub code_bytes: u64,
    /// Bytes of the jump table.
    pub table_bytes: u64,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Guest registers with a host register, hottest first.
    pub pinned: Vec<&'static str>,
    /// Microseconds per phase.
    pub microseconds: Phases,
}

/// Microseconds that each phase took.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[allow(missing_docs)]
pub struct Phases {
    pub decode: u64,
    pub discover: u64,
    pub blocks: u64,
    pub codegen: u64,
    pub object: u64,
}

struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap: Duration = now - self.0;
        self.0 = now;
        lap.as_micros() as u64
    }
}

/// The block starts for these options: where rows are written, each step has one.
pub fn find_leaders(elf: &Elf, code: &code::Text, options: &Options) -> discover::Leaders {
    if options.mode == Mode::Replay && options.columns.has_rows() {
        discover::all_leaders(elf, code)
    } else {
        discover::leaders(elf, code)
    }
}

/// Translates a loaded executable.
///
/// # Errors
/// [`Error`] for text that the program cannot have (compressed or floating-point instructions
/// where the ELF rules them out), and when the object cannot be written.
pub fn compile(elf: &Elf, options: &Options) -> Result<Translation, Error> {
    let mut clock = Clock(Instant::now());
    let mut statistics = Statistics::default();
    let mut warnings: Vec<String> = elf.warnings.iter().map(|w| w.to_string()).collect();

    let code = code::decode(elf, &mut warnings)?;
    statistics.instructions = code.instructions.len() as u64;
    statistics.text_bytes = code.text_bytes();
    statistics.microseconds.decode = clock.lap();

    let leaders = find_leaders(elf, &code, options);
    statistics.microseconds.discover = clock.lap();

    let depths = weights::loop_depths(&code);
    let blocks = blocks::form(&code, leaders, &depths);
    let starts: Vec<u64> = elf.symbols.iter().map(|s| s.addr).collect();
    let order = weights::registers(&code, &starts, &depths);
    statistics.microseconds.blocks = clock.lap();

    let mut generated = codegen::generate(elf, &code, &blocks, &order, options);
    statistics.blocks = blocks.len() as u64;
    statistics.emitted = generated.emitted;
    statistics.definitions = generated.definitions.len() as u64;
    statistics.code_bytes = generated
        .definitions
        .iter()
        .map(|d| d.code.len() as u64)
        .sum();
    statistics.table_bytes = generated.table.bytes();
    statistics.pinned = order
        .iter()
        .filter(|r| generated.config.placement.home(**r).is_some())
        .map(|r| hartlog_isa::ABI_NAMES[*r as usize])
        .collect();
    statistics.microseconds.codegen = clock.lap();

    // The object takes their memory.
    drop((blocks, code, depths));
    let object = object::write(elf, &mut generated, options)?;
    statistics.object_bytes = object.len() as u64;
    statistics.microseconds.object = clock.lap();
    Ok(Translation {
        object,
        code: generated,
        statistics,
        warnings,
    })
}
