//! ChaCha20-Poly1305 from the `chacha20poly1305` crate: seal, open, reject.

use alloc::vec;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use support::{Checksum, Rng};

/// One iteration seals and opens 4 KiB.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut key = [0u8; 32];
    let mut message = vec![0u8; 4096];
    let mut rng = Rng::new(20);
    rng.fill(&mut key);
    rng.fill(&mut message);
    for round in 0..iterations {
        let cipher = ChaCha20Poly1305::new(&key.into());
        let mut nonce = [0u8; 12];
        nonce[..8].copy_from_slice(&round.to_le_bytes());
        let nonce = nonce.into();
        let mut sealed = message.clone();
        let tag = cipher
            .encrypt_inout_detached(&nonce, b"guest", sealed.as_mut_slice().into())
            .expect("short enough");
        let mut opened = sealed.clone();
        cipher
            .decrypt_inout_detached(&nonce, b"guest", opened.as_mut_slice().into(), &tag)
            .expect("sealed above");
        assert!(opened == message);
        opened[0] ^= 1;
        assert!(
            cipher
                .decrypt_inout_detached(&nonce, b"guest", opened.as_mut_slice().into(), &tag)
                .is_err()
        );
        sum.bytes(&tag);
        key.copy_from_slice(&sealed[..32]);
        message = sealed;
    }
    sum.value()
}
