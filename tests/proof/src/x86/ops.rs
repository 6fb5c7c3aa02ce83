//! What each host instruction does (Intel SDM, volume 2).

use super::{Machine, RDX, Refusal, State};
use crate::term::{Kind, Pool, Term};
use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind};

const RAX: usize = 0;

/// The bytes in reverse order.
pub(crate) fn swapped(p: &mut Pool, x: Term) -> Term {
    let mut out = p.extract(x, 0, 8);
    for k in 1..p.width(x) / 8 {
        let byte = p.extract(x, 8 * k, 8);
        out = p.concat(out, byte);
    }
    out
}

/// Rotation to the right by a number.
fn rotated(p: &mut Pool, x: Term, by: u64) -> Term {
    let width = p.width(x);
    let by = by as u8 % width;
    if by == 0 {
        return x;
    }
    let (high, low) = (p.extract(x, 0, by), p.extract(x, by, width - by));
    p.concat(high, low)
}

impl State {
    fn flags_undefined(&mut self) {
        (self.cf, self.zf, self.sf, self.of, self.less) = (None, None, None, None, None);
    }
}

impl Machine<'_> {
    fn result_flags(&mut self, s: &mut State, result: Term) {
        let width = self.pool.width(result);
        let zero = self.pool.val(0, width);
        s.zf = Some(self.pool.eq(result, zero));
        s.sf = Some(self.pool.sign(result));
    }

    fn logic_flags(&mut self, s: &mut State, result: Term) {
        self.result_flags(s, result);
        let no = self.pool.bool(false);
        (s.cf, s.of, s.less) = (Some(no), Some(no), s.sf);
    }

    /// The sum of two operands and perhaps a carry, with its flags.
    fn sum(&mut self, s: &mut State, a: Term, b: Term, carry: Option<Term>) -> Term {
        let p = &mut *self.pool;
        let width = p.width(a);
        let mut result = p.add(a, b);
        let cf = match carry {
            None => p.less_u(result, a),
            Some(c) => {
                let c = p.zero_extend(c, width);
                result = p.add(result, c);
                // Both tops, or one of them and none in the result.
                let (both, one) = (p.and(a, b), p.or(a, b));
                let gone = p.not(result);
                let lost = p.and(one, gone);
                let out = p.or(both, lost);
                p.sign(out)
            }
        };
        let (x, y) = (p.xor(a, result), p.xor(b, result));
        let both = p.and(x, y);
        let of = p.sign(both);
        self.result_flags(s, result);
        (s.cf, s.of) = (Some(cf), Some(of));
        s.less = s.sf.map(|sf| self.pool.xor(sf, of));
        result
    }

    /// The difference of two operands and perhaps a borrow, with its flags.
    fn difference(&mut self, s: &mut State, a: Term, b: Term, borrow: Option<Term>) -> Term {
        let p = &mut *self.pool;
        let width = p.width(a);
        let mut result = p.sub(a, b);
        let cf = match borrow {
            None => p.less_u(a, b),
            Some(c) => {
                let c = p.zero_extend(c, width);
                result = p.sub(result, c);
                let not = p.not(a);
                let (both, one) = (p.and(not, b), p.or(not, b));
                let kept = p.and(one, result);
                let out = p.or(both, kept);
                p.sign(out)
            }
        };
        let (x, y) = (p.xor(a, b), p.xor(a, result));
        let both = p.and(x, y);
        let of = p.sign(both);
        self.result_flags(s, result);
        (s.cf, s.of) = (Some(cf), Some(of));
        // SF != OF after a comparison is "less" (lemmas.rs).
        s.less = match borrow {
            None => Some(self.pool.less_s(a, b)),
            Some(_) => s.sf.map(|sf| self.pool.xor(sf, of)),
        };
        result
    }

    /// The condition of a jump, `setcc` or `cmovcc`.
    pub(super) fn condition(&mut self, i: &Instruction, s: &State) -> Result<Term, Refusal> {
        let need = |flag: Option<Term>| {
            flag.ok_or_else(|| Refusal::Undefined {
                host: i.ip32(),
                what: i.to_string(),
            })
        };
        let (code, not) = match i.condition_code() {
            ConditionCode::no => (ConditionCode::o, true),
            ConditionCode::ae => (ConditionCode::b, true),
            ConditionCode::ne => (ConditionCode::e, true),
            ConditionCode::a => (ConditionCode::be, true),
            ConditionCode::ns => (ConditionCode::s, true),
            ConditionCode::ge => (ConditionCode::l, true),
            ConditionCode::g => (ConditionCode::le, true),
            other => (other, false),
        };
        let value = match code {
            ConditionCode::o => need(s.of)?,
            ConditionCode::b => need(s.cf)?,
            ConditionCode::e => need(s.zf)?,
            ConditionCode::s => need(s.sf)?,
            ConditionCode::l => need(s.less)?,
            ConditionCode::be => {
                let (cf, zf) = (need(s.cf)?, need(s.zf)?);
                self.pool.or(cf, zf)
            }
            ConditionCode::le => {
                let (less, zf) = (need(s.less)?, need(s.zf)?);
                self.pool.or(less, zf)
            }
            // Parity: no template uses it.
            _ => return Err(self.no_model(i)),
        };
        Ok(if not { self.pool.not(value) } else { value })
    }

    /// Executes an instruction that does not transfer control.
    pub(super) fn execute(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        use Mnemonic::*;
        if i.has_lock_prefix() || i.has_rep_prefix() || i.has_repne_prefix() {
            return Err(self.no_model(i));
        }
        if matches!(i.mnemonic(), Movq | Movups | Movhps) {
            return self.vector(i, s);
        }
        self.note(i, s);
        match i.mnemonic() {
            Mov => {
                let v = self.operand(i, s, 1)?;
                self.set(i, s, 0, v)
            }
            Movzx | Movsx | Movsxd => {
                let v = self.operand(i, s, 1)?;
                let width = self.operand_bits(i, 0)?;
                let v = if i.mnemonic() == Movzx {
                    self.pool.zero_extend(v, width)
                } else {
                    self.pool.sign_extend(v, width)
                };
                self.set(i, s, 0, v)
            }
            // Changes nothing and never faults.
            Prefetchw | Prefetcht0 => Ok(()),
            Lea => {
                let address = self.effective(i, s)?;
                let width = self.operand_bits(i, 0)?;
                let v = self.pool.low(address, width);
                self.set(i, s, 0, v)
            }
            Add | Adc | Sub | Sbb | And | Or | Xor | Cmp | Test => self.two_operands(i, s),
            Inc | Dec => {
                let a = self.operand(i, s, 0)?;
                let width = self.pool.width(a);
                let (one, carry) = (self.pool.val(1, width), s.cf);
                let v = if i.mnemonic() == Inc {
                    self.sum(s, a, one, None)
                } else {
                    self.difference(s, a, one, None)
                };
                s.cf = carry;
                self.set(i, s, 0, v)
            }
            Neg => {
                let a = self.operand(i, s, 0)?;
                let width = self.pool.width(a);
                let zero = self.pool.val(0, width);
                let v = self.difference(s, zero, a, None);
                let none = self.pool.eq(a, zero);
                s.cf = Some(self.pool.not(none));
                self.set(i, s, 0, v)
            }
            Not => {
                let a = self.operand(i, s, 0)?;
                let v = self.pool.not(a);
                self.set(i, s, 0, v)
            }
            Shl | Shr | Sar | Ror | Rol => self.shift(i, s),
            Shlx | Shrx | Sarx => {
                let (a, count) = (self.operand(i, s, 1)?, self.operand(i, s, 2)?);
                let width = self.pool.width(a);
                let limit = self.pool.val(u64::from(width) - 1, width);
                let count = self.pool.and(count, limit);
                let kind = match i.mnemonic() {
                    Shlx => Kind::Shl,
                    Shrx => Kind::Shr,
                    _ => Kind::Sar,
                };
                let v = self.pool.shift(kind, a, count);
                self.set(i, s, 0, v)
            }
            Rorx => {
                let a = self.operand(i, s, 1)?;
                let v = rotated(self.pool, a, u64::from(i.immediate8()));
                self.set(i, s, 0, v)
            }
            Andn => {
                let (a, b) = (self.operand(i, s, 1)?, self.operand(i, s, 2)?);
                let not = self.pool.not(a);
                let v = self.pool.and(not, b);
                self.logic_flags(s, v);
                self.set(i, s, 0, v)
            }
            Bswap => {
                let a = self.operand(i, s, 0)?;
                let v = swapped(self.pool, a);
                self.set(i, s, 0, v)
            }
            Lzcnt | Tzcnt | Popcnt => self.count(i, s),
            Bt | Btr | Bts | Btc => self.bit(i, s),
            Xchg => {
                let (a, b) = (self.operand(i, s, 0)?, self.operand(i, s, 1)?);
                self.set(i, s, 0, b)?;
                self.set(i, s, 1, a)
            }
            Cdq | Cqo => {
                let width = if i.mnemonic() == Cdq { 32 } else { 64 };
                let a = self.pool.low(s.gpr[RAX], width);
                let by = self.pool.sign(a);
                let v = self.pool.sign_extend(by, width);
                s.gpr[RDX] = self.pool.zero_extend(v, 64);
                Ok(())
            }
            Cdqe => {
                let a = self.pool.low(s.gpr[RAX], 32);
                s.gpr[RAX] = self.pool.sign_extend(a, 64);
                Ok(())
            }
            Imul | Mul => self.multiply(i, s),
            Mulx => {
                let b = self.operand(i, s, 2)?;
                let width = self.pool.width(b);
                let a = self.pool.low(s.gpr[RDX], width);
                let (low, high) = (self.pool.mul(a, b), self.pool.mul_high(false, a, b));
                // Where both are one register, it gets the upper half.
                self.set(i, s, 1, low)?;
                self.set(i, s, 0, high)
            }
            Div | Idiv => self.divide(i, s),
            _ if i.condition_code() != ConditionCode::None => {
                let c = self.condition(i, s)?;
                match (i.op_count(), i.op0_kind()) {
                    (1, OpKind::Register | OpKind::Memory) => {
                        let v = self.pool.zero_extend(c, 8);
                        self.set(i, s, 0, v)
                    }
                    (2, OpKind::Register) => {
                        let (a, b) = (self.operand(i, s, 0)?, self.operand(i, s, 1)?);
                        let v = self.pool.ite(c, b, a);
                        self.set(i, s, 0, v)
                    }
                    _ => Err(self.no_model(i)),
                }
            }
            _ => Err(self.no_model(i)),
        }
    }

    fn two_operands(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        use Mnemonic::*;
        let (a, b) = (self.operand(i, s, 0)?, self.operand(i, s, 1)?);
        let carry = |s: &State| {
            s.cf.map(Some).ok_or_else(|| Refusal::Undefined {
                host: i.ip32(),
                what: i.to_string(),
            })
        };
        let v = match i.mnemonic() {
            Add => self.sum(s, a, b, None),
            Adc => {
                let c = carry(s)?;
                self.sum(s, a, b, c)
            }
            Sub | Cmp => self.difference(s, a, b, None),
            Sbb => {
                let c = carry(s)?;
                self.difference(s, a, b, c)
            }
            other => {
                let v = match other {
                    And | Test => self.pool.and(a, b),
                    Or => self.pool.or(a, b),
                    _ => self.pool.xor(a, b),
                };
                self.logic_flags(s, v);
                v
            }
        };
        if matches!(i.mnemonic(), Cmp | Test) {
            return Ok(());
        }
        self.set(i, s, 0, v)
    }

    /// Shifts and rotations by a number or by cl.
    fn shift(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        use Mnemonic::*;
        let a = self.operand(i, s, 0)?;
        let width = self.pool.width(a);
        let most = if width == 64 { 63 } else { 31 };
        let kind = match i.mnemonic() {
            Shl => Kind::Shl,
            Shr => Kind::Shr,
            _ => Kind::Sar,
        };
        let rotates = matches!(i.mnemonic(), Ror | Rol);
        if i.op1_kind() == OpKind::Register {
            // The flags depend on whether the count is 0: nothing is known of them.
            if rotates || width < 32 {
                return Err(self.no_model(i));
            }
            let cl = self.operand(i, s, 1)?;
            let limit = self.pool.val(most, 8);
            let count = self.pool.and(cl, limit);
            let count = self.pool.zero_extend(count, width);
            let v = self.pool.shift(kind, a, count);
            s.flags_undefined();
            return self.set(i, s, 0, v);
        }
        let count = u64::from(i.immediate8()) & most;
        if count >= u64::from(width) {
            return Err(self.no_model(i));
        }
        if rotates {
            let right = if i.mnemonic() == Ror {
                count
            } else {
                u64::from(width) - count
            };
            let v = rotated(self.pool, a, right);
            if count != 0 {
                s.cf = Some(match i.mnemonic() {
                    Ror => self.pool.sign(v),
                    _ => self.pool.extract(v, 0, 1),
                });
                (s.of, s.less) = (None, None);
            }
            return self.set(i, s, 0, v);
        }
        let v = self.pool.shift_by(kind, a, count);
        if count != 0 {
            let last = match kind {
                Kind::Shl => width - count as u8,
                _ => count as u8 - 1,
            };
            self.result_flags(s, v);
            s.cf = Some(self.pool.extract(a, last, 1));
            // Defined for a count of 1 only; no template uses it.
            (s.of, s.less) = (None, None);
        }
        self.set(i, s, 0, v)
    }

    fn count(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        let a = self.operand(i, s, 1)?;
        let width = self.pool.width(a);
        let zero = self.pool.val(0, width);
        let none = self.pool.eq(a, zero);
        s.flags_undefined();
        let v = match i.mnemonic() {
            Mnemonic::Popcnt => {
                let v = self.pool.population(a);
                let no = self.pool.bool(false);
                (s.cf, s.zf, s.sf) = (Some(no), Some(none), Some(no));
                (s.of, s.less) = (Some(no), Some(no));
                v
            }
            other => {
                let v = self.pool.zeros(other == Mnemonic::Lzcnt, a);
                (s.cf, s.zf) = (Some(none), Some(self.pool.eq(v, zero)));
                v
            }
        };
        self.set(i, s, 0, v)
    }

    /// Bit tests on registers; with memory and a register they reach beyond the operand.
    fn bit(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        let a = self.operand(i, s, 0)?;
        let width = self.pool.width(a);
        let index = match i.op1_kind() {
            OpKind::Register if i.op0_kind() == OpKind::Register => self.operand(i, s, 1)?,
            OpKind::Immediate8 => self.pool.val(u64::from(i.immediate8()), width),
            _ => return Err(self.no_model(i)),
        };
        let limit = self.pool.val(u64::from(width) - 1, width);
        let index = self.pool.and(index, limit);
        let one = self.pool.val(1, width);
        let mask = self.pool.shift(Kind::Shl, one, index);
        let at = self.pool.shift(Kind::Shr, a, index);
        s.cf = Some(self.pool.low(at, 1));
        (s.sf, s.of, s.less) = (None, None, None);
        let v = match i.mnemonic() {
            Mnemonic::Btr => {
                let not = self.pool.not(mask);
                self.pool.and(a, not)
            }
            Mnemonic::Bts => self.pool.or(a, mask),
            Mnemonic::Btc => self.pool.xor(a, mask),
            _ => return Ok(()),
        };
        self.set(i, s, 0, v)
    }

    fn multiply(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        let signed = i.mnemonic() == Mnemonic::Imul;
        let count = i.op_count();
        if count > 1 {
            let (a, b) = if count == 2 {
                (self.operand(i, s, 0)?, self.operand(i, s, 1)?)
            } else {
                (self.operand(i, s, 1)?, self.operand(i, s, 2)?)
            };
            let v = self.pool.mul(a, b);
            s.flags_undefined();
            return self.set(i, s, 0, v);
        }
        let b = self.operand(i, s, 0)?;
        let width = self.pool.width(b);
        if width < 32 {
            return Err(self.no_model(i));
        }
        let a = self.pool.low(s.gpr[RAX], width);
        let (low, high) = (self.pool.mul(a, b), self.pool.mul_high(signed, a, b));
        s.gpr[RAX] = self.pool.zero_extend(low, 64);
        s.gpr[RDX] = self.pool.zero_extend(high, 64);
        s.flags_undefined();
        Ok(())
    }

    /// The dividend has to be the extension of its lower half, and the quotient has to fit: the
    /// host traps else.
    fn divide(&mut self, i: &Instruction, s: &mut State) -> Result<(), Refusal> {
        let signed = i.mnemonic() == Mnemonic::Idiv;
        let b = self.operand(i, s, 0)?;
        let width = self.pool.width(b);
        if width < 32 {
            return Err(self.no_model(i));
        }
        let p = &mut *self.pool;
        let (a, upper) = (p.low(s.gpr[RAX], width), p.low(s.gpr[RDX], width));
        let zero = p.val(0, width);
        let by_zero = p.eq(b, zero);
        let mut fits = p.not(by_zero);
        let extension = if signed {
            let sign = p.sign(a);
            let all = p.val(u64::MAX, width);
            let least = p.val(1 << (width - 1), width);
            let (x, y) = (p.eq(a, least), p.eq(b, all));
            let overflow = p.and(x, y);
            let no_overflow = p.not(overflow);
            fits = p.and(fits, no_overflow);
            p.sign_extend(sign, width)
        } else {
            zero
        };
        let extended = p.eq(upper, extension);
        let demand = p.and(fits, extended);
        let (quotient, remainder) = if signed {
            (Kind::DivS, Kind::RemS)
        } else {
            (Kind::DivU, Kind::RemU)
        };
        let (q, r) = (p.divide(quotient, a, b), p.divide(remainder, a, b));
        s.gpr[RAX] = p.zero_extend(q, 64);
        s.gpr[RDX] = p.zero_extend(r, 64);
        s.demands.push((demand, i.ip32()));
        s.flags_undefined();
        Ok(())
    }
}
