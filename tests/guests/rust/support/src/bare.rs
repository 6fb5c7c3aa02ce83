//! Bare metal: the Linux user ABI of RISC-V by `ecall`, and nothing else.

use core::arch::{asm, global_asm};
use core::fmt::Write as _;

use crate::text::Output;

// At entry sp points at argc, followed by argv (Linux user ABI). The stack is 16-byte aligned there
// already; aligning again costs one instruction and needs no trust.
global_asm!(
    ".section .text._start, \"ax\"",
    ".globl _start",
    ".type _start, @function",
    "_start:",
    ".option push",
    ".option norelax",
    "la gp, __global_pointer$",
    ".option pop",
    "mv a0, sp",
    "andi sp, sp, -16",
    "call guest_start",
    "unimp",
    ".size _start, . - _start",
);

unsafe extern "Rust" {
    /// Defined by [`crate::entry!`] in the guest.
    safe fn guest_main(args: Args);
}

/// First Rust code of the guest: reads the initial stack, runs the guest, exits with status 0.
#[unsafe(no_mangle)]
extern "C" fn guest_start(stack: *const usize) -> ! {
    // SAFETY: `stack` is the initial stack pointer, where the Linux user ABI puts argc and, after it, argc
    // pointers to strings that live as long as the program.
    let args = unsafe {
        Args {
            count: *stack,
            vector: stack.add(1).cast(),
        }
    };
    guest_main(args);
    exit(0)
}

/// The arguments of the program, from the initial stack.
#[derive(Clone, Copy)]
pub struct Args {
    count: usize,
    vector: *const *const u8,
}

impl Args {
    /// Number of arguments, the program's name included.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of argument `index` (0 is the program's name).
    pub fn get(&self, index: usize) -> Option<&'static [u8]> {
        if index >= self.count {
            return None;
        }
        // SAFETY: index < argc, and each of the argc pointers is a NUL-terminated string that lives as long
        // as the program (Linux user ABI).
        unsafe {
            let text = *self.vector.add(index);
            Some(core::ffi::CStr::from_ptr(text.cast()).to_bytes())
        }
    }
}

const SYS_READ: usize = 63;
const SYS_WRITE: usize = 64;
const SYS_EXIT: usize = 93;
const SYS_BRK: usize = 214;

/// One environment call: number in a7, arguments in a0 to a2, result in a0.
///
/// # Safety
/// Pointers among the arguments must be valid for what call `number` does with them.
unsafe fn ecall(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: Linux preserves every register but a0 over an environment call; memory effects are covered by
    // the absence of `nomem`, their validity by the caller.
    unsafe {
        asm!(
            "ecall",
            inlateout("a0") a => result,
            in("a1") b,
            in("a2") c,
            in("a7") number,
            options(nostack)
        );
    }
    result
}

/// Ends the program.
pub fn exit(status: i32) -> ! {
    loop {
        // SAFETY: no pointers are passed.
        unsafe { ecall(SYS_EXIT, status as usize, 0, 0) };
    }
}

/// Reads up to `buffer.len()` bytes of standard input; 0 at its end or on an error.
pub fn read_stdin(buffer: &mut [u8]) -> usize {
    let start = buffer.as_mut_ptr().expose_provenance();
    // SAFETY: the buffer is valid for writes of its length.
    let got = unsafe { ecall(SYS_READ, 0, start, buffer.len()) };
    usize::try_from(got).unwrap_or(0)
}

/// Writes all of `bytes` to file descriptor `fd`; stops at the first error.
pub(crate) fn write_all(fd: usize, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let start = bytes.as_ptr().expose_provenance();
        // SAFETY: the slice is valid for reads of its length.
        let wrote = unsafe { ecall(SYS_WRITE, fd, start, bytes.len()) };
        match usize::try_from(wrote) {
            Ok(count) if count > 0 => bytes = bytes.get(count..).unwrap_or(&[]),
            _ => return,
        }
    }
}

/// Gets `size` fresh zeroed bytes (a multiple of 4096) from the system; null when there are none.
pub(crate) fn map(size: usize) -> *mut u8 {
    // SAFETY: brk takes and returns addresses as numbers; nothing is dereferenced. This program is the only
    // user of its break, so the grown part belongs to the caller alone.
    unsafe {
        let start = ecall(SYS_BRK, 0, 0, 0) as usize;
        let aligned = start.next_multiple_of(4096);
        let end = aligned + size;
        if ecall(SYS_BRK, end, 0, 0) as usize == end {
            core::ptr::with_exposed_provenance_mut(aligned)
        } else {
            core::ptr::null_mut()
        }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(Output::new(2), "{info}");
    exit(101)
}
