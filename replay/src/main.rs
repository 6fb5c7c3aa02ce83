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
    match cli.run() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::from(error.exit_status())
        }
    }
}
