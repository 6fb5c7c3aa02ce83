//! What the proofs stand on: formulas against the interpreter, the simplifier against plain
//! evaluation, and the lemmas.

use hartlog_isa::{
    Effect, Flow, Format, Hart, Inst, NO_RESERVATION, Op, Port, Trap, Width, execute,
};
use proof::lemmas::lemmas;
use proof::riscv::{Guest, GuestEnd};
use proof::smt::{Answer, Solver, TIMEOUT, available};
use proof::term::{Kind, Pool, Term, apply, mask};
use templates::block::{Follow, Step};
use tests::random::Rng;

/// States in which each instruction is run.
const STATES: u64 = 2000;

/// A memory that answers with one value and records what is done.
struct Recorder {
    value: u64,
    accesses: Vec<(bool, u64, Width, u64)>,
    steps: u64,
}

impl Port for Recorder {
    type Fault = ();

    fn load(&mut self, addr: u64, width: Width) -> Result<u64, ()> {
        if addr >> 32 != 0 {
            return Err(());
        }
        let value = self.value & width.mask();
        self.accesses.push((false, addr, width, value));
        Ok(value)
    }

    fn store(&mut self, addr: u64, width: Width, value: u64) -> Result<(), ()> {
        if addr >> 32 != 0 {
            return Err(());
        }
        self.accesses.push((true, addr, width, value));
        Ok(())
    }

    fn steps(&mut self) -> u64 {
        self.steps
    }
}

fn immediate(rng: &mut Rng, op: Op) -> i32 {
    match op.format() {
        Format::Branch | Format::J => rng.imm12() * 2,
        Format::U => rng.value() as i32 & !0xfff,
        Format::Csr | Format::CsrImm => rng.pick(&[0xc00, 0xc01, 0xc02, 0x300]),
        Format::Shift => rng.below(64) as i32,
        Format::ShiftW => rng.below(32) as i32,
        _ => rng.imm12(),
    }
}

/// Runs an instruction by its formulas and by the interpreter in the same state.
fn compare(rng: &mut Rng, op: Op) {
    let mut registers = || rng.below(32) as u8;
    let (rd, rs1, rs2) = (registers(), registers(), registers());
    let imm = immediate(rng, op);
    let zimm = op.format() == Format::CsrImm || op.format() == Format::Csr;
    let rs1 = if zimm && !rng.one_in(4) { 0 } else { rs1 };
    let inst = Inst::new(op, rd, rs1, rs2, imm);
    let pc = 0x1_0000 + 2 * rng.below(1000);
    let mut hart = Hart {
        x: [0; 32],
        pc,
        reservation: NO_RESERVATION,
    };
    for x in &mut hart.x[1..] {
        *x = rng.value();
    }
    let width = op.effect().width().map_or(1, Width::bytes);
    if op.effect() != Effect::None {
        let addr = rng.next() & 0xffff_ffff & !(width - 1);
        let plain = matches!(op.effect(), Effect::Read(_) | Effect::Write(_));
        let odd = u64::from(rng.one_in(4));
        let offset = if plain { i64::from(inst.imm) as u64 } else { 0 };
        hart.x[rs1 as usize] = (addr + odd).wrapping_sub(offset);
        hart.reservation = rng.pick(&[NO_RESERVATION, addr, addr ^ 8]);
    } else if rng.one_in(4) {
        hart.x[rs1 as usize] = hart.x[rs2 as usize];
    }
    hart.x[0] = 0;
    let before = hart.clone();
    let value = rng.value();
    let (budget, step_end) = (1 + rng.below(1000), 5000 + rng.below(1000));
    let mut port = Recorder {
        value,
        accesses: Vec::new(),
        steps: step_end - budget,
    };
    let outcome = execute(&mut hart, &inst, &mut port);

    let checked = rng.one_in(2);
    let mut pool = Pool::new();
    let budget_term = pool.var("rsp", 64);
    let step = Step {
        pc,
        inst: Some(inst),
        follow: Follow::Fall,
        perhaps: false,
    };
    let paths = Guest {
        pool: &mut pool,
        checked,
        replay: false,
        immediate: None,
        budget: budget_term,
    }
    .run(&[step]);
    let variable = |name: &str, _: u8| match name {
        "rsp" => budget,
        "step_end" => step_end,
        "reservation" => before.reservation,
        "read0" => value,
        _ => match name.strip_prefix('x').and_then(|n| n.parse::<usize>().ok()) {
            Some(r) => before.x[r],
            None => panic!("no value for {name}"),
        },
    };
    let taken: Vec<_> = paths
        .iter()
        .filter(|p| pool.evaluate(&p.path, &variable).iter().all(|c| *c == 1))
        .collect();
    let [path] = taken[..] else {
        panic!("{inst}: {} paths", taken.len());
    };
    if outcome == Err(Trap::Memory(())) && !checked {
        // Addresses outside of the window: taken modulo 2^32 without the check.
        return;
    }
    let what = format!("{inst} at {pc:#x}, {before:x?}");
    match (path.end, outcome) {
        (GuestEnd::Trap(at), Err(_)) => {
            assert_eq!(at, pc, "{what}");
            return;
        }
        (GuestEnd::Ecall(at), Ok(_)) => assert_eq!((at, inst.flow()), (pc, Flow::Ecall), "{what}"),
        (GuestEnd::Next(to), Ok(_)) => assert_eq!(to, hart.pc, "{what}"),
        (GuestEnd::Indirect(to), Ok(_)) => {
            assert_eq!(pool.evaluate(&[to], &variable)[0], hart.pc, "{what}");
        }
        (end, outcome) => panic!("{what}: {end:?}, {outcome:?}"),
    }
    let x = pool.evaluate(&path.x, &variable);
    assert_eq!(x, hart.x, "{what}");
    let reservation = pool.evaluate(&[path.reservation], &variable)[0];
    assert_eq!(reservation, hart.reservation, "{what}");
    assert_eq!(path.retired, 1, "{what}");
    let accesses: Vec<_> = path
        .accesses
        .iter()
        .map(|a| {
            let v = pool.evaluate(&[a.addr, a.value], &variable);
            (a.write, v[0], a.width, v[1])
        })
        .collect();
    assert_eq!(accesses, port.accesses, "{what}");
    let logged: u64 = port
        .accesses
        .iter()
        .filter(|a| !a.0)
        .map(|a| a.2.bytes())
        .sum();
    assert_eq!(u64::from(path.log), logged, "{what}");
}

#[test]
fn formulas_are_the_interpreters_semantics() {
    let mut rng = Rng::new(1);
    for op in Op::ALL {
        for _ in 0..STATES {
            compare(&mut rng, *op);
        }
    }
}

/// A term with its value.
type Valued = (Term, u64);

/// Random terms, each built by the simplifying constructors; values are computed from those of
/// the operands as they were asked for, whatever the constructor made of them.
#[test]
fn simplification_keeps_values() {
    const WIDTHS: [u8; 5] = [1, 8, 16, 32, 64];
    let mut rng = Rng::new(2);
    let mut compared = 0u64;
    for round in 0..300 {
        let mut pool = Pool::new();
        let mut terms: Vec<Valued> = Vec::new();
        let mut values: Vec<(String, u8, u64)> = Vec::new();
        for width in WIDTHS {
            for n in 0..2 {
                let value = rng.value() & mask(width);
                values.push((format!("v{n}"), width, value));
                terms.push((pool.var(&format!("v{n}"), width), value));
            }
            for c in [0, 1, u64::MAX, rng.value(), u64::from(width) / 2] {
                terms.push((pool.val(c, width), c & mask(width)));
            }
        }
        for _ in 0..400 {
            let (t, v) = random_term(&mut rng, &mut pool, &terms);
            terms.push((t, v));
            compared += 1;
        }
        // Under what holds of these values, a term is what it is.
        for _ in 0..20 {
            let facts: Vec<Term> = (0..4)
                .map(|_| {
                    loop {
                        let (t, v) = terms[rng.below(terms.len() as u64) as usize];
                        match (pool.width(t), v) {
                            (1, 1) => break t,
                            (1, _) => break pool.not(t),
                            _ => {}
                        }
                    }
                })
                .collect();
            let (t, v) = terms[rng.below(terms.len() as u64) as usize];
            terms.push((pool.assuming(t, &facts), v));
        }
        let roots: Vec<Term> = terms.iter().map(|t| t.0).collect();
        let variable = |name: &str, width: u8| {
            let found = values.iter().find(|(n, w, _)| n == name && *w == width);
            found.map_or(0, |v| v.2)
        };
        let results = pool.evaluate(&roots, &variable);
        for ((t, expected), result) in terms.iter().zip(results) {
            assert_eq!(result, *expected, "round {round}: {}", pool.show(*t));
        }
    }
    assert!(compared >= 100_000);
}

fn random_term(rng: &mut Rng, pool: &mut Pool, terms: &[Valued]) -> Valued {
    use Kind::*;
    const BINARY: [Kind; 16] = [
        Add, And, Or, Xor, Mul, MulHighU, MulHighS, DivU, RemU, DivS, RemS, Shl, Shr, Sar, Eq,
        LessU,
    ];
    let of_width = |rng: &mut Rng, pool: &Pool, width: u8| -> Valued {
        let fitting: Vec<Valued> = terms
            .iter()
            .filter(|t| pool.width(t.0) == width)
            .copied()
            .collect();
        // Recent ones, so that terms grow, but often small ones, so that rules apply.
        if rng.one_in(3) {
            fitting[fitting.len() - 1]
        } else {
            fitting[rng.below(fitting.len() as u64) as usize]
        }
    };
    let a = terms[rng.below(terms.len() as u64) as usize];
    let width = pool.width(a.0);
    let make = |pool: &mut Pool, kind: Kind, width: u8, operands: &[Valued]| {
        let args: Vec<Term> = operands.iter().map(|o| o.0).collect();
        let values: Vec<(u64, u8)> = operands.iter().map(|o| (o.1, pool.width(o.0))).collect();
        (pool.make(kind, width, &args), apply(kind, width, &values))
    };
    match rng.below(11) {
        6 if rng.one_in(2) => {
            // Less or equal, as the host's flags tell it.
            let b = of_width(rng, pool, width);
            let kind = rng.pick(&[LessS, LessU]);
            let pair = [make(pool, kind, 1, &[a, b]), make(pool, Eq, 1, &[a, b])];
            let pair = if rng.one_in(2) {
                pair
            } else {
                [pair[1], pair[0]]
            };
            make(pool, Or, 1, &pair)
        }
        10 if width > 1 => {
            // A value and its multiple.
            let value = rng.below(u64::from(width)) | rng.below(2) << 63;
            let value = value & mask(width);
            let c = (pool.val(value, width), value);
            let kind = rng.pick(&[Shl, Shl, Mul]);
            let multiple = make(pool, kind, width, &[a, c]);
            if rng.one_in(2) {
                let minus = make(pool, Neg, width, &[a]);
                make(pool, Add, width, &[multiple, minus])
            } else {
                make(pool, Add, width, &[a, multiple])
            }
        }
        0 if rng.one_in(2) => {
            let constant = |pool: &mut Pool, v: u64| (pool.val(v, width), v);
            match rng.below(3) {
                0 => {
                    let kind = rng.pick(&[LeadingZeros, TrailingZeros, Population]);
                    make(pool, kind, width, &[a])
                }
                1 => {
                    let one = rng.pick(&[1, mask(width)]);
                    let kind = rng.pick(&[DivU, RemU, DivS, RemS]);
                    let one = constant(pool, one);
                    make(pool, kind, width, &[a, one])
                }
                _ => {
                    // The negative of a value, unless it is this one.
                    let least = constant(pool, 1 << (width - 1));
                    let is_least = make(pool, Eq, 1, &[a, least]);
                    let minus = make(pool, Neg, width, &[a]);
                    make(pool, Ite, width, &[is_least, a, minus])
                }
            }
        }
        0 => make(pool, Neg, width, &[a]),
        1 => make(pool, Not, width, &[a]),
        2 => {
            let mut c = of_width(rng, pool, 1);
            let b = of_width(rng, pool, width);
            if rng.one_in(2) {
                // Whether the two are equal is part of the condition.
                let mut equal = make(pool, Eq, 1, &[a, b]);
                if rng.one_in(2) {
                    equal = make(pool, Not, 1, &[equal]);
                }
                let pair = if rng.one_in(2) {
                    [c, equal]
                } else {
                    [equal, c]
                };
                let kind = rng.pick(&[Or, And]);
                c = make(pool, kind, 1, &pair);
            } else if rng.one_in(2) {
                // The smaller or the greater.
                let pair = if rng.one_in(2) { [a, b] } else { [b, a] };
                let kind = rng.pick(&[LessS, LessU]);
                c = make(pool, kind, 1, &pair);
            }
            make(pool, Ite, width, &[c, a, b])
        }
        3 if width > 1 => {
            let to = rng.pick(&[1, 8, 16, 32]).min(width);
            let low = rng.below(u64::from(width - to) + 1) as u8;
            make(pool, Extract(low), to, &[a])
        }
        4 if width < 64 => {
            let to = if width == 1 { 8 } else { 2 * width };
            let kind = rng.pick(&[ZeroExtend, SignExtend]);
            make(pool, kind, to, &[a])
        }
        5 if (8..64).contains(&width) => {
            let b = of_width(rng, pool, width);
            make(pool, Concat, 2 * width, &[a, b])
        }
        6 => {
            let b = of_width(rng, pool, width);
            make(pool, LessS, 1, &[a, b])
        }
        _ => {
            let b = of_width(rng, pool, width);
            let kind = rng.pick(&BINARY);
            let result = if matches!(kind, Eq | LessU) { 1 } else { width };
            make(pool, kind, result, &[a, b])
        }
    }
}

#[test]
fn lemmas_hold() {
    if !available() {
        eprintln!("skipped: no z3 (scripts/test installs it)");
        return;
    }
    let mut solver = match Solver::new(TIMEOUT) {
        Ok(solver) => solver,
        Err(e) => panic!("z3 does not start: {e}"),
    };
    for lemma in lemmas() {
        match solver.decide(&lemma.script) {
            Ok(answer) => assert_eq!(answer, Answer::Unsat, "{}", lemma.name),
            Err(e) => panic!("{}: {e}", lemma.name),
        }
    }
    // And one that does not hold is not taken for one that does.
    let wrong = "(declare-const a (_ BitVec 64))(assert (= (bvudiv a (_ bv3 64)) (_ bv5 64)))";
    assert_eq!(solver.decide(wrong).ok(), Some(Answer::Sat(Vec::new())));
}
