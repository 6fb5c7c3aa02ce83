//! A second thread, without a thread library: it shares everything and has no storage of its own.

use crate::report::Failure;
use crate::sys;
use core::arch::global_asm;
use hartlog_format::layout::PAGE;

global_asm!(
    ".section .text.hartlog_clone,\"ax\",@progbits",
    ".globl hartlog_clone",
    // hartlog_clone(flags, stack, entry, argument): the new thread calls entry(argument).
    "hartlog_clone:",
    "sub rsi, 16",
    "mov [rsi], rdx",
    "mov [rsi + 8], rcx",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jz 10f",
    "ret",
    "10: xor ebp, ebp",
    "pop rax",
    "pop rdi",
    "call rax",
    "ud2",
    ".text",
);

unsafe extern "C" {
    fn hartlog_clone(
        flags: usize,
        stack: usize,
        entry: extern "C" fn(usize) -> !,
        argument: usize,
    ) -> isize;
}

/// `CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM`
/// (`linux/sched.h`).
const SHARE_EVERYTHING: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;

const STACK: usize = 256 << 10;

/// Maps a stack with an inaccessible page below it and returns its lowest address.
///
/// # Errors
/// [`Failure::Host`].
pub fn stack(size: usize) -> Result<usize, Failure> {
    let failed = |errno| Failure::Host {
        what: "no memory for a stack",
        errno,
    };
    let guard = PAGE as usize;
    let addr = sys::map(guard + size, sys::PROT_RW).map_err(failed)?;
    // SAFETY: the mapping is new.
    unsafe { sys::protect(addr, guard, sys::PROT_NONE) }.map_err(failed)?;
    Ok(addr + guard)
}

/// Starts a thread that runs `entry(argument)`.
///
/// # Errors
/// [`Failure::Host`].
pub fn spawn(entry: extern "C" fn(usize) -> !, argument: usize) -> Result<(), Failure> {
    let top = stack(STACK)? + STACK;
    // SAFETY: the stack is new and stays; `entry` does not return.
    let result = unsafe { hartlog_clone(SHARE_EVERYTHING, top, entry, argument) };
    if result < 0 {
        return Err(Failure::Host {
            what: "no thread to write the trace",
            errno: sys::Errno(-result as u16),
        });
    }
    Ok(())
}
