//! Results as Markdown.

use crate::model::{Clock, GuestResult, Mean, Results, Variant};
use std::fmt::Write;

/// What the project wants to reach, and how it is read from results.
struct Goal {
    what: &'static str,
    goal: f64,
    /// The figure, and in words where it is from.
    value: fn(&Results) -> Option<(f64, String)>,
    /// Figures above the goal are good.
    more_is_better: bool,
}

fn ratio(variant: Variant, to: Variant) -> impl Fn(&Results) -> Option<Mean> {
    move |r| r.mean(None, |g| g.ratio(variant, to, r.clock))
}

fn mean_of(mean: Option<Mean>) -> Option<(f64, String)> {
    mean.map(|m| (m.mean, format!("geometric mean of {} guests", m.guests)))
}

fn max_of(mean: Option<Mean>) -> Option<(f64, String)> {
    mean.map(|m| (m.max.0, m.max.1))
}

/// Smallest number of guest instructions for which the speed of the compiler is a figure: below,
/// it is that of starting.
const LARGE_TEXT: u64 = 50_000;

const GOALS: [Goal; 11] = [
    Goal {
        what: "fast / native, mean",
        goal: 1.35,
        value: |r| mean_of(ratio(Variant::Fast, Variant::Native)(r)),
        more_is_better: false,
    },
    Goal {
        what: "fast / native, highest",
        goal: 2.0,
        value: |r| max_of(ratio(Variant::Fast, Variant::Native)(r)),
        more_is_better: false,
    },
    Goal {
        what: "trace / native, mean",
        goal: 1.5,
        value: |r| mean_of(ratio(Variant::Trace, Variant::Native)(r)),
        more_is_better: false,
    },
    Goal {
        what: "trace / native, highest",
        goal: 2.5,
        value: |r| max_of(ratio(Variant::Trace, Variant::Native)(r)),
        more_is_better: false,
    },
    Goal {
        what: "trace / qemu, highest",
        goal: 1.0,
        value: |r| max_of(ratio(Variant::Trace, Variant::Qemu)(r)),
        more_is_better: false,
    },
    Goal {
        what: "trace to file / trace, highest",
        goal: 1.3,
        value: |r| max_of(ratio(Variant::TraceFile, Variant::Trace)(r)),
        more_is_better: false,
    },
    Goal {
        what: "first run / later runs with trace, mean",
        goal: 1.05,
        value: |r| mean_of(r.mean(None, |g| g.first(Variant::Trace))),
        more_is_better: false,
    },
    Goal {
        what: "bytes of log per instruction, mean",
        goal: 1.0,
        value: |r| mean_of(r.mean(None, GuestResult::bytes_per_step)),
        more_is_better: false,
    },
    Goal {
        what: "M guest instructions translated per second, lowest of large programs",
        goal: 5.0,
        value: |r| {
            let all = r.guests.iter().filter_map(|g| {
                let t = g.translations.get(&Variant::Trace)?;
                let speed = t.instructions as f64 / t.seconds / 1e6;
                (t.instructions >= LARGE_TEXT).then(|| (speed, g.name.clone()))
            });
            all.min_by(|a, b| a.0.total_cmp(&b.0))
        },
        more_is_better: true,
    },
    Goal {
        what: "bytes of host code per byte of guest text with trace, mean",
        goal: 8.0,
        value: |r| {
            mean_of(r.mean(None, |g| {
                let t = g.translations.get(&Variant::Trace)?;
                Some(t.code_bytes as f64 / t.text_bytes as f64)
            }))
        },
        more_is_better: false,
    },
    Goal {
        what: "start to end of a program that prints a line, with trace, ms",
        goal: 5.0,
        value: |r| {
            let seconds = r.startup.get(&Variant::Trace)?;
            Some((seconds * 1e3, "hello".to_owned()))
        },
        more_is_better: false,
    },
];

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.decimals$}"))
}

fn row(out: &mut String, cells: &[String]) {
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

/// A head of columns, of which the first is text.
fn head(out: &mut String, names: &[&str]) {
    let _ = writeln!(out, "| {} |", names.join(" | "));
    let _ = writeln!(out, "|---{}|", "|--:".repeat(names.len() - 1));
}

/// The whole report.
pub fn report(results: &Results) -> String {
    let mut out = String::from("# Guests against native code\n\n");
    conditions(&mut out, results);
    goals(&mut out, results);
    means(&mut out, results);
    guests(&mut out, results);
    noise(&mut out, results);
    counts(&mut out, results);
    translations(&mut out, results);
    out
}

fn conditions(out: &mut String, results: &Results) {
    let m = &results.machine;
    let clock = match results.clock {
        Clock::Wall => "wall-clock time from start to end of the process",
        Clock::Cpu => "user and system time of the process",
    };
    let _ = writeln!(
        out,
        "Commit {}; {}, {} cores, Linux {}; {}; {}. Load {:.1} before and {:.1} after.\n\n\
         Each guest runs {} times in every variant, in turns, pinned to one core (the writer of \
         traces has another where there is one); medians of {clock}. The output of every run is \
         compared with that of the native program. native: the same source by gcc -O3 or rustc \
         -O without vectors and hash instructions; native-full: -march=native, everything allowed.\n",
        m.commit,
        m.processor,
        m.cores,
        m.kernel,
        m.rustc,
        m.gcc,
        m.load.0,
        m.load.1,
        results.repeats
    );
}

fn goals(out: &mut String, results: &Results) {
    out.push_str("## Goals\n\n");
    head(out, &["figure", "goal", "measured", "", "of"]);
    for goal in &GOALS {
        let Some((value, of)) = (goal.value)(results) else {
            continue;
        };
        let met = (value <= goal.goal) != goal.more_is_better || value == goal.goal;
        let (sign, met) = match (goal.more_is_better, met) {
            (true, true) => ("≥", "met"),
            (true, false) => ("≥", "not met"),
            (false, true) => ("≤", "met"),
            (false, false) => ("≤", "not met"),
        };
        row(
            out,
            &[
                goal.what.to_owned(),
                format!("{sign} {}", goal.goal),
                format!("{value:.3}"),
                met.to_owned(),
                of,
            ],
        );
    }
    out.push('\n');
}

/// Columns of ratios: name, variant, what it is divided by.
const RATIOS: [(&str, Variant, Variant); 7] = [
    ("fast / native", Variant::Fast, Variant::Native),
    ("trace / native", Variant::Trace, Variant::Native),
    ("fast / full", Variant::Fast, Variant::NativeFull),
    ("trace / full", Variant::Trace, Variant::NativeFull),
    ("file / trace", Variant::TraceFile, Variant::Trace),
    ("qemu / native", Variant::Qemu, Variant::Native),
    ("full / native", Variant::NativeFull, Variant::Native),
];

fn ratio_columns(results: &Results) -> Vec<(&'static str, Variant, Variant)> {
    let there = |c: &(&str, Variant, Variant)| results.has(c.1) && results.has(c.2);
    RATIOS.into_iter().filter(there).collect()
}

fn means(out: &mut String, results: &Results) {
    let columns = ratio_columns(results);
    out.push_str("## Geometric means\n\n");
    let mut names = vec!["guests", "number"];
    names.extend(columns.iter().map(|c| c.0));
    names.extend(["MIPS fast", "MIPS trace", "bytes / instruction"]);
    head(out, &names);
    let groups = results.groups();
    let all = (groups.len() > 1).then_some(None);
    for group in groups.iter().map(|g| Some(*g)).chain(all) {
        let mean = |figure: &dyn Fn(&GuestResult) -> Option<f64>| {
            results.mean(group, figure).map(|m| m.mean)
        };
        let mut cells = vec![
            group.unwrap_or("all").to_owned(),
            results.members(group).count().to_string(),
        ];
        for &(_, variant, to) in &columns {
            cells.push(number(mean(&|g| g.ratio(variant, to, results.clock)), 2));
        }
        for variant in [Variant::Fast, Variant::Trace] {
            cells.push(number(mean(&|g| g.mips(variant, results.clock)), 0));
        }
        cells.push(number(mean(&GuestResult::bytes_per_step), 2));
        row(out, &cells);
    }
    if let Some(worst) = ratio(Variant::Trace, Variant::Native)(results) {
        let _ = writeln!(
            out,
            "\nHighest trace / native: {:.2} ({}).",
            worst.max.0, worst.max.1
        );
    }
    out.push('\n');
}

fn guests(out: &mut String, results: &Results) {
    let columns = ratio_columns(results);
    out.push_str("## By guest\n\n");
    let mut names = vec!["guest", "M instructions", "native ms"];
    names.extend(columns.iter().map(|c| c.0));
    names.extend(["MIPS fast", "MIPS trace", "chunks", "bytes / instruction"]);
    head(out, &names);
    for guest in &results.guests {
        let star = if guest.in_mean { "" } else { " *" };
        let native = guest.seconds(Variant::Native, results.clock);
        let mut cells = vec![
            format!("{}{star}", guest.name),
            number(guest.stats.map(|s| s.steps as f64 / 1e6), 0),
            number(native.map(|s| s * 1e3), 0),
        ];
        for &(_, variant, to) in &columns {
            cells.push(number(guest.ratio(variant, to, results.clock), 2));
        }
        for variant in [Variant::Fast, Variant::Trace] {
            cells.push(number(guest.mips(variant, results.clock), 0));
        }
        let chunks = guest.stats.map(|s| s.chunks as f64);
        cells.push(number(chunks, 0));
        cells.push(number(guest.bytes_per_step(), 2));
        row(out, &cells);
    }
    out.push('\n');
    for guest in results.guests.iter().filter(|g| !g.in_mean) {
        let note = guest.note.as_deref().unwrap_or("in no mean");
        let _ = writeln!(out, "\\* {}: {note}.", guest.name);
    }
    out.push('\n');
}

fn noise(out: &mut String, results: &Results) {
    let variants: Vec<Variant> = Variant::ALL
        .into_iter()
        .filter(|v| results.has(*v))
        .collect();
    out.push_str(
        "## First run and spread\n\nLowest and highest run as percent of the median; the first \
         run as a multiple of it.\n\n",
    );
    let mut names = vec!["guest"];
    names.extend(variants.iter().map(|v| v.name()));
    let first = [Variant::Fast, Variant::Trace].map(|v| (v, format!("first {}", v.name())));
    names.extend(first.iter().map(|f| f.1.as_str()));
    head(out, &names);
    for guest in &results.guests {
        let mut cells = vec![guest.name.clone()];
        for &variant in &variants {
            let spread = guest.spread(variant, results.clock);
            cells.push(spread.map_or_else(
                || "–".to_owned(),
                |(low, high)| format!("{:.0}–{:.0}", low * 100.0, high * 100.0),
            ));
        }
        for (variant, _) in &first {
            cells.push(number(guest.first(*variant), 2));
        }
        row(out, &cells);
    }
    out.push('\n');
}

fn counts(out: &mut String, results: &Results) {
    let counted: Vec<_> = results
        .guests
        .iter()
        .filter_map(|g| Some((g, g.count?)))
        .collect();
    if counted.is_empty() {
        return;
    }
    out.push_str("## Host instructions per guest instruction\n\nBy callgrind, of a short run.\n\n");
    head(out, &["guest", "steps", "fast", "trace"]);
    for (guest, count) in &counted {
        let (fast, trace) = count.per_step();
        row(
            out,
            &[
                guest.name.clone(),
                count.steps.to_string(),
                format!("{fast:.3}"),
                format!("{trace:.3}"),
            ],
        );
    }
    let mean = |figure: fn(&crate::model::Count) -> f64| {
        results
            .mean(None, |g| g.count.as_ref().map(figure))
            .map(|m| m.mean)
    };
    row(
        out,
        &[
            "geometric mean".to_owned(),
            String::new(),
            number(mean(|c| c.per_step().0), 3),
            number(mean(|c| c.per_step().1), 3),
        ],
    );
    out.push('\n');
}

fn translations(out: &mut String, results: &Results) {
    out.push_str(
        "## Translation\n\nThe fastest of three, from the loaded ELF to the object in memory.\n\n",
    );
    head(
        out,
        &[
            "guest",
            "instructions",
            "ms",
            "M instructions / s",
            "host bytes / guest byte, fast",
            "trace",
        ],
    );
    let per_byte = |g: &GuestResult, mode| {
        let t = g.translations.get(&mode)?;
        Some(t.code_bytes as f64 / t.text_bytes as f64)
    };
    for guest in &results.guests {
        let Some(t) = guest.translations.get(&Variant::Trace) else {
            continue;
        };
        row(
            out,
            &[
                guest.name.clone(),
                t.instructions.to_string(),
                format!("{:.1}", t.seconds * 1e3),
                format!("{:.2}", t.instructions as f64 / t.seconds / 1e6),
                number(per_byte(guest, Variant::Fast), 2),
                number(per_byte(guest, Variant::Trace), 2),
            ],
        );
    }
    if !results.startup.is_empty() {
        let times: Vec<String> = results
            .startup
            .iter()
            .map(|(variant, s)| format!("{} {:.2} ms", variant.name(), s * 1e3))
            .collect();
        let _ = writeln!(
            out,
            "\nStart to end of a program that prints a line, process creation included: {}.",
            times.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::guest;

    fn results(trace: f64) -> Results {
        let times = [
            (Variant::Native, 1.0),
            (Variant::Fast, 1.25),
            (Variant::Trace, trace),
        ];
        Results {
            guests: vec![guest("sieve", &times)],
            repeats: 3,
            ..Results::default()
        }
    }

    #[test]
    fn goals_are_judged() {
        let text = report(&results(1.4));
        assert!(
            text.contains("| trace / native, mean | ≤ 1.5 | 1.400 | met |"),
            "{text}"
        );
        let text = report(&results(1.6));
        assert!(
            text.contains("| trace / native, mean | ≤ 1.5 | 1.600 | not met |"),
            "{text}"
        );
        assert!(!text.contains("trace / qemu"), "qemu was not run");
    }

    #[test]
    fn the_table_has_the_guest_with_its_figures() {
        let text = report(&results(1.5));
        let row = "| sieve | 3000 | 1000 | 1.25 | 1.50 | 2400 | 2000 | 11445 | 0.50 |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("Highest trace / native: 1.50 (sieve)."));
        assert!(
            text.contains("| sieve | 90–120 | 90–120 | 90–120 | 1.50 | 1.50 |"),
            "{text}"
        );
    }

    #[test]
    fn rows_have_as_many_cells_as_their_head() {
        let text = report(&results(1.5));
        for table in text.split("\n\n").filter(|p| p.starts_with('|')) {
            let cells: Vec<_> = table.lines().map(|l| l.matches('|').count()).collect();
            assert!(cells.iter().all(|n| n == &cells[0]), "{table}");
        }
    }
}
