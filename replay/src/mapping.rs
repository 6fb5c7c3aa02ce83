//! Maps a file into memory.

use std::fs::File;
use std::io::Read;

/// Bytes of a file, mapped or (where that is not possible, as for a pipe) read.
#[derive(Debug)]
pub enum FileBytes {
    /// A read-only mapping.
    Mapped(memmap2::Mmap),
    /// In memory.
    Owned(Vec<u8>),
}

impl FileBytes {
    /// Maps a file, or reads it. `head`: bytes at its start that were read before.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(file: &mut File, head: Vec<u8>) -> std::io::Result<FileBytes> {
        if file.metadata()?.is_file() {
            // SAFETY: the mapping is private to this process and never written. A file that another
            // process shrinks meanwhile ends this process with SIGBUS, which exposes nothing; one
            // that is rewritten is re-validated nowhere, but every value read from it is used as
            // untrusted data, bounds included.
            if let Ok(map) = unsafe { memmap2::Mmap::map(&*file) } {
                return Ok(FileBytes::Mapped(map));
            }
        }
        let mut bytes = head;
        file.read_to_end(&mut bytes)?;
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
