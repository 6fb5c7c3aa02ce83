//! Ed25519 signatures.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[path = "../work/ed25519.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("ed25519", args, 6, work::run);
}
