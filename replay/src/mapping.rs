//! Maps a file into memory.

use std::fs::File;
use std::path::Path;

/// Bytes of a file, mapped or (where that is not possible, as for a pipe) read.
#[derive(Debug)]
pub enum FileBytes {
    /// A read-only mapping.
    Mapped(memmap2::Mmap),
    /// In memory.
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps or reads a file.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open(path: &Path) -> std::io::Result<FileBytes> {
        let mut file = File::open(path)?;
        if file.metadata()?.is_file() {
            // SAFETY: the mapping is private to this process and never written. A file that another
            // process shrinks meanwhile ends this process with SIGBUS, which exposes nothing; one
            // that is rewritten is re-validated nowhere, but every value read from it is used as
            // untrusted data, bounds included.
            if let Ok(map) = unsafe { memmap2::Mmap::map(&file) } {
                return Ok(FileBytes::Mapped(map));
            }
        }
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes)?;
        Ok(FileBytes::Owned(bytes))
    }
}

impl std::ops::Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FileBytes::Mapped(map) => map,
            FileBytes::Owned(bytes) => bytes,
        }
    }
}
