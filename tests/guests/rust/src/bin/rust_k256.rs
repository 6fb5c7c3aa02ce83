//! ECDSA on secp256k1.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[path = "../work/k256.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("k256", args, 5, work::run);
}
