//! Pairings on BLS12-381.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[path = "../work/bls.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("bls", args, 1, work::run);
}
