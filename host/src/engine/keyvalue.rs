//! `wasi:keyvalue` for the component, over whatever [`Store`](crate::store::Store) its host chose.

use wasmtime::component::Resource;

use super::{
    bindings::wasi::keyvalue::{
        atomics::{self, CasError, HostCas},
        batch,
        store::{self, Error, HostBucket, KeyResponse},
    },
    state::State,
};
use crate::store::StoreError;

/// The one bucket there is.
const BUCKET: &str = "default";

/// A handle on the bucket. All handles are on the same store.
pub struct Bucket;

/// A compare-and-swap that was begun.
pub struct Cas {
    key: String,
    /// The value that the component saw.
    seen: Option<Vec<u8>>,
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

fn answer<T>(result: Result<T, StoreError>) -> Answer<T> {
    Ok(result.map_err(|error| Error::Other(error.to_string())))
}

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        if identifier != BUCKET {
            return Ok(Err(Error::NoSuchStore));
        }
        Ok(Ok(self.table.push(Bucket)?))
    }
}

impl HostBucket for State {
    async fn get(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        answer(self.store.get(&key).await)
    }

    async fn set(&mut self, _bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        answer(self.store.set(key, value).await)
    }

    async fn delete(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<()> {
        answer(self.store.delete_many(vec![key]).await)
    }

    async fn exists(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        answer(self.store.get(&key).await.map(|value| value.is_some()))
    }

    async fn list_keys(
        &mut self,
        _bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Answer<KeyResponse> {
        if cursor.is_some() {
            let text = "all keys come at once: there is no cursor".to_owned();
            return Ok(Err(Error::Other(text)));
        }
        let keys = self.store.list_keys().await;
        answer(keys.map(|keys| KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        _bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        answer(self.store.get_many(keys).await)
    }

    async fn set_many(
        &mut self,
        _bucket: Resource<Bucket>,
        key_values: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        answer(self.store.set_many(key_values).await)
    }

    async fn delete_many(&mut self, _bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        answer(self.store.delete_many(keys).await)
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        _bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Answer<i64> {
        answer(self.store.increment(key, delta).await)
    }

    async fn swap(
        &mut self,
        cas: Resource<Cas>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        let Cas { key, seen } = self.table.delete(cas)?;
        match self.store.compare_and_swap(key.clone(), seen, value).await {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                // The handle for another try has seen what made this one fail.
                match self.store.get(&key).await {
                    Ok(seen) => {
                        let retry = self.table.push(Cas { key, seen })?;
                        Ok(Err(CasError::CasFailed(retry)))
                    }
                    Err(error) => Ok(Err(CasError::StoreError(Error::Other(error.to_string())))),
                }
            }
            Err(error) => Ok(Err(CasError::StoreError(Error::Other(error.to_string())))),
        }
    }
}

impl HostCas for State {
    async fn new(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<Resource<Cas>> {
        match self.store.get(&key).await {
            Ok(seen) => Ok(Ok(self.table.push(Cas { key, seen })?)),
            Err(error) => Ok(Err(Error::Other(error.to_string()))),
        }
    }

    async fn current(&mut self, cas: Resource<Cas>) -> Answer<Option<Vec<u8>>> {
        Ok(Ok(self.table.get(&cas)?.seen.clone()))
    }

    async fn drop(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
