//! `--emit asm`: each guest instruction with its symbol, and under it its host instructions.

use crate::codegen::Code;
use hartlog_elf::Elf;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use std::io::{self, Write};

/// Writes the listing. The translation must have been made with `Options::listing`.
///
/// # Errors
/// What `out` reports.
pub fn write(elf: &Elf, code: &Code, out: &mut impl Write) -> io::Result<()> {
    let mut formatter = IntelFormatter::new();
    let mut text = String::new();
    for definition in &code.definitions {
        writeln!(out, "{}:", definition.name)?;
        for (i, (start, pc)) in definition.marks.iter().enumerate() {
            let end = definition
                .marks
                .get(i + 1)
                .map_or(definition.code.len() as u32, |m| m.0);
            let location = elf.locate(*pc).to_string();
            match elf.code_at(*pc).map(hartlog_isa::decode_at) {
                Some(Ok(inst)) => writeln!(out, "  {location}: {inst}")?,
                _ => writeln!(out, "  {location}: (no instruction)")?,
            }
            let bytes = &definition.code[*start as usize..end as usize];
            for instruction in Decoder::with_ip(64, bytes, u64::from(*start), DecoderOptions::NONE)
            {
                text.clear();
                formatter.format(&instruction, &mut text);
                writeln!(out, "    {:6x}  {text}", instruction.ip())?;
            }
        }
    }
    Ok(())
}
