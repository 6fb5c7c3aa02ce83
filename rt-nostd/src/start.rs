//! From the first instruction of the process to its exit.

use crate::drain::{Drain, RunHeader};
use crate::fault;
use crate::guest::{self, GuestHost, Output};
use crate::live::Live;
use crate::program::Program;
use crate::recorder::{Recorder, Ring, Sink};
use crate::report::{Failure, Line, say};
use crate::run::{End, Run};
use crate::{cpu, filter, signal, sys};
use core::arch::global_asm;
use core::ffi::{CStr, c_char};
use core::fmt::Write;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use hartlog_abi::{ARGV0, Abi, Image, Segment, SetupError};
use hartlog_config::Config;
use hartlog_format::contract::{HartState, SEGMENT_W};
use hartlog_format::ring::{large_ring, slots_for};
use hartlog_format::status::exit;
use hartlog_isa::NO_RESERVATION;

global_asm!(
    ".section .text.hartlog_start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    ".text",
    start = sym start,
);

/// The strings of an array that ends with a null pointer.
#[derive(Clone, Copy)]
struct Strings {
    next: usize,
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the kernel ends the arrays of arguments and environment with a null pointer, and
        // each string with a NUL; nobody changes them.
        unsafe {
            let string = with_exposed_provenance::<*const c_char>(self.next).read();
            if string.is_null() {
                return None;
            }
            self.next += size_of::<usize>();
            Some(CStr::from_ptr(string))
        }
    }
}

/// `stack` is the address of argc; argv and envp follow (psABI x86-64, 3.4.1).
extern "C" fn start(stack: usize) -> ! {
    // SAFETY: see above.
    let argc = unsafe { with_exposed_provenance::<usize>(stack).read() };
    let word = size_of::<usize>();
    let args = Strings { next: stack + word };
    let env = Strings {
        next: stack + word * (argc + 2),
    };
    let ended = match sys::allow_stack(STACK) {
        Ok(()) => main(args, env),
        Err(errno) => Err(Failure::Host {
            what: "this process may have no stack of 512 KiB",
            errno,
        }),
    };
    let status = ended.unwrap_or_else(|failure| {
        say!("{failure}");
        failure.exit_status()
    });
    sys::exit(status)
}

/// What the runtime needs of it is less.
const STACK: u64 = 512 << 10;

#[inline(never)]
fn main(args: Strings, env: Strings) -> Result<u8, Failure> {
    cpu::check()?;
    let program = Program::get()?;
    let config = Config::read(env).map_err(Failure::Config)?;
    if let (Some(name), false) = (config.unknown, config.quiet) {
        say!("warning: {} has no meaning", name.escape_ascii());
    }
    if (config.trace.is_some() || config.live.is_some()) && !program.traces() {
        return Err(Failure::NoTrace);
    }
    signal::install()?;

    let guest_args = core::iter::once(ARGV0).chain(args.skip(1).map(CStr::to_bytes));
    let mut host = GuestHost::new(config.quiet);
    let (mut abi, sp) = load(&program, &mut host, guest_args.clone(), &config)?;
    abi.limit_memory(config.memory.unwrap_or(u64::MAX));
    host.starting = false;
    for segment in program.segments {
        guest::prefer_huge_pages(segment.vaddr, segment.mem_size);
    }
    let (table, size) = program.table_pages();
    // SAFETY: the table was filled in by the linker; from here on it is only read.
    unsafe { sys::protect(table, size, sys::PROT_READ) }.map_err(|errno| Failure::Host {
        what: "the jump table cannot be made read-only",
        errno,
    })?;

    let chunk_steps = config.chunk_steps.unwrap_or(program.raw.chunk_steps);
    if program.traces() {
        let header = RunHeader {
            chunk_steps,
            elf_sha256: program.raw.elf_sha256,
            args: guest_args,
            env: config.guest_env(),
        };
        let slots = config.slots(chunk_steps);
        let recorder = if let Some(consumer) = config.live {
            let live = Live::start(consumer, header, slots, config.memory)?;
            Recorder::new(live.ring(), Sink::Live(live), config.quiet)
        } else {
            // A file is written by a thread of its own.
            let shared = config.trace.and_then(|_| large_ring());
            let slots = slots.or_else(|| Some(slots_for(chunk_steps, shared?)));
            let ring = Ring::map(chunk_steps, slots, config.memory)?;
            let sink = match config.trace {
                Some(path) => Sink::File(Drain::start(path, ring, header)?),
                None => Sink::Nowhere,
            };
            Recorder::new(ring, sink, config.quiet)
        };
        if config.trace.is_some() && sys::processors() == 1 && !config.quiet {
            say!("warning: there is one processor: guest and trace writer share it");
        }
        host.recorder = Some(recorder);
    }

    // SAFETY: the block belongs to the object that this runtime is linked to, is large enough and
    // aligned (the descriptor was checked), and this is the only reference.
    let state: &'static mut HartState =
        unsafe { &mut *with_exposed_provenance_mut(program.raw.state as usize) };
    state.x = [0; 32];
    state.x[2] = sp;
    state.pc = program.raw.entry;
    state.reservation = NO_RESERVATION;
    let limit = config.steps.unwrap_or(u64::MAX);
    let mut run = Run::new(program, state, abi, host, chunk_steps, limit)?;

    // Every system call of the start has been made: the rest is in the list of the filter.
    if config.filter {
        filter::install(run.host.recorder.as_ref().and_then(Recorder::trace_fd))?;
    }
    let begin = sys::monotonic();
    let end = run.run();
    let nanoseconds = sys::monotonic() - begin;
    finish(&program, &config, &mut run, end, nanoseconds)
}

/// Puts the guest into memory. Returns the ABI and the stack pointer.
fn load(
    program: &Program,
    host: &mut GuestHost,
    args: impl Iterator<Item = &'static [u8]> + Clone,
    config: &Config<'static>,
) -> Result<(Abi, u64), Failure> {
    let image = Image {
        segments: program.segments.iter().map(|s| Segment {
            vaddr: s.vaddr,
            mem_size: s.mem_size,
            writable: s.flags & SEGMENT_W != 0,
            data: Program::data(s),
        }),
        entry: program.raw.entry,
        args,
        env: config.guest_env(),
    };
    Abi::start(host, &image).map_err(|error| match error {
        SetupError::Host(failure) => failure,
        SetupError::Segment { vaddr, mem_size } => {
            Failure::Setup(SetupError::Segment { vaddr, mem_size })
        }
        SetupError::Regions => Failure::Setup(SetupError::Regions),
        SetupError::Stack => Failure::Setup(SetupError::Stack),
        SetupError::Arguments { bytes } => Failure::Setup(SetupError::Arguments { bytes }),
    })
}

/// Completes the trace, tells how the run ended, and returns the exit status.
fn finish(
    program: &Program,
    config: &Config<'static>,
    run: &mut Run,
    end: Result<End, Failure>,
    nanoseconds: u64,
) -> Result<u8, Failure> {
    let status = match &end {
        Ok(End::Exit(status)) => *status,
        Ok(End::Fault(guest_fault)) => {
            fault::report(program, run, guest_fault);
            guest_fault.kind.exit_status()
        }
        Ok(End::StepLimit) => {
            fault::report_limit(program, run);
            exit::STEP_LIMIT
        }
        Ok(End::MemoryLimit(limit)) => {
            fault::report_memory(program, run, *limit);
            exit::MEMORY_LIMIT
        }
        Err(failure) => failure.exit_status(),
    };
    let total_steps = run.steps();
    let output: Output = core::mem::take(&mut run.host.output);
    let drained = match &mut run.host.recorder {
        Some(recorder) => recorder.finish(),
        None => Ok(Sink::Nowhere),
    };
    // A failed run leaves its sealed chunks, and no footer.
    let end = end?;
    let last = end.of_chunk();
    match drained? {
        Sink::Nowhere => {}
        Sink::File(drain) => drain.complete(total_steps, last.kind, last.code, output)?,
        Sink::Live(live) => {
            let chunks = run.host.recorder.as_ref().map_or(0, Recorder::chunks);
            live.complete(chunks, total_steps, last, output);
        }
    }
    if config.stats {
        statistics(run, status, nanoseconds);
    }
    Ok(status)
}

/// Prints the figures of a run: one line of JSON.
fn statistics(run: &Run, status: u8, nanoseconds: u64) {
    let steps = run.steps();
    let (chunks, log_bytes, event_bytes) = match &run.host.recorder {
        Some(r) => (r.chunks(), r.log_bytes, r.event_bytes),
        None => (0, 0, 0),
    };
    // Millions of steps per second, in thousandths.
    let rate = u128::from(steps) * 1_000_000 / u128::from(nanoseconds.max(1));
    let mut line = Line::new();
    // A line takes everything.
    let _ = write!(
        line,
        "{{\"steps\":{steps},\"interpreted\":{},\"chunks\":{chunks},\"log_bytes\":{log_bytes},\
         \"event_bytes\":{event_bytes},\"wall_ns\":{nanoseconds},\"mips\":{}.{:03},\
         \"status\":{status}}}",
        run.interpreted,
        rate / 1000,
        rate % 1000,
    );
    line.print();
}
