//! Giving back to the system what the file no longer needs.
//!
//! SQLite keeps the pages of what was deleted for what comes next, so a file would stay as large
//! as it ever was. A new file can be cut from its end (`auto_vacuum = incremental`), and that is
//! done in small steps while nothing else is to be written, as soon as at least half of the file
//! is free. A file that was made without it is written anew instead, once, and only while there is
//! so little in it that this is as short as a step.
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

/// Free pages of 4 KiB that stay: what comes next is written into them.
const SPARE_PAGES: i64 = 1_024;
/// Pages given back in one step, which takes a millisecond or two.
const STEP_PAGES: i64 = 128;
/// The most pages in use for which a file is written anew beside the work.
const FEW_PAGES: i64 = 256;

/// `auto_vacuum = incremental`, as SQLite numbers it.
const INCREMENTAL: i64 = 2;

/// Makes a file that is still empty one that can be cut from its end; leaves others as they are.
pub(super) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)
}

/// What [`give_back`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Given {
    /// Nothing: there is nothing to give back.
    Nothing,
    /// Some pages, and there are more.
    Some,
    /// The last pages.
    Last,
}

/// Gives back some pages, if at least half of the file is free. The file is cut by the next
/// [`checkpoint`].
///
/// # Errors
///
/// SQLite failed, or another process is writing.
pub(super) fn give_back(connection: &Connection) -> rusqlite::Result<Given> {
    let pages = number(connection, "page_count")?;
    let free = number(connection, "freelist_count")?;
    if free <= SPARE_PAGES || free < pages / 2 {
        return Ok(Given::Nothing);
    }
    if number(connection, "auto_vacuum")? != INCREMENTAL {
        if pages - free > FEW_PAGES {
            return Ok(Given::Nothing);
        }
        write_anew(connection)?;
        return Ok(Given::Last);
    }
    let step = STEP_PAGES.min(free - SPARE_PAGES);
    // A row for each page: all are to be asked for.
    let mut cut = connection.prepare(&format!("PRAGMA incremental_vacuum({step})"))?;
    let mut rows = cut.query([])?;
    while rows.next()?.is_some() {}
    Ok(if step < STEP_PAGES {
        Given::Last
    } else {
        Given::Some
    })
}

fn write_anew(connection: &Connection) -> rusqlite::Result<()> {
    prepare(connection)?;
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
