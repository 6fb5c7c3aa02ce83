//! JSON, typed and untyped.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/json.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("json", args, 5, work::run);
}
