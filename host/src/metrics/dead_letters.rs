//! Counts dead letters where they are written: in the store of the instance that delivers.
//!
//! The component says how many there were, but not why; their records do. Only keys that begin
//! as a dead letter's are looked at, so all else passes untouched.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_reporter_core::drain::Cause;
use mcp_reporter_core::outbox::{EventKey, Place};

use super::Metrics;
use crate::engine::{Action, action_of};
use crate::store::{Store, StoreError};

/// A store that counts the dead letters written to it.
pub(crate) struct DeadLetterCounter {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl DeadLetterCounter {
    /// `store`, watched.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

/// Why the event under `key` is set aside, and its action if that can be read; none when it is
/// not set aside.
fn dead_letter(key: &str, value: &[u8]) -> Option<(Cause, Option<Action>)> {
    // Its beginning spares all others the parsing.
    if Place::of(key) != Some(Place::Dead) {
        return None;
    }
    EventKey::parse(key)?;
    let (cause, action) = Cause::of(value);
    Some((cause, action.map(action_of)))
}

#[async_trait]
impl Store for DeadLetterCounter {
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
        let written = dead_letter(&key, &value);
        self.store.set(key, value).await?;
        if let Some((cause, action)) = written {
            self.metrics.dead_lettered(cause, action);
        }
        Ok(())
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let written: Vec<_> = pairs
            .iter()
            .filter_map(|(k, v)| dead_letter(k, v))
            .collect();
        self.store.set_many(pairs).await?;
        for (cause, action) in written {
            self.metrics.dead_lettered(cause, action);
        }
        Ok(())
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
        self.store.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_reporter_core::event;
    use mcp_reporter_core::outbox::{self, Record};

    #[test]
    fn only_dead_letters_count() {
        let key = EventKey {
            ns: 1,
            interaction: 2,
            stage: outbox::Stage::End,
            size: 3,
            random: 4,
        };
        let value = outbox::new_value(event::Action::Complete, "i", "k", "", 2, |out| {
            out.extend_from_slice(b"{}");
            Ok::<_, outbox::BadRecord>(())
        });
        let mut record = Record::decode(&value.unwrap()).unwrap();
        record.last_failure = "HTTP 422".into();
        let value = record.encode();
        assert_eq!(dead_letter(&key.name(Place::Waiting), &value), None);
        for other in ["dog", "d.og"] {
            assert_eq!(dead_letter(other, &value), None);
        }
        let name = key.name(Place::Dead);
        assert_eq!(
            dead_letter(&name, &value),
            Some((Cause::Refused, Some(Action::Complete)))
        );
        assert_eq!(
            dead_letter(&name, &value[..9]),
            Some((Cause::Unreadable, None))
        );
    }
}
