//! Builds the runtime and links it to the one object that the compiler embeds.

use std::path::{Path, PathBuf};
use std::process::Command;

fn run(command: &mut Command) {
    let shown = format!("{command:?}");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => panic!("{shown}: {status}"),
        Err(e) => panic!("{shown}: {e}"),
    }
}

fn main() {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let here = PathBuf::from(
        std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"),
    );
    let root = here
        .parent()
        .expect("the compiler is a member of the workspace");
    for source in ["rt-nostd", "templates/isa", "x86-64.ld", "Cargo.lock"] {
        watch(&root.join(source));
    }
    let target = out.join("runtime");
    let mut cargo = Command::new(std::env::var_os("CARGO").expect("cargo sets CARGO"));
    cargo
        .args(["build", "--release", "-p", "rt-nostd", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(&target);
    // Flags for the outer build (coverage, other targets) must not reach the runtime.
    for name in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "RUSTC_WORKSPACE_WRAPPER",
    ] {
        cargo.env_remove(name);
    }
    // Where sources are says nothing about the program: the same sources give the same bytes.
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut flags = vec![remap(root, "hartlog")];
    flags.extend(home.map(|home| remap(&home, "cargo")));
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    run(&mut cargo);
    run(Command::new("ld")
        .args(["-r", "--gc-sections", "--strip-debug", "--entry", "_start"])
        .arg(target.join("release/librt_nostd.a"))
        .args(["-u", "_start", "-o"])
        .arg(out.join("runtime.o")));
}

/// The flag that writes a name where it would write a folder.
fn remap(folder: &Path, name: &str) -> String {
    format!("--remap-path-prefix={}={name}", folder.display())
}

/// Rebuild when a source of the runtime changes.
fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}
