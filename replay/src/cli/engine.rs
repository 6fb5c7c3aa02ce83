//! Options that choose the engine.

use super::CliError;
use replay::engine::{Cache, Choice, CompileError, Engine};
use replay::program::Program;
use replay::witness::Columns;
use std::path::PathBuf;

/// Which engine re-executes the chunks.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// What re-executes the chunks: compiled code, the interpreter, or compiled code where that is
    /// possible.
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    engine: Kind,
    /// Directory for compiled code [default: hartlog in $XDG_CACHE_HOME or ~/.cache].
    #[arg(long, value_name = "DIR", conflicts_with = "compiled")]
    cache: Option<PathBuf>,
    /// Compiled code to use: what `compiler --mode replay --link` wrote for this ELF. It is
    /// executed: take none from a stranger.
    #[arg(long, value_name = "FILE")]
    compiled: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Auto,
    Compiled,
    Interpreted,
}

/// The name of an engine.
pub fn name(compiled: bool) -> &'static str {
    if compiled { "compiled" } else { "interpreted" }
}

impl Args {
    /// The engine; says once if it is not the one that there should be.
    pub fn engine<'p, 't>(
        &self,
        program: &'p Program,
        columns: Columns,
    ) -> Result<Engine<'p, 't>, CliError> {
        let (engine, missing) = self.choose(program, columns)?;
        if let Some(reason) = missing {
            eprintln!("replay: warning: interpreting: {reason}");
        }
        Ok(engine)
    }

    /// The engine, and why it is not the one that there should be.
    pub fn choose<'p, 't>(
        &self,
        program: &'p Program,
        columns: Columns,
    ) -> Result<(Engine<'p, 't>, Option<CompileError>), CliError> {
        if let Some(path) = &self.compiled
            && self.engine != Kind::Interpreted
        {
            // For memory there are two ways, and a file is for one of them.
            if columns == Columns::FOLLOW
                && let Ok(engine) = Engine::from_file(program, columns, path)
            {
                return Ok((engine, None));
            }
            let columns = match columns {
                Columns::FOLLOW => Columns::MEMORY,
                columns => columns,
            };
            return Ok((Engine::from_file(program, columns, path)?, None));
        }
        let choice = match self.engine {
            Kind::Auto => Choice::Auto,
            Kind::Compiled => Choice::Compiled,
            Kind::Interpreted => Choice::Interpreted,
        };
        let cache = match &self.cache {
            Some(dir) => {
                std::fs::create_dir_all(dir).map_err(|source| CliError::Report {
                    path: dir.clone(),
                    source,
                })?;
                Cache::at(dir)
            }
            None => Cache::of_user(),
        };
        Ok(Engine::choose(program, columns, choice, &cache)?)
    }
}
