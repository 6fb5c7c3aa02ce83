//! Benchmarks of translated guests against native code, and their instruction counts.
//!
//! * [`guests`]: the manifests; [`prepare`]: what must be built first;
//! * [`measure`]: timed runs; [`counts`]: host instructions by callgrind;
//! * [`replay`]: speed of replay;
//! * [`model`]: the results and figures derived from them; [`stats`], [`machine`];
//! * [`markdown`], [`svg`], [`compare`]: reports.
#![forbid(unsafe_code)]

mod compare;
mod counts;
mod error;
mod guests;
mod machine;
mod markdown;
mod measure;
mod model;
mod prepare;
mod replay;
mod stats;
mod svg;

use clap::{Args, Parser, Subcommand};
use counts::Counter;
use error::Error;
use guests::{Guest, Language};
use measure::Runner;
use model::{Clock, Results, Variant};
use prepare::Places;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measures translated guests.
#[derive(Parser)]
#[command(name = "hartlog-bench", version)]
struct Cli {
    /// The checkout
    #[arg(long, global = true, hide = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))]
    root: PathBuf,
    /// The compiler under test [default: the one beside this program]
    #[arg(long, global = true, value_name = "PROGRAM")]
    compiler: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(RunArgs),
    Counts(CountsArgs),
    Replay(replay::ReplayArgs),
}

/// Runs guests in every variant, pinned and in turns, and reports times, ratios and sizes.
///
/// Native programs are built from the same sources by tests/guests/build-c and build-rust. A
/// report in Markdown goes to standard output; with --out, it is also written to a directory,
/// with JSON and a chart.
#[derive(Args)]
#[command(
    override_usage = "scripts/bench [OPTIONS]",
    after_help = "Examples:
  scripts/bench --quick                          a dozen guests, three times each
  scripts/bench --guests sha256,json --repeats 9
  scripts/bench --out out/bench                  everything: report.md, results.json, ratios.svg
  scripts/bench --compare out/bench/results.json what changed since
  scripts/bench --from NEW.json --compare OLD.json   the same, of results that are there"
)]
struct RunArgs {
    /// Guests to measure [default: all compute guests of the manifests]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    guests: Vec<String>,
    /// Measure the guests as they are in this directory (NAME.elf), not the prebuilt ones: those that
    /// `tests/guests/build-c --plain DIR` or `build-rust --plain DIR` made
    #[arg(long, value_name = "DIR")]
    elfs: Option<PathBuf>,
    /// A dozen guests of every kind, three times, without trace files and native-full
    #[arg(long, conflicts_with = "guests")]
    quick: bool,
    /// Timed runs of each guest and variant, after a first one [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Ways of running guests [default: all; qemu if it is installed]
    #[arg(long, value_name = "VARIANT,...", value_delimiter = ',', value_enum)]
    variants: Vec<Variant>,
    /// Time that ratios are made of
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// Core to pin to [default: the last that is allowed]
    #[arg(long, value_name = "N")]
    core: Option<usize>,
    /// Where traces are written, and removed at once [default: /dev/shm]
    ///
    /// A trace that would fill a quarter of what is free there is not written: the guest then has
    /// no figure for trace-file.
    #[arg(long, value_name = "DIR")]
    trace_dir: Option<PathBuf>,
    /// Also count host instructions of a short run under callgrind
    #[arg(long)]
    callgrind: bool,
    /// Directory for report.md, results.json and ratios.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Report also what changed since these results
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Measure nothing: report these results
    #[arg(long, value_name = "RESULTS.json", conflicts_with_all = ["guests", "elfs", "quick", "variants", "callgrind"])]
    from: Option<PathBuf>,
}

/// Counts host instructions of the guests' short runs under callgrind and compares them, per guest
/// instruction, with those recorded in tests/bench/counts.json.
///
/// Counts have no noise: one that grew by more than the tolerance is an error. Without valgrind
/// nothing is done, which is said.
#[derive(Args)]
#[command(
    override_usage = "scripts/callgrind-check [OPTIONS]",
    after_help = "Examples:
  scripts/callgrind-check                 as CI does
  scripts/callgrind-check --update        record the counts of this checkout
  scripts/callgrind-check --guests json,lz
  scripts/callgrind-check --native --guests keccak,rust_sha3

Exit status: 0 as good as recorded or better, 1 worse."
)]
struct CountsArgs {
    /// Guests to count [default: all compute guests but the longest]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    guests: Vec<String>,
    /// Write the counts to the file
    #[arg(long, conflicts_with = "guests")]
    update: bool,
    /// Count the native programs, too, and print guest and host instructions for each native one;
    /// nothing is compared
    #[arg(long, conflicts_with_all = ["update", "tolerance"])]
    native: bool,
    /// Growth that is no error, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    tolerance: f64,
}

/// Guests of `--quick`.
const QUICK: [&str; 12] = [
    "sha256",
    "keccak_zb",
    "field256",
    "bigdiv",
    "qsort",
    "interp_goto",
    "evm",
    "chase",
    "strmem",
    "json",
    "recursion",
    "lz",
];

/// Translations of each guest and mode, of which the fastest counts.
const TRANSLATIONS: usize = 3;

/// Runs from which the start-up time is taken.
const STARTUP_RUNS: usize = 41;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Run(args) => run(&cli, args),
        Command::Counts(args) => count(&cli, args),
        Command::Replay(args) => replay::run(&cli.root, cli.compiler.clone(), args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("hartlog-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, args: &RunArgs) -> Result<(), Error> {
    let results = match &args.from {
        Some(path) => read(path)?,
        None => measure(cli, args)?,
    };
    let report = markdown::report(&results);
    println!("{report}");
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
        let put = |name: &str, text: String| {
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(Error::file(&path))
        };
        put("report.md", report)?;
        put("ratios.svg", svg::chart(&results))?;
        let json = serde_json::to_string_pretty(&results);
        let path = dir.join("results.json");
        put(
            "results.json",
            json.map_err(|source| Error::Json { path, source })? + "\n",
        )?;
    }
    if let Some(old) = &args.compare {
        println!("{}", compare::report(&read(old)?, &results));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Results, Error> {
    let text = std::fs::read_to_string(path).map_err(Error::file(path))?;
    serde_json::from_str(&text).map_err(|source| Error::Json {
        path: path.to_owned(),
        source,
    })
}

/// The variants that are asked for and can be run here.
fn variants(args: &RunArgs, qemu: Option<&Path>) -> Result<Vec<Variant>, Error> {
    let chosen: Vec<Variant> = Variant::ALL
        .into_iter()
        .filter(|v| match v {
            _ if !args.variants.is_empty() => args.variants.contains(v),
            Variant::NativeFull | Variant::TraceFile => !args.quick,
            _ => true,
        })
        .collect();
    if qemu.is_some() || !chosen.contains(&Variant::Qemu) {
        return Ok(chosen);
    }
    if args.variants.contains(&Variant::Qemu) {
        return Err(Error::Missing("qemu-riscv64"));
    }
    eprintln!("qemu-riscv64 is not installed: measured without");
    Ok(chosen.into_iter().filter(|v| *v != Variant::Qemu).collect())
}

fn measure(cli: &Cli, args: &RunArgs) -> Result<Results, Error> {
    let all = guests::load(&cli.root)?;
    let all = match &args.elfs {
        Some(dir) => guests::with_elfs(all, dir)?,
        None => all,
    };
    let names = if args.quick {
        QUICK.map(str::to_owned).to_vec()
    } else {
        args.guests.clone()
    };
    let guests = if names.is_empty() {
        all
    } else {
        guests::select(&all, &names)?
    };
    let cores = machine::allowed_cores()?;
    let core = args.core.or(cores.last().copied()).unwrap_or(0);
    let places = Places::find(&cli.root, cli.compiler.clone())?;
    let qemu = machine::find_program("qemu-riscv64");
    let variants = variants(args, qemu.as_deref())?;
    let repeats = args
        .repeats
        .map_or(if args.quick { 3 } else { 5 }, usize::from);
    let memory = Some(PathBuf::from("/dev/shm")).filter(|dir| dir.is_dir());
    let trace_dir = args.trace_dir.clone().or(memory);
    let runner = Runner {
        trace_dir: trace_dir.unwrap_or_else(|| places.cache.clone()),
        places,
        core,
        other: cores.iter().copied().rfind(|c| *c != core),
        qemu,
    };
    let mut machine = machine::describe(&cli.root, cores.len());
    let counter = if args.callgrind {
        Some(Counter::find(&runner.places).ok_or(Error::Missing("valgrind"))?)
    } else {
        None
    };
    build(&runner.places, &guests, &variants)?;
    let mut results = Results {
        version: model::VERSION,
        clock: args.clock,
        repeats,
        startup: startup(&runner, &variants)?,
        ..Results::default()
    };
    for (i, guest) in guests.iter().enumerate() {
        eprint!("[{}/{}] {}", i + 1, guests.len(), guest.name);
        let mut translations = BTreeMap::new();
        for mode in modes(&variants) {
            let output = runner.places.program(guest, mode);
            let mut best = prepare::translate(&runner.places, &guest.elf, mode, &output)?;
            for _ in 1..TRANSLATIONS {
                let again = prepare::translate(&runner.places, &guest.elf, mode, &output)?;
                best.seconds = best.seconds.min(again.seconds);
            }
            translations.insert(mode, best);
        }
        let count = counter
            .as_ref()
            .map(|c| c.count(guest))
            .transpose()?
            .flatten();
        let mut result = runner.measure(guest, &variants, repeats)?;
        result.translations = translations;
        result.count = count;
        for variant in [Variant::Fast, Variant::Trace] {
            if let Some(ratio) = result.ratio(variant, Variant::Native, args.clock) {
                eprint!("  {} {ratio:.2}", variant.name());
            }
        }
        eprintln!();
        results.guests.push(result);
    }
    machine.load.1 = machine::load();
    results.machine = machine;
    Ok(results)
}

/// The translations that variants need.
fn modes(variants: &[Variant]) -> Vec<Variant> {
    let fast = variants.contains(&Variant::Fast);
    let trace = variants.contains(&Variant::Trace) || variants.contains(&Variant::TraceFile);
    let wanted = [(Variant::Fast, fast), (Variant::Trace, trace)];
    wanted.into_iter().filter(|w| w.1).map(|w| w.0).collect()
}

fn build(places: &Places, guests: &[Guest], variants: &[Variant]) -> Result<(), Error> {
    for language in [Language::C, Language::Rust] {
        if !guests.iter().any(|g| g.language == language) {
            continue;
        }
        for native in [Variant::Native, Variant::NativeFull] {
            if variants.contains(&native) {
                eprintln!("building {} guests: {}", language.name(), native.name());
                prepare::natives(places, language, native)?;
            }
        }
    }
    Ok(())
}

/// Median time of a program that prints a line, by variant.
fn startup(runner: &Runner, variants: &[Variant]) -> Result<BTreeMap<Variant, f64>, Error> {
    let dir = runner.places.root.join("tests/guests");
    let hello = Guest {
        name: "hello".to_owned(),
        language: Language::C,
        elf: dir.join("prebuilt/c/hello.elf"),
        args: Vec::new(),
        bench_args: Vec::new(),
        native: "hello".to_owned(),
        stdin: None,
        exit: 0,
        expected: dir.join("expected/c/hello.out"),
        in_mean: false,
        note: None,
    };
    let mut startup = BTreeMap::new();
    for mode in modes(variants) {
        let output = runner.places.program(&hello, mode);
        prepare::translate(&runner.places, &hello.elf, mode, &output)?;
        let result = runner.measure(&hello, &[mode], STARTUP_RUNS)?;
        if let Some(seconds) = result.seconds(mode, Clock::Wall) {
            startup.insert(mode, seconds);
        }
    }
    Ok(startup)
}

fn count(cli: &Cli, args: &CountsArgs) -> Result<(), Error> {
    let places = Places::find(&cli.root, cli.compiler.clone())?;
    let Some(counter) = Counter::find(&places) else {
        println!("skipped: valgrind is not installed");
        return Ok(());
    };
    let all = guests::load(&cli.root)?;
    let guests = if args.guests.is_empty() {
        counts::counted(&all)
    } else {
        guests::select(&all, &args.guests)?
    };
    if args.native {
        println!(
            "{:<16} {:>12} {:>8} {:>8} {:>8}",
            "guest", "native", "steps", "fast", "trace"
        );
        for guest in &guests {
            if let Some(count) = counter.count(guest)? {
                let native = counter.native(guest)?;
                println!("{}", counts::line_with_native(&guest.name, &count, native));
            }
        }
        return Ok(());
    }
    let path = cli.root.join("tests/bench/counts.json");
    let recorded = if args.update {
        counts::Counts::new()
    } else {
        counts::read(&path)?
    };
    let mut new = counts::Counts::new();
    for guest in &guests {
        match counter.count(guest)? {
            Some(count) => {
                new.insert(guest.name.clone(), count);
            }
            None if recorded.contains_key(&guest.name) => {
                return Err(Error::Wrong {
                    guest: guest.name.clone(),
                    variant: "callgrind".to_owned(),
                    what: "it is recorded, but cannot be run any more".to_owned(),
                });
            }
            None => println!(
                "{}: not counted, it cannot be run under valgrind",
                guest.name
            ),
        }
    }
    let comparison = counts::compare(&counts::read(&path)?, &new, args.tolerance / 100.0);
    print!("{}", comparison.text);
    if args.update {
        counts::write(&path, &new)?;
        println!("recorded in {}", path.display());
        return Ok(());
    }
    if comparison.better > 0 {
        println!(
            "{} counts are lower than recorded, or new: --update keeps them",
            comparison.better
        );
    }
    match comparison.grown {
        0 => Ok(()),
        grown => Err(Error::Grown(grown)),
    }
}
