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

/// Suffix of guests whose compiler was told nothing about the hart.
const PLAIN: &str = "_plain";

/// Words of a note by which a manifest takes a guest out of means.
const NOT_IN_MEAN: &str = "leave it out of a mean";

impl Guest {
    /// Group under which its ratios are averaged.
    pub fn group(&self) -> &'static str {
        match self.language {
            Language::C if self.name.ends_with(BITMANIP) => "C, Zba Zbb Zbs",
            Language::C if self.is_plain() => "C, default flags",
            Language::C => "C",
            Language::Rust if self.name.ends_with(BITMANIP) => "Rust, Zba Zbb Zbs",
            Language::Rust if self.is_plain() => "Rust, default flags",
            Language::Rust => "Rust",
        }
    }

    /// Whether its compiler was told nothing about the hart. There is the same program for which it
    /// was told.
    pub fn is_plain(&self) -> bool {
        self.name.ends_with(PLAIN)
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

/// Those of which the directory has an ELF file (`NAME.elf`), with that file.
///
/// # Errors
/// [`Error::NoElf`] if it has none.
pub fn with_elfs(guests: Vec<Guest>, dir: &Path) -> Result<Vec<Guest>, Error> {
    let there = guests.into_iter().filter_map(|mut guest| {
        guest.elf = dir.join(format!("{}.elf", guest.name));
        guest.elf.is_file().then_some(guest)
    });
    let there: Vec<Guest> = there.collect();
    if there.is_empty() {
        return Err(Error::NoElf(dir.to_owned()));
    }
    Ok(there)
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
    fn elf_files_of_a_directory_replace_the_prebuilt_ones() {
        let dir = std::env::temp_dir().join(format!("hartlog-elfs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary directory");
        let none = with_elfs(all(), &dir);
        assert!(matches!(none, Err(Error::NoElf(at)) if at == dir));
        std::fs::write(dir.join("aes.elf"), "").expect("a file");
        let guests = with_elfs(all(), &dir).expect("one guest");
        assert_eq!(guests.len(), 1);
        assert_eq!(
            (&*guests[0].name, &guests[0].elf),
            ("aes", &dir.join("aes.elf"))
        );
        std::fs::remove_dir_all(&dir).expect("it is there");
    }

    #[test]
    fn a_plain_guest_has_a_namesake_that_is_not() {
        let guests = all();
        let plain: Vec<&Guest> = guests.iter().filter(|g| g.is_plain()).collect();
        assert!(!plain.is_empty());
        for guest in plain {
            let name = guest.name.trim_end_matches(PLAIN);
            let other = guests.iter().find(|g| g.name == name).expect(name);
            assert_eq!(
                (&other.native, &other.bench_args),
                (&guest.native, &guest.bench_args)
            );
            assert_ne!(other.group(), guest.group());
        }
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
