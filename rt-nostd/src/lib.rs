//! The runtime of a translated program: everything but the guest's code.
//!
//! It is linked to the object that the compiler writes
//! (`ld -T x86-64.ld prog.o librt_nostd.a -o prog`), uses no libc, has no allocator, and starts at
//! its own `_start`:
//!
//! 1. `cpu`: the processor has what the generated code needs; `hartlog_config`: the environment;
//! 2. `signal`: faults of the guest come as signals, on a stack of their own;
//! 3. `guest`: the guest's memory, filled by the ABI (`hartlog_abi`);
//! 4. `recorder`: chunks in the slots of a ring; `drain`: a thread that writes them to a file;
//!    `live`: a ring that another process consumes;
//! 5. `filter`: from here on the kernel refuses system calls that are not in its list;
//! 6. `run`: generated code, chunk ends, environment calls; `interp`: the instructions that
//!    generated code cannot do;
//! 7. `fault`, `report`: what is said on standard error.
//!
//! # Environment
//!
//! The guest gets the program's arguments (its argv\[0\] is always `guest`), standard input,
//! output and error. The environment is for the runtime:
//!
//! | variable | value |
//! |---|---|
//! | `HARTLOG_TRACE` | path of a file, pipe or device to which the trace is written |
//! | `HARTLOG_CHUNK_STEPS` | retired instructions in a chunk, instead of what was compiled in |
//! | `HARTLOG_STEPS` | retired instructions after which the run ends with status 200 |
//! | `HARTLOG_MEMORY` | bytes of memory that the guest may have; when it asks for more the run ends with status 205 |
//! | `HARTLOG_RING` | slots of the ring, 1 to 32; 4 if not set, 2 for very large chunks |
//! | `HARTLOG_RING_BYTES` | size of the ring, where `HARTLOG_RING` is not set: as many slots as fit, 2 to 32 |
//! | `HARTLOG_LIVE` | `DESCRIPTOR:PROCESS`, set by `replay run`: a file in memory that becomes the ring, and the parent process, which consumes it |
//! | `HARTLOG_STATS` | 1: a line of JSON on standard error at the end: `steps`, `interpreted` (steps of the fallback interpreter), `chunks`, `log_bytes`, `event_bytes`, `wall_ns` (of the run, without set-up and the end of the trace), `mips`, `status` |
//! | `HARTLOG_QUIET` | 1: no warnings (memory that is not locked, unknown environment calls, …) |
//! | `HARTLOG_FILTER` | 0: the kernel is not told which system calls to refuse |
//! | `HARTLOG_GUEST_ENV` | environment of the guest: `NAME=VALUE`, with `;` between several |
//!
//! A value that a variable cannot have ends the program with status 203 before the guest starts.
//! Other variables that start with `HARTLOG_` are warned of.
//!
//! # Exit status
//!
//! That of the guest; or one of [`hartlog_format::status::exit`], with a message on standard
//! error. If the trace cannot be written, the guest stops at the end of a chunk; the chunks
//! before are in the file.
#![no_std]

mod buffer;
mod cpu;
mod drain;
mod fault;
mod filter;
mod guest;
mod interp;
mod libcalls;
mod live;
mod program;
mod recorder;
mod report;
mod run;
mod signal;
mod start;
mod sys;
mod thread;

/// Called by code that was compiled to unwind, of which there is none in the end: the linker asks
/// for it all the same.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
