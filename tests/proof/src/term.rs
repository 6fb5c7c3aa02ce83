//! Bit-vector terms of 1 to 64 bits, shared: equal terms have equal numbers.
//!
//! Truth values are vectors of one bit. The constructors of [`Pool`] simplify; what they may do is
//! held by a test that compares values before and after (`tests/semantics.rs`), and by lemmas that
//! the solver proves at full width (`lemmas.rs`).

mod pool;
mod simplify;

pub use pool::Pool;

/// Number of a term in its [`Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub(crate) u32);

/// What a term is made of. All operands have the width of the result unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    /// A variable, by number.
    Var(u32),
    /// A value, without bits above the width.
    Const(u64),
    Add,
    Neg,
    And,
    Or,
    Xor,
    Not,
    Mul,
    /// Upper half of the unsigned product.
    MulHighU,
    /// Upper half of the signed product.
    MulHighS,
    /// Unsigned quotient; all ones by zero.
    DivU,
    /// Unsigned remainder; the dividend by zero.
    RemU,
    /// Signed quotient, towards zero. By zero: 1 for a negative dividend, else -1 (SMT-LIB).
    DivS,
    /// Signed remainder, of the dividend's sign; the dividend by zero.
    RemS,
    /// Shifts by the second operand; amounts from the width up shift everything out.
    Shl,
    Shr,
    Sar,
    /// Comparisons: one bit.
    Eq,
    LessU,
    LessS,
    /// If the first operand (one bit) then the second else the third.
    Ite,
    /// Bits from the number given on, as many as the width.
    Extract(u8),
    /// The first operand above the second.
    Concat,
    /// Zeros above the operand.
    ZeroExtend,
    /// The sign above the operand.
    SignExtend,
    /// Bits above the highest that is set; the width for 0.
    LeadingZeros,
    /// Bits below the lowest that is set; the width for 0.
    TrailingZeros,
    /// Bits that are set.
    Population,
}

/// A term: kind, width and operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Bits, 1 to 64.
    pub width: u8,
    args: [Term; 3],
    len: u8,
}

impl Node {
    /// The operands.
    pub fn args(&self) -> &[Term] {
        &self.args[..self.len as usize]
    }
}

/// The low bits of a mask.
pub fn mask(width: u8) -> u64 {
    u64::MAX >> (64 - u32::from(width))
}

fn signed(v: u64, width: u8) -> i64 {
    let shift = 64 - u32::from(width);
    (v << shift) as i64 >> shift
}

/// The value of a term from those of its operands (with their widths).
pub fn apply(kind: Kind, width: u8, args: &[(u64, u8)]) -> u64 {
    let value = |i: usize| args.get(i).map_or(0, |a| a.0);
    let bits = |i: usize| args.get(i).map_or(1, |a| a.1);
    let (a, b) = (value(0), value(1));
    let (sa, sb) = (signed(a, bits(0)), signed(b, bits(1).max(1)));
    let product = |x: i128, y: i128| (x.wrapping_mul(y) >> width) as u64;
    let result = match kind {
        Kind::Var(_) => 0,
        Kind::Const(c) => c,
        Kind::Add => a.wrapping_add(b),
        Kind::Neg => a.wrapping_neg(),
        Kind::And => a & b,
        Kind::Or => a | b,
        Kind::Xor => a ^ b,
        Kind::Not => !a,
        Kind::Mul => a.wrapping_mul(b),
        Kind::MulHighU => ((u128::from(a) * u128::from(b)) >> width) as u64,
        Kind::MulHighS => product(i128::from(sa), i128::from(sb)),
        Kind::DivU => a.checked_div(b).unwrap_or(u64::MAX),
        Kind::RemU => a.checked_rem(b).unwrap_or(a),
        Kind::DivS if b == 0 => {
            if sa < 0 {
                1
            } else {
                u64::MAX
            }
        }
        Kind::DivS => sa.wrapping_div(sb) as u64,
        Kind::RemS if b == 0 => a,
        Kind::RemS => sa.wrapping_rem(sb) as u64,
        Kind::Shl if b >= u64::from(width) => 0,
        Kind::Shl => a << b,
        Kind::Shr if b >= u64::from(width) => 0,
        Kind::Shr => a >> b,
        Kind::Sar => (sa >> b.min(63)) as u64,
        Kind::Eq => u64::from(a == b),
        Kind::LessU => u64::from(a < b),
        Kind::LessS => u64::from(sa < sb),
        Kind::Ite => {
            if a == 1 {
                b
            } else {
                value(2)
            }
        }
        Kind::Extract(low) => a >> low,
        Kind::Concat => a << bits(1) | b,
        Kind::ZeroExtend => a,
        Kind::SignExtend => sa as u64,
        Kind::LeadingZeros => u64::from(a.leading_zeros()) - (64 - u64::from(width)),
        Kind::TrailingZeros => u64::from(a.trailing_zeros()).min(width.into()),
        Kind::Population => a.count_ones().into(),
    };
    result & mask(width)
}
