//! The files of the demo: the configuration, the outbox, the coordinator's
//! events, the reporter's log.

use mcp_reporter::private;
use std::fs::File;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A new folder that nobody else can enter; removed when dropped unless it is to be kept.
pub(super) struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    /// One that stays; fails when it is there already.
    pub fn kept(path: &Path) -> Result<Self> {
        Self::make(std::path::absolute(path)?, true)
    }

    /// One that goes away.
    pub fn temporary() -> Result<Self> {
        let nanos = UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
        let name = format!("mcp-reporter-demo-{}-{nanos}", std::process::id());
        Self::make(std::env::temp_dir().join(name), false)
    }

    fn make(path: PathBuf, keep: bool) -> Result<Self> {
        private::make_new_folder(&path)?;
        Ok(Self { path, keep })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, if it stays.
    pub fn keep(&self) -> Option<&Path> {
        self.keep.then_some(&self.path)
    }

    /// Writes the configuration of the reporter process, which holds a key.
    pub fn write_config(&self, text: &str) -> Result<()> {
        private::make_new_file(&config(&self.path))?.write_all(text.as_bytes())
    }

    /// The last lines of the reporter's log.
    pub fn log_tail(&self) -> String {
        let log = std::fs::read(self.path.join(LOG)).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is in the system's folder for such things.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

const LOG: &str = "reporter.log";

/// The reporter's configuration in the demo's folder `dir`.
pub(super) fn config(dir: &Path) -> PathBuf {
    dir.join("mcp_config.toml")
}

/// The log of the reporter processes in `dir`, to be appended to.
pub(super) fn log(dir: &Path) -> Result<File> {
    private::options()
        .create(true)
        .append(true)
        .open(dir.join(LOG))
}
