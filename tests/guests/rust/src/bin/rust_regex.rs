//! Regular expressions.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/regex.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("regex", args, 1, work::run);
}
