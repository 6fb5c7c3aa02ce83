//! The precompiled contracts of Ethereum, by transactions on the `revm` crate: hashes, key recovery, modular
//! exponentiation, BN254 and BLS12-381. What one gives is what the next takes.

use alloc::vec::Vec;
use k256::ecdsa::SigningKey;
use revm::primitives::{Address, Bytes, U256, hardfork::SpecId, keccak256, uint};
use support::{Checksum, Rng};

use super::evm::{Chain, chain, transact};

/// The base field of BN254.
const BN254_P: U256 =
    uint!(0x30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd47_U256);

/// The generator of the second group of BN254, imaginary parts first (EIP-197).
const BN254_G2: [U256; 4] = uint!([
    0x198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2_U256,
    0x1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed_U256,
    0x090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b_U256,
    0x12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa_U256,
]);

/// The order of the groups of BLS12-381.
const BLS12_R: U256 =
    uint!(0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001_U256);

struct Caller {
    chain: Chain,
    sum: Checksum,
}

impl Caller {
    fn call(&mut self, number: u8, data: &[u8]) -> Bytes {
        let output = transact(
            &mut self.chain,
            Address::with_last_byte(number),
            data.to_vec(),
            &mut self.sum,
        );
        output.expect("valid input and enough gas")
    }

    fn recover(&mut self, digest: [u8; 32]) {
        let key = SigningKey::from_slice(&digest).expect("a hash below the group order");
        let (signature, id) = key.sign_prehash_recoverable(&digest);
        let v = U256::from(27 + id.to_byte()).to_be_bytes::<32>();
        let output = self.call(1, &[&digest[..], &v, &signature.to_bytes()].concat());
        let point = key.verifying_key().to_sec1_point(false);
        assert!(output[12..] == keccak256(&point.as_bytes()[1..])[12..]);
    }

    fn exponentiate(&mut self, rng: &mut Rng) {
        let mut input = Vec::new();
        for length in [64u64, 16, 64] {
            input.extend(U256::from(length).to_be_bytes::<32>());
        }
        let mut numbers = [0u8; 144];
        rng.fill(&mut numbers);
        numbers[143] |= 1;
        input.extend(numbers);
        self.call(5, &input);
    }

    fn bn254(&mut self, scalar: &[u8]) {
        let generator = [U256::from(1), U256::from(2)]
            .map(|word| word.to_be_bytes::<32>())
            .concat();
        let point = self.call(7, &[&generator, scalar].concat());
        let point = self.call(6, &[&point[..], &generator].concat());
        let negative = BN254_P - U256::from_be_slice(&point[32..]);
        let g2 = BN254_G2.map(|word| word.to_be_bytes::<32>()).concat();
        let pairs = [
            &point[..],
            &g2,
            &point[..32],
            &negative.to_be_bytes::<32>(),
            &g2,
        ]
        .concat();
        let product = self.call(8, &pairs);
        assert!(product[31] == 1);
    }

    fn blake2(&mut self, rng: &mut Rng) {
        let mut input = [0u8; 213];
        rng.fill(&mut input);
        input[..4].copy_from_slice(&12u32.to_be_bytes());
        input[212] &= 1;
        self.call(9, &input);
    }

    fn bls12(&mut self, scalar: &[u8]) {
        let element = [&[0; 32], scalar].concat();
        let g1 = self.call(0x10, &element);
        let g2 = self.call(0x11, &[&element[..], &element].concat());
        let multiple = self.call(0x0c, &[&g1[..], scalar].concat());
        let multiple = self.call(0x0b, &[&multiple[..], &g1].concat());
        let twisted = self.call(0x0e, &[&g2[..], scalar].concat());
        let twisted = self.call(0x0d, &[&twisted[..], &g2].concat());
        let minus_one = BLS12_R - U256::ONE;
        let negative = self.call(0x0c, &[&g1[..], &minus_one.to_be_bytes::<32>()].concat());
        // e((s+1) g1, g2) e(-g1, (s+1) g2) = 1
        let output = self.call(0x0f, &[&multiple[..], &g2, &negative, &twisted].concat());
        assert!(output[31] == 1);
    }
}

/// One iteration calls sixteen of them.
pub fn run(iterations: u64) -> u64 {
    let mut caller = Caller {
        chain: chain(SpecId::PRAGUE),
        sum: Checksum::new(),
    };
    let mut rng = Rng::new(197);
    for _ in 0..iterations {
        let mut message = [0u8; 300];
        rng.fill(&mut message);
        let digest = caller.call(2, &message);
        caller.call(3, &message);
        let copy = caller.call(4, &digest);
        assert!(copy == digest);
        let mut scalar = [0u8; 32];
        scalar[1..].copy_from_slice(&digest[1..]);
        caller.recover(scalar);
        caller.exponentiate(&mut rng);
        caller.bn254(&scalar);
        caller.blake2(&mut rng);
        caller.bls12(&scalar);
    }
    caller.sum.value()
}
