//! Blocks emitted to be proven.

use crate::check::{self, Failure, Prover, Unit};
use crate::term::Pool;
use crate::x86::{Form, Refusal};
use hartlog_format::contract::Site;
use hartlog_format::witness::Columns;
use hartlog_isa::Inst;
use iced_x86::{Decoder, DecoderOptions};
use std::collections::HashMap;
use templates::block::{Follow, Step};
use templates::emit::{Config, Emitted, Emitter, Jump, Mode, Target};
use templates::place::{Placement, available};

/// Guest pc of the first instruction of a case.
pub const PC: u64 = 0x1_0000;

/// First guest pc of the jump table of a case.
pub const TABLE_BASE: u64 = 0x8000;

/// Guest bytes that it covers.
pub const TABLE_BYTES: u64 = 0x10_0000;

/// A block, and how it is emitted.
#[derive(Clone)]
pub struct Case {
    /// Mode, address checks, placements.
    pub config: Config,
    /// The block.
    pub steps: Vec<Step>,
    /// Other blocks that there are: pc, region, steps.
    pub others: Vec<(u64, Target)>,
    /// Region of the block.
    pub region: u16,
    /// The block that follows it in the code, if one does.
    pub fallthrough: Option<u64>,
    /// Steps of its first piece, if it has pieces.
    pub short: Option<usize>,
}

/// What a case was emitted to.
pub struct Emission {
    /// The code.
    pub code: Vec<u8>,
    /// Jumps to be filled in.
    pub jumps: Vec<Jump>,
    /// The block, and the one after it.
    pub blocks: Vec<Emitted>,
    /// What may raise a signal.
    pub sites: Vec<Site>,
}

/// A configuration without regions.
pub fn config(mode: Mode, checked: bool, order: &[u8]) -> Config {
    let columns = Columns::NONE;
    let homes = available(mode != Mode::Fast, columns);
    let placement = Placement::new(order.iter().copied(), homes);
    Config {
        mode,
        checked,
        columns,
        regions: vec![placement.clone()],
        placement,
        table_base: TABLE_BASE,
        table_bytes: TABLE_BYTES,
    }
}

/// A straight run of instructions from [`PC`] on; branches fall through.
pub fn straight(insts: &[Inst]) -> Vec<Step> {
    straight_at(PC, insts)
}

/// The same from `pc` on.
pub fn straight_at(mut pc: u64, insts: &[Inst]) -> Vec<Step> {
    insts
        .iter()
        .map(|inst| {
            let step = Step {
                pc,
                inst: Some(*inst),
                follow: Follow::Fall,
                perhaps: false,
            };
            pc += u64::from(inst.len);
            step
        })
        .collect()
}

/// Makes the branch at an index one over the `n` steps behind it.
pub fn skip(steps: &mut [Step], branch: usize, n: usize) {
    steps[branch].follow = Follow::Skip;
    for step in &mut steps[branch + 1..=branch + n] {
        step.perhaps = true;
    }
}

impl Case {
    /// A case without other blocks.
    pub fn new(config: &Config, steps: Vec<Step>) -> Case {
        Case {
            config: config.clone(),
            steps,
            others: Vec::new(),
            region: 0,
            fallthrough: None,
            short: None,
        }
    }

    fn target_of(&self, pc: u64) -> Option<Target> {
        if self.steps.first().is_some_and(|s| s.pc == pc) {
            return Some(Target {
                region: self.region,
                steps: self.steps.len() as u16,
            });
        }
        self.others.iter().find(|o| o.0 == pc).map(|o| o.1)
    }

    /// Emits it.
    pub fn emit(&self) -> Emission {
        let target_of = |pc: u64| self.target_of(pc);
        let mut emitter = Emitter::new(&self.config, &target_of, false);
        emitter.block(&self.steps, self.fallthrough);
        if let Some(pc) = self.fallthrough {
            let illegal = Step {
                pc,
                inst: None,
                follow: Follow::Fall,
                perhaps: false,
            };
            emitter.block(&[illegal], None);
        }
        if let Some(steps) = self.short {
            emitter.short(0, &self.steps[..steps], None);
        }
        let code = emitter.finish(|_| None);
        Emission {
            code,
            jumps: emitter.jumps.clone(),
            blocks: emitter.blocks.clone(),
            sites: emitter.sites.clone(),
        }
    }

    /// Proves what it was emitted to (perhaps changed since).
    ///
    /// # Errors
    /// [`Failure`], if it is not proven.
    pub fn prove_emission(
        &self,
        prover: &mut Prover,
        emission: &Emission,
        immediate: Option<i64>,
    ) -> Result<(), Failure> {
        self.with_unit(emission, |unit| {
            prover.block(unit, 0, &self.steps, immediate)?;
            match self.short {
                Some(steps) => prover.short(unit, 0, &self.steps[..steps]),
                None => Ok(()),
            }
        })
    }

    /// Notes the forms of host instructions in its code.
    ///
    /// # Errors
    /// [`Refusal`], if the code cannot be followed.
    pub fn collect(
        &self,
        pool: &mut Pool,
        forms: &mut HashMap<Form, Vec<u8>>,
    ) -> Result<(), Refusal> {
        self.with_unit(&self.emit(), |unit| check::collect(pool, forms, unit, 0))
    }

    fn with_unit<T>(&self, emission: &Emission, run: impl FnOnce(&Unit) -> T) -> T {
        let target_of = |pc: u64| self.target_of(pc);
        run(&Unit {
            config: &self.config,
            code: &emission.code,
            jumps: &emission.jumps,
            blocks: &emission.blocks,
            sites: &emission.sites,
            target_of: &target_of,
        })
    }

    /// Emits it and proves it.
    ///
    /// # Errors
    /// [`Failure`], if it is not proven.
    pub fn prove(&self, prover: &mut Prover) -> Result<(), Failure> {
        self.prove_emission(prover, &self.emit(), None)
    }

    /// Emits it and proves it, first with every number in the code that is `immediate` taken for
    /// an unknown. That is the stronger claim, and the same for many immediates.
    ///
    /// # Errors
    /// [`Failure`], if it is not proven.
    pub fn prove_for_all(&self, prover: &mut Prover, immediate: i64) -> Result<(), Failure> {
        let emission = self.emit();
        match self.prove_emission(prover, &emission, Some(immediate)) {
            Ok(()) => Ok(()),
            Err(_) => self.prove_emission(prover, &emission, None),
        }
    }

    /// The block and its code as text, for messages.
    pub fn listing(&self, code: &[u8]) -> String {
        let mut out = String::new();
        for step in &self.steps {
            match step.inst {
                Some(inst) => out += &format!("  {:#x}: {inst}\n", step.pc),
                None => out += &format!("  {:#x}: (no instruction)\n", step.pc),
            }
        }
        for (r, home) in self.config.regions[self.region as usize].pinned() {
            let used = self.steps.iter().any(|s| {
                s.inst
                    .is_some_and(|i| i.rd == r || i.rs1 == r || i.rs2 == r)
            });
            if used {
                out += &format!("  x{r} in {home:?}\n");
            }
        }
        for i in Decoder::with_ip(64, code, 0, DecoderOptions::NONE) {
            out += &format!("    {:3x}  {i}\n", i.ip());
        }
        out
    }
}
