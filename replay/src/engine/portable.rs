//! In place of compiled code, where there is none: machines other than x86-64 Linux.

use super::shared::Shared;
use super::{CompileError, Odd};
use crate::program::Program;
use crate::witness::{Columns, Consumer};
use hartlog_format::parse::Chunk;
use hartlog_isa::Hart;
use std::convert::Infallible;

pub(super) fn supported() -> Result<(), CompileError> {
    Err(CompileError::Processor("x86-64 Linux"))
}

/// Cannot be made.
pub(super) struct Code(Infallible);

impl Code {
    pub(super) fn new(_: Shared, _: Columns) -> Result<Code, CompileError> {
        supported().and(Err(CompileError::Processor("x86-64 Linux")))
    }
}

pub(crate) fn shared_memory(_: u64) -> std::io::Result<(std::fs::File, memmap2::MmapMut)> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Cannot be made.
pub(super) struct Worker<'c>(&'c Code);

impl<'c> Worker<'c> {
    pub(super) fn new(code: &'c Code) -> std::io::Result<Worker<'c>> {
        Ok(Worker(code))
    }

    pub(super) fn replay<'t, C: Consumer<'t>>(
        &mut self,
        _: &Program,
        _: &Chunk<'t>,
        _: &mut C,
    ) -> Result<Hart, Odd> {
        match self.0.0 {}
    }
}
