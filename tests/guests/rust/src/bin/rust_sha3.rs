//! SHA3 and Keccak-256.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[path = "../work/sha3.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("sha3", args, 30, work::run);
}
