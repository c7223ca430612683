//! How long a component may compute, and that waiting does not count.

use async_trait::async_trait;
use wasmtime::{Linker, Module, Store as WasmStore};

use super::*;
use crate::{
    engine::{
        EngineError,
        deadline::{self, Deadline},
        state::State,
    },
    store::StoreError,
};

/// `(module (func (export "run") (loop (br 0))))`
const ENDLESS: &[u8] = &[
    0, b'a', b's', b'm', 1, 0, 0, 0, // header
    1, 4, 1, 0x60, 0, 0, // type 0: no parameters, no results
    3, 2, 1, 0, // function 0 has it
    7, 7, 1, 3, b'r', b'u', b'n', 0, 0, // exported as `run`
    10, 9, 1, 7, 0, 0x03, 0x40, 0x0c, 0, 0x0b, 0x0b, // loop, br 0
];

#[tokio::test]
async fn endless_computing_is_stopped_and_lets_others_run_meanwhile() {
    let limit = Duration::from_millis(500);
    let options = EngineOptions {
        guest_limit: limit,
        ..Default::default()
    };
    let engine = Engine::new(&options).unwrap();
    let egress = Egress::new("http://127.0.0.1:9", None).unwrap();
    let state = State::new(
        Arc::new(MemoryStore::new()),
        Arc::new([]),
        &egress,
        Deadline::new(limit),
        false,
    );
    let mut store = WasmStore::new(&engine.engine, state);
    deadline::enforce(&mut store);
    let module = Module::new(&engine.engine, ENDLESS).unwrap();
    let linker = Linker::new(&engine.engine);
    let instance = linker.instantiate_async(&mut store, &module).await.unwrap();
    let run = instance
        .get_typed_func::<(), ()>(&mut store, "run")
        .unwrap();

    // This test has one thread: the other task runs only if the component yields.
    let other = tokio::spawn(async {});
    let error = soon(run.call_async(&mut store, ())).await.unwrap_err();
    assert!(other.is_finished());
    let error = error.downcast::<EngineError>().unwrap();
    assert_eq!(
        error.to_string(),
        "the component ran for more than 500ms without calling the host"
    );
}

/// A store in which everything takes a while.
struct Slow(MemoryStore, Duration);

#[async_trait]
impl Store for Slow {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.get(key).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.get_many(keys).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.list_keys().await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.set(key, value).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        tokio::time::sleep(self.1).await;
        self.0.set_many(pairs).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.0.delete_many(keys).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.0.increment(key, delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.0.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {}
}

#[tokio::test]
async fn waiting_for_the_store_is_not_computing() {
    let options = EngineOptions {
        guest_limit: Duration::from_millis(300),
        ..Default::default()
    };
    let store = Arc::new(Slow(MemoryStore::new(), Duration::from_millis(700)));
    let mut instance = instance(&options, store, "http://127.0.0.1:9", &[]).await;
    soon(instance.report(Action::Start, "int_1", "{}"))
        .await
        .unwrap()
        .unwrap();
    assert!(!instance.is_poisoned());
}
