//! Ratios to native as a bar chart.

use crate::model::{Results, Variant};
use std::fmt::Write;

/// Bars: variant, colour.
const BARS: [(Variant, &str); 3] = [
    (Variant::Fast, "#2f7ed8"),
    (Variant::Trace, "#0b3c6f"),
    (Variant::Qemu, "#c9ced6"),
];

const LEFT: f64 = 130.0;
const WIDTH: f64 = 640.0;
const TOP: f64 = 56.0;
const BAR: f64 = 7.0;
const GAP: f64 = 7.0;
/// Bars longer than this are cut off, and their length is written.
const MOST: f64 = 6.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// A bar for each variant of every guest: time as a multiple of native.
pub fn chart(results: &Results) -> String {
    let bars: Vec<_> = BARS.into_iter().filter(|b| results.has(b.0)).collect();
    let step = BAR * bars.len() as f64 + GAP;
    let bottom = TOP + step * results.guests.len() as f64;
    let x = |ratio: f64| LEFT + WIDTH * ratio.min(MOST) / MOST;
    let mut out = String::new();
    let (width, height) = (LEFT + WIDTH + 60.0, bottom + 40.0);
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">Time as a multiple of native code</text>"
    );
    for (i, (variant, colour)) in bars.iter().enumerate() {
        let left = LEFT + 130.0 * i as f64;
        let mean = results.mean(None, |g| g.ratio(*variant, Variant::Native, results.clock));
        let mean = mean.map_or_else(String::new, |m| format!(", mean {:.2}", m.mean));
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"37\">{}{mean}</text>",
            left + 14.0,
            variant.name()
        );
    }
    for tick in 0..=MOST as u32 {
        let at = x(f64::from(tick));
        let colour = if tick == 1 { "#444" } else { "#ddd" };
        let _ = writeln!(
            out,
            "<line x1=\"{at}\" y1=\"{}\" x2=\"{at}\" y2=\"{bottom}\" stroke=\"{colour}\"/>\
             <text x=\"{at}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            TOP - 6.0,
            bottom + 16.0
        );
    }
    for (i, guest) in results.guests.iter().enumerate() {
        let top = TOP + step * i as f64;
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            top + (step - GAP) / 2.0 + 4.0,
            escape(&guest.name)
        );
        for (k, (variant, colour)) in bars.iter().enumerate() {
            let Some(ratio) = guest.ratio(*variant, Variant::Native, results.clock) else {
                continue;
            };
            let y = top + BAR * k as f64;
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>",
                x(ratio) - LEFT,
                BAR - 1.0
            );
            if ratio > MOST {
                let _ = writeln!(
                    out,
                    "<text x=\"{}\" y=\"{}\" font-size=\"8\">{ratio:.1}</text>",
                    x(ratio) + 3.0,
                    y + BAR - 1.0
                );
            }
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tests::guest;

    #[test]
    fn bars_are_as_long_as_ratios_and_long_ones_are_cut() {
        let times = [
            (Variant::Native, 1.0),
            (Variant::Trace, 1.5),
            (Variant::Qemu, 12.0),
        ];
        let results = Results {
            guests: vec![guest("a<b", &times)],
            ..Results::default()
        };
        let svg = chart(&results);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("a&lt;b"));
        assert!(svg.contains(&format!("width=\"{:.1}\"", WIDTH * 1.5 / MOST)));
        assert!(svg.contains(&format!("width=\"{WIDTH:.1}\"")));
        assert!(svg.contains(">12.0</text>"));
        assert!(!svg.contains("fast"), "it was not run");
    }
}
