//! BLS12-381 from the `bls12_381` crate: group operations and a pairing check.

use bls12_381::{
    G1Affine, G1Projective, G2Affine, G2Prepared, G2Projective, Gt, Scalar, multi_miller_loop,
};
use support::{Checksum, Rng};

/// One iteration signs and verifies in the BLS way: two scalar multiplications, two pairings.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(381);
    let mut message = G1Projective::generator();
    for _ in 0..iterations {
        let mut wide = [0u8; 64];
        rng.fill(&mut wide);
        let secret = Scalar::from_bytes_wide(&wide);
        let public = G2Affine::from(G2Projective::generator() * secret);
        let signature = G1Affine::from(message * secret);
        let hashed = G1Affine::from(message);

        let product = multi_miller_loop(&[
            (&-signature, &G2Prepared::from(G2Affine::generator())),
            (&hashed, &G2Prepared::from(public)),
        ])
        .final_exponentiation();
        assert!(product == Gt::identity());

        let bytes = signature.to_compressed();
        let decoded = G1Affine::from_compressed(&bytes);
        assert!(bool::from(decoded.is_some()));
        sum.bytes(&bytes);
        sum.bytes(&public.to_compressed());
        message = message.double() + G1Projective::from(signature);
    }
    sum.value()
}
