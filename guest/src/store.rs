//! The core's store over `wasi:keyvalue`.

use mcp_reporter_core::store::{Store, StoreError};

use crate::bindings::wasi::keyvalue::{
    atomics::{self, Cas, CasError},
    batch,
    store::{self, Bucket, Error},
};
use crate::prelude::*;

/// The bucket everything lies in: the one that every runtime has.
const BUCKET: &str = "default";

/// The outbox's bucket.
pub struct KeyValue {
    bucket: Bucket,
}

impl KeyValue {
    /// Opens the bucket.
    pub fn open() -> Result<Self, StoreError> {
        let bucket = store::open(BUCKET).map_err(explain)?;
        Ok(Self { bucket })
    }
}

impl Store for KeyValue {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.bucket.get(key).map_err(explain)
    }

    fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        // Spin's Redis backend cannot do it at all, so a failure says nothing about the store.
        match batch::get_many(&self.bucket, keys) {
            Ok(found) => Ok(align(keys, found)),
            Err(_) => keys.iter().map(|key| self.get(key)).collect(),
        }
    }

    fn list_keys(&mut self) -> Result<Vec<String>, StoreError> {
        let mut page = self.bucket.list_keys(None).map_err(explain)?;
        let mut keys = page.keys;
        while let Some(cursor) = page.cursor {
            page = self.bucket.list_keys(Some(&cursor)).map_err(explain)?;
            keys.append(&mut page.keys);
        }
        Ok(keys)
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.bucket.set(key, value).map_err(explain)
    }

    fn set_many(&mut self, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        batch::set_many(&self.bucket, pairs).map_err(explain)
    }

    fn delete_many(&mut self, keys: &[String]) -> Result<(), StoreError> {
        batch::delete_many(&self.bucket, keys).map_err(explain)
    }

    fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StoreError> {
        atomics::increment(&self.bucket, key, delta).map_err(explain)
    }

    fn compare_and_swap(
        &mut self,
        key: &str,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let cas = Cas::new(&self.bucket, key).map_err(explain)?;
        // Without reading it first, a swap is unconditional on some stores.
        if cas.current().map_err(explain)?.as_deref() != Some(expected) {
            return Ok(false);
        }
        match atomics::swap(cas, new) {
            Ok(()) => Ok(true),
            // Spin's Redis backend says so of a swap that took, too. `new` was never a value of
            // this key before, so finding it there means that this swap put it there.
            Err(CasError::CasFailed(handle)) => {
                drop(handle);
                Ok(self.get(key)?.as_deref() == Some(new))
            }
            Err(CasError::StoreError(error)) => Err(explain(error)),
        }
    }
}

/// Puts an answer of `get-many`, which may omit missing keys, in the order of `keys`.
fn align(keys: &[String], mut found: Vec<(String, Option<Vec<u8>>)>) -> Vec<Option<Vec<u8>>> {
    let mut next = 0;
    let values = keys.iter().map(|key| {
        // In order as a rule, so that the first look finds it.
        let at = match found.get(next) {
            Some((name, _)) if name == key => next,
            _ => found.iter().position(|(name, _)| name == key)?,
        };
        next = at + 1;
        found[at].1.take()
    });
    values.collect()
}

fn explain(error: Error) -> StoreError {
    StoreError(match error {
        Error::NoSuchStore => ["the runtime has no key-value store named `", BUCKET, "`"].concat(),
        Error::AccessDenied => {
            let text = "the runtime does not let the component use the key-value store `";
            [text, BUCKET, "`"].concat()
        }
        Error::Other(text) => text,
    })
}
