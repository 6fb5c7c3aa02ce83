//! The proof of a block: on every path of the emitted code, under the conditions of that path, the
//! machine ends as the formulas of the guest say ([`claims`]).

mod claims;

use claims::{Claim, equation};

use crate::riscv::{Guest, GuestPath};
use crate::smt::{Answer, Solver, TIMEOUT};
use crate::term::{Pool, Term, mask};
use crate::x86::{End, Form, Machine, Path, REGISTERS, RSP, Refusal, State};
use hartlog_format::contract::{Site, WINDOW, offset, slot};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use templates::block::Step;
use templates::emit::{Config, Dest, Emitted, Jump, Mode, Stub, Target};
use templates::place::Placement;

/// Budgets are below 2^62: no subtraction of a block's steps wraps.
const BUDGET_BITS: u8 = 62;

/// Emitted code and what belongs to it.
pub struct Unit<'a> {
    /// What it was emitted for.
    pub config: &'a Config,
    /// The code.
    pub code: &'a [u8],
    /// Jumps that are filled in later.
    pub jumps: &'a [Jump],
    /// Where its blocks are.
    pub blocks: &'a [Emitted],
    /// What may raise a signal.
    pub sites: &'a [Site],
    /// Region and steps of the block at a guest pc.
    pub target_of: &'a dyn Fn(u64) -> Option<Target>,
}

/// Why a claim is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The code cannot be followed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// There are inputs for which the two differ.
    #[error("{what}; for {inputs}")]
    Differs {
        /// What differs.
        what: String,
        /// Values of the unknowns.
        inputs: String,
    },
    /// The solver did not decide it.
    #[error("{what}: the solver says {answer}")]
    Undecided {
        /// What was asked.
        what: String,
        /// Its answer.
        answer: String,
    },
    /// The solver failed.
    #[error("solver: {0}")]
    Solver(String),
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Solver(e.to_string())
    }
}

/// What a proof took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks proven.
    pub blocks: u64,
    /// Pairs of a path of the code and one of the guest that were compared.
    pub obligations: u64,
    /// Those among them that needed no solver: both sides were the same formulas.
    pub syntactic: u64,
    /// Those that were asked before.
    pub repeated: u64,
    /// Questions that the solver answered.
    pub asked: u64,
}

/// Proves claims and remembers what it has proven.
pub struct Prover {
    /// All terms.
    pub pool: Pool,
    solver: Solver,
    /// Sets of facts that cannot hold together.
    known: HashSet<Vec<Term>>,
    /// Forms of host instructions that occurred.
    pub forms: HashMap<Form, Vec<u8>>,
    /// What was done so far.
    pub counts: Counts,
}

impl Prover {
    /// Starts the solver.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn new() -> io::Result<Prover> {
        Prover::with_timeout(TIMEOUT)
    }

    /// Starts the solver with so many milliseconds for a question.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn with_timeout(timeout: u32) -> io::Result<Prover> {
        Ok(Prover {
            pool: Pool::new(),
            solver: Solver::new(timeout)?,
            known: HashSet::new(),
            forms: HashMap::new(),
            counts: Counts::default(),
        })
    }

    /// Whether facts cannot hold together, by the solver if need be.
    pub(crate) fn excluded(&mut self, facts: Vec<Term>) -> Result<Option<Answer>, Failure> {
        let mut facts: Vec<Term> = facts
            .into_iter()
            .filter(|f| self.pool.constant(*f) != Some(1))
            .collect();
        facts.sort_unstable();
        facts.dedup();
        let set: HashSet<Term> = facts.iter().copied().collect();
        for f in &facts {
            let not = self.pool.not(*f);
            if self.pool.constant(*f) == Some(0) || set.contains(&not) {
                self.counts.syntactic += 1;
                return Ok(None);
            }
        }
        if self.known.contains(&facts) {
            self.counts.repeated += 1;
            return Ok(None);
        }
        if let Some(values) = sample(&self.pool, &facts) {
            return Ok(Some(Answer::Sat(values)));
        }
        self.counts.asked += 1;
        match self.solver.satisfiable(&self.pool, &facts)? {
            Answer::Unsat => {
                self.known.insert(facts);
                Ok(None)
            }
            other => Ok(Some(other)),
        }
    }

    /// Proves one block of a unit, from its start with the budget check on, and its other
    /// entrances: the way out when the budget does not cover it, and the entrance from outside of
    /// its region. `immediate`: a number in the code and the guest's instructions, a 12-bit
    /// immediate, for any value of which the claim is proven at once.
    ///
    /// # Errors
    /// [`Failure`], if it is not proven.
    pub fn block(
        &mut self,
        unit: &Unit,
        index: usize,
        steps: &[Step],
        immediate: Option<i64>,
    ) -> Result<(), Failure> {
        let own = unit.blocks[index];
        self.paths(unit, index, own.block, steps, immediate)?;
        self.refusal(unit, index)?;
        if own.entry != own.block {
            self.entrance(unit, index)?;
        }
        self.counts.blocks += 1;
        Ok(())
    }

    /// Proves the first piece of a block, which is these steps.
    ///
    /// # Errors
    /// [`Failure`], if it is not proven.
    pub fn short(&mut self, unit: &Unit, index: usize, steps: &[Step]) -> Result<(), Failure> {
        let Some(from) = unit.blocks[index].short else {
            return Err(Refusal::Endless.into());
        };
        self.paths(unit, index, from, steps, None)?;
        self.counts.blocks += 1;
        Ok(())
    }

    /// Proves that the code from an offset on, up to where it leaves, does what these steps do.
    fn paths(
        &mut self,
        unit: &Unit,
        index: usize,
        from: u32,
        steps: &[Step],
        immediate: Option<i64>,
    ) -> Result<(), Failure> {
        let immediate = immediate.map(|c| (c, self.pool.var("immediate", 64)));
        let own = unit.blocks[index];
        let region = (unit.target_of)(own.pc).map_or(0, |t| t.region);
        let budget = self.pool.var(REGISTERS[RSP], 64);
        let replay = unit.config.mode == Mode::Replay;
        let guests = Guest {
            pool: &mut self.pool,
            checked: unit.config.checked,
            replay,
            immediate,
            budget,
        }
        .run(steps);
        let assumptions = self.assumptions(immediate.map(|(_, t)| t));
        let place = &unit.config.regions[region as usize];
        let hosts = self.execute(unit, index, from, place, immediate)?;
        for host in &hosts {
            for demand in &host.state.demands {
                let not = self.pool.not(demand.0);
                let mut facts = assumptions.clone();
                facts.extend(&host.state.path);
                facts.push(not);
                self.counts.obligations += 1;
                if let Some(answer) = self.excluded(facts)? {
                    return Err(self.failure(format!("division at {:#x} traps", demand.1), answer));
                }
            }
            for guest in &guests {
                self.pair(unit, steps, host, guest, &assumptions)?;
            }
        }
        Ok(())
    }

    /// What is known of the inputs.
    fn assumptions(&mut self, immediate: Option<Term>) -> Vec<Term> {
        let p = &mut self.pool;
        let budget = p.var(REGISTERS[RSP], 64);
        let top = p.extract(budget, BUDGET_BITS, 64 - BUDGET_BITS);
        let zero = p.val(0, 64 - BUDGET_BITS);
        let mut out = vec![p.eq(top, zero)];
        // A reservation is inside the window, or none.
        let reservation = p.var("reservation", 64);
        let upper = p.extract(reservation, 32, 32);
        let (zero, none) = (p.val(0, 32), p.val(u64::MAX, 64));
        let (inside, none) = (p.eq(upper, zero), p.eq(reservation, none));
        out.push(p.or(inside, none));
        if let Some(t) = immediate {
            let low = p.low(t, 12);
            let extended = p.sign_extend(low, 64);
            out.push(p.eq(extended, t));
        }
        out
    }

    fn execute(
        &mut self,
        unit: &Unit,
        index: usize,
        from: u32,
        place: &Placement,
        immediate: Option<(i64, Term)>,
    ) -> Result<Vec<Path>, Failure> {
        let (pool, forms) = (&mut self.pool, &mut self.forms);
        Ok(execute(pool, forms, unit, index, from, place, immediate)?)
    }

    /// The way out for a budget that does not cover the block, to its first piece if it has one:
    /// gives its steps back, changes nothing.
    fn refusal(&mut self, unit: &Unit, index: usize) -> Result<(), Failure> {
        let own = unit.blocks[index];
        let target = (unit.target_of)(own.pc);
        let region = target.map_or(0, |t| t.region);
        let count = target.map_or(0, |t| t.steps);
        let place = unit.config.regions[region as usize].clone();
        for host in self.execute(unit, index, own.refuse, &place, None)? {
            let dest = self.dest(unit, &host);
            let budget = self.pool.var(REGISTERS[RSP], 64);
            let steps = self.pool.val(u64::from(count), 64);
            let given_back = self.pool.add(budget, steps);
            let pc = self.pool.val(own.pc, 64);
            let (arrives, placement) = match own.short {
                Some(short) => (matches!(host.end, End::Stop(at) if at == short), &place),
                None => (
                    dest == Some(Dest::Stub(Stub::ChunkEnd)),
                    &unit.config.placement,
                ),
            };
            let claim = if arrives {
                let mut equations = self.unchanged(unit, &host.state, placement);
                equations.push(equation("budget", 0, host.state.gpr[RSP], given_back));
                if own.short.is_none() {
                    equations.push(equation("pc", 0, host.state.gpr[0], pc));
                }
                Claim::Equal(equations)
            } else {
                Claim::Apart(format!("the way out ends with {dest:x?}"))
            };
            self.prove(&host.state.path, &[], claim)?;
        }
        Ok(())
    }

    /// The entrance from outside of the block's region: moves registers.
    fn entrance(&mut self, unit: &Unit, index: usize) -> Result<(), Failure> {
        let own = unit.blocks[index];
        let place = unit.config.placement.clone();
        for host in self.execute(unit, index, own.entry, &place, None)? {
            let dest = self.dest(unit, &host);
            let region = (unit.target_of)(own.pc).map_or(0, |t| t.region);
            let budget = self.pool.var(REGISTERS[RSP], 64);
            let claim = if dest == Some(Dest::Block(own.pc)) {
                let inside = unit.config.regions[region as usize].clone();
                let mut equations = self.unchanged(unit, &host.state, &inside);
                equations.push(equation("budget", 0, host.state.gpr[RSP], budget));
                Claim::Equal(equations)
            } else {
                Claim::Apart(format!("the entrance ends with {dest:x?}"))
            };
            self.prove(&host.state.path, &[], claim)?;
        }
        Ok(())
    }

    /// Proves what has to hold of a path of the code and one of the guest.
    fn pair(
        &mut self,
        unit: &Unit,
        steps: &[Step],
        host: &Path,
        guest: &GuestPath,
        assumptions: &[Term],
    ) -> Result<(), Failure> {
        let claim = self.claim(unit, steps, host, guest);
        let mut path = host.state.path.clone();
        path.extend(&guest.path);
        self.prove(&path, assumptions, claim)
    }

    fn prove(&mut self, path: &[Term], assumptions: &[Term], claim: Claim) -> Result<(), Failure> {
        self.counts.obligations += 1;
        let mut facts: Vec<Term> = assumptions.iter().chain(path).copied().collect();
        let (what, equations) = match claim {
            Claim::Apart(what) => (what, Vec::new()),
            Claim::Equal(equations) => {
                let mut differs = self.pool.bool(false);
                for e in &equations {
                    let mut equal = self.pool.eq(e.host, e.guest);
                    if self.pool.constant(equal).is_none() {
                        equal = self.pool.assuming(equal, &facts);
                    }
                    let different = self.pool.not(equal);
                    differs = self.pool.or(differs, different);
                }
                facts.push(differs);
                (String::new(), equations)
            }
        };
        let Some(answer) = self.excluded(facts)? else {
            return Ok(());
        };
        if equations.is_empty() {
            return Err(self.failure(what, answer));
        }
        let Answer::Sat(values) = &answer else {
            return Err(self.failure("a pair of paths".to_string(), answer));
        };
        // Which of them differ for these inputs.
        let variable = |name: &str, width: u8| {
            values
                .iter()
                .find(|(n, w, _)| n == name && *w == width)
                .map_or(0, |v| v.2)
        };
        let mut different = Vec::new();
        for e in &equations {
            let both = self.pool.evaluate(&[e.host, e.guest], &variable);
            if both[0] != both[1] {
                let number = e.number;
                different.push(format!(
                    "{}{} is {:#x}, not {:#x}",
                    e.what,
                    if number == 0 {
                        String::new()
                    } else {
                        number.to_string()
                    },
                    both[0],
                    both[1]
                ));
            }
        }
        Err(self.failure(different.join(", "), answer))
    }

    fn failure(&self, what: String, answer: Answer) -> Failure {
        match answer {
            Answer::Sat(values) => {
                let inputs: Vec<String> = values
                    .iter()
                    .map(|(name, _, v)| format!("{name} = {v:#x}"))
                    .collect();
                Failure::Differs {
                    what,
                    inputs: inputs.join(", "),
                }
            }
            Answer::Unknown(answer) => Failure::Undecided { what, answer },
            Answer::Unsat => Failure::Solver("contradicts itself".to_string()),
        }
    }
}

/// Inputs that are tried before the solver is asked.
const SAMPLES: u64 = 48;

/// Values of the unknowns for which all facts hold, if a few tries find some.
fn sample(pool: &Pool, facts: &[Term]) -> Option<Vec<(String, u8, u64)>> {
    let variables = pool.variables(facts);
    (0..SAMPLES).find_map(|round| {
        let value = |name: &str, width: u8| {
            let mut hash = DefaultHasher::new();
            (name, width, round).hash(&mut hash);
            let h = hash.finish();
            let v = match (name, h % 8) {
                ("rsp", n) => 100 * n,
                ("reservation", n) if n < 6 => u64::MAX,
                (_, 0) => (h >> 8) % 8,
                (_, 1) => ((h >> 8) % 8).wrapping_neg(),
                (_, 2) => 1 << (h >> 8 & 63),
                (_, 3) => h >> 8 & 0xffff_fff8,
                (_, 4) => (h >> 8) as i32 as u64,
                _ => h.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            };
            v & mask(width)
        };
        let all = pool.evaluate(facts, &value).iter().all(|v| *v == 1);
        all.then(|| {
            variables
                .iter()
                .map(|(name, width)| (name.clone(), *width, value(name, *width)))
                .collect()
        })
    })
}

/// The host's state at the start of a block with this placement.
fn start(pool: &mut Pool, place: &Placement) -> State {
    let mut state = State::unknown(pool);
    for (i, last) in WINDOW.into_iter().enumerate() {
        let field = offset::WINDOW + 8 * i as i32;
        state.fields.insert(field, pool.val(last, 64));
    }
    for r in 1..32u8 {
        let x = pool.var(&format!("x{r}"), 64);
        match place.home(r) {
            Some(home) => state.gpr[home as usize] = x,
            None => {
                state.fields.insert(slot(r), x);
            }
        }
    }
    state
}

/// Follows the code of a block of a unit from an offset on.
fn execute(
    pool: &mut Pool,
    forms: &mut HashMap<Form, Vec<u8>>,
    unit: &Unit,
    index: usize,
    from: u32,
    place: &Placement,
    immediate: Option<(i64, Term)>,
) -> Result<Vec<Path>, Refusal> {
    let state = start(pool, place);
    let jumps: BTreeSet<u32> = unit.jumps.iter().map(|j| j.end).collect();
    let stops = unit
        .blocks
        .iter()
        .flat_map(|b| {
            [b.block, b.body, b.refuse, b.entry]
                .into_iter()
                .chain(b.short)
        })
        .collect();
    let falls = unit
        .blocks
        .iter()
        .enumerate()
        .filter(|(k, _)| *k != index)
        .map(|(_, b)| b.block)
        .collect();
    let mut machine = Machine {
        pool,
        code: unit.code,
        jumps: &jumps,
        stops: &stops,
        falls: &falls,
        log: unit.config.mode != Mode::Fast,
        immediate,
        forms,
    };
    machine.run(from, state)
}

/// Notes the forms of host instructions in a block, without proving anything.
///
/// # Errors
/// [`Refusal`], if the code cannot be followed.
pub fn collect(
    pool: &mut Pool,
    forms: &mut HashMap<Form, Vec<u8>>,
    unit: &Unit,
    index: usize,
) -> Result<(), Refusal> {
    let own = unit.blocks[index];
    let region = (unit.target_of)(own.pc).map_or(0, |t| t.region);
    let place = &unit.config.regions[region as usize];
    execute(pool, forms, unit, index, own.block, place, None).map(|_| ())
}
