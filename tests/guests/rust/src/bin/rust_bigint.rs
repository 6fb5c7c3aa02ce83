//! Big integers.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/bigint.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("bigint", args, 3, work::run);
}
