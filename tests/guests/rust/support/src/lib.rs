//! What every Rust guest stands on: entry point, arguments, heap, input and output.
//!
//! A guest is one source file with `support::entry!(main)`. For `riscv64imac-unknown-none-elf` it becomes a
//! static program with its own `_start` that speaks the Linux user ABI by `ecall`; for any other target the
//! same file becomes an ordinary `std` program, the native baseline of the benchmarks. Allocator, formatting
//! and checksums are the same code in both, so the two differ by instruction set only.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod heap;
pub mod rng;
mod text;

#[cfg(target_os = "none")]
#[path = "bare.rs"]
mod host;
#[cfg(not(target_os = "none"))]
#[path = "native.rs"]
mod host;

pub use heap::Heap;
#[cfg(not(target_os = "none"))]
pub use host::start;
pub use host::{Args, exit, read_stdin};
pub use rng::{Checksum, Rng};
pub use text::Output;

#[global_allocator]
static HEAP: Heap = Heap::new();

/// Makes `$main` (a `fn(support::Args)`) the entry point of the guest.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        fn guest_main(args: $crate::Args) {
            $main(args)
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            $crate::start($main)
        }
    };
}

/// Prints to the standard output, one `write` for up to 512 bytes.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        let _ = write!($crate::Output::new(1), $($arg)*);
    }};
}

/// Prints a line to the standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($arg:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::Output::new(1), $($arg)*);
    }};
}

impl Args {
    /// The argument at `index` as a number, or `default` when it is absent.
    ///
    /// Ends the program with status 2 when the argument is not a decimal number, so that a mistyped benchmark
    /// never runs with another size than was asked for.
    pub fn number(&self, index: usize, default: u64) -> u64 {
        let Some(bytes) = self.get(index) else {
            return default;
        };
        match core::str::from_utf8(bytes)
            .ok()
            .and_then(|text| text.parse().ok())
        {
            Some(number) => number,
            None => {
                println!("argument {index} is not a number");
                exit(2)
            }
        }
    }

    /// The iteration count: argument 1, or `default` when it is absent.
    pub fn iterations(&self, default: u64) -> u64 {
        self.number(1, default)
    }
}

/// The whole of a compute guest: runs `work` for the iteration count in argument 1, or `default`, and prints
/// its checksum.
pub fn report(name: &str, args: Args, default: u64, work: fn(u64) -> u64) {
    let iterations = args.iterations(default);
    let checksum = work(iterations);
    println!("{name}: {iterations} iterations, checksum {checksum:016x}");
}
