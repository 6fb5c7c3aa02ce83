//! The figures as text and as a chart.

use super::store::ROW_BYTES;
use super::{Figures, GuestFigures, Kind, Sample};
use crate::stats::geometric_mean;
use std::fmt::Write;

fn number(sample: Option<&Sample>) -> String {
    sample.map_or_else(|| "–".to_owned(), |s| format!("{:.0}", s.median))
}

/// Largest distance from the median, as a part of it.
fn spread(samples: impl Iterator<Item = Sample>) -> f64 {
    let relative = |s: Sample| {
        let far = (s.high - s.median).max(s.median - s.low);
        if s.median > 0.0 { far / s.median } else { 0.0 }
    };
    samples.map(relative).fold(0.0, f64::max)
}

/// The report.
pub fn markdown(figures: &Figures) -> String {
    let mut out = String::new();
    let machine = &figures.machine;
    let _ = writeln!(
        out,
        "# Replay\n\n{}, {} cores, Linux {}, commit {}; load {:.1} before, {:.1} after.\n\n\
         Million guest instructions per second of processor time on one core; medians. Columns are \
         explained in docs/replay.md.\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.commit,
        machine.load.0,
        machine.load.1
    );
    let _ = write!(out, "| guest | log B/step | producer |");
    let _ = Kind::ALL
        .iter()
        .try_for_each(|k| write!(out, " {} |", k.name()));
    let _ = write!(out, " bare / producer |\n|---|--:|--:|");
    let _ = Kind::ALL.iter().try_for_each(|_| write!(out, "--:|"));
    let _ = writeln!(out, "--:|");
    let ratio = |g: &GuestFigures| {
        let bare = g.replays.get(&Kind::Bare)?.median;
        (g.producer.median > 0.0).then(|| bare / g.producer.median)
    };
    for guest in &figures.guests {
        let _ = write!(
            out,
            "| {} | {:.2} | {} |",
            guest.name,
            guest.log_per_step,
            number(Some(&guest.producer))
        );
        for kind in Kind::ALL {
            let _ = write!(out, " {} |", number(guest.replays.get(&kind)));
        }
        let _ = writeln!(out, " {:.2} |", ratio(guest).unwrap_or_default());
    }
    let mean = |of: &dyn Fn(&GuestFigures) -> Option<f64>| {
        geometric_mean(figures.guests.iter().filter_map(of)).unwrap_or_default()
    };
    let _ = write!(
        out,
        "| **geometric mean** | | {:.0} |",
        mean(&|g| Some(g.producer.median))
    );
    for kind in Kind::ALL {
        let _ = write!(
            out,
            " {:.0} |",
            mean(&|g| g.replays.get(&kind).map(|s| s.median))
        );
    }
    let _ = writeln!(out, " {:.2} |\n", mean(&ratio));
    let all = figures.guests.iter();
    let samples = all.flat_map(|g| g.replays.values().copied().chain([g.producer]));
    let _ = writeln!(
        out,
        "Largest distance of a run from its median: {:.0} %.\n",
        100.0 * spread(samples)
    );
    let rows = mean(&|g| g.replays.get(&Kind::Rows).map(|s| s.median));
    let _ = writeln!(
        out,
        "Rows have {ROW_BYTES} bytes: {:.1} GB/s at {rows:.0} M rows/s. A loop that stores the same \
         columns and computes nothing: {:.0} M rows/s ({:.1} GB/s); wide stores into a batch: \
         {:.1} GB/s.\n",
        rows * ROW_BYTES as f64 / 1e3,
        figures.store_rows.median,
        figures.store_rows.median * ROW_BYTES as f64 / 1e3,
        figures.store_fill.median
    );
    scaling(figures, &mut out);
    live(figures, &mut out);
    out
}

fn scaling(figures: &Figures, out: &mut String) {
    let jobs = jobs(figures);
    let _ = write!(
        out,
        "Speed of a check without memory (from a file in memory) by the wall clock, in MIPS, and the part of perfect \
         scaling:\n\n| guest |"
    );
    let _ = jobs.iter().try_for_each(|n| write!(out, " {n} |"));
    let _ = write!(out, "\n|---|");
    let _ = jobs.iter().try_for_each(|_| write!(out, "--:|"));
    let _ = writeln!(out);
    for guest in &figures.guests {
        let _ = write!(out, "| {} |", guest.name);
        for n in &jobs {
            let speed = number(guest.scaling.get(n));
            let part = efficiency(guest, *n).unwrap_or_default();
            let _ = write!(out, " {speed} ({:.0} %) |", 100.0 * part);
        }
        let _ = writeln!(out);
    }
    let _ = write!(out, "| **mean** |");
    for n in &jobs {
        let parts = figures.guests.iter().filter_map(|g| efficiency(g, *n));
        let mean = geometric_mean(parts).unwrap_or_default();
        let _ = write!(out, " {:.0} % |", 100.0 * mean);
    }
    let _ = writeln!(out);
}

fn live(figures: &Figures, out: &mut String) {
    let guests = figures.guests.iter();
    let runs: Vec<_> = guests
        .filter_map(|g| Some((g.name.as_str(), g.live?)))
        .collect();
    if runs.is_empty() {
        out.push_str("\nLive runs: not measured, there is only one core.\n");
        return;
    }
    let _ = writeln!(
        out,
        "\nLive runs with one thread that replays, on a core of its own, by the wall clock; peak resident memory of \
         the replayer, its ring included:\n\n\
         | guest | trace to nowhere s | live, no memory s | ratio | live, full check s | ratio | peak MB |\n\
         |---|--:|--:|--:|--:|--:|--:|"
    );
    let ratio = |a: Sample, b: Sample| {
        if b.median > 0.0 {
            a.median / b.median
        } else {
            0.0
        }
    };
    for (name, live) in &runs {
        let _ = writeln!(
            out,
            "| {name} | {:.3} | {:.3} | {:.2} | {:.3} | {:.2} | {:.0} |",
            live.nowhere.median,
            live.verify.median,
            ratio(live.verify, live.nowhere),
            live.check.median,
            ratio(live.check, live.nowhere),
            live.peak.high
        );
    }
    let mean = |of: &dyn Fn(&super::live::Live) -> f64| {
        geometric_mean(runs.iter().map(|(_, live)| of(live))).unwrap_or_default()
    };
    let _ = writeln!(
        out,
        "| **geometric mean** | | | {:.2} | | {:.2} | |\n\nLargest distance of a live run from its median: {:.0} %.",
        mean(&|l| ratio(l.verify, l.nowhere)),
        mean(&|l| ratio(l.check, l.nowhere)),
        100.0
            * spread(
                runs.iter()
                    .flat_map(|(_, l)| [l.nowhere, l.verify, l.check])
            )
    );
}

fn jobs(figures: &Figures) -> Vec<usize> {
    let first = figures.guests.first();
    first.map_or_else(Vec::new, |g| g.scaling.keys().copied().collect())
}

/// Speed of `n` threads as a part of `n` times that of one.
fn efficiency(guest: &GuestFigures, n: usize) -> Option<f64> {
    let one = guest.scaling.get(&1)?.median;
    let many = guest.scaling.get(&n)?.median;
    (one > 0.0).then(|| many / one / n as f64)
}

const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const SIDE: f64 = 320.0;
const COLOURS: [&str; 6] = [
    "#2f7ed8", "#0b3c6f", "#8bbc21", "#c42525", "#f28f43", "#77a1e5",
];

/// How fast several threads are, as a multiple of one, with the line of perfect scaling.
pub fn chart(figures: &Figures) -> String {
    let jobs = jobs(figures);
    let most = jobs.last().copied().unwrap_or(1).max(2) as f64;
    let x = |n: f64| LEFT + SIDE * (n - 1.0) / (most - 1.0);
    let y = |speed: f64| TOP + SIDE - SIDE * speed.min(most) / most;
    let mut out = String::new();
    let (width, height) = (LEFT + SIDE + 160.0, TOP + SIDE + 50.0);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">Compiled replay: speed as a multiple of one thread</text>\n\
         <line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" stroke=\"#bbb\" stroke-dasharray=\"4\"/>",
        x(1.0),
        y(1.0),
        x(most),
        y(most)
    );
    for n in &jobs {
        let at = *n as f64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{n}</text>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{n}</text>",
            x(at),
            TOP + SIDE + 18.0,
            LEFT - 8.0,
            y(at) + 4.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">threads</text>",
        LEFT + SIDE / 2.0,
        TOP + SIDE + 38.0
    );
    for (i, guest) in figures.guests.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let points: Vec<String> = jobs
            .iter()
            .filter_map(|n| {
                let speed = efficiency(guest, *n)? * *n as f64;
                Some(format!("{:.1},{:.1}", x(*n as f64), y(speed)))
            })
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            LEFT + SIDE + 12.0,
            TOP + 14.0 * i as f64 + 10.0,
            guest.name
        );
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        let sample = |median| Sample {
            median,
            low: median,
            high: 1.5 * median,
        };
        let guest = GuestFigures {
            name: "one".to_owned(),
            steps: 10,
            log_per_step: 0.5,
            producer: sample(1000.0),
            replays: [(Kind::Bare, sample(2000.0)), (Kind::Rows, sample(500.0))].into(),
            scaling: [(1, sample(100.0)), (2, sample(150.0))].into(),
            live: Some(super::super::live::Live {
                nowhere: sample(2.0),
                verify: sample(2.5),
                check: sample(8.0),
                peak: sample(40.0),
            }),
        };
        Figures {
            guests: vec![guest],
            ..Figures::default()
        }
    }

    #[test]
    fn ratios_means_and_efficiency_are_in_the_report() {
        let text = markdown(&figures());
        for part in [
            "| one | 0.50 | 1000 | 2000 |",
            " 2.00 |",
            "100 (100 %) | 150 (75 %)",
            "50 %.",
            "26.0 GB/s at 500 M rows/s",
            "| one | 2.000 | 2.500 | 1.25 | 8.000 | 4.00 | 60 |",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn lines_end_where_the_speed_is() {
        let svg = chart(&figures());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        let half = format!("{:.1},{:.1}", LEFT, TOP + SIDE / 2.0);
        let three_quarters = format!("{:.1},{:.1}", LEFT + SIDE, TOP + SIDE / 4.0);
        assert!(svg.contains(&format!("{half} {three_quarters}")), "{svg}");
    }
}
