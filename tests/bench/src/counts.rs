//! Host instructions of translated programs, counted by callgrind: a figure without noise.

use crate::error::Error;
use crate::guests::Guest;
use crate::machine::find_program;
use crate::measure::stats_line;
use crate::model::{Count, Variant};
use crate::prepare::{self, Places};
use hartlog_format::status::exit;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Guests whose short run is a long one: they are not counted unless asked for.
const LONG: [&str; 1] = ["rust_all"];

/// Guests whose counts are kept.
pub fn counted(all: &[Guest]) -> Vec<Guest> {
    let short = all.iter().filter(|g| !LONG.contains(&g.name.as_str()));
    short.cloned().collect()
}

/// Counts by guest.
pub type Counts = BTreeMap<String, Count>;

/// Counts by callgrind.
#[derive(Clone, Debug)]
pub struct Counter {
    valgrind: PathBuf,
    places: Places,
}

impl Counter {
    /// A counter, if valgrind is installed.
    pub fn find(places: &Places) -> Option<Counter> {
        Some(Counter {
            valgrind: find_program("valgrind")?,
            places: places.clone(),
        })
    }

    /// Runs a guest's program with its short run's arguments: instructions, and what it left.
    fn total(&self, guest: &Guest, program: &Path) -> Result<(Option<u64>, Output), Error> {
        let file = self.places.cache.join(format!("{}.callgrind", guest.name));
        let mut command = Command::new(&self.valgrind);
        command.args(["--tool=callgrind", "--quiet"]);
        command.arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(program).args(&guest.args);
        command.env_clear().env("HARTLOG_STATS", "1");
        // Under valgrind memory cannot be locked beyond the limit: not of interest here.
        command.env("HARTLOG_QUIET", "1");
        // Nor does it know filters for system calls, and it makes calls of its own.
        command.env("HARTLOG_FILTER", "0");
        let output = command.output().map_err(|source| Error::Start {
            program: self.valgrind.display().to_string(),
            source,
        })?;
        let text = std::fs::read_to_string(&file).map_err(Error::file(&file))?;
        // Many guests' files would fill the cache for nothing.
        let _ = std::fs::remove_file(&file);
        Ok((total(&text), output))
    }

    /// Host instructions and steps of a guest's short run, translated in this mode; `None` if it
    /// cannot be run under valgrind. That has memory of its own in the low 4 GiB, and does `bts`,
    /// `btr`, `btc` and `bt` with two registers by way of the stack, which `rsp`, a counter in
    /// generated code, does not point to.
    ///
    /// # Errors
    /// Those of [`prepare::translate`]; [`Error::Start`], [`Error::File`]; [`Error::Wrong`] for a
    /// run that is not as expected.
    fn run(&self, guest: &Guest, mode: Variant) -> Result<Option<(u64, u64)>, Error> {
        let program = self.places.program(guest, mode);
        prepare::translate(&self.places, &guest.elf, mode, &program)?;
        let (total, output) = self.total(guest, &program)?;
        let status = output.status.code();
        let limits = [exit::HOST, exit::FAULT_LOAD, exit::INTERNAL].map(i32::from);
        if status.is_some_and(|s| s != guest.exit && limits.contains(&s)) {
            return Ok(None);
        }
        let total = self.expected(guest, mode, total, &output)?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let stats =
            stats_line(&stderr).ok_or_else(|| wrong(guest, mode, "no figures of the run"))?;
        Ok(Some((total, stats.steps)))
    }

    /// The total of a run whose output and exit status have to be as the manifest says.
    fn expected(
        &self,
        guest: &Guest,
        variant: Variant,
        total: Option<u64>,
        output: &Output,
    ) -> Result<u64, Error> {
        let expected = std::fs::read(&guest.expected).map_err(Error::file(&guest.expected))?;
        if output.stdout != expected || output.status.code() != Some(guest.exit) {
            let what = "output or exit status are not those expected";
            return Err(wrong(guest, variant, what));
        }
        total.ok_or_else(|| wrong(guest, variant, "callgrind gave no total"))
    }

    /// Instructions of the native program in a guest's short run, start and end included.
    ///
    /// # Errors
    /// Those of [`prepare::natives`]; [`Error::Start`], [`Error::File`]; [`Error::Wrong`] for a run
    /// that is not as expected.
    pub fn native(&self, guest: &Guest) -> Result<u64, Error> {
        prepare::natives(&self.places, guest.language, Variant::Native)?;
        let program = self.places.program(guest, Variant::Native);
        let (total, output) = self.total(guest, &program)?;
        self.expected(guest, Variant::Native, total, &output)
    }

    /// Counts a guest; `None` if it cannot be run under valgrind.
    ///
    /// # Errors
    /// [`Error::Wrong`] and what stops a run from being made.
    pub fn count(&self, guest: &Guest) -> Result<Option<Count>, Error> {
        let Some((fast, steps)) = self.run(guest, Variant::Fast)? else {
            return Ok(None);
        };
        let Some((trace, _)) = self.run(guest, Variant::Trace)? else {
            return Ok(None);
        };
        Ok(Some(Count { steps, fast, trace }))
    }
}

fn wrong(guest: &Guest, variant: Variant, what: &str) -> Error {
    Error::Wrong {
        guest: guest.name.clone(),
        variant: format!("{} under callgrind", variant.name()),
        what: what.to_owned(),
    }
}

/// A line of the table of [`Counter::native`]: instructions of the guest, and of the host without
/// and with trace, for each of the native program.
pub fn line_with_native(name: &str, count: &Count, native: u64) -> String {
    let per = |n: u64| n as f64 / native as f64;
    format!(
        "{name:<16} {native:>12} {:>8.2} {:>8.2} {:>8.2}",
        per(count.steps),
        per(count.fast),
        per(count.trace)
    )
}

/// The total in a file of callgrind: its events are instructions only.
fn total(file: &str) -> Option<u64> {
    let line = file.lines().find_map(|l| {
        l.strip_prefix("totals:")
            .or_else(|| l.strip_prefix("summary:"))
    })?;
    line.trim().parse().ok()
}

/// Reads recorded counts; none if there is no such file.
///
/// # Errors
/// [`Error::File`], [`Error::Json`].
pub fn read(path: &Path) -> Result<Counts, Error> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Counts::new()),
        text => text.map_err(Error::file(path))?,
    };
    serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// Writes counts, a line for each guest.
///
/// # Errors
/// [`Error::File`].
pub fn write(path: &Path, counts: &Counts) -> Result<(), Error> {
    std::fs::write(path, json(counts)).map_err(Error::file(path))
}

fn json(counts: &Counts) -> String {
    let lines: Vec<String> = counts
        .iter()
        .map(|(name, c)| {
            format!(
                "  \"{name}\": {{\"steps\": {}, \"fast\": {}, \"trace\": {}}}",
                c.steps, c.fast, c.trace
            )
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// How new counts compare with those recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// A table.
    pub text: String,
    /// Counts that grew by more than the tolerance, or have other steps.
    pub grown: usize,
    /// Counts that shrank by more than the tolerance, or are new.
    pub better: usize,
}

/// Compares; `tolerance` is a fraction. Counts are compared per guest instruction, so that a guest
/// that was changed can be told from code that got worse; but a changed guest must be recorded.
pub fn compare(old: &Counts, new: &Counts, tolerance: f64) -> Comparison {
    let mut text = format!(
        "{:<16} {:>12} {:>8} {:>8} {:>8} {:>8}\n",
        "guest", "steps", "fast", "", "trace", ""
    );
    let (mut grown, mut better) = (0, 0);
    for (name, count) in new {
        let (fast, trace) = count.per_step();
        let known = old.get(name);
        let mut change = |now: f64, before: fn(&Count) -> f64| {
            let Some(known) = known else {
                better += 1;
                return "new".to_owned();
            };
            let change = now / before(known) - 1.0;
            if change > tolerance {
                grown += 1;
            } else if change < -tolerance {
                better += 1;
            }
            format!("{:+.2} %", 100.0 * change)
        };
        let fast_change = change(fast, |c| c.per_step().0);
        let trace_change = change(trace, |c| c.per_step().1);
        text.push_str(&format!(
            "{name:<16} {:>12} {fast:>8.3} {fast_change:>8} {trace:>8.3} {trace_change:>8}",
            count.steps
        ));
        if let Some(known) = known.filter(|k| k.steps != count.steps) {
            grown += 1;
            text.push_str(&format!("  recorded with {} steps", known.steps));
        }
        text.push('\n');
    }
    Comparison {
        text,
        grown,
        better,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guests;

    fn counts(fast: u64, trace: u64) -> Counts {
        let steps = 1000;
        [("g".to_owned(), Count { steps, fast, trace })].into()
    }

    #[test]
    fn the_total_is_found() {
        let file = "version: 1\nevents: Ir\nfn=(1) f\n1 20\nsummary: 1234\n\ntotals: 1234\n";
        assert_eq!(total(file), Some(1234));
        assert_eq!(total("events: Ir Dr\ntotals: 12 5\n"), None);
    }

    #[test]
    fn growth_beyond_the_tolerance_is_counted() {
        let old = counts(1000, 2000);
        assert_eq!(compare(&old, &counts(1009, 2019), 0.01).grown, 0);
        assert_eq!(compare(&old, &counts(1011, 2021), 0.01).grown, 2);
        let less = compare(&old, &counts(900, 2000), 0.01);
        assert_eq!((less.grown, less.better), (0, 1));
        assert_eq!(compare(&Counts::new(), &old, 0.01).better, 2);
    }

    #[test]
    fn another_number_of_steps_must_be_recorded() {
        let mut other = counts(2000, 4000);
        if let Some(count) = other.get_mut("g") {
            count.steps = 2000;
        }
        let comparison = compare(&counts(1000, 2000), &other, 0.01);
        assert_eq!(comparison.grown, 1);
        assert!(comparison.text.contains("recorded with 1000 steps"));
    }

    #[test]
    fn counts_are_set_against_native_ones() {
        let (steps, fast, trace) = (300, 400, 500);
        let line = line_with_native("g", &Count { steps, fast, trace }, 200);
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields, ["g", "200", "1.50", "2.00", "2.50"]);
    }

    #[test]
    fn written_counts_are_read_again() {
        let counts = counts(5, 6);
        assert_eq!(
            serde_json::from_str::<Counts>(&json(&counts)).expect("JSON"),
            counts
        );
    }

    #[test]
    fn most_guests_are_recorded_and_every_record_is_of_a_guest() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let all = guests::load(&root).expect("the manifests");
        let counted = counted(&all);
        assert!(counted.len() < all.len() && counted.len() > 40);
        let recorded = read(&root.join("tests/bench/counts.json")).expect("the file");
        assert!(recorded.len() * 10 > counted.len() * 8);
        for name in recorded.keys() {
            assert!(counted.iter().any(|g| g.name == *name), "{name}");
        }
    }
}
