//! Smaller samples that may still fail.

use super::{Kind, Sample};

/// Samples with a run of items taken out, the longest first; then with simpler items and state.
pub fn smaller(sample: Sample) -> impl Iterator<Item = Sample> {
    let len = sample.items.len();
    let lengths = std::iter::successors(Some(len / 2), |n| Some(n / 2)).take_while(|n| *n > 0);
    let runs = lengths.flat_map(move |n| {
        (0..len)
            .step_by(n)
            .map(move |start| (start, (start + n).min(len)))
    });
    let original = sample.clone();
    let cut = runs.map(move |(start, end)| without(&original, start, end));
    let original = sample.clone();
    let simpler = (0..len).filter_map(move |i| simpler_item(&original, i));
    let original = sample.clone();
    let registers = (0..32).filter_map(move |r| {
        let mut s = original.clone();
        (std::mem::take(&mut s.x[r]) != 0).then_some(s)
    });
    let rest = [
        Sample {
            symbols: Vec::new(),
            ..sample.clone()
        },
        Sample {
            pointers: Default::default(),
            ..sample.clone()
        },
        Sample {
            order: (1..32).collect(),
            ..sample.clone()
        },
    ];
    let rest = rest.into_iter().filter(move |s| *s != sample);
    cut.chain(rest).chain(simpler).chain(registers)
}

fn without(sample: &Sample, start: usize, end: usize) -> Sample {
    let mut s = sample.clone();
    s.items.drain(start..end);
    s.retarget(|to| {
        let to = usize::from(to);
        (if to <= start {
            to
        } else {
            to.saturating_sub(end - start).max(start)
        }) as u16
    });
    s
}

fn simpler_item(sample: &Sample, i: usize) -> Option<Sample> {
    let mut s = sample.clone();
    let item = &mut s.items[i];
    if item.short && matches!(item.kind, Kind::Op(_) | Kind::To(..)) {
        item.short = false;
        return Some(s);
    }
    None
}
