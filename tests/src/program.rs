//! A program translated for a register placement of the test's choice.

use crate::elf::Image;
pub use compiler::blocks::Cut;
use compiler::codegen::{self, Code};
pub use compiler::{Columns, Mode};
use compiler::{Options, blocks, code, listing, weights};
use hartlog_elf::Elf;

/// How a program is translated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Fast, trace or replay.
    pub mode: Mode,
    /// Generated code checks that addresses fit 32 bits.
    pub checked: bool,
    /// What a replay writes.
    pub columns: Columns,
    /// Guest registers, the first ones get host registers.
    pub order: Vec<u8>,
    /// Which blocks are emitted in pieces, too.
    pub cut: Cut,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            mode: Mode::Trace,
            checked: false,
            columns: Columns::NONE,
            order: (1..32).collect(),
            cut: Cut::default(),
        }
    }
}

/// A translated program.
#[derive(Debug)]
pub struct Program {
    /// The loaded executable.
    pub elf: Elf,
    /// Its host code.
    pub code: Code,
    /// What it was translated for.
    pub setup: Setup,
}

impl Program {
    /// Translates an executable.
    ///
    /// # Panics
    /// If it cannot be loaded or decoded: the tests that come here make only valid ones.
    pub fn new(image: &Image, setup: Setup) -> Program {
        let elf = match Elf::parse(image.build()) {
            Ok(elf) => elf,
            Err(e) => panic!("the test's executable does not load: {e}"),
        };
        match Program::of(elf, setup) {
            Ok(program) => program,
            Err(e) => panic!("the test's executable does not decode: {e}"),
        }
    }

    /// Translates a loaded executable.
    ///
    /// # Errors
    /// Those of [`compiler::compile`] before there is an object.
    pub fn of(elf: Elf, setup: Setup) -> Result<Program, compiler::Error> {
        let options = Options {
            mode: setup.mode,
            checked_addresses: setup.checked,
            columns: setup.columns,
            cut: setup.cut,
            listing: true,
            ..Options::default()
        };
        let (text, _) = code::decode_text(&elf)?;
        let leaders = compiler::find_leaders(&elf, &text, &options);
        let formed = blocks::form(&text, leaders, &weights::loop_depths(&text));
        let code = codegen::generate(&elf, &text, &formed, &setup.order, &options);
        Ok(Program { elf, code, setup })
    }

    /// Guest instructions with their host code.
    pub fn listing(&self) -> String {
        let mut out = Vec::new();
        match listing::write(&self.elf, &self.code, &mut out) {
            Ok(()) => String::from_utf8_lossy(&out).into_owned(),
            Err(e) => format!("(no listing: {e})"),
        }
    }
}
