//! SHA-256 and SHA-512 from the `sha2` crate: long messages and chains of short ones.

use sha2::{Digest, Sha256, Sha512};
use support::{Checksum, Rng};

/// One iteration hashes about 8 KiB.
pub fn run(iterations: u64) -> u64 {
    let mut message = [0u8; 4096];
    Rng::new(2).fill(&mut message);
    let mut sum = Checksum::new();
    let mut link = [0u8; 32];
    for round in 0..iterations {
        let mut long = Sha512::new();
        long.update(round.to_le_bytes());
        long.update(message);
        sum.bytes(&long.finalize());

        let mut long = Sha256::new();
        long.update(message);
        long.update(link);
        link = long.finalize().into();
        for _ in 0..8 {
            link = Sha256::digest(link).into();
        }
        message[(round % 4096) as usize] ^= link[0];
    }
    sum.bytes(&link);
    sum.value()
}
