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

use crate::asm::{Alu, Asm, Cond, Gpr, Label, Mem, Rm, Size};
use crate::block::{Follow, Step, Uses, Value, is_pure, values};
use crate::borrow::{Loan, Loans};
use crate::local;
use crate::log::Log;
use crate::place::{A, BUDGET, Placement, slot};
use crate::rewrite;
use crate::rows::Written;
use crate::window::Window;
use hartlog_format::contract::Site;
use hartlog_format::witness::Columns;
use hartlog_isa::{Effect, Hart, Inst, NO_RESERVATION, Port, Width, execute};

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

/// A path out of a block that is emitted after the hot code.
struct Cold {
    label: Label,
    region: u16,
    kind: ColdKind,
}

enum ColdKind {
    /// Replay: a trap, with its pc in rax and everything in place but for the region.
    Trap,
    /// Replay that follows memory: the value so far behind the log pointer is not what memory has.
    Mismatch(i32),
    /// The budget does not cover the block: give `steps` back.
    Budget { block: usize },
    /// A side exit to `target` with this state.
    Exit {
        target: u64,
        refund: u32,
        log: u32,
        /// How many of these bytes are still in xmm0.
        waiting: u32,
        written: Written,
        dirty: u32,
        lazies: Vec<(u8, Lazy)>,
        loans: Vec<Loan>,
        /// Whether homes are given up at this point.
        local: bool,
    },
}

/// Host code of one definition (usually a guest function): its blocks' hot paths, then the cold
/// ones.
pub struct Emitter<'a> {
    pub(crate) asm: Asm,
    pub(crate) config: &'a Config,
    target_of: &'a dyn Fn(u64) -> Option<Target>,
    /// The blocks so far.
    pub blocks: Vec<Emitted>,
    /// Jumps to blocks and stubs.
    pub jumps: Vec<Jump>,
    /// Host instructions that may raise a signal; ascending after [`Emitter::finish`].
    pub sites: Vec<Site>,
    /// (host offset, guest pc) where the code of a guest instruction starts, if asked for.
    pub marks: Option<Vec<(u32, u64)>>,
    cold: Vec<Cold>,
    /// Where this definition jumps to each stub; bound at its end.
    stubs: [Option<Label>; 5],

    // State within a block.
    region: u16,
    pub(crate) place: Placement,
    pub(crate) loans: Loans,
    lazy: [Option<Lazy>; 32],
    /// Per register the registers whose deferred instruction reads its home.
    readers: [u32; 32],
    lazy_mask: u32,
    /// Homes whose upper half is to be sign-extended before it is read.
    dirty: u32,
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
    /// Host offset at which the carry flag is still that of an addition, its sum and an addend.
    pub(crate) carry: Option<(u32, u8, u8)>,
    /// How the step before the current one goes on.
    previous: Follow,
    /// The step after the current one, where no other path joins.
    pub(crate) next: Option<Inst>,
    /// The register whose result a template is to leave in rax instead of its home.
    pub(crate) redirect: Option<u8>,
    /// Per step: was it emitted together with an earlier one?
    skipped: Vec<bool>,
}

fn bit(r: u8) -> u32 {
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
            loans: Loans::default(),
            jumps: Vec::new(),
            sites: Vec::new(),
            marks: marks.then(Vec::new),
            cold: Vec::new(),
            stubs: [None; 5],
            lazy: [None; 32],
            readers: [0; 32],
            lazy_mask: 0,
            dirty: 0,
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
            previous: Follow::Fall,
            next: None,
            redirect: None,
            skipped: Vec::new(),
        };
        emitter.loans.set_owners(&config.placement);
        emitter
    }

    /// Emits a block. `fallthrough` is the guest pc of the block that is emitted right after this
    /// one, if any.
    pub fn block(&mut self, steps: &[Step], fallthrough: Option<u64>) {
        let Some(first) = steps.first() else { return };
        let block = self.asm.pos();
        self.enter_region(self.region_of(first.pc).unwrap_or(0));
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
        self.skipped.resize(steps.len(), false);
        self.mark(first.pc);
        self.asm
            .alu_imm(Alu::Sub, Size::Q, BUDGET, self.steps as i32);
        let label = self.asm.label();
        self.asm.jcc(Cond::S, label);
        self.cold(
            label,
            ColdKind::Budget {
                block: self.blocks.len(),
            },
        );
        let body = self.asm.pos();
        self.blocks.push(Emitted {
            pc: first.pc,
            block,
            body,
            refuse: block,
            entry: block,
        });
        if local {
            self.give_up_homes(steps);
        }
        for (i, step) in steps.iter().enumerate() {
            self.index = i as u32;
            self.pc = step.pc;
            self.mark(step.pc);
            let last = i + 1 == steps.len();
            self.next = steps.get(i + 1).and_then(|s| s.inst);
            if let Some(inst) = step.inst {
                self.loans.protect(inst.reads());
            }
            if let Some(inst) = step.inst.filter(|_| self.recording()) {
                self.row_sources(&inst);
            }
            self.previous = i.checked_sub(1).map_or(Follow::Fall, |p| steps[p].follow);
            match step.inst {
                None => {
                    self.settle_all();
                    self.trap();
                }
                Some(inst) if last => self.last(step, inst, fallthrough),
                Some(inst) if step.follow == Follow::Skip => {
                    self.conditional(&inst, &steps[i + 1]);
                    self.skip(1);
                }
                Some(inst) if !self.recording() && self.pair(&inst, &steps[i + 1..]) => {
                    self.written(&inst);
                }
                Some(inst) => self.step_or_skip(step, inst),
            }
            self.loans.end_step();
        }
    }

    /// Ends the definition: emits cold paths and returns the code. Once its other parts are taken
    /// as well, the next definition can be emitted.
    pub fn finish(&mut self) -> Vec<u8> {
        for cold in std::mem::take(&mut self.cold) {
            self.asm.bind(cold.label);
            self.enter_region(cold.region);
            match cold.kind {
                ColdKind::Trap => {
                    self.leave_region();
                    self.jump(Dest::Stub(Stub::Jump));
                }
                ColdKind::Mismatch(at) => {
                    self.asm.mov_imm(A, i64::from(at));
                    self.jump(Dest::Stub(Stub::Mismatch));
                }
                ColdKind::Budget { block } => {
                    let pc = self.blocks[block].pc;
                    self.blocks[block].refuse = self.asm.pos();
                    self.mark(pc);
                    let steps = (self.target_of)(pc).map_or(0, |t| t.steps);
                    self.asm
                        .alu_imm(Alu::Add, Size::Q, BUDGET, i32::from(steps));
                    self.leave_region();
                    self.asm.mov_imm(A, pc as i64);
                    self.jump(Dest::Stub(Stub::ChunkEnd));
                }
                ColdKind::Exit {
                    target,
                    refund,
                    log,
                    waiting,
                    written,
                    dirty,
                    lazies,
                    loans,
                    local,
                } => {
                    self.mark(target);
                    if local {
                        self.without_homes();
                    }
                    self.dirty = dirty;
                    self.sext = 0;
                    self.take_up(&loans);
                    for (r, lazy) in lazies {
                        self.set_lazy(r, lazy);
                    }
                    (self.log.bytes, self.log.waiting) = (log, waiting);
                    (self.row, self.ops) = (written.rows, written.ops);
                    self.settle_all();
                    self.bump_log();
                    self.leave_by(target, refund);
                }
            }
        }
        for i in 0..self.blocks.len() {
            self.region_entry(i);
        }
        let stubs = [
            Stub::ChunkEnd,
            Stub::Jump,
            Stub::Ecall,
            Stub::Address,
            Stub::Mismatch,
        ];
        for stub in stubs {
            if let Some(label) = self.stubs[stub as usize].take() {
                self.asm.bind(label);
                let end = self.asm.jmp_open();
                self.jumps.push(Jump {
                    end,
                    dest: Dest::Stub(stub),
                });
            }
        }
        self.sites.sort_by_key(|s| s.host);
        self.asm.finish()
    }

    /// Emits the entry of a block from outside of its region: moves the registers and goes on at
    /// the block.
    fn region_entry(&mut self, index: usize) {
        let Emitted { pc, block, .. } = self.blocks[index];
        let region = self.region_of(pc).unwrap_or(0);
        if region == 0 {
            return;
        }
        self.blocks[index].entry = self.asm.pos();
        self.mark(pc);
        self.enter_region(0);
        self.move_homes(region);
        self.asm.jmp_back(block);
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
    fn is_home(&self, r: u8, host: Gpr) -> bool {
        self.config.regions[self.region as usize].home(r) == Some(host)
    }

    fn region_of(&self, pc: u64) -> Option<u16> {
        (self.target_of)(pc).map(|t| t.region)
    }

    /// Leaves the block for `target` with `refund` steps charged too many. The target's own
    /// charge is set off against them.
    fn leave_by(&mut self, target: u64, refund: u32) {
        let info = (self.target_of)(target);
        match info {
            Some(info) if info.region == self.region && refund != 0 => {
                let change = refund as i32 - i32::from(info.steps);
                match change {
                    0 => {}
                    1.. => self.asm.alu_imm(Alu::Add, Size::Q, BUDGET, change),
                    _ => {
                        self.asm.alu_imm(Alu::Sub, Size::Q, BUDGET, -change);
                        let end = self.asm.jcc_open(Cond::S);
                        self.jumps.push(Jump {
                            end,
                            dest: Dest::Refuse(target),
                        });
                    }
                }
                self.jump(Dest::Body(target));
            }
            _ => {
                if refund != 0 {
                    self.asm.alu_imm(Alu::Add, Size::Q, BUDGET, refund as i32);
                }
                self.jump_to(target);
            }
        }
    }

    fn cold(&mut self, label: Label, kind: ColdKind) {
        self.cold.push(Cold {
            label,
            region: self.region,
            kind,
        });
    }

    fn enter_region(&mut self, region: u16) {
        if self.region != region {
            self.region = region;
            self.place = self.config.regions[region as usize].clone();
            self.loans.set_owners(&self.place);
        }
    }

    /// Moves the registers to where they are outside of regions; everything is settled. Leaves rax
    /// and the flags alone.
    pub(crate) fn leave_region(&mut self) {
        self.move_homes(0);
    }

    /// Moves every register whose home differs through its slot.
    fn move_homes(&mut self, to: u16) {
        if to == self.region {
            return;
        }
        let target = &self.config.regions[to as usize];
        let moved = (1..32u8).filter(|r| self.place.home(*r) != target.home(*r));
        for r in moved.clone() {
            if let Some(home) = self.place.home(r) {
                self.asm.store(Size::Q, slot(r), home);
            }
        }
        for r in moved {
            if let Some(home) = target.home(r) {
                self.asm.mov(Size::Q, home, slot(r));
            }
        }
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
        if self.replaying() {
            self.window.written(inst, self.previous == Follow::Skip);
        }
        let value = self.values[self.index as usize];
        if let Some(rd) = inst.writes() {
            self.remaining
                .set(rd, value.uses, value.exit_after_last_use);
        }
    }

    /// [`Emitter::step`], unless the step was emitted with an earlier one.
    pub(crate) fn step_or_skip(&mut self, step: &Step, inst: Inst) {
        if self.is_skipped() {
            if self.previous != Follow::Skip {
                self.consume(&inst);
            }
            self.written(&inst);
        } else {
            self.step(step, inst);
        }
    }

    /// Whether the current step was emitted with an earlier one.
    pub(crate) fn is_skipped(&self) -> bool {
        self.skipped
            .get(self.index as usize)
            .is_some_and(|skipped| *skipped)
    }

    /// The step `distance` after this one is emitted with it.
    pub(crate) fn skip(&mut self, distance: usize) {
        if let Some(skipped) = self.skipped.get_mut(self.index as usize + distance) {
            *skipped = true;
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
        self.loans.protect(homes_read(&inst));
        let wanted = !recording
            && value.killed
            && (value.uses == 0 || (value.uses == 1 && rewrite::foldable(inst.op)));
        let settled = |e: &Self, r: u8| e.lazy_mask & bit(r) == 0 || r == rd;
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

    /// The instruction's constant result, if every source is a known constant.
    pub(crate) fn evaluate(&self, inst: &Inst) -> Option<i64> {
        let mut values = [0; 2];
        for (r, value) in inst.reads().into_iter().zip(&mut values) {
            match self.lazy[r as usize & 31] {
                _ if r == 0 => {}
                Some(Lazy::Const(c)) => *value = c as u64,
                _ => return None,
            }
        }
        let mut hart = Hart {
            x: [0; 32],
            pc: self.pc,
            reservation: NO_RESERVATION,
        };
        for (r, value) in inst.reads().into_iter().zip(values) {
            hart.x[r as usize & 31] = value;
        }
        execute(&mut hart, inst, &mut NoMemory).ok()?;
        Some(hart.x[inst.rd as usize & 31] as i64)
    }

    // ----- deferred values -----

    /// The deferred value of `r`, if it has one.
    pub(crate) fn lazy(&self, r: u8) -> Option<Lazy> {
        self.lazy[r as usize & 31]
    }

    /// Makes a deferred value the value of `r`. The home keeps what it holds.
    fn set_lazy(&mut self, r: u8, lazy: Lazy) {
        self.drop_lazy(r);
        self.obsolete(r);
        self.lazy[r as usize] = Some(lazy);
        self.lazy_mask |= bit(r);
        if let Lazy::Inst(inst) = lazy {
            for s in homes_read(&inst) {
                self.readers[s as usize] |= bit(r);
            }
        }
    }

    /// `r` becomes a constant.
    pub(crate) fn set_constant(&mut self, r: u8, c: i64) {
        self.set_lazy(r, Lazy::Const(c));
    }

    /// Forgets a deferred value without computing it.
    fn drop_lazy(&mut self, r: u8) {
        if self.lazy_mask & bit(r) == 0 {
            return;
        }
        if let Some(Lazy::Inst(inst)) = self.lazy[r as usize].take() {
            for s in homes_read(&inst) {
                self.readers[s as usize] &= !bit(r);
            }
        }
        self.lazy_mask &= !bit(r);
    }

    /// Makes the home of `r` current.
    ///
    /// A deferred instruction reads a home that is itself out of date only if it is the older of
    /// the two (sources are current when an instruction is deferred), so this recursion ends.
    pub(crate) fn settle(&mut self, r: u8) {
        let Some(lazy) = self.lazy[r as usize] else {
            return;
        };
        self.flush_readers(r);
        self.call_in(r);
        self.drop_lazy(r);
        match lazy {
            Lazy::Const(c) => self.load_const(r, c),
            Lazy::Inst(inst) => self.alu(&inst),
        }
    }

    /// Makes the home of `r` current, but for constants, which can be operands.
    pub(crate) fn settle_unless_constant(&mut self, r: u8) {
        if let Some(Lazy::Inst(_)) = self.lazy(r) {
            self.settle(r);
        }
    }

    /// Settles everything, and extends every dirty home: the architectural state is in place.
    pub(crate) fn settle_all(&mut self) {
        while self.lazy_mask != 0 {
            self.settle(self.lazy_mask.trailing_zeros() as u8);
        }
        while self.dirty != 0 {
            self.extend(self.dirty.trailing_zeros() as u8);
        }
        self.save_all();
    }

    /// Settles the deferred values that read the home of `r`, which is about to be overwritten.
    pub(crate) fn flush_readers(&mut self, r: u8) {
        loop {
            let others = self.readers[r as usize] & !bit(r);
            if others == 0 {
                return;
            }
            self.settle(others.trailing_zeros() as u8);
        }
    }

    /// Whether [`Emitter::define`] of `rd` would overwrite a home that `inst` still has to read.
    pub(crate) fn flush_hits(&self, rd: u8, inst: &Inst) -> bool {
        let mut stale = 0;
        for r in homes_read(inst) {
            stale |= bit(r);
        }
        stale &= self.lazy_mask;
        if stale == 0 {
            return false;
        }
        let mut flushed = self.overwritten_by(rd);
        let mut todo = flushed;
        while todo != 0 {
            let r = todo.trailing_zeros();
            todo &= todo - 1;
            let more = self.readers[r as usize] & !flushed & !bit(rd);
            flushed |= more;
            todo |= more;
        }
        flushed & stale != 0
    }

    /// Whether [`Emitter::define`] of `rd` would emit anything.
    pub(crate) fn flush_hits_any(&self, rd: u8) -> bool {
        self.overwritten_by(rd) != 0
    }

    /// Deferred values that have to be computed before the home of `rd` is written.
    fn overwritten_by(&self, rd: u8) -> u32 {
        let borrower = self.borrower(rd).map_or(0, |r| self.readers[r as usize]);
        (self.readers[rd as usize] | borrower) & !bit(rd)
    }

    /// The value of a register that is not deferred, or a constant.
    pub(crate) fn value_of_settled(&mut self, r: u8) -> Src {
        match self.lazy[r as usize & 31] {
            Some(Lazy::Const(c)) => Src::Imm(c),
            _ => self.full(r),
        }
    }

    /// `r` is about to be written: its deferred value is dead, those that read its home are not.
    pub(crate) fn define(&mut self, r: u8) {
        self.drop_lazy(r);
        self.flush_readers(r);
        self.call_in(r);
    }

    /// What becomes of the value that the current step defines.
    pub(crate) fn current_value(&self) -> Value {
        self.values[self.index as usize]
    }

    /// Reads of the current value of `r` still to come in this block.
    pub(crate) fn remaining_uses(&self, r: u8) -> u8 {
        self.remaining.count[r as usize & 31]
    }

    /// Whether nobody needs the current value of `r` any more.
    pub(crate) fn is_dead(&self, r: u8) -> bool {
        self.remaining.dead() & bit(r) != 0
    }

    /// Whether the deferred instruction of `r` reads the home of `r`.
    pub(crate) fn reads_itself(&self, r: u8) -> bool {
        self.readers[r as usize & 31] & bit(r) != 0
    }

    /// Whether a deferred instruction reads the home of `r`.
    pub(crate) fn has_readers(&self, r: u8) -> bool {
        self.readers[r as usize & 31] != 0
    }

    /// The reads of the guest's instruction have happened: deferred values that nobody needs any
    /// more are dropped.
    pub(crate) fn consume(&mut self, original: &Inst) {
        for r in original.reads() {
            if r != 0 {
                self.remaining.consume(r);
                if self.is_dead(r) {
                    self.drop_lazy(r & 31);
                }
            }
        }
    }

    // ----- operands -----

    /// Home of `r` as an operand; x0 is the constant 0.
    pub(crate) fn home(&self, r: u8) -> Src {
        match (r, self.place.home(r).or(self.loans.host(r))) {
            (0, _) => Src::Imm(0),
            (_, Some(home)) => Src::Reg(home),
            (_, None) => Src::Slot(slot(r)),
        }
    }

    /// Home of `r`, all 64 bits valid.
    pub(crate) fn full(&mut self, r: u8) -> Src {
        if self.dirty & bit(r) != 0 {
            self.extend(r);
        }
        self.home(r)
    }

    fn extend(&mut self, r: u8) {
        if let Src::Reg(home) = self.home(r) {
            self.asm.movsx(Size::D, home, home);
        }
        self.dirty &= !bit(r);
    }

    /// A source in a register: its home, or loaded into `scratch`. 32 bits suffice.
    pub(crate) fn reg_low(&mut self, r: u8, scratch: Gpr) -> Gpr {
        let src = self.home(r);
        self.in_reg(src, Size::D, scratch)
    }

    /// A source in a register: its home, or loaded into `scratch`.
    pub(crate) fn reg_full(&mut self, r: u8, scratch: Gpr) -> Gpr {
        let src = self.full(r);
        self.in_reg(src, Size::Q, scratch)
    }

    /// Brings an operand into a register.
    pub(crate) fn in_reg(&mut self, src: Src, size: Size, scratch: Gpr) -> Gpr {
        match src {
            Src::Reg(r) => r,
            Src::Slot(m) => {
                self.asm.mov(size, scratch, m);
                scratch
            }
            Src::Imm(v) => {
                self.asm.mov_imm(scratch, v);
                scratch
            }
        }
    }

    /// An operand as register or memory; x0 by its slot, which holds 0.
    pub(crate) fn rm(&mut self, src: Src) -> Rm {
        match src {
            Src::Reg(r) => Rm::R(r),
            Src::Slot(m) => Rm::M(m),
            Src::Imm(_) => Rm::M(slot(0)),
        }
    }

    /// The value of a guest register as the guest sees it now: constants as such, everything else
    /// in its home.
    pub(crate) fn value(&mut self, r: u8) -> Src {
        match self.lazy[r as usize & 31] {
            Some(Lazy::Const(c)) => Src::Imm(c),
            Some(Lazy::Inst(_)) => {
                self.settle(r);
                self.home(r)
            }
            None => self.home(r),
        }
    }

    /// [`Emitter::value`] with all 64 bits valid.
    pub(crate) fn value_full(&mut self, r: u8) -> Src {
        match self.value(r) {
            Src::Imm(c) => Src::Imm(c),
            _ => self.full(r),
        }
    }

    /// Whether the home holds a sign-extended 32-bit value (its upper half may be dirty).
    pub(crate) fn is_sext(&self, r: u8) -> bool {
        r == 0 || (self.dirty | self.sext) & bit(r) != 0
    }

    /// Whether the home's upper half is dirty.
    pub(crate) fn is_dirty(&self, r: u8) -> bool {
        self.dirty & bit(r) != 0
    }

    /// Where a template puts its result: the home, or a borrowed register, or rax.
    pub(crate) fn dst(&mut self, rd: u8) -> Gpr {
        if self.redirect == Some(rd) {
            return A;
        }
        self.destination(rd).unwrap_or(A)
    }

    /// The 64-bit result for `rd` is in `at`.
    pub(crate) fn done(&mut self, rd: u8, at: Gpr) {
        if self.redirect == Some(rd) {
            self.asm.mov(Size::Q, A, at);
            return;
        }
        self.place(rd, at);
        self.dirty &= !bit(rd);
        self.sext &= !bit(rd);
    }

    /// The 64-bit result for `rd` is in `at` and is a sign-extended 32-bit value.
    pub(crate) fn done_sext(&mut self, rd: u8, at: Gpr) {
        self.done(rd, at);
        if self.redirect != Some(rd) {
            self.sext |= bit(rd);
        }
    }

    /// The result for `rd` is the sign extension of the lower half of `at`.
    pub(crate) fn done_word(&mut self, rd: u8, at: Gpr) {
        if self.redirect == Some(rd) {
            self.asm.movsx(Size::D, A, at);
            return;
        }
        match self.destination(rd) {
            Some(home) => {
                if home != at {
                    self.asm.mov(Size::D, home, at);
                }
                self.settled_in(rd, home);
                self.dirty |= bit(rd);
                self.sext &= !bit(rd);
            }
            None => {
                self.asm.movsx(Size::D, at, at);
                self.done_sext(rd, at);
            }
        }
    }

    /// The value of `rd` is another one, perhaps without any code (it was where it had to go):
    /// flags that tell of it are of the old one.
    fn forget_carry(&mut self, rd: u8) {
        if self.carry.is_some_and(|(_, a, b)| a == rd || b == rd) {
            self.carry = None;
        }
    }

    /// `rd`'s home was rewritten in place; nothing is known about the value.
    pub(crate) fn facts_unknown(&mut self, rd: u8) {
        self.forget_carry(rd);
        self.dirty &= !bit(rd);
        self.sext &= !bit(rd);
    }

    /// The value of `rd` is the sign extension of the lower half of its home, a register.
    pub(crate) fn mark_dirty(&mut self, rd: u8) {
        self.forget_carry(rd);
        self.dirty |= bit(rd);
        self.sext &= !bit(rd);
    }

    fn place(&mut self, rd: u8, at: Gpr) {
        if self.loans.local && self.loans.host(rd) == Some(at) {
            self.settled_in(rd, at);
            return;
        }
        match self.destination(rd) {
            Some(host) => {
                self.asm.mov(Size::Q, host, at);
                self.settled_in(rd, host);
            }
            None if rd == 0 => {}
            None => {
                self.asm.store(Size::Q, slot(rd), at);
                self.returned(rd);
            }
        }
    }

    /// The value of `rd` is in `host`, its home or a borrowed register.
    fn settled_in(&mut self, rd: u8, host: Gpr) {
        self.forget_carry(rd);
        if self.place.home(rd).is_some() {
            self.end_loan(host);
        } else {
            self.borrowed(rd, host);
        }
    }

    fn load_const(&mut self, r: u8, c: i64) {
        let fits = i32::try_from(c);
        let host = if self.loans.local {
            self.destination(r)
        } else {
            self.place.home(r)
        };
        match (host, fits) {
            (None, Ok(v)) => {
                self.asm.store_imm(Size::Q, slot(r), v);
                self.returned(r);
            }
            _ => {
                let dst = self.dst(r);
                self.asm.mov_imm(dst, c);
                self.place(r, dst);
            }
        }
        self.dirty &= !bit(r);
        self.sext &= !bit(r);
        if fits.is_ok() {
            self.sext |= bit(r);
        }
    }

    // ----- leaving -----

    /// Records that the next host instruction may raise a signal on behalf of the current guest
    /// instruction.
    pub(crate) fn site(&mut self) {
        self.site_with_log(self.log.bytes);
    }

    /// The same, with `log` bytes logged before the guest instruction.
    pub(crate) fn site_with_log(&mut self, log: u32) {
        self.sites.push(Site {
            host: self.asm.pos(),
            pc: self.pc as u32,
            refund: (self.steps - self.index) as u16,
            log: Site::pack_log(log, self.log.waiting),
        });
    }

    /// The current instruction traps; everything before it is in place.
    pub(crate) fn trap(&mut self) {
        if self.config.mode == Mode::Replay {
            let refund = self.steps - self.index;
            self.asm.alu_imm(Alu::Add, Size::Q, BUDGET, refund as i32);
            let mut written = self.written_so_far();
            written.rows = written.rows.min(self.index);
            self.advance(self.log.bytes, written);
            self.asm.mov_imm(A, self.pc as i64);
            if self.region == 0 {
                self.jump(Dest::Stub(Stub::Jump));
            } else {
                // Short jumps lead over a trap, so registers are moved elsewhere.
                let label = self.asm.label();
                self.asm.jmp(label);
                self.cold(label, ColdKind::Trap);
            }
            return;
        }
        self.site();
        self.asm.ud2();
    }

    /// Advances the log pointer over what this block logged, and what counts rows and memory
    /// operations.
    pub(crate) fn bump_log(&mut self) {
        self.store_waiting();
        self.advance(self.log.bytes, self.written_so_far());
        (self.log.bytes, self.row, self.ops) = (0, 0, 0);
    }

    /// How to get to a block from here without moving registers first.
    fn direct(&self, target: u64) -> Option<Dest> {
        match self.region_of(target)? {
            region if region == self.region => Some(Dest::Block(target)),
            _ if self.region == 0 => Some(Dest::Entry(target)),
            _ => None,
        }
    }

    /// A conditional side exit to `target`.
    pub(crate) fn side_exit(&mut self, cond: Cond, target: u64) {
        let refund = self.steps - self.index - 1;
        let lazies: Vec<(u8, Lazy)> = bits(self.lazy_mask)
            .filter_map(|r| self.lazy[r as usize & 31].map(|l| (r, l)))
            .collect();
        let loans = self.loans_at_exit();
        let in_place = lazies.is_empty()
            && !loans
                .iter()
                .any(|l| l.stale && !self.is_home(l.guest, l.host))
            && self.dirty == 0
            && self.homes_in_place();
        let written = self.written_so_far();
        if refund == 0 && self.log.bytes == 0 && written.nothing() && in_place {
            self.jcc_to(cond, target);
            return;
        }
        let label = self.asm.label();
        self.asm.jcc(cond, label);
        self.cold(
            label,
            ColdKind::Exit {
                target,
                refund,
                log: self.log.bytes,
                waiting: self.log.waiting,
                written,
                dirty: self.dirty,
                lazies,
                loans,
                local: self.loans.local,
            },
        );
    }

    /// A conditional jump whose state is all in place.
    pub(crate) fn jcc_to(&mut self, cond: Cond, target: u64) {
        if let Some(dest) = self.direct(target) {
            let end = self.asm.jcc_open(cond);
            self.jumps.push(Jump { end, dest });
        } else {
            let label = self.asm.label();
            self.asm.jcc(cond, label);
            self.cold(
                label,
                ColdKind::Exit {
                    target,
                    refund: 0,
                    log: 0,
                    waiting: 0,
                    written: Written::default(),
                    dirty: 0,
                    lazies: Vec::new(),
                    loans: Vec::new(),
                    local: false,
                },
            );
        }
    }

    /// Goes to a guest pc; everything is in place.
    pub(crate) fn jump_to(&mut self, target: u64) {
        if let Some(dest) = self.direct(target) {
            self.jump(dest);
            return;
        }
        self.leave_region();
        if self.region_of(target).is_some() {
            self.jump(Dest::Entry(target));
        } else {
            self.asm.mov_imm(A, target as i64);
            self.jump(Dest::Stub(Stub::Jump));
        }
    }

    /// The definition's own jump to a stub: one relocation for all.
    fn stub(&mut self, stub: Stub) -> Label {
        let asm = &mut self.asm;
        *self.stubs[stub as usize].get_or_insert_with(|| asm.label())
    }

    pub(crate) fn jump(&mut self, dest: Dest) {
        if let Dest::Stub(stub) = dest {
            let label = self.stub(stub);
            self.asm.jmp(label);
            return;
        }
        let end = self.asm.jmp_open();
        self.jumps.push(Jump { end, dest });
    }

    /// Leaves unless the flags say that the value so far behind the log pointer is what memory has.
    pub(crate) fn unless_same(&mut self, at: i32) {
        let label = self.asm.label();
        self.asm.jcc(Cond::Ne, label);
        self.cold(label, ColdKind::Mismatch(at));
    }

    pub(crate) fn jcc_stub(&mut self, cond: Cond, stub: Stub) {
        let label = self.stub(stub);
        self.asm.jcc(cond, label);
    }
}

/// Registers whose homes an instruction reads: its sources other than x0.
pub(crate) fn homes_read(inst: &Inst) -> impl Iterator<Item = u8> + use<> {
    inst.reads().into_iter().filter(|r| *r != 0)
}

/// Pure instructions are evaluated without memory.
struct NoMemory;

impl Port for NoMemory {
    type Fault = ();

    fn load(&mut self, _: u64, _: Width) -> Result<u64, ()> {
        Err(())
    }

    fn store(&mut self, _: u64, _: Width, _: u64) -> Result<(), ()> {
        Err(())
    }

    fn steps(&mut self) -> u64 {
        0
    }
}
