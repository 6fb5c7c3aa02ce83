//! From [`Inst`] to the 32-bit form.

use crate::decode::operands;
use crate::{Format, Inst, Op};

/// Fixed bits of `op` with the operand fields of `format` filled in.
fn assemble(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> u32 {
    let rd = u32::from(rd & 31) << 7;
    let rs1 = u32::from(rs1 & 31) << 15;
    let rs2 = u32::from(rs2 & 31) << 20;
    let imm = imm as u32;
    let upper = imm << 20;
    let fields = match op.format() {
        Format::R | Format::Amo => rd | rs1 | rs2,
        Format::Unary | Format::Lr => rd | rs1,
        Format::I | Format::Load | Format::Jalr | Format::Csr | Format::CsrImm => rd | rs1 | upper,
        Format::Shift => rd | rs1 | (imm & 0x3f) << 20,
        Format::ShiftW => rd | rs1 | (imm & 0x1f) << 20,
        Format::Store => rs1 | rs2 | (imm >> 5 & 0x7f) << 25 | (imm & 0x1f) << 7,
        Format::Branch => {
            rs1 | rs2
                | (imm >> 12 & 1) << 31
                | (imm >> 5 & 0x3f) << 25
                | (imm >> 1 & 0xf) << 8
                | (imm >> 11 & 1) << 7
        }
        Format::U => rd | imm & 0xffff_f000,
        Format::J => {
            rd | (imm >> 20 & 1) << 31
                | (imm >> 1 & 0x3ff) << 21
                | (imm >> 11 & 1) << 20
                | imm & 0xf_f000
        }
        Format::Fence | Format::FenceI => upper,
        Format::System => 0,
    };
    op.row().match_bits | fields
}

/// Bits of the word that no operand field covers and that do not select the instruction.
const fn carried_bits(format: Format) -> u32 {
    match format {
        Format::Amo | Format::Lr => 3 << 25,
        Format::Fence | Format::FenceI => 0x1f << 15 | 0x1f << 7,
        _ => 0,
    }
}

/// See [`Inst::new`].
pub(crate) fn canonical(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Inst {
    operands(op.row(), assemble(op, rd, rs1, rs2, imm))
}

impl Inst {
    /// The 32-bit form. Operands come from the fields (each cut to the bits it has); aq, rl and
    /// the reserved bits of fences come from `raw`, so encoding a decoded word gives it back.
    pub fn encode(&self) -> u32 {
        let carried = if self.len == 4 {
            self.raw & carried_bits(self.op.format())
        } else {
            0
        };
        assemble(self.op, self.rd, self.rs1, self.rs2, self.imm) | carried
    }
}
