//! Command line of the replayer.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; where they cannot be printed, nobody reads them.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() {
                hartlog_format::status::exit::USAGE
            } else {
                hartlog_format::status::exit::OK
            });
        }
    };
    // A file that may not grow is an error where it is written, not the end of this process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(
        rustix::process::Signal::XFSZ.as_raw(),
        std::sync::Arc::default(),
    );
    match cli.run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}
