//! `--emit asm`: each guest instruction with its symbol, and under it its host instructions.

use crate::codegen::Code;
use hartlog_elf::Elf;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use std::collections::HashMap;
use std::io::{self, Write};
use templates::emit::{Dest, Stub};

/// Writes the listing. The translation must have been made with `Options::listing`.
///
/// # Errors
/// What `out` reports.
pub fn write(elf: &Elf, code: &Code, out: &mut impl Write) -> io::Result<()> {
    let mut formatter = IntelFormatter::new();
    let mut text = String::new();
    for definition in &code.definitions {
        writeln!(out, "{}:", definition.name)?;
        let open: HashMap<u64, Dest> = definition
            .jumps
            .iter()
            .map(|jump| (u64::from(jump.end), jump.dest))
            .collect();
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
                match open.get(&instruction.next_ip()) {
                    // The linker fills in its displacement.
                    Some(dest) => {
                        let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
                        text = format!("{mnemonic} {}", name(code, *dest));
                    }
                    None => formatter.format(&instruction, &mut text),
                }
                writeln!(out, "    {:6x}  {text}", instruction.ip())?;
            }
        }
    }
    Ok(())
}

/// Symbol and offset that a jump out of its definition goes to.
fn name(code: &Code, dest: Dest) -> String {
    match dest {
        Dest::Stub(Stub::ChunkEnd) => "stub chunk_end".to_owned(),
        Dest::Stub(Stub::Jump) => "stub jump".to_owned(),
        Dest::Stub(Stub::Far) => "stub far".to_owned(),
        Dest::Stub(Stub::Ecall) => "stub ecall".to_owned(),
        dest => match code.resolve(dest) {
            Some((definition, offset)) => format!("{}+{offset:x}h", definition.name),
            None => format!("{dest:x?}"),
        },
    }
}
