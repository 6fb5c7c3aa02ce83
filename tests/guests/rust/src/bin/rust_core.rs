//! The library that every Rust program carries.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/core.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("core", args, 10, work::run);
}
