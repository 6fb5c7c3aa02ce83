//! Configuration: variables of the environment and command lines.

use clap::Parser;
use hartlog_config::Config;
use hartlog_format::layout::MAX_CHUNK_STEPS;
use hartlog_format::ring::MAX_SLOTS;
use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;

// The command lines are parts of programs, not of libraries.
#[allow(dead_code)]
#[path = "../../../replay/src/cli/mod.rs"]
mod replay_cli;

#[allow(dead_code)]
#[path = "../../../compiler/src/arguments.rs"]
mod compiler_cli;

/// Reads variables or a command line, of strings that are separated by NULs. The first byte says
/// which.
pub fn config(data: &[u8]) {
    let Some((which, text)) = data.split_first() else {
        return;
    };
    let strings = text.split(|b| *b == 0);
    match which % 3 {
        0 => environment(strings.filter_map(|s| CString::new(s).ok()).collect()),
        1 => {
            let line = strings.map(|s| OsString::from_vec(s.to_vec()));
            if let Err(error) = replay_cli::Cli::try_parse_from(line) {
                let _ = error.to_string();
            }
        }
        _ => {
            let line = strings.map(|s| OsString::from_vec(s.to_vec()));
            match compiler_cli::Arguments::try_parse_from(line) {
                Ok(arguments) => {
                    let steps = arguments.options().chunk_steps;
                    assert!((1..=MAX_CHUNK_STEPS).contains(&steps));
                }
                Err(error) => {
                    let _ = error.to_string();
                }
            }
        }
    }
}

fn environment(strings: Vec<CString>) {
    let config = match Config::read(strings.iter().map(CString::as_c_str)) {
        Ok(config) => config,
        Err(invalid) => {
            assert!(invalid.name.starts_with("HARTLOG_"));
            return;
        }
    };
    let steps = config.chunk_steps;
    assert!(steps.is_none_or(|n| (1..=MAX_CHUNK_STEPS).contains(&n)));
    assert!(config.steps.is_none_or(|n| n <= 1 << 62));
    assert!(config.memory.is_none_or(|n| n <= 1 << 62));
    for steps in [1, steps.unwrap_or(1 << 18), MAX_CHUNK_STEPS] {
        let slots = config.slots(steps);
        assert!(slots.is_none_or(|n| (1..=MAX_SLOTS).contains(&n)));
    }
    assert!(config.trace.is_none() || config.live.is_none());
    assert!(config.trace.is_none_or(|path| !path.is_empty()));
    if let Some(consumer) = config.live {
        assert!(consumer.fd >= 3 && consumer.pid >= 1);
    }
    for string in config.guest_env() {
        assert!(string.iter().position(|b| *b == b'=') > Some(0));
    }
}
