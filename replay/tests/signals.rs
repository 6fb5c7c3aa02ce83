//! Signals whose handlers run on the stack of what they interrupt: generated code has none.

use replay::check::{self, check_with};
use replay::engine::{Cache, Choice, Engine};
use replay::interp::{Interpreter, Options};
use replay::io::Buffers;
use replay::program::Program;
use replay::trace::Trace;
use replay::witness::{Columns, Verify};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Of SIGUSR1 and of SIGUSR2.
static HANDLED: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

extern "C" fn handler(signal: libc::c_int) {
    HANDLED[usize::from(signal == libc::SIGUSR2)].fetch_add(1, Ordering::Relaxed);
}

/// Sets the handler of a signal.
fn handle(signal: libc::c_int) {
    // SAFETY: all-zero bytes are a valid `sigaction`; the handler only counts.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// Sends a signal to every other thread of this process.
fn interrupt_all(signal: libc::c_int) {
    // SAFETY: no arguments.
    let own = unsafe { libc::gettid() };
    for thread in std::fs::read_dir("/proc/self/task")
        .expect("threads")
        .flatten()
    {
        let id: libc::pid_t = thread
            .file_name()
            .to_str()
            .and_then(|n| n.parse().ok())
            .expect("a number");
        if id != own {
            // SAFETY: a thread of this process, or one that has ended.
            unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id, signal) };
        }
    }
}

/// A program, and the trace of a run of it.
fn sample() -> (Program, Trace) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/guests/prebuilt/c/sha256.elf");
    let program = Program::new(hartlog_elf::Elf::open(&path).expect("an ELF"));
    let options = Options {
        chunk_steps: 1 << 18,
        step_limit: Some(2_000_000),
        args: vec![b"400".to_vec()],
        ..Options::default()
    };
    let mut bytes = Vec::new();
    Interpreter::new(&program, options)
        .and_then(|mut i| i.run_traced(&mut Buffers::default(), &mut bytes))
        .expect("it runs");
    let trace = Trace::from_bytes(bytes).expect("a trace");
    (program, trace)
}

#[test]
fn compiled_code_is_not_interrupted_by_handlers() {
    handle(libc::SIGUSR1);
    let (program, trace) = sample();
    let options = check::Options {
        jobs: Some(2),
        no_memory: true,
        ..check::Options::default()
    };
    let (engine, _) = Engine::choose(
        &program,
        options.columns(),
        Choice::Compiled,
        &Cache::none(),
    )
    .expect("compiled code");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                interrupt_all(libc::SIGUSR1);
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            let checked = check_with(&trace, &engine, &options, &mut |_| {});
            if checked.is_err() {
                done.store(true, Ordering::Relaxed);
            }
            checked.expect("it is right");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(HANDLED[0].load(Ordering::Relaxed) > 100, "signals came");
}

/// Of a handler that was not there when the thread began, and in a replay that the caller drives.
#[test]
fn compiled_code_is_not_interrupted_by_handlers_that_are_new() {
    let (program, trace) = sample();
    let columns = Columns::NONE;
    let (engine, _) =
        Engine::choose(&program, columns, Choice::Compiled, &Cache::none()).expect("compiled code");
    let done = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| {
            let mut worker = engine.worker();
            while !done.load(Ordering::Relaxed) {
                for index in 0..trace.len() {
                    let chunk = trace.chunk(index).expect("it is there");
                    worker.replay(&chunk, &mut Verify).expect("it is right");
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        while rounds.load(Ordering::Relaxed) == 0 && !replay.is_finished() {
            std::thread::yield_now();
        }
        handle(libc::SIGUSR2);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            interrupt_all(libc::SIGUSR2);
            std::thread::sleep(Duration::from_micros(50));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(HANDLED[1].load(Ordering::Relaxed) > 100, "signals came");
}
