//! `compiler prog.elf -o prog.o`: RISC-V ELF executable to x86-64 object.

mod arguments;

use arguments::{Arguments, Emit};
use clap::Parser;
use compiler::{Error, Mode, compile, link, listing};
use hartlog_elf::Elf;
use hartlog_format::status::exit;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// A translation is many small vectors and some large ones: this one gives them out faster, and in
/// pages that are large where the host has such.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => tracing::Level::ERROR,
        (_, 0) => tracing::Level::WARN,
        (_, 1) => tracing::Level::INFO,
        _ => tracing::Level::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    let output = match arguments.validate().and_then(|()| arguments.destination()) {
        Ok(output) => output,
        Err(message) => {
            eprintln!("compiler: {message}");
            return ExitCode::from(exit::USAGE);
        }
    };
    match run(&arguments, output.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("compiler: {e}");
            ExitCode::from(e.exit_status())
        }
    }
}

fn run(arguments: &Arguments, output: Option<&Path>) -> Result<(), Error> {
    let elf = Elf::open(&arguments.elf)?;
    let options = arguments.options();
    let translation = compile(&elf, &options)?;
    for warning in &translation.warnings {
        tracing::warn!("{}: {warning}", arguments.elf.display());
    }
    let s = &translation.statistics;
    tracing::info!(
        "{} instructions in {} blocks, {} bytes of host code",
        s.instructions,
        s.blocks,
        s.code_bytes
    );
    if let Some(Emit::Asm) = arguments.emit {
        let mut text = Vec::new();
        let written = listing::write(&elf, &translation.code, &mut text);
        written
            .and_then(|()| output_listing(output, &text))
            .map_err(|source| Error::Write {
                path: output.unwrap_or_else(|| Path::new("stdout")).to_owned(),
                source,
            })?;
    } else if let Some(output) = output {
        if !arguments.link {
            std::fs::write(output, &translation.object).map_err(|source| Error::Write {
                path: output.to_owned(),
                source,
            })?;
        } else if options.mode == Mode::Replay {
            link::link_shared(&translation.object, output, &arguments.ld)?;
        } else {
            link::link(&translation.object, output, &arguments.ld)?;
        }
        tracing::info!("wrote {}", output.display());
    }
    if arguments.json {
        // Statistics hold only numbers and strings.
        let json = serde_json::to_string_pretty(&translation.statistics).unwrap_or_default();
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{json}").map_err(|source| Error::Write {
            path: "stdout".into(),
            source,
        })?;
    }
    // The process ends here: giving the memory back piece by piece only takes time.
    std::mem::forget((elf, translation));
    Ok(())
}

fn output_listing(path: Option<&Path>, text: &[u8]) -> std::io::Result<()> {
    match path {
        Some(path) => std::fs::write(path, text),
        None => std::io::stdout().lock().write_all(text),
    }
}
