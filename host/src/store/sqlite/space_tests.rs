use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::*;
use crate::store::Store;
use crate::store::tests::DEADLINE;

fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Process,
    };
    SqliteStore::open(options).unwrap().0
}

/// Fills the store with so many MiB, and deletes them again.
async fn filled_and_emptied(store: &SqliteStore, mebibytes: usize) {
    let keys: Vec<_> = (0..mebibytes * 16).map(|n| format!("k{n}")).collect();
    for some in keys.chunks(64) {
        let pairs = some.iter().map(|key| (key.clone(), vec![7; 64 << 10]));
        store.set_many(pairs.collect()).await.unwrap();
    }
    store.delete_many(keys).await.unwrap();
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Waits until the file is no larger than so many MiB.
async fn shrunk(path: &Path, mebibytes: u64) {
    let end = Instant::now() + DEADLINE;
    while size(path) > mebibytes << 20 {
        assert!(Instant::now() < end, "{} bytes", size(path));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_file_that_was_large_becomes_small_again_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let store = open(&path);
    store.set("kept".into(), b"value".to_vec()).await.unwrap();
    let more = (0..32).map(|n| (format!("more{n}"), vec![9; 64 << 10]));
    store.set_many(more.collect()).await.unwrap();
    filled_and_emptied(&store, 64).await;
    shrunk(&path, 5).await;
    assert_eq!(store.get("kept").await.unwrap(), Some(b"value".to_vec()));
    // It is as good as before. Less than this would leave too little free beside what is kept.
    filled_and_emptied(&store, 32).await;
    shrunk(&path, 5).await;
    store.close().await;
    let verdict: String = Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
}

#[tokio::test]
async fn a_store_that_is_closed_at_once_leaves_a_small_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let store = open(&path);
    filled_and_emptied(&store, 64).await;
    store.close().await;
    assert!(size(&path) < 1 << 20, "{} bytes", size(&path));
}

#[tokio::test]
async fn anothers_tables_in_the_file_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE other (id INTEGER PRIMARY KEY, text TEXT);
         INSERT INTO other VALUES (3, 'three'), (7, 'seven');",
    )
    .unwrap();
    drop(old);
    let store = open(&path);
    filled_and_emptied(&store, 64).await;
    shrunk(&path, 5).await;
    store.close().await;
    let file = Connection::open(&path).unwrap();
    let text: String = file
        .query_row("SELECT text FROM other WHERE id = 7", [], |row| row.get(0))
        .unwrap();
    assert_eq!(text, "seven");
}

#[tokio::test]
async fn what_is_mostly_full_is_left_alone_and_compacted_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    let store = open(&path);
    let keep: Vec<_> = (0..512)
        .map(|n| (format!("kept{n}"), vec![n as u8; 64 << 10]))
        .collect();
    store.set_many(keep.clone()).await.unwrap();
    filled_and_emptied(&store, 24).await;
    store.set("last".into(), Vec::new()).await.unwrap();
    // Beside the store that has the file open.
    let done = tokio::task::spawn_blocking({
        let path = path.clone();
        move || compact(&path)
    });
    let done = done.await.unwrap().unwrap();
    assert!(done.bytes_before > 55 << 20, "{done:?}");
    assert!(done.bytes_after < 35 << 20, "{done:?}");
    assert!(size(&path) < 35 << 20);
    for (key, value) in keep {
        assert_eq!(store.get(&key).await.unwrap(), Some(value), "{key}");
    }
    store.set("after".into(), b"1".to_vec()).await.unwrap();
    assert_eq!(store.get("after").await.unwrap(), Some(b"1".to_vec()));
}

#[test]
fn what_is_no_store_is_not_compacted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("outbox.db");
    for there in [false, true] {
        if there {
            fs::write(&path, "").unwrap();
        }
        let said = compact(&path).unwrap_err();
        assert!(matches!(said, StoreError::NoStore { .. }), "{said}");
        assert_eq!(path.exists(), there);
    }
}
