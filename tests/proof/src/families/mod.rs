//! Which blocks are proven: single instructions in every placement, with every immediate; with
//! operands prepared by an instruction before; pairs and idioms.

pub mod idioms;
pub mod prepared;

use crate::case::{self, Case};
use crate::check::{Counts, Failure, Prover};
use hartlog_isa::{CSR_CYCLE, CSR_INSTRET, CSR_TIME, Effect, Format, Inst, Op};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use templates::emit::{Config, Mode};
use templates::place::HOMES;

/// Guest registers that get a host register, and some that do not.
pub const PINNED: [u8; 3] = [10, 11, 12];
/// Those that live in memory.
pub const MEMORY: [u8; 3] = [13, 14, 15];

/// How much is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What continuous integration has the time for: every instruction and placement class, some
    /// host registers, boundary immediates.
    Quick,
    /// Every host register, every immediate.
    Full,
}

/// How a configuration is named in reports.
pub fn modes() -> [(Mode, bool); 4] {
    [
        (Mode::Fast, false),
        (Mode::Trace, false),
        (Mode::Replay, false),
        (Mode::Trace, true),
    ]
}

/// The configuration in which `PINNED` have the host registers from the one numbered `first` on,
/// and `MEMORY` none.
pub fn placed(mode: Mode, checked: bool, first: usize) -> Config {
    let count = HOMES.len() - usize::from(mode != Mode::Fast);
    let mut others = (1..10).chain(16..32);
    let mut order = vec![0; count];
    for (i, r) in PINNED.iter().enumerate() {
        order[(first + i) % count] = *r;
    }
    for r in &mut order {
        if *r == 0 {
            *r = others.next().unwrap_or(1);
        }
    }
    case::config(mode, checked, &order)
}

/// The registers of an instruction: which operands it has.
fn operands(op: Op) -> [bool; 3] {
    use Format::*;
    match op.format() {
        R | Amo => [true, true, true],
        Unary | I | Shift | ShiftW | Load | Jalr | Lr => [true, true, false],
        Store | Branch => [false, true, true],
        U | J | Csr | CsrImm => [true, false, false],
        Fence | FenceI | System => [false, false, false],
    }
}

/// Whether, of registers that can be renamed (those of a kind), the first ones appear first.
fn is_canonical(registers: &[u8], kinds: &[[u8; 3]]) -> bool {
    kinds.iter().all(|kind| {
        let mut next = 0;
        registers
            .iter()
            .all(|r| match kind.iter().position(|k| k == r) {
                Some(i) if i > next => false,
                Some(i) => {
                    next = next.max(i + 1);
                    true
                }
                None => true,
            })
    })
}

/// Every way to place rd, rs1 and rs2, up to renaming: x0, pinned or in memory, equal or not.
pub fn places(op: Op) -> Vec<[u8; 3]> {
    let all = [
        0, PINNED[0], PINNED[1], PINNED[2], MEMORY[0], MEMORY[1], MEMORY[2],
    ];
    let used = operands(op);
    let choices = |used: bool| if used { &all[..] } else { &all[..1] };
    let mut out = Vec::new();
    for d in choices(used[0]) {
        for a in choices(used[1]) {
            for b in choices(used[2]) {
                let triple = [*d, *a, *b];
                if is_canonical(&triple, &[PINNED, MEMORY]) {
                    out.push(triple);
                }
            }
        }
    }
    out
}

/// Twelve-bit immediates at boundaries.
const BOUNDARIES: [i32; 21] = [
    0, 1, -1, 2, -2, 3, 4, 7, 8, 15, 16, 63, 127, -128, 128, 255, 256, -256, 1023, 2047, -2048,
];

/// Immediates of an instruction.
pub fn immediates(op: Op, scope: Scope) -> Vec<i32> {
    use Format::*;
    let full = scope == Scope::Full;
    match op.format() {
        I | Load | Store | Jalr if full => (-2048..2048).collect(),
        I | Load | Store | Jalr => BOUNDARIES.to_vec(),
        Shift => (0..64).collect(),
        ShiftW => (0..32).collect(),
        // Its upper half counts up, and so does what is below.
        U if full => (0..1 << 16)
            .map(|v: i32| v << 16 | (v & 15) << 12)
            .collect(),
        U => (0..20)
            .flat_map(|k| [1 << k, (1 << k) - 1, !(1 << k)])
            .map(|v: i32| v << 12)
            .collect(),
        Branch if full => (-2048..2048).map(|v| 2 * v).collect(),
        Branch => [0, 2, 4, 6, -2, 8, -4096, 4094, 100].to_vec(),
        J => (1..20)
            .flat_map(|k| [1 << k, -(1 << k), (1 << k) - 2])
            .chain([0, 2, 4, 6])
            .collect(),
        Csr | CsrImm => [CSR_CYCLE, CSR_TIME, CSR_INSTRET, 0x300, 0xc03, 0]
            .map(i32::from)
            .to_vec(),
        Fence => vec![0, 0x0ff, 0x033, 0x833],
        R | Unary | Amo | Lr | FenceI | System => vec![0],
    }
}

/// Whether the immediate is a number that is taken for an unknown.
fn generalises(op: Op) -> bool {
    matches!(
        op.format(),
        Format::I | Format::Load | Format::Store | Format::Jalr
    )
}

/// What was not proven.
#[derive(Debug)]
pub struct Refuted {
    /// Why.
    pub failure: Failure,
    /// The block, its code, its mode.
    pub listing: String,
}

/// Proofs of one kind.
#[derive(Default, Debug)]
pub struct Report {
    /// Blocks, obligations and so on, and the time that they took, by family.
    pub families: BTreeMap<String, (Counts, Duration)>,
    /// What was not proven.
    pub refuted: Vec<Refuted>,
}

impl Report {
    /// Adds a proof to a family.
    pub fn prove(
        &mut self,
        prover: &mut Prover,
        family: &str,
        case: &Case,
        immediate: Option<i64>,
    ) {
        let (start, before) = (Instant::now(), prover.counts);
        let result = match immediate {
            Some(v) => case.prove_for_all(prover, v),
            None => case.prove(prover),
        };
        let after = prover.counts;
        let (sum, time) = self.families.entry(family.to_string()).or_default();
        sum.blocks += 1;
        sum.obligations += after.obligations - before.obligations;
        sum.syntactic += after.syntactic - before.syntactic;
        sum.repeated += after.repeated - before.repeated;
        sum.asked += after.asked - before.asked;
        *time += start.elapsed();
        if let Err(failure) = result {
            let Config { mode, checked, .. } = case.config;
            self.refuted.push(Refuted {
                failure,
                listing: format!(
                    "{mode:?}, checked: {checked}\n{}",
                    case.listing(&case.emit().code)
                ),
            });
        }
    }

    /// The first few of what was not proven, as text.
    pub fn summary(&self) -> String {
        let mut out = String::new();
        for (name, (c, time)) in &self.families {
            out += &format!(
                "{name}: {} blocks, {} obligations ({} the same formulas, {} repeated, {} asked), {} s\n",
                c.blocks,
                c.obligations,
                c.syntactic,
                c.repeated,
                c.asked,
                time.as_secs()
            );
        }
        for r in self.refuted.iter().take(5) {
            out += &format!("{}\n{}\n", r.failure, r.listing);
        }
        out += &format!("not proven: {}\n", self.refuted.len());
        out
    }
}

/// An instruction with operands placed as they say.
pub fn placed_inst(op: Op, [rd, rs1, rs2]: [u8; 3], imm: i32) -> Inst {
    Inst::new(op, rd, rs1, rs2, imm)
}

/// Takes a case and, where there is one, the immediate that is taken for an unknown.
pub type Visit<'a> = &'a mut dyn FnMut(&Case, Option<i64>);

/// Every instruction alone in a block.
pub fn single(op: Op, scope: Scope, visit: Visit) {
    for (mode, checked) in modes() {
        let hosts = match scope {
            Scope::Full => HOMES.len() - usize::from(mode != Mode::Fast),
            Scope::Quick => 1,
        };
        for first in 0..hosts {
            let config = placed(mode, checked, first);
            for places in places(op) {
                // All immediates in the first host registers, boundaries in the others. What accesses
                // no memory is the same in every mode, and what does is without the log, too.
                let memory = op.effect() != Effect::None;
                let all = first == 0 && mode == Mode::Trace && (memory || !checked);
                let scope = if all { scope } else { Scope::Quick };
                for imm in immediates(op, scope) {
                    let inst = placed_inst(op, places, imm);
                    let case = Case::new(&config, case::straight(&[inst]));
                    visit(&case, generalises(op).then_some(i64::from(imm)));
                }
            }
        }
    }
}

/// The scope that the environment asks for: `HARTLOG_PROOF=full`, else what has to be quick.
pub fn scope() -> Scope {
    match std::env::var("HARTLOG_PROOF").as_deref() {
        Ok("full") => Scope::Full,
        _ => Scope::Quick,
    }
}
