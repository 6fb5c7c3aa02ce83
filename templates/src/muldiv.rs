//! Templates of the M extension (unprivileged specification, chapter 12).

use crate::asm::{Alu, Cond, Gpr, Rm, Shift, Size, Unary};
use crate::emit::{ColdKind, Emitter, Src};
use crate::place::{A, D};
use hartlog_isa::{Inst, Op};

impl Emitter<'_> {
    /// Emits a multiplication or division from homes to the home of rd.
    pub(crate) fn muldiv(&mut self, inst: &Inst) {
        let Inst {
            op,
            rd,
            rs1,
            rs2,
            imm,
            ..
        } = *inst;
        match op {
            // By a constant, see `crate::rewrite`.
            Op::Mul if rs2 == 0 && imm != 0 => self.multiply_imm(Size::Q, rd, rs1, imm),
            Op::Mulw if rs2 == 0 && imm != 0 => self.multiply_imm(Size::D, rd, rs1, imm),
            Op::Mul => self.multiply(Size::Q, rd, rs1, rs2),
            Op::Mulw => self.multiply(Size::D, rd, rs1, rs2),
            Op::Mulhu => self.multiply_high_unsigned(rd, rs1, rs2),
            Op::Mulh => {
                self.load_rax(Size::Q, rs1);
                let other = self.full(rs2);
                let other = self.rm(other);
                self.asm.unary(Unary::Imul, Size::Q, other);
                self.done(rd, D);
            }
            Op::Mulhsu => self.multiply_high_mixed(rd, rs1, rs2),
            Op::Div => self.divide(Size::Q, true, rd, rs1, rs2, A),
            Op::Divu => self.divide(Size::Q, false, rd, rs1, rs2, A),
            Op::Rem => self.divide(Size::Q, true, rd, rs1, rs2, D),
            Op::Remu => self.divide(Size::Q, false, rd, rs1, rs2, D),
            Op::Divw => self.divide(Size::D, true, rd, rs1, rs2, A),
            Op::Divuw => self.divide(Size::D, false, rd, rs1, rs2, A),
            Op::Remw => self.divide(Size::D, true, rd, rs1, rs2, D),
            Op::Remuw => self.divide(Size::D, false, rd, rs1, rs2, D),
            _ => unreachable!("{op:?} is not of the M extension"),
        }
    }

    fn load_rax(&mut self, size: Size, r: u8) {
        let src = self.operand_of(size, r);
        self.load(size, A, src);
    }

    fn multiply(&mut self, size: Size, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.operand_of(size, rs1), self.operand_of(size, rs2));
        let dst = self.dst(rd);
        let (a, b) = if b == Src::Reg(dst) { (b, a) } else { (a, b) };
        self.load(size, dst, a);
        let other = self.rm(b);
        self.asm.imul(size, dst, other);
        self.done_of(size, rd, dst);
    }

    fn multiply_imm(&mut self, size: Size, rd: u8, rs1: u8, imm: i32) {
        let src = self.operand_of(size, rs1);
        let dst = self.dst(rd);
        let src = self.rm(src);
        self.asm.imul_imm(size, dst, src, imm);
        self.done_of(size, rd, dst);
    }

    fn multiply_high_unsigned(&mut self, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.full(rs1), self.full(rs2));
        let dst = self.dst(rd);
        self.load(Size::Q, D, a);
        let other = self.rm(b);
        // Where both results go to one register, it receives the upper half.
        self.asm.mulx(dst, A, other);
        self.done(rd, dst);
    }

    /// Upper half of signed rs1 times unsigned rs2: the unsigned one, minus rs2 if rs1 is negative.
    fn multiply_high_mixed(&mut self, rd: u8, rs1: u8, rs2: u8) {
        let (a, b) = (self.full(rs1), self.full(rs2));
        self.load(Size::Q, D, a);
        let other = self.rm(b);
        self.asm.mulx(D, A, other);
        self.load(Size::Q, A, a);
        self.asm.shift_imm(Shift::Sar, Size::Q, A, 63);
        self.asm.alu(Alu::And, Size::Q, A, other);
        self.asm.alu(Alu::Sub, Size::Q, D, A);
        self.done(rd, D);
    }

    /// Quotient in rax and remainder in rdx; `result` says which one goes to rd.
    ///
    /// By zero the quotient has all bits set and the remainder is the dividend; the signed
    /// overflow has the dividend as quotient and remainder 0.
    fn divide(&mut self, size: Size, signed: bool, rd: u8, rs1: u8, rs2: u8, result: Gpr) {
        self.divide_both(size, signed, rs1, rs2);
        self.done_of(size, rd, result);
    }

    /// Leaves the quotient in rax and the remainder in rdx.
    pub(crate) fn divide_both(&mut self, size: Size, signed: bool, rs1: u8, rs2: u8) {
        let divisor = self.operand_of(size, rs2);
        self.load_rax(size, rs1);
        let divisor = self.rm(divisor);
        match divisor {
            Rm::R(r) => self.asm.test(size, r, r),
            m => self.asm.alu_imm(Alu::Cmp, size, m, 0),
        }
        let (zero, overflow) = (self.asm.label(), self.asm.label());
        self.asm.jcc(Cond::E, zero);
        if signed {
            self.asm.alu_imm(Alu::Cmp, size, divisor, -1);
            self.asm.jcc(Cond::E, overflow);
            self.asm.sign_to_rdx(size);
            self.asm.unary(Unary::Idiv, size, divisor);
        } else {
            self.asm.alu(Alu::Xor, Size::D, D, D);
            self.asm.unary(Unary::Div, size, divisor);
        }
        let done = self.asm.label();
        self.asm.bind(done);
        self.cold(zero, ColdKind::DivideByZero { size, done });
        if signed {
            self.cold(overflow, ColdKind::DivideByMinusOne { size, done });
        }
    }

    /// The cold path of a division by zero; the dividend is in rax.
    pub(crate) fn divide_by_zero(&mut self, size: Size) {
        self.asm.mov(size, D, A);
        self.asm.mov_imm(A, -1);
    }

    /// The cold path of a division by -1, which may overflow; the dividend is in rax.
    pub(crate) fn divide_by_minus_one(&mut self, size: Size) {
        self.asm.unary(Unary::Neg, size, A);
        self.asm.alu(Alu::Xor, Size::D, D, D);
    }
}
