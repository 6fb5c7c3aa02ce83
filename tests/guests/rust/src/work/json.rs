//! JSON from the `serde_json` crate: untyped and typed parsing and writing.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use support::{Checksum, Rng};

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Transfer { to: u64, amount: i64 },
    Call(Vec<u8>),
    Nothing,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Record<'a> {
    id: u64,
    #[serde(borrow)]
    name: Cow<'a, str>,
    tags: Vec<String>,
    active: bool,
    parent: Option<u32>,
    #[serde(flatten)]
    limits: Limits,
    kind: Kind,
    notes: BTreeMap<String, i32>,
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Limits {
    low: i16,
    high: u32,
}

fn record(rng: &mut Rng, id: u64) -> Record<'static> {
    Record {
        id,
        name: format!("entry \"{}\"\n\t\u{e9}\u{1f600} {}", rng.below(1000), id).into(),
        tags: (0..rng.below(5))
            .map(|i| format!("tag{}", i * id))
            .collect(),
        active: rng.below(2) == 0,
        parent: (rng.below(3) > 0).then(|| rng.next_u64() as u32),
        limits: Limits {
            low: rng.next_u64() as i16,
            high: rng.next_u64() as u32,
        },
        kind: match rng.below(3) {
            0 => Kind::Transfer {
                to: rng.next_u64(),
                amount: rng.next_u64() as i64,
            },
            1 => Kind::Call((0..rng.below(12)).map(|_| rng.next_u64() as u8).collect()),
            _ => Kind::Nothing,
        },
        notes: (0..rng.below(4))
            .map(|i| (format!("n{i}"), rng.next_u64() as i32))
            .collect(),
    }
}

/// One iteration writes 40 records, reads them back typed and untyped, and writes both again.
pub fn run(iterations: u64) -> u64 {
    let mut sum = Checksum::new();
    let mut rng = Rng::new(8259);
    for round in 0..iterations {
        let records: Vec<_> = (0..40).map(|i| record(&mut rng, round * 40 + i)).collect();
        let text = serde_json::to_string(&records).expect("no failing Serialize");
        let typed: Vec<Record> = serde_json::from_str(&text).expect("written above");
        assert!(typed == records);
        let value: serde_json::Value = serde_json::from_str(&text).expect("written above");
        let pretty = serde_json::to_vec_pretty(&value).expect("no failing Serialize");
        let again: serde_json::Value = serde_json::from_slice(&pretty).expect("written above");
        assert!(again == value);
        let broken = &text[..text.len() - 1];
        let error = serde_json::from_str::<serde_json::Value>(broken).expect_err("cut off");
        sum.word(error.column() as u64);
        sum.bytes(text.as_bytes());
        sum.word(pretty.len() as u64);
    }
    sum.value()
}
