//! Counts dead letters where they are written: in the store of the instance that delivers.
//!
//! The component says how many there were, but not why; their records do. Only keys that begin
//! as a dead letter's are looked at, so all else passes untouched.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_reporter_core::event::Action;
use mcp_reporter_core::outbox::{EventKey, Place, Record};

use super::{Cause, Metrics};
use crate::store::{Store, StoreError};

/// A store that counts the dead letters written to it.
pub(crate) struct Graves {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl Graves {
    /// `store`, watched.
    pub(crate) fn new(store: Arc<dyn Store>, metrics: Arc<Metrics>) -> Self {
        Self { store, metrics }
    }
}

/// Why the event under `key` is set aside, and its action; none when it is not.
fn grave(key: &str, value: &[u8]) -> Option<(Cause, Option<usize>)> {
    // The first letter spares all others the parsing.
    if !key.starts_with('d') || EventKey::parse(key)?.0 != Place::Dead {
        return None;
    }
    let Ok(record) = Record::decode(value) else {
        return Some((Cause::Unreadable, None));
    };
    Some((cause(&record.last_failure), Some(record.action as usize)))
}

/// What the component's words for the last failure come to.
fn cause(last_failure: &str) -> Cause {
    if last_failure.starts_with("follows ") {
        return Cause::Follows;
    }
    // A refusal is a 4xx but for those that mean "later".
    let status = last_failure.strip_prefix("HTTP ").and_then(|text| {
        let digits = text.split(':').next()?;
        digits.parse::<u16>().ok()
    });
    match status {
        Some(408 | 409 | 425 | 429) => Cause::Exhausted,
        Some(400..=499) => Cause::Refused,
        _ => Cause::Exhausted,
    }
}

// The labels' order is the core's.
const _: () = assert!(Action::Start as usize == 0 && Action::Error as usize == 3);

#[async_trait]
impl Store for Graves {
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
        let grave = grave(&key, &value);
        self.store.set(key, value).await?;
        if let Some((cause, action)) = grave {
            self.metrics.dead_lettered(cause, action);
        }
        Ok(())
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let graves: Vec<_> = pairs.iter().filter_map(|(k, v)| grave(k, v)).collect();
        self.store.set_many(pairs).await?;
        for (cause, action) in graves {
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
    use mcp_reporter_core::outbox;

    #[test]
    fn the_cause_is_read_off_the_last_failure() {
        for (text, expected) in [
            ("HTTP 422", Cause::Refused),
            ("HTTP 400: no such field", Cause::Refused),
            ("HTTP 429: later", Cause::Exhausted),
            ("HTTP 500", Cause::Exhausted),
            ("connection refused", Cause::Exhausted),
            (
                "follows an event of its interaction that was refused",
                Cause::Follows,
            ),
        ] {
            assert_eq!(cause(text), expected, "{text}");
        }
    }

    #[test]
    fn only_dead_letters_count() {
        let key = EventKey {
            ns: 1,
            interaction: 2,
            stage: outbox::Stage::End,
            size: 3,
            random: 4,
        };
        let value = outbox::new_value(Action::Complete, "i", "k", "", 2, |out| {
            out.extend_from_slice(b"{}");
            Ok::<_, outbox::BadRecord>(())
        });
        let mut record = Record::decode(&value.unwrap()).unwrap();
        record.last_failure = "HTTP 422".into();
        let value = record.encode();
        assert_eq!(grave(&key.name(Place::Waiting), &value), None);
        assert_eq!(grave("dog", &value), None);
        let name = key.name(Place::Dead);
        assert_eq!(grave(&name, &value), Some((Cause::Refused, Some(2))));
        assert_eq!(grave(&name, &value[..9]), Some((Cause::Unreadable, None)));
    }
}
