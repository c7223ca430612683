//! Spin's Redis backend, with its faults: the same commands in the same order.
//!
//! - `get-many` asks `KEYS` for several patterns, which Redis refuses.
//! - `list-keys` asks `KEYS *`: other applications' keys are among them.
//! - A swap ends with `UNWATCH key`, which Redis refuses for its argument, so that one that took
//!   fails as well.
//! - Each compare-and-swap has a connection of its own, for as long as its handle is kept.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, RedisResult, cmd, pipe};

use super::store::{Cas, Done, Store, StoreError, SwapError};

/// Longer than any answer takes: whether a command without an answer was done is unknown.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The store in a Redis database.
pub struct Redis {
    client: Client,
    connection: MultiplexedConnection,
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The client's.
    pub async fn connect(url: &str) -> RedisResult<Self> {
        let client = Client::open(url)?;
        let connection = connect(&client).await?;
        Ok(Self { client, connection })
    }
}

async fn connect(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_LIMIT));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn failed(error: RedisError) -> StoreError {
    StoreError::Failed(error.to_string())
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: &str) -> Done<Option<Vec<u8>>> {
        let mut connection = self.connection.clone();
        let value = cmd("GET").arg(key).query_async(&mut connection).await;
        value.map_err(failed)
    }

    async fn get_many(&self, keys: Vec<String>) -> Done<Vec<(String, Option<Vec<u8>>)>> {
        let mut connection = self.connection.clone();
        let found = cmd("KEYS").arg(keys).query_async(&mut connection).await;
        found.map_err(failed)
    }

    async fn list_keys(&self) -> Done<Vec<String>> {
        let mut connection = self.connection.clone();
        let keys = cmd("KEYS").arg("*").query_async(&mut connection).await;
        keys.map_err(failed)
    }

    async fn exists(&self, key: &str) -> Done<bool> {
        let mut connection = self.connection.clone();
        let there = cmd("EXISTS").arg(key).query_async(&mut connection).await;
        there.map_err(failed)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Done<()> {
        let mut connection = self.connection.clone();
        let mut set = cmd("SET");
        let set = set.arg(key).arg(value).exec_async(&mut connection);
        set.await.map_err(failed)
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Done<()> {
        let mut connection = self.connection.clone();
        let mut set = cmd("MSET");
        for (key, value) in &pairs {
            set.arg(key).arg(&value[..]);
        }
        set.exec_async(&mut connection).await.map_err(failed)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Done<()> {
        let mut connection = self.connection.clone();
        let deleted = cmd("DEL").arg(keys).exec_async(&mut connection).await;
        deleted.map_err(failed)
    }

    async fn increment(&self, key: &str, delta: i64) -> Done<i64> {
        let mut connection = self.connection.clone();
        let mut increment = cmd("INCRBY");
        let new = increment.arg(key).arg(delta).query_async(&mut connection);
        new.await.map_err(failed)
    }

    async fn compare_and_swap(&self, key: &str) -> Done<Arc<dyn Cas>> {
        Ok(Arc::new(Swap {
            connection: connect(&self.client).await.map_err(failed)?,
            key: key.to_owned(),
        }))
    }
}

struct Swap {
    connection: MultiplexedConnection,
    key: String,
}

#[async_trait]
impl Cas for Swap {
    fn key(&self) -> &str {
        &self.key
    }

    async fn current(&self) -> Done<Option<Vec<u8>>> {
        let mut connection = self.connection.clone();
        let mut watch = cmd("WATCH");
        let watching = watch.arg(&self.key).exec_async(&mut connection);
        watching.await.map_err(failed)?;
        let value = cmd("GET").arg(&self.key).query_async(&mut connection).await;
        value.map_err(failed)
    }

    async fn swap(&self, value: Vec<u8>) -> Result<(), SwapError> {
        let mut connection = self.connection.clone();
        let mut transaction = pipe();
        transaction.atomic().set(&self.key, value).ignore();
        let took = transaction.exec_async(&mut connection).await;
        let mut unwatch = cmd("UNWATCH");
        let ended = unwatch.arg(&self.key).exec_async(&mut connection);
        ended.await.map_err(|_| SwapError::CasFailed)?;
        took.map_err(|_| SwapError::CasFailed)
    }
}
