//! The guest's random numbers: a fixed stream of 64-bit words, the same in every run.
//!
//! Word `n` is the SplitMix64 output function applied to `(n + 1) * 0x9e3779b97f4a7c15`, its bytes
//! little-endian. `AT_RANDOM` takes words 0 and 1; each `getrandom` call starts at the first word
//! that was not used. It is not random, and a guest must not take it for a secret.

/// Word `n` of the stream.
///
/// ```
/// assert_eq!(hartlog_abi::random::word(0), 0xe220a8397b1dcdaf);
/// ```
pub const fn word(n: u64) -> u64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
