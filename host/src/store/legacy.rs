//! Reading the old client's cache of events that it could not send.
//!
//! Its table is `failed_interactions(id INTEGER PRIMARY KEY AUTOINCREMENT,
//! interaction_data TEXT, timestamp REAL, retry_count INTEGER DEFAULT 0)`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// How long a writer is waited for. The old client's own transactions take milliseconds.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

/// One event that the old client kept.
#[derive(Debug, Clone, PartialEq)]
pub struct LegacyRow {
    /// Its number in the table.
    pub id: i64,
    /// The body it tried to send, JSON text; empty when the column holds no text.
    pub interaction_data: String,
    /// When it was kept, in seconds since 1970-01-01 UTC; 0 when absent.
    pub timestamp: f64,
    /// How often it was sent again.
    pub retry_count: i64,
}

/// The old client's cache, opened for reading: the old client may go on using it.
#[derive(Debug)]
pub struct LegacyCache {
    path: PathBuf,
    connection: Connection,
}

impl LegacyCache {
    /// Opens the cache at `path`. Blocks for at most 10 s while the file is locked.
    ///
    /// Fails with [`StoreError::NoLegacyTable`] when the file has no such table.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let meta = std::fs::metadata(path).map_err(|e| StoreError::unusable(path, &e))?;
        if !meta.is_file() {
            return Err(StoreError::NotAFile {
                path: path.to_owned(),
            });
        }
        let open = || -> rusqlite::Result<(Connection, bool)> {
            let connection = Connection::open_with_flags(
                path,
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )?;
            connection.busy_timeout(BUSY_LIMIT)?;
            let found = connection.table_exists(None, "failed_interactions")?;
            Ok((connection, found))
        };
        match open().map_err(|e| failure(path, &e))? {
            (connection, true) => Ok(Self {
                path: path.to_owned(),
                connection,
            }),
            (_, false) => Err(StoreError::NoLegacyTable {
                path: path.to_owned(),
            }),
        }
    }

    /// The number of rows.
    pub fn count(&self) -> Result<u64, StoreError> {
        self.connection
            .query_row("SELECT count(*) FROM failed_interactions", [], |row| {
                row.get::<_, i64>(0)
            })
            .map(i64::unsigned_abs)
            .map_err(|e| failure(&self.path, &e))
    }

    /// At most `limit` rows with an id above `after`, by rising id. Begin with `i64::MIN`,
    /// go on with the last id; an empty page is the end.
    pub fn page(&self, after: i64, limit: u32) -> Result<Vec<LegacyRow>, StoreError> {
        let read = || -> rusqlite::Result<Vec<LegacyRow>> {
            let mut select = self.connection.prepare_cached(
                "SELECT id, interaction_data, CAST(timestamp AS REAL), CAST(retry_count AS INTEGER) \
                 FROM failed_interactions WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let rows = select.query_map((after, limit), |row| {
                Ok(LegacyRow {
                    id: row.get(0)?,
                    interaction_data: row.get_ref(1)?.as_str().unwrap_or_default().to_owned(),
                    timestamp: row.get::<_, Option<f64>>(2)?.unwrap_or_default(),
                    retry_count: row.get::<_, Option<i64>>(3)?.unwrap_or_default(),
                })
            })?;
            rows.collect()
        };
        read().map_err(|e| failure(&self.path, &e))
    }
}

/// As the file is read and never replaced, damage is not followed by a fresh start.
fn failure(path: &Path, error: &rusqlite::Error) -> StoreError {
    match StoreError::from_sqlite(path, error) {
        StoreError::Corrupt { path, detail } => StoreError::Failed { path, detail },
        other => match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => StoreError::Busy {
                path: path.to_owned(),
                waited_s: BUSY_LIMIT.as_secs(),
            },
            _ => other,
        },
    }
}
