//! Everything in one program: the large one.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[path = "../work"]
mod work {
    pub mod bigint;
    pub mod blake3;
    pub mod bls;
    pub mod cipher;
    pub mod core;
    pub mod deflate;
    pub mod ed25519;
    pub mod evm;
    pub mod float;
    pub mod json;
    pub mod k256;
    pub mod maps;
    pub mod precompiles;
    pub mod regex;
    pub mod sha2;
    pub mod sha3;
}

support::entry!(run);

/// Name, work, and iterations of it for one of the whole.
type Part = (&'static str, fn(u64) -> u64, u64);

const PARTS: [Part; 16] = [
    ("sha2", work::sha2::run, 4),
    ("sha3", work::sha3::run, 4),
    ("blake3", work::blake3::run, 2),
    ("cipher", work::cipher::run, 2),
    ("k256", work::k256::run, 1),
    ("ed25519", work::ed25519::run, 1),
    ("bls", work::bls::run, 1),
    ("bigint", work::bigint::run, 1),
    ("json", work::json::run, 1),
    ("regex", work::regex::run, 1),
    ("deflate", work::deflate::run, 1),
    ("maps", work::maps::run, 1),
    ("core", work::core::run, 1),
    ("float", work::float::run, 2),
    ("evm", work::evm::run, 1),
    ("precompiles", work::precompiles::run, 1),
];

fn run(args: support::Args) {
    let iterations = args.iterations(1);
    let mut sum = support::Checksum::new();
    for (name, part, weight) in PARTS {
        let checksum = part(weight * iterations);
        support::println!("{name:>12} {checksum:016x}");
        sum.word(checksum);
    }
    support::println!(
        "all: {iterations} iterations, checksum {:016x}",
        sum.value()
    );
}
