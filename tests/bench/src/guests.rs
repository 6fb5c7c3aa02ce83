//! The guests' manifests.

use crate::error::Error;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What kind of source a guest has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// guests-c.json.
    C,
    /// guests-rust.json.
    Rust,
}

impl Language {
    const ALL: [(Language, &str); 2] = [
        (Language::C, "guests-c.json"),
        (Language::Rust, "guests-rust.json"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Language::C => "C",
            Language::Rust => "Rust",
        }
    }
}

#[derive(Deserialize)]
struct Manifest {
    guests: Vec<Row>,
}

/// A row of a manifest; other fields are for the tests.
#[derive(Deserialize)]
struct Row {
    name: String,
    elf: PathBuf,
    kind: String,
    args: Vec<String>,
    bench_args: Option<Vec<String>>,
    native: Option<String>,
    stdin: Option<PathBuf>,
    exit: Option<i32>,
    stdout: Option<PathBuf>,
    note: Option<String>,
}

/// A guest that can be measured.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Name in the manifest.
    pub name: String,
    /// Language of the source.
    pub language: Language,
    /// The RISC-V executable.
    pub elf: PathBuf,
    /// Arguments of a short run.
    pub args: Vec<String>,
    /// Arguments of a long run.
    pub bench_args: Vec<String>,
    /// File name of the native build of the same source.
    pub native: String,
    /// Standard input, if any.
    pub stdin: Option<PathBuf>,
    /// Exit status of the short run.
    pub exit: i32,
    /// File with the output of the short run.
    pub expected: PathBuf,
    /// Counts in means over guests.
    pub in_mean: bool,
    /// What is special about it.
    pub note: Option<String>,
}

/// Suffix of guests built with Zba, Zbb and Zbs.
const BITMANIP: &str = "_zb";

/// Words of a note by which a manifest takes a guest out of means.
const NOT_IN_MEAN: &str = "leave it out of a mean";

impl Guest {
    /// Group under which its ratios are averaged.
    pub fn group(&self) -> &'static str {
        match (self.language, self.name.ends_with(BITMANIP)) {
            (Language::C, false) => "C",
            (Language::C, true) => "C, Zba Zbb Zbs",
            (Language::Rust, false) => "Rust",
            (Language::Rust, true) => "Rust, Zba Zbb Zbs",
        }
    }
}

/// Every compute guest, in the order of the manifests under `tests/guests` of this checkout.
///
/// # Errors
/// [`Error::File`], [`Error::Json`].
pub fn load(root: &Path) -> Result<Vec<Guest>, Error> {
    let dir = root.join("tests/guests");
    let mut guests = Vec::new();
    for (language, file) in Language::ALL {
        let path = dir.join(file);
        let text = std::fs::read_to_string(&path).map_err(Error::file(&path))?;
        let manifest: Manifest =
            serde_json::from_str(&text).map_err(|source| Error::Json { path, source })?;
        for row in manifest.guests {
            if row.kind != "compute" {
                continue;
            }
            let (Some(bench_args), Some(stdout)) = (row.bench_args, row.stdout) else {
                continue;
            };
            let note = row.note;
            guests.push(Guest {
                native: row.native.unwrap_or_else(|| row.name.clone()),
                name: row.name,
                language,
                elf: dir.join(row.elf),
                args: row.args,
                bench_args,
                stdin: row.stdin.map(|s| dir.join(s)),
                exit: row.exit.unwrap_or(0),
                expected: dir.join(stdout),
                in_mean: !note.as_deref().is_some_and(|n| n.contains(NOT_IN_MEAN)),
                note,
            });
        }
    }
    Ok(guests)
}

/// Those with these names, in this order.
///
/// # Errors
/// [`Error::UnknownGuest`].
pub fn select(all: &[Guest], names: &[String]) -> Result<Vec<Guest>, Error> {
    let find = |name: &String| {
        let found = all.iter().find(|g| g.name == *name);
        found
            .cloned()
            .ok_or_else(|| Error::UnknownGuest(name.clone()))
    };
    names.iter().map(find).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Guest> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        load(&root).expect("the manifests of this checkout")
    }

    #[test]
    fn both_manifests_have_guests_whose_files_exist() {
        let guests = all();
        for language in [Language::C, Language::Rust] {
            assert!(guests.iter().filter(|g| g.language == language).count() >= 10);
        }
        for guest in guests {
            assert!(guest.elf.is_file(), "{}", guest.elf.display());
            assert!(guest.expected.is_file(), "{}", guest.expected.display());
        }
    }

    #[test]
    fn floating_point_is_in_no_mean() {
        let guests = all();
        for name in ["nbody", "mandelbrot", "int128div"] {
            let guest = guests.iter().find(|g| g.name == name).expect(name);
            assert!(!guest.in_mean, "{name}");
        }
        assert!(guests.iter().filter(|g| g.in_mean).count() > 40);
    }

    #[test]
    fn selection_keeps_the_order_asked_for() {
        let names = ["keccak".to_owned(), "aes".to_owned()];
        let chosen = select(&all(), &names).expect("both exist");
        assert!(chosen.iter().map(|g| &g.name).eq(&names));
        let unknown = select(&all(), &["no_such_guest".to_owned()]);
        assert!(matches!(unknown, Err(Error::UnknownGuest(name)) if name == "no_such_guest"));
    }
}
