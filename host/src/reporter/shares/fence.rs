//! Keeps a host that stood still from sending with a claim that others have by now.
//!
//! The component reserves permits by a swap of its control record before it uses them, and they
//! lapse after [`RESERVATION`]. Such a swap is refused here unless the claim is good for as long; the
//! component then takes its lease for lost and sends nothing more.

use crate::store::{Store, StoreError};
use async_trait::async_trait;
use mcp_reporter_core::control::{self, Control};
use mcp_reporter_core::drain::RESERVATION;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A shard's store, in which permits are reserved until a certain moment only.
pub(in crate::reporter) struct Fence {
    store: Arc<dyn Store>,
    until: Arc<Mutex<Instant>>,
}

impl Fence {
    /// `store`, with permits to be reserved and used by the moment in `until`.
    pub fn new(store: Arc<dyn Store>, until: Arc<Mutex<Instant>>) -> Self {
        Self { store, until }
    }

    fn refuses(&self, key: &str, value: &[u8]) -> bool {
        let reserves = || Control::decode(value).is_some_and(|control| control.reserved > 0);
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        key == control::KEY && Instant::now() + RESERVATION > until && reserves()
    }
}

#[async_trait]
impl Store for Fence {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.store.get_many(keys).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        self.store.list_keys().await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.store.set(key, value).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.store.set_many(pairs).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.store.delete_many(keys).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.store.increment(key, delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        if self.refuses(&key, &new) {
            tracing::warn!("this host stood still for longer than its share of the rate is good");
            return Ok(false);
        }
        self.store.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
