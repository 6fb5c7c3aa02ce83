//! Compiled replays that are kept.

use super::ObjectError;
use crate::program::Program;
use crate::witness::Columns;
use hartlog_format::contract::CONTRACT_VERSION;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no compiled replay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// The machine cannot execute it.
    #[error("this machine has no {0}, which compiled code needs")]
    Processor(&'static str),
    /// The program cannot be translated, or `ld` failed.
    #[error("{0}")]
    Compiler(#[from] compiler::Error),
    /// The object cannot be used.
    #[error("compiled replay: {0}")]
    Object(#[from] ObjectError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The object could not be put into memory.
    #[error("no memory for compiled code: {0}")]
    Memory(io::Error),
}

/// A directory that holds the compiled replays of programs.
///
/// A file in it is used only if it belongs to this user, nobody else can write it, and its
/// descriptor names the program, the columns and the contract; else it is made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    dir: Option<PathBuf>,
}

impl Cache {
    /// Keeps nothing.
    pub fn none() -> Cache {
        Cache::default()
    }

    /// A directory; it is made when something is put into it.
    pub fn at(dir: impl Into<PathBuf>) -> Cache {
        Cache {
            dir: Some(dir.into()),
        }
    }

    /// `$XDG_CACHE_HOME/hartlog`, or `~/.cache/hartlog`; without either nothing is kept.
    pub fn of_user() -> Cache {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        let base =
            absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|h| h.join(".cache")));
        Cache {
            dir: base.map(|b| b.join("hartlog")),
        }
    }

    /// The file of a program and columns.
    pub fn path(&self, program: &Program, columns: Columns) -> Option<PathBuf> {
        let sha = crate::check::hex(&program.elf().sha256);
        let name = format!(
            "{sha}-{CONTRACT_VERSION}-{}-{:03x}.replay.so",
            env!("CARGO_PKG_VERSION"),
            columns.bits()
        );
        self.dir.as_ref().map(|dir| dir.join(name))
    }

    /// What is kept for a program.
    pub(super) fn get(&self, program: &Program, columns: Columns) -> Option<Vec<u8>> {
        let path = self.path(program, columns)?;
        let mut file = std::fs::File::open(&path).ok()?;
        if !is_private(&file) {
            return None;
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Compiles a program and keeps the result, if there is a directory that can be written.
    pub(super) fn make(
        &self,
        program: &Program,
        columns: Columns,
    ) -> Result<Vec<u8>, CompileError> {
        let options = compiler::Options {
            mode: compiler::Mode::Replay,
            columns,
            ..compiler::Options::default()
        };
        let object = compiler::compile(program.elf(), &options)?.object;
        let kept = self.path(program, columns).filter(|path| {
            let dir = path.parent();
            dir.is_some_and(|dir| make_dir(dir).is_ok())
        });
        if let Some(path) = &kept
            && compiler::link::link_shared(&object, path, LD).is_ok()
        {
            make_private(path);
            return read(path);
        }
        let temporary = tempfile::tempdir().map_err(|source| CompileError::Io {
            path: std::env::temp_dir(),
            source,
        })?;
        let path = temporary.path().join("prog.replay.so");
        compiler::link::link_shared(&object, &path, LD)?;
        read(&path)
    }
}

const LD: &str = "ld";

fn read(path: &Path) -> Result<Vec<u8>, CompileError> {
    std::fs::read(path).map_err(|source| CompileError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Makes a directory that only this user can enter.
fn make_dir(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Nobody else may write the file, whatever the umask says. If that fails, it is not used again.
fn make_private(path: &Path) {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        let _ = std::fs::set_permissions(path, mode);
    }
    #[cfg(not(unix))]
    let _ = path;
}

/// Whether a file belongs to this user and nobody else can write it.
#[cfg(unix)]
fn is_private(file: &std::fs::File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let own = std::fs::metadata("/proc/self").map(|m| m.uid());
    match (file.metadata(), own) {
        (Ok(m), Ok(own)) => m.is_file() && m.uid() == own && m.mode() & 0o022 == 0,
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_private(_: &std::fs::File) -> bool {
    false
}
