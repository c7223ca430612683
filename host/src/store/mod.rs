//! The key-value store that holds the outbox: one trait, a small place for each backend.
//!
//! The operations are those of `wasi:keyvalue`. What every backend keeps:
//!
//! - an operation that returned `Ok` is done, and every later operation sees it, from any
//!   handle of any process on the same store;
//! - [`Store::set_many`], [`Store::increment`] and [`Store::compare_and_swap`] are atomic;
//! - [`Store::list_keys`] is a snapshot;
//! - no operation blocks the thread that polls it;
//! - an operation whose future is dropped may still happen.

mod agreed;
mod error;
mod legacy;
#[cfg(test)]
mod legacy_tests;
mod memory;
mod redis;
pub(crate) mod shard;
mod sqlite;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub(crate) use self::agreed::Agreed;
pub use self::agreed::agree_on_shards;
pub use self::error::{StoreError, StoreWarning};
pub use self::legacy::{LegacyCache, LegacyRow};
pub use self::memory::MemoryStore;
pub use self::redis::{RedisOptions, RedisStore, RedisUrl};
pub use self::sqlite::{
    Backup, Compacted, Durability, SqliteOptions, SqliteStore, backup, compact,
};

/// A key-value store.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The value of `key`, none when it is absent.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// `keys` with their values, one for each, in the same order.
    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError>;

    /// Every key, in any order, as of one moment.
    async fn list_keys(&self) -> Result<Vec<String>, StoreError>;

    /// The keys that begin with `prefix`, in any order, as of one moment.
    async fn list_keys_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let mut keys = self.list_keys().await?;
        keys.retain(|key| key.starts_with(prefix));
        Ok(keys)
    }

    /// Sets one pair.
    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError>;

    /// Sets all pairs or none. Of two pairs with one key the later wins.
    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError>;

    /// Deletes all keys or none; absent ones are skipped.
    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError>;

    /// Adds `delta` to the number at `key` and returns the sum. An absent key counts as 0;
    /// a number is stored as its decimal text.
    ///
    /// Fails with [`StoreError::NotANumber`] when the value is no number or the sum is
    /// beyond 64 bits; nothing is changed then.
    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError>;

    /// Sets `key` to `new` if its value is `expected`, byte for byte (none: if it is
    /// absent), and says whether it did.
    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError>;

    /// Finishes what was begun and lets go of the store. Later operations fail with
    /// [`StoreError::Closed`]; closing again does nothing.
    async fn close(&self);
}

/// The sum that [`Store::increment`] stores over `current`.
fn sum(key: &str, current: Option<&[u8]>, delta: i64) -> Result<i64, StoreError> {
    let number = match current {
        None => Some(0),
        Some(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|t| t.parse::<i64>().ok()),
    };
    number
        .and_then(|n| n.checked_add(delta))
        .ok_or_else(|| StoreError::NotANumber {
            key: key.to_owned(),
            delta,
        })
}
