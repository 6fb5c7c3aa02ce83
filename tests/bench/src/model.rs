//! Results, as they are kept in JSON.

use crate::stats::{geometric_mean, median, range};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the layout of the JSON file.
pub const VERSION: u32 = 1;

/// A way of running a guest.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// The same source for this machine, without vectors and hash instructions.
    Native,
    /// The same source for this very processor, everything allowed.
    NativeFull,
    /// Translated without trace.
    Fast,
    /// Translated with the full trace, which is dropped when the ring is full.
    Trace,
    /// The same, with the trace written to a file.
    TraceFile,
    /// The RISC-V program under qemu-riscv64.
    Qemu,
}

impl Variant {
    /// All of them, in the order of reports.
    pub const ALL: [Variant; 6] = [
        Variant::Native,
        Variant::NativeFull,
        Variant::Fast,
        Variant::Trace,
        Variant::TraceFile,
        Variant::Qemu,
    ];

    /// Its name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Native => "native",
            Variant::NativeFull => "native-full",
            Variant::Fast => "fast",
            Variant::Trace => "trace",
            Variant::TraceFile => "trace-file",
            Variant::Qemu => "qemu",
        }
    }

    /// The clock for it, if this one is asked for. The thread that writes a trace works at the same
    /// time as the guest: only the wall clock tells how long both take.
    fn clock(self, asked: Clock) -> Clock {
        if self == Variant::TraceFile {
            Clock::Wall
        } else {
            asked
        }
    }

    /// Whether it is a program of the compiler under test.
    pub fn is_translated(self) -> bool {
        matches!(self, Variant::Fast | Variant::Trace | Variant::TraceFile)
    }
}

/// Wall-clock times of one guest run one way, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// The very first run, which is in no median.
    pub first: f64,
    /// The others, in the order in which they were made.
    pub wall: Vec<f64>,
    /// User and system time of the same runs.
    pub cpu: Vec<f64>,
}

/// What a translated program says of its run (`HARTLOG_STATS=1`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStats {
    /// Retired guest instructions.
    pub steps: u64,
    /// Of these, by the runtime's interpreter.
    pub interpreted: u64,
    /// Chunks sealed.
    pub chunks: u64,
    /// Bytes of read log.
    pub log_bytes: u64,
    /// Bytes of host events.
    pub event_bytes: u64,
}

/// What the compiler says of a translation (`--json`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Translation {
    /// Guest instructions in the text.
    pub instructions: u64,
    /// Bytes of guest text.
    pub text_bytes: u64,
    /// Bytes of host code.
    pub code_bytes: u64,
    /// All phases, in seconds, from the loaded ELF to the object in memory.
    pub seconds: f64,
}

/// Host instructions of a short run, counted by callgrind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// Retired guest instructions.
    pub steps: u64,
    /// Host instructions of the program without trace.
    pub fast: u64,
    /// Host instructions of the program with trace.
    pub trace: u64,
}

impl Count {
    /// Host instructions per guest instruction: without and with trace.
    pub fn per_step(&self) -> (f64, f64) {
        let steps = self.steps.max(1) as f64;
        (self.fast as f64 / steps, self.trace as f64 / steps)
    }
}

/// All about one guest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GuestResult {
    /// Name in the manifest.
    pub name: String,
    /// Group of the means.
    pub group: String,
    /// Arguments of the measured runs.
    pub args: Vec<String>,
    /// Counts in means.
    pub in_mean: bool,
    /// Counts in the mean of its group only: the same program is in another group, too.
    #[serde(default)]
    pub plain: bool,
    /// From the manifest.
    pub note: Option<String>,
    /// Figures of the run with trace (without, if only that was run).
    pub stats: Option<RunStats>,
    /// Translations by variant.
    pub translations: BTreeMap<Variant, Translation>,
    /// Times by variant.
    pub timings: BTreeMap<Variant, Timing>,
    /// Host instructions, if they were counted.
    pub count: Option<Count>,
}

impl GuestResult {
    fn samples(&self, variant: Variant, clock: Clock) -> Option<&[f64]> {
        let timing = self.timings.get(&variant)?;
        match variant.clock(clock) {
            Clock::Wall => Some(&timing.wall),
            Clock::Cpu => Some(&timing.cpu),
        }
    }

    /// Median time in seconds.
    pub fn seconds(&self, variant: Variant, clock: Clock) -> Option<f64> {
        median(self.samples(variant, clock)?)
    }

    /// Median time as a multiple of another variant's.
    pub fn ratio(&self, variant: Variant, to: Variant, clock: Clock) -> Option<f64> {
        let clock = to.clock(variant.clock(clock));
        Some(self.seconds(variant, clock)? / self.seconds(to, clock)?)
    }

    /// Lowest and highest of a variant's samples as multiples of its median.
    pub fn spread(&self, variant: Variant, clock: Clock) -> Option<(f64, f64)> {
        let samples = self.samples(variant, clock)?;
        let (median, (min, max)) = (median(samples)?, range(samples)?);
        Some((min / median, max / median))
    }

    /// The first run as a multiple of the median of the others.
    pub fn first(&self, variant: Variant) -> Option<f64> {
        Some(self.timings.get(&variant)?.first / self.seconds(variant, Clock::Wall)?)
    }

    /// Millions of guest instructions per second.
    pub fn mips(&self, variant: Variant, clock: Clock) -> Option<f64> {
        Some(self.stats?.steps as f64 / self.seconds(variant, clock)? / 1e6)
    }

    /// Bytes of read log per retired guest instruction.
    pub fn bytes_per_step(&self) -> Option<f64> {
        let stats = self.stats.filter(|s| s.chunks > 0)?;
        Some(stats.log_bytes as f64 / stats.steps as f64)
    }
}

/// Which time is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// From start to end of the process.
    #[default]
    Wall,
    /// User and system time: for machines on which others work too.
    Cpu,
}

/// Where and of what the results are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model name of the processor.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// Kernel release.
    pub kernel: String,
    /// First line of `rustc --version`.
    pub rustc: String,
    /// First line of `gcc --version`.
    pub gcc: String,
    /// Commit of the checkout, with `-dirty` if files were changed.
    pub commit: String,
    /// Seconds since 1970.
    pub unix_time: u64,
    /// Average number of busy processes over a minute, before and after.
    pub load: (f64, f64),
}

/// A file of results.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// Where and of what.
    pub machine: Machine,
    /// Which time ratios are made of.
    pub clock: Clock,
    /// Timed runs of each guest and variant.
    pub repeats: usize,
    /// Start to end of a program that prints a line, in seconds: by variant.
    pub startup: BTreeMap<Variant, f64>,
    /// By guest, in the order of the manifests.
    pub guests: Vec<GuestResult>,
}

/// A summary over guests.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    /// Guests counted.
    pub guests: usize,
    /// Geometric mean.
    pub mean: f64,
    /// The highest, and whose it is.
    pub max: (f64, String),
}

impl Results {
    /// The guests that count in the mean of a group, or in that over all.
    pub fn members<'a>(&'a self, group: Option<&'a str>) -> impl Iterator<Item = &'a GuestResult> {
        let counts = move |g: &&GuestResult| match group {
            Some(name) => g.in_mean && g.group == name,
            None => g.in_mean && !g.plain,
        };
        self.guests.iter().filter(counts)
    }

    /// Mean and maximum of a figure over the guests of a group (over all if `None`) that have
    /// it and count there.
    pub fn mean(
        &self,
        group: Option<&str>,
        figure: impl Fn(&GuestResult) -> Option<f64>,
    ) -> Option<Mean> {
        let values: Vec<(f64, &str)> = self
            .members(group)
            .filter_map(|g| Some((figure(g)?, g.name.as_str())))
            .collect();
        let mean = geometric_mean(values.iter().map(|v| v.0))?;
        let max = values.iter().max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(Mean {
            guests: values.len(),
            mean,
            max: (max.0, max.1.to_owned()),
        })
    }

    /// The groups, in the order in which they first come.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for guest in &self.guests {
            if !groups.contains(&guest.group.as_str()) {
                groups.push(&guest.group);
            }
        }
        groups
    }

    /// Whether any guest was run this way.
    pub fn has(&self, variant: Variant) -> bool {
        self.guests.iter().any(|g| g.timings.contains_key(&variant))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A guest with these medians.
    pub fn guest(name: &str, times: &[(Variant, f64)]) -> GuestResult {
        let timings = times.iter().map(|(variant, seconds)| {
            let timing = Timing {
                first: seconds * 1.5,
                wall: vec![seconds * 0.9, *seconds, seconds * 1.2],
                cpu: vec![seconds / 2.0],
            };
            (*variant, timing)
        });
        GuestResult {
            name: name.to_owned(),
            group: "C".to_owned(),
            in_mean: true,
            stats: Some(RunStats {
                steps: 3_000_000_000,
                chunks: 11_445,
                log_bytes: 1_500_000_000,
                ..RunStats::default()
            }),
            timings: timings.collect(),
            ..GuestResult::default()
        }
    }

    #[test]
    fn figures_of_a_guest() {
        let guest = guest("g", &[(Variant::Native, 1.0), (Variant::Trace, 1.5)]);
        let ratio = guest.ratio(Variant::Trace, Variant::Native, Clock::Wall);
        assert_eq!(ratio, Some(1.5));
        assert_eq!(
            guest.ratio(Variant::Fast, Variant::Native, Clock::Wall),
            None
        );
        assert_eq!(guest.mips(Variant::Trace, Clock::Wall), Some(2000.0));
        assert_eq!(guest.mips(Variant::Trace, Clock::Cpu), Some(4000.0));
        assert_eq!(guest.bytes_per_step(), Some(0.5));
        assert_eq!(guest.first(Variant::Trace), Some(1.5));
        let (low, high) = guest.spread(Variant::Native, Clock::Wall).expect("samples");
        assert!((low - 0.9).abs() < 1e-12 && (high - 1.2).abs() < 1e-12);
    }

    #[test]
    fn the_drain_is_measured_by_the_wall_clock() {
        let guest = guest("g", &[(Variant::Trace, 1.0), (Variant::TraceFile, 2.0)]);
        assert_eq!(guest.seconds(Variant::TraceFile, Clock::Cpu), Some(2.0));
        assert_eq!(guest.seconds(Variant::Trace, Clock::Cpu), Some(0.5));
        let ratio = guest.ratio(Variant::TraceFile, Variant::Trace, Clock::Cpu);
        assert_eq!(ratio, Some(2.0), "both by the wall clock");
    }

    #[test]
    fn means_leave_out_what_is_in_no_mean() {
        let mut odd = guest("odd", &[(Variant::Native, 1.0), (Variant::Fast, 9.0)]);
        odd.in_mean = false;
        let mut plain = guest("plain", &[(Variant::Native, 1.0), (Variant::Fast, 3.0)]);
        (plain.plain, plain.group) = (true, "as it comes".to_owned());
        let results = Results {
            guests: vec![
                guest("a", &[(Variant::Native, 1.0), (Variant::Fast, 4.0)]),
                guest("b", &[(Variant::Native, 4.0), (Variant::Fast, 4.0)]),
                odd,
                plain,
            ],
            ..Results::default()
        };
        let figure = |g: &GuestResult| g.ratio(Variant::Fast, Variant::Native, Clock::Wall);
        let mean = results.mean(None, figure).expect("two guests");
        assert_eq!(mean.guests, 2);
        assert!((mean.mean - 2.0).abs() < 1e-12);
        assert_eq!(mean.max, (4.0, "a".to_owned()));
        assert_eq!(results.mean(Some("Rust"), figure), None);
        let plain = results.mean(Some("as it comes"), figure).expect("a guest");
        assert_eq!(plain.max, (3.0, "plain".to_owned()));
    }

    #[test]
    fn json_gives_the_same_results_back() {
        let results = Results {
            version: VERSION,
            guests: vec![guest("a", &[(Variant::NativeFull, 0.1)])],
            startup: [(Variant::Fast, 0.001)].into(),
            ..Results::default()
        };
        let text = serde_json::to_string(&results).expect("no map with odd keys");
        assert_eq!(
            serde_json::from_str::<Results>(&text).expect("what was written"),
            results
        );
    }
}
