//! A file that is there when it is whole, and not before.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file that is written under another name in the same folder, which [`Target::commit`] then
/// changes. Without it nothing stays behind, and what had the name before is untouched.
///
/// Pipes and devices are written as they are.
#[derive(Debug)]
pub struct Target {
    file: File,
    /// Name now and then; `None` for what is written as it is.
    names: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Opens a target.
    ///
    /// # Errors
    /// What the system says; a directory is refused.
    pub fn create(path: &Path) -> io::Result<Target> {
        let path = match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => {
                return Err(io::Error::new(
                    io::ErrorKind::IsADirectory,
                    "is a directory",
                ));
            }
            Ok(found) if !found.is_file() => {
                let file = OpenOptions::new().write(true).open(path)?;
                return Ok(Target { file, names: None });
            }
            // A link stays one.
            Ok(_) => path.canonicalize()?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error),
        };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "has no file name"))?;
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let mut part = std::ffi::OsString::from(".");
            part.push(name);
            part.push(format!(".{}-{n}.part", std::process::id()));
            let part = path.with_file_name(part);
            match OpenOptions::new().write(true).create_new(true).open(&part) {
                Ok(file) => {
                    let names = Some((part, path));
                    return Ok(Target { file, names });
                }
                // Left behind by another process with this number, or put there by somebody.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < 1000 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// What the system says; then the file is removed.
    pub fn commit(mut self) -> io::Result<()> {
        if let Some((part, path)) = self.names.take() {
            // Some file systems say only now that they are full.
            let named = self
                .file
                .sync_data()
                .and_then(|()| std::fs::rename(&part, path));
            if let Err(error) = named {
                let _ = std::fs::remove_file(&part);
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some((part, _)) = self.names.take() {
            // Nothing can be done about a leftover file.
            let _ = std::fs::remove_file(part);
        }
    }
}
