//! What the simplifier of [`crate::term`], the models and the abstraction of [`crate::smt`] rely
//! on, as questions to the solver in the functions' own terms: each must be unsatisfiable.

use crate::smt::{facts, zeros};
use crate::term::Kind;

/// Name and script, in SMT-LIB 2.
pub struct Lemma {
    /// What it says.
    pub name: String,
    /// Declarations and the negated claim.
    pub script: String,
}

fn two(width: u32) -> String {
    format!("(declare-const a (_ BitVec {width}))(declare-const b (_ BitVec {width}))")
}

fn lemma(name: String, variables: &str, claim: &str) -> Lemma {
    Lemma {
        name,
        script: format!("{variables}(assert (not {claim}))\n"),
    }
}

/// All of them.
pub fn lemmas() -> Vec<Lemma> {
    let mut out = Vec::new();
    for width in [8, 16, 32, 64] {
        // The host's "less" after a comparison: sign and overflow differ.
        let top = width - 1;
        let sign = |t: &str| format!("((_ extract {top} {top}) {t})");
        let difference = "(bvsub a b)";
        let overflow = format!("(bvand (bvxor a b) (bvxor a {difference}))");
        out.push(lemma(
            format!("sign xor overflow of a difference is less, {width} bits"),
            &two(width),
            &format!(
                "(= (= (bvxor {} {}) #b1) (bvslt a b))",
                sign(difference),
                sign(&overflow)
            ),
        ));
        for (op, low) in ["bvadd", "bvmul"]
            .into_iter()
            .flat_map(|op| [1, width / 2, width - 1].map(|low| (op, low)))
        {
            let below = |t: &str| format!("((_ extract {} 0) {t})", low - 1);
            out.push(lemma(
                format!("lower {low} bits of {op}, {width} bits"),
                &two(width),
                &format!(
                    "(= {} ({op} {} {}))",
                    below(&format!("({op} a b)")),
                    below("a"),
                    below("b")
                ),
            ));
        }
        out.push(lemma(
            format!("product with other operands first, {width} bits"),
            &two(width),
            "(= (bvmul a b) (bvmul b a))",
        ));
        out.push(lemma(
            format!("a sum is less than both addends or neither, {width} bits"),
            &two(width),
            "(= (bvult a b) (bvult a (bvsub a b)))",
        ));
        let (one, even) = (format!("(_ bv1 {width})"), "(= ((_ extract 0 0) b) #b0)");
        out.push(lemma(
            format!("an even number does not change what is shifted out, {width} bits"),
            &two(width),
            &format!(
                "(=> {even} (= (bvlshr (bvadd (bvand a (bvnot {one})) b) {one}) \
                 (bvlshr (bvadd a b) {one})))"
            ),
        ));
        for condition in ["(or (= a b) c)", "(and (not (= a b)) c)"] {
            out.push(lemma(
                format!("of two values that are equal either one, {condition}, {width} bits"),
                &format!("{}(declare-const c Bool)", two(width)),
                &format!("(= (ite {condition} a b) (ite c a b))"),
            ));
        }
        // What is known of the abstracted functions. The upper half of a product is one of twice
        // the width.
        let high = |extend: &str| {
            let wide = |t: &str| format!("((_ {extend} {width}) {t})");
            format!(
                "((_ extract {} {width}) (bvmul {} {}))",
                2 * width - 1,
                wide("a"),
                wide("b")
            )
        };
        for (kind, function) in [
            (Kind::Mul, "(bvmul a b)".to_string()),
            (Kind::MulHighU, high("zero_extend")),
            (Kind::MulHighS, high("sign_extend")),
            (Kind::DivU, "(bvudiv a b)".to_string()),
            (Kind::RemU, "(bvurem a b)".to_string()),
            (Kind::DivS, "(bvsdiv a b)".to_string()),
            (Kind::RemS, "(bvsrem a b)".to_string()),
        ] {
            for (condition, result) in facts(kind, width as u8, "a", "b") {
                out.push(lemma(
                    format!("{kind:?} is {result} where {condition}, {width} bits"),
                    &two(width),
                    &format!("(=> {condition} (= {function} {result}))"),
                ));
            }
        }
    }
    // Not more bits are set than there are: what is used of the number of them.
    for width in [32, 64] {
        let bit = |at: u32| format!("((_ zero_extend {}) ((_ extract {at} {at}) a))", width - 1);
        let mut sums: Vec<String> = (0..width).map(bit).collect();
        while sums.len() > 1 {
            sums = sums
                .chunks(2)
                .map(|pair| format!("(bvadd {})", pair.join(" ")))
                .collect();
        }
        out.push(lemma(
            format!("bits that are set, {width} bits"),
            &two(width),
            &format!("(bvule {} (_ bv{width} {width}))", sums[0]),
        ));
    }
    // What is counted are zeros, and a one is next to them. (Both models use one formula for it.)
    for width in [32, 64] {
        for (leading, away, back) in [(true, "bvlshr", "bvshl"), (false, "bvshl", "bvlshr")] {
            let number = format!("(_ bv{width} {width})");
            let count = zeros(leading, width as u8, "a");
            let nothing = format!("(_ bv0 {width})");
            let shifted = format!("({away} a (bvsub {number} n))");
            let end = if leading { width - 1 } else { 0 };
            out.push(lemma(
                format!("zeros counted, leading: {leading}, {width} bits"),
                &two(width),
                &format!(
                    "(let ((n {count})) (and (bvule n {number}) (= {shifted} {nothing}) \
                     (or (= n {number}) (= ((_ extract {end} {end}) ({back} a n)) #b1))))"
                ),
            ));
        }
    }
    // The upper half of a signed times an unsigned factor. With p the product of both taken as
    // unsigned, the signed one is p, or p - 2^64 b if a is negative; integers, any width will do.
    out.push(lemma(
        "upper half of a product of mixed signs".to_string(),
        "(declare-const p Int)(declare-const b Int)",
        "(= (div (- p (* 18446744073709551616 b)) 18446744073709551616)
            (- (div p 18446744073709551616) b))",
    ));
    // The same on bits, where the solver can multiply.
    for width in [4, 6, 8] {
        let double = 2 * width;
        let high = |t: &str| format!("((_ extract {} {width}) {t})", double - 1);
        let zero = format!("(_ bv0 {width})");
        let unsigned = format!("(bvmul ((_ zero_extend {width}) a) ((_ zero_extend {width}) b))");
        let mixed = format!("(bvmul ((_ sign_extend {width}) a) ((_ zero_extend {width}) b))");
        out.push(lemma(
            format!("upper half of a product of mixed signs, {width} bits"),
            &two(width),
            &format!(
                "(= {} (bvsub {} (ite (bvslt a {zero}) b {zero})))",
                high(&mixed),
                high(&unsigned)
            ),
        ));
    }
    out
}
