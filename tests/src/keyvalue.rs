//! The key-value contract, for the provider on a folder and for the host's own stores: what both are
//! asked in one test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use mcp_reporter::store::Store as HostStore;
use mcp_reporter_artifacts::KEYVALUE_FS;
use wasmtime::Store;
use wasmtime::component::ResourceAny;
use wasmtime_wasi::FsPerms;

use self::bindings::KeyvalueFs as Exports;
use self::bindings::exports::wasi::keyvalue::atomics::CasError;
use self::bindings::exports::wasi::keyvalue::store::Error;
use crate::wasi::{Fuse, State, Wasi};

#[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package mcp-reporter:tests;

            world keyvalue-fs {
                export wasi:keyvalue/store@0.2.0-draft2;
                export wasi:keyvalue/batch@0.2.0-draft2;
                export wasi:keyvalue/atomics@0.2.0-draft2;
            }
        ",
        world: "mcp-reporter:tests/keyvalue-fs",
        exports: { default: async },
    });
}

/// How an operation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The store says why.
    Failed(String),
    /// The instance was killed: nobody knows whether it happened.
    Killed,
}

type Answer<T> = Result<T, Ended>;

/// A compare-and-swap in two halves: what was seen, and what is to be there instead.
#[derive(Debug, Clone, Copy)]
pub struct Swap<'a> {
    /// The value that must be there; none for absent.
    pub expected: Option<&'a [u8]>,
    /// The value that is to be there.
    pub new: &'a [u8],
}

/// A handle on a key-value store. Handles are not shared: each has an instance of its own.
#[async_trait]
pub trait KeyValue: Send {
    /// The value of a key.
    async fn get(&mut self, key: &str) -> Answer<Option<Vec<u8>>>;
    /// The values of keys.
    async fn get_many(&mut self, keys: &[&str]) -> Answer<Vec<(String, Option<Vec<u8>>)>>;
    /// All keys, sorted.
    async fn list_keys(&mut self) -> Answer<Vec<String>>;
    /// Sets a key.
    async fn set(&mut self, key: &str, value: &[u8]) -> Answer<()>;
    /// Sets keys.
    async fn set_many(&mut self, pairs: &[(&str, &[u8])]) -> Answer<()>;
    /// Deletes keys.
    async fn delete_many(&mut self, keys: &[&str]) -> Answer<()>;
    /// Adds to a number.
    async fn increment(&mut self, key: &str, delta: i64) -> Answer<i64>;
    /// Sets a key if its value is the expected one, and says whether it did.
    async fn swap(&mut self, key: &str, swap: Swap<'_>) -> Answer<bool>;
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn owned_pairs(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), value.to_vec()))
        .collect()
}

#[async_trait]
impl KeyValue for Arc<dyn HostStore> {
    async fn get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        HostStore::get(&**self, key).await.map_err(failed)
    }

    async fn get_many(&mut self, keys: &[&str]) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        HostStore::get_many(&**self, owned(keys))
            .await
            .map_err(failed)
    }

    async fn list_keys(&mut self) -> Answer<Vec<String>> {
        let mut keys = HostStore::list_keys(&**self).await.map_err(failed)?;
        keys.sort();
        Ok(keys)
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Answer<()> {
        let done = HostStore::set(&**self, key.to_owned(), value.to_vec());
        done.await.map_err(failed)
    }

    async fn set_many(&mut self, pairs: &[(&str, &[u8])]) -> Answer<()> {
        HostStore::set_many(&**self, owned_pairs(pairs))
            .await
            .map_err(failed)
    }

    async fn delete_many(&mut self, keys: &[&str]) -> Answer<()> {
        HostStore::delete_many(&**self, owned(keys))
            .await
            .map_err(failed)
    }

    async fn increment(&mut self, key: &str, delta: i64) -> Answer<i64> {
        HostStore::increment(&**self, key.to_owned(), delta)
            .await
            .map_err(failed)
    }

    async fn swap(&mut self, key: &str, swap: Swap<'_>) -> Answer<bool> {
        let (expected, new) = (swap.expected.map(<[u8]>::to_vec), swap.new.to_vec());
        let done = HostStore::compare_and_swap(&**self, key.to_owned(), expected, new);
        done.await.map_err(failed)
    }
}

fn failed(error: impl ToString) -> Ended {
    Ended::Failed(error.to_string())
}

/// The compiled provider, and the folder that its instances use.
pub struct KeyValueFs {
    wasi: Arc<Wasi>,
    folder: PathBuf,
}

impl KeyValueFs {
    /// The provider on this folder.
    pub fn new(folder: &Path) -> Self {
        Self {
            wasi: Arc::new(Wasi::new(KEYVALUE_FS)),
            folder: folder.to_owned(),
        }
    }

    /// The same on another folder.
    pub fn on(&self, folder: &Path) -> Self {
        Self {
            wasi: Arc::clone(&self.wasi),
            folder: folder.to_owned(),
        }
    }

    /// A new instance with the bucket open.
    pub async fn open(&self) -> Opened {
        self.open_until(None)
            .await
            .expect("the store does not open")
    }

    /// The same with an instance that may be killed. It is not while it opens the bucket on a
    /// store that was made before.
    pub async fn open_until(&self, fuse: Option<Fuse>) -> Answer<Opened> {
        let folder = Some((&*self.folder, FsPerms::ReadWrite));
        let mut store = self.wasi.store(folder, &[], fuse);
        let (component, linker) = (self.wasi.component(), self.wasi.linker());
        let exports = Exports::instantiate_async(&mut store, component, linker).await;
        let exports = exports.expect("the provider asks for more than this runtime has");
        let opened = exports
            .wasi_keyvalue_store()
            .call_open(&mut store, "default");
        let bucket = said(opened.await)?;
        Ok(Opened {
            store,
            exports,
            bucket,
        })
    }
}

/// An instance of the provider with its bucket.
pub struct Opened {
    store: Store<State>,
    exports: Exports,
    bucket: ResourceAny,
}

impl Opened {
    /// How often it called the host so far.
    pub fn host_calls(&self) -> usize {
        self.store.data().calls()
    }
}

/// What a call of the component came to.
fn said<T>(result: wasmtime::Result<Result<T, Error>>) -> Answer<T> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Error::Other(text))) => Err(Ended::Failed(text)),
        Ok(Err(error)) => Err(Ended::Failed(format!("{error:?}"))),
        Err(error) if format!("{error:?}").contains("killed") => Err(Ended::Killed),
        Err(error) => panic!("{error:?}"),
    }
}

#[async_trait]
impl KeyValue for Opened {
    async fn get(&mut self, key: &str) -> Answer<Option<Vec<u8>>> {
        let bucket = self.exports.wasi_keyvalue_store().bucket();
        said(bucket.call_get(&mut self.store, self.bucket, key).await)
    }

    async fn get_many(&mut self, keys: &[&str]) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        let batch = self.exports.wasi_keyvalue_batch();
        let keys = owned(keys);
        said(
            batch
                .call_get_many(&mut self.store, self.bucket, &keys)
                .await,
        )
    }

    async fn list_keys(&mut self) -> Answer<Vec<String>> {
        let bucket = self.exports.wasi_keyvalue_store().bucket();
        let page = said(
            bucket
                .call_list_keys(&mut self.store, self.bucket, None)
                .await,
        )?;
        assert_eq!(page.cursor, None, "all keys come at once");
        let mut keys = page.keys;
        keys.sort();
        Ok(keys)
    }

    async fn set(&mut self, key: &str, value: &[u8]) -> Answer<()> {
        let bucket = self.exports.wasi_keyvalue_store().bucket();
        said(
            bucket
                .call_set(&mut self.store, self.bucket, key, value)
                .await,
        )
    }

    async fn set_many(&mut self, pairs: &[(&str, &[u8])]) -> Answer<()> {
        let batch = self.exports.wasi_keyvalue_batch();
        let pairs = owned_pairs(pairs);
        said(
            batch
                .call_set_many(&mut self.store, self.bucket, &pairs)
                .await,
        )
    }

    async fn delete_many(&mut self, keys: &[&str]) -> Answer<()> {
        let batch = self.exports.wasi_keyvalue_batch();
        let keys = owned(keys);
        said(
            batch
                .call_delete_many(&mut self.store, self.bucket, &keys)
                .await,
        )
    }

    async fn increment(&mut self, key: &str, delta: i64) -> Answer<i64> {
        let atomics = self.exports.wasi_keyvalue_atomics();
        said(
            atomics
                .call_increment(&mut self.store, self.bucket, key, delta)
                .await,
        )
    }

    async fn swap(&mut self, key: &str, swap: Swap<'_>) -> Answer<bool> {
        let atomics = self.exports.wasi_keyvalue_atomics();
        let handle = atomics
            .cas()
            .call_new(&mut self.store, self.bucket, key)
            .await;
        let handle = said(handle)?;
        let current = said(atomics.cas().call_current(&mut self.store, handle).await)?;
        if current.as_deref() != swap.expected {
            let dropped = handle.resource_drop_async(&mut self.store).await;
            return said(dropped.map(|()| Ok(false)));
        }
        let swapped = atomics.call_swap(&mut self.store, handle, swap.new).await;
        match swapped {
            Ok(Ok(())) => Ok(true),
            Ok(Err(CasError::CasFailed(retry))) => {
                let dropped = retry.resource_drop_async(&mut self.store).await;
                said(dropped.map(|()| Ok(false)))
            }
            Ok(Err(CasError::StoreError(error))) => said(Ok(Err(error))),
            Err(trap) => said(Err(trap)),
        }
    }
}
