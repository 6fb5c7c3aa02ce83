//! Floating point in software.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/float.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("float", args, 50, work::run);
}
