//! The events that the coordinator took: in memory, in a SQLite file, or not at all.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::error::CoordinatorError;
use crate::private;

/// An event that the coordinator stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the order of storing, from 1 on.
    pub seq: u64,
    /// When it was stored (microseconds).
    pub received_at: SystemTime,
    /// Its `Idempotency-Key`, without the quotes.
    pub idempotency_key: Option<String>,
    /// `interaction_start`, `_progress`, `_complete` or `_error`.
    pub action: String,
    /// Which interaction.
    pub interaction_id: String,
    /// `mcp_id`, if the body has it as a string.
    pub mcp_id: Option<String>,
    /// The body, byte for byte.
    pub body: Bytes,
}

/// How far an interaction has come, as the coordinator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InteractionState {
    /// Its last event is a start.
    Started,
    /// Its last event is a progress.
    InProgress,
    /// Its last event is a complete.
    Completed,
    /// Its last event is an error.
    Failed,
}

impl InteractionState {
    const ALL: [(Self, &str, &str); 4] = [
        (Self::Started, "interaction_start", "started"),
        (Self::InProgress, "interaction_progress", "in_progress"),
        (Self::Completed, "interaction_complete", "completed"),
        (Self::Failed, "interaction_error", "failed"),
    ];

    fn after(action: &str) -> Option<Self> {
        Self::ALL.iter().find(|s| s.1 == action).map(|s| s.0)
    }

    fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|s| s.0 == self)
            .map_or("", |(_, _, name)| name)
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|s| s.2 == name).map(|s| s.0)
    }
}

/// What arrived, as far as it could be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived<'a> {
    pub at: SystemTime,
    pub idempotency_key: Option<&'a str>,
    pub action: Option<&'a str>,
    pub interaction_id: Option<&'a str>,
    pub mcp_id: Option<&'a str>,
    pub body: &'a Bytes,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Stored,
    Duplicate,
    /// Its start was not seen.
    DroppedUnknown,
    /// It has no known action or no id.
    Unusable,
}

/// Where the events go.
pub(super) enum Store {
    /// Nowhere: everything counts as stored.
    Sink,
    Memory(Memory),
    Sqlite(Connection),
}

#[derive(Default)]
pub(super) struct Memory {
    events: Vec<StoredEvent>,
    keys: HashSet<String>,
    interactions: HashMap<String, InteractionState>,
}

impl Store {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        make_private(path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        // WAL with NORMAL survives kill -9, and lets others read meanwhile.
        connection.execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = NORMAL;
             CREATE TABLE IF NOT EXISTS events(
                 seq INTEGER PRIMARY KEY,
                 received_at_us INTEGER NOT NULL,
                 idempotency_key TEXT,
                 action TEXT NOT NULL,
                 interaction_id TEXT NOT NULL,
                 mcp_id TEXT,
                 body BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS idempotency_keys(
                 key TEXT PRIMARY KEY) WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS interactions(
                 interaction_id TEXT PRIMARY KEY,
                 state TEXT NOT NULL) WITHOUT ROWID;",
        )?;
        Ok(Self::Sqlite(connection))
    }

    /// Applies the real server's rules to an event, and the idempotency key
    /// that the real one lacks. What this returns has been committed.
    pub(super) fn take(&mut self, event: &Arrived<'_>) -> rusqlite::Result<Taken> {
        match self {
            Self::Sink => Ok(Taken::Stored),
            Self::Memory(memory) => Ok(memory.take(event)),
            Self::Sqlite(connection) => take_into(connection, event),
        }
    }

    /// Forgets which interactions there are, as the real server does when it restarts.
    pub(super) fn forget_starts(&mut self) -> rusqlite::Result<()> {
        match self {
            Self::Sink => Ok(()),
            Self::Memory(memory) => {
                memory.interactions.clear();
                Ok(())
            }
            Self::Sqlite(connection) => {
                connection.execute("DELETE FROM interactions", []).map(drop)
            }
        }
    }

    pub(super) fn events(&self) -> rusqlite::Result<Vec<StoredEvent>> {
        match self {
            Self::Sink => Ok(Vec::new()),
            Self::Memory(memory) => Ok(memory.events.clone()),
            Self::Sqlite(connection) => events_of(connection),
        }
    }

    pub(super) fn interaction(&self, id: &str) -> rusqlite::Result<Option<InteractionState>> {
        match self {
            Self::Sink => Ok(None),
            Self::Memory(memory) => Ok(memory.interactions.get(id).copied()),
            Self::Sqlite(connection) => {
                let name: Option<String> = connection
                    .prepare_cached("SELECT state FROM interactions WHERE interaction_id = ?1")?
                    .query_row([id], |row| row.get(0))
                    .optional()?;
                Ok(name.as_deref().and_then(InteractionState::named))
            }
        }
    }
}

impl Memory {
    fn take(&mut self, event: &Arrived<'_>) -> Taken {
        // A dropped event's key counts too: the same key must give the same result.
        if let Some(key) = event.idempotency_key
            && !self.keys.insert(key.to_owned())
        {
            return Taken::Duplicate;
        }
        let Some((state, id)) = usable(event) else {
            return Taken::Unusable;
        };
        match self.interactions.get_mut(id) {
            Some(known) => *known = state,
            None if state == InteractionState::Started => {
                self.interactions.insert(id.to_owned(), state);
            }
            None => return Taken::DroppedUnknown,
        }
        self.events.push(StoredEvent {
            seq: self.events.len() as u64 + 1,
            received_at: from_micros(to_micros(event.at)),
            idempotency_key: event.idempotency_key.map(str::to_owned),
            action: event.action.unwrap_or_default().to_owned(),
            interaction_id: id.to_owned(),
            mcp_id: event.mcp_id.map(str::to_owned),
            body: event.body.clone(),
        });
        Taken::Stored
    }
}

fn take_into(connection: &mut Connection, event: &Arrived<'_>) -> rusqlite::Result<Taken> {
    let transaction = connection.transaction()?;
    let taken = 'taken: {
        if let Some(key) = event.idempotency_key {
            let new = transaction
                .prepare_cached("INSERT OR IGNORE INTO idempotency_keys VALUES (?1)")?
                .execute([key])?;
            if new == 0 {
                break 'taken Taken::Duplicate;
            }
        }
        let Some((state, id)) = usable(event) else {
            break 'taken Taken::Unusable;
        };
        let known = match state {
            InteractionState::Started => transaction
                .prepare_cached("INSERT OR REPLACE INTO interactions VALUES (?1, ?2)")?
                .execute([id, state.name()])?,
            _ => transaction
                .prepare_cached("UPDATE interactions SET state = ?2 WHERE interaction_id = ?1")?
                .execute([id, state.name()])?,
        };
        if known == 0 {
            break 'taken Taken::DroppedUnknown;
        }
        transaction
            .prepare_cached(
                "INSERT INTO events(received_at_us, idempotency_key, action, interaction_id,
                 mcp_id, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                to_micros(event.at),
                event.idempotency_key,
                event.action,
                id,
                event.mcp_id,
                &event.body[..],
            ])?;
        Taken::Stored
    };
    transaction.commit()?;
    Ok(taken)
}

fn usable<'a>(event: &Arrived<'a>) -> Option<(InteractionState, &'a str)> {
    Some((
        InteractionState::after(event.action?)?,
        event.interaction_id?,
    ))
}

/// The events in a coordinator's file, in order. The coordinator may be running.
///
/// # Errors
///
/// When the file does not exist or is not a coordinator's.
pub fn read_db(path: &Path) -> Result<Vec<StoredEvent>, CoordinatorError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(Duration::from_secs(5))?;
            events_of(&connection)
        })
        .map_err(|source| CoordinatorError::Store {
            path: path.to_owned(),
            source,
        })
}

fn events_of(connection: &Connection) -> rusqlite::Result<Vec<StoredEvent>> {
    connection
        .prepare_cached(
            "SELECT seq, received_at_us, idempotency_key, action, interaction_id, mcp_id, body
             FROM events ORDER BY seq",
        )?
        .query_map([], |row| {
            Ok(StoredEvent {
                seq: row.get::<_, i64>(0)?.unsigned_abs(),
                received_at: from_micros(row.get(1)?),
                idempotency_key: row.get(2)?,
                action: row.get(3)?,
                interaction_id: row.get(4)?,
                mcp_id: row.get(5)?,
                body: row.get::<_, Vec<u8>>(6)?.into(),
            })
        })?
        .collect()
}

fn to_micros(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as i64)
}

fn from_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs())
}

/// Creates the file readable by its owner alone; SQLite gives the WAL the same mode.
fn make_private(path: &Path) {
    // An existing file is left as it is; any other failure comes up again, better
    // worded, when SQLite opens it.
    let _ = private::make_new_file(path);
}
