//! A client's configuration file: read, kept a backup of, and replaced whole.

use crate::cli::whole;
use mcp_reporter::private;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// A file and the text that it held.
pub struct ClientFile {
    /// Where it is; not a symbolic link.
    target: PathBuf,
    pub text: String,
}

impl ClientFile {
    /// Reads it; a symbolic link is followed.
    pub fn read(path: &Path) -> io::Result<Self> {
        let target = fs::canonicalize(path)?;
        let text = String::from_utf8(fs::read(&target)?)
            .map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))?;
        Ok(Self { target, text })
    }

    /// Whether both are one file.
    pub fn is_same(&self, other: &Self) -> bool {
        self.target == other.target
    }

    /// Whether there is a backup.
    pub fn has_backup(&self) -> bool {
        fs::symlink_metadata(self.backup_path(1)).is_ok()
    }

    /// Keeps what was read in a file beside, for the same users, and gives its place. A backup
    /// that is there is never replaced: if none holds this text, the new one gets the next number.
    pub fn back_up(&self) -> io::Result<PathBuf> {
        let mode = fs::metadata(&self.target)?.permissions();
        for number in 1.. {
            let path = self.backup_path(number);
            match private::make_new_file(&path) {
                Ok(mut file) => {
                    let written = file
                        .write_all(self.text.as_bytes())
                        .and_then(|()| file.set_permissions(mode))
                        .and_then(|()| file.sync_all());
                    if written.is_err() {
                        // Half a backup is none.
                        let _ = fs::remove_file(&path);
                    }
                    return written.map(|()| path);
                }
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {
                    if fs::read(&path).is_ok_and(|held| held == self.text.as_bytes()) {
                        return Ok(path);
                    }
                }
            }
        }
        Err(io::Error::other("too many backups"))
    }

    /// Beside the file.
    fn backup_path(&self, number: u32) -> PathBuf {
        match number {
            1 => whole::beside(&self.target, "", ".mcp-reporter.bak"),
            _ => whole::beside(&self.target, "", &format!(".mcp-reporter.bak.{number}")),
        }
    }

    /// Writes a new text in the file's place, for the same users. Whoever reads it meanwhile sees
    /// either the old or the new.
    ///
    /// # Errors
    ///
    /// It cannot be written, or does not hold any more what was read. It is as it was then.
    pub fn replace(&self, text: &str) -> io::Result<()> {
        if fs::read(&self.target)? != self.text.as_bytes() {
            return Err(io::Error::other(
                "another program changed it at the same time: run the command again",
            ));
        }
        let mode = fs::metadata(&self.target)?.permissions();
        whole::replace(
            &self.target,
            text.as_bytes(),
            private::options(),
            Some(mode),
        )
    }
}
