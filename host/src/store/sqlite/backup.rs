//! A copy of the file while it is in use.
//!
//! SQLite's online backup, in one step: one read transaction, so the copy is the file as of one
//! moment, with every commit before it, and no writer waits for it. The copy is made under
//! another name, checked, flushed to the disk, and only then given its own: whoever finds the
//! name finds a whole backup.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use mcp_reporter_core::outbox::{EventKey, Place};
use rusqlite::backup::{Backup as Copying, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::lock::patiently;
use super::shared::Shared;
use super::{files, schema};
use crate::private;
use crate::store::{StoreError, shard};

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backup {
    /// Events that waited.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Size of the file, in bytes.
    pub bytes: u64,
}

/// Copies the store in the file at `from`, which may be in use, to a new file `to` with mode
/// 0600. What is at `to` is replaced if `replace` says so, and only by a backup that is whole.
///
/// Blocks while it reads and writes the disk.
///
/// # Errors
///
/// There is no store at `from`, or it is of a newer version, or damaged; `to` exists, is `from`
/// itself, or cannot be written. `to` is as it was before then.
pub fn backup(from: &Path, to: &Path, replace: bool) -> Result<Backup, StoreError> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|e| StoreError::unusable(path, &e));
    let (from, to) = (absolute(from)?, absolute(to)?);
    if !from.is_file() {
        return Err(StoreError::NoStore { path: from });
    }
    let unwritable = |error: &dyn std::fmt::Display| StoreError::Backup {
        path: to.clone(),
        detail: error.to_string(),
    };
    if files::Identity::of(&from).is_some_and(|identity| !identity.has_left(&to)) {
        return Err(unwritable(&"it is the store itself"));
    }
    if !replace && fs::symlink_metadata(&to).is_ok() {
        return Err(StoreError::BackupExists { path: to });
    }
    files::prepare_folder(&to).map_err(|e| unwritable(&e))?;
    let part = Part::new(&to).map_err(|e| unwritable(&e))?;
    let mut done = copy(&from, &part.0, &to)?;
    let finish = || -> io::Result<u64> {
        let file = File::open(&part.0)?;
        file.sync_all()?;
        if replace {
            fs::rename(&part.0, &to)?;
        } else {
            // Unlike a rename, it fails if somebody made the file meanwhile.
            fs::hard_link(&part.0, &to)?;
        }
        // The name, too, must survive a power cut. Not every system can flush a folder.
        if let Some(Ok(folder)) = to.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(file.metadata()?.len())
    };
    done.bytes = finish().map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => StoreError::BackupExists { path: to.clone() },
        _ => unwritable(&e),
    })?;
    Ok(done)
}

/// The copy under its first name. It is deleted when dropped, which leaves the last name alone.
struct Part(PathBuf);

impl Part {
    fn new(to: &Path) -> io::Result<Self> {
        let path = files::beside(to, &format!(".part-{}", std::process::id()));
        // Left by one of the same number that was killed.
        remove(&path);
        private::make_new_file(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // What is not there need not be removed.
        let _ = fs::remove_file(files::beside(path, suffix));
    }
}

/// Copies and checks; says how many events there are.
fn copy(from: &Path, part: &Path, to: &Path) -> Result<Backup, StoreError> {
    let reading = Shared {
        path: from.to_owned(),
        commits: AtomicU64::new(0),
        closing: AtomicBool::new(false),
    };
    let reading = Arc::new(reading);
    let since = Instant::now();
    let writing = |error: rusqlite::Error| StoreError::Backup {
        path: to.to_owned(),
        detail: error.to_string(),
    };
    let source = patiently(&reading, since, || {
        schema::connect(from, OpenFlags::SQLITE_OPEN_READ_ONLY)
    })?;
    let version = patiently(&reading, since, || schema::schema_version(&source))?;
    schema::refuse_newer(from, version)?;
    if version.is_none() {
        return Err(StoreError::NoStore {
            path: from.to_owned(),
        });
    }
    let mut copy = Connection::open_with_flags(
        part,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(writing)?;
    patiently(&reading, since, || {
        let copying = Copying::new(&source, &mut copy)?;
        match copying.step(-1)? {
            StepResult::Done => Ok(()),
            // As SQLite would say it to any other statement: tried again.
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                None,
            )),
        }
    })?;
    // One file, without a log beside it that could be left behind when it is moved. The next
    // start makes it one with a log again.
    let _: String = copy
        .pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))
        .map_err(writing)?;
    let verdict: String = copy
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(writing)?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt {
            path: from.to_owned(),
            detail: verdict.replace('\n', " "),
        });
    }
    let done = count(&copy).map_err(writing)?;
    copy.close().map_err(|(_, error)| writing(error))?;
    Ok(done)
}

fn count(copy: &Connection) -> rusqlite::Result<Backup> {
    let mut done = Backup::default();
    let mut select = copy.prepare("SELECT key FROM mcp_reporter_kv")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        match EventKey::parse(shard::bare(row.get_ref(0)?.as_str()?)) {
            Some((Place::Waiting, _)) => done.waiting += 1,
            Some((Place::Dead, _)) => done.dead_letters += 1,
            None => {}
        }
    }
    Ok(done)
}
