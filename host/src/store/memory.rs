//! A store in memory, for tests and for programs that can afford to lose events.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Store, StoreError, sum};

/// A store that lives as long as its handle.
#[derive(Debug)]
pub struct MemoryStore {
    /// None once closed.
    pairs: Mutex<Option<BTreeMap<String, Vec<u8>>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self {
            pairs: Mutex::new(Some(BTreeMap::new())),
        }
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.lock()
            .as_mut()
            .ok_or(StoreError::Closed)
            .and_then(work)
    }

    /// No operation leaves the map half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<String, Vec<u8>>>> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|pairs| Ok(pairs.get(key).cloned()))
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.with(|pairs| {
            Ok(keys
                .into_iter()
                .map(|key| {
                    let value = pairs.get(&key).cloned();
                    (key, value)
                })
                .collect())
        })
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        self.with(|pairs| Ok(pairs.keys().cloned().collect()))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.with(|pairs| {
            pairs.insert(key, value);
            Ok(())
        })
    }

    async fn set_many(&self, new: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.with(|pairs| {
            pairs.extend(new);
            Ok(())
        })
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.with(|pairs| {
            for key in &keys {
                pairs.remove(key);
            }
            Ok(())
        })
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.with(|pairs| {
            let sum = sum(&key, pairs.get(&key).map(Vec::as_slice), delta)?;
            pairs.insert(key, sum.to_string().into_bytes());
            Ok(sum)
        })
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.with(|pairs| {
            let swaps = pairs.get(&key) == expected.as_ref();
            if swaps {
                pairs.insert(key, new);
            }
            Ok(swaps)
        })
    }

    async fn close(&self) {
        *self.lock() = None;
    }
}
