//! What a range of chunks reads first and writes last, between its environment calls.

use crate::chunk::Call;
use crate::drive;
use crate::engine::Worker;
use crate::program::Program;
use crate::shadow::{Line, Shadow};
use crate::trace::Trace;
use crate::witness::{Consumer, MemoryOp};
use hartlog_format::parse::{Chunk, Events};
use hartlog_isa::Hart;
use std::ops::Range;
use std::time::{Duration, Instant};

/// An environment call, with the bytes of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnCall {
    pub(super) chunk: u64,
    pub(super) step: u64,
    pub(super) pc: u64,
    pub(super) x: [u64; 32],
    pub(super) raw: Vec<u8>,
}

impl OwnCall {
    /// As it is in a chunk; `None` if the bytes are no event.
    pub(super) fn call(&self) -> Option<Call<'_>> {
        let event = Events::new(&self.raw).next()?.ok()?;
        Some(Call {
            step: self.step,
            pc: self.pc,
            x: self.x,
            event,
            raw: &self.raw,
        })
    }
}

/// Execution without environment call, over any number of chunks, and the call that ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) lines: Vec<Line>,
    /// `None` at the end of the range.
    pub(super) call: Option<OwnCall>,
}

/// A range in which nothing is wrong by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) steps: u64,
    pub(super) log_bytes: u64,
    pub(super) event_bytes: u64,
    /// State at its end.
    pub(super) hart: Hart,
    /// Empty if memory is not followed.
    pub(super) segments: Vec<Segment>,
}

/// What a rank says of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) range: Range<u64>,
    pub(super) busy: Duration,
    /// `None`: something is wrong in there.
    pub(super) sum: Option<Sum>,
}

/// Collects accesses over the chunks of a range.
struct Gather {
    /// `None`: memory is not followed.
    shadow: Option<Shadow>,
    chunk: u64,
    segments: Vec<Segment>,
    contradiction: bool,
}

impl Gather {
    fn cut(&mut self, call: Option<OwnCall>) {
        if let Some(shadow) = &mut self.shadow {
            let lines = shadow.take(Vec::new());
            self.segments.push(Segment { lines, call });
        }
    }
}

impl<'t> Consumer<'t> for Gather {
    type Output = Hart;

    fn begin_chunk(&mut self, chunk: &Chunk<'t>) {
        self.chunk = chunk.header.index.get();
    }

    fn memory_ops(&mut self, ops: &[MemoryOp]) {
        if let Some(shadow) = &mut self.shadow {
            self.contradiction |= !shadow.follow(ops);
        }
    }

    fn call(&mut self, call: &Call<'t>) {
        self.cut(Some(OwnCall {
            chunk: self.chunk,
            step: call.step,
            pc: call.pc,
            x: call.x,
            raw: call.raw.to_vec(),
        }));
    }

    fn end_chunk(&mut self, end: &Hart) -> Hart {
        end.clone()
    }
}

/// A range that is being re-executed.
pub(super) struct Work {
    range: Range<u64>,
    next: u64,
    busy: Duration,
    gather: Gather,
    sum: Option<Sum>,
}

impl Work {
    pub(super) fn new(range: Range<u64>, memory: bool) -> Work {
        Work {
            next: range.start,
            range,
            busy: Duration::ZERO,
            gather: Gather {
                shadow: memory.then(Shadow::new),
                chunk: 0,
                segments: Vec::new(),
                contradiction: false,
            },
            sum: Some(Sum {
                steps: 0,
                log_bytes: 0,
                event_bytes: 0,
                hart: Hart::new(0),
                segments: Vec::new(),
            }),
        }
    }

    /// Re-executes the next chunk; whether that was all.
    pub(super) fn advance<'t>(
        &mut self,
        trace: &'t Trace,
        program: &Program,
        worker: &mut Worker<'_, '_, 't>,
    ) -> bool {
        if self.next >= self.range.end {
            return true;
        }
        let start = Instant::now();
        let result = drive::one(trace, program, worker, &mut self.gather, self.next);
        self.busy += start.elapsed();
        self.next += 1;
        let right = result.ok().filter(|_| !self.gather.contradiction);
        // What is wrong, and where, is found by rank 0.
        match (right, &mut self.sum) {
            (Some(output), Some(sum)) => {
                sum.steps += output.steps;
                sum.log_bytes += output.log_bytes;
                sum.event_bytes += output.event_bytes;
                sum.hart = output.output;
            }
            _ => {
                self.sum = None;
                self.next = self.range.end;
            }
        }
        self.next >= self.range.end
    }

    pub(super) fn finish(mut self) -> Finding {
        self.gather.cut(None);
        if let Some(sum) = &mut self.sum {
            sum.segments = self.gather.segments;
        }
        Finding {
            range: self.range,
            busy: self.busy,
            sum: self.sum,
        }
    }
}
