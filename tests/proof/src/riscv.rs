//! Guest instructions as formulas, written from the RISC-V unprivileged specification
//! (20240411), independently of the interpreter; `tests/semantics.rs` compares the two.

use crate::term::{Kind, Pool, Term};
use hartlog_format::contract::WINDOW;
use hartlog_format::layout::GUEST_MIN;
use hartlog_isa::{Effect, Flow, Format, Inst, Op, Width};
use templates::block::{Follow, Step, skipped};

/// How the guest leaves a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestEnd {
    /// The budget does not cover the block: nothing was executed.
    Refused,
    /// Goes on at this pc.
    Next(u64),
    /// Goes on at the pc in a term.
    Indirect(Term),
    /// The `ecall` at this pc retired.
    Ecall(u64),
    /// The instruction at this pc traps.
    Trap(u64),
    /// Replay: an address outside the window.
    Outside,
}

/// An access to memory.
#[derive(Clone, Copy, Debug)]
pub struct GuestAccess {
    /// A write, else a read.
    pub write: bool,
    /// The low 32 bits of the address.
    pub addr: Term,
    /// Width.
    pub width: Width,
    /// Value, as many bits as the width.
    pub value: Term,
    /// The instruction.
    pub pc: u64,
    /// Instructions of the block retired before.
    pub retired: u32,
    /// Bytes logged before the instruction.
    pub log: u32,
}

/// A path through a block.
#[derive(Clone, Debug)]
pub struct GuestPath {
    /// x0 to x31.
    pub x: [Term; 32],
    /// The reservation.
    pub reservation: Term,
    /// Accesses, in order.
    pub accesses: Vec<GuestAccess>,
    /// Instructions retired.
    pub retired: u32,
    /// Bytes logged.
    pub log: u32,
    /// Conditions under which it is taken.
    pub path: Vec<Term>,
    /// How it ends.
    pub end: GuestEnd,
}

/// What the formulas depend on beside the registers.
pub struct Guest<'a> {
    /// All terms.
    pub pool: &'a mut Pool,
    /// Addresses are checked to fit 32 bits; else they are taken modulo 2^32.
    pub checked: bool,
    /// There is no access, but a check of its whole address (replay).
    pub replay: bool,
    /// What stands for a certain immediate.
    pub immediate: Option<(i64, Term)>,
    /// The budget at the start of the block.
    pub budget: Term,
}

/// An operation on 64-bit operands, `b` being rs2 or the immediate. `None` for what does more than
/// to compute.
pub fn value(p: &mut Pool, op: Op, a: Term, b: Term, pc: u64) -> Option<Term> {
    use Op::*;
    let (a32, b32) = (p.low(a, 32), p.low(b, 32));
    // The low bits of the second operand that name a shift amount or a bit.
    let amount = |p: &mut Pool, bits: u8, width: u8| {
        let low = p.low(b, bits);
        p.zero_extend(low, width)
    };
    let word = |p: &mut Pool, v: Term| p.sign_extend(v, 64);
    let truth = |p: &mut Pool, c: Term| p.zero_extend(c, 64);
    // Rotation to the right: both shifts, the second by what is left of the width.
    let rotate = |p: &mut Pool, v: Term, left: bool| {
        let width = p.width(v);
        let bits = width.trailing_zeros() as u8;
        let by = amount(p, bits, width);
        let minus = p.neg(by);
        let limit = p.val(u64::from(width) - 1, width);
        let back = p.and(minus, limit);
        let (l, r) = if left { (by, back) } else { (back, by) };
        let (x, y) = (p.shift(Kind::Shl, v, l), p.shift(Kind::Shr, v, r));
        p.or(x, y)
    };
    let unsigned_word = |p: &mut Pool| p.zero_extend(a32, 64);
    let scaled = |p: &mut Pool, v: Term, by: u64| {
        let v = p.shift_by(Kind::Shl, v, by);
        p.add(v, b)
    };
    let bit = |p: &mut Pool| {
        let at = amount(p, 6, 64);
        let one = p.val(1, 64);
        p.shift(Kind::Shl, one, at)
    };
    let result = match op {
        Lui => b,
        Auipc => {
            let pc = p.val(pc, 64);
            p.add(pc, b)
        }
        Add | Addi => p.add(a, b),
        Sub => p.sub(a, b),
        And | Andi => p.and(a, b),
        Or | Ori => p.or(a, b),
        Xor | Xori => p.xor(a, b),
        Slt | Slti => {
            let less = p.less_s(a, b);
            truth(p, less)
        }
        Sltu | Sltiu => {
            let less = p.less_u(a, b);
            truth(p, less)
        }
        Sll | Slli => {
            let by = amount(p, 6, 64);
            p.shift(Kind::Shl, a, by)
        }
        Srl | Srli => {
            let by = amount(p, 6, 64);
            p.shift(Kind::Shr, a, by)
        }
        Sra | Srai => {
            let by = amount(p, 6, 64);
            p.shift(Kind::Sar, a, by)
        }
        Addw | Addiw => {
            let v = p.add(a32, b32);
            word(p, v)
        }
        Subw => {
            let v = p.sub(a32, b32);
            word(p, v)
        }
        Sllw | Slliw => {
            let by = amount(p, 5, 32);
            let v = p.shift(Kind::Shl, a32, by);
            word(p, v)
        }
        Srlw | Srliw => {
            let by = amount(p, 5, 32);
            let v = p.shift(Kind::Shr, a32, by);
            word(p, v)
        }
        Sraw | Sraiw => {
            let by = amount(p, 5, 32);
            let v = p.shift(Kind::Sar, a32, by);
            word(p, v)
        }
        Mul => p.mul(a, b),
        Mulh => p.mul_high(true, a, b),
        Mulhu => p.mul_high(false, a, b),
        Mulhsu => {
            // The unsigned one less rs2 if rs1 is negative (lemmas.rs).
            let high = p.mul_high(false, a, b);
            let zero = p.val(0, 64);
            let sign = p.sign(a);
            let less = p.ite(sign, b, zero);
            p.sub(high, less)
        }
        Mulw => {
            let v = p.mul(a32, b32);
            word(p, v)
        }
        Div | Divu | Rem | Remu => divide(p, op, a, b),
        Divw | Divuw | Remw | Remuw => {
            let v = divide(p, op, a32, b32);
            word(p, v)
        }
        AddUw => {
            let v = unsigned_word(p);
            scaled(p, v, 0)
        }
        Sh1add => scaled(p, a, 1),
        Sh2add => scaled(p, a, 2),
        Sh3add => scaled(p, a, 3),
        Sh1addUw => {
            let v = unsigned_word(p);
            scaled(p, v, 1)
        }
        Sh2addUw => {
            let v = unsigned_word(p);
            scaled(p, v, 2)
        }
        Sh3addUw => {
            let v = unsigned_word(p);
            scaled(p, v, 3)
        }
        SlliUw => {
            let v = unsigned_word(p);
            let by = amount(p, 6, 64);
            p.shift(Kind::Shl, v, by)
        }
        Andn => {
            let v = p.not(b);
            p.and(a, v)
        }
        Orn => {
            let v = p.not(b);
            p.or(a, v)
        }
        Xnor => {
            let v = p.xor(a, b);
            p.not(v)
        }
        Clz => p.zeros(true, a),
        Ctz => p.zeros(false, a),
        Cpop => p.population(a),
        Clzw => {
            let v = p.zeros(true, a32);
            p.zero_extend(v, 64)
        }
        Ctzw => {
            let v = p.zeros(false, a32);
            p.zero_extend(v, 64)
        }
        Cpopw => {
            let v = p.population(a32);
            p.zero_extend(v, 64)
        }
        Max => {
            let less = p.less_s(a, b);
            p.ite(less, b, a)
        }
        Maxu => {
            let less = p.less_u(a, b);
            p.ite(less, b, a)
        }
        Min => {
            let less = p.less_s(a, b);
            p.ite(less, a, b)
        }
        Minu => {
            let less = p.less_u(a, b);
            p.ite(less, a, b)
        }
        SextB => {
            let v = p.low(a, 8);
            p.sign_extend(v, 64)
        }
        SextH => {
            let v = p.low(a, 16);
            p.sign_extend(v, 64)
        }
        ZextH => {
            let v = p.low(a, 16);
            p.zero_extend(v, 64)
        }
        Rol => rotate(p, a, true),
        Ror | Rori => rotate(p, a, false),
        Rolw => {
            let v = rotate(p, a32, true);
            word(p, v)
        }
        Rorw | Roriw => {
            let v = rotate(p, a32, false);
            word(p, v)
        }
        OrcB => {
            let mut bytes = Vec::new();
            for k in 0..8 {
                let byte = p.extract(a, 8 * k, 8);
                let (zero, all) = (p.val(0, 8), p.val(0xff, 8));
                let empty = p.eq(byte, zero);
                bytes.push(p.ite(empty, zero, all));
            }
            joined(p, bytes.into_iter())
        }
        Rev8 => {
            let bytes: Vec<Term> = (0..8).rev().map(|k| p.extract(a, 8 * k, 8)).collect();
            joined(p, bytes.into_iter())
        }
        Bclr | Bclri => {
            let mask = bit(p);
            let not = p.not(mask);
            p.and(a, not)
        }
        Bset | Bseti => {
            let mask = bit(p);
            p.or(a, mask)
        }
        Binv | Binvi => {
            let mask = bit(p);
            p.xor(a, mask)
        }
        Bext | Bexti => {
            let by = amount(p, 6, 64);
            let v = p.shift(Kind::Shr, a, by);
            let one = p.low(v, 1);
            p.zero_extend(one, 64)
        }
        Jal | Jalr | Beq | Bne | Blt | Bge | Bltu | Bgeu | Lb | Lh | Lw | Ld | Lbu | Lhu | Lwu
        | Sb | Sh | Sw | Sd | Fence | FenceI | Ecall | Ebreak | Csrrw | Csrrs | Csrrc | Csrrwi
        | Csrrsi | Csrrci | LrW | ScW | AmoswapW | AmoaddW | AmoxorW | AmoandW | AmoorW
        | AmominW | AmomaxW | AmominuW | AmomaxuW | LrD | ScD | AmoswapD | AmoaddD | AmoxorD
        | AmoandD | AmoorD | AmominD | AmomaxD | AmominuD | AmomaxuD => return None,
    };
    Some(result)
}

/// Bytes, lowest first.
fn joined(p: &mut Pool, mut bytes: impl Iterator<Item = Term>) -> Term {
    let first = bytes.next().unwrap_or_else(|| p.val(0, 8));
    bytes.fold(first, |low, byte| p.concat(byte, low))
}

/// Division (chapter 12.2): by zero the quotient has all bits set and the remainder is the
/// dividend; on signed overflow the quotient is the dividend and the remainder 0.
fn divide(p: &mut Pool, op: Op, a: Term, b: Term) -> Term {
    let width = p.width(a);
    let (zero, all) = (p.val(0, width), p.val(u64::MAX, width));
    let (kind, quotient, signed) = match op {
        Op::Div | Op::Divw => (Kind::DivS, true, true),
        Op::Divu | Op::Divuw => (Kind::DivU, true, false),
        Op::Rem | Op::Remw => (Kind::RemS, false, true),
        _ => (Kind::RemU, false, false),
    };
    let mut result = p.divide(kind, a, b);
    if signed {
        let least = p.val(1 << (width - 1), width);
        let (x, y) = (p.eq(a, least), p.eq(b, all));
        let overflow = p.and(x, y);
        result = p.ite(overflow, if quotient { a } else { zero }, result);
    }
    let by_zero = p.eq(b, zero);
    p.ite(by_zero, if quotient { all } else { a }, result)
}

/// Whether a branch is taken.
pub fn taken(p: &mut Pool, op: Op, a: Term, b: Term) -> Option<Term> {
    let (condition, holds) = match op {
        Op::Beq => (p.eq(a, b), true),
        Op::Bne => (p.eq(a, b), false),
        Op::Blt => (p.less_s(a, b), true),
        Op::Bge => (p.less_s(a, b), false),
        Op::Bltu => (p.less_u(a, b), true),
        Op::Bgeu => (p.less_u(a, b), false),
        _ => return None,
    };
    Some(if holds { condition } else { p.not(condition) })
}

/// What an AMO writes, from the old value and rs2, as many bits as the access.
pub fn combined(p: &mut Pool, op: Op, old: Term, b: Term) -> Option<Term> {
    use Op::*;
    let result = match op {
        AmoswapW | AmoswapD => b,
        AmoaddW | AmoaddD => p.add(old, b),
        AmoxorW | AmoxorD => p.xor(old, b),
        AmoandW | AmoandD => p.and(old, b),
        AmoorW | AmoorD => p.or(old, b),
        AmominW | AmominD => {
            let less = p.less_s(old, b);
            p.ite(less, old, b)
        }
        AmomaxW | AmomaxD => {
            let less = p.less_s(old, b);
            p.ite(less, b, old)
        }
        AmominuW | AmominuD => {
            let less = p.less_u(old, b);
            p.ite(less, old, b)
        }
        AmomaxuW | AmomaxuD => {
            let less = p.less_u(old, b);
            p.ite(less, b, old)
        }
        _ => return None,
    };
    Some(result)
}

impl Guest<'_> {
    /// All paths through a block.
    pub fn run(&mut self, steps: &[Step]) -> Vec<GuestPath> {
        let p = &mut *self.pool;
        let mut x = [p.val(0, 64); 32];
        for (r, term) in x.iter_mut().enumerate().skip(1) {
            *term = p.var(&format!("x{r}"), 64);
        }
        let count = p.val(steps.len() as u64, 64);
        let left = p.sub(self.budget, count);
        let refused = p.sign(left);
        let enough = p.not(refused);
        let start = GuestPath {
            x,
            reservation: p.var("reservation", 64),
            accesses: Vec::new(),
            retired: 0,
            log: 0,
            path: vec![refused],
            end: GuestEnd::Refused,
        };
        let mut out = vec![start.clone()];
        let mut todo = vec![(
            0,
            GuestPath {
                path: vec![enough],
                ..start
            },
        )];
        while let Some((at, path)) = todo.pop() {
            match steps.get(at) {
                Some(step) => {
                    let last = at + 1 == steps.len();
                    for (mut path, on) in self.step(step, path) {
                        match on {
                            On::End(end) => {
                                path.end = end;
                                out.push(path);
                            }
                            On::Next(pc) if last => {
                                path.end = GuestEnd::Next(pc);
                                out.push(path);
                            }
                            On::Next(pc) => {
                                // The next step, or the one behind those skipped, or out.
                                let skip = step.follow == Follow::Skip && pc != step.next();
                                let over = skipped(&steps[at + 1..]).len();
                                let to = at + 1 + if skip { over } else { 0 };
                                if steps.get(to).is_some_and(|s| s.pc == pc) {
                                    todo.push((to, path));
                                } else {
                                    path.end = GuestEnd::Next(pc);
                                    out.push(path);
                                }
                            }
                        }
                    }
                }
                None => out.push(path),
            }
        }
        out
    }

    /// Splits a path by a condition: where it holds, where it does not.
    fn split(&mut self, path: GuestPath, c: Term) -> (Option<GuestPath>, Option<GuestPath>) {
        match self.pool.constant(c) {
            Some(1) => (Some(path), None),
            Some(_) => (None, Some(path)),
            None => {
                let (mut yes, mut no) = (path.clone(), path);
                yes.path.push(c);
                no.path.push(self.pool.not(c));
                (Some(yes), Some(no))
            }
        }
    }

    /// One instruction: the paths that it leads to.
    fn step(&mut self, step: &Step, mut path: GuestPath) -> Vec<(GuestPath, On)> {
        let pc = step.pc;
        let Some(inst) = step.inst else {
            return vec![(path, On::End(GuestEnd::Trap(pc)))];
        };
        let (a, b) = (
            path.x[inst.rs1 as usize & 31],
            path.x[inst.rs2 as usize & 31],
        );
        let imm = i64::from(inst.imm);
        let imm_term = match self.immediate {
            Some((c, t)) if c == imm => t,
            _ => self.pool.val(imm as u64, 64),
        };
        let (next, target) = (step.next(), pc.wrapping_add(imm as u64));
        match inst.flow() {
            Flow::Trap => return vec![(path, On::End(GuestEnd::Trap(pc)))],
            Flow::Ecall => {
                path.retired += 1;
                return vec![(path, On::End(GuestEnd::Ecall(pc)))];
            }
            Flow::Jal => {
                let link = self.pool.val(next, 64);
                self.set(&mut path, inst.rd, link);
                path.retired += 1;
                return vec![(path, On::Next(target))];
            }
            Flow::Jalr => {
                let sum = self.pool.add(a, imm_term);
                let even = self.pool.val(!1, 64);
                let to = self.pool.and(sum, even);
                let link = self.pool.val(next, 64);
                self.set(&mut path, inst.rd, link);
                path.retired += 1;
                let on = match self.pool.constant(to) {
                    Some(pc) => On::Next(pc),
                    None => On::End(GuestEnd::Indirect(to)),
                };
                return vec![(path, on)];
            }
            Flow::Branch => {
                path.retired += 1;
                let Some(c) = taken(self.pool, inst.op, a, b) else {
                    return Vec::new();
                };
                let (yes, no) = self.split(path, c);
                let out = |pc| On::End(GuestEnd::Next(pc));
                let (to_target, to_next) = match step.follow {
                    Follow::Fall => (out(target), On::Next(next)),
                    Follow::Target => (On::Next(target), out(next)),
                    Follow::Skip => (On::Next(target), On::Next(next)),
                };
                let yes = yes.map(|p| (p, to_target));
                let no = no.map(|p| (p, to_next));
                return yes.into_iter().chain(no).collect();
            }
            Flow::Next => {}
        }
        if inst.op.effect() != Effect::None {
            return self.memory(&inst, pc, next, a, b, imm_term, path);
        }
        match inst.op.format() {
            Format::Csr | Format::CsrImm if inst.reads_counter() => {
                let end = self.pool.var("step_end", 64);
                let before = self.pool.sub(end, self.budget);
                let more = self.pool.val(u64::from(path.retired), 64);
                let count = self.pool.add(before, more);
                self.set(&mut path, inst.rd, count);
            }
            Format::Csr | Format::CsrImm => {
                return vec![(path, On::End(GuestEnd::Trap(pc)))];
            }
            Format::Fence | Format::FenceI => {}
            Format::R => {
                if let Some(v) = value(self.pool, inst.op, a, b, pc) {
                    self.set(&mut path, inst.rd, v);
                }
            }
            _ => {
                if let Some(v) = value(self.pool, inst.op, a, imm_term, pc) {
                    self.set(&mut path, inst.rd, v);
                }
            }
        }
        path.retired += 1;
        vec![(path, On::Next(next))]
    }

    fn set(&mut self, path: &mut GuestPath, rd: u8, value: Term) {
        if rd != 0 {
            path.x[rd as usize & 31] = value;
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn memory(
        &mut self,
        inst: &Inst,
        pc: u64,
        next: u64,
        a: Term,
        b: Term,
        imm: Term,
        path: GuestPath,
    ) -> Vec<(GuestPath, On)> {
        let Some(width) = inst.op.effect().width() else {
            return Vec::new();
        };
        let effect = inst.op.effect();
        let bits = 8 * width.bytes() as u8;
        let plain = matches!(effect, Effect::Read(_) | Effect::Write(_));
        let full = if plain { self.pool.add(a, imm) } else { a };
        let mut out = Vec::new();
        let mut todo = path;
        let trap = On::End(GuestEnd::Trap(pc));
        if !plain {
            let low = self.pool.low(full, width.bytes().trailing_zeros() as u8);
            let zero = self.pool.val(0, width.bytes().trailing_zeros() as u8);
            let aligned = self.pool.eq(low, zero);
            let (yes, no) = self.split(todo, aligned);
            out.extend(no.map(|p| (p, trap)));
            let Some(path) = yes else { return out };
            todo = path;
        }
        // A conditional store without reservation accesses nothing, and reservations are in the
        // window. Replay has no address for what only reads or writes.
        let conditional = matches!(effect, Effect::CondStore(_));
        if self.checked && !conditional && !(self.replay && plain) {
            let upper = self.pool.extract(full, 32, 32);
            let zero = self.pool.val(0, 32);
            let inside = self.pool.eq(upper, zero);
            let (yes, no) = self.split(todo, inside);
            out.extend(no.map(|p| (p, trap)));
            let Some(path) = yes else { return out };
            todo = path;
        }
        if self.replay && !conditional {
            let p = &mut *self.pool;
            let (first, last) = (
                p.val(GUEST_MIN, 64),
                WINDOW[width.bytes().trailing_zeros() as usize],
            );
            let offset = p.sub(full, first);
            let last = p.val(last, 64);
            let outside = p.less_u(last, offset);
            let (yes, no) = self.split(todo, outside);
            out.extend(yes.map(|p| (p, On::End(GuestEnd::Outside))));
            let Some(path) = no else { return out };
            todo = path;
        }
        let mut path = todo;
        let access = GuestAccess {
            write: false,
            addr: self.pool.low(full, 32),
            width,
            value: b,
            pc,
            retired: path.retired,
            log: path.log,
        };
        let stored = self.pool.low(b, bits);
        path.retired += 1;
        let on = On::Next(next);
        match effect {
            Effect::Write(_) => {
                path.accesses.push(GuestAccess {
                    write: true,
                    value: stored,
                    ..access
                });
            }
            Effect::CondStore(_) => {
                let held = self.pool.eq(path.reservation, full);
                path.reservation = self.pool.val(u64::MAX, 64);
                let (yes, no) = self.split(path, held);
                if let Some(mut path) = yes {
                    path.accesses.push(GuestAccess {
                        write: true,
                        value: stored,
                        ..access
                    });
                    let zero = self.pool.val(0, 64);
                    self.set(&mut path, inst.rd, zero);
                    out.push((path, on));
                }
                if let Some(mut path) = no {
                    let one = self.pool.val(1, 64);
                    self.set(&mut path, inst.rd, one);
                    out.push((path, on));
                }
                return out;
            }
            Effect::Read(_) | Effect::Reserve(_) | Effect::ReadWrite(_) | Effect::None => {
                let old = self.pool.var(&format!("read{}", path.log), bits);
                path.accesses.push(GuestAccess {
                    value: old,
                    ..access
                });
                path.log += width.bytes() as u32;
                if let Some(new) = combined(self.pool, inst.op, old, stored) {
                    path.accesses.push(GuestAccess {
                        write: true,
                        value: new,
                        ..access
                    });
                }
                if let Effect::Reserve(_) = effect {
                    path.reservation = self.pool.zero_extend(access.addr, 64);
                }
                let loaded = match inst.op {
                    Op::Lbu | Op::Lhu | Op::Lwu => self.pool.zero_extend(old, 64),
                    _ => self.pool.sign_extend(old, 64),
                };
                self.set(&mut path, inst.rd, loaded);
            }
        }
        out.push((path, on));
        out
    }
}

/// Where a path goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// At this pc.
    Next(u64),
    /// Nowhere in this block.
    End(GuestEnd),
}
