//! `wasi:keyvalue` for the component, as Spin's host has it over any of its backends.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wasmtime::component::{Resource, ResourceTable};

use super::bindings::wasi::keyvalue::{
    atomics::{self, CasError, HostCas},
    batch,
    store::{self, Error, HostBucket, KeyResponse},
};
use super::counts::Counters;
use super::mortality::{Death, Killed};
use super::state::State;
use super::store::{Cas, Done, Store, StoreError, SwapError};

/// The name of the only store that is declared.
pub(super) const DECLARED: &str = "default";

/// How many handles of a kind an instance may have.
const HANDLES: usize = 256;

/// A handle on the store.
pub struct Bucket;

/// A compare-and-swap's place in the host's table.
pub struct Slot(Arc<dyn Cas>);

/// The host's half for one instance.
pub(super) struct KeyValue {
    store: Arc<dyn Store>,
    counters: Arc<Counters>,
    buckets: ResourceTable,
    slots: ResourceTable,
    operations: u32,
    death: Option<Death>,
}

impl KeyValue {
    pub(super) fn new(
        store: Arc<dyn Store>,
        counters: Arc<Counters>,
        death: Option<Death>,
    ) -> Self {
        let table = || {
            let mut table = ResourceTable::new();
            table.set_max_capacity(HANDLES);
            table
        };
        Self {
            store,
            counters,
            buckets: table(),
            slots: table(),
            operations: 0,
            death,
        }
    }

    /// Begins an operation, and says whether it is the one after which the instance is killed.
    fn begin(&mut self) -> wasmtime::Result<bool> {
        self.operations += 1;
        match self.death {
            Some(Death::AtOperation {
                number,
                took_effect,
            }) if number == self.operations => match took_effect {
                true => Ok(true),
                false => Err(wasmtime::Error::new(Killed)),
            },
            _ => Ok(false),
        }
    }

    fn push_slot(&mut self, cas: Arc<dyn Cas>) -> Result<Resource<Slot>, Error> {
        let full = |_| Error::Other("too many compare_and_swaps opened".to_owned());
        self.slots.push(Slot(cas)).map_err(full)
    }
}

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// What the component is told of an operation, unless its instance ends with it.
fn told<T>(done: Done<T>) -> Answer<T> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Failed(text)) => Ok(Err(Error::Other(text))),
        Err(StoreError::Panicked(text)) => Err(wasmtime::Error::msg(text)),
    }
}

/// Does an operation of the store, unless the instance is killed in it.
macro_rules! operation {
    ($state:ident . $operation:ident ( $($argument:expr),* )) => {{
        let killed = $state.keyvalue.begin()?;
        let done = $state.keyvalue.store.$operation($($argument),*).await;
        if killed {
            return Err(wasmtime::Error::new(Killed));
        }
        told(done)
    }};
}

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> Answer<Resource<Bucket>> {
        if identifier != DECLARED {
            return Ok(Err(Error::AccessDenied));
        }
        let full = |_| Error::Other("store table full".to_owned());
        Ok(self.keyvalue.buckets.push(Bucket).map_err(full))
    }
}

impl HostBucket for State {
    async fn get(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<Option<Vec<u8>>> {
        operation!(self.get(&key))
    }

    async fn set(&mut self, _bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Answer<()> {
        self.keyvalue.counters.sets.fetch_add(1, Ordering::Relaxed);
        operation!(self.set(&key, &value))
    }

    async fn delete(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<()> {
        operation!(self.delete_many(vec![key]))
    }

    async fn exists(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<bool> {
        operation!(self.exists(&key))
    }

    async fn list_keys(
        &mut self,
        _bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> Answer<KeyResponse> {
        if cursor.is_some() {
            let text = "list_keys: cursor not supported".to_owned();
            return Ok(Err(Error::Other(text)));
        }
        let keys: Result<_, Error> = operation!(self.list_keys())?;
        Ok(keys.map(|keys| KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.keyvalue.buckets.delete(bucket)?;
        Ok(())
    }
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        _bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Answer<Vec<(String, Option<Vec<u8>>)>> {
        if keys.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        operation!(self.get_many(keys))
    }

    async fn set_many(
        &mut self,
        _bucket: Resource<Bucket>,
        key_values: Vec<(String, Vec<u8>)>,
    ) -> Answer<()> {
        if key_values.is_empty() {
            return Ok(Ok(()));
        }
        self.keyvalue.counters.sets.fetch_add(1, Ordering::Relaxed);
        operation!(self.set_many(key_values))
    }

    async fn delete_many(&mut self, _bucket: Resource<Bucket>, keys: Vec<String>) -> Answer<()> {
        if keys.is_empty() {
            return Ok(Ok(()));
        }
        operation!(self.delete_many(keys))
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        _bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Answer<i64> {
        operation!(self.increment(&key, delta))
    }

    /// The handle is the component's no more, and yet its slot stays taken.
    async fn swap(
        &mut self,
        cas: Resource<Slot>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), CasError>> {
        let killed = self.keyvalue.begin()?;
        let used = self.keyvalue.slots.get(&cas)?.0.clone();
        self.keyvalue
            .counters
            .leaked_slots
            .fetch_add(1, Ordering::Relaxed);
        let swapped = used.swap(value).await;
        if killed {
            return Err(wasmtime::Error::new(Killed));
        }
        match swapped {
            Ok(()) => Ok(Ok(())),
            Err(SwapError::CasFailed) => {
                let again = self.keyvalue.store.compare_and_swap(used.key()).await;
                let again = match told(again)? {
                    Ok(again) => again,
                    Err(error) => return Ok(Err(CasError::StoreError(error))),
                };
                if let Err(error) = told(again.current().await)? {
                    return Ok(Err(CasError::StoreError(error)));
                }
                Ok(Err(match self.keyvalue.push_slot(again) {
                    Ok(slot) => CasError::CasFailed(slot),
                    Err(error) => CasError::StoreError(error),
                }))
            }
            Err(SwapError::Store(error)) => Ok(told(Err(error))?.map_err(CasError::StoreError)),
        }
    }
}

impl HostCas for State {
    async fn new(&mut self, _bucket: Resource<Bucket>, key: String) -> Answer<Resource<Slot>> {
        let begun: Result<_, Error> = operation!(self.compare_and_swap(&key))?;
        Ok(begun.and_then(|cas| self.keyvalue.push_slot(cas)))
    }

    async fn current(&mut self, cas: Resource<Slot>) -> Answer<Option<Vec<u8>>> {
        let killed = self.keyvalue.begin()?;
        let cas = self.keyvalue.slots.get(&cas)?.0.clone();
        let value = cas.current().await;
        if killed {
            return Err(wasmtime::Error::new(Killed));
        }
        told(value)
    }

    async fn drop(&mut self, cas: Resource<Slot>) -> wasmtime::Result<()> {
        self.keyvalue.slots.delete(cas)?;
        Ok(())
    }
}
