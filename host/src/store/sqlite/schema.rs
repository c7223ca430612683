//! Opening the file: damage, schema version, tables, settings of a connection.
//!
//! # Versions
//!
//! The file says which version its tables have: `schema_version` in `mcp_reporter_meta`. A file
//! of a newer one is refused and left as it is. An older one is brought up to date by [`STEPS`],
//! all in one transaction: it is of its old version or of the newest, whatever happens between.
//! A file without the table of versions is of version 0, a new one among them.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::files;
use super::lock::patiently;
use super::shared::{Durability, Shared};
use crate::store::{StoreError, StoreWarning};

/// Step `n` makes version `n + 1` of version `n`. Add one when an older program would misread
/// the tables; never change one that was released.
const STEPS: &[&str] = &["
    CREATE TABLE IF NOT EXISTS mcp_reporter_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS mcp_reporter_kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL);
"];

/// The version that this program writes.
const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// A file up to this size is checked for damage at each start, about 1 ms per MB.
const CHECKED_BYTES: u64 = 4 << 20;

/// The log is copied into the file at this size, in pages of 4 KiB.
const CHECKPOINT_PAGES: i64 = 4_000;

/// What a log that has grown beyond it is cut back to.
const LOG_BYTES: i64 = CHECKPOINT_PAGES * 4_096;

/// The page cache of a connection, in KiB (hence negative). Small: the system caches the file.
const WRITER_CACHE: i64 = -2_048;
const READER_CACHE: i64 = -1_024;

/// The connections of one store.
pub(super) struct Connections {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
}

/// Opens both connections. A damaged file is kept aside, and a fresh one begun.
pub(super) fn open(
    shared: &Shared,
    durability: Durability,
) -> Result<(Connections, Vec<StoreWarning>), StoreError> {
    let path = &shared.path;
    files::prepare_folder(path)?;
    let _lock = files::lock_folder(path);
    let mut warnings = Vec::from_iter(files::prepare_file(path)?);
    let writer = match open_writer(shared, durability) {
        Err(StoreError::Corrupt { detail, .. }) => {
            let kept = files::keep_aside(path)?;
            files::unmark_damaged(path);
            warnings.push(StoreWarning::KeptAside {
                path: path.clone(),
                kept,
                detail,
            });
            files::prepare_file(path)?;
            open_writer(shared, durability)?
        }
        other => other?,
    };
    let reader = open_reader(shared)?;
    Ok((Connections { writer, reader }, warnings))
}

fn open_writer(shared: &Shared, durability: Durability) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| StoreError::from_sqlite(&shared.path, &e);
    // Without CREATE: the file was made with the right permissions before.
    let mut connection =
        connect(&shared.path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
    let set_up = set_up(shared, &mut connection, durability);
    if let Err(StoreError::Corrupt { .. }) = set_up {
        // Closing must not copy the log into a damaged file: both are to be kept as they are.
        let no_checkpoint = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        connection
            .set_db_config(no_checkpoint, true)
            .map_err(failed)?;
    }
    set_up.map(|()| connection)
}

fn set_up(
    shared: &Shared,
    connection: &mut Connection,
    durability: Durability,
) -> Result<(), StoreError> {
    let path = &shared.path;
    let failed = |e: rusqlite::Error| StoreError::from_sqlite(path, &e);
    if connection.is_readonly(rusqlite::MAIN_DB).map_err(failed)? {
        let detail = "it is read-only".to_owned();
        return Err(StoreError::Unusable {
            path: path.clone(),
            detail,
        });
    }
    let began = Instant::now();
    let version = patiently(shared, began, || schema_version(connection))?;
    refuse_newer(path, version)?;
    if version.is_some() {
        check_for_damage(shared, connection)?;
    }
    let mode: String = patiently(shared, began, || {
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
    })?;
    if mode != "wal" {
        let detail = "its file system cannot hold a write-ahead log (a network drive?)".to_owned();
        return Err(StoreError::Unusable {
            path: path.clone(),
            detail,
        });
    }
    let set = |name: &str, value: i64| connection.pragma_update(None, name, value);
    let configure = || -> rusqlite::Result<()> {
        if durability == Durability::Power {
            connection.pragma_update(None, "synchronous", "full")?;
            // Elsewhere than on macOS these do nothing.
            set("fullfsync", 1)?;
            set("checkpoint_fullfsync", 1)?;
        } else {
            connection.pragma_update(None, "synchronous", "normal")?;
        }
        set("wal_autocheckpoint", CHECKPOINT_PAGES)?;
        set("journal_size_limit", LOG_BYTES)?;
        set("cache_size", WRITER_CACHE)
    };
    configure().map_err(failed)?;
    if version.is_none_or(|version| version < SCHEMA_VERSION) {
        let version = patiently(shared, began, || migrate(connection, STEPS))?;
        refuse_newer(path, Some(version))?;
        if version != SCHEMA_VERSION {
            let detail = format!("its schema version is {version}, which never was");
            return Err(StoreError::Failed {
                path: path.clone(),
                detail,
            });
        }
    }
    Ok(())
}

fn open_reader(shared: &Shared) -> Result<Connection, StoreError> {
    patiently(shared, Instant::now(), || {
        let connection = connect(&shared.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", READER_CACHE)?;
        Ok(connection)
    })
}

/// A connection that waits for no lock.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Locks are waited for by `patiently`.
    connection.busy_timeout(std::time::Duration::ZERO)?;
    Ok(connection)
}

/// The version that the file was written with; none when our tables are not in it.
pub(super) fn schema_version(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    // Asked of the file: `table_exists` answers from what this connection last saw of it.
    let is_there = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'mcp_reporter_meta'")?
        .exists([])?;
    if !is_there {
        return Ok(None);
    }
    connection
        .query_row(
            "SELECT value FROM mcp_reporter_meta WHERE name = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()
}

/// Fails if a newer program has written the file.
pub(super) fn refuse_newer(path: &Path, version: Option<i64>) -> Result<(), StoreError> {
    match version {
        Some(found) if found > SCHEMA_VERSION => Err(StoreError::NewerSchema {
            path: path.to_owned(),
            found,
            supported: SCHEMA_VERSION,
        }),
        _ => Ok(()),
    }
}

/// Takes the steps that the file has not had, all or none; returns the version it has then.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<i64> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again: another process may have been faster.
    let found = schema_version(&transaction)?.unwrap_or(0);
    let newest = steps.len() as i64;
    let Some(due @ [_, ..]) = usize::try_from(found).ok().and_then(|n| steps.get(n..)) else {
        return Ok(found);
    };
    for step in due {
        transaction.execute_batch(step)?;
    }
    transaction.execute(
        "INSERT INTO mcp_reporter_meta (name, value) VALUES ('schema_version', ?1)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        [newest],
    )?;
    transaction.commit()?;
    if found > 0 {
        tracing::info!("the store was migrated from schema version {found} to {newest}");
    }
    Ok(newest)
}

/// Looks at all of the file if it was found damaged while in use, at our table if it is
/// small, and else not at all.
fn check_for_damage(shared: &Shared, connection: &Connection) -> Result<(), StoreError> {
    let path = &shared.path;
    let marked = files::is_marked_damaged(path);
    let check = if marked {
        "PRAGMA integrity_check(1)"
    } else if fs::metadata(path).is_ok_and(|meta| meta.len() <= CHECKED_BYTES) {
        "PRAGMA quick_check('mcp_reporter_kv')"
    } else {
        return Ok(());
    };
    let verdict: String = patiently(shared, Instant::now(), || {
        connection.query_row(check, [], |row| row.get(0))
    })?;
    if verdict != "ok" {
        return Err(StoreError::Corrupt {
            path: path.clone(),
            detail: verdict.replace('\n', " "),
        });
    }
    if marked {
        files::unmark_damaged(path);
    }
    Ok(())
}
