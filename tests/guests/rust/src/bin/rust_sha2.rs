//! SHA-256 and SHA-512.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[path = "../work/sha2.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("sha2", args, 60, work::run);
}
