//! What a client is to start: this program, and the flags of `wrap`.

use crate::cli::Error;
use crate::cli::global::Global;
use mcp_reporter::config::{Config, ConfigError, Sources, keys};
use mcp_reporter_capture::clients::Wrapping;
use std::env;
use std::path::{Path, PathBuf};

/// The name by which a wrapped server is recognised.
const NAME: &str = "mcp-reporter";

/// What `enable` writes, from what was given to it.
///
/// # Errors
///
/// A setting is wrong, or this program goes by another name.
pub fn wrapping(global: &Global) -> Result<Wrapping, Error> {
    let given = global.settings.given();
    if given.iter().any(|(key, _)| key == "mcp_id") {
        return Err(Error::Usage(
            "--mcp-id is not taken: `enable` sets it to each server's name".to_owned(),
        ));
    }
    validate(global)?;
    let mut settings = Vec::new();
    if let Some(path) = &global.config {
        settings.push(("--config".to_owned(), text(&absolute(path)?)?));
    }
    for (key, value) in given {
        let is_path = keys().any(|known| known.name == key && known.allowed == "a path");
        let value = if is_path {
            text(&absolute(Path::new(value))?)?
        } else {
            value.clone()
        };
        settings.push((format!("--{}", key.replace('_', "-")), value));
    }
    Ok(Wrapping {
        program: text(&program()?)?,
        settings,
    })
}

/// What was given must be right. What is missing may be in the client's environment.
fn validate(global: &Global) -> Result<(), Error> {
    let given = global.settings.given();
    if given.is_empty() && global.config.is_none() {
        return Ok(());
    }
    match Config::load(Sources::from_process(given.to_vec(), global.config.clone())) {
        Err(ConfigError::Invalid(mut problems)) => {
            problems.retain(|problem| {
                given.iter().any(|(key, _)| *key == problem.key)
                    || (global.config.is_some() && problem.source.is_some())
            });
            if problems.is_empty() {
                return Ok(());
            }
            Err(ConfigError::Invalid(problems).into())
        }
        Err(error) if global.config.is_some() => Err(error.into()),
        _ => Ok(()),
    }
}

/// Absolute, because a client started from a desktop has a short `PATH`. The place on `PATH` if
/// that is this very program: it may be a link that stays when a new version is installed.
fn program() -> Result<PathBuf, Error> {
    let failed = |why| Error::Failed(format!("cannot find out where this program is: {why}"));
    let running = env::current_exe().map_err(failed)?;
    let same = running.canonicalize().map_err(failed)?;
    let file = format!("{NAME}{}", env::consts::EXE_SUFFIX);
    let on_path = env::var_os("PATH").and_then(|path| {
        env::split_paths(&path)
            .map(|folder| folder.join(&file))
            .filter(|path| path.is_absolute())
            .find(|path| path.canonicalize().is_ok_and(|path| path == same))
    });
    let program = on_path.unwrap_or(running);
    if program.file_stem().is_none_or(|stem| stem != NAME) {
        return Err(Error::Failed(format!(
            "this program must be named {NAME}, or wrapped servers are not recognised: it is {}",
            program.display()
        )));
    }
    Ok(program)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(|why| {
        Error::Failed(format!(
            "cannot make {} an absolute path: {why}",
            path.display()
        ))
    })
}

fn text(path: &Path) -> Result<String, Error> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::Usage(format!(
            "{} is not UTF-8, which a client's configuration must be",
            path.display()
        ))
    })
}
