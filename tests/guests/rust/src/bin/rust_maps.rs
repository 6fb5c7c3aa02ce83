//! Maps, heaps and shortest paths.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/maps.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("maps", args, 5, work::run);
}
