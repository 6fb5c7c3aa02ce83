//! What host instructions are made of: registers, sizes, memory operands, conditions, names of
//! operations that share an encoding scheme.

use iced_x86::{MemoryOperand, Register};

/// A 64-bit general-purpose host register; its narrower parts are named by the operand size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

use Register as R;
const R64: [R; 16] = [
    R::RAX,
    R::RCX,
    R::RDX,
    R::RBX,
    R::RSP,
    R::RBP,
    R::RSI,
    R::RDI,
    R::R8,
    R::R9,
    R::R10,
    R::R11,
    R::R12,
    R::R13,
    R::R14,
    R::R15,
];
const R32: [R; 16] = [
    R::EAX,
    R::ECX,
    R::EDX,
    R::EBX,
    R::ESP,
    R::EBP,
    R::ESI,
    R::EDI,
    R::R8D,
    R::R9D,
    R::R10D,
    R::R11D,
    R::R12D,
    R::R13D,
    R::R14D,
    R::R15D,
];
const R16: [R; 16] = [
    R::AX,
    R::CX,
    R::DX,
    R::BX,
    R::SP,
    R::BP,
    R::SI,
    R::DI,
    R::R8W,
    R::R9W,
    R::R10W,
    R::R11W,
    R::R12W,
    R::R13W,
    R::R14W,
    R::R15W,
];
const R8: [R; 16] = [
    R::AL,
    R::CL,
    R::DL,
    R::BL,
    R::SPL,
    R::BPL,
    R::SIL,
    R::DIL,
    R::R8L,
    R::R9L,
    R::R10L,
    R::R11L,
    R::R12L,
    R::R13L,
    R::R14L,
    R::R15L,
];

impl Gpr {
    pub(super) fn of(self, size: Size) -> Register {
        let table = match size {
            Size::B => &R8,
            Size::H => &R16,
            Size::D => &R32,
            Size::Q => &R64,
        };
        table[self as usize]
    }
}

/// Size of a host operand: 8, 16, 32 or 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Size {
    B,
    H,
    D,
    Q,
}

/// A memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// Base register.
    pub base: Option<Gpr>,
    /// Index register and its scale (1, 2, 4, 8).
    pub index: Option<(Gpr, u8)>,
    /// Displacement.
    pub disp: i32,
    /// Computed modulo 2^32 (address-size prefix): every access of the guest is.
    pub narrow: bool,
}

impl Mem {
    /// `[base + disp]` with 64-bit addressing: host data.
    pub fn host(base: Gpr, disp: i32) -> Mem {
        Mem {
            base: Some(base),
            index: None,
            disp,
            narrow: false,
        }
    }

    pub(crate) fn operand(self) -> MemoryOperand {
        let size = if self.narrow { Size::D } else { Size::Q };
        let base = self.base.map_or(Register::None, |r| r.of(size));
        let (index, scale) = self
            .index
            .map_or((Register::None, 1), |(r, s)| (r.of(size), u32::from(s)));
        let absolute = self.base.is_none() && self.index.is_none();
        let displ_size = if absolute {
            if self.narrow { 4 } else { 8 }
        } else {
            u32::from(self.disp != 0)
        };
        let disp = if absolute && self.narrow {
            i64::from(self.disp as u32)
        } else {
            i64::from(self.disp)
        };
        // Without a base, x86 has only the form with a 32-bit displacement.
        let displ_size = if base == Register::None && !absolute {
            4
        } else {
            displ_size
        };
        MemoryOperand::new(base, index, scale, disp, displ_size, false, Register::None)
    }
}

/// A source operand: register or memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Rm {
    R(Gpr),
    M(Mem),
}

impl From<Gpr> for Rm {
    fn from(r: Gpr) -> Rm {
        Rm::R(r)
    }
}
impl From<Mem> for Rm {
    fn from(m: Mem) -> Rm {
        Rm::M(m)
    }
}

/// Two-operand arithmetic that writes its first operand (except `Cmp`) and the flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Alu {
    Add,
    Or,
    Adc,
    Sbb,
    And,
    Sub,
    Xor,
    Cmp,
}

/// Condition codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Cond {
    O,
    No,
    B,
    Ae,
    E,
    Ne,
    Be,
    A,
    S,
    Ns,
    P,
    Np,
    L,
    Ge,
    Le,
    G,
}

impl Cond {
    const ALL: [Cond; 16] = [
        Cond::O,
        Cond::No,
        Cond::B,
        Cond::Ae,
        Cond::E,
        Cond::Ne,
        Cond::Be,
        Cond::A,
        Cond::S,
        Cond::Ns,
        Cond::P,
        Cond::Np,
        Cond::L,
        Cond::Ge,
        Cond::Le,
        Cond::G,
    ];

    /// The opposite condition.
    pub fn negated(self) -> Cond {
        Cond::ALL[self as usize ^ 1]
    }

    /// The condition after the operands of the compare were swapped.
    pub fn swapped(self) -> Cond {
        match self {
            Cond::B => Cond::A,
            Cond::A => Cond::B,
            Cond::Ae => Cond::Be,
            Cond::Be => Cond::Ae,
            Cond::L => Cond::G,
            Cond::G => Cond::L,
            Cond::Ge => Cond::Le,
            Cond::Le => Cond::Ge,
            c => c,
        }
    }
}

/// Immediate and BMI2 shifts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Shift {
    Shl,
    Shr,
    Sar,
    Ror,
}

/// One-operand arithmetic on the register or memory operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    Not,
    Mul,
    Imul,
    Div,
    Idiv,
}

/// Bit counts: destination register, any source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Count {
    Lzcnt,
    Tzcnt,
    Popcnt,
}

/// Bit tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Bit {
    Bt,
    Bts,
    Btr,
    Btc,
}
