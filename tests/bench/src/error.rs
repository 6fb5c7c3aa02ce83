//! Why a benchmark stops.

use std::path::PathBuf;

/// Error of this program. Every variant names the file, guest or command that it is about.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be read, written or made.
    #[error("{}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not the JSON that it should be.
    #[error("{}: {source}", path.display())]
    Json {
        /// Its path.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A program could not be started.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that prepares something failed.
    #[error("{command} failed with {status}:\n{stderr}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status or signal.
        status: String,
        /// The end of what it said.
        stderr: String,
    },
    /// A guest did not do what it should.
    #[error("{guest}, {variant}: {what}")]
    Wrong {
        /// Name in the manifest.
        guest: String,
        /// Which way of running it.
        variant: String,
        /// The difference.
        what: String,
    },
    /// No guest of the manifests has this name.
    #[error("there is no guest `{0}` with bench_args in the manifests")]
    UnknownGuest(String),
    /// A directory has no guest.
    #[error("{}: no ELF file NAME.elf of a guest", .0.display())]
    NoElf(PathBuf),
    /// A tool that was asked for is not installed.
    #[error("{0} is not installed")]
    Missing(&'static str),
    /// Instruction counts that have grown.
    #[error("{0} instruction counts are more than the tolerance above those recorded")]
    Grown(usize),
    /// The process could not be pinned.
    #[error("cannot pin to cores {cores:?}: {source}")]
    Pin {
        /// Cores wanted.
        cores: Vec<usize>,
        /// What the system said.
        source: nix::Error,
    },
}

impl Error {
    /// For `map_err`: an error about this file.
    pub fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        |source| Error::File { path, source }
    }
}
