//! One shard of an outbox: a view of the store through which only its own keys are seen.
//!
//! Shard `k` has every key of an outbox, each behind `s<k>.`: `s0.control`, `s3.q.…`. An
//! interaction is in shard `hash mod N`, the hash being the 64 bits that its keys carry
//! ([`interaction_hash`]): so a key alone tells its shard, and nothing has to be looked up.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_reporter_core::outbox::{EventKey, interaction_hash};

use super::{Store, StoreError};

/// The shard, of `shards`, of an interaction.
pub(crate) fn of_interaction(id: &str, shards: usize) -> usize {
    of_hash(interaction_hash(id), shards)
}

/// The shard, of `shards`, of the event under `key`, which is without its shard's prefix; none
/// when it is no event's key.
pub(crate) fn of_key(key: &str, shards: usize) -> Option<usize> {
    let (_, key) = EventKey::parse(key)?;
    Some(of_hash(key.interaction, shards))
}

fn of_hash(hash: u64, shards: usize) -> usize {
    // The remainder fits: it is below a number that does.
    (hash % shards.max(1) as u64) as usize
}

/// What the keys of a shard begin with.
pub(super) fn prefix(shard: usize) -> String {
    format!("s{shard}.")
}

/// `key` without the prefix of a shard, if it has one.
pub(super) fn bare(key: &str) -> &str {
    let rest = key.strip_prefix('s').and_then(|rest| rest.split_once('.'));
    match rest {
        Some((shard, rest)) if shard.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => key,
    }
}

/// A shard's view of the store of all of them.
pub(crate) struct Shard {
    store: Arc<dyn Store>,
    prefix: String,
}

impl Shard {
    /// Shard number `shard`, from 0, of what is in `store`.
    pub(crate) fn new(store: Arc<dyn Store>, shard: usize) -> Self {
        Self {
            store,
            prefix: prefix(shard),
        }
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn strip(&self, mut key: String) -> String {
        key.drain(..self.prefix.len().min(key.len()));
        key
    }
}

#[async_trait]
impl Store for Shard {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(&self.full(key)).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        let full = keys.iter().map(|key| self.full(key)).collect();
        let found = self.store.get_many(full).await?;
        // One for each, in the same order.
        let values = found.into_iter().map(|(_, value)| value);
        Ok(keys.into_iter().zip(values).collect())
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        let keys = self.store.list_keys_with(&self.prefix).await?;
        Ok(keys.into_iter().map(|key| self.strip(key)).collect())
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.store.set(self.full(&key), value).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let full = pairs.into_iter().map(|(key, v)| (self.full(&key), v));
        self.store.set_many(full.collect()).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        let full = keys.iter().map(|key| self.full(key)).collect();
        self.store.delete_many(full).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.store.increment(self.full(&key), delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        let full = self.full(&key);
        self.store.compare_and_swap(full, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use mcp_reporter_core::outbox::{Place, Stage};

    #[test]
    fn the_shard_of_an_interaction_is_the_same_for_ever() {
        // What lies in outboxes was put there by these: SipHash-1-3 with a zero key, checked with
        // another implementation.
        for (id, hash, shard_of_7) in [
            ("int_1718000000_0a1b2c3d", 0x49f8_e6e9_c956_ce3c, 4),
            ("a", 0x4074_48d2_b89b_1813, 5),
            ("é", 0xee6a_d339_f088_74c0, 6),
        ] {
            let key = EventKey {
                ns: 1,
                interaction: hash,
                stage: Stage::Start,
                size: 2,
                random: 3,
            };
            for place in [Place::Waiting, Place::Dead] {
                assert_eq!(of_key(&key.name(place), 7), Some(shard_of_7), "{id}");
            }
            assert_eq!(of_interaction(id, 7), shard_of_7, "{id}");
            assert_eq!(of_interaction(id, 1), 0);
        }
        assert_eq!(of_key("control", 4), None);
    }

    #[test]
    fn only_a_shards_prefix_is_taken_off() {
        for (key, expected) in [
            ("s0.q.1", "q.1"),
            ("s63.control", "control"),
            ("q.1.s.2", "q.1.s.2"),
            ("shares", "shares"),
            ("shards", "shards"),
            ("sx.q", "sx.q"),
        ] {
            assert_eq!(bare(key), expected);
        }
    }

    #[tokio::test]
    async fn a_shard_sees_nothing_of_the_others() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let [one, ten] = [1, 10].map(|shard| Shard::new(store.clone(), shard));
        one.set("a".into(), b"1".to_vec()).await.unwrap();
        ten.set("a".into(), b"10".to_vec()).await.unwrap();
        store.set("a".into(), b"none".to_vec()).await.unwrap();
        assert_eq!(one.list_keys().await.unwrap(), ["a"]);
        assert_eq!(one.get("a").await.unwrap(), Some(b"1".to_vec()));
        assert_eq!(ten.get("a").await.unwrap(), Some(b"10".to_vec()));
        assert_eq!(
            one.get_many(vec!["b".into(), "a".into()]).await.unwrap(),
            [
                ("b".to_owned(), None),
                ("a".to_owned(), Some(b"1".to_vec()))
            ]
        );
        one.delete_many(vec!["a".into()]).await.unwrap();
        assert_eq!(one.list_keys().await.unwrap(), [""; 0]);
        assert_eq!(store.get("a").await.unwrap(), Some(b"none".to_vec()));
    }
}
