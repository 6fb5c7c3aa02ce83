//! Questions to the SMT solver: `z3` in a process of its own, SMT-LIB 2 by its standard input.
//!
//! Products and quotients of two unknowns are abstracted: each becomes an unknown of which only is
//! known that equal operands give equal results, that products commute, and what the operands 0, 1
//! and -1 give ([`crate::lemmas`]). What holds of the abstraction holds of every function in its place,
//! so of the real one; where an operand is constant the real one is used.

use crate::term::{Kind, Pool, Term};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Name of the program, unless `HARTLOG_Z3` names another.
const PROGRAM: &str = "z3";

/// Time that one question may take, in milliseconds, unless the caller says otherwise.
pub const TIMEOUT: u32 = 60_000;

/// How the solver is to go about it: as for a satisfiability problem of bits.
const TACTIC: &str = "(then simplify propagate-values solve-eqs simplify bit-blast aig sat)";

/// What the solver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No values of the variables satisfy all that was asserted.
    Unsat,
    /// These do: name, width, value.
    Sat(Vec<(String, u8, u64)>),
    /// Neither was found, within the time.
    Unknown(String),
}

/// Questions after which a new process takes over: z3 keeps something of each, and one has ended
/// after 32,785.
const RENEWED_AFTER: u64 = 10_000;

/// A running solver.
pub struct Solver {
    process: Process,
    timeout: u32,
    /// Questions answered.
    pub questions: u64,
}

/// Its process.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn program() -> String {
    std::env::var("HARTLOG_Z3").unwrap_or_else(|_| PROGRAM.to_string())
}

/// Whether there is a solver to be run.
pub fn available() -> bool {
    Command::new(program())
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

impl Solver {
    /// Starts one that gives up a question after so many milliseconds.
    ///
    /// # Errors
    /// If the program cannot be run.
    pub fn new(timeout: u32) -> io::Result<Solver> {
        Ok(Solver {
            process: Process::new(timeout)?,
            timeout,
            questions: 0,
        })
    }

    /// Asks whether a script (declarations and assertions) is satisfiable.
    ///
    /// # Errors
    /// If the solver has ended.
    pub fn ask(&mut self, script: &str, tactic: Option<&str>) -> io::Result<Answer> {
        self.questions += 1;
        if self.questions.is_multiple_of(RENEWED_AFTER) {
            self.process = Process::new(self.timeout)?;
        }
        let check = match tactic {
            Some(tactic) => format!("(check-sat-using {tactic})"),
            None => "(check-sat)".to_string(),
        };
        self.process.send(&format!("(push)\n{script}{check}\n"))?;
        let answer = match self.process.line()?.as_str() {
            "unsat" => Answer::Unsat,
            "sat" => Answer::Sat(Vec::new()),
            other => Answer::Unknown(other.to_string()),
        };
        Ok(answer)
    }

    fn end(&mut self) -> io::Result<()> {
        self.process.send("(pop)\n")
    }

    /// Asks whether a script without variables of interest is satisfiable, with the solver's own
    /// way to go about it.
    ///
    /// # Errors
    /// If the solver has ended.
    pub fn decide(&mut self, script: &str) -> io::Result<Answer> {
        let answer = self.ask(script, None)?;
        self.end()?;
        Ok(answer)
    }

    /// Asks whether all `facts` (one bit each) can hold at once.
    ///
    /// # Errors
    /// If the solver has ended.
    pub fn satisfiable(&mut self, pool: &Pool, facts: &[Term]) -> io::Result<Answer> {
        let (script, variables) = script(pool, facts);
        let mut answer = self.ask(&script, Some(TACTIC))?;
        if let Answer::Sat(values) = &mut answer {
            for (name, symbol, width) in variables {
                self.process.send(&format!("(get-value ({symbol}))\n"))?;
                let line = self.process.line()?;
                values.push((name, width, value(&line)));
            }
        }
        self.end()?;
        Ok(answer)
    }
}

impl Process {
    fn new(timeout: u32) -> io::Result<Process> {
        let mut child = Command::new(program())
            .args(["-in", "-smt2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || io::Error::other("the solver has no standard input or output");
        let input = child.stdin.take().ok_or_else(missing)?;
        let output = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let mut process = Process {
            child,
            input,
            output,
        };
        process.send(&format!(
            "(set-option :timeout {timeout})\n(set-option :produce-models true)\n"
        ))?;
        Ok(process)
    }

    fn send(&mut self, text: &str) -> io::Result<()> {
        self.input.write_all(text.as_bytes())
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(io::Error::other("the solver has ended"));
        }
        Ok(line.trim().to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing its input would end it as well, but not while it is busy.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number in `((name #x...))`.
fn value(line: &str) -> u64 {
    let digits = |prefix: &str, radix| {
        let at = line.find(prefix)? + 2;
        let text: String = line[at..]
            .chars()
            .take_while(|c| c.is_digit(radix))
            .collect();
        u64::from_str_radix(&text, radix).ok()
    };
    digits("#x", 16).or_else(|| digits("#b", 2)).unwrap_or(0)
}

/// Whether it is a product, a quotient, a remainder or a number of bits.
fn is_arithmetic(kind: Kind) -> bool {
    use Kind::*;
    matches!(
        kind,
        Mul | MulHighU | MulHighS | DivU | RemU | DivS | RemS | Population
    )
}

/// Whether a term stands for any function of its operands.
fn is_abstract(pool: &Pool, t: Term) -> bool {
    let n = pool.node(t);
    let constant = |i: usize| n.args().get(i).is_some_and(|a| pool.constant(*a).is_some());
    match n.kind {
        Kind::MulHighU | Kind::MulHighS | Kind::Population => true,
        Kind::Mul => !constant(0) && !constant(1),
        Kind::DivU | Kind::RemU | Kind::DivS | Kind::RemS => !constant(1),
        _ => false,
    }
}

/// What is known of an abstracted function beside that it is one: under a condition on its
/// operands, its result ([`crate::lemmas`]).
fn facts_of(kind: Kind, width: u8, a: Term, b: Term) -> Vec<(String, String)> {
    facts(kind, width, &format!("t{}", a.0), &format!("t{}", b.0))
}

/// [`facts_of`] for any operands.
pub(crate) fn facts(kind: Kind, width: u8, a: &str, b: &str) -> Vec<(String, String)> {
    let number = |v: u8| format!("(_ bv{v} {width})");
    let is = |t: &str, v: &str| format!("(= {t} {v})");
    let (zero, one) = (number(0), number(1));
    let minus_one = format!("(bvnot {zero})");
    let not_zero = format!("(not {})", is(b, &zero));
    let nothing = format!("(and {} {not_zero})", is(a, &zero));
    // What a quotient by 0 is, as both operands.
    let ones = format!("(and {} {})", is(a, &minus_one), is(b, &minus_one));
    let either = format!("(or {} {})", is(a, &zero), is(b, &zero));
    match kind {
        Kind::Mul => vec![
            (either, zero),
            (is(a, &one), b.to_string()),
            (is(b, &one), a.to_string()),
            (is(a, &minus_one), format!("(bvneg {b})")),
            (is(b, &minus_one), format!("(bvneg {a})")),
        ],
        Kind::MulHighU => vec![
            (either, zero.clone()),
            (is(a, &one), zero.clone()),
            (is(b, &one), zero),
            (ones, format!("(bvnot {one})")),
        ],
        Kind::MulHighS => vec![(either, zero.clone()), (ones, zero)],
        Kind::DivU => vec![(nothing, zero), (is(b, &one), a.to_string()), (ones, one)],
        Kind::RemU => vec![
            (nothing, zero.clone()),
            (is(b, &one), zero.clone()),
            (ones, zero),
        ],
        Kind::DivS => vec![
            (nothing, zero),
            (is(b, &one), a.to_string()),
            (is(b, &minus_one), format!("(bvneg {a})")),
        ],
        Kind::RemS => vec![
            (nothing, zero.clone()),
            (is(b, &one), zero.clone()),
            (is(b, &minus_one), zero),
        ],
        _ => Vec::new(),
    }
}

/// The lower bits of a product are the product of the lower bits: of two products, of which one is
/// narrower than the other.
fn lower_bits(pool: &Pool, narrow: Term, wide: Term) -> String {
    let mut out = String::new();
    let width = pool.width(narrow);
    let (n, w) = (pool.node(narrow), pool.node(wide));
    if let ([a, b], [c, d], true) = (n.args(), w.args(), width < w.width) {
        let low = |t: Term| format!("((_ extract {} 0) t{})", width - 1, t.0);
        for (c, d) in [(*c, *d), (*d, *c)] {
            let operands = format!("(and (= t{} {}) (= t{} {}))", a.0, low(c), b.0, low(d));
            let result = format!("(= t{} {})", narrow.0, low(wide));
            let _ = writeln!(out, "(assert (=> {operands} {result}))");
        }
    }
    out
}

/// The number of leading or trailing zeros: the first bit set, looked at in turn.
pub(crate) fn zeros(leading: bool, width: u8, a: &str) -> String {
    let mut out = String::new();
    for n in 0..width {
        let at = if leading { width - 1 - n } else { n };
        let _ = write!(
            out,
            "(ite (= ((_ extract {at} {at}) {a}) #b1) (_ bv{n} {width}) "
        );
    }
    let _ = write!(out, "(_ bv{width} {width})");
    out + &")".repeat(width.into())
}

/// Declarations and assertions; the variables with their symbols and widths.
fn script(pool: &Pool, facts: &[Term]) -> (String, Vec<(String, String, u8)>) {
    let mut out = String::new();
    let mut variables = Vec::new();
    let mut functions: HashMap<(Kind, u8), Vec<Term>> = HashMap::new();
    for t in pool.reachable(facts) {
        let n = pool.node(t);
        let w = n.width;
        let symbol = format!("t{}", t.0);
        let arg = |i: usize| format!("t{}", n.args()[i].0);
        if is_arithmetic(n.kind) {
            functions.entry((n.kind, w)).or_default().push(t);
        }
        if matches!(n.kind, Kind::Var(_)) || is_abstract(pool, t) {
            if let Kind::Var(v) = n.kind {
                variables.push((pool.name(v).to_string(), symbol.clone(), w));
            }
            let _ = writeln!(out, "(declare-const {symbol} (_ BitVec {w}))");
            continue;
        }
        let binary = |name: &str| format!("({name} {} {})", arg(0), arg(1));
        let truth = |name: &str| format!("(ite ({name} {} {}) #b1 #b0)", arg(0), arg(1));
        let grown = |from: u8| w - from;
        let body = match n.kind {
            Kind::Const(c) => format!("(_ bv{c} {w})"),
            Kind::Add => binary("bvadd"),
            Kind::Neg => format!("(bvneg {})", arg(0)),
            Kind::And => binary("bvand"),
            Kind::Or => binary("bvor"),
            Kind::Xor => binary("bvxor"),
            Kind::Not => format!("(bvnot {})", arg(0)),
            Kind::Mul => binary("bvmul"),
            Kind::DivU => binary("bvudiv"),
            Kind::RemU => binary("bvurem"),
            Kind::DivS => binary("bvsdiv"),
            Kind::RemS => binary("bvsrem"),
            Kind::Shl => binary("bvshl"),
            Kind::Shr => binary("bvlshr"),
            Kind::Sar => binary("bvashr"),
            Kind::Eq => truth("="),
            Kind::LessU => truth("bvult"),
            Kind::LessS => truth("bvslt"),
            Kind::Ite => format!("(ite (= {} #b1) {} {})", arg(0), arg(1), arg(2)),
            Kind::Extract(low) => format!("((_ extract {} {low}) {})", low + w - 1, arg(0)),
            Kind::Concat => binary("concat"),
            Kind::ZeroExtend => {
                let by = grown(pool.width(n.args()[0]));
                format!("((_ zero_extend {by}) {})", arg(0))
            }
            Kind::SignExtend => {
                let by = grown(pool.width(n.args()[0]));
                format!("((_ sign_extend {by}) {})", arg(0))
            }
            Kind::LeadingZeros => zeros(true, w, &arg(0)),
            Kind::TrailingZeros => zeros(false, w, &arg(0)),
            Kind::Var(_) | Kind::MulHighU | Kind::MulHighS | Kind::Population => continue,
        };
        let _ = writeln!(out, "(define-fun {symbol} () (_ BitVec {w}) {body})");
    }
    for ((kind, width), same) in &functions {
        for (i, x) in same.iter().enumerate() {
            let abstracted = is_abstract(pool, *x);
            if let ([a, b], true) = (pool.node(*x).args(), abstracted) {
                for (condition, result) in facts_of(*kind, *width, *a, *b) {
                    let _ = writeln!(out, "(assert (=> {condition} (= t{} {result})))", x.0);
                }
            }
            if *kind == Kind::Population {
                let _ = writeln!(out, "(assert (bvule t{} (_ bv{width} {width})))", x.0);
            }
            // By a constant it is the operation itself, which is one of those functions.
            for y in same[..i]
                .iter()
                .filter(|y| abstracted || is_abstract(pool, **y))
            {
                let (n, m) = (pool.node(*x), pool.node(*y));
                let mut equal = |p: Term, q: Term, r: Term, s: Term| {
                    let operands = format!("(and (= t{} t{}) (= t{} t{}))", p.0, q.0, r.0, s.0);
                    let _ = writeln!(out, "(assert (=> {operands} (= t{} t{})))", x.0, y.0);
                };
                if let ([a], [c]) = (n.args(), m.args()) {
                    equal(*a, *c, *a, *c);
                }
                if let ([a, b], [c, d]) = (n.args(), m.args()) {
                    equal(*a, *c, *b, *d);
                    if matches!(n.kind, Kind::Mul | Kind::MulHighU | Kind::MulHighS) {
                        equal(*a, *d, *b, *c);
                    }
                }
            }
        }
    }
    let products: Vec<Term> = functions
        .iter()
        .filter(|((kind, _), _)| *kind == Kind::Mul)
        .flat_map(|(_, same)| same.iter().copied())
        .collect();
    for narrow in &products {
        for wide in &products {
            out += &lower_bits(pool, *narrow, *wide);
        }
    }
    for fact in facts {
        let _ = writeln!(out, "(assert (= t{} #b1))", fact.0);
    }
    (out, variables)
}
