//! Chunks re-executed by compiled code.
//!
//! As in a run, generated code goes as far as it can, and the interpreter does the rest: the few
//! steps up to the next block where a chunk starts inside of one, those that are left where the
//! budget does not cover a block, jumps to where no block starts, what traps. What is odd in any
//! way is left to the interpreter from the start of the chunk: it says what is wrong.

pub(super) use super::image::Code;
pub(crate) use super::image::shared_memory;
use super::image::{Blocked, Image};
use super::{CompileError, Odd};
use crate::chunk::Walk;
use crate::program::Program;
use crate::rows::{Row, RowPort, next_row};
use crate::witness::batch::{Fill, Storage};
use crate::witness::{Columns, Consumer};
use hartlog_format::contract::reason;
use hartlog_format::layout::{LOG_BYTES_PER_STEP, MAX_BLOCK_STEPS};
use hartlog_format::parse::Chunk;
use hartlog_isa::{Hart, Op};
use std::io;

/// Log that a block can read at most.
const BLOCK_LOG: usize = (MAX_BLOCK_STEPS * LOG_BYTES_PER_STEP) as usize;

/// Room behind the end of a log that is copied.
const SLACK: usize = 8 * BLOCK_LOG;

/// Rows that are written before they are handed over, but for blocks that are longer: with all
/// columns, as many as stay in the first-level cache.
const SHORT_BATCH: u64 = 512;

/// Whether this processor has the instructions that templates use beyond baseline x86-64.
pub(super) fn supported() -> Result<(), CompileError> {
    let features = [
        (is_x86_feature_detected!("popcnt"), "POPCNT"),
        (is_x86_feature_detected!("movbe"), "MOVBE"),
        (is_x86_feature_detected!("lzcnt"), "LZCNT"),
        (is_x86_feature_detected!("bmi1"), "BMI1"),
        (is_x86_feature_detected!("bmi2"), "BMI2"),
    ];
    match features.iter().find(|(there, _)| !there) {
        Some((_, name)) => Err(CompileError::Processor(name)),
        None => Ok(()),
    }
}

pub(super) struct Worker<'c> {
    code: &'c Code,
    image: Image<'c>,
    /// The end of a log, where too little memory is behind it.
    tail: Vec<u8>,
}

/// The log as generated code reads it: a part of the chunk's memory or a copy of its end.
struct Log<'a> {
    /// Bytes of the chunk's log in front of `bytes`.
    base: usize,
    bytes: &'a [u8],
}

impl<'c> Worker<'c> {
    pub(super) fn new(code: &'c Code) -> io::Result<Worker<'c>> {
        // Where this is not possible, no generated code is entered.
        drop(Blocked::new()?);
        Ok(Worker {
            code,
            image: Image::new(code)?,
            tail: Vec::new(),
        })
    }

    pub(super) fn replay<'t, C: Consumer<'t>>(
        &mut self,
        program: &Program,
        chunk: &Chunk<'t>,
        consumer: &mut C,
    ) -> Result<Hart, Odd> {
        consumer.begin_chunk(chunk);
        let blocked = Blocked::new().map_err(|_| Odd::Chunk)?;
        let walk = Walk::new(program, chunk);
        let run = Run {
            port: RowPort::new(chunk),
            fill: Fill::new(self.code.columns, walk.step()),
            from: walk.step(),
            walk,
            chunk,
            code: self.code,
            image: &mut self.image,
            _blocked: blocked,
            consumer,
        };
        let result = run.run(&mut self.tail);
        if result.is_err() {
            // Nobody knows how far rows were written.
            let mut view = self.image.view();
            view.values.iter_mut().for_each(|column| column.fill(0));
            view.ops.fill(Default::default());
        }
        result
    }
}

struct Run<'r, 'c, 't, C> {
    walk: Walk<'r, 't>,
    chunk: &'r Chunk<'t>,
    port: RowPort<'t>,
    fill: Fill,
    /// The step after the last environment call: since then no protection has changed.
    from: u64,
    code: &'c Code,
    image: &'r mut Image<'c>,
    _blocked: Blocked,
    consumer: &'r mut C,
}

impl<'t, C: Consumer<'t>> Run<'_, '_, 't, C> {
    fn run(mut self, tail: &mut Vec<u8>) -> Result<Hart, Odd> {
        let mut log = Log {
            base: 0,
            bytes: self.chunk.room,
        };
        let mut batch = SHORT_BATCH;
        while self.walk.left() > 0 {
            let entry = self.code.shared.entry(self.walk.hart.pc);
            let Some(target) = entry else {
                self.interpret(true)?;
                continue;
            };
            if self.fill.room() < MAX_BLOCK_STEPS {
                self.flush();
            }
            let left = self.walk.left();
            let at = self.port.log.at - log.base;
            let reach = log.bytes.len().saturating_sub(at);
            if reach < BLOCK_LOG && reach as u64 / LOG_BYTES_PER_STEP < left {
                log = self.copy_tail(tail)?;
                continue;
            }
            if self.fill.rows as u64 >= batch {
                self.flush();
            }
            let rows = self.fill.rows as u64;
            let short = match self.code.columns.has_rows() {
                true => batch - rows,
                false => u64::MAX,
            };
            let room = self.fill.room().min(reach as u64 / LOG_BYTES_PER_STEP);
            let budget = left.min(room).min(short);
            match self.enter(target, budget, &log)? {
                reason::CHUNK_END if budget == left => {
                    while self.walk.left() > 0 {
                        self.interpret(false)?;
                    }
                }
                // The batch is full; a block that is longer than a batch has all the room.
                reason::CHUNK_END if budget == short => {
                    let long = rows == 0 && self.fill.rows == 0;
                    batch = if long { u64::MAX } else { SHORT_BATCH };
                    self.flush();
                }
                // There is no more room, or little log is in reach.
                reason::CHUNK_END => batch = SHORT_BATCH,
                reason::JUMP => self.interpret(true)?,
                reason::ECALL => self.environment_call()?,
                _ => return Err(Odd::Chunk),
            }
        }
        self.flush();
        self.walk.finish(self.port.log.at).map_err(|_| Odd::Chunk)
    }

    /// Copies what is left of the log to where there is room behind it.
    fn copy_tail<'b>(&self, tail: &'b mut Vec<u8>) -> Result<Log<'b>, Odd> {
        let base = self.port.log.at;
        let rest = self.chunk.log.get(base..).ok_or(Odd::Chunk)?;
        tail.clear();
        tail.extend_from_slice(rest);
        tail.resize(rest.len() + SLACK, 0);
        Ok(Log { base, bytes: tail })
    }

    /// Executes generated code from a block on; the reason for which it came back.
    fn enter(&mut self, target: u32, budget: u64, log: &Log<'_>) -> Result<u64, Odd> {
        let at = self.port.log.at - log.base;
        let state = self.image.state();
        state.x = self.walk.hart.x;
        state.reservation = self.walk.hart.reservation;
        let before = self.walk.done;
        state.step_end = self.walk.step() + budget;
        let (rows, ops) = (self.fill.rows, self.fill.ops);
        let rest = log.bytes.get(at..).ok_or(Odd::Chunk)?;
        let memory = self.consumer.followed();
        let state = self
            .image
            .enter(target, budget, rest, rows, ops, memory)
            .ok_or(Odd::Chunk)?;
        match state.reason {
            reason::MISMATCH => {
                let at = (log.base + at) as u64;
                let value = at.wrapping_add(state.log).wrapping_add(state.pc);
                return Err(Odd::Value(value));
            }
            reason::ADDRESS | reason::FAULT => return Err(Odd::Access(self.from)),
            _ => {}
        }
        let left = u64::try_from(state.budget).ok().filter(|b| *b <= budget);
        let (taken, reason) = (state.log as usize, state.reason);
        let done = budget - left.ok_or(Odd::Chunk)?;
        self.port.log.at += taken;
        if self.port.log.at > self.chunk.log.len() || reason > reason::ECALL {
            return Err(Odd::Chunk);
        }
        self.walk.hart = Hart {
            x: state.x,
            pc: state.pc,
            reservation: state.reservation,
        };
        let (rows_now, ops_now) = (state.rows as usize, state.ops as usize);
        self.walk.done += done;
        self.port.log.steps += done;
        let columns = self.code.columns;
        if columns.has_rows() {
            self.fill.rows = rows_now;
        }
        if columns.contains(Columns::MEMORY) {
            self.fill.ops = ops_now;
            if columns.contains(Columns::STEPS) {
                // Generated code writes how many steps are left of its budget.
                let end = (before + budget) as u32;
                let view = self.image.view();
                for op in view.ops.get_mut(ops..ops_now).ok_or(Odd::Chunk)? {
                    op.step = end.wrapping_sub(op.step);
                }
            }
        }
        Ok(reason)
    }

    /// Interprets one step; then, if so wanted, up to where there is a block.
    fn interpret(&mut self, until_entry: bool) -> Result<(), Odd> {
        while self.walk.left() > 0 {
            if self.fill.room() == 0 {
                self.flush();
            }
            let step = self.walk.done;
            let mut view = self.image.view();
            let row = next_row(&mut self.walk, &mut self.port, |call| {
                self.fill.flush_ops(&view, self.consumer);
                self.consumer.call(call);
            });
            let row = row.map_err(|_| Odd::Chunk)?;
            self.fill.push(&mut view, &row, step);
            if self.code.columns.contains(Columns::FOLLOW) {
                self.follow(&row)?;
            }
            if !until_entry || self.code.shared.entry(self.walk.hart.pc).is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Memory is followed: what an interpreted step does with it.
    fn follow(&mut self, row: &Row<'_>) -> Result<(), Odd> {
        if row.inst.op == Op::Ecall {
            self.from = self.walk.step();
        }
        let Some(access) = row.access else {
            return Ok(());
        };
        let memory = self.consumer.followed().ok_or(Odd::Chunk)?;
        if memory.compare(&access).is_err() {
            return Err(match access.read {
                Some(_) => Odd::Value(self.port.log.at as u64 - access.width.bytes()),
                None => Odd::Access(row.step),
            });
        }
        match access
            .written
            .map(|v| memory.store(access.addr, access.width, v))
        {
            Some(Err(_)) => Err(Odd::Access(row.step)),
            _ => Ok(()),
        }
    }

    /// The `ecall` at the pc retired.
    fn environment_call(&mut self) -> Result<(), Odd> {
        const ECALL_BYTES: u64 = 4;
        self.walk.hart.pc = self.walk.hart.pc.wrapping_add(ECALL_BYTES);
        let view = self.image.view();
        self.fill.flush_ops(&view, self.consumer);
        self.consumer
            .call(self.walk.call().map_err(|_| Odd::Chunk)?);
        self.from = self.walk.step();
        if let Some(row) = self.fill.rows.checked_sub(1) {
            const RD: usize = 2;
            if let Some(place) = view.values[RD].get_mut(row) {
                *place = self.walk.hart.x[10];
            }
        }
        Ok(())
    }

    fn flush(&mut self) {
        let pc = self.walk.hart.pc;
        let mut view = self.image.view();
        let program = self.walk.program;
        self.fill.flush(&mut view, program, pc, self.consumer);
    }
}
