//! Encodings from iced-x86, each asked for once.
//!
//! A translation uses few encodings (a code with its registers and the sizes of its constants),
//! each of them many thousand times. iced-x86 assembles an encoding the first time; after that its
//! bytes are copied and the constants filled in, which takes a tenth of the time.

use crate::asm::{Gpr, Mem};
use iced_x86::{Code, Encoder, IcedError, Instruction, Register};

/// An operand as templates have them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operand {
    Reg(Register),
    Mem(Mem),
    Imm(i64),
}

impl From<Register> for Operand {
    #[inline]
    fn from(r: Register) -> Operand {
        Operand::Reg(r)
    }
}
impl From<Mem> for Operand {
    #[inline]
    fn from(m: Mem) -> Operand {
        Operand::Mem(m)
    }
}
impl From<i64> for Operand {
    #[inline]
    fn from(v: i64) -> Operand {
        Operand::Imm(v)
    }
}
impl From<u32> for Operand {
    #[inline]
    fn from(v: u32) -> Operand {
        Operand::Imm(i64::from(v))
    }
}
impl From<i32> for Operand {
    #[inline]
    fn from(v: i32) -> Operand {
        Operand::Imm(i64::from(v))
    }
}

/// Longest host instruction, rounded up to what is copied at once.
const BYTES: usize = 16;

/// log2 of the number of encodings remembered.
const TABLE_BITS: u32 = 12;

/// Where a constant stands in an encoding.
#[derive(Clone, Copy, Default)]
struct Hole {
    /// Bits of the constant that are encoded; 0: it is fixed.
    bits: u8,
    /// Its first bit in the encoding.
    shift: u8,
}

impl Hole {
    fn new(there: bool, offset: usize, size: usize) -> Hole {
        if !there {
            return Hole::default();
        }
        Hole {
            bits: 8 * size as u8,
            shift: 8 * offset as u8,
        }
    }

    #[inline]
    fn filled(self, value: i64) -> u128 {
        if self.bits == 0 {
            return 0;
        }
        let mask = u64::MAX >> ((64 - u32::from(self.bits)) & 63);
        u128::from(value as u64 & mask) << (self.shift & 127)
    }
}

/// An encoding with holes for its constants.
#[derive(Clone, Copy)]
struct Entry {
    /// Code, registers, shape of the memory operand; 0: none.
    key: u64,
    /// The bytes, the first in the lowest bits of the first word; 0 where a constant goes.
    words: [u64; 2],
    disp: Hole,
    imm: Hole,
    /// Bytes.
    len: u8,
}

/// iced-x86's encoder and what it has encoded already.
pub(crate) struct Encodings {
    encoder: Encoder,
    table: Box<[Entry]>,
}

impl Encodings {
    pub fn new() -> Encodings {
        let empty = Entry {
            key: 0,
            words: [0; 2],
            disp: Hole::default(),
            imm: Hole::default(),
            len: 0,
        };
        Encodings {
            encoder: Encoder::new(64),
            table: vec![empty; 1 << TABLE_BITS].into(),
        }
    }

    /// Appends an instruction. Inlined into each template, where the kinds of operands are known.
    #[inline(always)]
    pub fn append<const N: usize>(
        &mut self,
        out: &mut Vec<u8>,
        code: Code,
        operands: [Operand; N],
    ) {
        // Code 13 bits, three registers of 8, a memory operand of 16: 53 bits. Where immediates
        // stand, and how long they are, follows from the code.
        let mut key = code as u64 + 1;
        let mut registers = 13;
        let (mut disp, mut imm) = (0, 0);
        for operand in &operands {
            match *operand {
                Operand::Reg(r) => {
                    key |= (r as u64) << registers;
                    registers += 8;
                }
                Operand::Mem(m) => {
                    key |= shape(m) << 37;
                    disp = m.disp;
                }
                Operand::Imm(v) => imm = v,
            }
        }
        if !self.append_known(out, key, disp, imm) {
            self.encode(key, code, &operands);
            self.append_known(out, key, disp, imm);
        }
    }

    /// Appends an instruction whose encoding is remembered; else returns false.
    #[inline(never)]
    fn append_known(&self, out: &mut Vec<u8>, key: u64, disp: i32, imm: i64) -> bool {
        let entry = &self.table[slot(key)];
        if entry.key != key {
            return false;
        }
        let [low, high] = entry.words;
        let bits = u128::from(low) | u128::from(high) << 64;
        let bits = bits | entry.disp.filled(i64::from(disp)) | entry.imm.filled(imm);
        let end = out.len() + usize::from(entry.len);
        out.extend_from_slice(&bits.to_le_bytes());
        out.truncate(end);
        true
    }

    #[cold]
    fn encode(&mut self, key: u64, code: Code, operands: &[Operand]) {
        // Operand types rule out every error that iced-x86 can report here.
        let encoded = instruction(code, operands).and_then(|i| {
            // A branch gets its displacement afterwards.
            self.encoder.encode(&i, 0)
        });
        if let Err(e) = encoded {
            unreachable!("template with an encoding that does not exist: {e}");
        }
        let found = self.encoder.take_buffer();
        let offsets = self.encoder.get_constant_offsets();
        let mut bytes = [0; BYTES];
        bytes[..found.len()].copy_from_slice(&found);
        let disp = Hole::new(
            offsets.has_displacement(),
            offsets.displacement_offset(),
            offsets.displacement_size(),
        );
        let imm = Hole::new(
            offsets.has_immediate(),
            offsets.immediate_offset(),
            offsets.immediate_size(),
        );
        let bits = u128::from_le_bytes(bytes) & !(disp.filled(-1) | imm.filled(-1));
        self.table[slot(key)] = Entry {
            key,
            words: [bits as u64, (bits >> 64) as u64],
            disp,
            imm,
            len: found.len() as u8,
        };
    }
}

/// Where the encoding with this key is remembered.
#[inline]
fn slot(key: u64) -> usize {
    (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - TABLE_BITS)) as usize
}

/// What of a memory operand decides its encoding: 16 bits, not 0.
#[inline]
fn shape(m: Mem) -> u64 {
    let register = |r: Option<Gpr>| r.map_or(0, |r| r as u64 + 1);
    let scale = m.index.map_or(0, |(_, s)| u64::from(s.trailing_zeros()));
    let disp = match m.disp {
        0 => 1,
        v if i8::try_from(v).is_ok() => 2,
        _ => 3,
    };
    register(m.base)
        | register(m.index.map(|(r, _)| r)) << 5
        | scale << 10
        | u64::from(m.narrow) << 12
        | disp << 13
}

fn instruction(code: Code, operands: &[Operand]) -> Result<Instruction, IcedError> {
    use Operand::{Imm, Mem as M, Reg};
    type I = Instruction;
    match *operands {
        [] => Ok(I::with(code)),
        [Reg(a)] => I::with1(code, a),
        [M(m)] => I::with1(code, m.operand()),
        // Only branches have a constant alone.
        [Imm(_)] => I::with_branch(code, 0),
        [Reg(a), Reg(b)] => I::with2(code, a, b),
        [Reg(a), M(m)] => I::with2(code, a, m.operand()),
        [M(m), Reg(a)] => I::with2(code, m.operand(), a),
        [Reg(a), Imm(v)] => I::with2(code, a, v),
        [M(m), Imm(v)] => I::with2(code, m.operand(), v as i32),
        [Reg(a), Reg(b), Reg(c)] => I::with3(code, a, b, c),
        [Reg(a), Reg(b), M(m)] => I::with3(code, a, b, m.operand()),
        [Reg(a), M(m), Reg(b)] => I::with3(code, a, m.operand(), b),
        [Reg(a), Reg(b), Imm(v)] => I::with3(code, a, b, v as i32),
        [Reg(a), M(m), Imm(v)] => I::with3(code, a, m.operand(), v as i32),
        _ => unreachable!("no template has these operands: {operands:?}"),
    }
}
