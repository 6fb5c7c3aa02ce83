//! Assembly text, in the notation of the assembler's `no-aliases` mode; branch and jump targets
//! are written as signed distances, since an [`Inst`] does not know its address.

use core::fmt;

use crate::{ABI_NAMES, CSR_CYCLE, CSR_INSTRET, CSR_TIME, Format, Inst};

/// Operand of `fm` for `fence.tso` (chapter 2.7).
const FM_TSO: u32 = 8;

/// A fence's predecessor or successor set: input, output, read, write.
struct FenceSet(u32);

impl fmt::Display for FenceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & 15 == 0 {
            return f.write_str("0");
        }
        for (bit, letter) in [(8, "i"), (4, "o"), (2, "r"), (1, "w")] {
            if self.0 & bit != 0 {
                f.write_str(letter)?;
            }
        }
        Ok(())
    }
}

/// A CSR: its name if it is one that a guest may read, otherwise its number.
struct Csr(i32);

impl fmt::Display for Csr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u16::try_from(self.0) {
            Ok(CSR_CYCLE) => f.write_str("cycle"),
            Ok(CSR_TIME) => f.write_str("time"),
            Ok(CSR_INSTRET) => f.write_str("instret"),
            _ => write!(f, "0x{:x}", self.0),
        }
    }
}

impl fmt::Display for Inst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |register: u8| ABI_NAMES[usize::from(register & 31)];
        let (rd, rs1, rs2) = (name(self.rd), name(self.rs1), name(self.rs2));
        let imm = self.imm;
        let mnemonic = self.op.mnemonic();
        match self.op.format() {
            Format::R => write!(f, "{mnemonic} {rd},{rs1},{rs2}"),
            Format::Unary => write!(f, "{mnemonic} {rd},{rs1}"),
            Format::I => write!(f, "{mnemonic} {rd},{rs1},{imm}"),
            Format::Shift | Format::ShiftW => write!(f, "{mnemonic} {rd},{rs1},0x{imm:x}"),
            Format::Load | Format::Jalr => write!(f, "{mnemonic} {rd},{imm}({rs1})"),
            Format::Store => write!(f, "{mnemonic} {rs2},{imm}({rs1})"),
            Format::Branch => write!(f, "{mnemonic} {rs1},{rs2},{imm:+}"),
            Format::U => write!(f, "{mnemonic} {rd},0x{:x}", imm as u32 >> 12),
            Format::J => write!(f, "{mnemonic} {rd},{imm:+}"),
            Format::Csr => write!(f, "{mnemonic} {rd},{},{rs1}", Csr(imm)),
            Format::CsrImm => write!(f, "{mnemonic} {rd},{},{}", Csr(imm), self.rs1),
            Format::Amo => write!(f, "{mnemonic}{} {rd},{rs2},({rs1})", self.ordering()),
            Format::Lr => write!(f, "{mnemonic}{} {rd},({rs1})", self.ordering()),
            Format::Fence => {
                let (fm, sets) = (imm as u32 >> 8 & 15, imm as u32 & 0xff);
                if fm == FM_TSO && sets == 0x33 {
                    f.write_str("fence.tso")
                } else {
                    write!(f, "{mnemonic} {},{}", FenceSet(sets >> 4), FenceSet(sets))
                }
            }
            Format::FenceI | Format::System => f.write_str(mnemonic),
        }
    }
}

impl Inst {
    /// Mnemonic suffix for the aq and rl bits.
    fn ordering(&self) -> &'static str {
        match self.aq_rl() {
            (false, false) => "",
            (true, false) => ".aq",
            (false, true) => ".rl",
            (true, true) => ".aqrl",
        }
    }
}
