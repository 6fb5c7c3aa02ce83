//! Encodings from iced-x86, each asked for once.
//!
//! A translation uses few encodings (a code with its registers and the sizes of its constants),
//! each of them many thousand times. iced-x86 assembles an encoding the first time; after that its
//! bytes are copied and the constants written over them, which takes a tenth of the time.

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

/// log2 of the number of encodings remembered.
const TABLE_BITS: u32 = 14;
const TABLE: usize = 1 << TABLE_BITS;

/// Bytes of an encoding that are copied at once: the longest host instruction has 15.
const BYTES: usize = 16;

/// Bytes that writing an instruction may touch: where it has no constant, that goes behind the
/// bytes that are copied.
const ROOM: usize = BYTES + 8;

/// Code as it grows. An instruction is written in one piece, whatever its length, if there is room
/// for that behind the code.
#[derive(Default)]
pub(crate) struct Buffer {
    /// The code, and room.
    bytes: Vec<u8>,
    len: usize,
}

impl Buffer {
    /// Bytes of code.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The code.
    pub fn code(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }

    /// Starts anew; the memory stays.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends an encoding with its constants, if there is room; else returns false.
    #[inline]
    fn append(&mut self, entry: &Entry, disp: i32, imm: i64) -> bool {
        let room = self.bytes.get_mut(self.len..);
        let Some(room) = room.and_then(|r| r.first_chunk_mut::<ROOM>()) else {
            return false;
        };
        room[..BYTES].copy_from_slice(&entry.bytes);
        // Constants are little-endian and the last in an encoding: what a shorter one has too many
        // is overwritten by what follows.
        let place = |at: u8| usize::from(at).min(BYTES);
        room[place(entry.disp)..][..4].copy_from_slice(&disp.to_le_bytes());
        room[place(entry.imm)..][..8].copy_from_slice(&imm.to_le_bytes());
        self.len += usize::from(entry.len);
        true
    }

    /// Makes room for an instruction.
    fn make_room(&mut self) {
        if self.bytes.len() < self.len + ROOM {
            self.bytes.resize(2 * self.bytes.len() + 4096, 0);
        }
    }
}

/// An encoding without its constants.
#[derive(Clone, Copy)]
struct Entry {
    /// Code, registers, shape of the memory operand; 0: none.
    key: u64,
    bytes: [u8; BYTES],
    /// Where the displacement and the immediate go: [`BYTES`] if there is none.
    disp: u8,
    imm: u8,
    /// Bytes.
    len: u8,
    keeps_flags: bool,
}

/// What the template of an instruction and its operands decide of an encoding, and the constants.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub key: u64,
    pub disp: i32,
    pub imm: i64,
}

impl Wanted {
    /// Inlined into each template, where the kinds of operands are known.
    #[inline(always)]
    pub fn new<const N: usize>(code: Code, operands: &[Operand; N]) -> Wanted {
        // Code 13 bits, three registers of 8, a memory operand of 16: 53 bits. Where immediates
        // stand, and how long they are, follows from the code.
        let mut key = code as u64 + 1;
        let mut registers = 13;
        let (mut disp, mut imm) = (0, 0);
        for operand in operands {
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
        Wanted { key, disp, imm }
    }
}

/// iced-x86's encoder and what it has encoded already.
pub(crate) struct Encodings {
    encoder: Encoder,
    table: Box<[Entry; TABLE]>,
}

impl Encodings {
    pub fn new() -> Encodings {
        let empty = Entry {
            key: 0,
            bytes: [0; BYTES],
            disp: 0,
            imm: 0,
            len: 0,
            keeps_flags: false,
        };
        Encodings {
            encoder: Encoder::new(64),
            table: vec![empty; TABLE]
                .try_into()
                .unwrap_or_else(|_| unreachable!()),
        }
    }

    /// Appends an instruction whose encoding is remembered, if there is room, and tells whether it is
    /// known to leave the flags alone.
    #[inline]
    pub fn append(&self, out: &mut Buffer, key: u64, disp: i32, imm: i64) -> Option<bool> {
        let entry = &self.table[slot(key)];
        let appended = entry.key == key && out.append(entry, disp, imm);
        appended.then_some(entry.keeps_flags)
    }

    /// Makes sure that an instruction can be appended.
    #[cold]
    pub fn prepare(&mut self, out: &mut Buffer, key: u64, code: Code, operands: &[Operand]) {
        out.make_room();
        if self.table[slot(key)].key != key {
            self.encode(key, code, operands);
        }
    }

    /// Has iced-x86 assemble an encoding, to be remembered.
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
        let place = |there: bool, offset: usize| if there { offset } else { BYTES } as u8;
        self.table[slot(key)] = Entry {
            key,
            bytes,
            disp: place(offsets.has_displacement(), offsets.displacement_offset()),
            imm: place(offsets.has_immediate(), offsets.immediate_offset()),
            len: found.len() as u8,
            keeps_flags: keeps_flags(code),
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
    let register = |r: Option<Gpr>| r.map_or(16, |r| r as u64);
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

/// Whether an instruction is known to leave the flags alone. Any other counts as one that does not.
fn keeps_flags(code: Code) -> bool {
    matches!(
        code,
        Code::Mov_r32_rm32
            | Code::Mov_r64_rm64
            | Code::Mov_rm8_r8
            | Code::Mov_rm16_r16
            | Code::Mov_rm32_r32
            | Code::Mov_rm64_r64
            | Code::Mov_rm8_imm8
            | Code::Mov_rm16_imm16
            | Code::Mov_rm32_imm32
            | Code::Mov_rm64_imm32
            | Code::Mov_r32_imm32
            | Code::Mov_r64_imm64
            | Code::Movzx_r32_rm8
            | Code::Movzx_r32_rm16
            | Code::Movsx_r64_rm8
            | Code::Movsx_r64_rm16
            | Code::Movsxd_r64_rm32
            | Code::Lea_r32_m
            | Code::Lea_r64_m
            | Code::VEX_Mulx_r64_r64_rm64
            | Code::Prefetchw_m8
    )
}
