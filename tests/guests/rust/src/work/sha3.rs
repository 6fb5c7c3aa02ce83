//! SHA3 and Keccak-256 from the `sha3` crate.

use sha3::{Digest, Keccak256, Sha3_256, Sha3_512};
use support::{Checksum, Rng};

/// One iteration hashes about 3 KiB: a message twice, and a tree of Keccak-256 pairs over it.
pub fn run(iterations: u64) -> u64 {
    let mut message = [0u8; 1024];
    Rng::new(3).fill(&mut message);
    let mut sum = Checksum::new();
    for round in 0..iterations {
        sum.bytes(&Sha3_512::digest(message));
        let mut hasher = Sha3_256::new();
        hasher.update(round.to_le_bytes());
        hasher.update(message);
        let digest = hasher.finalize();

        let mut nodes = [[0u8; 32]; 16];
        for (node, leaf) in nodes.iter_mut().zip(message.chunks(64)) {
            *node = Keccak256::digest(leaf).into();
        }
        let mut width = nodes.len();
        while width > 1 {
            width /= 2;
            for i in 0..width {
                let mut hasher = Keccak256::new();
                hasher.update(nodes[2 * i]);
                hasher.update(nodes[2 * i + 1]);
                nodes[i] = hasher.finalize().into();
            }
        }
        for (byte, (a, b)) in message.iter_mut().zip(digest.iter().zip(nodes[0])) {
            *byte ^= a ^ b;
        }
        sum.bytes(&nodes[0]);
    }
    sum.value()
}
