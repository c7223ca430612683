//! What stands behind `wasi:keyvalue`: one of Spin's backends.

use std::sync::Arc;

use async_trait::async_trait;

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The component is told.
    Failed(String),
    /// Spin's host panics: the instance ends.
    Panicked(&'static str),
}

/// Why a swap failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwapError {
    /// The component is told that the value is another one.
    CasFailed,
    /// The store failed.
    Store(StoreError),
}

/// What an operation comes to.
pub type Done<T> = Result<T, StoreError>;

/// A store of Spin's. All instances share it.
#[async_trait]
pub trait Store: Send + Sync {
    /// The value under `key`.
    async fn get(&self, key: &str) -> Done<Option<Vec<u8>>>;
    /// Those of `keys` that are there, in any order.
    async fn get_many(&self, keys: Vec<String>) -> Done<Vec<(String, Option<Vec<u8>>)>>;
    /// All keys.
    async fn list_keys(&self) -> Done<Vec<String>>;
    /// Whether there is a value under `key`.
    async fn exists(&self, key: &str) -> Done<bool>;
    /// Puts `value` under `key`.
    async fn set(&self, key: &str, value: &[u8]) -> Done<()>;
    /// Puts each value under its key.
    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Done<()>;
    /// Deletes what is under `keys`.
    async fn delete_many(&self, keys: Vec<String>) -> Done<()>;
    /// Adds to the counter under `key`; an absent one is 0.
    async fn increment(&self, key: &str, delta: i64) -> Done<i64>;
    /// Begins a compare-and-swap.
    async fn compare_and_swap(&self, key: &str) -> Done<Arc<dyn Cas>>;
}

/// A compare-and-swap that was begun.
#[async_trait]
pub trait Cas: Send + Sync {
    /// Which key it is about.
    fn key(&self) -> &str;
    /// The value now, which a swap then compares with.
    async fn current(&self) -> Done<Option<Vec<u8>>>;
    /// Puts `value` in its place.
    async fn swap(&self, value: Vec<u8>) -> Result<(), SwapError>;
}
