//! ChaCha20-Poly1305.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work/cipher.rs"]
mod work;

support::entry!(run);

fn run(args: support::Args) {
    support::report("cipher", args, 40, work::run);
}
