//! Emission of a block.
//!
//! Guest instructions are emitted in order, with two kinds of work put off until it is known
//! whether it is needed at all:
//!
//! * **Deferred values.** A pure instruction whose result is read once and then overwritten (or is
//!   a constant) is not emitted where it stands; its reader folds it (address modes, rotates,
//!   immediates, flags; see [`crate::rewrite`]) or has it emitted then. A deferred instruction
//!   reads only registers whose homes are current, or its own old home; before such a home is
//!   overwritten the instruction is emitted. What a side exit needs is emitted on the exit's cold
//!   path.
//! * **Sign extension.** After a 32-bit operation the upper half of a home is *dirty*: the value
//!   is the sign extension of the lower half. Readers of 32 bits do not care; for others, and at
//!   exits, it is extended.
//!
//! Loads and stores are never moved, so the log is in program order and faults are exact.

mod deferred;
mod leaving;
mod operands;

use leaving::Cold;
pub(crate) use leaving::ColdKind;
pub(crate) use operands::{Extent, Redirect};

use crate::asm::{Alu, Asm, Branch, Cond, Gpr, Label, Mem, Size};
use crate::block::{Follow, Step, Uses, Value, is_pure, skipped, values};
use crate::borrow::Loans;
use crate::local;
use crate::log::Log;
use crate::place::{BUDGET, Placement, available};
use crate::rewrite;
use crate::window::Window;
use hartlog_format::contract::{REPLAY_TABLE_ENTRY, Site, TABLE_ENTRY};
use hartlog_format::witness::Columns;
use hartlog_isa::{Effect, Inst, Op};

/// How many steps behind a sum its carry is looked for.
const LOOK_AHEAD: usize = 3;

/// Where nothing is logged: what a product of 128 bits is taken for, in instructions. It needs the
/// port by which values get to vector registers.
const PRODUCT: i32 = 8;

/// What the code does with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Runs the guest.
    Fast,
    /// Runs the guest and logs every value read.
    Trace,
    /// Re-executes a chunk: values read come from the log, nothing is stored, unless memory is
    /// followed ([`Columns::FOLLOW`]). Without that, no instruction of this mode raises a signal:
    /// traps are left to the interpreter.
    Replay,
}

impl Mode {
    /// Bytes of an entry of the jump table.
    pub fn table_entry(self) -> u64 {
        match self {
            Mode::Fast | Mode::Trace => TABLE_ENTRY,
            Mode::Replay => REPLAY_TABLE_ENTRY,
        }
    }
}

/// What code is emitted for.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the code does with memory.
    pub mode: Mode,
    /// Check that every guest address fits 32 bits.
    pub checked: bool,
    /// What a replay writes; nothing in the other modes.
    pub columns: Columns,
    /// Homes of the guest registers, outside of regions.
    pub placement: Placement,
    /// Homes in each region; index 0 is [`Config::placement`] again.
    pub regions: Vec<Placement>,
    /// Guest address of entry 0 of the jump table.
    pub table_base: u64,
    /// Guest bytes that the jump table covers.
    pub table_bytes: u64,
}

impl Config {
    /// The register that counts rows.
    pub(crate) fn row_counter(&self) -> Option<Gpr> {
        self.columns.has_rows().then_some(Gpr::R13)
    }

    /// The register that points to the next memory operation.
    pub(crate) fn op_pointer(&self) -> Option<Gpr> {
        let other = if self.columns.has_rows() {
            Gpr::R12
        } else {
            Gpr::R13
        };
        self.columns.contains(Columns::MEMORY).then_some(other)
    }
}

/// Routines that every definition may jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stub {
    /// Leave with `reason::CHUNK_END`; guest pc in rax.
    ChunkEnd,
    /// Leave with `reason::JUMP`; guest pc in rax.
    Jump,
    /// The same; guest pc in rdx, as a number of entries of the jump table from its base.
    Far,
    /// Leave with `reason::ECALL`; guest pc in rax.
    Ecall,
    /// Leave with `reason::ADDRESS`.
    Address,
    /// Leave with `reason::MISMATCH`; place in the log in rax.
    Mismatch,
}

/// Where a jump out of a block goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dest {
    /// To the block at this guest pc, with the registers placed as its region wants them.
    Block(u64),
    /// Into that block behind its budget check: its steps are charged already.
    Body(u64),
    /// To that block's way out for a budget that does not cover it; its steps were charged.
    Refuse(u64),
    /// To the block at this guest pc, with the registers placed as outside of regions.
    Entry(u64),
    /// To a stub.
    Stub(Stub),
}

impl Dest {
    /// Guest pc of the block, if it is one.
    pub fn block(self) -> Option<u64> {
        match self {
            Dest::Block(pc) | Dest::Body(pc) | Dest::Refuse(pc) | Dest::Entry(pc) => Some(pc),
            Dest::Stub(_) => None,
        }
    }
}

/// A 32-bit displacement to be filled in once destinations are known.
#[derive(Clone, Copy, Debug)]
pub struct Jump {
    /// Offset just after the displacement.
    pub end: u32,
    /// Destination.
    pub dest: Dest,
}

/// What a jump needs to know of the block it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its region.
    pub region: u16,
    /// Its steps.
    pub steps: u16,
}

/// Host offsets of an emitted block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitted {
    /// Guest pc.
    pub pc: u64,
    /// The block, with its budget check.
    pub block: u32,
    /// Behind the check.
    pub body: u32,
    /// Where the check goes if the budget does not cover the block.
    pub refuse: u32,
    /// Where the block is entered from outside of its region.
    pub entry: u32,
    /// Of a long block: its first piece, where the check goes on if the budget covers that.
    pub short: Option<u32>,
}

impl Emitted {
    /// Where a jump to this block goes.
    pub fn offset(&self, dest: Dest) -> u32 {
        match dest {
            Dest::Entry(_) => self.entry,
            Dest::Body(_) => self.body,
            Dest::Refuse(_) => self.refuse,
            Dest::Block(_) | Dest::Stub(_) => self.block,
        }
    }
}

/// A deferred value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lazy {
    Const(i64),
    /// To be computed by this instruction (with `rd` = the register).
    Inst(Inst),
}

/// Whether a step was emitted with an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Early {
    No,
    /// Its code; that it reads its sources counts where it stands.
    Emitted,
    /// As if it stood there.
    Done,
}

/// Source operand of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Src {
    Imm(i64),
    Reg(Gpr),
    Slot(Mem),
}

impl Src {
    /// The constant, where it fits a sign-extended 32-bit immediate.
    pub fn imm32(self) -> Option<i32> {
        match self {
            Src::Imm(v) => i32::try_from(v).ok(),
            _ => None,
        }
    }
}

/// Host code of one definition (usually a guest function): its blocks' hot paths, then the cold
/// ones.
pub struct Emitter<'a> {
    pub(crate) asm: Asm,
    pub(crate) config: &'a Config,
    target_of: &'a dyn Fn(u64) -> Option<Target>,
    /// The blocks so far.
    pub blocks: Vec<Emitted>,
    /// Jumps to other definitions and to stubs, of the finished code.
    pub jumps: Vec<Jump>,
    /// Host instructions that may raise a signal; ascending after [`Emitter::finish`].
    pub sites: Vec<Site>,
    /// (host offset, guest pc) where the code of a guest instruction starts, if asked for.
    pub marks: Option<Vec<(u32, u64)>>,
    /// Jumps to blocks and stubs.
    open: Vec<(Branch, Dest)>,
    exits: Vec<Cold>,
    /// What is hardly ever executed.
    seldom: Vec<Cold>,
    /// Where this definition jumps to each stub; bound at its end.
    stubs: [Option<Label>; 6],

    // State within a block.
    region: u16,
    pub(crate) place: Placement,
    /// Host registers that may be lent.
    pub(crate) available: &'static [Gpr],
    pub(crate) loans: Loans,
    lazy: [Option<Lazy>; 32],
    /// Per register the registers whose deferred instruction reads its home.
    readers: [u32; 32],
    /// Registers whose home a deferred instruction reads.
    read: u32,
    lazy_mask: u32,
    /// Homes whose upper half is to be sign-extended before it is read.
    dirty: u32,
    /// Those of them whose upper half is zero, as 32-bit operations leave it.
    zero: u32,
    /// Registers whose value is known to be a sign-extended 32-bit one.
    sext: u32,
    pub(crate) log: Log,
    /// Replay: rows written in this block so far, not yet counted.
    pub(crate) row: u32,
    /// Replay: bytes of memory operations written in this block so far.
    pub(crate) ops: u32,
    /// Replay: addresses that are known to be inside the window.
    pub(crate) window: Window,
    pub(crate) index: u32,
    pub(crate) steps: u32,
    pub(crate) pc: u64,
    values: Vec<Value>,
    /// Uses of the current value of each register that are still to come.
    remaining: Uses,
    /// What the carry flag tells, as long as [`Asm::flags`] is this: whether the value of the one
    /// register is less than that of the other.
    pub(crate) carry: Option<(u32, u8, u8)>,
    /// Whether the current step may be skipped.
    perhaps: bool,
    /// The next step but for loads and stores, where no other path joins; in blocks that compute
    /// carries.
    pub(crate) next: Option<Inst>,
    /// A result that is not to go to its register.
    pub(crate) redirect: Option<Redirect>,
    /// Per step: was it emitted together with an earlier one?
    skipped: Vec<Early>,
}

/// The mask of one register.
pub(crate) fn bit(r: u8) -> u32 {
    1 << (r & 31)
}

/// The registers in a mask, ascending.
pub(crate) fn bits(mut mask: u32) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let r = mask.trailing_zeros() as u8;
        mask &= mask.wrapping_sub(1);
        (r < 32).then_some(r)
    })
}

impl<'a> Emitter<'a> {
    /// Starts a definition. `target_of` tells whether a guest pc starts a block, and about it.
    pub fn new(
        config: &'a Config,
        target_of: &'a dyn Fn(u64) -> Option<Target>,
        marks: bool,
    ) -> Emitter<'a> {
        let mut emitter = Emitter {
            asm: Asm::new(),
            config,
            target_of,
            blocks: Vec::new(),
            region: 0,
            place: config.placement.clone(),
            available: available(config.mode != Mode::Fast, config.columns),
            loans: Loans::default(),
            jumps: Vec::new(),
            sites: Vec::new(),
            marks: marks.then(Vec::new),
            open: Vec::new(),
            exits: Vec::new(),
            seldom: Vec::new(),
            stubs: [None; 6],
            lazy: [None; 32],
            readers: [0; 32],
            read: 0,
            lazy_mask: 0,
            dirty: 0,
            zero: 0,
            sext: 0,
            log: Log::default(),
            row: 0,
            ops: 0,
            window: Window::default(),
            index: 0,
            steps: 0,
            pc: 0,
            values: Vec::new(),
            remaining: Uses::END,
            carry: None,
            perhaps: false,
            next: None,
            redirect: None,
            skipped: Vec::new(),
        };
        emitter.loans.set_owners(&config.placement);
        if config.mode == Mode::Fast {
            emitter.asm.weigh_products(PRODUCT);
        }
        emitter
    }

    /// Emits a block. `fallthrough` is the guest pc of the block that is emitted right after this
    /// one, if any.
    pub fn block(&mut self, steps: &[Step], fallthrough: Option<u64>) {
        let Some(first) = steps.first() else { return };
        let start = self.asm.pos();
        let index = self.blocks.len();
        self.blocks.push(Emitted {
            pc: first.pc,
            block: start,
            body: start,
            refuse: start,
            entry: start,
            short: None,
        });
        let refusal = ColdKind::Budget { block: index };
        let body = self.code(first.pc, steps, fallthrough, refusal);
        self.blocks[index].body = body;
    }

    /// Emits the first steps of a block once more: what is executed of it where the budget does not
    /// cover the whole.
    pub fn short(&mut self, block: usize, steps: &[Step], fallthrough: Option<u64>) {
        self.blocks[block].short = Some(self.asm.pos());
        let pc = self.blocks[block].pc;
        let refusal = ColdKind::Refuse {
            pc,
            steps: steps.len() as u16,
        };
        self.code(pc, steps, fallthrough, refusal);
    }

    /// Emits the steps from `pc` on behind a budget check; returns where the code behind the check
    /// starts.
    fn code(
        &mut self,
        pc: u64,
        steps: &[Step],
        fallthrough: Option<u64>,
        refusal: ColdKind,
    ) -> u32 {
        self.enter_region(self.region_of(pc).unwrap_or(0));
        let fallthrough = fallthrough.filter(|pc| self.region_of(*pc) == Some(self.region));
        self.remaining = values(steps, &mut self.values);
        let local = !self.config.checked && local::pays(steps, &self.place);
        let lenders = if local { &[] } else { steps };
        self.loans.start(lenders, &self.place);
        if self.replaying() {
            self.window.start(steps);
        }
        self.steps = steps.len() as u32;
        self.start_log(steps);
        self.row = 0;
        self.ops = 0;
        self.sext = 0;
        self.dirty = 0;
        self.carry = None;
        self.skipped.clear();
        self.skipped.resize(steps.len(), Early::No);
        self.mark(pc);
        self.asm.forget_stores();
        self.asm
            .alu_imm(Alu::Sub, Size::Q, BUDGET, self.steps as i32);
        let label = self.asm.label();
        self.asm.jcc(Cond::S, label);
        self.cold(label, refusal);
        let body = self.asm.pos();
        if local {
            self.give_up_homes(steps);
        }
        let recording = self.recording();
        let carries = steps
            .iter()
            .any(|s| s.inst.is_some_and(|i| i.op == Op::Sltu));
        for (i, step) in steps.iter().enumerate() {
            self.index = i as u32;
            self.pc = step.pc;
            self.perhaps = step.perhaps;
            self.mark(step.pc);
            let last = i + 1 == steps.len();
            self.next = if carries {
                next_computed(&steps[i + 1..])
            } else {
                None
            };
            if let Some(inst) = step.inst {
                self.loans.protect(inst.reads());
            }
            if recording && let Some(inst) = step.inst {
                self.row_sources(&inst);
            }
            match step.inst {
                None => {
                    self.settle_all();
                    self.trap();
                }
                Some(inst) if last => self.last(step, inst, fallthrough),
                Some(inst) if step.follow == Follow::Skip => {
                    let run = skipped(&steps[i + 1..]);
                    self.conditional(&inst, run);
                    for distance in 1..=run.len() {
                        self.skip(distance);
                    }
                }
                Some(inst) if !recording && self.pair(&inst, &steps[i + 1..]) => {
                    self.written(&inst);
                }
                Some(inst) if !recording && self.carried(&inst, &steps[i + 1..]) => {}
                Some(inst) => self.step_or_skip(step, inst),
            }
            self.loans.end_step();
        }
        self.near_exits();
        body
    }

    /// Ends the definition: emits cold paths and returns the code. `own` tells whether a block of
    /// this definition starts at a guest pc, by its index in [`Emitter::blocks`]. Once the other
    /// parts are taken as well, the next definition can be emitted.
    pub fn finish(&mut self, own: impl Fn(u64) -> Option<usize>) -> Vec<u8> {
        self.cold_paths();
        let (asm, blocks) = (&mut self.asm, &self.blocks);
        self.open
            .retain(|(jump, dest)| match dest.block().and_then(&own) {
                Some(block) => {
                    asm.aim(*jump, blocks[block].offset(*dest));
                    false
                }
                None => true,
            });
        let code = self.asm.finish();
        // From here on offsets are those of the finished code.
        let moved = |offset: u32| self.asm.moved(offset);
        for block in &mut self.blocks {
            *block = Emitted {
                pc: block.pc,
                block: moved(block.block),
                body: moved(block.body),
                refuse: moved(block.refuse),
                entry: moved(block.entry),
                short: block.short.map(moved),
            };
        }
        self.asm
            .move_all(self.sites.iter_mut().map(|site| &mut site.host));
        self.sites.sort_by_key(|s| s.host);
        let marks = self.marks.iter_mut().flatten();
        self.asm.move_all(marks.map(|(offset, _)| offset));
        self.jumps
            .extend(self.open.drain(..).map(|(jump, dest)| Jump {
                end: moved(jump.end),
                dest,
            }));
        code
    }

    /// The region of the current block.
    pub(crate) fn region(&self) -> u16 {
        self.region
    }

    /// Whether `r` has a home outside of blocks in which homes are given up.
    pub(crate) fn home_outside(&self, r: u8) -> bool {
        self.config.regions[self.region as usize].home(r).is_some()
    }

    /// Whether that home is `host`.
    pub(crate) fn is_home(&self, r: u8, host: Gpr) -> bool {
        self.config.regions[self.region as usize].home(r) == Some(host)
    }

    fn region_of(&self, pc: u64) -> Option<u16> {
        (self.target_of)(pc).map(|t| t.region)
    }

    fn mark(&mut self, pc: u64) {
        let pos = self.asm.pos();
        if let Some(marks) = &mut self.marks {
            marks.push((pos, pc));
        }
    }

    /// Emits one instruction that is not the last of the block.
    pub(crate) fn step(&mut self, step: &Step, inst: Inst) {
        let value = self.values[self.index as usize];
        if is_pure(&inst) {
            self.pure(inst, value);
        } else {
            match inst.op.effect() {
                Effect::None => self.control(step, inst),
                _ => self.memory(inst),
            }
        }
        self.row_result(inst.rd);
        self.written(&inst);
    }

    /// The step wrote its rd: what happens to that value from here on.
    pub(crate) fn written(&mut self, inst: &Inst) {
        self.window_written(inst);
        let value = self.values[self.index as usize];
        if let Some(rd) = inst.writes() {
            self.remaining
                .set(rd, value.uses, value.exit_after_last_use);
        }
    }

    fn window_written(&mut self, inst: &Inst) {
        if self.replaying() {
            self.window.written(inst, self.perhaps);
        }
    }

    /// [`Emitter::step`], unless the step was emitted with an earlier one.
    pub(crate) fn step_or_skip(&mut self, step: &Step, inst: Inst) {
        if self.is_skipped() {
            if self.early(0) == Early::Done {
                self.window_written(&inst);
                return;
            }
            if !self.perhaps {
                self.consume(&inst);
            }
            self.written(&inst);
        } else {
            self.step(step, inst);
        }
    }

    /// Whether the current step was emitted with an earlier one.
    pub(crate) fn is_skipped(&self) -> bool {
        self.early(0) != Early::No
    }

    /// Whether the step `distance` after this one was emitted with an earlier one.
    pub(crate) fn early(&self, distance: usize) -> Early {
        let step = self.skipped.get(self.index as usize + distance);
        step.copied().unwrap_or(Early::No)
    }

    /// The step `distance` after this one is emitted with it.
    pub(crate) fn skip(&mut self, distance: usize) {
        self.set_early(distance, Early::Emitted);
    }

    /// The step `distance` after this one is done with it.
    pub(crate) fn done_early(&mut self, distance: usize) {
        self.set_early(distance, Early::Done);
    }

    fn set_early(&mut self, distance: usize, early: Early) {
        if let Some(skipped) = self.skipped.get_mut(self.index as usize + distance) {
            *skipped = early;
        }
    }

    /// What becomes of the value that the step `distance` after this one defines for `rd`.
    pub(crate) fn defined_early(&mut self, rd: u8, distance: usize) {
        let value = self.values[self.index as usize + distance];
        self.remaining
            .set(rd, value.uses, value.exit_after_last_use);
        self.loans.written_early(rd, self.index, distance);
    }

    fn pure(&mut self, original: Inst, value: Value) {
        let rd = original.rd;
        if rd == 0 {
            self.consume(&original);
            return;
        }
        if let Some(c) = self.evaluate(&original) {
            self.consume(&original);
            self.set_lazy(rd, Lazy::Const(c));
            return;
        }
        let recording = self.recording();
        if !recording && self.with_carry(&original) {
            return;
        }
        let mut inst = self.rewrite(original);
        if self.flush_hits(rd, &inst) {
            for r in original.reads() {
                self.settle(r);
            }
            inst = self.rewrite(original);
        }
        self.consume(&original);
        self.loans.protect(inst.reads());
        let wanted = !recording
            && value.killed
            && (value.uses == 0 || (value.uses == 1 && rewrite::foldable(inst.op)));
        let settled = |e: &Self, r: u8| !e.is_deferred(r) || r == rd;
        if wanted && homes_read(&inst).all(|r| settled(self, r)) && self.end_loan_of(rd, &inst) {
            self.set_lazy(rd, Lazy::Inst(inst));
            return;
        }
        self.define(rd);
        if self.loans.local {
            for r in homes_read(&inst) {
                if r != rd {
                    self.keep(r);
                }
            }
        }
        self.loans.defining = Some(rd);
        self.alu(&inst);
    }
}

/// The first instruction that is neither load nor store.
fn next_computed(steps: &[Step]) -> Option<Inst> {
    let mut insts = steps.iter().map_while(|s| s.inst).take(LOOK_AHEAD);
    insts.find(|i| i.op.effect() == Effect::None)
}

/// Registers whose homes an instruction reads: its sources other than x0.
pub(crate) fn homes_read(inst: &Inst) -> impl Iterator<Item = u8> + use<> {
    inst.reads().into_iter().filter(|r| *r != 0)
}
