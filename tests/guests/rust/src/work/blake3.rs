//! BLAKE3 from the `blake3` crate: plain, keyed, derived and extended output.

use support::{Checksum, Rng};

/// One iteration hashes about 20 KiB.
pub fn run(iterations: u64) -> u64 {
    let mut message = alloc::vec![0u8; 16 * 1024 + 7];
    Rng::new(5).fill(&mut message);
    let mut sum = Checksum::new();
    let mut key = [7u8; 32];
    for round in 0..iterations {
        let plain = blake3::hash(&message);
        sum.bytes(plain.as_bytes());
        key = *blake3::keyed_hash(&key, &message[..2048 + (round % 64) as usize]).as_bytes();
        let mut stretched = [0u8; 200];
        blake3::Hasher::new_derive_key("guest")
            .update(&key)
            .update(plain.as_bytes())
            .finalize_xof()
            .fill(&mut stretched);
        message[..200].copy_from_slice(&stretched);
    }
    sum.bytes(&key);
    sum.value()
}
