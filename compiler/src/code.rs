//! Decoding: every instruction of the text, found by a linear sweep that starts afresh at symbols.

use crate::Error;
use hartlog_elf::Elf;
use hartlog_isa::{DecodeError, Inst, Op, decode_at};
use std::ops::Range;

/// An instruction at its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Guest address.
    pub pc: u32,
    /// `None` for bytes that are no instruction; they count as two bytes long.
    pub inst: Option<Inst>,
}

impl Instruction {
    /// Address of the next instruction in memory.
    pub fn next(&self) -> u64 {
        u64::from(self.pc) + self.inst.map_or(2, |i| u64::from(i.len))
    }

    /// Target of a direct branch or `jal`; the value of an `auipc`.
    pub fn target(&self) -> u64 {
        let imm = self.inst.map_or(0, |i| i64::from(i.imm));
        u64::from(self.pc).wrapping_add(imm as u64)
    }
}

/// The decoded text.
#[derive(Clone, Debug, Default)]
pub struct Text {
    /// Ascending by address.
    pub instructions: Vec<Instruction>,
    ranges: Vec<Indexed>,
}

#[derive(Clone, Debug)]
struct Indexed {
    range: Range<u64>,
    /// Per halfword the index of the instruction that starts there, or [`NONE`].
    index: Vec<u32>,
}

const NONE: u32 = u32::MAX;

impl Text {
    /// Index of the instruction that starts at `pc`.
    pub fn at(&self, pc: u64) -> Option<usize> {
        let i = self.ranges.partition_point(|r| r.range.end <= pc);
        let r = self.ranges.get(i)?;
        if pc & 1 != 0 {
            return None;
        }
        let slot = pc.checked_sub(r.range.start)? / 2;
        let index = *r.index.get(slot as usize)?;
        (index != NONE).then_some(index as usize)
    }

    /// Whether an address is inside the decoded text.
    pub fn contains(&self, pc: u64) -> bool {
        let i = self.ranges.partition_point(|r| r.range.end <= pc);
        self.ranges.get(i).is_some_and(|r| r.range.contains(&pc))
    }

    /// Bytes of text.
    pub fn text_bytes(&self) -> u64 {
        self.ranges
            .iter()
            .map(|r| r.range.end - r.range.start)
            .sum()
    }

    /// The decoded address ranges, ascending.
    pub fn ranges(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|r| r.range.clone())
    }
}

/// Decodes the text of a program. Bytes that are no instruction are kept as such (data between
/// functions, padding) with a warning that counts them.
///
/// # Errors
/// [`Error::Compressed`], [`Error::FloatingPoint`].
pub fn decode_text(elf: &Elf) -> Result<(Text, u64), Error> {
    let mut text = Text::default();
    let mut illegal = 0;
    let no_compressed = !elf.compressed();
    let sections: Vec<Range<u64>> = if elf.text.is_empty() {
        elf.code().map(|c| c.vaddr..c.end()).collect()
    } else {
        elf.text.clone()
    };
    for range in sections {
        let Some(bytes) = elf.code_at(range.start) else {
            continue;
        };
        let len = bytes.len().min((range.end - range.start) as usize);
        let start = range.start.next_multiple_of(2);
        let range = start..range.start + len as u64;
        if range.is_empty() {
            continue;
        }
        let bytes = elf.code_at(start).unwrap_or_default();
        let mut symbols = elf.symbols[elf.symbols.partition_point(|s| s.addr <= start)..]
            .iter()
            .map(|s| s.addr);
        let mut limit = start;
        let mut index = vec![NONE; ((range.end - range.start) / 2) as usize];
        // Room for compressed instructions only; what is not needed is never touched.
        text.instructions.reserve(index.len());
        let mut pc = start;
        while pc + 2 <= range.end {
            while limit <= pc {
                limit = symbols.next().unwrap_or(u64::MAX);
            }
            let offset = (pc - start) as usize;
            let bytes = &bytes[offset..];
            let decoded = decode_at(bytes);
            if decoded.is_err() || no_compressed && bytes[0] & 3 != 3 {
                refuse(elf, pc, bytes, decoded)?;
            }
            // An instruction that would run over a symbol is data in front of it.
            let room = if limit & 1 == 0 { limit - pc } else { u64::MAX };
            let inst = decoded.ok().filter(|i| u64::from(i.len) <= room);
            let len = inst.map_or(2, |i| u64::from(i.len));
            illegal += u64::from(inst.is_none());
            index[offset / 2] = text.instructions.len() as u32;
            text.instructions.push(Instruction {
                pc: pc as u32,
                inst,
            });
            pc += len;
        }
        text.ranges.push(Indexed { range, index });
    }
    Ok((text, illegal))
}

/// Whether what was found at the start of these bytes, at least two, is an error of the program and
/// not data in its text.
#[cold]
fn refuse(
    elf: &Elf,
    pc: u64,
    bytes: &[u8],
    decoded: Result<Inst, DecodeError>,
) -> Result<(), Error> {
    let low = u16::from_le_bytes([bytes[0], bytes[1]]);
    let compressed = low & 3 != 3;
    match decoded {
        Ok(_) if compressed && !elf.compressed() => Err(Error::Compressed {
            location: elf.locate(pc).to_string(),
            raw: low,
            offset: file_offset(elf, pc),
        }),
        // Data in the text decodes as floating point now and then: only inside a function of a
        // program with a symbol table is it an instruction for certain.
        Err(DecodeError::FloatingPoint) if inside_function(elf, pc) => Err(Error::FloatingPoint {
            location: elf.locate(pc).to_string(),
            raw: match bytes.first_chunk() {
                Some(word) if !compressed => u32::from_le_bytes(*word),
                _ => u32::from(low),
            },
            offset: file_offset(elf, pc),
        }),
        _ => Ok(()),
    }
}

fn inside_function(elf: &Elf, pc: u64) -> bool {
    let i = elf.symbols.partition_point(|s| s.addr <= pc);
    i > 0 && {
        let s = &elf.symbols[i - 1];
        pc < s.addr + s.size
    }
}

fn file_offset(elf: &Elf, pc: u64) -> u64 {
    let segment = elf
        .segments
        .iter()
        .find(|s| (s.vaddr..s.end()).contains(&pc));
    segment.map_or(0, |s| s.data.start as u64 + (pc - s.vaddr))
}

/// [`decode_text`], with the warning.
///
/// # Errors
/// As [`decode_text`].
pub fn decode(elf: &Elf, warnings: &mut Vec<String>) -> Result<Text, Error> {
    let (text, illegal) = decode_text(elf)?;
    let csr = text
        .instructions
        .iter()
        .filter(|i| i.inst.is_some_and(|i| crate::discover::traps_on_csr(&i)))
        .count();
    if illegal > 0 {
        tracing::debug!(illegal, "halfwords of the text are no instruction");
    }
    if csr > 0 {
        warnings.push(format!(
            "{csr} instructions access CSRs other than cycle, time and instret; they fault if executed"
        ));
    }
    Ok(text)
}

/// Where a `jalr` goes whose base is what an `auipc` at `pc` computes.
pub(crate) fn far_target(pc: u64, auipc: &Inst, jalr: &Inst) -> Option<u64> {
    let pair = auipc.op == Op::Auipc && jalr.op == Op::Jalr && auipc.rd == jalr.rs1;
    let offset = i64::from(auipc.imm) + i64::from(jalr.imm);
    pair.then(|| pc.wrapping_add(offset as u64) & !1)
}
