//! Ed25519 from the `ed25519-dalek` crate: sign, verify, reject.

use ed25519_dalek::{Signer, SigningKey};
use support::{Checksum, Rng};

/// One iteration signs once and verifies twice.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut message = [0u8; 200];
    Rng::new(25519).fill(&mut message);
    let mut seed = [9u8; 32];
    for round in 0..iterations {
        let key = SigningKey::from_bytes(&seed);
        let public = key.verifying_key();
        let signature = key.sign(&message);
        assert!(public.verify_strict(&message, &signature).is_ok());
        message[(round % 200) as usize] ^= 0x10;
        assert!(public.verify_strict(&message, &signature).is_err());
        let bytes = signature.to_bytes();
        sum.bytes(&bytes);
        seed.copy_from_slice(&bytes[..32]);
    }
    sum.value()
}
