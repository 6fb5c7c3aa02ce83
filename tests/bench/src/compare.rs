//! What changed between two files of results.

use crate::model::{GuestResult, Results, Variant};
use std::fmt::Write;

/// Changes smaller than this are not marked, however calm the machine was.
const LEAST: f64 = 0.03;

/// A figure that is compared: name and how to get it.
struct Figure {
    name: &'static str,
    value: fn(&GuestResult, &Results) -> Option<f64>,
    /// The variant whose spread says how large a change must be.
    noise: Option<Variant>,
}

const FIGURES: [Figure; 4] = [
    Figure {
        name: "fast / native",
        value: |g, r| g.ratio(Variant::Fast, Variant::Native, r.clock),
        noise: Some(Variant::Fast),
    },
    Figure {
        name: "trace / native",
        value: |g, r| g.ratio(Variant::Trace, Variant::Native, r.clock),
        noise: Some(Variant::Trace),
    },
    Figure {
        name: "file / trace",
        value: |g, r| g.ratio(Variant::TraceFile, Variant::Trace, r.clock),
        noise: Some(Variant::TraceFile),
    },
    Figure {
        name: "bytes / instruction",
        value: |g, _| g.bytes_per_step(),
        noise: None,
    },
];

/// Half of the distance from lowest to highest sample, as a fraction of the median.
fn noise(guest: &GuestResult, results: &Results, variant: Variant) -> f64 {
    let spread = guest.spread(variant, results.clock);
    spread.map_or(0.0, |(low, high)| (high - low) / 2.0)
}

/// Markdown: each guest that both have, with old and new figures and the change in percent. A
/// change beyond the spread of both is marked: `+` better, `!` worse.
pub fn report(old: &Results, new: &Results) -> String {
    let there: Vec<&Figure> = FIGURES
        .iter()
        .filter(|f| {
            let has = |r: &Results| r.guests.iter().any(|g| (f.value)(g, r).is_some());
            has(old) && has(new)
        })
        .collect();
    let mut out = format!(
        "# What changed\n\nFrom commit {} to {}. Ratios of medians; **!** worse and **+** better \
         by more than {:.0} % and the spread of the runs.\n\n| guest |",
        old.machine.commit,
        new.machine.commit,
        LEAST * 100.0
    );
    for figure in &there {
        let _ = write!(out, " {} |", figure.name);
    }
    let _ = write!(out, "\n|---{}|\n", "|--:".repeat(there.len()));
    for guest in &new.guests {
        let Some(before) = old.guests.iter().find(|g| g.name == guest.name) else {
            continue;
        };
        let _ = write!(out, "| {} |", guest.name);
        for figure in &there {
            let values = (figure.value)(before, old).zip((figure.value)(guest, new));
            let threshold = figure.noise.map_or(0.0, |variant| {
                noise(before, old, variant).max(noise(guest, new, variant))
            });
            let _ = write!(out, " {} |", cell(values, threshold.max(LEAST)));
        }
        out.push('\n');
    }
    out.push_str("| geometric mean |");
    for figure in &there {
        // Over the guests that both have, else the means are of different things.
        let mean = |of: &Results, other: &Results| {
            let both = |g: &GuestResult| {
                let counterpart = other.guests.iter().find(|o| o.name == g.name)?;
                (figure.value)(counterpart, other)?;
                (figure.value)(g, of)
            };
            of.mean(None, both).map(|m| m.mean)
        };
        let values = mean(old, new).zip(mean(new, old));
        let _ = write!(out, " {} |", cell(values, f64::INFINITY));
    }
    let names = |r: &Results, other: &Results| {
        let only = r.guests.iter().map(|g| g.name.as_str());
        let only: Vec<&str> = only
            .filter(|n| !other.guests.iter().any(|g| g.name == *n))
            .collect();
        only.join(", ")
    };
    out.push('\n');
    for (what, list) in [("Only before", names(old, new)), ("New", names(new, old))] {
        if !list.is_empty() {
            let _ = write!(out, "\n{what}: {list}.\n");
        }
    }
    out
}

fn cell(values: Option<(f64, f64)>, threshold: f64) -> String {
    let Some((old, new)) = values else {
        return "–".to_owned();
    };
    let change = new / old - 1.0;
    let mark = match change {
        c if c > threshold => " **!**",
        c if c < -threshold => " **+**",
        _ => "",
    };
    format!("{old:.2} → {new:.2} ({:+.1} %){mark}", 100.0 * change)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::guest;

    fn results(guests: &[(&str, f64)]) -> Results {
        let guests = guests
            .iter()
            .map(|(name, trace)| guest(name, &[(Variant::Native, 1.0), (Variant::Trace, *trace)]));
        Results {
            guests: guests.collect(),
            ..Results::default()
        }
    }

    #[test]
    fn only_changes_beyond_the_spread_are_marked() {
        // Samples are 90 to 120 % of the median: changes up to 15 % are noise.
        let old = results(&[("a", 2.0), ("b", 2.0), ("c", 2.0)]);
        let new = results(&[("a", 2.2), ("b", 2.4), ("c", 1.6)]);
        let text = report(&old, &new);
        assert!(text.contains("| a | 2.00 → 2.20 (+10.0 %) |"), "{text}");
        assert!(
            text.contains("| b | 2.00 → 2.40 (+20.0 %) **!** |"),
            "{text}"
        );
        assert!(
            text.contains("| c | 2.00 → 1.60 (-20.0 %) **+** |"),
            "{text}"
        );
    }

    #[test]
    fn means_are_over_guests_that_both_have() {
        let old = results(&[("a", 2.0), ("gone", 9.0)]);
        let new = results(&[("a", 3.0), ("fresh", 1.0)]);
        let text = report(&old, &new);
        assert!(
            text.contains("| geometric mean | 2.00 → 3.00 (+50.0 %) |"),
            "{text}"
        );
        assert!(
            text.contains("Only before: gone.") && text.contains("New: fresh."),
            "{text}"
        );
    }
}
