//! The documentation page of the instruction set.

use core::fmt::{self, Write};

use crate::table::ROWS;
use crate::{Effect, Format, Width};

/// Fixed bits of a row as text: `0`, `1`, and `-` for operand bits, with the fields' borders.
struct Encoding {
    match_bits: u32,
    mask: u32,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bit in (0..32).rev() {
            f.write_char(match (self.mask >> bit & 1, self.match_bits >> bit & 1) {
                (0, _) => '-',
                (_, 0) => '0',
                _ => '1',
            })?;
            if matches!(bit, 25 | 20 | 15 | 12 | 7) {
                f.write_char(' ')?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Effect::None => f.write_str("none"),
            Effect::Read(width) => write!(f, "read {width}"),
            Effect::Write(width) => write!(f, "write {width}"),
            Effect::ReadWrite(width) => write!(f, "read and write {width}"),
            Effect::Reserve(width) => write!(f, "read {width}, reserve"),
            Effect::CondStore(width) => write!(f, "conditional write {width}"),
        }
    }
}

/// The access size in bytes.
impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bytes())
    }
}

/// The assembly syntax of a format's operands.
fn syntax(format: Format) -> &'static str {
    match format {
        Format::R => "rd,rs1,rs2",
        Format::Unary => "rd,rs1",
        Format::I => "rd,rs1,imm",
        Format::Shift | Format::ShiftW => "rd,rs1,shamt",
        Format::Load | Format::Jalr => "rd,imm(rs1)",
        Format::Store => "rs2,imm(rs1)",
        Format::Branch => "rs1,rs2,offset",
        Format::U => "rd,imm",
        Format::J => "rd,offset",
        Format::Csr => "rd,csr,rs1",
        Format::CsrImm => "rd,csr,zimm",
        Format::Amo => "rd,rs2,(rs1)",
        Format::Lr => "rd,(rs1)",
        Format::Fence => "pred,succ",
        Format::FenceI | Format::System => "",
    }
}

/// Writes the instruction set as a Markdown page (`docs/isa.md` in the repository; a test keeps
/// the two equal).
pub fn write_isa_page(out: &mut impl Write) -> fmt::Result {
    out.write_str(INTRODUCTION)?;
    writeln!(
        out,
        "| Instruction | Operands | Extension | Format | Encoding | Trace effect |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    for row in &ROWS {
        let encoding = Encoding {
            match_bits: row.match_bits,
            mask: row.mask,
        };
        writeln!(
            out,
            "| `{}` | {} | {:?} | {:?} | `{encoding}` | {} |",
            row.mnemonic,
            syntax(row.format),
            row.extension,
            row.format,
            row.effect,
        )?;
    }
    Ok(())
}

const INTRODUCTION: &str = "\
# The instruction set

RV64I with M, A, C, Zicsr, Zifencei, Zba, Zbb and Zbs. This page is printed from the ISA table by
`cargo run -p hartlog-isa --example isa_page`; a test compares the two.

Compressed (C) instructions are not listed: each decodes as the 32-bit instruction that it expands
to, HINTs included. Floating-point encodings, reserved ones and every other extension are decoding
errors. A trap leaves the hart unchanged, retires no instruction and logs nothing.

- **Encoding**: bits 31 to 0; `-` is an operand bit, spaces are the borders of the R format's fields.
- **Trace effect**: sizes are in bytes. Each *read* appends the value that was read to the chunk's
  read log, at its size, little-endian. Writes are recomputed in replay and log nothing.
- **Loads and stores** may be misaligned; atomics may not (misaligned-atomic trap).
- **Atomics**: `lr` reserves its address. `sc` succeeds if a reservation is held for exactly its
  address; every `sc` ends the reservation and nothing else does. `aq` and `rl` change nothing, as
  there is one hart.
- **CSRs**: `cycle`, `time` and `instret` (0xc00 to 0xc02) read as the number of instructions
  retired before this one. Writing them, or naming any other CSR, is an illegal instruction.
- **Fences** do nothing.

";
