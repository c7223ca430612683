//! Giving back to the system what the file no longer needs.
//!
//! SQLite keeps the pages of what was deleted for what comes next, so a file would stay as large
//! as it ever was. Once there is little in it and much of it is free, it is written anew, while
//! nothing else is to be written: that takes as long as writing what is in it: milliseconds, or some tens of them for 16 MiB.
//! (A file that could be cut from its end in pieces, `auto_vacuum = incremental`, would make every
//! report dearer: by 7 to 11 % when measured.)
//!
//! [`compact`] writes any file anew, at once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use rusqlite::{Connection, OpenFlags};

use super::lock::patiently;
use super::schema;
use super::shared::Shared;
use crate::store::StoreError;

/// So many free pages of 4 KiB are not worth it: what comes next is written into them.
const SPARE_PAGES: i64 = 1_024;
/// The most pages in use for which a file is written anew beside the work: 16 MiB.
const MOST_PAGES: i64 = 4_096;
/// So many times as much must be free as is in use.
const TIMES_FREE: i64 = 8;

/// Writes the file anew if it is nearly empty and much larger than that; says whether it did.
///
/// # Errors
///
/// SQLite failed, or another process is writing.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    let pages = number(connection, "page_count")?;
    let free = number(connection, "freelist_count")?;
    let used = pages - free;
    if free <= SPARE_PAGES || used > MOST_PAGES || free < used * TIMES_FREE {
        return Ok(false);
    }
    write_anew(connection)?;
    Ok(true)
}

fn write_anew(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("VACUUM")
}

fn number(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, pragma, |row| row.get(0))
}

/// Copies the log into the file, which is cut to its size then, and empties it, if no other
/// process is in the way.
pub(super) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// What [`compact`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Size of the file before, with its log, in bytes.
    pub bytes_before: u64,
    /// The same after it.
    pub bytes_after: u64,
}

/// Writes the store in the file at `path` anew, without what is free in it. It may be in use:
/// whoever writes meanwhile waits, about a second for each 200 MB of events.
///
/// Blocks while it reads and writes the disk, and for up to 30 s while another process holds the
/// file locked. Needs as much free space as the events take, twice.
///
/// # Errors
///
/// There is no store at `path`, it is of a newer version, damaged or locked for long, or the disk
/// is full. The store is as it was then.
pub fn compact(path: &Path) -> Result<Compacted, StoreError> {
    let path = std::path::absolute(path).map_err(|e| StoreError::unusable(path, &e))?;
    if !path.is_file() {
        return Err(StoreError::NoStore { path });
    }
    let bytes_before = bytes(&path);
    let shared = Arc::new(Shared {
        path: path.clone(),
        commits: AtomicU64::new(0),
        closing: AtomicBool::new(false),
    });
    let since = Instant::now();
    let connection = patiently(&shared, since, || {
        schema::connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    })?;
    let version = patiently(&shared, since, || schema::schema_version(&connection))?;
    schema::refuse_newer(&path, version)?;
    if version.is_none() {
        return Err(StoreError::NoStore { path });
    }
    patiently(&shared, since, || write_anew(&connection))?;
    // One that reads for long may be in the way; the file is cut by the next one's then.
    let _ = patiently(&shared, Instant::now(), || checkpoint(&connection));
    drop(connection);
    Ok(Compacted {
        bytes_before,
        bytes_after: bytes(&path),
    })
}

fn bytes(path: &Path) -> u64 {
    let log: PathBuf = super::files::beside(path, "-wal");
    let size = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
    size(path) + size(&log)
}
