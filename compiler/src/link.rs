//! Linking with the system `ld`. The runtime and the linker script are embedded, so an installed
//! compiler needs nothing else.

use crate::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The runtime, linked to one relocatable object when the compiler was built.
pub const RUNTIME: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/runtime.o"));

/// The linker script.
pub const SCRIPT: &str = include_str!("../../x86-64.ld");

/// The linker script of compiled replays.
pub const REPLAY_SCRIPT: &str = include_str!("../replay.ld");

/// Links an object to an executable.
///
/// A file at `output` is replaced as a whole; a device or a pipe gets the bytes.
///
/// # Errors
/// [`Error::Write`], [`Error::LinkerStart`], [`Error::Linker`].
pub fn link(object: &[u8], output: &Path, ld: &str) -> Result<(), Error> {
    let parts = [("prog.o", object), ("runtime.o", RUNTIME)];
    run(&parts, SCRIPT, &[], output, ld)
}

/// Links an object of [`crate::Mode::Replay`] to a shared object that `replay` can map.
///
/// # Errors
/// Those of [`link()`].
pub fn link_shared(object: &[u8], output: &Path, ld: &str) -> Result<(), Error> {
    const FLAGS: [&str; 4] = ["-shared", "--hash-style=sysv", "--build-id=none", "-s"];
    run(&[("prog.o", object)], REPLAY_SCRIPT, &FLAGS, output, ld)
}

fn run(
    parts: &[(&str, &[u8])],
    script: &str,
    flags: &[&str],
    output: &Path,
    ld: &str,
) -> Result<(), Error> {
    let failed = |source| Error::Write {
        path: output.to_owned(),
        source,
    };
    // What is there and is no file stays what it is: a program in the place of /dev/null would be
    // found by everybody.
    let special = std::fs::metadata(output).is_ok_and(|m| !m.is_file());
    let dir = if special {
        if output.is_dir() {
            return Err(failed(std::io::ErrorKind::IsADirectory.into()));
        }
        scratch(&std::env::temp_dir().join("prog"))?
    } else {
        scratch(output)?
    };
    let put = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
        Ok::<PathBuf, Error>(path)
    };
    let script = put("script.ld", script.as_bytes())?;
    let mut objects = Vec::new();
    for (name, bytes) in parts {
        objects.push(put(name, bytes)?);
    }
    // Linked beside the output and renamed, so that a failure leaves no half-written program.
    let result = dir.path().join("prog");
    let run = Command::new(ld)
        .args(flags)
        .arg("-T")
        .arg(&script)
        .args(&objects)
        .arg("-o")
        .arg(&result)
        .output()
        .map_err(|source| Error::LinkerStart {
            program: ld.to_owned(),
            source,
        })?;
    if !run.status.success() {
        return Err(Error::Linker {
            program: ld.to_owned(),
            status: run.status.to_string(),
            stderr: String::from_utf8_lossy(&run.stderr).trim_end().to_owned(),
        });
    }
    let written = if special {
        std::fs::read(&result).and_then(|program| std::fs::write(output, program))
    } else {
        std::fs::rename(&result, output)
    };
    written.map_err(failed)
}

/// A directory beside the output that goes away with this value.
fn scratch(output: &Path) -> Result<TempDir, Error> {
    let parent = match output.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let name = output
        .file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default();
    tempfile::Builder::new()
        .prefix(&format!(".{name}.link-"))
        .tempdir_in(parent)
        .map_err(|source| Error::Write {
            path: output.to_owned(),
            source,
        })
}
