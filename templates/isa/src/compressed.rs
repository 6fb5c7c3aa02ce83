//! RV64C without floating point: expansion to base instructions, and the way back
//! (chapter 26, "C" extension; encodings in tables 35 to 37 there).

use crate::{DecodeError, Inst, Op};

/// Return address register, the implicit destination of `c.jalr`.
const RA: u8 = 1;
/// Stack pointer, the implicit operand of the `*sp` forms.
const SP: u8 = 2;

/// Places bits `high..=low` of `half` at `to` (and up).
const fn bits(half: u16, high: u32, low: u32, to: u32) -> i32 {
    ((half as u32 >> low & ((2 << (high - low)) - 1)) << to) as i32
}

/// Sign-extends the low `width` bits.
const fn sign_extend(value: i32, width: u32) -> i32 {
    value << (32 - width) >> (32 - width)
}

/// CI format: imm\[5\] in bit 12, imm\[4:0\] in bits 6:2.
const fn imm6(half: u16) -> i32 {
    sign_extend(bits(half, 12, 12, 5) | bits(half, 6, 2, 0), 6)
}

/// The same field as a shift amount.
const fn shamt6(half: u16) -> i32 {
    bits(half, 12, 12, 5) | bits(half, 6, 2, 0)
}

/// `c.addi4spn`: nzuimm\[5:4|9:6|2|3\] in bits 12:5.
const fn imm_addi4spn(half: u16) -> i32 {
    bits(half, 12, 11, 4) | bits(half, 10, 7, 6) | bits(half, 6, 6, 2) | bits(half, 5, 5, 3)
}

/// `c.addi16sp`: nzimm\[9\] in bit 12, nzimm\[4|6|8:7|5\] in bits 6:2.
const fn imm_addi16sp(half: u16) -> i32 {
    let imm = bits(half, 12, 12, 9)
        | bits(half, 6, 6, 4)
        | bits(half, 5, 5, 6)
        | bits(half, 4, 3, 7)
        | bits(half, 2, 2, 5);
    sign_extend(imm, 10)
}

/// CL/CS format, words: uimm\[5:3\] in bits 12:10, uimm\[2|6\] in bits 6:5.
const fn offset_w(half: u16) -> i32 {
    bits(half, 12, 10, 3) | bits(half, 6, 6, 2) | bits(half, 5, 5, 6)
}

/// CL/CS format, doublewords: uimm\[5:3\] in bits 12:10, uimm\[7:6\] in bits 6:5.
const fn offset_d(half: u16) -> i32 {
    bits(half, 12, 10, 3) | bits(half, 6, 5, 6)
}

/// `c.lwsp`: uimm\[5\] in bit 12, uimm\[4:2|7:6\] in bits 6:2.
const fn offset_lwsp(half: u16) -> i32 {
    bits(half, 12, 12, 5) | bits(half, 6, 4, 2) | bits(half, 3, 2, 6)
}

/// `c.ldsp`: uimm\[5\] in bit 12, uimm\[4:3|8:6\] in bits 6:2.
const fn offset_ldsp(half: u16) -> i32 {
    bits(half, 12, 12, 5) | bits(half, 6, 5, 3) | bits(half, 4, 2, 6)
}

/// `c.swsp`: uimm\[5:2|7:6\] in bits 12:7.
const fn offset_swsp(half: u16) -> i32 {
    bits(half, 12, 9, 2) | bits(half, 8, 7, 6)
}

/// `c.sdsp`: uimm\[5:3|8:6\] in bits 12:7.
const fn offset_sdsp(half: u16) -> i32 {
    bits(half, 12, 10, 3) | bits(half, 9, 7, 6)
}

/// CJ format: offset\[11|4|9:8|10|6|7|3:1|5\] in bits 12:2.
const fn offset_jump(half: u16) -> i32 {
    let offset = bits(half, 12, 12, 11)
        | bits(half, 11, 11, 4)
        | bits(half, 10, 9, 8)
        | bits(half, 8, 8, 10)
        | bits(half, 7, 7, 6)
        | bits(half, 6, 6, 7)
        | bits(half, 5, 3, 1)
        | bits(half, 2, 2, 5);
    sign_extend(offset, 12)
}

/// CB format: offset\[8|4:3\] in bits 12:10, offset\[7:6|2:1|5\] in bits 6:2.
const fn offset_branch(half: u16) -> i32 {
    let offset = bits(half, 12, 12, 8)
        | bits(half, 11, 10, 3)
        | bits(half, 6, 5, 6)
        | bits(half, 4, 3, 1)
        | bits(half, 2, 2, 5);
    sign_extend(offset, 9)
}

/// Decodes a halfword whose low two bits are not 11. HINTs give their base expansion.
pub(crate) fn expand(half: u16) -> Result<Inst, DecodeError> {
    let raw = u32::from(half);
    let illegal = Err(DecodeError::Illegal { raw });
    let inst = |op, rd, rs1, rs2, imm| {
        Ok(Inst {
            op,
            rd,
            rs1,
            rs2,
            len: 2,
            imm,
            raw,
        })
    };
    // Full register fields, and the three-bit ones (x8..x15).
    let rd = bits(half, 11, 7, 0) as u8;
    let rs2 = bits(half, 6, 2, 0) as u8;
    let rd_high = 8 + bits(half, 9, 7, 0) as u8;
    let rs2_low = 8 + bits(half, 4, 2, 0) as u8;

    match (half & 3, half >> 13) {
        // Quadrant 0. The all-zero halfword is c.addi4spn with the reserved immediate 0.
        (0, 0b000) => match imm_addi4spn(half) {
            0 => illegal,
            imm => inst(Op::Addi, rs2_low, SP, 0, imm),
        },
        (0, 0b010) => inst(Op::Lw, rs2_low, rd_high, 0, offset_w(half)),
        (0, 0b011) => inst(Op::Ld, rs2_low, rd_high, 0, offset_d(half)),
        (0, 0b110) => inst(Op::Sw, 0, rd_high, rs2_low, offset_w(half)),
        (0, 0b111) => inst(Op::Sd, 0, rd_high, rs2_low, offset_d(half)),
        (0, 0b001 | 0b101) => Err(DecodeError::FloatingPoint),

        // Quadrant 1.
        (1, 0b000) => inst(Op::Addi, rd, rd, 0, imm6(half)),
        (1, 0b001) if rd == 0 => illegal,
        (1, 0b001) => inst(Op::Addiw, rd, rd, 0, imm6(half)),
        (1, 0b010) => inst(Op::Addi, rd, 0, 0, imm6(half)),
        (1, 0b011) if imm6(half) == 0 => illegal,
        (1, 0b011) if rd == SP => inst(Op::Addi, SP, SP, 0, imm_addi16sp(half)),
        (1, 0b011) => inst(Op::Lui, rd, 0, 0, imm6(half) << 12),
        (1, 0b100) => match bits(half, 11, 10, 0) {
            0b00 => inst(Op::Srli, rd_high, rd_high, 0, shamt6(half)),
            0b01 => inst(Op::Srai, rd_high, rd_high, 0, shamt6(half)),
            0b10 => inst(Op::Andi, rd_high, rd_high, 0, imm6(half)),
            _ => match register_op(bits(half, 12, 12, 2) | bits(half, 6, 5, 0)) {
                Some(op) => inst(op, rd_high, rd_high, rs2_low, 0),
                None => illegal,
            },
        },
        (1, 0b101) => inst(Op::Jal, 0, 0, 0, offset_jump(half)),
        (1, 0b110) => inst(Op::Beq, 0, rd_high, 0, offset_branch(half)),
        (1, 0b111) => inst(Op::Bne, 0, rd_high, 0, offset_branch(half)),

        // Quadrant 2.
        (2, 0b000) => inst(Op::Slli, rd, rd, 0, shamt6(half)),
        (2, 0b010 | 0b011) if rd == 0 => illegal,
        (2, 0b010) => inst(Op::Lw, rd, SP, 0, offset_lwsp(half)),
        (2, 0b011) => inst(Op::Ld, rd, SP, 0, offset_ldsp(half)),
        (2, 0b100) => match (bits(half, 12, 12, 0), rd, rs2) {
            (0, 0, 0) => illegal,
            (0, _, 0) => inst(Op::Jalr, 0, rd, 0, 0),
            (0, _, _) => inst(Op::Add, rd, 0, rs2, 0),
            (_, 0, 0) => inst(Op::Ebreak, 0, 0, 0, 0),
            (_, _, 0) => inst(Op::Jalr, RA, rd, 0, 0),
            (_, _, _) => inst(Op::Add, rd, rd, rs2, 0),
        },
        (2, 0b110) => inst(Op::Sw, 0, SP, rs2, offset_swsp(half)),
        (2, 0b111) => inst(Op::Sd, 0, SP, rs2, offset_sdsp(half)),
        (2, 0b001 | 0b101) => Err(DecodeError::FloatingPoint),

        _ => illegal,
    }
}

/// CA format: bit 12 and bits 6:5.
const fn register_op(selector: i32) -> Option<Op> {
    match selector {
        0b000 => Some(Op::Sub),
        0b001 => Some(Op::Xor),
        0b010 => Some(Op::Or),
        0b011 => Some(Op::And),
        0b100 => Some(Op::Subw),
        0b101 => Some(Op::Addw),
        _ => None,
    }
}

/// Inverse of [`register_op`].
const fn register_selector(op: Op) -> Option<u16> {
    match op {
        Op::Sub => Some(0b000),
        Op::Xor => Some(0b001),
        Op::Or => Some(0b010),
        Op::And => Some(0b011),
        Op::Subw => Some(0b100),
        Op::Addw => Some(0b101),
        _ => None,
    }
}

/// Moves bits `high..=low` of an immediate to `to` (and up) of a halfword.
const fn field(imm: i32, high: u32, low: u32, to: u32) -> u16 {
    ((imm as u32 >> low & ((2 << (high - low)) - 1)) << to) as u16
}

/// A full register field at bit `to`.
const fn reg(register: u8, to: u32) -> u16 {
    (register as u16) << to
}

/// A three-bit register field at bit `to`; the caller has checked [`is_low`].
const fn low(register: u8, to: u32) -> u16 {
    ((register & 7) as u16) << to
}

/// True for x8..x15, the registers that a three-bit field can name.
const fn is_low(register: u8) -> bool {
    matches!(register, 8..=15)
}

/// True if `imm` is a multiple of `step` in 0..=`max`.
fn is_offset(imm: i32, step: i32, max: i32) -> bool {
    (0..=max).contains(&imm) && imm % step == 0
}

/// True if `imm` fits in `width` bits with sign.
const fn is_signed(imm: i32, width: u32) -> bool {
    sign_extend(imm, width) == imm
}

/// The 16-bit form that decodes to the same operation and operands, if there is one. HINT
/// encodings count as forms. Reads `op` and the operand fields, each cut to the bits that its 32-bit
/// field has; `len` and `raw` are ignored.
pub fn compress(inst: &Inst) -> Option<u16> {
    let Inst {
        rd, rs1, rs2, imm, ..
    } = Inst::new(inst.op, inst.rd, inst.rs1, inst.rs2, inst.imm);
    let ci_imm = field(imm, 5, 5, 12) | field(imm, 4, 0, 2);
    match inst.op {
        Op::Addi if is_signed(imm, 6) && rd == rs1 => Some(0x0001 | reg(rd, 7) | ci_imm),
        Op::Addi if is_signed(imm, 6) && rs1 == 0 => Some(0x4001 | reg(rd, 7) | ci_imm),
        Op::Addi if rd == SP && rs1 == SP && is_signed(imm, 10) && imm % 16 == 0 && imm != 0 => {
            let high = field(imm, 9, 9, 12) | field(imm, 4, 4, 6) | field(imm, 6, 6, 5);
            Some(0x6101 | high | field(imm, 8, 7, 3) | field(imm, 5, 5, 2))
        }
        Op::Addi if is_low(rd) && rs1 == SP && is_offset(imm, 4, 1020) && imm != 0 => {
            let high = field(imm, 5, 4, 11) | field(imm, 9, 6, 7);
            Some(high | field(imm, 2, 2, 6) | field(imm, 3, 3, 5) | low(rd, 2))
        }
        Op::Addiw if is_signed(imm, 6) && rd == rs1 && rd != 0 => {
            Some(0x2001 | reg(rd, 7) | ci_imm)
        }
        Op::Lui if rd != SP && is_signed(imm, 18) && imm & 0xfff == 0 && imm != 0 => {
            Some(0x6001 | reg(rd, 7) | field(imm, 17, 17, 12) | field(imm, 16, 12, 2))
        }
        Op::Slli if rd == rs1 => Some(0x0002 | reg(rd, 7) | ci_imm),
        Op::Srli if rd == rs1 && is_low(rd) => Some(0x8001 | low(rd, 7) | ci_imm),
        Op::Srai if rd == rs1 && is_low(rd) => Some(0x8401 | low(rd, 7) | ci_imm),
        Op::Andi if rd == rs1 && is_low(rd) && is_signed(imm, 6) => {
            Some(0x8801 | low(rd, 7) | ci_imm)
        }
        Op::Add if rs2 != 0 && rs1 == 0 => Some(0x8002 | reg(rd, 7) | reg(rs2, 2)),
        Op::Add if rs2 != 0 && rs1 == rd => Some(0x9002 | reg(rd, 7) | reg(rs2, 2)),
        Op::Sub | Op::Xor | Op::Or | Op::And | Op::Subw | Op::Addw
            if rd == rs1 && is_low(rd) && is_low(rs2) =>
        {
            let selector = register_selector(inst.op)?;
            Some(0x8c01 | (selector >> 2) << 12 | (selector & 3) << 5 | low(rd, 7) | low(rs2, 2))
        }

        Op::Lw if rs1 == SP && rd != 0 && is_offset(imm, 4, 252) => {
            let offset = field(imm, 5, 5, 12) | field(imm, 4, 2, 4) | field(imm, 7, 6, 2);
            Some(0x4002 | reg(rd, 7) | offset)
        }
        Op::Ld if rs1 == SP && rd != 0 && is_offset(imm, 8, 504) => {
            let offset = field(imm, 5, 5, 12) | field(imm, 4, 3, 5) | field(imm, 8, 6, 2);
            Some(0x6002 | reg(rd, 7) | offset)
        }
        Op::Sw if rs1 == SP && is_offset(imm, 4, 252) => {
            Some(0xc002 | field(imm, 5, 2, 9) | field(imm, 7, 6, 7) | reg(rs2, 2))
        }
        Op::Sd if rs1 == SP && is_offset(imm, 8, 504) => {
            Some(0xe002 | field(imm, 5, 3, 10) | field(imm, 8, 6, 7) | reg(rs2, 2))
        }
        Op::Lw if is_low(rs1) && is_low(rd) && is_offset(imm, 4, 124) => {
            Some(0x4000 | word_offset(imm) | low(rs1, 7) | low(rd, 2))
        }
        Op::Sw if is_low(rs1) && is_low(rs2) && is_offset(imm, 4, 124) => {
            Some(0xc000 | word_offset(imm) | low(rs1, 7) | low(rs2, 2))
        }
        Op::Ld if is_low(rs1) && is_low(rd) && is_offset(imm, 8, 248) => {
            Some(0x6000 | doubleword_offset(imm) | low(rs1, 7) | low(rd, 2))
        }
        Op::Sd if is_low(rs1) && is_low(rs2) && is_offset(imm, 8, 248) => {
            Some(0xe000 | doubleword_offset(imm) | low(rs1, 7) | low(rs2, 2))
        }

        Op::Jal if rd == 0 && is_signed(imm, 12) && imm % 2 == 0 => {
            let high = field(imm, 11, 11, 12) | field(imm, 4, 4, 11) | field(imm, 9, 8, 9);
            let middle = field(imm, 10, 10, 8) | field(imm, 6, 6, 7) | field(imm, 7, 7, 6);
            Some(0xa001 | high | middle | field(imm, 3, 1, 3) | field(imm, 5, 5, 2))
        }
        Op::Jalr if rd == 0 && rs1 != 0 && imm == 0 => Some(0x8002 | reg(rs1, 7)),
        Op::Jalr if rd == RA && rs1 != 0 && imm == 0 => Some(0x9002 | reg(rs1, 7)),
        Op::Beq | Op::Bne if rs2 == 0 && is_low(rs1) && is_signed(imm, 9) && imm % 2 == 0 => {
            let base = if inst.op == Op::Beq { 0xc001 } else { 0xe001 };
            let high = field(imm, 8, 8, 12) | field(imm, 4, 3, 10) | field(imm, 7, 6, 5);
            Some(base | high | field(imm, 2, 1, 3) | field(imm, 5, 5, 2) | low(rs1, 7))
        }
        Op::Ebreak => Some(0x9002),
        _ => None,
    }
}

/// CL/CS offset of a word, inverse of [`offset_w`].
const fn word_offset(imm: i32) -> u16 {
    field(imm, 5, 3, 10) | field(imm, 2, 2, 6) | field(imm, 6, 6, 5)
}

/// CL/CS offset of a doubleword, inverse of [`offset_d`].
const fn doubleword_offset(imm: i32) -> u16 {
    field(imm, 5, 3, 10) | field(imm, 7, 6, 5)
}
