//! The vocabulary of the table's columns.

/// Width of a memory access.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Width {
    /// Byte.
    B = 1,
    /// Halfword.
    H = 2,
    /// Word.
    W = 4,
    /// Doubleword.
    D = 8,
}

impl Width {
    /// Size in bytes: 1, 2, 4 or 8.
    #[inline]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// The bits of a register that an access of this width transfers.
    #[inline]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - 8 * self.bytes())
    }
}

/// What an instruction means for the minimal trace.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Effect {
    /// No data memory access.
    None,
    /// Load: the value read is logged.
    Read(Width),
    /// Store: nothing is logged, replay recomputes the value.
    Write(Width),
    /// AMO: the old value is logged, then the new one is written.
    ReadWrite(Width),
    /// `lr`: the value read is logged and a reservation is set.
    Reserve(Width),
    /// `sc`: writes only with a matching reservation; nothing is logged.
    CondStore(Width),
}

impl Effect {
    /// Width of the entry that the instruction appends to the read log, if it appends one.
    #[inline]
    pub const fn logged(self) -> Option<Width> {
        match self {
            Effect::Read(width) | Effect::ReadWrite(width) | Effect::Reserve(width) => Some(width),
            Effect::None | Effect::Write(_) | Effect::CondStore(_) => None,
        }
    }

    /// Width of the memory access, if the instruction makes one.
    #[inline]
    pub const fn width(self) -> Option<Width> {
        match self {
            Effect::None => None,
            Effect::Read(width)
            | Effect::Write(width)
            | Effect::ReadWrite(width)
            | Effect::Reserve(width)
            | Effect::CondStore(width) => Some(width),
        }
    }
}

/// Extension that defines an instruction.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Extension {
    /// RV64I base.
    I,
    /// Integer multiplication and division.
    M,
    /// Atomics.
    A,
    /// Control and status register instructions.
    Zicsr,
    /// Instruction-fetch fence.
    Zifencei,
    /// Address generation.
    Zba,
    /// Basic bit manipulation.
    Zbb,
    /// Single-bit instructions.
    Zbs,
}

/// Where the operands of the 32-bit form are, and how they are written in assembly.
///
/// Fields of [`crate::Inst`] that a format does not name are zero.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Format {
    /// `op rd,rs1,rs2`
    R,
    /// `op rd,rs1`: the place of rs2 is part of the opcode (`clz`, `sext.b`, `rev8`).
    Unary,
    /// `op rd,rs1,imm`: 12-bit signed immediate.
    I,
    /// `op rd,rs1,shamt`: 6-bit shift amount.
    Shift,
    /// `op rd,rs1,shamt`: 5-bit shift amount.
    ShiftW,
    /// `op rd,imm(rs1)`: load, 12-bit signed offset.
    Load,
    /// `op rs2,imm(rs1)`: store, 12-bit signed offset (S format).
    Store,
    /// `op rs1,rs2,imm`: conditional branch, even 13-bit signed byte offset (B format).
    Branch,
    /// `op rd,imm`: `imm` holds bits 31:12 in place.
    U,
    /// `op rd,imm`: `jal`, even 21-bit signed byte offset.
    J,
    /// `op rd,imm(rs1)`: `jalr`, 12-bit signed offset.
    Jalr,
    /// `op rd,csr,rs1`: `imm` is the CSR number, 0..=4095.
    Csr,
    /// `op rd,csr,zimm`: `imm` is the CSR number, `rs1` holds the 5-bit immediate.
    CsrImm,
    /// `op rd,rs2,(rs1)`: AMO and `sc`; aq and rl only in `raw`.
    Amo,
    /// `op rd,(rs1)`: `lr`; aq and rl only in `raw`.
    Lr,
    /// `fence pred,succ`: `imm` holds fm, pred and succ (12 bits, unsigned); the reserved
    /// register fields only in `raw`.
    Fence,
    /// `fence.i`: `imm` holds the reserved upper 12 bits (unsigned), which are ignored.
    FenceI,
    /// `ecall` and `ebreak`: no operands.
    System,
}
