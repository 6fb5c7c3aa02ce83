//! Compression and decompression.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/deflate.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("deflate", args, 1, work::run);
}
