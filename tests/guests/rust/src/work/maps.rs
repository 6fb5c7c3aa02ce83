//! Ordered and hashed maps: `hashbrown`, `BTreeMap`, `BinaryHeap`, with integer and string keys.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::format;
use alloc::string::String;
use core::cmp::Reverse;
use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;
use support::{Checksum, Rng};

/// A multiplicative hasher without a random seed, so that every run does the same work.
#[derive(Default)]
struct Multiply(u64);

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

type Hashed<K, V> = HashMap<K, V, BuildHasherDefault<Multiply>>;

fn integers(rng: &mut Rng, sum: &mut Checksum) {
    let mut hashed = Hashed::<u64, u64>::default();
    let mut ordered = BTreeMap::new();
    for _ in 0..4000 {
        let key = rng.below(3000);
        match rng.below(4) {
            0 => assert!(hashed.remove(&key) == ordered.remove(&key)),
            1 => assert!(hashed.get(&key) == ordered.get(&key)),
            _ => {
                *hashed.entry(key).or_insert(0) += key;
                *ordered.entry(key).or_insert(0) += key;
            }
        }
    }
    assert!(hashed.len() == ordered.len());
    sum.word(
        ordered
            .range(500..2000)
            .map(|(key, value)| key ^ value)
            .sum(),
    );
    sum.word(hashed.values().copied().fold(0, u64::wrapping_add));
}

fn strings(rng: &mut Rng, sum: &mut Checksum) {
    let mut counts = Hashed::<String, u32>::default();
    for _ in 0..1500 {
        *counts.entry(format!("key-{}", rng.below(400))).or_insert(0) += 1;
    }
    let ordered: BTreeMap<&str, u32> = counts
        .iter()
        .map(|(key, count)| (key.as_str(), *count))
        .collect();
    for (key, count) in ordered {
        sum.bytes(key.as_bytes());
        sum.word(u64::from(count));
    }
}

/// Shortest paths on a grid with random weights.
fn paths(rng: &mut Rng, sum: &mut Checksum) {
    const SIDE: usize = 40;
    let weights: alloc::vec::Vec<u64> = (0..SIDE * SIDE).map(|_| 1 + rng.below(9)).collect();
    let mut distance = alloc::vec![u64::MAX; SIDE * SIDE];
    let mut open = BinaryHeap::from([Reverse((0u64, 0usize))]);
    distance[0] = 0;
    while let Some(Reverse((reached, at))) = open.pop() {
        if reached > distance[at] {
            continue;
        }
        let (x, y) = (at % SIDE, at / SIDE);
        let next = [
            (x > 0).then(|| at - 1),
            (x + 1 < SIDE).then(|| at + 1),
            (y > 0).then(|| at - SIDE),
            (y + 1 < SIDE).then(|| at + SIDE),
        ];
        for to in next.into_iter().flatten() {
            let through = reached + weights[to];
            if through < distance[to] {
                distance[to] = through;
                open.push(Reverse((through, to)));
            }
        }
    }
    sum.word(distance[SIDE * SIDE - 1]);
}

/// One iteration is some 7,000 map operations and one search over 1,600 nodes.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(77);
    for _ in 0..iterations {
        integers(&mut rng, &mut sum);
        strings(&mut rng, &mut sum);
        paths(&mut rng, &mut sum);
    }
    sum.value()
}
