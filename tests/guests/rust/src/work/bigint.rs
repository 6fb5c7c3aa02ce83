//! Big integers from the `num-bigint` crate: an RSA-like exponentiation, products, division, decimal text.

use alloc::string::ToString;
use num_bigint::BigUint;
use support::{Checksum, Rng};

fn random(rng: &mut Rng, bytes: usize) -> BigUint {
    let mut raw = alloc::vec![0u8; bytes];
    rng.fill(&mut raw);
    raw[0] |= 1;
    raw[bytes - 1] |= 0x80;
    BigUint::from_bytes_le(&raw)
}

/// One iteration is one 512-bit exponent modulo 1024 bits, and a factorial in decimal.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(1024);
    let modulus = random(&mut rng, 128);
    let mut message = random(&mut rng, 127);
    for round in 0..iterations {
        let exponent = random(&mut rng, 64);
        message = message.modpow(&exponent, &modulus);
        sum.bytes(&message.to_bytes_le());

        let mut factorial = BigUint::from(1u32);
        for factor in 2..=200 + (round % 50) as u32 {
            factorial *= factor;
        }
        let (quotient, remainder) = (&factorial / &message, &factorial % &message);
        assert!(&quotient * &message + &remainder == factorial);
        let square = &factorial * &factorial;
        assert!(square.sqrt() == factorial);
        sum.bytes(factorial.to_string().as_bytes());
    }
    sum.value()
}
