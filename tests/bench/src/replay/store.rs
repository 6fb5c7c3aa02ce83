//! What this machine can store: the bound for witness rows.

use super::seconds;
use ::replay::witness::BATCH_ROWS;
use nix::time::ClockId;
use std::hint::black_box;

/// Batches that are written.
const ROUNDS: usize = 20_000;

/// Bytes of a batch of rows: a pc of 32 bits and six columns of 64.
pub const ROW_BYTES: usize = 4 + 6 * 8;

/// Million rows a second that are stored by a loop that computes nothing, one store for each field
/// of a row, and GB/s of memory of that size filled with wide stores.
pub fn measure() -> (f64, f64) {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    let mut pc = vec![0u32; BATCH_ROWS];
    let mut columns: [Vec<u64>; 6] = std::array::from_fn(|_| vec![0u64; BATCH_ROWS]);
    let start = seconds(clock);
    for round in 0..ROUNDS {
        let [a, b, c, d, e, f] = &mut columns;
        let rows = pc.iter_mut().zip(a).zip(b).zip(c).zip(d).zip(e).zip(f);
        for ((((((pc, a), b), c), d), e), f) in rows {
            // Opaque: else several rows would go into one wide store.
            let value = black_box(round as u64);
            *pc = value as u32;
            (*a, *b, *c) = (value, value, value);
            (*d, *e, *f) = (value, value, value);
        }
        black_box((&mut pc, &mut columns));
    }
    let rows = (ROUNDS * BATCH_ROWS) as f64 / (seconds(clock) - start) / 1e6;
    let mut batch = vec![0u64; BATCH_ROWS * ROW_BYTES / 8];
    let start = seconds(clock);
    for round in 0..ROUNDS {
        batch.fill(black_box(round as u64));
        black_box(&mut batch);
    }
    let bytes = (ROUNDS * batch.len() * 8) as f64;
    (rows, bytes / (seconds(clock) - start) / 1e9)
}
