//! The decoded instruction.

use crate::{CSR_CYCLE, CSR_INSTRET, CSR_TIME, Format, Op};

/// A decoded instruction, 16 bytes. Fields that its [`Format`] does not name are zero.
///
/// The order is one in which the host copies an `Option` of it fast: `op`, which says whether there
/// is one, is last, what is in front of it is aligned.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
#[repr(C)]
pub struct Inst {
    /// Destination register, 0..=31.
    pub rd: u8,
    /// First source register, 0..=31; the 5-bit immediate of `csrr*i`.
    pub rs1: u8,
    /// Second source register, 0..=31.
    pub rs2: u8,
    /// Length in bytes: 2 or 4.
    pub len: u8,
    /// Immediate, see [`Format`]: sign-extended; `lui`/`auipc`: already shifted; branches and
    /// `jal`: byte offset; shifts: amount; CSR instructions: CSR number.
    pub imm: i32,
    /// The instruction word; the halfword for a compressed form.
    pub raw: u32,
    /// The instruction; for a compressed form the one that it expands to.
    pub op: Op,
}

/// Where control goes after an instruction that does not trap.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Hash)]
pub enum Flow {
    /// To the next instruction. (A CSR access other than a counter read traps: see
    /// [`Inst::reads_counter`].)
    Next,
    /// To pc + `imm` or to the next instruction.
    Branch,
    /// To pc + `imm`.
    Jal,
    /// To (rs1 + `imm`) with bit 0 cleared.
    Jalr,
    /// To the environment, which usually goes on at the next instruction.
    Ecall,
    /// Nowhere: `ebreak` traps always.
    Trap,
}

impl Inst {
    /// A 32-bit instruction from its operands, see [`Format`] for which ones count. Each is cut
    /// to the bits that its field has, so the result is what decoding `raw` gives.
    pub fn new(op: Op, rd: u8, rs1: u8, rs2: u8, imm: i32) -> Inst {
        crate::encode::canonical(op, rd, rs1, rs2, imm)
    }

    /// The register that the instruction writes; `None` for x0 and for formats without rd.
    #[inline]
    pub fn writes(&self) -> Option<u8> {
        // rd is zero in formats that have none.
        if self.rd == 0 { None } else { Some(self.rd) }
    }

    /// The registers that the format reads (x0 included).
    #[inline]
    pub fn sources(&self) -> (Option<u8>, Option<u8>) {
        match self.op.format() {
            Format::R | Format::Store | Format::Branch | Format::Amo => {
                (Some(self.rs1), Some(self.rs2))
            }
            Format::Unary
            | Format::I
            | Format::Shift
            | Format::ShiftW
            | Format::Load
            | Format::Jalr
            | Format::Csr
            | Format::Lr => (Some(self.rs1), None),
            Format::U
            | Format::J
            | Format::CsrImm
            | Format::Fence
            | Format::FenceI
            | Format::System => (None, None),
        }
    }

    /// The registers that the instruction reads, with x0 where there is none: [`Inst::sources`]
    /// where x0 does not matter, without a look at the format.
    #[inline]
    pub fn reads(&self) -> [u8; 2] {
        // Fields that a format does not name are zero; only CSR immediates are no register.
        let immediate = matches!(self.op, Op::Csrrwi | Op::Csrrsi | Op::Csrrci);
        [if immediate { 0 } else { self.rs1 }, self.rs2]
    }

    /// Where control goes.
    #[inline]
    pub fn flow(&self) -> Flow {
        self.op.flow()
    }

    /// True for a CSR instruction that only reads `cycle`, `time` or `instret`. Every other CSR
    /// instruction is an illegal instruction when executed.
    ///
    /// `csrrs`/`csrrc` with x0 and `csrrsi`/`csrrci` with 0 do not write (chapter 6.1); the
    /// counters are read-only, so anything that writes is illegal, also with the value it holds.
    #[inline]
    pub fn reads_counter(&self) -> bool {
        let counter = self.imm == i32::from(CSR_CYCLE)
            || self.imm == i32::from(CSR_TIME)
            || self.imm == i32::from(CSR_INSTRET);
        let read_only = matches!(self.op, Op::Csrrs | Op::Csrrc | Op::Csrrsi | Op::Csrrci);
        counter && read_only && self.rs1 == 0
    }

    /// The aq and rl bits of an atomic instruction; both false for any other.
    pub fn aq_rl(&self) -> (bool, bool) {
        match self.op.format() {
            Format::Amo | Format::Lr => (self.raw >> 26 & 1 == 1, self.raw >> 25 & 1 == 1),
            _ => (false, false),
        }
    }
}
