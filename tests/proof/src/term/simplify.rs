//! Constructors, which simplify.

use super::{Kind, Pool, Term, mask};
use std::collections::HashMap;

impl Pool {
    fn commuted(&mut self, kind: Kind, a: Term, b: Term) -> Term {
        // Constants go last, so that sums with constants are recognised.
        let key = |p: &Pool, t: Term| (p.constant(t).is_some(), t);
        let (a, b) = if key(self, a) <= key(self, b) {
            (a, b)
        } else {
            (b, a)
        };
        let width = self.width(a);
        self.build(kind, width, &[a, b])
    }

    /// a + b
    pub fn add(&mut self, a: Term, b: Term) -> Term {
        let width = self.width(a);
        let (a, b) = if self.constant(a).is_some() {
            (b, a)
        } else {
            (a, b)
        };
        if self.constant(b) == Some(0) {
            return a;
        }
        let (na, nb) = (self.node(a), self.node(b));
        if let Some(c) = self.constant(b)
            && na.kind == Kind::Add
            && let Some(d) = self.constant(na.args[1])
        {
            let sum = self.val(c.wrapping_add(d), width);
            return self.add(na.args[0], sum);
        }
        // Constants float outwards: (x + c) + y = (x + y) + c.
        for (x, y) in [(na, b), (nb, a)] {
            if x.kind == Kind::Add
                && self.constant(x.args[1]).is_some()
                && self.constant(y).is_none()
            {
                let inner = self.add(x.args[0], y);
                return self.add(inner, x.args[1]);
            }
        }
        if na.kind == Kind::Neg && na.args[0] == b || nb.kind == Kind::Neg && nb.args[0] == a {
            return self.val(0, width);
        }
        // (x + y) - y = x
        for (x, y) in [(na, nb), (nb, na)] {
            if x.kind == Kind::Add && y.kind == Kind::Neg {
                if x.args[0] == y.args[0] {
                    return x.args[1];
                }
                if x.args[1] == y.args[0] {
                    return x.args[0];
                }
            }
        }
        let ((x, c), (y, d)) = (self.multiple(a), self.multiple(b));
        if x == y && self.constant(x).is_none() {
            let factor = self.val(c.wrapping_add(d), width);
            return self.mul(x, factor);
        }
        self.commuted(Kind::Add, a, b)
    }

    /// A term as a value that is no multiple, and a factor.
    fn multiple(&self, a: Term) -> (Term, u64) {
        let n = self.node(a);
        let by = n.args.get(1).and_then(|t| self.constant(*t));
        match (n.kind, by) {
            (Kind::Mul, Some(c)) => (n.args[0], c),
            (Kind::Shl, Some(by)) if by < u64::from(n.width) => {
                let (x, c) = self.multiple(n.args[0]);
                (x, c << by)
            }
            (Kind::Neg, _) => {
                let (x, c) = self.multiple(n.args[0]);
                (x, c.wrapping_neg())
            }
            _ => (a, 1),
        }
    }

    /// a - b
    pub fn sub(&mut self, a: Term, b: Term) -> Term {
        let minus = self.neg(b);
        self.add(a, minus)
    }

    /// -a
    pub fn neg(&mut self, a: Term) -> Term {
        let n = self.node(a);
        match n.kind {
            Kind::Neg => n.args[0],
            // -(x + c) = -x + -c
            Kind::Add if self.constant(n.args[1]).is_some() => {
                let x = self.neg(n.args[0]);
                let c = self.neg(n.args[1]);
                self.add(x, c)
            }
            _ => self.build(Kind::Neg, n.width, &[a]),
        }
    }

    /// a & b
    pub fn and(&mut self, a: Term, b: Term) -> Term {
        let width = self.width(a);
        for (x, y) in [(a, b), (b, a)] {
            match self.constant(x) {
                Some(0) => return x,
                Some(c) if c == mask(width) => return y,
                // The low bits.
                Some(c) if c & (c + 1) == 0 => {
                    let low = self.low(y, c.count_ones() as u8);
                    return self.zero_extend(low, width);
                }
                _ => {}
            }
        }
        if a == b {
            return a;
        }
        self.commuted(Kind::And, a, b)
    }

    /// a | b
    pub fn or(&mut self, a: Term, b: Term) -> Term {
        let width = self.width(a);
        for (x, y) in [(a, b), (b, a)] {
            match self.constant(x) {
                Some(0) => return y,
                Some(c) if c == mask(width) => return x,
                _ => {}
            }
        }
        if a == b {
            return a;
        }
        // x < y or x = y: not y < x
        for (less, equal) in [(a, b), (b, a)] {
            let n = self.node(less);
            let [x, y, _] = n.args;
            match n.kind {
                Kind::LessU => {
                    for y in [y, self.sub(x, y)] {
                        if self.eq(x, y) == equal {
                            let greater = self.less_u(y, x);
                            return self.not(greater);
                        }
                    }
                }
                Kind::LessS if self.eq(x, y) == equal => {
                    let greater = self.less_s(y, x);
                    return self.not(greater);
                }
                _ => {}
            }
        }
        self.commuted(Kind::Or, a, b)
    }

    /// a ^ b
    pub fn xor(&mut self, a: Term, b: Term) -> Term {
        let width = self.width(a);
        for (x, y) in [(a, b), (b, a)] {
            match self.constant(x) {
                Some(0) => return y,
                Some(c) if c == mask(width) => return self.not(y),
                _ => {}
            }
        }
        if a == b {
            return self.val(0, width);
        }
        self.commuted(Kind::Xor, a, b)
    }

    /// ~a
    pub fn not(&mut self, a: Term) -> Term {
        let n = self.node(a);
        if n.kind == Kind::Not {
            return n.args[0];
        }
        self.build(Kind::Not, n.width, &[a])
    }

    /// a * b
    pub fn mul(&mut self, a: Term, b: Term) -> Term {
        for (x, y) in [(a, b), (b, a)] {
            match self.constant(x) {
                Some(0) => return x,
                Some(1) => return y,
                Some(c) if self.constant(y).is_none() => {
                    let width = self.width(y);
                    let (base, d) = self.multiple(y);
                    if base != y {
                        let factor = self.val(c.wrapping_mul(d), width);
                        return self.mul(base, factor);
                    }
                    if c.is_power_of_two() {
                        return self.shift_by(Kind::Shl, y, u64::from(c.trailing_zeros()));
                    }
                    let all = self.val(u64::MAX, width);
                    if x == all {
                        return self.neg(y);
                    }
                }
                _ => {}
            }
        }
        self.commuted(Kind::Mul, a, b)
    }

    /// Upper half of the product.
    pub fn mul_high(&mut self, signed: bool, a: Term, b: Term) -> Term {
        if let Some(zero) = [a, b].into_iter().find(|t| self.constant(*t) == Some(0)) {
            return zero;
        }
        self.commuted(
            if signed {
                Kind::MulHighS
            } else {
                Kind::MulHighU
            },
            a,
            b,
        )
    }

    /// Quotient or remainder: [`Kind::DivU`] and so on.
    pub fn divide(&mut self, kind: Kind, a: Term, b: Term) -> Term {
        let width = self.width(a);
        let by = self.constant(b);
        match kind {
            Kind::DivS if by == Some(mask(width)) => return self.neg(a),
            Kind::RemS if by == Some(mask(width)) => return self.val(0, width),
            Kind::DivU | Kind::DivS if by == Some(1) => return a,
            Kind::RemU | Kind::RemS if by == Some(1) => return self.val(0, width),
            _ => {}
        }
        self.build(kind, width, &[a, b])
    }

    /// A shift: [`Kind::Shl`], [`Kind::Shr`] or [`Kind::Sar`].
    pub fn shift(&mut self, kind: Kind, a: Term, amount: Term) -> Term {
        if self.constant(amount) == Some(0) {
            return a;
        }
        let width = self.width(a);
        if kind == Kind::Shr && self.constant(amount) == Some(1) {
            // The last bit is shifted out, and an even number does not change it.
            let n = self.node(a);
            if n.kind == Kind::Add && self.constant(n.args[1]).is_some_and(|c| c % 2 == 0) {
                let x = self.node(n.args[0]);
                let even = Some(mask(width) - 1);
                if x.kind == Kind::And && self.constant(x.args[1]) == even {
                    let sum = self.add(x.args[0], n.args[1]);
                    return self.shift(Kind::Shr, sum, amount);
                }
            }
        }
        if kind == Kind::Shl
            && let Some(by) = self.constant(amount)
            && by < u64::from(width)
        {
            let (x, c) = self.multiple(a);
            if x != a {
                let factor = self.val(c << by, width);
                return self.mul(x, factor);
            }
        }
        self.build(kind, width, &[a, amount])
    }

    /// A shift by a number.
    pub fn shift_by(&mut self, kind: Kind, a: Term, amount: u64) -> Term {
        let width = self.width(a);
        let amount = self.val(amount, width);
        self.shift(kind, a, amount)
    }

    /// a == b
    pub fn eq(&mut self, a: Term, b: Term) -> Term {
        if a == b {
            return self.bool(true);
        }
        let (a, b) = if self.constant(a).is_some() || (self.constant(b).is_none() && b < a) {
            (b, a)
        } else {
            (a, b)
        };
        let (n, width) = (self.node(a), self.width(a));
        if let Some(c) = self.constant(b) {
            if width == 1 {
                return if c == 1 { a } else { self.not(a) };
            }
            match n.kind {
                // x + y = 0 for y = -z, and x + d = c
                Kind::Add if self.constant(n.args[1]).is_some() => {
                    let rest = self.sub(b, n.args[1]);
                    return self.eq(n.args[0], rest);
                }
                Kind::Add if c == 0 && self.node(n.args[1]).kind == Kind::Neg => {
                    let y = self.node(n.args[1]).args[0];
                    return self.eq(n.args[0], y);
                }
                Kind::Add if c == 0 && self.node(n.args[0]).kind == Kind::Neg => {
                    let x = self.node(n.args[0]).args[0];
                    return self.eq(x, n.args[1]);
                }
                Kind::Neg => {
                    let minus = self.neg(b);
                    return self.eq(n.args[0], minus);
                }
                Kind::ZeroExtend if c <= mask(self.width(n.args[0])) => {
                    let inner = self.width(n.args[0]);
                    let c = self.val(c, inner);
                    return self.eq(n.args[0], c);
                }
                _ => {}
            }
        }
        self.build(Kind::Eq, 1, &[a, b])
    }

    /// a < b, unsigned.
    pub fn less_u(&mut self, a: Term, b: Term) -> Term {
        if a == b {
            return self.bool(false);
        }
        match self.constant(b) {
            Some(0) => return self.bool(false),
            Some(1) => {
                let zero = self.val(0, self.width(a));
                return self.eq(a, zero);
            }
            _ => {}
        }
        // A sum is less than one addend if it is less than the other: then there is a carry.
        let other = self.sub(a, b);
        let b = b.min(other);
        self.build(Kind::LessU, 1, &[a, b])
    }

    /// a < b, signed.
    pub fn less_s(&mut self, a: Term, b: Term) -> Term {
        if a == b {
            return self.bool(false);
        }
        if self.constant(b) == Some(0) {
            return self.sign(a);
        }
        self.build(Kind::LessS, 1, &[a, b])
    }

    /// if c then a else b
    pub fn ite(&mut self, c: Term, a: Term, b: Term) -> Term {
        match self.constant(c) {
            Some(1) => return a,
            Some(_) => return b,
            None if a == b => return a,
            None => {}
        }
        let n = self.node(c);
        if n.kind == Kind::Not {
            return self.ite(n.args[0], b, a);
        }
        // Where the two are equal, it is the same which of them.
        if matches!(n.kind, Kind::Or | Kind::And) {
            let equal = self.eq(a, b);
            let without = if n.kind == Kind::Or {
                equal
            } else {
                self.not(equal)
            };
            for (x, y) in [(0, 1), (1, 0)] {
                if n.args[x] == without {
                    return self.ite(n.args[y], a, b);
                }
            }
        }
        let width = self.width(a);
        if width == 1 && self.constant(a) == Some(1) && self.constant(b) == Some(0) {
            return c;
        }
        // The least value is its own negative.
        let least = 1 << (width - 1);
        if n.kind == Kind::Eq && n.args[0] == a && self.constant(n.args[1]) == Some(least) {
            let other = self.node(b);
            if other.kind == Kind::Neg && other.args[0] == a {
                return b;
            }
        }
        // Of two values the smaller or greater, in whatever order they are compared.
        let (x, y) = (n.args[0], n.args[1]);
        if matches!(n.kind, Kind::LessS | Kind::LessU) && x > y {
            let turned = |p: &mut Pool| match n.kind {
                Kind::LessS => p.less_s(y, x),
                _ => p.less_u(y, x),
            };
            if (a, b) == (x, y) {
                let c = turned(self);
                return self.ite(c, y, x);
            }
            if (a, b) == (y, x) {
                let c = turned(self);
                return self.ite(c, x, y);
            }
        }
        self.build(Kind::Ite, width, &[c, a, b])
    }

    /// `width` bits of `a` from bit `low` on.
    pub fn extract(&mut self, a: Term, low: u8, width: u8) -> Term {
        let n = self.node(a);
        if low == 0 && width == n.width {
            return a;
        }
        let first = |p: &Pool| p.width(n.args[0]);
        match n.kind {
            Kind::Extract(l) => return self.extract(n.args[0], l + low, width),
            Kind::Concat => {
                let (high, below) = (n.args[0], n.args[1]);
                let split = self.width(below);
                if low >= split {
                    return self.extract(high, low - split, width);
                }
                if low + width <= split {
                    return self.extract(below, low, width);
                }
            }
            Kind::ZeroExtend | Kind::SignExtend if low + width <= first(self) => {
                return self.extract(n.args[0], low, width);
            }
            Kind::ZeroExtend if low >= first(self) => return self.val(0, width),
            // From inside the operand up beyond it: an extension again.
            Kind::ZeroExtend | Kind::SignExtend if low == 0 => {
                return if n.kind == Kind::ZeroExtend {
                    self.zero_extend(n.args[0], width)
                } else {
                    self.sign_extend(n.args[0], width)
                };
            }
            // Lower bits of these depend on lower bits only (lemmas.rs).
            Kind::Add | Kind::Mul if low == 0 => {
                let x = self.extract(n.args[0], 0, width);
                let y = self.extract(n.args[1], 0, width);
                return if n.kind == Kind::Add {
                    self.add(x, y)
                } else {
                    self.mul(x, y)
                };
            }
            Kind::Shl if low == 0 => {
                if let Some(by) = self.constant(n.args[1]) {
                    if by >= u64::from(width) {
                        return self.val(0, width);
                    }
                    let x = self.extract(n.args[0], 0, width);
                    return self.shift_by(Kind::Shl, x, by);
                }
            }
            Kind::Neg if low == 0 => {
                let x = self.extract(n.args[0], 0, width);
                return self.neg(x);
            }
            Kind::And | Kind::Or | Kind::Xor => {
                let x = self.extract(n.args[0], low, width);
                let y = self.extract(n.args[1], low, width);
                return match n.kind {
                    Kind::And => self.and(x, y),
                    Kind::Or => self.or(x, y),
                    _ => self.xor(x, y),
                };
            }
            Kind::Not => {
                let x = self.extract(n.args[0], low, width);
                return self.not(x);
            }
            Kind::Ite => {
                let x = self.extract(n.args[1], low, width);
                let y = self.extract(n.args[2], low, width);
                return self.ite(n.args[0], x, y);
            }
            _ => {}
        }
        self.build(Kind::Extract(low), width, &[a])
    }

    /// The low `width` bits.
    pub fn low(&mut self, a: Term, width: u8) -> Term {
        self.extract(a, 0, width)
    }

    /// The top bit.
    pub fn sign(&mut self, a: Term) -> Term {
        let width = self.width(a);
        self.extract(a, width - 1, 1)
    }

    /// `high` above `low`.
    pub fn concat(&mut self, high: Term, low: Term) -> Term {
        let width = self.width(high) + self.width(low);
        if self.constant(high) == Some(0) {
            return self.zero_extend(low, width);
        }
        let (h, l) = (self.node(high), self.node(low));
        if let (Kind::Extract(x), Kind::Extract(y)) = (h.kind, l.kind)
            && h.args[0] == l.args[0]
            && x == y + l.width
        {
            return self.extract(h.args[0], y, width);
        }
        // The upper part of what the lower part is the rest of.
        if let Kind::Extract(x) = h.kind
            && x == l.width
            && self.low(h.args[0], l.width) == low
        {
            return self.low(h.args[0], width);
        }
        self.build(Kind::Concat, width, &[high, low])
    }

    /// Zeros above, up to `width` bits.
    pub fn zero_extend(&mut self, a: Term, width: u8) -> Term {
        let n = self.node(a);
        if n.width == width {
            return a;
        }
        if n.kind == Kind::ZeroExtend {
            return self.zero_extend(n.args[0], width);
        }
        self.build(Kind::ZeroExtend, width, &[a])
    }

    /// The sign above, up to `width` bits.
    pub fn sign_extend(&mut self, a: Term, width: u8) -> Term {
        let n = self.node(a);
        if n.width == width {
            return a;
        }
        match n.kind {
            Kind::SignExtend => self.sign_extend(n.args[0], width),
            Kind::ZeroExtend => self.zero_extend(n.args[0], width),
            _ => self.build(Kind::SignExtend, width, &[a]),
        }
    }

    /// Every simplifying constructor by its kind, for tests.
    pub fn make(&mut self, kind: Kind, width: u8, args: &[Term]) -> Term {
        match (kind, args) {
            (Kind::Add, [a, b]) => self.add(*a, *b),
            (Kind::Neg, [a]) => self.neg(*a),
            (Kind::And, [a, b]) => self.and(*a, *b),
            (Kind::Or, [a, b]) => self.or(*a, *b),
            (Kind::Xor, [a, b]) => self.xor(*a, *b),
            (Kind::Not, [a]) => self.not(*a),
            (Kind::Mul, [a, b]) => self.mul(*a, *b),
            (Kind::MulHighU | Kind::MulHighS, [a, b]) => {
                self.mul_high(kind == Kind::MulHighS, *a, *b)
            }
            (Kind::DivU | Kind::RemU | Kind::DivS | Kind::RemS, [a, b]) => {
                self.divide(kind, *a, *b)
            }
            (Kind::Shl | Kind::Shr | Kind::Sar, [a, b]) => self.shift(kind, *a, *b),
            (Kind::Eq, [a, b]) => self.eq(*a, *b),
            (Kind::LessU, [a, b]) => self.less_u(*a, *b),
            (Kind::LessS, [a, b]) => self.less_s(*a, *b),
            (Kind::Ite, [c, a, b]) => self.ite(*c, *a, *b),
            (Kind::Extract(low), [a]) => self.extract(*a, low, width),
            (Kind::Concat, [a, b]) => self.concat(*a, *b),
            (Kind::ZeroExtend, [a]) => self.zero_extend(*a, width),
            (Kind::SignExtend, [a]) => self.sign_extend(*a, width),
            _ => self.build(kind, width, args),
        }
    }

    /// Bits above the highest that is set, or below the lowest.
    pub fn zeros(&mut self, leading: bool, a: Term) -> Term {
        let kind = if leading {
            Kind::LeadingZeros
        } else {
            Kind::TrailingZeros
        };
        self.build(kind, self.width(a), &[a])
    }

    /// Bits that are set.
    pub fn population(&mut self, a: Term) -> Term {
        self.build(Kind::Population, self.width(a), &[a])
    }

    /// A term where all `facts` hold (one bit each): what they say, or deny, is put in.
    pub fn assuming(&mut self, t: Term, facts: &[Term]) -> Term {
        let mut known = HashMap::new();
        let (no, yes) = (self.bool(false), self.bool(true));
        let mut todo: Vec<(Term, bool)> = facts.iter().map(|f| (*f, true)).collect();
        while let Some((fact, holds)) = todo.pop() {
            let n = self.node(fact);
            match (n.kind, holds) {
                (Kind::Not, _) => todo.push((n.args[0], !holds)),
                (Kind::And, true) | (Kind::Or, false) => {
                    todo.extend(n.args().iter().map(|a| (*a, holds)));
                }
                _ => {
                    if n.kind == Kind::Eq && holds && self.constant(n.args[1]).is_some() {
                        known.insert(n.args[0], n.args[1]);
                    }
                    known.insert(fact, if holds { yes } else { no });
                }
            }
        }
        for below in self.reachable(&[t]) {
            if known.contains_key(&below) {
                continue;
            }
            let n = self.node(below);
            let args: Vec<Term> = n.args().iter().map(|a| known[a]).collect();
            let now = if args == n.args() {
                below
            } else {
                self.make(n.kind, n.width, &args)
            };
            known.insert(below, now);
        }
        known[&t]
    }
}
