use std::path::PathBuf;

/// Why a program cannot be translated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read or is not a program that can be translated.
    #[error(transparent)]
    Load(#[from] hartlog_elf::LoadError),
    /// A compressed instruction although `e_flags` say that there are none.
    #[error(
        "{location}: compressed instruction {raw:#06x} at file offset {offset:#x}, but the ELF header's flags (EF_RISCV_RVC) say that there are none"
    )]
    Compressed {
        /// pc with symbol.
        location: String,
        /// The halfword.
        raw: u16,
        /// File offset of the instruction.
        offset: u64,
    },
    /// A floating-point instruction.
    #[error(
        "{location}: floating-point instruction {raw:#010x} at file offset {offset:#x}; compile the program for rv64imac, with -mabi=lp64"
    )]
    FloatingPoint {
        /// pc with symbol.
        location: String,
        /// The instruction.
        raw: u32,
        /// File offset of the instruction.
        offset: u64,
    },
    /// The object could not be assembled.
    #[error("cannot write the object: {0}")]
    Object(String),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The linker could not be run.
    #[error("cannot run {program}: {source} (install binutils, or name a linker with --ld)")]
    LinkerStart {
        /// The linker.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// The linker failed.
    #[error("{program} failed ({status}){}{stderr}", if stderr.is_empty() { "" } else { ":\n" })]
    Linker {
        /// The linker.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        stderr: String,
    },
}

impl Error {
    /// Exit status of the command-line program for this error.
    pub fn exit_status(&self) -> u8 {
        use hartlog_format::status::exit;
        match self {
            Error::Load(hartlog_elf::LoadError::Io { .. }) => exit::IO,
            Error::Load(_) | Error::Compressed { .. } | Error::FloatingPoint { .. } => exit::INPUT,
            Error::Object(_)
            | Error::Write { .. }
            | Error::LinkerStart { .. }
            | Error::Linker { .. } => exit::IO,
        }
    }
}
