//! The thread that reads.

use std::sync::{Arc, mpsc};
use std::time::Instant;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _};
use tokio::sync::oneshot;

use super::lock::patiently;
use super::shared::Shared;
use crate::store::StoreError;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the reader can be asked.
#[derive(Debug)]
pub(super) enum Read {
    Get {
        key: String,
        reply: Reply<Option<Vec<u8>>>,
    },
    GetMany {
        keys: Vec<String>,
        reply: Reply<Vec<(String, Option<Vec<u8>>)>>,
    },
    List {
        /// What the keys begin with; none for all.
        prefix: Option<String>,
        reply: Reply<Vec<String>>,
    },
    Stop,
}

/// The reading connection and its queue.
pub(super) struct Reader {
    connection: Connection,
    queue: mpsc::Receiver<Read>,
    shared: Arc<Shared>,
}

impl Reader {
    pub(super) fn new(
        connection: Connection,
        queue: mpsc::Receiver<Read>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            connection,
            queue,
            shared,
        }
    }

    /// Answers until it is told to stop.
    pub(super) fn run(self) {
        // Whoever asked may have gone: a failed send is no failure.
        while let Ok(read) = self.queue.recv() {
            match read {
                Read::Get { key, reply } => {
                    let _ = reply.send(self.ask(|c| value(&mut select_value(c)?, &key)));
                }
                Read::GetMany { keys, reply } => {
                    let values = self.ask(|c| values(c, &keys));
                    let _ = reply.send(values.map(|values| keys.into_iter().zip(values).collect()));
                }
                Read::List { prefix, reply } => {
                    let _ = reply.send(self.ask(|c| match &prefix {
                        Some(prefix) => list_with(c, prefix),
                        None => list(c),
                    }));
                }
                Read::Stop => break,
            }
        }
    }

    fn ask<T>(
        &self,
        question: impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        patiently(&self.shared, Instant::now(), || question(&self.connection))
            .inspect_err(|error| self.shared.note_damage(error))
    }
}

fn select_value(connection: &Connection) -> rusqlite::Result<CachedStatement<'_>> {
    connection.prepare_cached("SELECT value FROM mcp_reporter_kv WHERE key = ?1")
}

fn value(select: &mut CachedStatement<'_>, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    select.query_row([key], |row| row.get(0)).optional()
}

fn values(connection: &Connection, keys: &[String]) -> rusqlite::Result<Vec<Option<Vec<u8>>>> {
    // One snapshot for all, which is also faster. Dropped, it is rolled back.
    let _snapshot = connection.unchecked_transaction()?;
    let mut select = select_value(connection)?;
    keys.iter().map(|key| value(&mut select, key)).collect()
}

fn list(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT key FROM mcp_reporter_kv")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn list_with(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<String>> {
    // Texts are compared by their bytes, so that what begins so lies side by side.
    connection
        .prepare_cached("SELECT key FROM mcp_reporter_kv WHERE key >= ?1 AND key < ?2")?
        .query_map([prefix, &format!("{prefix}{}", char::MAX)], |row| {
            row.get(0)
        })?
        .collect()
}
