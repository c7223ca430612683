//! Spin's default store: one SQLite connection behind one mutex.
//!
//! The file has the rollback journal that SQLite begins with, and each write is a transaction of
//! its own that is synced before it is acknowledged.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::task::block_in_place;

use super::store::{Cas, Done, Store, StoreError, SwapError};

const UPSERT: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)
    ON CONFLICT(store, key) DO UPDATE SET value = ?3";
const SELECT: &str = "SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2";

/// The name of the only store that is declared.
const NAME: &str = super::keyvalue::DECLARED;

/// The store in a file.
#[derive(Clone)]
pub struct Sqlite {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    connection: Connection,
    /// A panic under the lock left the mutex poisoned: whoever locks it next panics too.
    poisoned: bool,
}

impl Sqlite {
    /// Opens the file, which is made if there is none.
    ///
    /// # Errors
    ///
    /// SQLite's.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS spin_key_value (
                store TEXT NOT NULL,
                key   TEXT NOT NULL,
                value BLOB NOT NULL,
                PRIMARY KEY (store, key)
            )",
            [],
        )?;
        let poisoned = false;
        Ok(Self {
            shared: Arc::new(Mutex::new(Shared {
                connection,
                poisoned,
            })),
        })
    }

    /// Does this with the connection, on a thread that may block.
    fn with<T>(&self, act: impl FnOnce(&mut Shared) -> rusqlite::Result<T>) -> Done<T> {
        block_in_place(|| {
            let mut shared = self.lock();
            let result = act(&mut shared);
            if shared.poisoned {
                return Err(StoreError::Panicked("the mutex of the store is poisoned"));
            }
            result.map_err(|error| StoreError::Failed(error.to_string()))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn select(connection: &Connection, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached(SELECT)?
        .query_row(params![NAME, key], |row| row.get(0))
        .optional()
}

fn upsert(connection: &Connection, key: &str, value: &[u8]) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(UPSERT)?
        .execute(params![NAME, key, value])
}

/// `keys` as the one parameter of a statement.
fn array(keys: &[String]) -> String {
    serde_json::Value::from(keys).to_string()
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &str) -> Done<Option<Vec<u8>>> {
        self.with(|shared| select(&shared.connection, key))
    }

    async fn get_many(&self, keys: Vec<String>) -> Done<Vec<(String, Option<Vec<u8>>)>> {
        self.with(|shared| {
            let mut statement = shared.connection.prepare_cached(
                "SELECT key, value FROM spin_key_value
                 WHERE store = ?1 AND key IN (SELECT value FROM json_each(?2))",
            )?;
            let rows = statement.query_map(params![NAME, array(&keys)], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect()
        })
    }

    async fn list_keys(&self) -> Done<Vec<String>> {
        self.with(|shared| {
            let mut statement = shared
                .connection
                .prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1")?;
            let rows = statement.query_map([NAME], |row| row.get(0))?;
            rows.collect()
        })
    }

    async fn exists(&self, key: &str) -> Done<bool> {
        Ok(self.get(key).await?.is_some())
    }

    async fn set(&self, key: &str, value: &[u8]) -> Done<()> {
        self.with(|shared| upsert(&shared.connection, key, value).map(drop))
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Done<()> {
        self.with(|shared| {
            let transaction = shared.connection.transaction()?;
            for (key, value) in &pairs {
                upsert(&transaction, key, value)?;
            }
            transaction.commit()
        })
    }

    async fn delete_many(&self, keys: Vec<String>) -> Done<()> {
        self.with(|shared| {
            let mut statement = shared.connection.prepare_cached(
                "DELETE FROM spin_key_value
                 WHERE store = ?1 AND key IN (SELECT value FROM json_each(?2))",
            )?;
            statement.execute(params![NAME, array(&keys)]).map(drop)
        })
    }

    async fn increment(&self, key: &str, delta: i64) -> Done<i64> {
        self.with(|shared| {
            let transaction = shared.connection.transaction()?;
            let old = match select(&transaction, key)? {
                Some(bytes) => match bytes.try_into() {
                    Ok(bytes) => i64::from_le_bytes(bytes),
                    Err(_) => {
                        drop(transaction);
                        shared.poisoned = true;
                        return Ok(0);
                    }
                },
                None => 0,
            };
            let new = old.wrapping_add(delta);
            upsert(&transaction, key, &new.to_le_bytes())?;
            transaction.commit()?;
            Ok(new)
        })
    }

    async fn compare_and_swap(&self, key: &str) -> Done<Arc<dyn Cas>> {
        Ok(Arc::new(Swap {
            store: self.clone(),
            key: key.to_owned(),
            seen: Mutex::new(None),
        }))
    }
}

struct Swap {
    store: Sqlite,
    key: String,
    /// What was there at the last look; none if there was none, of either.
    seen: Mutex<Option<Vec<u8>>>,
}

#[async_trait]
impl Cas for Swap {
    fn key(&self) -> &str {
        &self.key
    }

    async fn current(&self) -> Done<Option<Vec<u8>>> {
        let value = self.store.get(&self.key).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone_from(&value);
        Ok(value)
    }

    async fn swap(&self, value: Vec<u8>) -> Result<(), SwapError> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = seen.clone();
        let changed = self.store.with(|shared| match seen {
            Some(seen) => shared
                .connection
                .prepare_cached(
                    "UPDATE spin_key_value SET value = ?4
                     WHERE store = ?1 AND key = ?2 AND value = ?3",
                )?
                .execute(params![NAME, self.key, seen, value]),
            // Whatever has come there meanwhile.
            None => upsert(&shared.connection, &self.key, &value),
        });
        match changed {
            Ok(1) => Ok(()),
            Ok(_) => Err(SwapError::CasFailed),
            Err(error) => Err(SwapError::Store(error)),
        }
    }
}
