//! Signals that the host raises for instructions of the guest.
//!
//! A signal in generated code, at a host instruction that the program's table of fault sites
//! knows, makes generated code leave with `reason::FAULT`: the handler notes what it knows, sets
//! the guest pc, and continues at [`Program::leave`](hartlog_format::contract::Program::leave)
//! with all registers as they are, `rsp` (the budget) included. A signal anywhere else is a
//! defect of the runtime.

use crate::program::Program;
use crate::report::{Failure, say};
use crate::sys::{self, SigAction};
use crate::thread;
use core::arch::global_asm;
use core::ptr::{with_exposed_provenance, with_exposed_provenance_mut};
use core::sync::atomic::{AtomicU64, Ordering};
use hartlog_format::contract::{HartState, reason};
use hartlog_format::ring::CONSUMER_GONE_SIGNAL;
use hartlog_format::status::exit;

const SIGILL: i32 = 4;
const SIGBUS: i32 = 7;
const SIGFPE: i32 = 8;
const SIGSEGV: i32 = 11;
const SIGPIPE: i32 = 13;
const SIGXFSZ: i32 = 25;
const SIGSYS: i32 = 31;

/// Room for the frame that the kernel pushes (AVX-512 state is large) and for the handler.
const STACK: usize = 64 << 10;

/// What the handler found out about the last fault.
struct Noted {
    signal: AtomicU64,
    addr: AtomicU64,
    refund: AtomicU64,
    log: AtomicU64,
    waiting: AtomicU64,
    vector: [AtomicU64; 2],
}

static NOTED: Noted = Noted {
    signal: AtomicU64::new(0),
    addr: AtomicU64::new(0),
    refund: AtomicU64::new(0),
    log: AtomicU64::new(0),
    waiting: AtomicU64::new(0),
    vector: [AtomicU64::new(0), AtomicU64::new(0)],
};

/// A fault in generated code.
#[derive(Clone, Copy, Debug)]
pub struct HostFault {
    /// The host refused a memory access; else the code itself asked for the signal.
    pub access: bool,
    /// Address of the access.
    pub addr: u64,
    /// Steps charged but not retired.
    pub refund: u64,
    /// Bytes logged beyond the log pointer.
    pub log: u64,
    /// How many of them, the last ones, are not in the log yet but in [`HostFault::vector`].
    pub waiting: usize,
    /// xmm0.
    pub vector: [u8; 16],
}

/// The fault because of which generated code left last.
pub fn last_fault() -> HostFault {
    let signal = NOTED.signal.load(Ordering::Relaxed);
    let mut vector = [0; 16];
    let (low, high) = vector.split_at_mut(8);
    low.copy_from_slice(&NOTED.vector[0].load(Ordering::Relaxed).to_le_bytes());
    high.copy_from_slice(&NOTED.vector[1].load(Ordering::Relaxed).to_le_bytes());
    HostFault {
        access: signal == SIGSEGV as u64 || signal == SIGBUS as u64,
        addr: NOTED.addr.load(Ordering::Relaxed),
        refund: NOTED.refund.load(Ordering::Relaxed),
        log: NOTED.log.load(Ordering::Relaxed),
        waiting: NOTED.waiting.load(Ordering::Relaxed) as usize,
        vector,
    }
}

global_asm!(
    ".section .text.hartlog_sigreturn,\"ax\",@progbits",
    ".globl hartlog_sigreturn",
    "hartlog_sigreturn:",
    "mov eax, 15",
    "syscall",
    "ud2",
    ".text",
);

unsafe extern "C" {
    fn hartlog_sigreturn();
}

/// Byte offsets in the kernel's `siginfo_t` and `ucontext_t` (`asm/sigcontext.h`), and in what its
/// pointer to the state of vector registers points to (Intel SDM volume 1, 10.5.1).
mod offset {
    pub(super) const SI_CODE: usize = 8;
    pub(super) const SI_ADDR: usize = 16;
    pub(super) const SI_SYSCALL: usize = 24;
    pub(super) const RIP: usize = 40 + 16 * 8;
    pub(super) const VECTORS: usize = 40 + 23 * 8;
    pub(super) const XMM0: usize = 160;
}

/// Sets the handlers and their stack.
///
/// # Errors
/// [`Failure::Host`].
pub fn install() -> Result<(), Failure> {
    const SA_SIGINFO: u64 = 4;
    const SA_ONSTACK: u64 = 0x0800_0000;
    const SA_RESTORER: u64 = 0x0400_0000;
    const SIG_IGN: usize = 1;
    let failed = |errno| Failure::Host {
        what: "signals cannot be handled",
        errno,
    };
    let stack = thread::stack(STACK)?;
    // SAFETY: the stack is new and stays.
    unsafe { sys::set_signal_stack(stack, STACK) }.map_err(failed)?;
    let handle = SigAction {
        handler: handler as extern "C" fn(i32, usize, usize) as usize,
        flags: SA_SIGINFO | SA_ONSTACK | SA_RESTORER,
        restorer: hartlog_sigreturn as unsafe extern "C" fn() as usize,
        mask: u64::MAX,
    };
    let ignore = SigAction {
        handler: SIG_IGN,
        flags: 0,
        restorer: 0,
        mask: 0,
    };
    for (signals, action) in [
        (&[SIGILL, SIGBUS, SIGFPE, SIGSEGV, SIGSYS][..], &handle),
        // Errors of `write` are reported where they happen.
        (&[SIGPIPE, SIGXFSZ][..], &ignore),
    ] {
        for signal in signals {
            // SAFETY: the handler and what it returns to are made for this.
            unsafe { sys::set_action(*signal, action) }.map_err(failed)?;
        }
    }
    Ok(())
}

/// Ends the process with a message when its parent ends, whatever it is doing: it consumes the
/// ring.
///
/// # Errors
/// [`Failure::Host`].
pub fn end_with_parent(parent: i32) -> Result<(), Failure> {
    const SA_ONSTACK: u64 = 0x0800_0000;
    const SA_RESTORER: u64 = 0x0400_0000;
    let failed = |errno| Failure::Host {
        what: "the end of the replayer cannot be noticed",
        errno,
    };
    let action = SigAction {
        handler: parent_ended as extern "C" fn(i32) as usize,
        flags: SA_ONSTACK | SA_RESTORER,
        restorer: hartlog_sigreturn as unsafe extern "C" fn() as usize,
        mask: u64::MAX,
    };
    // SAFETY: the handler is made for this, and does not return.
    unsafe { sys::set_action(CONSUMER_GONE_SIGNAL, &action) }.map_err(failed)?;
    sys::signal_when_parent_ends(CONSUMER_GONE_SIGNAL).map_err(failed)?;
    // It may have ended before.
    if sys::parent() != parent {
        return Err(Failure::Live("the replayer has ended"));
    }
    Ok(())
}

extern "C" fn parent_ended(_: i32) {
    let failure = Failure::Live("the replayer has ended");
    say!("{failure}");
    sys::exit(failure.exit_status());
}

extern "C" fn handler(signal: i32, info: usize, context: usize) {
    // SAFETY: the kernel passes both structures, aligned for words; nothing else refers to them.
    let (code, addr, rip) = unsafe {
        (
            with_exposed_provenance::<i32>(info + offset::SI_CODE).read(),
            with_exposed_provenance::<u64>(info + offset::SI_ADDR).read(),
            &mut *with_exposed_provenance_mut::<u64>(context + offset::RIP),
        )
    };
    if code <= 0 {
        say!("killed by signal {signal}, which another process has sent");
        sys::exit(128 + signal as u8);
    }
    if signal == SIGSYS {
        // SAFETY: as above.
        let call = unsafe { with_exposed_provenance::<u32>(info + offset::SI_SYSCALL).read() };
        say!("internal error: system call {call} is not allowed, at {rip:#x}");
        sys::exit(exit::INTERNAL);
    }
    let site = match Program::get() {
        Ok(program) if signal != SIGFPE => program.site(*rip).map(|site| (program, site)),
        _ => None,
    };
    let Some((program, site)) = site else {
        say!(
            "internal error: signal {signal} (code {code}, address {addr:#x}) at {:#x}",
            *rip
        );
        sys::exit(exit::INTERNAL);
    };
    NOTED.signal.store(signal as u64, Ordering::Relaxed);
    NOTED.addr.store(addr, Ordering::Relaxed);
    NOTED.refund.store(site.refund.into(), Ordering::Relaxed);
    NOTED.log.store(site.logged().into(), Ordering::Relaxed);
    NOTED
        .waiting
        .store(site.waiting().into(), Ordering::Relaxed);
    // SAFETY: as above; the kernel saves vector registers for every signal on x86-64.
    let vector = unsafe {
        let saved = with_exposed_provenance::<usize>(context + offset::VECTORS).read();
        with_exposed_provenance::<[u64; 2]>(saved + offset::XMM0).read()
    };
    for (noted, half) in NOTED.vector.iter().zip(vector) {
        noted.store(half, Ordering::Relaxed);
    }
    let state = with_exposed_provenance_mut::<HartState>(program.raw.state as usize);
    // SAFETY: the state block belongs to generated code, which is stopped at `rip`.
    unsafe {
        (&raw mut (*state).pc).write(site.pc.into());
        (&raw mut (*state).reason).write(reason::FAULT);
    }
    *rip = program.raw.leave;
}
