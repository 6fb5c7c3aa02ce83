//! Ethereum transactions with loops, storage and a token.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/evm/mod.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("evm", args, 6, work::run);
}
