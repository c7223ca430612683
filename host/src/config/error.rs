//! What can be wrong with a configuration, and how it is said.

use std::fmt;
use std::io;
use std::path::PathBuf;

use mcp_reporter_core::settings::printable;
use thiserror::Error;

use super::source::Source;

/// Why there is no configuration. No text shows the API key.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// Settings are unknown, malformed, or missing: all of them, one line each.
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
    /// The file cannot be read.
    #[error("cannot read the configuration file {} ({named_by}): {source}", printable(&path.display().to_string()))]
    Read {
        /// Which file.
        path: PathBuf,
        /// Who named it: `--config`, `MCP_REPORTER_CONFIG`, or its usual place.
        named_by: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not valid TOML: {message}", printable(&path.display().to_string()))]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser says; it does not quote the line.
        message: String,
    },
    /// A new file would overwrite another.
    #[error("{} exists and is not overwritten: remove it or name another file", printable(&path.display().to_string()))]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// A new file cannot be written.
    #[error("cannot write the configuration file {}: {source}", printable(&path.display().to_string()))]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// One thing wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// What is wrong and what is allowed, key and value named.
    pub message: String,
    /// Where the value stands; none when it is missing.
    pub source: Option<Source>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{} ({source})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
