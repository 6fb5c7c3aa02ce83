//! BLAKE3.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/blake3.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("blake3", args, 60, work::run);
}
