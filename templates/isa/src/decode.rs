//! From instruction bits to [`Inst`].

use core::fmt;

use crate::table::{ROWS, ROWS_CONST, Row};
use crate::{Format, Inst, Op, compressed};

/// Why bits are not an instruction.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Fewer bytes than the instruction is long.
    Truncated,
    /// An encoding of the floating-point extensions, which are not supported.
    FloatingPoint,
    /// Reserved, or of an extension that is not supported.
    Illegal {
        /// The instruction word; the halfword if its low two bits are not 11.
        raw: u32,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DecodeError::Truncated => f.write_str("truncated instruction"),
            DecodeError::FloatingPoint => f.write_str("floating-point instruction"),
            DecodeError::Illegal { raw } if raw & 3 == 3 => {
                write!(f, "illegal instruction 0x{raw:08x}")
            }
            DecodeError::Illegal { raw } => write!(f, "illegal instruction 0x{raw:04x}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Decodes the instruction in the low bits of `raw`: 16 bits if the low two are not 11, otherwise
/// 32 (chapter 1.5).
#[inline]
pub fn decode(raw: u32) -> Result<Inst, DecodeError> {
    if raw & 3 == 3 {
        decode_word(raw)
    } else {
        compressed::expand(raw as u16)
    }
}

/// Decodes the instruction at the start of `bytes`, which may be longer.
#[inline]
pub fn decode_at(bytes: &[u8]) -> Result<Inst, DecodeError> {
    match *bytes {
        [b0, b1, b2, b3, ..] => decode(u32::from_le_bytes([b0, b1, b2, b3])),
        [b0, b1, ..] if b0 & 3 != 3 => decode(u32::from(u16::from_le_bytes([b0, b1]))),
        _ => Err(DecodeError::Truncated),
    }
}

const NONE: u8 = u8::MAX;

/// Index of the table by opcode\[6:2\], funct3 and the upper five bits: the first row whose fixed
/// bits agree with these. Almost every entry is decided by one look-up and one compare.
static FIRST: [u8; 1 << 13] = index().0;

/// Rows that agree in the bits of [`FIRST`] but differ in others (`add` and `mul`; `clz`, `ctz`,
/// `cpop`, ...) are chained: the next row to try.
static NEXT: [u8; Op::COUNT] = index().1;

const fn slot(raw: u32) -> usize {
    ((raw >> 2 & 0x1f) << 8 | (raw >> 12 & 7) << 5 | raw >> 27) as usize
}

const fn index() -> ([u8; 1 << 13], [u8; Op::COUNT]) {
    assert!(Op::COUNT < NONE as usize);
    const SLOT_BITS: u32 = 0xf800_707c;
    let mut first = [NONE; 1 << 13];
    let mut next = [NONE; Op::COUNT];
    let mut i = 0;
    while i < Op::COUNT {
        let row = &ROWS_CONST[i];
        assert!(row.match_bits & !row.mask == 0);
        assert!(row.match_bits & 3 == 3);
        // Every combination of the slot bits that the row leaves free.
        let free = SLOT_BITS & !row.mask;
        let mut subset = 0;
        loop {
            let entry = &mut first[slot(row.match_bits | subset)];
            if *entry == NONE {
                *entry = i as u8;
            } else {
                // A chain belongs to one slot, since rows that share a slot leave none of its
                // bits free.
                assert!(free == 0);
                let mut tail = *entry as usize;
                assert!(ROWS_CONST[tail].mask & SLOT_BITS == SLOT_BITS);
                while next[tail] != NONE {
                    tail = next[tail] as usize;
                }
                next[tail] = i as u8;
            }
            subset = (subset.wrapping_sub(free)) & free;
            if subset == 0 {
                break;
            }
        }
        i += 1;
    }
    (first, next)
}

#[inline]
fn decode_word(raw: u32) -> Result<Inst, DecodeError> {
    let mut candidate = FIRST[slot(raw)];
    while let Some(row) = ROWS.get(usize::from(candidate)) {
        if raw & row.mask == row.match_bits {
            return Ok(operands(row, raw));
        }
        candidate = NEXT[usize::from(candidate)];
    }
    Err(undefined(raw))
}

/// Which error a word that is in no row gives.
#[cold]
fn undefined(raw: u32) -> DecodeError {
    // Major opcodes, chapter 34 (RV32/64G opcode map). Loads and stores of other funct3 values
    // belong to the vector extension.
    match (raw & 0x7f, raw >> 12 & 7) {
        (0x07 | 0x27, 1..=4) | (0x43 | 0x47 | 0x4b | 0x4f | 0x53, _) => DecodeError::FloatingPoint,
        _ => DecodeError::Illegal { raw },
    }
}

/// The instruction of `row` with the operands that `raw` holds.
#[inline]
pub(crate) fn operands(row: &Row, raw: u32) -> Inst {
    let rd = (raw >> 7 & 0x1f) as u8;
    let rs1 = (raw >> 15 & 0x1f) as u8;
    let rs2 = (raw >> 20 & 0x1f) as u8;
    let upper = (raw as i32) >> 20;
    let inst = |rd, rs1, rs2, imm| Inst {
        op: row.op,
        rd,
        rs1,
        rs2,
        len: 4,
        imm,
        raw,
    };
    match row.format {
        Format::R | Format::Amo => inst(rd, rs1, rs2, 0),
        Format::Unary | Format::Lr => inst(rd, rs1, 0, 0),
        Format::I | Format::Load | Format::Jalr => inst(rd, rs1, 0, upper),
        Format::Shift => inst(rd, rs1, 0, upper & 0x3f),
        Format::ShiftW => inst(rd, rs1, 0, upper & 0x1f),
        Format::Store => inst(0, rs1, rs2, upper & !0x1f | i32::from(rd)),
        Format::Branch => inst(0, rs1, rs2, branch_offset(raw)),
        Format::U => inst(rd, 0, 0, (raw & 0xffff_f000) as i32),
        Format::J => inst(rd, 0, 0, jal_offset(raw)),
        Format::Csr | Format::CsrImm => inst(rd, rs1, 0, upper & 0xfff),
        Format::Fence | Format::FenceI => inst(0, 0, 0, upper & 0xfff),
        Format::System => inst(0, 0, 0, 0),
    }
}

/// imm\[12|10:5\] in bits 31:25, imm\[4:1|11\] in bits 11:7 (chapter 2.3).
fn branch_offset(raw: u32) -> i32 {
    let sign = (raw as i32 >> 31) << 12;
    sign | ((raw >> 7 & 1) << 11 | (raw >> 25 & 0x3f) << 5 | (raw >> 8 & 0xf) << 1) as i32
}

/// imm\[20|10:1|11|19:12\] in bits 31:12 (chapter 2.3).
fn jal_offset(raw: u32) -> i32 {
    let sign = (raw as i32 >> 31) << 20;
    sign | (raw & 0xf_f000 | (raw >> 20 & 1) << 11 | (raw >> 21 & 0x3ff) << 1) as i32
}
