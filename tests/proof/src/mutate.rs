//! Emitted code changed on purpose, to see that the proof refuses it.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// The opposite condition of a jump, `setcc` or `cmovcc`.
    Condition,
    /// 32 bits instead of 64.
    Narrow,
    /// The instruction is left out.
    Omit,
    /// An immediate plus one.
    Immediate,
    /// A displacement plus one (or plus eight, where it names a field).
    Displacement,
    /// Another register.
    Register,
}

/// Code with one change.
#[derive(Clone, Debug)]
pub struct Mutant {
    /// What was changed.
    pub change: Change,
    /// Where.
    pub host: u32,
    /// The code.
    pub code: Vec<u8>,
}

/// Number of legacy prefixes, and whether a REX prefix follows them.
fn prefixes(bytes: &[u8]) -> (usize, bool) {
    let legacy = bytes
        .iter()
        .take_while(|b| matches!(b, 0x66 | 0x67 | 0xf2 | 0xf3))
        .count();
    let rex = bytes.get(legacy).is_some_and(|b| b & 0xf0 == 0x40);
    (legacy, rex)
}

/// All changes of this kind to the code's instructions from the offset `from` up to `to`.
pub fn mutants(code: &[u8], from: u32, to: u32) -> Vec<Mutant> {
    let mut out = Vec::new();
    let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
    while decoder.can_decode() {
        let i = decoder.decode();
        if i.is_invalid() {
            break;
        }
        let at = i.ip() as usize;
        if i.ip32() < from || i.ip32() >= to {
            continue;
        }
        let mut add = |change: Change, edit: &dyn Fn(&mut [u8])| {
            let mut code = code.to_vec();
            edit(&mut code[at..at + i.len()]);
            out.push(Mutant {
                change,
                host: at as u32,
                code,
            });
        };
        let bytes = &code[at..at + i.len()];
        let (legacy, rex) = prefixes(bytes);
        let opcode = legacy + usize::from(rex);
        let two_bytes = bytes.get(opcode) == Some(&0x0f);
        if i.condition_code() != iced_x86::ConditionCode::None {
            let which = opcode + usize::from(two_bytes);
            add(Change::Condition, &|b| b[which] ^= 1);
        }
        if rex && bytes[legacy] & 8 != 0 {
            add(Change::Narrow, &|b| b[legacy] &= !8);
        }
        // Without effect, so that no change has one.
        if matches!(i.mnemonic(), Mnemonic::Prefetcht0 | Mnemonic::Prefetchw) {
            continue;
        }
        let branch = |i: &Instruction| {
            (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::NearBranch64)
                || i.code() == iced_x86::Code::Jmp_rm64
                || i.code() == iced_x86::Code::Ud2
        };
        if branch(&i) {
            continue;
        }
        add(Change::Omit, &|b| b.fill(0x90));
        let offsets = decoder.get_constant_offsets(&i);
        if offsets.has_immediate() {
            let n = offsets.immediate_offset();
            add(Change::Immediate, &|b| b[n] = b[n].wrapping_add(1));
        }
        if offsets.has_displacement() {
            let n = offsets.displacement_offset();
            let by = if i.memory_base() == iced_x86::Register::RBP {
                8
            } else {
                1
            };
            add(Change::Displacement, &|b| b[n] = b[n].wrapping_add(by));
        }
        // ModRM follows the opcode in what has no VEX prefix; the register field, its low bit.
        let vex = matches!(bytes.get(opcode), Some(0xc4 | 0xc5));
        let has_register = (0..i.op_count()).any(|n| i.op_kind(n) == OpKind::Register);
        let modrm = opcode + 1 + usize::from(two_bytes);
        let in_opcode = matches!(bytes.get(opcode), Some(0xb8..=0xbf));
        if !vex && has_register && !in_opcode && i.op_count() == 2 && modrm < i.len() {
            let group = offsets.has_immediate();
            let flip = if group { 1 } else { 8 };
            add(Change::Register, &|b| b[modrm] ^= flip);
        }
    }
    out
}
