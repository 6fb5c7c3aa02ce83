//! Compression and decompression from the `miniz_oxide` crate.

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib;
use support::rng::text;
use support::{Checksum, Rng};

/// One iteration compresses 32 KiB at levels 1, 6 and 9 and decompresses it three times.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(1951);
    for _ in 0..iterations {
        let plain = text(&mut rng, 32 * 1024);
        for level in [1, 6, 9] {
            let packed = compress_to_vec_zlib(&plain, level);
            let unpacked = decompress_to_vec_zlib(&packed).expect("compressed above");
            assert!(unpacked == plain);
            sum.word(packed.len() as u64);
            sum.bytes(&packed[packed.len() - 32..]);
        }
    }
    sum.value()
}
