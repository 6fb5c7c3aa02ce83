//! The claim about a block, and its proof: on every path of the emitted code, under the
//! conditions of that path, the machine ends as the formulas of the guest say.

use crate::riscv::{Guest, GuestAccess, GuestEnd, GuestPath};
use crate::smt::{Answer, Solver, TIMEOUT};
use crate::term::{Pool, Term, mask};
use crate::x86::{Access, End, Form, Machine, Path, RDI, RDX, REGISTERS, RSP, Refusal, State};
use hartlog_format::contract::{Site, WINDOW, offset, slot};
use hartlog_isa::Effect;
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

/// Two terms that have to be equal.
struct Equation {
    what: &'static str,
    number: u32,
    host: Term,
    guest: Term,
}

/// What is to be shown of a pair of paths.
enum Claim {
    /// They are never taken with the same inputs; else this differs.
    Apart(String),
    /// Where both are taken, these are equal.
    Equal(Vec<Equation>),
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

    /// All guest registers, reservation and log pointer are as at the start.
    fn unchanged(&mut self, unit: &Unit, state: &State, place: &Placement) -> Vec<Equation> {
        let x: Vec<Term> = (0..32u8)
            .map(|r| self.pool.var(&format!("x{r}"), 64))
            .collect();
        let mut out = self.registers(state, place, &x);
        let reservation = self.pool.var("reservation", 64);
        out.push(equation(
            "reservation",
            0,
            state.fields[&offset::RESERVATION],
            reservation,
        ));
        if unit.config.mode != Mode::Fast {
            let log = self.pool.var(REGISTERS[RDI], 64);
            out.push(equation("log pointer", 0, state.gpr[RDI], log));
        }
        let no = self.pool.bool(false);
        let yes = self.pool.bool(true);
        if !state.accesses.is_empty() || !state.log.is_empty() {
            out.push(equation("memory", 0, no, yes));
        }
        out
    }

    /// x1 to x31 are where they belong.
    fn registers(&mut self, state: &State, place: &Placement, x: &[Term]) -> Vec<Equation> {
        (1..32u8)
            .map(|r| {
                let host = match place.home(r) {
                    Some(home) => state.gpr[home as usize],
                    None => state.fields[&slot(r)],
                };
                equation("x", u32::from(r), host, x[r as usize])
            })
            .collect()
    }

    /// Where a path goes, if that is a block or a stub.
    fn dest(&self, unit: &Unit, host: &Path) -> Option<Dest> {
        match host.end {
            End::Jump(at) => unit.jumps.iter().find(|j| j.end == at).map(|j| j.dest),
            End::Stop(at) => unit.blocks.iter().find_map(|b| {
                [
                    (b.block, Dest::Block(b.pc)),
                    (b.body, Dest::Body(b.pc)),
                    (b.refuse, Dest::Refuse(b.pc)),
                    (b.entry, Dest::Entry(b.pc)),
                ]
                .into_iter()
                .find_map(|(offset, dest)| (offset == at).then_some(dest))
            }),
            End::Register(_) | End::Trap(_) => None,
        }
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

    /// What has to hold of a path of the code and one of the guest.
    fn claim(&mut self, unit: &Unit, steps: &[Step], host: &Path, guest: &GuestPath) -> Claim {
        let pc = steps[0].pc;
        let apart = |what: String| Claim::Apart(what);
        let steps_of = |pc: u64| (unit.target_of)(pc).map(|t| t.steps);
        let own_steps = steps_of(pc).unwrap_or(0);
        let dest = self.dest(unit, host);
        let state = &host.state;
        let mut out = Vec::new();
        // Steps that are charged beyond those retired.
        let mut charged = 0;
        let mut outside = unit.config.placement.clone();
        let mut everything = true;
        let mut registers = u32::MAX;
        let (no, yes) = (self.pool.bool(false), self.pool.bool(true));
        let truth =
            |what: &'static str, holds: bool| equation(what, 0, yes, if holds { yes } else { no });
        match (dest, guest.end) {
            (Some(Dest::Refuse(to)), GuestEnd::Refused) if to == pc => {
                charged = u64::from(own_steps);
                outside = self.placement(unit, to);
            }
            (Some(Dest::Stub(Stub::ChunkEnd)), GuestEnd::Refused) => {
                let pc = self.pool.val(pc, 64);
                out.push(equation("pc", 0, state.gpr[0], pc));
            }
            (Some(Dest::Block(to)), GuestEnd::Next(at)) if to == at => {
                out.push(truth("a block", steps_of(to).is_some()));
                outside = self.placement(unit, to);
            }
            (Some(Dest::Entry(to)), GuestEnd::Next(at)) if to == at => {
                out.push(truth("a block", steps_of(to).is_some()));
            }
            (Some(Dest::Body(to)), GuestEnd::Next(at)) if to == at => {
                charged = u64::from(steps_of(to).unwrap_or(0));
                outside = self.placement(unit, to);
                let negative = self.pool.sign(state.gpr[RSP]);
                out.push(truth("a block", steps_of(to).is_some()));
                out.push(equation("covered", 0, negative, no));
            }
            (Some(Dest::Refuse(to)), GuestEnd::Next(at)) if to == at => {
                charged = u64::from(steps_of(to).unwrap_or(0));
                outside = self.placement(unit, to);
                let negative = self.pool.sign(state.gpr[RSP]);
                out.push(truth("a block", steps_of(to).is_some()));
                out.push(equation("not covered", 0, negative, yes));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Next(at)) => {
                let to = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], to));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Indirect(to)) => {
                out.push(equation("pc", 0, state.gpr[0], to));
            }
            (Some(Dest::Stub(Stub::Far)), GuestEnd::Next(at)) => {
                let to = self.pool.val(at, 64);
                out.push(self.far(unit, state, to));
            }
            (Some(Dest::Stub(Stub::Far)), GuestEnd::Indirect(to)) => {
                out.push(self.far(unit, state, to));
            }
            (Some(Dest::Stub(Stub::Jump)), GuestEnd::Trap(at))
                if unit.config.mode == Mode::Replay =>
            {
                // A replay that gets here is one of a trace that goes on behind a fault. An atomic has
                // to trap again where it is interpreted; other registers are not looked at.
                let inst = steps.iter().find(|s| s.pc == at).and_then(|s| s.inst);
                if let Some(inst) = inst.filter(|i| i.op.effect() != Effect::None) {
                    registers = inst.reads().iter().fold(0, |mask, r| mask | 1 << (r & 31));
                }
                let at = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], at));
            }
            (Some(Dest::Stub(Stub::Ecall)), GuestEnd::Ecall(at)) => {
                let at = self.pool.val(at, 64);
                out.push(equation("pc", 0, state.gpr[0], at));
            }
            (None, GuestEnd::Indirect(to)) => {
                let End::Register(at) = host.end else {
                    return apart("a jump by the table, and the code traps".to_string());
                };
                out.extend(self.table(unit, state, at, to));
            }
            (None, GuestEnd::Trap(at)) => {
                let End::Trap(position) = host.end else {
                    return apart(format!("{at:#x} traps, and the code jumps"));
                };
                everything = false;
                let budget = state.gpr[RSP];
                let waiting = state.bytes_waiting(&mut self.pool);
                match self.site(
                    unit,
                    position,
                    at,
                    budget,
                    state.gpr[RDI],
                    guest.retired,
                    guest.log,
                    waiting,
                ) {
                    Ok(more) => out.extend(more),
                    Err(what) => return apart(what),
                }
            }
            // The chunk is executed again: nothing has to be in place.
            (Some(Dest::Stub(Stub::Address)), GuestEnd::Outside) => return Claim::Equal(out),
            (dest, end) => {
                return apart(format!(
                    "the guest goes to {end:x?}, the code to {dest:x?} ({:x?})",
                    host.end
                ));
            }
        }
        match self.accesses(unit, &state.accesses, guest) {
            Ok(more) => out.extend(more),
            Err(what) => return apart(what),
        }
        match self.logged(unit, state, guest, everything) {
            Ok(more) => out.extend(more),
            Err(what) => return apart(what),
        }
        if everything {
            let start = self.pool.var(REGISTERS[RSP], 64);
            let gone = self.pool.val(u64::from(guest.retired) + charged, 64);
            let left = self.pool.sub(start, gone);
            out.push(equation("budget", 0, state.gpr[RSP], left));
            let x = self.registers(state, &outside, &guest.x);
            out.extend(x.into_iter().filter(|e| registers & (1 << e.number) != 0));
            let reservation = state.fields[&offset::RESERVATION];
            out.push(equation("reservation", 0, reservation, guest.reservation));
            // It stays inside the window, or none.
            let none = self.pool.val(u64::MAX, 64);
            let upper = self.pool.extract(reservation, 32, 32);
            let zero = self.pool.val(0, 32);
            let (inside, none) = (self.pool.eq(upper, zero), self.pool.eq(reservation, none));
            let kept = self.pool.or(inside, none);
            out.push(equation("reservation in the window", 0, kept, yes));
            if unit.config.mode != Mode::Fast {
                let log = self.pool.var(REGISTERS[RDI], 64);
                let bytes = self.pool.val(u64::from(guest.log), 64);
                let end = self.pool.add(log, bytes);
                out.push(equation("log pointer", 0, state.gpr[RDI], end));
            }
        }
        Claim::Equal(out)
    }

    fn placement(&self, unit: &Unit, pc: u64) -> Placement {
        let region = (unit.target_of)(pc).map_or(0, |t| t.region);
        unit.config.regions[region as usize].clone()
    }

    /// A way out to the guest pc `to`, which is even: rdx is its entry of the jump table, inside of it
    /// or not.
    fn far(&mut self, unit: &Unit, state: &State, to: Term) -> Equation {
        let half = self.entry(unit, to);
        equation("number of the entry", 0, state.gpr[RDX], half)
    }

    /// (to - base) / 2
    fn entry(&mut self, unit: &Unit, to: Term) -> Term {
        let p = &mut self.pool;
        let base = p.val(unit.config.table_base, 64);
        let distance = p.sub(to, base);
        p.shift_by(crate::term::Kind::Shr, distance, 1)
    }

    /// A jump through the table to the guest pc `to`: the host address `at` is that of its entry.
    fn table(&mut self, unit: &Unit, state: &State, at: Term, to: Term) -> Vec<Equation> {
        let half = self.entry(unit, to);
        let p = &mut self.pool;
        let (no, yes) = (p.bool(false), p.bool(true));
        let [read] = state.table[..] else {
            return vec![equation("reads of the table", 0, no, yes)];
        };
        let bytes = unit.config.mode.table_entry();
        if u64::from(p.width(read.value)) != 8 * bytes {
            return vec![equation("width of the entry", 0, no, yes)];
        }
        let pointer = p.var(REGISTERS[crate::x86::RBP], 64);
        // Targets, and the table's base, are even: an entry for each halfword.
        let entries = p.val(unit.config.table_bytes / 2, 64);
        let inside = p.less_u(half, entries);
        let shift = u64::from(bytes.trailing_zeros());
        let distance = p.shift_by(crate::term::Kind::Shl, half, shift);
        let first = p.val(i64::from(offset::TABLE) as u64, 64);
        let entry = p.add(distance, first);
        let entry = p.add(pointer, entry);
        // An address, or relative to what rbp holds.
        let host = if bytes == 8 {
            read.value
        } else {
            let relative = p.sign_extend(read.value, 64);
            p.add(relative, pointer)
        };
        vec![
            equation("inside of the table", 0, inside, yes),
            equation("address of the entry", 0, read.addr, entry),
            equation("host address", 0, at, host),
            // What the entries without a block rely on.
            equation("number of the entry", 0, state.gpr[RDX], half),
        ]
    }

    /// The site of a host instruction has this guest pc, and corrects budget and log.
    #[allow(clippy::too_many_arguments)]
    fn site(
        &mut self,
        unit: &Unit,
        host: u32,
        pc: u64,
        budget: Term,
        log: Term,
        retired: u32,
        logged: u32,
        waiting: u32,
    ) -> Result<Vec<Equation>, String> {
        let site = unit.sites.iter().find(|s| s.host == host);
        let Some(site) = site else {
            return Err(format!("no site for the host instruction at {host:#x}"));
        };
        if u64::from(site.pc) != pc {
            return Err(format!("the site at {host:#x} is for {:#x}", site.pc));
        }
        let p = &mut self.pool;
        let refund = p.val(u64::from(site.refund), 64);
        let corrected = p.add(budget, refund);
        let start = p.var(REGISTERS[RSP], 64);
        let gone = p.val(u64::from(retired), 64);
        let left = p.sub(start, gone);
        let mut out = vec![equation("budget at a site", 0, corrected, left)];
        if unit.config.mode != Mode::Fast {
            let waiting = match unit.config.mode {
                Mode::Trace => waiting,
                Mode::Fast | Mode::Replay => 0,
            };
            if u32::from(site.waiting()) != waiting {
                return Err(format!(
                    "{waiting} bytes wait at {host:#x}, not {}",
                    site.waiting()
                ));
            }
            let more = p.val(u64::from(site.logged()), 64);
            let corrected = p.add(log, more);
            let start = p.var(REGISTERS[RDI], 64);
            let bytes = p.val(u64::from(logged), 64);
            let end = p.add(start, bytes);
            out.push(equation("log pointer at a site", 0, corrected, end));
        }
        Ok(out)
    }

    /// The accesses are the guest's, in order; each has a site.
    fn accesses(
        &mut self,
        unit: &Unit,
        host: &[Access],
        guest: &GuestPath,
    ) -> Result<Vec<Equation>, String> {
        if unit.config.mode == Mode::Replay {
            return if host.is_empty() {
                Ok(Vec::new())
            } else {
                Err("an access to memory in replay".to_string())
            };
        }
        let shape = |write: bool, bytes: u64| format!("{}{bytes}", if write { "w" } else { "r" });
        let ours: Vec<String> = host
            .iter()
            .map(|a| shape(a.write, u64::from(a.bytes)))
            .collect();
        let theirs: Vec<String> = guest
            .accesses
            .iter()
            .map(|a| shape(a.write, a.width.bytes()))
            .collect();
        if ours != theirs {
            return Err(format!("accesses are {ours:?}, not {theirs:?}"));
        }
        let mut out = Vec::new();
        for (i, (h, g)) in host.iter().zip(&guest.accesses).enumerate() {
            let GuestAccess { addr, value, .. } = *g;
            out.push(equation("address", i as u32 + 1, h.addr, addr));
            out.push(equation("value", i as u32 + 1, h.value, value));
            let site = self.site(
                unit, h.host, g.pc, h.budget, h.log, g.retired, g.log, h.waiting,
            )?;
            out.extend(site);
            if unit.config.mode == Mode::Trace && h.logged + h.waiting < g.log {
                return Err(format!("access {i}: {} bytes logged before", h.logged));
            }
        }
        Ok(out)
    }

    /// The log holds the values read, and nothing else.
    fn logged(
        &mut self,
        unit: &Unit,
        state: &State,
        guest: &GuestPath,
        everything: bool,
    ) -> Result<Vec<Equation>, String> {
        if unit.config.mode != Mode::Trace {
            return if state.log.is_empty() {
                Ok(Vec::new())
            } else {
                Err("the log is written".to_string())
            };
        }
        let mut expected = Vec::new();
        for g in guest.accesses.iter().filter(|g| !g.write) {
            for k in 0..g.width.bytes() as u8 {
                expected.push(self.pool.extract(g.value, 8 * k, 8));
            }
        }
        expected.truncate(guest.log as usize);
        if everything && state.log.len() != expected.len() {
            return Err(format!(
                "{} bytes logged, not {}",
                state.log.len(),
                expected.len()
            ));
        }
        let mut out = Vec::new();
        // At a fault the rest is in xmm0; that the site says so has been checked.
        let logged = state.bytes_logged() as usize;
        for (i, byte) in expected.into_iter().enumerate() {
            let waiting = match i.checked_sub(logged) {
                Some(at) if !everything => state.vector.get(at),
                _ => None,
            };
            let Some(host) = state.log.get(&(i as i64)).or(waiting) else {
                return Err(format!("byte {i} of the log is not written"));
            };
            out.push(equation("log byte", i as u32 + 1, *host, byte));
        }
        Ok(out)
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

fn equation(what: &'static str, number: u32, host: Term, guest: Term) -> Equation {
    Equation {
        what,
        number,
        host,
        guest,
    }
}
