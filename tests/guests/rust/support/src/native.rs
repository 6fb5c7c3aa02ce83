//! Native: the same services from `std`, for the baselines of the benchmarks.

use std::alloc::{GlobalAlloc as _, Layout, System};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;

/// Runs the guest as bare metal does: arguments in, status 0 at the end, 101 after a panic.
pub fn start(main: fn(Args)) -> ! {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        default(info);
        std::process::exit(101)
    }));
    let words = std::env::args_os()
        .map(|word| &*word.into_vec().leak())
        .collect::<Vec<&'static [u8]>>();
    main(Args {
        words: words.leak(),
    });
    exit(0)
}

/// The arguments of the program.
#[derive(Clone, Copy)]
pub struct Args {
    words: &'static [&'static [u8]],
}

impl Args {
    /// Number of arguments, the program's name included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is not even a name.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The bytes of argument `index` (0 is the program's name).
    pub fn get(&self, index: usize) -> Option<&'static [u8]> {
        self.words.get(index).copied()
    }
}

/// Ends the program.
pub fn exit(status: i32) -> ! {
    std::process::exit(status)
}

/// Reads up to `buffer.len()` bytes of standard input; 0 at its end or on an error.
pub fn read_stdin(buffer: &mut [u8]) -> usize {
    std::io::stdin().read(buffer).unwrap_or(0)
}

/// Writes all of `bytes` to file descriptor `fd` (1 or 2); stops at the first error.
pub(crate) fn write_all(fd: usize, bytes: &[u8]) {
    let _ = match fd {
        2 => std::io::stderr().write_all(bytes),
        _ => std::io::stdout().write_all(bytes),
    };
}

/// Gets `size` fresh zeroed bytes (a multiple of 4096) from the system; null when there are none.
pub(crate) fn map(size: usize) -> *mut u8 {
    match Layout::from_size_align(size, 4096) {
        // SAFETY: the heap never asks for zero bytes.
        Ok(layout) if size > 0 => unsafe { System.alloc_zeroed(layout) },
        _ => std::ptr::null_mut(),
    }
}
