//! Where settings come from: flags, environment, file, in this precedence.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use mcp_reporter_core::settings::{ENV_PREFIX, printable};

use super::error::ConfigError;

/// The environment variable that names the file.
pub(super) const ENV_FILE: &str = "MCP_REPORTER_CONFIG";
/// The file's name in the working folder, as the old client had it.
const FILE_NAME: &str = "mcp_config.toml";

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A command-line flag, by its name: `--rate-limit`.
    Flag(String),
    /// An environment variable, by its name.
    Env(String),
    /// The configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// The file that `coordinator_api_key_file` names.
    KeyFile(PathBuf),
    /// The program that uses the library.
    Code,
    /// Nobody set it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(name) | Source::Env(name) => f.write_str(&printable(name)),
            Source::File { path, line } => {
                write!(f, "{}:{line}", printable(&path.display().to_string()))
            }
            Source::KeyFile(path) => {
                write!(f, "key file {}", printable(&path.display().to_string()))
            }
            Source::Code => f.write_str("set by the program"),
            Source::Default => f.write_str("default"),
        }
    }
}

/// All that a configuration is loaded from. There is no `Debug`: it may hold
/// the API key.
#[derive(Clone, Default)]
pub struct Sources {
    /// Flags given, as key (`rate_limit`, `rate-limit` or `--rate-limit`) and text.
    pub flags: Vec<(String, String)>,
    /// The environment variables that begin with `MCP_REPORTER_`; others are ignored.
    pub env: BTreeMap<String, OsString>,
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// The working folder: relative paths of flags and environment start there.
    pub cwd: PathBuf,
    /// The user's configuration folder, if there is one.
    pub config_dir: Option<PathBuf>,
    /// The user's state folder, if there is one.
    pub state_dir: Option<PathBuf>,
}

impl Sources {
    /// What this process has: its environment, working folder and user's
    /// folders, with the flags and the `--config` file that were parsed from its
    /// command line.
    pub fn from_process(flags: Vec<(String, String)>, file: Option<PathBuf>) -> Sources {
        let env = std::env::vars_os()
            .map(|(name, text)| (name.to_string_lossy().into_owned(), text))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        Sources {
            flags,
            env,
            file,
            cwd: std::env::current_dir().unwrap_or_default(),
            config_dir: etcetera::choose_base_strategy()
                .ok()
                .map(|dirs| dirs.config_dir()),
            state_dir: state_dir(),
        }
    }

    /// The configuration file and its text; none when nobody named one and none
    /// is in its usual places.
    pub(super) fn read_file(&self) -> Result<Option<(PathBuf, Vec<u8>)>, ConfigError> {
        if let Some(path) = &self.file {
            return self.read_named(path, "named by --config").map(Some);
        }
        if let Some(path) = self.env.get(ENV_FILE).filter(|path| !path.is_empty()) {
            return self
                .read_named(Path::new(path), "named by MCP_REPORTER_CONFIG")
                .map(Some);
        }
        let user = self
            .config_dir
            .as_ref()
            .map(|dir| dir.join("mcp-reporter").join("config.toml"));
        for path in [Some(self.cwd.join(FILE_NAME)), user].into_iter().flatten() {
            match self.read_named(&path, "found in its usual place") {
                Err(ConfigError::Read { source, .. })
                    if matches!(
                        source.kind(),
                        ErrorKind::NotFound | ErrorKind::NotADirectory
                    ) => {}
                other => return other.map(Some),
            }
        }
        Ok(None)
    }

    fn read_named(
        &self,
        path: &Path,
        named_by: &'static str,
    ) -> Result<(PathBuf, Vec<u8>), ConfigError> {
        let path = join(&self.cwd, path);
        match fs::read(&path) {
            Ok(text) => Ok((path, text)),
            Err(source) => Err(ConfigError::Read {
                path,
                named_by,
                source,
            }),
        }
    }
}

/// The user's state folder (`XDG_STATE_HOME`); the data folder where the system has none.
pub(super) fn state_dir() -> Option<PathBuf> {
    let dirs = etcetera::choose_base_strategy().ok()?;
    Some(dirs.state_dir().unwrap_or_else(|| dirs.data_dir()))
}

/// `path` from `base`, without the `.` in `./data/x`.
pub(super) fn join(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}
