//! Everything that must be built before it is measured: native programs and translations.

use crate::error::Error;
use crate::guests::{Guest, Language};
use crate::model::{Translation, Variant};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The checkout.
    pub root: PathBuf,
    /// The compiler under test.
    pub compiler: PathBuf,
    /// What is built here is kept below this.
    pub cache: PathBuf,
}

impl Places {
    /// The compiler stands beside this program; the cache is in the same target directory.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn find(root: &Path, compiler: Option<PathBuf>) -> Result<Places, Error> {
        let exe = std::env::current_exe().map_err(Error::file("this program"))?;
        let release = exe.parent().unwrap_or(Path::new("."));
        let target = release.parent().unwrap_or(release);
        let places = Places {
            root: root.to_owned(),
            compiler: compiler.unwrap_or_else(|| release.join("compiler")),
            cache: target.join("bench"),
        };
        std::fs::create_dir_all(&places.cache).map_err(Error::file(&places.cache))?;
        Ok(places)
    }

    /// The program that runs a guest this way.
    pub fn program(&self, guest: &Guest, variant: Variant) -> PathBuf {
        match variant {
            Variant::Native | Variant::NativeFull => {
                self.native_dir(guest.language, variant).join(&guest.native)
            }
            Variant::TraceFile => self.program(guest, Variant::Trace),
            Variant::Fast | Variant::Trace => self.cache.join(variant.name()).join(&guest.name),
            Variant::Qemu => guest.elf.clone(),
        }
    }

    fn native_dir(&self, language: Language, variant: Variant) -> PathBuf {
        let language = language.name().to_lowercase();
        self.cache.join(format!("{}-{language}", variant.name()))
    }
}

/// Runs a command to its end.
///
/// # Errors
/// [`Error::Start`], [`Error::Failed`].
pub fn run(command: &mut Command) -> Result<Output, Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|source| Error::Start { program, source })?;
    if output.status.success() {
        return Ok(output);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    Err(Error::Failed {
        command: format!("{command:?}"),
        status: output.status.to_string(),
        stderr: lines[lines.len().saturating_sub(20)..].join("\n"),
    })
}

/// Builds the native programs of a language, unless those that are there are newer than every
/// source.
///
/// # Errors
/// Those of [`run`]; [`Error::File`].
pub fn natives(places: &Places, language: Language, variant: Variant) -> Result<(), Error> {
    let guests = places.root.join("tests/guests");
    let dir = places.native_dir(language, variant);
    let (script, sources) = match language {
        Language::C => ("build-c", "c"),
        Language::Rust => ("build-rust", "rust"),
    };
    let script = guests.join(script);
    let stamp = dir.join(".built");
    if let Ok(built) = modified(&stamp)
        && built > modified(&script)?
        && built > newest(&guests.join(sources))?
    {
        return Ok(());
    }
    let option = format!("--{}", variant.name());
    let mut command = Command::new(&script);
    command.arg(option).arg(&dir);
    // The guests' own crates, apart from those of this workspace.
    command.env("CARGO_TARGET_DIR", places.cache.join("guests-rust"));
    run(&mut command)?;
    std::fs::write(&stamp, "").map_err(Error::file(&stamp))
}

fn modified(path: &Path) -> Result<SystemTime, Error> {
    std::fs::metadata(path)
        .and_then(|m| m.modified())
        .map_err(Error::file(path))
}

/// When the newest file of a tree was changed.
fn newest(dir: &Path) -> Result<SystemTime, Error> {
    let mut latest = modified(dir)?;
    for entry in std::fs::read_dir(dir).map_err(Error::file(dir))? {
        let entry = entry.map_err(Error::file(dir))?;
        let kind = entry.file_type().map_err(Error::file(entry.path()))?;
        let time = if kind.is_dir() {
            newest(&entry.path())?
        } else {
            modified(&entry.path())?
        };
        latest = latest.max(time);
    }
    Ok(latest)
}

#[derive(Deserialize)]
struct Statistics {
    instructions: u64,
    text_bytes: u64,
    code_bytes: u64,
    microseconds: std::collections::BTreeMap<String, u64>,
}

/// Translates and links an ELF: mode `fast` or `trace`.
///
/// # Errors
/// Those of [`run`]; [`Error::Json`] for figures that cannot be read.
pub fn translate(
    places: &Places,
    elf: &Path,
    mode: Variant,
    output: &Path,
) -> Result<Translation, Error> {
    let dir = output.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(Error::file(dir))?;
    let mut command = Command::new(&places.compiler);
    command.arg(elf).args(["--quiet", "--link", "--json"]);
    command.args(["--mode", mode.name(), "-o"]).arg(output);
    let done = run(&mut command)?;
    let statistics: Statistics =
        serde_json::from_slice(&done.stdout).map_err(|source| Error::Json {
            path: places.compiler.clone(),
            source,
        })?;
    let microseconds: u64 = statistics.microseconds.values().sum();
    Ok(Translation {
        instructions: statistics.instructions,
        text_bytes: statistics.text_bytes,
        code_bytes: statistics.code_bytes,
        seconds: microseconds as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_tell_command_status_and_message() {
        let error = run(Command::new("sh").args(["-c", "echo oh no >&2; exit 7"]));
        let text = error.expect_err("status 7").to_string();
        for part in ["\"sh\"", "exit status: 7", "oh no"] {
            assert!(text.contains(part), "{text}");
        }
        let missing = run(&mut Command::new("no-program-has-this-name"));
        assert!(matches!(missing, Err(Error::Start { .. })));
    }

    #[test]
    fn a_file_deep_in_a_tree_makes_it_newer() {
        let dir = std::env::temp_dir().join(format!("hartlog-bench-{}", std::process::id()));
        let deep = dir.join("a/b");
        std::fs::create_dir_all(&deep).expect("a temporary directory");
        let later = SystemTime::now() + std::time::Duration::from_secs(1000);
        let file = std::fs::File::create(deep.join("file")).expect("a file");
        file.set_modified(later).expect("its time");
        let found = newest(&dir);
        std::fs::remove_dir_all(&dir).expect("what was made");
        assert_eq!(found.expect("a tree"), later);
    }
}
