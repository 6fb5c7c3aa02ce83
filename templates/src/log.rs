//! The log of values read.
//!
//! Every value read goes to the log in program order, at a static offset from the log pointer. A
//! host retires fewer stores in a cycle than anything else, so two consecutive values of 8 bytes, of a
//! block that stores as well, meet in `xmm0` and are stored at once. What waits there is stored on
//! the cold path of a side exit; at a fault the runtime does it ([`Site::waiting`]).
//!
//! [`Site::waiting`]: hartlog_format::contract::Site::waiting

use crate::asm::{Gpr, Mem};
use crate::block::Step;
use crate::emit::{Emitter, Mode};
use crate::memory::size;
use crate::place::LOG;
use hartlog_isa::{Effect, Flow, Width};

/// Bytes of a line of the host's cache.
const LINE: u32 = 64;

/// How far ahead of a log store its line is asked for. A store that misses the first-level cache
/// holds up all stores behind it on some hosts (see docs/performance.md).
const PREFETCH_DISTANCE: i32 = 512;

/// How far ahead of a value read from the log its line is asked for: on to the next page, which the
/// host's own prefetching does not reach.
const REPLAY_DISTANCE: i32 = 1024;

/// Of each line's worth of log in a block, the byte from which a prefetch pays. A block that logs
/// less has none.
const FIRST_PREFETCH: u32 = 8;

/// What is known about the log within a block.
#[derive(Default)]
pub(crate) struct Log {
    /// Bytes of values read in this block so far.
    pub bytes: u32,
    /// How many of them, the last ones, are in xmm0 and not stored yet.
    pub waiting: u32,
    /// Per step, whether the value that it reads is to wait for that of the next step that reads.
    waits: Vec<bool>,
}

impl Log {
    /// A value is read; whether another line of the log begins soon.
    fn append(&mut self, width: Width) -> bool {
        let lines = |log: u32| (log + LINE - FIRST_PREFETCH) / LINE;
        let before = self.bytes;
        self.bytes += width.bytes() as u32;
        lines(before) != lines(self.bytes)
    }

    /// A block begins.
    fn start(&mut self, steps: &[Step]) {
        (self.bytes, self.waiting) = (0, 0);
        self.waits.clear();
        self.waits.resize(steps.len(), false);
        // Stores to the log alone go to the same line, two in a cycle: gathering them is more work.
        let stores = |s: &Step| matches!(s.inst.map(|i| i.op.effect()), Some(Effect::Write(_)));
        if !steps.iter().any(stores) {
            return;
        }
        // The last step that reads, if its value can wait. Narrower values are more work to put
        // together than to store.
        let mut last = None;
        for (i, step) in steps.iter().enumerate() {
            let Some(inst) = step.inst else {
                last = None;
                continue;
            };
            match inst.op.effect() {
                Effect::Read(Width::D) => match last.take() {
                    Some(first) => self.waits[first] = true,
                    None => last = Some(i),
                },
                Effect::None if matches!(inst.flow(), Flow::Next | Flow::Branch | Flow::Jal) => {}
                Effect::Write(_) => {}
                _ => last = None,
            }
        }
    }
}

impl Emitter<'_> {
    /// A block begins: which values are to wait for others.
    pub(crate) fn start_log(&mut self, steps: &[Step]) {
        let steps = match self.config.mode {
            Mode::Trace => steps,
            Mode::Fast | Mode::Replay => &[],
        };
        self.log.start(steps);
    }

    /// Whether the value that the current step reads is to wait for another.
    fn waits(&self) -> bool {
        self.log.waits[self.index as usize]
    }

    /// Before a load: appends the value in memory to the log, if it is one of two. The first host
    /// instruction that this emits raises the signal of a load that faults.
    pub(crate) fn log_read(&mut self, width: Width, mem: Mem) -> bool {
        if self.config.mode != Mode::Trace {
            return false;
        }
        let second = self.log.waiting != 0;
        if second {
            self.asm.vector_insert(mem);
        } else if self.waits() {
            self.asm.vector_load(mem);
        } else {
            return false;
        }
        self.log.waiting += 8;
        self.count_logged(width);
        if second {
            self.store_waiting();
        }
        true
    }

    /// Appends a value in a register to the log.
    pub(crate) fn log_value(&mut self, width: Width, value: Gpr) {
        if self.config.mode != Mode::Trace {
            return;
        }
        debug_assert_eq!(self.log.waiting, 0, "values are logged in order");
        let mem = Mem::host(LOG, self.log.bytes as i32);
        self.asm.store(size(width), mem, value);
        self.count_logged(width);
    }

    /// Stores what waits in xmm0.
    pub(crate) fn store_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.log.waiting);
        if waiting != 0 {
            let start = self.log.bytes - waiting;
            self.asm
                .vector_store(waiting > 8, Mem::host(LOG, start as i32));
        }
    }

    fn count_logged(&mut self, width: Width) {
        if self.log.append(width) {
            let ahead = self.log.bytes as i32 + PREFETCH_DISTANCE;
            self.asm.prefetch_for_store(Mem::host(LOG, ahead));
        }
    }

    /// Replay: where the next value read stands in the log.
    pub(crate) fn logged(&mut self, width: Width) -> Mem {
        let mem = Mem::host(LOG, self.log.bytes as i32);
        if self.log.append(width) {
            let ahead = self.log.bytes as i32 + REPLAY_DISTANCE;
            self.asm.prefetch(Mem::host(LOG, ahead));
        }
        mem
    }
}
