//! Mutants of inputs, without a look at what they do: for tests that are to be quick.

use tests::random::Rng;

const EXTREME: [u64; 12] = [
    0,
    1,
    7,
    0x7f,
    0x80,
    0xff,
    0xffff,
    1 << 31,
    u32::MAX as u64,
    1 << 32,
    1 << 63,
    u64::MAX,
];

/// One of the seeds, altered in up to four places.
pub fn mutant(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let pick = |rng: &mut Rng| &seeds[rng.below(seeds.len() as u64) as usize];
    let mut out = pick(rng).clone();
    for _ in 0..=rng.below(4) {
        if out.is_empty() {
            break;
        }
        let at = rng.below(out.len() as u64) as usize;
        match rng.below(8) {
            0 | 1 => out[at] ^= 1 << rng.below(8),
            2 => out[at] = rng.next() as u8,
            3 | 4 => {
                let width = 1 << rng.below(4);
                let value = match rng.below(3) {
                    0 => rng.value(),
                    1 => rng.below(2 * out.len() as u64),
                    _ => rng.pick(&EXTREME),
                };
                let to = at & !(width - 1);
                for (byte, new) in out[to..].iter_mut().zip(&value.to_le_bytes()[..width]) {
                    *byte = *new;
                }
            }
            5 => {
                let end = out.len().min(at + rng.below(64) as usize);
                out.drain(at..end);
            }
            6 => {
                let other = pick(rng);
                let from = rng.below(other.len() as u64) as usize;
                let end = other.len().min(from + rng.below(64) as usize);
                out.splice(at..at, other[from..end].iter().copied());
            }
            _ => out.truncate(at),
        }
    }
    out
}
