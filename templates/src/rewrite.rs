//! Idioms: several guest instructions that the host does in one.
//!
//! An instruction whose source is a deferred value is rewritten to one instruction that reads the
//! deferred one's own sources. The result is again an instruction of the ISA table (a rotate of
//! Zbb, an address computation of Zba, a 32-bit form), for which there is a template. Immediates
//! are not limited to 12 bits here, and `sh1add` to `sh3add` have one: it is added.

use crate::emit::{Emitter, Lazy};
use hartlog_isa::{Inst, Op};

/// Whether a deferred instruction of this kind has a reader that can fold it.
pub fn foldable(op: Op) -> bool {
    matches!(
        op,
        Op::Slli
            | Op::Srli
            | Op::Srai
            | Op::Slliw
            | Op::Srliw
            | Op::Add
            | Op::Addi
            | Op::Addiw
            | Op::AddUw
            | Op::SlliUw
            | Op::Sh1add
            | Op::Sh2add
            | Op::Sh3add
            | Op::Sh1addUw
            | Op::Sh2addUw
            | Op::Sh3addUw
            | Op::Slt
            | Op::Sltu
            | Op::Slti
            | Op::Sltiu
            | Op::Xori
            | Op::Mul
            | Op::Sub
            | Op::Andi
            | Op::ZextH
    )
}

/// An instruction while it is being rewritten.
#[derive(Clone, Copy)]
struct Form {
    op: Op,
    a: Operand,
    b: Operand,
    imm: i32,
}

/// A register operand of a [`Form`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    /// The guest's own operand: its value may still be deferred.
    Guest(u8),
    /// The home of a register, as a deferred instruction reads it.
    Home(u8),
    /// The format has no such operand.
    Absent,
}

impl Operand {
    fn register(self) -> u8 {
        match self {
            Operand::Guest(r) | Operand::Home(r) => r,
            Operand::Absent => 0,
        }
    }
}

const X0: Operand = Operand::Home(0);

impl Form {
    fn of(inst: &Inst) -> Form {
        let (a, b) = inst.sources();
        let operand = |r: Option<u8>| r.map_or(Operand::Absent, Operand::Guest);
        Form {
            op: inst.op,
            a: operand(a),
            b: operand(b),
            imm: inst.imm,
        }
    }

    fn unary(op: Op, a: Operand, imm: i32) -> Form {
        Form {
            op,
            a,
            b: Operand::Absent,
            imm,
        }
    }

    fn binary(op: Op, a: Operand, b: Operand) -> Form {
        Form { op, a, b, imm: 0 }
    }

    /// `mul` or `mulw` by the immediate: x0 is the second operand.
    fn multiple(word: bool, a: Operand, factor: i32) -> Form {
        let op = if word { Op::Mulw } else { Op::Mul };
        Form {
            op,
            a,
            b: X0,
            imm: factor,
        }
    }

    fn is_multiple(&self) -> bool {
        matches!(self.op, Op::Mul | Op::Mulw) && self.b == X0 && self.imm != 0
    }

    fn finish(self, original: &Inst) -> Inst {
        let (rs1, rs2) = (self.a.register(), self.b.register());
        Inst {
            op: self.op,
            rd: original.rd,
            rs1,
            rs2,
            len: original.len,
            imm: self.imm,
            raw: original.raw,
        }
    }
}

fn commutes(op: Op) -> bool {
    matches!(
        op,
        Op::Add
            | Op::And
            | Op::Or
            | Op::Xor
            | Op::Xnor
            | Op::Addw
            | Op::Mul
            | Op::Mulw
            | Op::Mulh
            | Op::Mulhu
            | Op::Min
            | Op::Max
            | Op::Minu
            | Op::Maxu
    )
}

fn shift_add(shift: i32) -> Option<Op> {
    [Op::Sh1add, Op::Sh2add, Op::Sh3add]
        .get(usize::try_from(shift).ok()?.checked_sub(1)?)
        .copied()
}

fn shift_add_uw(shift: i32) -> Option<Op> {
    [Op::AddUw, Op::Sh1addUw, Op::Sh2addUw, Op::Sh3addUw]
        .get(usize::try_from(shift).ok()?)
        .copied()
}

impl Emitter<'_> {
    /// Folds deferred sources into a pure instruction. Afterwards it reads homes only.
    pub(crate) fn rewrite(&mut self, original: Inst) -> Inst {
        let (a, b) = original.sources();
        let plain = |r: Option<u8>| r.is_none_or(|r| r != 0 && !self.is_deferred(r));
        if plain(a) && plain(b) {
            return original;
        }
        let mut form = Form::of(&original);
        loop {
            if let Some(next) = self.fold_constant(&form).or_else(|| self.fold(&form)) {
                form = next;
                continue;
            }
            // What could not be folded is computed now. That may overwrite homes that were folded
            // already, so start again.
            let pending = [form.a, form.b]
                .into_iter()
                .find_map(|operand| match operand {
                    Operand::Guest(r) if self.lazy(r).is_some() => Some(r),
                    _ => None,
                });
            match pending {
                Some(r) => {
                    self.rotate_for_mask(&form, r);
                    self.settle(r);
                    form = Form::of(&original);
                }
                None => return form.finish(&original),
            }
        }
    }

    /// Of what is shifted right for a mask alone, what the mask leaves may be rotated there: that
    /// needs no copy.
    fn rotate_for_mask(&mut self, form: &Form, r: u8) {
        let Some(Lazy::Inst(shift)) = self.lazy(r) else {
            return;
        };
        let (op, bits) = match shift.op {
            Op::Srli => (Op::Rori, 64),
            Op::Srliw => (Op::Roriw, 32),
            _ => return,
        };
        let left = bits - shift.imm;
        let inside = form.imm >= 0 && (left >= 31 || form.imm >> left == 0);
        let last = self.remaining_uses(r) == 1 && !self.is_left_with(r);
        if form.op == Op::Andi && inside && last && shift.rs1 != r {
            self.set_lazy(r, Lazy::Inst(Inst { op, ..shift }));
        }
    }

    fn known(&self, operand: Operand) -> Option<i64> {
        match operand {
            Operand::Guest(0) | X0 => Some(0),
            Operand::Guest(r) => match self.lazy(r) {
                Some(Lazy::Const(c)) => Some(c),
                _ => None,
            },
            _ => None,
        }
    }

    fn deferred(&self, operand: Operand) -> Option<Inst> {
        match operand {
            Operand::Guest(r) => match self.lazy(r) {
                Some(Lazy::Inst(inst)) => Some(inst),
                _ => None,
            },
            _ => None,
        }
    }

    /// A two-register form with a constant operand becomes the immediate form.
    fn fold_constant(&self, f: &Form) -> Option<Form> {
        if f.b == Operand::Absent || f.is_multiple() {
            return None;
        }
        let (ca, cb) = (self.known(f.a), self.known(f.b));
        let Some(c) = cb else {
            // Only the first is constant: turn round what commutes (not x0: there are templates
            // for it).
            return (ca.is_some() && commutes(f.op)).then(|| Form::binary(f.op, f.b, f.a));
        };
        let imm = i32::try_from(c).ok();
        let unary = |op: Op, imm: i32| Some(Form::unary(op, f.a, imm));
        match f.op {
            Op::Add => unary(Op::Addi, imm?),
            Op::Sub => unary(Op::Addi, imm?.checked_neg()?),
            Op::And => unary(Op::Andi, imm?),
            Op::Or => unary(Op::Ori, imm?),
            Op::Xor => unary(Op::Xori, imm?),
            Op::Slt => unary(Op::Slti, imm?),
            Op::Sltu => unary(Op::Sltiu, imm?),
            Op::Andn => unary(Op::Andi, !imm?),
            Op::Orn => unary(Op::Ori, !imm?),
            Op::Xnor => unary(Op::Xori, !imm?),
            Op::Sll => unary(Op::Slli, (c & 63) as i32),
            Op::Srl => unary(Op::Srli, (c & 63) as i32),
            Op::Sra => unary(Op::Srai, (c & 63) as i32),
            Op::Ror => unary(Op::Rori, (c & 63) as i32),
            Op::Rol => unary(Op::Rori, (c.wrapping_neg() & 63) as i32),
            Op::Addw => unary(Op::Addiw, c as i32),
            Op::Subw => unary(Op::Addiw, (c as i32).wrapping_neg()),
            Op::Sllw => unary(Op::Slliw, (c & 31) as i32),
            Op::Srlw => unary(Op::Srliw, (c & 31) as i32),
            Op::Sraw => unary(Op::Sraiw, (c & 31) as i32),
            Op::Rorw => unary(Op::Roriw, (c & 31) as i32),
            Op::Rolw => unary(Op::Roriw, (c.wrapping_neg() & 31) as i32),
            Op::Bclr => unary(Op::Bclri, (c & 63) as i32),
            Op::Bset => unary(Op::Bseti, (c & 63) as i32),
            Op::Binv => unary(Op::Binvi, (c & 63) as i32),
            Op::Bext => unary(Op::Bexti, (c & 63) as i32),
            Op::Mul if c > 0 && c & (c - 1) == 0 => unary(Op::Slli, c.trailing_zeros() as i32),
            Op::Mul if c != 0 => Some(Form::multiple(false, f.a, imm?)),
            Op::Mulw if c as i32 != 0 => Some(Form::multiple(true, f.a, c as i32)),
            Op::AddUw if c == 0 => None,
            _ => None,
        }
    }

    /// Multiples of one value, or that value and a multiple of it, added or subtracted: another
    /// multiple, as compilers write products with a constant.
    fn sum_of_multiples(&self, f: &Form) -> Option<Form> {
        let (minus, word) = match f.op {
            Op::Add => (false, false),
            Op::Sub => (true, false),
            Op::Addw => (false, true),
            Op::Subw => (true, true),
            _ => return None,
        };
        let factor_of = |operand: Operand| match (self.deferred(operand), operand) {
            (Some(x), _) => factor(&x, word),
            (None, Operand::Guest(r)) if self.lazy(r).is_none() => Some((r, 1)),
            (None, Operand::Home(r)) => Some((r, 1)),
            _ => None,
        };
        let ((r, a), (other, b)) = (factor_of(f.a)?, factor_of(f.b)?);
        // Addresses are computed for nothing.
        let scaled = !minus && !word && a.min(b) == 1 && matches!(a.max(b), 2 | 4 | 8);
        if r != other || r == 0 || scaled {
            return None;
        }
        let sum = if minus {
            a.wrapping_sub(b)
        } else {
            a.wrapping_add(b)
        };
        let sum = if word { i64::from(sum as i32) } else { sum };
        let sum = i32::try_from(sum).ok().filter(|sum| *sum != 0)?;
        Some(Form::multiple(word, Operand::Home(r), sum))
    }

    /// One step of folding deferred instructions.
    fn fold(&self, f: &Form) -> Option<Form> {
        let (la, lb) = (self.deferred(f.a), self.deferred(f.b));
        if la.is_none() && lb.is_none() {
            return None;
        }
        if let (Some(x), Some(y)) = (la, lb)
            && let Some(rotate) = rotation(f.op, &x, &y)
        {
            return Some(rotate);
        }
        if let Some(multiple) = self.sum_of_multiples(f) {
            return Some(multiple);
        }
        if let Some(x) = la
            && let Some(form) = fold_first(f, &x)
        {
            return Some(form);
        }
        if let Some(y) = lb {
            if let Some(form) = fold_second(f, &y) {
                return Some(form);
            }
            if commutes(f.op) && la.is_none() {
                return fold_first(&Form::binary(f.op, f.b, f.a), &y);
            }
        } else if la.is_some() && commutes(f.op) {
            return fold_second(&Form::binary(f.op, f.b, f.a), &la?);
        }
        None
    }
}

/// The register and the factor of a deferred multiple.
fn factor(x: &Inst, word: bool) -> Option<(u8, i64)> {
    match x.op {
        Op::Slli => Some((x.rs1, 1 << x.imm)),
        Op::Slliw if word => Some((x.rs1, 1 << x.imm)),
        Op::Mul if x.rs2 == 0 => Some((x.rs1, i64::from(x.imm))),
        Op::Mulw if x.rs2 == 0 && word => Some((x.rs1, i64::from(x.imm))),
        _ => None,
    }
}

/// Two shifts of one value in opposite directions whose bits do not overlap.
fn rotation(op: Op, x: &Inst, y: &Inst) -> Option<Form> {
    if !matches!(op, Op::Or | Op::Xor | Op::Add | Op::Addw) || x.rs1 != y.rs1 || x.rs1 == 0 {
        return None;
    }
    let (left, right) = if matches!(x.op, Op::Slli | Op::Slliw) {
        (x, y)
    } else {
        (y, x)
    };
    let source = Operand::Home(x.rs1);
    match (left.op, right.op) {
        (Op::Slli, Op::Srli) if op != Op::Addw && left.imm + right.imm == 64 => {
            Some(Form::unary(Op::Rori, source, right.imm))
        }
        (Op::Slliw, Op::Srliw) if left.imm + right.imm == 32 => {
            Some(Form::unary(Op::Roriw, source, right.imm))
        }
        _ => None,
    }
}

/// Folds the deferred first operand `x` into `f`.
fn fold_first(f: &Form, x: &Inst) -> Option<Form> {
    let source = Operand::Home(x.rs1);
    let (i, j) = (x.imm, f.imm);
    let unary = |op: Op, imm: i32| Some(Form::unary(op, source, imm));
    match (f.op, x.op) {
        // Fields cut out by a pair of shifts.
        (Op::Srli, Op::Slli) if i == 32 && j == 32 => Some(Form::binary(Op::AddUw, source, X0)),
        (Op::Srli, Op::Slli) if i == 32 && j < 32 => unary(Op::SlliUw, 32 - j),
        (Op::Srli, Op::Slli) if i == 32 => unary(Op::Srliw, j - 32),
        (Op::Srli, Op::Slli) if i == j && i >= 33 => {
            unary(Op::Andi, ((1u64 << (64 - i)) - 1) as i32)
        }
        (Op::Srai, Op::Slli) if i == 32 && j >= 32 => unary(Op::Sraiw, j - 32),
        (Op::Srai, Op::Slli) if i == 48 && j == 48 => unary(Op::SextH, 0),
        (Op::Srai, Op::Slli) if i == 56 && j == 56 => unary(Op::SextB, 0),
        (Op::Sraiw, Op::Slliw) if i == 16 && j == 16 => unary(Op::SextH, 0),
        (Op::Sraiw, Op::Slliw) if i == 24 && j == 24 => unary(Op::SextB, 0),
        (Op::Srliw, Op::Slliw) if i == j && i > 0 => {
            unary(Op::Andi, ((1u64 << (32 - i)) - 1) as i32)
        }
        (Op::Andi, Op::Srli) if j == 1 => unary(Op::Bexti, i),
        (Op::Andi, Op::Andi) => unary(Op::Andi, i & j),
        // Sums of constants.
        (Op::Addi, Op::Addi) => unary(Op::Addi, i.checked_add(j)?),
        (Op::Addiw, Op::Addi | Op::Addiw) => unary(Op::Addiw, i.wrapping_add(j)),
        // The sign extension after a 64-bit operation.
        (Op::Addiw, Op::Add) if j == 0 => {
            Some(Form::binary(Op::Addw, source, Operand::Home(x.rs2)))
        }
        (Op::Addiw, Op::Sub) if j == 0 => {
            Some(Form::binary(Op::Subw, source, Operand::Home(x.rs2)))
        }
        (Op::Addiw, Op::Mul) if j == 0 => Some(Form {
            op: Op::Mulw,
            a: source,
            b: Operand::Home(x.rs2),
            imm: i,
        }),
        (Op::Slli, Op::Mul) if x.rs2 == 0 && i != 0 => {
            let factor = i64::from(i).checked_mul(1i64.checked_shl(j as u32)?)?;
            Some(Form::multiple(false, source, i32::try_from(factor).ok()?))
        }
        (Op::Addiw, Op::Slli) if j == 0 && i < 32 => unary(Op::Slliw, i),
        // Scaled indices less or more a constant.
        (Op::Slli, Op::Addi) => {
            let imm = i32::try_from(i64::from(i) << j).ok()?;
            let sum = Form::binary(shift_add(j)?, source, X0);
            Some(Form { imm, ..sum })
        }
        (Op::Add, Op::Sh1add | Op::Sh2add | Op::Sh3add) if x.rs2 == 0 => {
            let sum = Form::binary(x.op, source, f.b);
            Some(Form { imm: i, ..sum })
        }
        // Scaled zero-extended indices.
        (Op::Slli, Op::AddUw) if x.rs2 == 0 => unary(Op::SlliUw, j),
        (Op::Add, Op::AddUw) if x.rs2 == 0 => Some(Form::binary(Op::AddUw, source, f.b)),
        (Op::Add, Op::Slli) => Some(Form::binary(shift_add(i)?, source, f.b)),
        (Op::Add, Op::SlliUw) => Some(Form::binary(shift_add_uw(i)?, source, f.b)),
        _ => None,
    }
}

/// Folds the deferred second operand `y` into `f`.
fn fold_second(f: &Form, y: &Inst) -> Option<Form> {
    let source = Operand::Home(y.rs1);
    match (f.op, y.op) {
        (Op::And, Op::Xori) if y.imm == -1 => Some(Form::binary(Op::Andn, f.a, source)),
        (Op::Or, Op::Xori) if y.imm == -1 => Some(Form::binary(Op::Orn, f.a, source)),
        (Op::Xor, Op::Xori) if y.imm == -1 => Some(Form::binary(Op::Xnor, f.a, source)),
        _ => None,
    }
}
