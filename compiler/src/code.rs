//! Decoding: every instruction of the text, found by a linear sweep that starts afresh at symbols.

use crate::Error;
use hartlog_elf::Elf;
use hartlog_isa::{DecodeError, Inst};
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
    let mut known = Known::new();
    let mut illegal = 0;
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
            .peekable();
        let mut index = vec![NONE; ((range.end - range.start) / 2) as usize];
        // Room for compressed instructions only; what is not needed is never touched.
        text.instructions.reserve(index.len());
        let mut pc = start;
        while pc + 2 <= range.end {
            while symbols.next_if(|s| s.addr <= pc).is_some() {}
            let offset = (pc - start) as usize;
            let limit = symbols.peek().map_or(u64::MAX, |s| s.addr);
            let inst = instruction(elf, pc, &bytes[offset..], &mut known)?;
            // An instruction that would run over a symbol is data in front of it.
            let inst = inst.filter(|i| pc + u64::from(i.len) <= limit || limit & 1 != 0);
            illegal += u64::from(inst.is_none());
            index[offset / 2] = text.instructions.len() as u32;
            let instruction = Instruction {
                pc: pc as u32,
                inst,
            };
            pc = instruction.next();
            text.instructions.push(instruction);
        }
        text.ranges.push(Indexed { range, index });
    }
    Ok((text, illegal))
}

/// Instructions decoded before, by their bits: programs repeat themselves, and a format that cannot
/// be foreseen costs more than a comparison that mostly holds.
struct Known(Box<[Option<(u32, Inst)>]>);

impl Known {
    const BITS: u32 = 12;

    fn new() -> Known {
        Known(vec![None; 1 << Known::BITS].into())
    }

    #[inline]
    fn decode(&mut self, raw: u32) -> Result<Inst, DecodeError> {
        let slot = &mut self.0[(raw.wrapping_mul(0x9e37_79b1) >> (32 - Known::BITS)) as usize];
        match slot {
            Some((known, inst)) if *known == raw => Ok(*inst),
            _ => {
                let inst = hartlog_isa::decode(raw)?;
                *slot = Some((raw, inst));
                Ok(inst)
            }
        }
    }
}

fn instruction(
    elf: &Elf,
    pc: u64,
    bytes: &[u8],
    decoded: &mut Known,
) -> Result<Option<Inst>, Error> {
    let low = u16::from_le_bytes([bytes[0], bytes[1]]);
    let raw = match bytes.get(2..4) {
        Some(high) => u32::from(low) | u32::from(u16::from_le_bytes([high[0], high[1]])) << 16,
        None if low & 3 == 3 => return Ok(None),
        None => u32::from(low),
    };
    let compressed = low & 3 != 3;
    match decoded.decode(if compressed { u32::from(low) } else { raw }) {
        Ok(_) if compressed && !elf.compressed() => Err(Error::Compressed {
            location: elf.locate(pc).to_string(),
            raw: low,
            offset: file_offset(elf, pc),
        }),
        Ok(inst) => Ok(Some(inst)),
        // Data in the text decodes as floating point now and then: only inside a function of a
        // program with a symbol table is it an instruction for certain.
        Err(DecodeError::FloatingPoint) if inside_function(elf, pc) => Err(Error::FloatingPoint {
            location: elf.locate(pc).to_string(),
            raw: if compressed { u32::from(low) } else { raw },
            offset: file_offset(elf, pc),
        }),
        Err(_) => Ok(None),
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
