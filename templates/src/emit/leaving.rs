//! Ways out of a block: sites, side exits and their cold paths, moves between regions, jumps.

use super::{Dest, Emitted, Emitter, Lazy, Mode, Stub, bits};
use crate::asm::{Alu, Cond, Label, Size};
use crate::borrow::Loan;
use crate::place::{A, BUDGET, slot};
use crate::rows::Written;
use crate::window::Span;
use hartlog_format::contract::Site;

/// A side exit is emitted between blocks where that is at most so many bytes behind it, with all its
/// jumps in their long form: most of them get a short one.
const NEAR: u32 = 160;

/// A path out of a block that is emitted behind it, or behind all blocks.
pub(super) struct Cold {
    pub label: Label,
    /// Offset behind the jump to it.
    pub from: u32,
    pub region: u16,
    pub kind: ColdKind,
}

pub(crate) enum ColdKind {
    /// Replay: a trap, with its pc in rax and everything in place but for the region.
    Trap,
    /// Replay that follows memory: the value so far behind the log pointer is not what memory has.
    Mismatch(i32),
    /// The budget does not cover the block: give its steps back, and go on with its first piece.
    Budget {
        block: usize,
    },
    /// The budget does not cover the first piece of the block at `pc`: give its `steps` back.
    Refuse {
        pc: u64,
        steps: u16,
    },
    /// Quotient and remainder by zero, and on behind the division.
    DivideByZero {
        size: Size,
        done: Label,
    },
    /// The same by -1.
    DivideByMinusOne {
        size: Size,
        done: Label,
    },
    Exit(Exit),
}

/// A side exit to `target`, and the state in which it is taken; by default everything is in place.
#[derive(Default)]
pub(crate) struct Exit {
    target: u64,
    refund: u32,
    log: u32,
    /// How many of these bytes are still in xmm0.
    waiting: u32,
    written: Written,
    /// Replay: what is still to be checked.
    unchecked: Vec<(u8, Span)>,
    dirty: u32,
    lazies: Vec<(u8, Lazy)>,
    loans: Vec<Loan>,
    /// Whether homes are given up at this point.
    local: bool,
}

impl Emitter<'_> {
    /// Emits everything off the hot path: ways out, entries of regions, jumps to stubs.
    pub(super) fn cold_paths(&mut self) {
        for exit in std::mem::take(&mut self.exits) {
            self.cold_path(exit);
        }
        // An exit may have added one: it divides.
        for cold in std::mem::take(&mut self.seldom) {
            self.cold_path(cold);
        }
        for i in 0..self.blocks.len() {
            self.region_entry(i);
        }
        let stubs = [
            Stub::ChunkEnd,
            Stub::Jump,
            Stub::Far,
            Stub::Ecall,
            Stub::Address,
            Stub::Mismatch,
        ];
        for stub in stubs {
            if let Some(label) = self.stubs[stub as usize].take() {
                self.asm.bind(label);
                let jump = self.asm.jmp_open();
                self.open.push((jump, Dest::Stub(stub)));
            }
        }
    }

    fn cold_path(&mut self, cold: Cold) {
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
                let Emitted { pc, short, .. } = self.blocks[block];
                self.blocks[block].refuse = self.asm.pos();
                let steps = (self.target_of)(pc).map_or(0, |t| t.steps);
                match short {
                    None => self.refuse(pc, steps),
                    Some(short) => {
                        self.give_back(pc, steps);
                        self.asm.jmp_to(short);
                    }
                }
            }
            ColdKind::Refuse { pc, steps } => self.refuse(pc, steps),
            ColdKind::DivideByZero { size, done } => {
                self.divide_by_zero(size);
                self.asm.jmp(done);
            }
            ColdKind::DivideByMinusOne { size, done } => {
                self.divide_by_minus_one(size);
                self.asm.jmp(done);
            }
            ColdKind::Exit(exit) => self.exit(exit),
        }
    }

    /// Emits, where nothing falls into it, the side exits that short jumps lead to from here.
    pub(super) fn near_exits(&mut self) {
        if !self.asm.is_flow_ended() {
            return;
        }
        // They are in the order of their jumps: what was too far at the end of an earlier block is so
        // still.
        let far = |from: u32, pos: u32| pos - from >= NEAR;
        let pos = self.asm.pos();
        let first = self.exits.partition_point(|e| far(e.from, pos));
        for exit in self.exits.split_off(first) {
            if far(exit.from, self.asm.pos()) {
                self.exits.push(exit);
            } else {
                self.cold_path(exit);
            }
        }
    }

    /// The budget does not cover the `steps` at `pc`, which were charged.
    fn refuse(&mut self, pc: u64, steps: u16) {
        self.give_back(pc, steps);
        self.leave_region();
        self.asm.mov_imm(A, pc as i64);
        self.jump(Dest::Stub(Stub::ChunkEnd));
    }

    fn give_back(&mut self, pc: u64, steps: u16) {
        self.mark(pc);
        self.asm
            .alu_imm(Alu::Add, Size::Q, BUDGET, i32::from(steps));
    }

    /// Emits the cold path of a side exit.
    fn exit(&mut self, exit: Exit) {
        self.mark(exit.target);
        if exit.local {
            self.without_homes();
        }
        (self.dirty, self.zero, self.sext) = (exit.dirty, 0, 0);
        self.take_up(&exit.loans);
        for (r, lazy) in exit.lazies {
            self.set_lazy(r, lazy);
        }
        (self.log.bytes, self.log.waiting) = (exit.log, exit.waiting);
        (self.row, self.ops) = (exit.written.rows, exit.written.ops);
        self.settle_all();
        self.check_spans(&exit.unchecked);
        self.bump_log();
        self.leave_by(exit.target, exit.refund);
    }

    /// Emits the entry of a block from outside of its region: moves the registers and goes on at
    /// the block.
    pub(super) fn region_entry(&mut self, index: usize) {
        let Emitted { pc, block, .. } = self.blocks[index];
        let region = self.region_of(pc).unwrap_or(0);
        if region == 0 {
            return;
        }
        self.blocks[index].entry = self.asm.pos();
        self.mark(pc);
        self.enter_region(0);
        self.move_homes(region);
        self.asm.jmp_to(block);
    }

    /// Leaves the block for `target` with `refund` steps charged too many. The target's own
    /// charge is set off against them.
    pub(super) fn leave_by(&mut self, target: u64, refund: u32) {
        let info = (self.target_of)(target);
        match info {
            Some(info) if info.region == self.region && refund != 0 => {
                let change = refund as i32 - i32::from(info.steps);
                match change {
                    0 => {}
                    1.. => self.asm.alu_imm(Alu::Add, Size::Q, BUDGET, change),
                    _ => {
                        self.asm.alu_imm(Alu::Sub, Size::Q, BUDGET, -change);
                        let jump = self.asm.jcc_open(Cond::S);
                        self.open.push((jump, Dest::Refuse(target)));
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

    pub(crate) fn cold(&mut self, label: Label, kind: ColdKind) {
        let queue = match kind {
            ColdKind::Exit(_) => &mut self.exits,
            _ => &mut self.seldom,
        };
        queue.push(Cold {
            label,
            from: self.asm.pos(),
            region: self.region,
            kind,
        });
    }

    pub(super) fn enter_region(&mut self, region: u16) {
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
    pub(super) fn move_homes(&mut self, to: u16) {
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
                // Registers are moved off the hot path.
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
    pub(super) fn direct(&self, target: u64) -> Option<Dest> {
        match self.region_of(target)? {
            region if region == self.region => Some(Dest::Block(target)),
            _ if self.region == 0 => Some(Dest::Entry(target)),
            _ => None,
        }
    }

    /// A conditional side exit to `target`.
    pub(crate) fn side_exit(&mut self, cond: Cond, target: u64) {
        let refund = self.steps - self.index - 1;
        let mut lazies = Vec::with_capacity(self.lazy_mask.count_ones() as usize);
        lazies.extend(bits(self.lazy_mask).filter_map(|r| self.lazy(r).map(|l| (r, l))));
        let loans = self.loans_at_exit();
        let in_place = lazies.is_empty()
            && loans.iter().all(|l| self.is_in_place(l))
            && self.dirty == 0
            && self.homes_in_place();
        let written = self.written_so_far();
        let unchecked = match self.replaying() {
            true => self.window.unchecked(),
            false => Vec::new(),
        };
        let nothing = written.nothing() && unchecked.is_empty();
        if refund == 0 && self.log.bytes == 0 && nothing && in_place {
            self.jcc_to(cond, target);
            return;
        }
        let label = self.asm.label();
        self.asm.jcc(cond, label);
        self.cold(
            label,
            ColdKind::Exit(Exit {
                target,
                refund,
                log: self.log.bytes,
                waiting: self.log.waiting,
                written,
                unchecked,
                dirty: self.dirty,
                lazies,
                loans,
                local: self.loans.local,
            }),
        );
    }

    /// A conditional jump whose state is all in place.
    pub(crate) fn jcc_to(&mut self, cond: Cond, target: u64) {
        if let Some(dest) = self.direct(target) {
            let jump = self.asm.jcc_open(cond);
            self.open.push((jump, dest));
        } else {
            let label = self.asm.label();
            self.asm.jcc(cond, label);
            let exit = Exit {
                target,
                ..Exit::default()
            };
            self.cold(label, ColdKind::Exit(exit));
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
    pub(super) fn stub(&mut self, stub: Stub) -> Label {
        let asm = &mut self.asm;
        *self.stubs[stub as usize].get_or_insert_with(|| asm.label())
    }

    pub(crate) fn jump(&mut self, dest: Dest) {
        if let Dest::Stub(stub) = dest {
            let label = self.stub(stub);
            self.asm.jmp(label);
            return;
        }
        let jump = self.asm.jmp_open();
        self.open.push((jump, dest));
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
