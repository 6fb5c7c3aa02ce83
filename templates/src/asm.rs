//! A thin assembler over iced-x86: register and operand types that make a wrong encoding
//! unspellable, labels, and one method per kind of host instruction that templates use.

mod branches;
mod flags;
mod operand;

pub use branches::Branch;
pub use operand::{Alu, Bit, Cond, Count, Gpr, Mem, Rm, Shift, Size, Unary};

use branches::Branches;
use flags::Flags;

use crate::encode::{Buffer, Encodings, Operand, Wanted};
use iced_x86::{Code, Register};

/// A place in the code that jumps within a definition go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(u32);

const UNBOUND: u32 = u32::MAX;

macro_rules! sized {
    ($size:expr, $d:ident, $q:ident) => {
        match $size {
            Size::Q => Code::$q,
            _ => Code::$d,
        }
    };
}

/// Instructions that the host retires in the time of a store (see docs/performance.md).
const STORE: i32 = 6;

/// How far back what was emitted counts, in instructions.
const LONGEST_BACKLOG: i32 = 100;

/// What is taken for granted at the start of a block: most of the time is spent in loops.
const BACKLOG_BEFORE: i32 = 48;

/// A vector register by its number.
fn xmm(x: u8) -> Register {
    Register::XMM0 + u32::from(x)
}

/// The code of one definition as it grows.
pub struct Asm {
    code: Buffer,
    flags: Flags,
    /// See [`Asm::backlog`].
    backlog: i32,
    /// What a product of 128 bits takes off the backlog.
    product: i32,
    encodings: Encodings,
    labels: Vec<u32>,
    branches: Branches,
    /// Offset behind the last instruction that execution does not go on behind.
    end_of_flow: u32,
}

impl Default for Asm {
    fn default() -> Asm {
        Asm::new()
    }
}

impl Asm {
    /// No code yet.
    pub fn new() -> Asm {
        Asm {
            code: Buffer::default(),
            flags: Flags::default(),
            backlog: BACKLOG_BEFORE,
            product: 0,
            encodings: Encodings::new(),
            labels: Vec::new(),
            branches: Branches::default(),
            end_of_flow: UNBOUND,
        }
    }

    /// Offset of the next instruction.
    pub fn pos(&self) -> u32 {
        self.code.len() as u32
    }

    /// Offset behind the last instruction that may have changed the flags.
    pub fn flags(&self) -> u32 {
        self.flags.changed
    }

    /// The condition of the flags as they are that holds if `r` compared with 0 meets `cond`.
    pub fn known_of_zero(&self, cond: Cond, size: Size, r: Gpr) -> Option<Cond> {
        self.flags.of_zero(cond, size, r)
    }

    /// Forgets the stores so far.
    pub fn forget_stores(&mut self) {
        self.backlog = BACKLOG_BEFORE;
    }

    /// From here on a product of 128 bits makes up for so many instructions of the backlog.
    pub fn weigh_products(&mut self, instructions: i32) {
        self.product = instructions;
    }

    /// By how many instructions the stores of the block so far take longer than everything else;
    /// negative if they do not.
    pub fn backlog(&self) -> i32 {
        self.backlog
    }

    /// The last instruction was a store.
    fn stored(&mut self) {
        self.backlog = (self.backlog + STORE).min(LONGEST_BACKLOG);
    }

    /// Takes the finished code; every label that is jumped to must be bound. Jumps to near places are
    /// shortened; [`Asm::moved`] tells where everything is after that.
    pub fn finish(&mut self) -> Vec<u8> {
        let code = self.branches.finish(self.code.code(), &self.labels);
        self.labels.clear();
        // The buffer stays for the next definition.
        self.code.clear();
        self.flags = Flags::default();
        self.end_of_flow = UNBOUND;
        code
    }

    /// Where an offset, as it was during emission, is in the code that was finished last.
    pub fn moved(&self, offset: u32) -> u32 {
        self.branches.moved(offset)
    }

    /// Whether nothing falls into the next instruction, and no label is bound to it.
    pub fn is_flow_ended(&self) -> bool {
        self.end_of_flow == self.pos()
    }

    /// A label to be bound later.
    pub fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() as u32 - 1)
    }

    /// Binds a label to the next instruction.
    pub fn bind(&mut self, label: Label) {
        self.labels[label.0 as usize] = self.pos();
        self.flags.joined(self.pos());
        self.end_of_flow = UNBOUND;
    }

    #[inline(always)]
    fn emit<const N: usize>(&mut self, code: Code, operands: [Operand; N]) {
        let Wanted { key, disp, imm } = Wanted::new(code, &operands);
        if !self.append(key, disp, imm) {
            self.encodings.prepare(&mut self.code, key, code, &operands);
            self.append(key, disp, imm);
        }
    }

    /// Appends an instruction whose encoding is remembered, if there is room; else returns false.
    #[inline(never)]
    fn append(&mut self, key: u64, disp: i32, imm: i64) -> bool {
        let appended = self.encodings.append(&mut self.code, key, disp, imm);
        let Some(keeps_flags) = appended else {
            return false;
        };
        self.backlog = (self.backlog - 1).max(-LONGEST_BACKLOG);
        if !keeps_flags {
            self.flags.changed = self.pos();
        }
        true
    }

    /// Emits a jump.
    fn branch(&mut self, code: Code, label: Option<Label>) -> Branch {
        let flags = self.flags;
        self.emit(code, [Operand::Imm(0)]);
        self.flags = flags;
        let conditional = code != Code::Jmp_rel32_64;
        if !conditional {
            self.end_of_flow = self.pos();
        }
        self.branches.push(self.pos(), conditional, label)
    }

    /// [`Asm::moved`] of many offsets, which should ascend.
    pub fn move_all<'a>(&self, offsets: impl Iterator<Item = &'a mut u32>) {
        self.branches.move_all(offsets);
    }

    fn r_rm(&mut self, code: Code, dst: Register, src: Rm, size: Size) {
        match src {
            Rm::R(r) => self.emit(code, [dst.into(), r.of(size).into()]),
            Rm::M(m) => self.emit(code, [dst.into(), m.into()]),
        }
    }

    fn rm_imm(&mut self, code: Code, dst: Rm, size: Size, imm: i32) {
        match dst {
            Rm::R(r) => self.emit(code, [r.of(size).into(), imm.into()]),
            Rm::M(m) => self.emit(code, [m.into(), imm.into()]),
        }
    }

    /// `op dst, src`
    pub fn alu(&mut self, op: Alu, size: Size, dst: Gpr, src: impl Into<Rm>) {
        const D: [Code; 8] = [
            Code::Add_r32_rm32,
            Code::Or_r32_rm32,
            Code::Adc_r32_rm32,
            Code::Sbb_r32_rm32,
            Code::And_r32_rm32,
            Code::Sub_r32_rm32,
            Code::Xor_r32_rm32,
            Code::Cmp_r32_rm32,
        ];
        const Q: [Code; 8] = [
            Code::Add_r64_rm64,
            Code::Or_r64_rm64,
            Code::Adc_r64_rm64,
            Code::Sbb_r64_rm64,
            Code::And_r64_rm64,
            Code::Sub_r64_rm64,
            Code::Xor_r64_rm64,
            Code::Cmp_r64_rm64,
        ];
        let code = if size == Size::Q {
            Q[op as usize]
        } else {
            D[op as usize]
        };
        self.r_rm(code, dst.of(size), src.into(), size);
        if op != Alu::Cmp {
            self.flags.result_in(dst, size);
        }
    }

    /// `cmp dst, [mem]` of any size
    pub fn cmp_mem(&mut self, size: Size, dst: Gpr, src: Mem) {
        let code = match size {
            Size::B => Code::Cmp_r8_rm8,
            Size::H => Code::Cmp_r16_rm16,
            Size::D => Code::Cmp_r32_rm32,
            Size::Q => Code::Cmp_r64_rm64,
        };
        self.emit(code, [dst.of(size).into(), src.into()]);
    }

    /// `op [mem], src`
    pub fn alu_mem(&mut self, op: Alu, size: Size, dst: Mem, src: Gpr) {
        const D: [Code; 8] = [
            Code::Add_rm32_r32,
            Code::Or_rm32_r32,
            Code::Adc_rm32_r32,
            Code::Sbb_rm32_r32,
            Code::And_rm32_r32,
            Code::Sub_rm32_r32,
            Code::Xor_rm32_r32,
            Code::Cmp_rm32_r32,
        ];
        const Q: [Code; 8] = [
            Code::Add_rm64_r64,
            Code::Or_rm64_r64,
            Code::Adc_rm64_r64,
            Code::Sbb_rm64_r64,
            Code::And_rm64_r64,
            Code::Sub_rm64_r64,
            Code::Xor_rm64_r64,
            Code::Cmp_rm64_r64,
        ];
        let code = if size == Size::Q {
            Q[op as usize]
        } else {
            D[op as usize]
        };
        self.emit(code, [dst.into(), src.of(size).into()]);
    }

    /// `op dst, imm` (shortest form)
    pub fn alu_imm(&mut self, op: Alu, size: Size, dst: impl Into<Rm>, imm: i32) {
        const D8: [Code; 8] = [
            Code::Add_rm32_imm8,
            Code::Or_rm32_imm8,
            Code::Adc_rm32_imm8,
            Code::Sbb_rm32_imm8,
            Code::And_rm32_imm8,
            Code::Sub_rm32_imm8,
            Code::Xor_rm32_imm8,
            Code::Cmp_rm32_imm8,
        ];
        const D32: [Code; 8] = [
            Code::Add_rm32_imm32,
            Code::Or_rm32_imm32,
            Code::Adc_rm32_imm32,
            Code::Sbb_rm32_imm32,
            Code::And_rm32_imm32,
            Code::Sub_rm32_imm32,
            Code::Xor_rm32_imm32,
            Code::Cmp_rm32_imm32,
        ];
        const Q8: [Code; 8] = [
            Code::Add_rm64_imm8,
            Code::Or_rm64_imm8,
            Code::Adc_rm64_imm8,
            Code::Sbb_rm64_imm8,
            Code::And_rm64_imm8,
            Code::Sub_rm64_imm8,
            Code::Xor_rm64_imm8,
            Code::Cmp_rm64_imm8,
        ];
        const Q32: [Code; 8] = [
            Code::Add_rm64_imm32,
            Code::Or_rm64_imm32,
            Code::Adc_rm64_imm32,
            Code::Sbb_rm64_imm32,
            Code::And_rm64_imm32,
            Code::Sub_rm64_imm32,
            Code::Xor_rm64_imm32,
            Code::Cmp_rm64_imm32,
        ];
        let short = i8::try_from(imm).is_ok();
        let table = match (size == Size::Q, short) {
            (true, true) => &Q8,
            (true, false) => &Q32,
            (false, true) => &D8,
            (false, false) => &D32,
        };
        let dst = dst.into();
        self.rm_imm(table[op as usize], dst, size, imm);
        if let Rm::R(r) = dst
            && op != Alu::Cmp
        {
            self.flags.result_in(r, size);
        }
    }

    /// `test a, b`
    pub fn test(&mut self, size: Size, a: Gpr, b: Gpr) {
        self.emit(
            sized!(size, Test_rm32_r32, Test_rm64_r64),
            [a.of(size).into(), b.of(size).into()],
        );
    }

    /// `test dst, imm`
    pub fn test_imm(&mut self, size: Size, dst: impl Into<Rm>, imm: i32) {
        self.rm_imm(
            sized!(size, Test_rm32_imm32, Test_rm64_imm32),
            dst.into(),
            size,
            imm,
        );
    }

    /// `mov dst, src` (32 or 64 bits; nothing when it would be a no-op of 64 bits)
    pub fn mov(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        let src = src.into();
        if size == Size::Q && src == Rm::R(dst) {
            return;
        }
        self.flags.overwritten(dst);
        self.r_rm(
            sized!(size, Mov_r32_rm32, Mov_r64_rm64),
            dst.of(size),
            src,
            size,
        );
    }

    /// `mov dst, imm` in the shortest form. Leaves the flags alone.
    pub fn mov_imm(&mut self, dst: Gpr, imm: i64) {
        self.flags.overwritten(dst);
        if let Ok(v) = u32::try_from(imm) {
            self.emit(Code::Mov_r32_imm32, [dst.of(Size::D).into(), v.into()]);
        } else if let Ok(v) = i32::try_from(imm) {
            self.emit(Code::Mov_rm64_imm32, [dst.of(Size::Q).into(), v.into()]);
        } else {
            self.emit(Code::Mov_r64_imm64, [dst.of(Size::Q).into(), imm.into()]);
        }
    }

    /// `mov [mem], src` at any width
    pub fn store(&mut self, size: Size, mem: Mem, src: Gpr) {
        let code = match size {
            Size::B => Code::Mov_rm8_r8,
            Size::H => Code::Mov_rm16_r16,
            Size::D => Code::Mov_rm32_r32,
            Size::Q => Code::Mov_rm64_r64,
        };
        self.emit(code, [mem.into(), src.of(size).into()]);
        self.stored();
    }

    /// `mov [mem], imm` at any width; 64 bits: sign-extended
    pub fn store_imm(&mut self, size: Size, mem: Mem, imm: i32) {
        match size {
            Size::B => self.emit(
                Code::Mov_rm8_imm8,
                [mem.into(), i32::from(imm as i8).into()],
            ),
            Size::H => self.emit(
                Code::Mov_rm16_imm16,
                [mem.into(), i32::from(imm as i16).into()],
            ),
            Size::D => self.emit(Code::Mov_rm32_imm32, [mem.into(), imm.into()]),
            Size::Q => self.emit(Code::Mov_rm64_imm32, [mem.into(), imm.into()]),
        }
        self.stored();
    }

    /// Zero-extends from `from` to 64 bits.
    pub fn movzx(&mut self, from: Size, dst: Gpr, src: impl Into<Rm>) {
        let code = match from {
            Size::B => Code::Movzx_r32_rm8,
            Size::H => Code::Movzx_r32_rm16,
            Size::D => Code::Mov_r32_rm32,
            Size::Q => Code::Mov_r64_rm64,
        };
        let to = if from == Size::Q { Size::Q } else { Size::D };
        self.flags.overwritten(dst);
        self.r_rm(code, dst.of(to), src.into(), from);
    }

    /// Sign-extends from `from` to 64 bits.
    pub fn movsx(&mut self, from: Size, dst: Gpr, src: impl Into<Rm>) {
        let code = match from {
            Size::B => Code::Movsx_r64_rm8,
            Size::H => Code::Movsx_r64_rm16,
            Size::D => Code::Movsxd_r64_rm32,
            Size::Q => Code::Mov_r64_rm64,
        };
        let src = src.into();
        if from == Size::D && src == Rm::R(dst) {
            self.flags.extended(dst);
        } else {
            self.flags.overwritten(dst);
        }
        self.r_rm(code, dst.of(Size::Q), src, from);
    }

    /// `lea dst, mem` (32 or 64 bits of result)
    pub fn lea(&mut self, size: Size, dst: Gpr, mem: Mem) {
        self.flags.overwritten(dst);
        self.emit(
            sized!(size, Lea_r32_m, Lea_r64_m),
            [dst.of(size).into(), mem.into()],
        );
    }

    /// Shift by a constant, in place.
    pub fn shift_imm(&mut self, op: Shift, size: Size, dst: impl Into<Rm>, amount: u8) {
        let code = match op {
            Shift::Shl => sized!(size, Shl_rm32_imm8, Shl_rm64_imm8),
            Shift::Shr => sized!(size, Shr_rm32_imm8, Shr_rm64_imm8),
            Shift::Sar => sized!(size, Sar_rm32_imm8, Sar_rm64_imm8),
            Shift::Ror => sized!(size, Ror_rm32_imm8, Ror_rm64_imm8),
        };
        let dst = dst.into();
        self.rm_imm(code, dst, size, i32::from(amount));
        let bits = if size == Size::Q { 64 } else { 32 };
        if let Rm::R(r) = dst
            && op != Shift::Ror
            && !amount.is_multiple_of(bits)
        {
            self.flags.result_in(r, size);
        }
    }

    /// `rorx dst, src, amount`: no flags
    pub fn rorx(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, amount: u8) {
        let code = sized!(size, VEX_Rorx_r32_rm32_imm8, VEX_Rorx_r64_rm64_imm8);
        let amount = u32::from(amount);
        match src.into() {
            Rm::R(r) => self.emit(
                code,
                [dst.of(size).into(), r.of(size).into(), amount.into()],
            ),
            Rm::M(m) => self.emit(code, [dst.of(size).into(), m.into(), amount.into()]),
        }
    }

    /// `shlx/shrx/sarx dst, src, count`: no flags; the count is taken modulo the size
    pub fn shift_var(&mut self, op: Shift, size: Size, dst: Gpr, src: impl Into<Rm>, count: Gpr) {
        let code = match op {
            Shift::Shl => sized!(size, VEX_Shlx_r32_rm32_r32, VEX_Shlx_r64_rm64_r64),
            Shift::Shr => sized!(size, VEX_Shrx_r32_rm32_r32, VEX_Shrx_r64_rm64_r64),
            Shift::Sar => sized!(size, VEX_Sarx_r32_rm32_r32, VEX_Sarx_r64_rm64_r64),
            Shift::Ror => unreachable!("x86 has no three-operand rotate by a register"),
        };
        match src.into() {
            Rm::R(r) => self.emit(
                code,
                [
                    dst.of(size).into(),
                    r.of(size).into(),
                    count.of(size).into(),
                ],
            ),
            Rm::M(m) => self.emit(code, [dst.of(size).into(), m.into(), count.of(size).into()]),
        }
    }

    /// `andn dst, not, src`: `src & !not`
    pub fn andn(&mut self, size: Size, dst: Gpr, not: Gpr, src: impl Into<Rm>) {
        let code = sized!(size, VEX_Andn_r32_r32_rm32, VEX_Andn_r64_r64_rm64);
        match src.into() {
            Rm::R(r) => self.emit(
                code,
                [dst.of(size).into(), not.of(size).into(), r.of(size).into()],
            ),
            Rm::M(m) => self.emit(code, [dst.of(size).into(), not.of(size).into(), m.into()]),
        }
    }

    /// `mulx high, low, src`: rdx times src, no flags
    pub fn mulx(&mut self, high: Gpr, low: Gpr, src: impl Into<Rm>) {
        let code = Code::VEX_Mulx_r64_r64_rm64;
        self.flags.overwritten(high);
        self.flags.overwritten(low);
        let (high, low) = (high.of(Size::Q), low.of(Size::Q));
        match src.into() {
            Rm::R(r) => self.emit(code, [high.into(), low.into(), r.of(Size::Q).into()]),
            Rm::M(m) => self.emit(code, [high.into(), low.into(), m.into()]),
        }
        self.backlog -= self.product;
    }

    /// `imul dst, src`
    pub fn imul(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>) {
        self.r_rm(
            sized!(size, Imul_r32_rm32, Imul_r64_rm64),
            dst.of(size),
            src.into(),
            size,
        );
    }

    /// `imul dst, src, imm` (shortest form)
    pub fn imul_imm(&mut self, size: Size, dst: Gpr, src: impl Into<Rm>, imm: i32) {
        let code = if i8::try_from(imm).is_ok() {
            sized!(size, Imul_r32_rm32_imm8, Imul_r64_rm64_imm8)
        } else {
            sized!(size, Imul_r32_rm32_imm32, Imul_r64_rm64_imm32)
        };
        match src.into() {
            Rm::R(r) => self.emit(code, [dst.of(size).into(), r.of(size).into(), imm.into()]),
            Rm::M(m) => self.emit(code, [dst.of(size).into(), m.into(), imm.into()]),
        }
    }

    /// One-operand instructions; multiplication and division work on rdx:rax.
    pub fn unary(&mut self, op: Unary, size: Size, dst: impl Into<Rm>) {
        let code = match op {
            Unary::Neg => sized!(size, Neg_rm32, Neg_rm64),
            Unary::Not => sized!(size, Not_rm32, Not_rm64),
            Unary::Mul => sized!(size, Mul_rm32, Mul_rm64),
            Unary::Imul => sized!(size, Imul_rm32, Imul_rm64),
            Unary::Div => sized!(size, Div_rm32, Div_rm64),
            Unary::Idiv => sized!(size, Idiv_rm32, Idiv_rm64),
        };
        match dst.into() {
            Rm::R(r) => self.emit(code, [r.of(size).into()]),
            Rm::M(m) => self.emit(code, [m.into()]),
        }
    }

    /// `cdq` / `cqo`: sign of rax into rdx
    pub fn sign_to_rdx(&mut self, size: Size) {
        self.emit(sized!(size, Cdq, Cqo), []);
    }

    /// `lzcnt`, `tzcnt`, `popcnt`
    pub fn count(&mut self, op: Count, size: Size, dst: Gpr, src: impl Into<Rm>) {
        let code = match op {
            Count::Lzcnt => sized!(size, Lzcnt_r32_rm32, Lzcnt_r64_rm64),
            Count::Tzcnt => sized!(size, Tzcnt_r32_rm32, Tzcnt_r64_rm64),
            Count::Popcnt => sized!(size, Popcnt_r32_rm32, Popcnt_r64_rm64),
        };
        self.r_rm(code, dst.of(size), src.into(), size);
    }

    /// `bswap dst`
    pub fn bswap(&mut self, size: Size, dst: Gpr) {
        self.emit(sized!(size, Bswap_r32, Bswap_r64), [dst.of(size).into()]);
    }

    /// Bit test (and set, reset, complement) of bit `index mod 64` of a register.
    pub fn bit(&mut self, op: Bit, dst: Gpr, index: Gpr) {
        let code = match op {
            Bit::Bt => Code::Bt_rm64_r64,
            Bit::Bts => Code::Bts_rm64_r64,
            Bit::Btr => Code::Btr_rm64_r64,
            Bit::Btc => Code::Btc_rm64_r64,
        };
        self.emit(code, [dst.of(Size::Q).into(), index.of(Size::Q).into()]);
    }

    /// The same with a constant index, 0 to 63.
    pub fn bit_imm(&mut self, op: Bit, dst: impl Into<Rm>, index: u8) {
        let code = match op {
            Bit::Bt => Code::Bt_rm64_imm8,
            Bit::Bts => Code::Bts_rm64_imm8,
            Bit::Btr => Code::Btr_rm64_imm8,
            Bit::Btc => Code::Btc_rm64_imm8,
        };
        self.rm_imm(code, dst.into(), Size::Q, i32::from(index));
    }

    /// `setcc` into the low byte
    pub fn setcc(&mut self, cond: Cond, dst: Gpr) {
        const SET: [Code; 16] = [
            Code::Seto_rm8,
            Code::Setno_rm8,
            Code::Setb_rm8,
            Code::Setae_rm8,
            Code::Sete_rm8,
            Code::Setne_rm8,
            Code::Setbe_rm8,
            Code::Seta_rm8,
            Code::Sets_rm8,
            Code::Setns_rm8,
            Code::Setp_rm8,
            Code::Setnp_rm8,
            Code::Setl_rm8,
            Code::Setge_rm8,
            Code::Setle_rm8,
            Code::Setg_rm8,
        ];
        self.emit(SET[cond as usize], [dst.of(Size::B).into()]);
    }

    /// `cmovcc dst, src` of 32 bits, which zeroes the upper half in any case, or 64
    pub fn cmov(&mut self, cond: Cond, size: Size, dst: Gpr, src: impl Into<Rm>) {
        const CMOV: [[Code; 2]; 16] = [
            [Code::Cmovo_r32_rm32, Code::Cmovo_r64_rm64],
            [Code::Cmovno_r32_rm32, Code::Cmovno_r64_rm64],
            [Code::Cmovb_r32_rm32, Code::Cmovb_r64_rm64],
            [Code::Cmovae_r32_rm32, Code::Cmovae_r64_rm64],
            [Code::Cmove_r32_rm32, Code::Cmove_r64_rm64],
            [Code::Cmovne_r32_rm32, Code::Cmovne_r64_rm64],
            [Code::Cmovbe_r32_rm32, Code::Cmovbe_r64_rm64],
            [Code::Cmova_r32_rm32, Code::Cmova_r64_rm64],
            [Code::Cmovs_r32_rm32, Code::Cmovs_r64_rm64],
            [Code::Cmovns_r32_rm32, Code::Cmovns_r64_rm64],
            [Code::Cmovp_r32_rm32, Code::Cmovp_r64_rm64],
            [Code::Cmovnp_r32_rm32, Code::Cmovnp_r64_rm64],
            [Code::Cmovl_r32_rm32, Code::Cmovl_r64_rm64],
            [Code::Cmovge_r32_rm32, Code::Cmovge_r64_rm64],
            [Code::Cmovle_r32_rm32, Code::Cmovle_r64_rm64],
            [Code::Cmovg_r32_rm32, Code::Cmovg_r64_rm64],
        ];
        let code = CMOV[cond as usize][usize::from(size == Size::Q)];
        self.r_rm(code, dst.of(size), src.into(), size);
    }

    /// `ud2`: raises SIGILL, which the runtime turns into the guest's trap
    pub fn ud2(&mut self) {
        self.emit(Code::Ud2, []);
        self.end_of_flow = self.pos();
    }

    /// `push` / `pop` of a register (entry and exit stubs only)
    pub fn push(&mut self, r: Gpr) {
        self.emit(Code::Push_r64, [r.of(Size::Q).into()]);
    }

    /// See [`Asm::push`].
    pub fn pop(&mut self, r: Gpr) {
        self.emit(Code::Pop_r64, [r.of(Size::Q).into()]);
    }

    /// `ret`
    pub fn ret(&mut self) {
        self.emit(Code::Retnq, []);
    }

    /// `prefetchw m`
    pub fn prefetch_for_store(&mut self, m: Mem) {
        self.emit(Code::Prefetchw_m8, [m.into()]);
    }

    /// `prefetcht0 m`
    pub fn prefetch(&mut self, m: Mem) {
        self.emit(Code::Prefetcht0_m8, [m.into()]);
    }

    /// `movq xmm0, [m]`
    pub fn vector_load(&mut self, m: Mem) {
        self.emit(Code::Movq_xmm_xmmm64, [Register::XMM0.into(), m.into()]);
    }

    /// `movq xmm, reg`
    pub fn vector_from(&mut self, x: u8, r: Gpr) {
        self.emit(Code::Movq_xmm_rm64, [xmm(x).into(), r.of(Size::Q).into()]);
    }

    /// `movq reg, xmm`
    pub fn vector_to(&mut self, r: Gpr, x: u8) {
        self.emit(Code::Movq_rm64_xmm, [r.of(Size::Q).into(), xmm(x).into()]);
    }

    /// `movq [m], xmm`
    pub fn vector_to_memory(&mut self, m: Mem, x: u8) {
        self.emit(Code::Movq_xmmm64_xmm, [m.into(), xmm(x).into()]);
        self.stored();
    }

    /// `movhps xmm0, [m]`: the upper 8 bytes.
    pub fn vector_insert(&mut self, m: Mem) {
        self.emit(Code::Movhps_xmm_m64, [Register::XMM0.into(), m.into()]);
    }

    /// Stores the lower 8 bytes of xmm0, or all 16.
    pub fn vector_store(&mut self, all: bool, m: Mem) {
        let code = if all {
            Code::Movups_xmmm128_xmm
        } else {
            Code::Movq_xmmm64_xmm
        };
        self.emit(code, [m.into(), Register::XMM0.into()]);
        self.stored();
    }

    /// `jmp reg`
    pub fn jmp_reg(&mut self, r: Gpr) {
        self.emit(Code::Jmp_rm64, [r.of(Size::Q).into()]);
        self.end_of_flow = self.pos();
    }

    /// `jmp [m]`
    pub fn jmp_mem(&mut self, m: Mem) {
        self.emit(Code::Jmp_rm64, [m.into()]);
        self.end_of_flow = self.pos();
    }

    /// `jcc` to a label.
    pub fn jcc(&mut self, cond: Cond, label: Label) {
        self.branch(JCC[cond as usize], Some(label));
    }

    /// `jmp` to a label.
    pub fn jmp(&mut self, label: Label) {
        self.branch(Code::Jmp_rel32_64, Some(label));
    }

    /// `jcc` to a place that [`Asm::aim`] tells, or the linker.
    pub fn jcc_open(&mut self, cond: Cond) -> Branch {
        self.branch(JCC[cond as usize], None)
    }

    /// `jmp` to a place that [`Asm::aim`] tells, or the linker.
    pub fn jmp_open(&mut self) -> Branch {
        self.branch(Code::Jmp_rel32_64, None)
    }

    /// `jmp` to an offset.
    pub fn jmp_to(&mut self, offset: u32) {
        let jump = self.jmp_open();
        self.aim(jump, offset);
    }

    /// Makes a jump go to an offset.
    pub fn aim(&mut self, branch: Branch, offset: u32) {
        self.branches.aim(branch, offset);
    }
}

const JCC: [Code; 16] = [
    Code::Jo_rel32_64,
    Code::Jno_rel32_64,
    Code::Jb_rel32_64,
    Code::Jae_rel32_64,
    Code::Je_rel32_64,
    Code::Jne_rel32_64,
    Code::Jbe_rel32_64,
    Code::Ja_rel32_64,
    Code::Js_rel32_64,
    Code::Jns_rel32_64,
    Code::Jp_rel32_64,
    Code::Jnp_rel32_64,
    Code::Jl_rel32_64,
    Code::Jge_rel32_64,
    Code::Jle_rel32_64,
    Code::Jg_rel32_64,
];
