//! What every backend must do.

use std::sync::Arc;
use std::time::Duration;

use super::{Durability, MemoryStore, SqliteOptions, SqliteStore, Store, StoreError};

/// Longer than any of these takes on a busy machine, shorter than anybody's patience.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

fn text(s: &str) -> Vec<u8> {
    s.as_bytes().to_vec()
}

fn pair(key: &str, value: &str) -> (String, Vec<u8>) {
    (key.to_owned(), text(value))
}

async fn sorted_keys(store: &dyn Store) -> Vec<String> {
    let mut keys = store.list_keys().await.unwrap();
    keys.sort();
    keys
}

pub(super) async fn conforms(store: Arc<dyn Store>) {
    values(&*store).await;
    batches(&*store).await;
    increments(&*store).await;
    swaps(&*store).await;
    concurrent_increments_all_count(&store).await;
    closing(&*store).await;
}

async fn values(store: &dyn Store) {
    assert_eq!(sorted_keys(store).await, Vec::<String>::new());
    assert_eq!(store.get("a").await.unwrap(), None);
    store.set("a".into(), text("1")).await.unwrap();
    store.set("a".into(), text("2")).await.unwrap();
    store.set("empty".into(), Vec::new()).await.unwrap();
    store.set("bytes".into(), vec![0, 255, 10]).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), Some(text("2")));
    assert_eq!(store.get("empty").await.unwrap(), Some(Vec::new()));
    assert_eq!(store.get("bytes").await.unwrap(), Some(vec![0, 255, 10]));
    assert_eq!(store.get("A").await.unwrap(), None, "keys have a case");
    assert_eq!(sorted_keys(store).await, ["a", "bytes", "empty"]);
    for (prefix, expected) in [
        ("e", &["empty"][..]),
        ("empty", &["empty"]),
        ("emptyx", &[]),
        ("d", &[]),
        ("", &["a", "bytes", "empty"]),
    ] {
        let mut keys = store.list_keys_with(prefix).await.unwrap();
        keys.sort();
        assert_eq!(keys, expected, "{prefix:?}");
    }

    let large = vec![b'x'; 1 << 20];
    store.set("large".into(), large.clone()).await.unwrap();
    assert_eq!(store.get("large").await.unwrap(), Some(large));

    let asked = ["empty", "none", "a", "a"].map(str::to_owned).to_vec();
    let found = store.get_many(asked).await.unwrap();
    let expected = [
        ("empty".to_owned(), Some(Vec::new())),
        ("none".to_owned(), None),
        ("a".to_owned(), Some(text("2"))),
        ("a".to_owned(), Some(text("2"))),
    ];
    assert_eq!(found, expected);
    assert_eq!(store.get_many(Vec::new()).await.unwrap(), []);

    let gone = ["none", "bytes", "empty", "large", "a"]
        .map(str::to_owned)
        .to_vec();
    store.delete_many(gone).await.unwrap();
    assert_eq!(sorted_keys(store).await, Vec::<String>::new());
}

async fn batches(store: &dyn Store) {
    store.set_many(Vec::new()).await.unwrap();
    store.delete_many(Vec::new()).await.unwrap();
    store
        .set_many(vec![pair("b1", "1"), pair("b2", "2"), pair("b1", "3")])
        .await
        .unwrap();
    assert_eq!(
        store.get("b1").await.unwrap(),
        Some(text("3")),
        "the later pair wins"
    );
    let many = (0..5_000).map(|i| pair(&format!("m{i:05}"), "v")).collect();
    store.set_many(many).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap().len(), 5_002);
    let keys = store.list_keys().await.unwrap();
    store.delete_many(keys).await.unwrap();
    assert_eq!(store.list_keys().await.unwrap().len(), 0);
}

async fn increments(store: &dyn Store) {
    assert_eq!(store.increment("n".into(), 1).await.unwrap(), 1);
    assert_eq!(store.increment("n".into(), 41).await.unwrap(), 42);
    assert_eq!(
        store.get("n").await.unwrap(),
        Some(text("42")),
        "decimal text"
    );
    assert_eq!(store.increment("n".into(), -43).await.unwrap(), -1);
    assert_eq!(store.increment("zero".into(), 0).await.unwrap(), 0);
    assert_eq!(store.get("zero").await.unwrap(), Some(text("0")));

    store.set("word".into(), text("ten")).await.unwrap();
    let error = store.increment("word".into(), 1).await.unwrap_err();
    assert_eq!(
        error,
        StoreError::NotANumber {
            key: "word".into(),
            delta: 1
        }
    );
    assert_eq!(store.get("word").await.unwrap(), Some(text("ten")));

    assert_eq!(
        store.increment("max".into(), i64::MAX).await.unwrap(),
        i64::MAX
    );
    store.increment("max".into(), 1).await.unwrap_err();
    assert_eq!(
        store.increment("max".into(), -1).await.unwrap(),
        i64::MAX - 1
    );
    let keys = ["n", "zero", "word", "max"].map(str::to_owned).to_vec();
    store.delete_many(keys).await.unwrap();
}

async fn swaps(store: &dyn Store) {
    let swap = |expected: Option<&str>, new: &str| {
        store.compare_and_swap("c".into(), expected.map(text), text(new))
    };
    assert!(
        !swap(Some("1"), "x").await.unwrap(),
        "absent, a value was expected"
    );
    assert_eq!(store.get("c").await.unwrap(), None);
    assert!(swap(None, "1").await.unwrap());
    assert!(
        !swap(None, "x").await.unwrap(),
        "present, absence was expected"
    );
    assert!(!swap(Some("2"), "x").await.unwrap());
    assert!(!swap(Some(""), "x").await.unwrap());
    assert_eq!(store.get("c").await.unwrap(), Some(text("1")));
    assert!(swap(Some("1"), "2").await.unwrap());
    assert!(swap(Some("2"), "2").await.unwrap());
    assert_eq!(store.get("c").await.unwrap(), Some(text("2")));
    store.delete_many(vec!["c".into()]).await.unwrap();
}

async fn concurrent_increments_all_count(store: &Arc<dyn Store>) {
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for _ in 0..20 {
                    store.increment("sum".into(), 1).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.increment("sum".into(), 0).await.unwrap(), 400);
}

async fn closing(store: &dyn Store) {
    store.close().await;
    store.close().await;
    assert_eq!(store.get("a").await.unwrap_err(), StoreError::Closed);
    assert_eq!(store.list_keys().await.unwrap_err(), StoreError::Closed);
    assert_eq!(
        store.set("a".into(), text("1")).await.unwrap_err(),
        StoreError::Closed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    let store = Arc::new(MemoryStore::new());
    tokio::time::timeout(DEADLINE, conforms(store))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    for durability in [Durability::Process, Durability::Power] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let (store, warnings) = SqliteStore::open(SqliteOptions { path, durability }).unwrap();
        assert_eq!(warnings, []);
        tokio::time::timeout(DEADLINE, conforms(Arc::new(store)))
            .await
            .unwrap();
    }
}
