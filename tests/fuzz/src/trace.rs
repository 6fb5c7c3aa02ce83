//! Trace files: what is accepted is, byte for byte, what a run writes.

use crate::alter::repair;
use crate::seeds;
use hartlog_format::trace::end;
use hartlog_isa::Hart;
use replay::check;
use replay::chunk::{Call, Consumer, replay};
use replay::interp::{Interpreter, Options};
use replay::io::GuestIo;
use replay::program::Program;
use replay::trace::Trace;
use std::collections::VecDeque;
use std::io;
use std::sync::OnceLock;

/// What became of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused.
    Rejected,
    /// Its run has no end; the chunks that are there were accepted.
    Incomplete,
    /// It was accepted, and is what a run writes.
    Run,
}

/// Opens and checks a trace of the program of [`seeds::traced`]. The first byte says whether the
/// checksums are made right before, and how it is checked; the others are the file.
///
/// # Panics
/// If a trace is accepted that no run of the program writes.
pub fn trace(data: &[u8]) -> Verdict {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| seeds::traced().0);
    let Some((choice, file)) = data.split_first() else {
        return Verdict::Rejected;
    };
    let mut bytes = file.to_vec();
    if choice & 1 != 0 {
        let _ = repair(&mut bytes);
    }
    let Ok(trace) = Trace::from_bytes(bytes.clone()) else {
        return Verdict::Rejected;
    };
    judge(program, &trace, &bytes, *choice)
}

/// Checks an opened trace in one of several ways. `bytes` is what is in it, without compression.
///
/// # Panics
/// If it is accepted, and no run of the program writes it.
pub(crate) fn judge(program: &Program, trace: &Trace, bytes: &[u8], choice: u8) -> Verdict {
    let mut events = 0;
    for index in 0..trace.len() {
        if let Ok(chunk) = trace.chunk(index) {
            events += chunk.events().count();
        }
    }
    assert!(events <= bytes.len());
    let options = check::Options {
        jobs: Some(1),
        no_memory: choice & 2 != 0,
        chunks: (choice & 4 != 0).then(|| u64::from(choice >> 4)..trace.len()),
        ..Default::default()
    };
    let all = options.memory();
    match check::check(trace, program, &options, &mut |_| {}) {
        Err(error) => {
            let _ = error.to_string();
            Verdict::Rejected
        }
        Ok(_) if !trace.is_complete() || !all => Verdict::Incomplete,
        Ok(_) => {
            let written = rerun(program, trace);
            assert!(written == bytes, "accepted, but no run writes it");
            Verdict::Run
        }
    }
}

/// The input of a run, as its trace tells of it.
#[derive(Default)]
struct Input(VecDeque<Part>);

enum Part {
    /// So many bytes are there.
    Bytes(Vec<u8>),
    /// There are no more at this call.
    Nothing,
    /// Reading fails.
    Error(i32),
}

impl Consumer for Input {
    fn call(&mut self, call: &Call<'_>) {
        let read = call.x[17] == hartlog_abi::number::READ && call.x[10] as u32 == 0;
        if !read {
            return;
        }
        let result = call.event.header.result.get();
        if result > u64::MAX - 4096 {
            self.0.push_back(Part::Error(result.wrapping_neg() as i32));
            return;
        }
        let wanted = call.x[12].min(hartlog_abi::MAX_TRANSFER);
        for range in call.event.ranges() {
            self.0.push_back(Part::Bytes(range.data.to_vec()));
        }
        if result < wanted {
            self.0.push_back(Part::Nothing);
        }
    }

    fn end_chunk(&mut self, _: &Hart) {}
}

impl GuestIo for Input {
    fn input(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.pop_front() {
            None | Some(Part::Nothing) => Ok(0),
            Some(Part::Error(number)) => Err(io::Error::from_raw_os_error(number)),
            Some(Part::Bytes(mut bytes)) => {
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                if len < bytes.len() {
                    self.0.push_front(Part::Bytes(bytes.split_off(len)));
                }
                Ok(len)
            }
        }
    }

    fn output(&mut self, _: u32, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn unknown_call(&mut self, _: u64) {}
}

/// What the reference interpreter writes for arguments, environment, input and limits of an
/// accepted trace of a program that reads with `read` only.
///
/// # Panics
/// If it cannot be run.
pub fn rerun(program: &Program, trace: &Trace) -> Vec<u8> {
    let fine = "it was accepted";
    let header = trace.header().expect(fine);
    let mut input = Input::default();
    for index in 0..trace.len() {
        let chunk = trace.chunk(index).expect(fine);
        replay(program, &chunk, &mut input).expect(fine);
    }
    let last = trace.chunk(trace.len().saturating_sub(1)).expect(fine);
    let limit = |kind: u32, value: u64| (last.header.end_kind.get() == kind).then_some(value);
    let options = Options {
        chunk_steps: header.fixed.chunk_steps.get(),
        step_limit: limit(end::STEP_LIMIT, trace.total_steps()),
        memory_limit: limit(end::MEMORY_LIMIT, last.header.end_value.get()),
        args: header.arguments().skip(1).map(<[u8]>::to_vec).collect(),
        env: header.environment().map(<[u8]>::to_vec).collect(),
    };
    let mut written = Vec::new();
    Interpreter::new(program, options)
        .and_then(|mut i| i.run_traced(&mut input, &mut written))
        .expect(fine);
    written
}
