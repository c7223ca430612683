//! The number of shards of an outbox, which all who use it must agree on: it says in which shard
//! an interaction is, so that two hosts with two numbers would send one interaction side by side.
//!
//! It lies under the key `shards`, as decimal text; where that is absent it is 1. Whoever opens an
//! outbox with another number is refused while the outbox holds anything, and else writes its own
//! by compare-and-swap.
//!
//! Who uses several shards looks at the number again each second. So before it is changed it is
//! marked (`4>`), and two seconds later, when all who had it know, the outbox is looked at once
//! more. Who uses one shard does not look again, so that this costs nothing: such hosts must have
//! been stopped before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mcp_reporter_core::outbox::Place;

use super::{Store, StoreError, shard};

/// Where the number lies.
const KEY: &str = "shards";
/// For how long it need not be looked at again.
const LIFE: Duration = Duration::from_secs(1);
/// When all who had a number know that it is being changed.
const ALL_KNOW: Duration = Duration::from_secs(2);
/// How often the number may change between a look and a swap.
const TRIES: u32 = 5;

/// What is noted of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Noted {
    /// 0 where the text is none of ours.
    shards: u32,
    /// Whether somebody is changing it.
    marked: bool,
}

impl Noted {
    fn read(raw: Option<&[u8]>) -> Self {
        let text = raw.map_or(Ok("1"), std::str::from_utf8).unwrap_or_default();
        let number = text.strip_suffix('>');
        Self {
            shards: number.unwrap_or(text).parse().unwrap_or(0),
            marked: number.is_some(),
        }
    }

    fn write(self) -> Vec<u8> {
        let mark = if self.marked { ">" } else { "" };
        format!("{}{mark}", self.shards).into_bytes()
    }
}

/// Sees to it that the outbox in `store` has `shards` shards. To change the number of one that had
/// several takes two seconds.
///
/// # Errors
///
/// It has another number and holds events ([`StoreError::Shards`]), or the store failed.
pub async fn agree_on_shards(store: &dyn Store, shards: u32) -> Result<(), StoreError> {
    let own = Noted {
        shards,
        marked: false,
    };
    for _ in 0..TRIES {
        let raw = store.get(KEY).await?;
        let found = Noted::read(raw.as_deref());
        if found == own {
            return Ok(());
        }
        if found.shards != shards {
            let events = events(store, found.shards).await?;
            if events > 0 && !found.marked {
                return Err(differ(found.shards, shards, events));
            }
            let mark = Noted {
                marked: true,
                ..found
            };
            if found.shards > 1 && !found.marked {
                let marked = store.compare_and_swap(KEY.to_owned(), raw, mark.write());
                marked.await?;
                continue;
            }
        }
        let mut next = own;
        if found.marked {
            // By this caller, or by another, which may have died since.
            tokio::time::sleep(ALL_KNOW).await;
            if found.shards != shards && events(store, found.shards).await? > 0 {
                next.shards = found.shards;
            }
        }
        // Whoever was faster says what is next.
        store
            .compare_and_swap(KEY.to_owned(), raw, next.write())
            .await?;
    }
    let raw = store.get(KEY).await?;
    Err(StoreError::ShardsChanging {
        stored: Noted::read(raw.as_deref()).shards,
    })
}

fn differ(stored: u32, configured: u32, events: u64) -> StoreError {
    StoreError::Shards {
        stored,
        configured,
        events,
    }
}

/// How many events an outbox with `shards` shards holds, dead letters included. Where the number
/// is not known, all are counted.
async fn events(store: &dyn Store, shards: u32) -> Result<u64, StoreError> {
    let keys = store.list_keys().await?;
    let is_event = |key: &&String| {
        let bare = shard::bare(key);
        let sharded = bare.len() != key.len();
        let counts = shards == 0 || (shards > 1) == sharded;
        counts && Place::of(bare).is_some()
    };
    Ok(keys.iter().filter(is_event).count() as u64)
}

/// A store that is used only while its outbox has a certain number of shards.
pub(crate) struct Agreed {
    store: Arc<dyn Store>,
    shards: u32,
    /// When the number was found right; none before it was looked at.
    since: Mutex<Option<Instant>>,
}

impl Agreed {
    /// `store`, whose outbox is to have `shards` shards. Nothing is looked at yet.
    pub(crate) fn new(store: Arc<dyn Store>, shards: u32) -> Self {
        Self {
            store,
            shards,
            since: Mutex::new(None),
        }
    }

    /// Returns when the number is right: looked at a second ago, or just now.
    pub(crate) async fn agree(&self) -> Result<(), StoreError> {
        let since = *self.since.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match since {
            // One shard is the number of who knows of none, and does not look either.
            Some(since) if now.duration_since(since) < LIFE || self.shards == 1 => return Ok(()),
            // Who has used it is not to change it: another may have just done so.
            Some(_) => {
                let raw = self.store.get(KEY).await?;
                let Noted { shards, marked } = Noted::read(raw.as_deref());
                if marked {
                    return Err(StoreError::ShardsChanging { stored: shards });
                }
                if shards != self.shards {
                    return Err(differ(shards, self.shards, 0));
                }
            }
            None => agree_on_shards(&*self.store, self.shards).await?,
        }
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }
}

#[async_trait]
impl Store for Agreed {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.agree().await?;
        self.store.get(key).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.agree().await?;
        self.store.get_many(keys).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        self.agree().await?;
        self.store.list_keys().await
    }

    async fn list_keys_with(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.agree().await?;
        self.store.list_keys_with(prefix).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        self.agree().await?;
        self.store.set(key, value).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.agree().await?;
        self.store.set_many(pairs).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.agree().await?;
        self.store.delete_many(keys).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.agree().await?;
        self.store.increment(key, delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.agree().await?;
        self.store.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    async fn holding(keys: &[&str]) -> MemoryStore {
        let store = MemoryStore::new();
        for key in keys {
            store.set((*key).to_owned(), Vec::new()).await.unwrap();
        }
        store
    }

    async fn refused(store: &MemoryStore, shards: u32) -> String {
        let error = agree_on_shards(store, shards).await.unwrap_err();
        error.to_string()
    }

    #[tokio::test]
    async fn one_shard_writes_nothing() {
        let store = holding(&["q.1"]).await;
        agree_on_shards(&store, 1).await.unwrap();
        assert_eq!(store.list_keys().await.unwrap(), ["q.1"]);
    }

    #[tokio::test]
    async fn an_outbox_without_a_number_that_holds_something_has_one_shard() {
        for key in ["q.1", "d.1"] {
            let said = refused(&holding(&[key, "control"]).await, 4).await;
            assert!(
                said.contains("shards = 4") && said.contains("shards = 1"),
                "{said}"
            );
            assert!(said.contains("holds 1 event"), "{said}");
        }
    }

    #[tokio::test]
    async fn another_number_is_refused_while_anything_is_in_a_shard() {
        let store = MemoryStore::new();
        agree_on_shards(&store, 4).await.unwrap();
        agree_on_shards(&store, 4).await.unwrap();
        for key in ["s3.q.1", "s0.d.1"] {
            store.set(key.into(), Vec::new()).await.unwrap();
            for other in [1, 2, 5] {
                let said = refused(&store, other).await;
                assert!(said.contains("the outbox has shards = 4"), "{said}");
                assert!(said.contains(&format!("shards = {other} is set")), "{said}");
            }
            store.delete_many(vec![key.into()]).await.unwrap();
        }
        // Empty, it takes any number, and back.
        for number in [2, 1, 4] {
            agree_on_shards(&store, number).await.unwrap();
        }
        assert_eq!(store.get(KEY).await.unwrap(), Some(b"4".to_vec()));
    }

    #[tokio::test]
    async fn a_change_that_was_broken_off_is_finished_or_taken_back() {
        let store = holding(&["s0.q.1"]).await;
        store.set(KEY.into(), b"4>".to_vec()).await.unwrap();
        // Something came in after the mark: the number stays.
        let said = refused(&store, 2).await;
        assert!(said.contains("the outbox has shards = 4"), "{said}");
        assert_eq!(store.get(KEY).await.unwrap(), Some(b"4".to_vec()));
        for shards in [4, 2] {
            store.set(KEY.into(), b"4>".to_vec()).await.unwrap();
            if shards == 2 {
                store.delete_many(vec!["s0.q.1".into()]).await.unwrap();
            }
            agree_on_shards(&store, shards).await.unwrap();
            let expected = shards.to_string().into_bytes();
            assert_eq!(store.get(KEY).await.unwrap(), Some(expected));
        }
    }

    #[tokio::test]
    async fn a_text_that_is_no_number_is_refused_while_there_are_events() {
        let store = holding(&["s0.q.1"]).await;
        store.set(KEY.into(), b"x".to_vec()).await.unwrap();
        refused(&store, 1).await;
        refused(&store, 4).await;
    }

    #[tokio::test]
    async fn who_uses_an_outbox_sees_that_its_number_was_changed() {
        let store = Arc::new(MemoryStore::new());
        let four = Agreed::new(store.clone(), 4);
        four.set("s0.control".into(), Vec::new()).await.unwrap();
        agree_on_shards(&*store, 2).await.unwrap();
        *four.since.lock().unwrap() = Instant::now().checked_sub(LIFE);
        let error = four.set("s0.q.1".into(), Vec::new()).await.unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::Shards {
                    stored: 2,
                    configured: 4,
                    ..
                }
            ),
            "{error}"
        );
    }
}
