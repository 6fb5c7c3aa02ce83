//! The ISA table: the only list of instructions in the project.
//!
//! One row per instruction: variant, mnemonic, match value, mask, format, extension, trace effect.
//! Enum, decoder index, encoder, disassembler and documentation page are all generated from it.
//! Section comments name chapters of the RISC-V unprivileged specification (version 20240411).

use crate::run::{Handler, handle};
use crate::{Effect, Extension, Flow, Format, Port, Width};

/// Only the major opcode is fixed (U and J formats).
const OPCODE: u32 = 0x0000_007f;
/// Opcode and funct3.
const FUNCT3: u32 = 0x0000_707f;
/// Opcode, funct3 and the five bits above aq and rl.
const FUNCT5: u32 = 0xf800_707f;
/// As [`FUNCT5`], and rs2 is zero (`lr`).
const LR: u32 = 0xf9f0_707f;
/// Opcode, funct3 and the six bits above a 6-bit shift amount.
const FUNCT6: u32 = 0xfc00_707f;
/// Opcode, funct3 and funct7.
const FUNCT7: u32 = 0xfe00_707f;
/// Opcode, funct3 and the whole upper twelve bits.
const FUNCT12: u32 = 0xfff0_707f;
/// No operand at all.
const EXACT: u32 = 0xffff_ffff;

/// One row of the ISA table.
#[derive(Copy, Clone, Debug)]
pub struct Row {
    /// The instruction.
    pub op: Op,
    /// Assembly mnemonic, without `.aq`/`.rl`.
    pub mnemonic: &'static str,
    /// Value of the fixed bits of the 32-bit form.
    pub match_bits: u32,
    /// Which bits of the 32-bit form are fixed.
    pub mask: u32,
    /// Where the operands are.
    pub format: Format,
    /// Extension that defines the instruction.
    pub extension: Extension,
    /// What the instruction means for the minimal trace.
    pub effect: Effect,
}

macro_rules! isa_table {
    ($($op:ident $mnemonic:literal $match_bits:literal $mask:ident $format:ident $extension:ident
       $effect:ident $(($width:ident))?;)*) => {
        /// An instruction of RV64IMAC + Zicsr, Zifencei, Zba, Zbb, Zbs. Compressed forms are
        /// not listed: they decode as the instruction that they expand to.
        #[repr(u8)]
        #[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
        pub enum Op {
            $(#[doc = concat!("`", $mnemonic, "`")] $op,)*
        }

        impl Op {
            /// Every instruction, in table order; `ALL[i] as usize == i`.
            pub const ALL: &[Op] = &[$(Op::$op),*];
        }

        /// Numbers of the instructions, named like the variants of [`Op`].
        #[allow(non_upper_case_globals)]
        pub(crate) mod known {
            $(pub(crate) const $op: u8 = super::Op::$op as u8;)*
        }

        /// The function that executes `op` in a form of `LEN` bytes in [`crate::run`].
        pub(crate) fn handler<P: Port, const LEN: u8>(op: Op) -> Handler<P> {
            match op {
                $(Op::$op => handle::<P, { Op::$op as u8 }, LEN>,)*
            }
        }

        /// The table, in the order of [`Op::ALL`].
        pub static ROWS: [Row; Op::COUNT] = ROWS_CONST;

        /// The same, for use in constant evaluation.
        pub(crate) const ROWS_CONST: [Row; Op::COUNT] = [$(Row {
            op: Op::$op,
            mnemonic: $mnemonic,
            match_bits: $match_bits,
            mask: $mask,
            format: Format::$format,
            extension: Extension::$extension,
            effect: Effect::$effect $((Width::$width))?,
        }),*];
    };
}

#[rustfmt::skip]
isa_table! {
    // RV32I/RV64I base (volume I, chapters 2 and 4).
    Lui       "lui"         0x0000_0037 OPCODE   U       I         None;
    Auipc     "auipc"       0x0000_0017 OPCODE   U       I         None;
    Jal       "jal"         0x0000_006f OPCODE   J       I         None;
    Jalr      "jalr"        0x0000_0067 FUNCT3   Jalr    I         None;
    Beq       "beq"         0x0000_0063 FUNCT3   Branch  I         None;
    Bne       "bne"         0x0000_1063 FUNCT3   Branch  I         None;
    Blt       "blt"         0x0000_4063 FUNCT3   Branch  I         None;
    Bge       "bge"         0x0000_5063 FUNCT3   Branch  I         None;
    Bltu      "bltu"        0x0000_6063 FUNCT3   Branch  I         None;
    Bgeu      "bgeu"        0x0000_7063 FUNCT3   Branch  I         None;
    Lb        "lb"          0x0000_0003 FUNCT3   Load    I         Read(B);
    Lh        "lh"          0x0000_1003 FUNCT3   Load    I         Read(H);
    Lw        "lw"          0x0000_2003 FUNCT3   Load    I         Read(W);
    Ld        "ld"          0x0000_3003 FUNCT3   Load    I         Read(D);
    Lbu       "lbu"         0x0000_4003 FUNCT3   Load    I         Read(B);
    Lhu       "lhu"         0x0000_5003 FUNCT3   Load    I         Read(H);
    Lwu       "lwu"         0x0000_6003 FUNCT3   Load    I         Read(W);
    Sb        "sb"          0x0000_0023 FUNCT3   Store   I         Write(B);
    Sh        "sh"          0x0000_1023 FUNCT3   Store   I         Write(H);
    Sw        "sw"          0x0000_2023 FUNCT3   Store   I         Write(W);
    Sd        "sd"          0x0000_3023 FUNCT3   Store   I         Write(D);
    Addi      "addi"        0x0000_0013 FUNCT3   I       I         None;
    Slti      "slti"        0x0000_2013 FUNCT3   I       I         None;
    Sltiu     "sltiu"       0x0000_3013 FUNCT3   I       I         None;
    Xori      "xori"        0x0000_4013 FUNCT3   I       I         None;
    Ori       "ori"         0x0000_6013 FUNCT3   I       I         None;
    Andi      "andi"        0x0000_7013 FUNCT3   I       I         None;
    Slli      "slli"        0x0000_1013 FUNCT6   Shift   I         None;
    Srli      "srli"        0x0000_5013 FUNCT6   Shift   I         None;
    Srai      "srai"        0x4000_5013 FUNCT6   Shift   I         None;
    Add       "add"         0x0000_0033 FUNCT7   R       I         None;
    Sub       "sub"         0x4000_0033 FUNCT7   R       I         None;
    Sll       "sll"         0x0000_1033 FUNCT7   R       I         None;
    Slt       "slt"         0x0000_2033 FUNCT7   R       I         None;
    Sltu      "sltu"        0x0000_3033 FUNCT7   R       I         None;
    Xor       "xor"         0x0000_4033 FUNCT7   R       I         None;
    Srl       "srl"         0x0000_5033 FUNCT7   R       I         None;
    Sra       "sra"         0x4000_5033 FUNCT7   R       I         None;
    Or        "or"          0x0000_6033 FUNCT7   R       I         None;
    And       "and"         0x0000_7033 FUNCT7   R       I         None;
    Addiw     "addiw"       0x0000_001b FUNCT3   I       I         None;
    Slliw     "slliw"       0x0000_101b FUNCT7   ShiftW  I         None;
    Srliw     "srliw"       0x0000_501b FUNCT7   ShiftW  I         None;
    Sraiw     "sraiw"       0x4000_501b FUNCT7   ShiftW  I         None;
    Addw      "addw"        0x0000_003b FUNCT7   R       I         None;
    Subw      "subw"        0x4000_003b FUNCT7   R       I         None;
    Sllw      "sllw"        0x0000_103b FUNCT7   R       I         None;
    Srlw      "srlw"        0x0000_503b FUNCT7   R       I         None;
    Sraw      "sraw"        0x4000_503b FUNCT7   R       I         None;
    Fence     "fence"       0x0000_000f FUNCT3   Fence   I         None;
    FenceI    "fence.i"     0x0000_100f FUNCT3   FenceI  Zifencei  None;
    Ecall     "ecall"       0x0000_0073 EXACT    System  I         None;
    Ebreak    "ebreak"      0x0010_0073 EXACT    System  I         None;
    // Zicsr (chapter 6).
    Csrrw     "csrrw"       0x0000_1073 FUNCT3   Csr     Zicsr     None;
    Csrrs     "csrrs"       0x0000_2073 FUNCT3   Csr     Zicsr     None;
    Csrrc     "csrrc"       0x0000_3073 FUNCT3   Csr     Zicsr     None;
    Csrrwi    "csrrwi"      0x0000_5073 FUNCT3   CsrImm  Zicsr     None;
    Csrrsi    "csrrsi"      0x0000_6073 FUNCT3   CsrImm  Zicsr     None;
    Csrrci    "csrrci"      0x0000_7073 FUNCT3   CsrImm  Zicsr     None;
    // M (chapter 12).
    Mul       "mul"         0x0200_0033 FUNCT7   R       M         None;
    Mulh      "mulh"        0x0200_1033 FUNCT7   R       M         None;
    Mulhsu    "mulhsu"      0x0200_2033 FUNCT7   R       M         None;
    Mulhu     "mulhu"       0x0200_3033 FUNCT7   R       M         None;
    Div       "div"         0x0200_4033 FUNCT7   R       M         None;
    Divu      "divu"        0x0200_5033 FUNCT7   R       M         None;
    Rem       "rem"         0x0200_6033 FUNCT7   R       M         None;
    Remu      "remu"        0x0200_7033 FUNCT7   R       M         None;
    Mulw      "mulw"        0x0200_003b FUNCT7   R       M         None;
    Divw      "divw"        0x0200_403b FUNCT7   R       M         None;
    Divuw     "divuw"       0x0200_503b FUNCT7   R       M         None;
    Remw      "remw"        0x0200_603b FUNCT7   R       M         None;
    Remuw     "remuw"       0x0200_703b FUNCT7   R       M         None;
    // A (chapter 13).
    LrW       "lr.w"        0x1000_202f LR       Lr      A         Reserve(W);
    ScW       "sc.w"        0x1800_202f FUNCT5   Amo     A         CondStore(W);
    AmoswapW  "amoswap.w"   0x0800_202f FUNCT5   Amo     A         ReadWrite(W);
    AmoaddW   "amoadd.w"    0x0000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmoxorW   "amoxor.w"    0x2000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmoandW   "amoand.w"    0x6000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmoorW    "amoor.w"     0x4000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmominW   "amomin.w"    0x8000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmomaxW   "amomax.w"    0xa000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmominuW  "amominu.w"   0xc000_202f FUNCT5   Amo     A         ReadWrite(W);
    AmomaxuW  "amomaxu.w"   0xe000_202f FUNCT5   Amo     A         ReadWrite(W);
    LrD       "lr.d"        0x1000_302f LR       Lr      A         Reserve(D);
    ScD       "sc.d"        0x1800_302f FUNCT5   Amo     A         CondStore(D);
    AmoswapD  "amoswap.d"   0x0800_302f FUNCT5   Amo     A         ReadWrite(D);
    AmoaddD   "amoadd.d"    0x0000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmoxorD   "amoxor.d"    0x2000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmoandD   "amoand.d"    0x6000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmoorD    "amoor.d"     0x4000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmominD   "amomin.d"    0x8000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmomaxD   "amomax.d"    0xa000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmominuD  "amominu.d"   0xc000_302f FUNCT5   Amo     A         ReadWrite(D);
    AmomaxuD  "amomaxu.d"   0xe000_302f FUNCT5   Amo     A         ReadWrite(D);
    // Zba (chapter 28, bit manipulation).
    AddUw     "add.uw"      0x0800_003b FUNCT7   R       Zba       None;
    Sh1add    "sh1add"      0x2000_2033 FUNCT7   R       Zba       None;
    Sh2add    "sh2add"      0x2000_4033 FUNCT7   R       Zba       None;
    Sh3add    "sh3add"      0x2000_6033 FUNCT7   R       Zba       None;
    Sh1addUw  "sh1add.uw"   0x2000_203b FUNCT7   R       Zba       None;
    Sh2addUw  "sh2add.uw"   0x2000_403b FUNCT7   R       Zba       None;
    Sh3addUw  "sh3add.uw"   0x2000_603b FUNCT7   R       Zba       None;
    SlliUw    "slli.uw"     0x0800_101b FUNCT6   Shift   Zba       None;
    // Zbb.
    Andn      "andn"        0x4000_7033 FUNCT7   R       Zbb       None;
    Orn       "orn"         0x4000_6033 FUNCT7   R       Zbb       None;
    Xnor      "xnor"        0x4000_4033 FUNCT7   R       Zbb       None;
    Clz       "clz"         0x6000_1013 FUNCT12  Unary   Zbb       None;
    Ctz       "ctz"         0x6010_1013 FUNCT12  Unary   Zbb       None;
    Cpop      "cpop"        0x6020_1013 FUNCT12  Unary   Zbb       None;
    Clzw      "clzw"        0x6000_101b FUNCT12  Unary   Zbb       None;
    Ctzw      "ctzw"        0x6010_101b FUNCT12  Unary   Zbb       None;
    Cpopw     "cpopw"       0x6020_101b FUNCT12  Unary   Zbb       None;
    Max       "max"         0x0a00_6033 FUNCT7   R       Zbb       None;
    Maxu      "maxu"        0x0a00_7033 FUNCT7   R       Zbb       None;
    Min       "min"         0x0a00_4033 FUNCT7   R       Zbb       None;
    Minu      "minu"        0x0a00_5033 FUNCT7   R       Zbb       None;
    SextB     "sext.b"      0x6040_1013 FUNCT12  Unary   Zbb       None;
    SextH     "sext.h"      0x6050_1013 FUNCT12  Unary   Zbb       None;
    ZextH     "zext.h"      0x0800_403b FUNCT12  Unary   Zbb       None;
    Rol       "rol"         0x6000_1033 FUNCT7   R       Zbb       None;
    Ror       "ror"         0x6000_5033 FUNCT7   R       Zbb       None;
    Rori      "rori"        0x6000_5013 FUNCT6   Shift   Zbb       None;
    Rolw      "rolw"        0x6000_103b FUNCT7   R       Zbb       None;
    Rorw      "rorw"        0x6000_503b FUNCT7   R       Zbb       None;
    Roriw     "roriw"       0x6000_501b FUNCT7   ShiftW  Zbb       None;
    OrcB      "orc.b"       0x2870_5013 FUNCT12  Unary   Zbb       None;
    Rev8      "rev8"        0x6b80_5013 FUNCT12  Unary   Zbb       None;
    // Zbs.
    Bclr      "bclr"        0x4800_1033 FUNCT7   R       Zbs       None;
    Bclri     "bclri"       0x4800_1013 FUNCT6   Shift   Zbs       None;
    Bext      "bext"        0x4800_5033 FUNCT7   R       Zbs       None;
    Bexti     "bexti"       0x4800_5013 FUNCT6   Shift   Zbs       None;
    Binv      "binv"        0x6800_1033 FUNCT7   R       Zbs       None;
    Binvi     "binvi"       0x6800_1013 FUNCT6   Shift   Zbs       None;
    Bset      "bset"        0x2800_1033 FUNCT7   R       Zbs       None;
    Bseti     "bseti"       0x2800_1013 FUNCT6   Shift   Zbs       None;
}

/// A column of the table by itself: what is asked of every instruction, many times.
macro_rules! column {
    ($of:expr) => {{
        let mut column = [$of(&ROWS_CONST[0]); Op::COUNT];
        let mut i = 0;
        while i < Op::COUNT {
            column[i] = $of(&ROWS_CONST[i]);
            i += 1;
        }
        column
    }};
}

const fn format(row: &Row) -> Format {
    row.format
}

const fn effect(row: &Row) -> Effect {
    row.effect
}

/// Where control goes after an instruction of this row.
const fn flow(row: &Row) -> Flow {
    match row.format {
        Format::Branch => Flow::Branch,
        Format::J => Flow::Jal,
        Format::Jalr => Flow::Jalr,
        Format::System if matches!(row.op, Op::Ecall) => Flow::Ecall,
        Format::System => Flow::Trap,
        Format::R
        | Format::Unary
        | Format::I
        | Format::Shift
        | Format::ShiftW
        | Format::Load
        | Format::Store
        | Format::U
        | Format::Csr
        | Format::CsrImm
        | Format::Amo
        | Format::Lr
        | Format::Fence
        | Format::FenceI => Flow::Next,
    }
}

static FORMATS: [Format; Op::COUNT] = column!(format);
static EFFECTS: [Effect; Op::COUNT] = column!(effect);
static FLOWS: [Flow; Op::COUNT] = column!(flow);

impl Op {
    /// Number of instructions in the table.
    pub const COUNT: usize = Op::ALL.len();

    /// The table row.
    #[inline]
    pub fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Assembly mnemonic, without `.aq`/`.rl`.
    pub fn mnemonic(self) -> &'static str {
        self.row().mnemonic
    }

    /// Where the operands are in the 32-bit form.
    #[inline]
    pub fn format(self) -> Format {
        FORMATS[self as usize]
    }

    /// Extension that defines the instruction.
    pub fn extension(self) -> Extension {
        self.row().extension
    }

    /// What the instruction means for the minimal trace.
    #[inline]
    pub fn effect(self) -> Effect {
        EFFECTS[self as usize]
    }

    /// Where control goes.
    #[inline]
    pub fn flow(self) -> Flow {
        FLOWS[self as usize]
    }

    /// The instruction with discriminant `index`; `None` from [`Op::COUNT`] on.
    #[inline]
    pub fn from_u8(index: u8) -> Option<Op> {
        Op::ALL.get(usize::from(index)).copied()
    }

    /// The instruction with this mnemonic (no `.aq`/`.rl`, no alias, no `c.` form).
    pub fn from_mnemonic(mnemonic: &str) -> Option<Op> {
        ROWS.iter()
            .find(|row| row.mnemonic == mnemonic)
            .map(|row| row.op)
    }
}
