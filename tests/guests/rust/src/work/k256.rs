//! ECDSA on secp256k1 from the `k256` crate: sign, verify, recover the key.

use k256::ecdsa::signature::hazmat::PrehashVerifier;
use k256::ecdsa::{SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};
use support::Checksum;

/// One iteration signs, verifies and recovers once.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut seed = [0x42u8; 32];
    for round in 0..iterations {
        let key = SigningKey::from_slice(&seed).expect("a hash below the group order");
        let public = VerifyingKey::from(&key);
        let mut hasher = Sha256::new();
        hasher.update(round.to_le_bytes());
        hasher.update(seed);
        let digest: [u8; 32] = hasher.finalize().into();
        let (signature, id) = key.sign_prehash_recoverable(&digest);
        assert!(public.verify_prehash(&digest, &signature).is_ok());
        let mut forged = digest;
        forged[(round % 32) as usize] ^= 1;
        assert!(public.verify_prehash(&forged, &signature).is_err());
        let recovered = VerifyingKey::recover_from_prehash(&digest, &signature, id)
            .expect("a signature made here");
        assert!(recovered == public);
        sum.bytes(&signature.to_bytes());
        seed = digest;
    }
    sum.value()
}
