//! What the threads do: commit in groups, wait for locks, share the file, close.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::timeout;

use super::{Durability, SqliteOptions, SqliteStore};
use crate::store::{Store as _, StoreError};

const DEADLINE: Duration = Duration::from_secs(60);

fn open(folder: &TempDir) -> Arc<SqliteStore> {
    let path = folder.path().join("store.db");
    let options = SqliteOptions {
        path,
        durability: Durability::Process,
    };
    let (store, warnings) = SqliteStore::open(options).unwrap();
    assert_eq!(warnings, []);
    Arc::new(store)
}

/// A connection that holds the write lock until it commits.
fn locked(store: &SqliteStore) -> Connection {
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// Polls `futures` once, so that their operations are queued.
async fn queue<F: Future<Output: Send> + Send + 'static>(
    futures: impl IntoIterator<Item = F>,
) -> Vec<tokio::task::JoinHandle<F::Output>> {
    let mut tasks = Vec::new();
    for future in futures {
        let mut future = Box::pin(future);
        let first = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx)));
        assert!(
            first.await.is_pending(),
            "answered while the file is locked"
        );
        tasks.push(tokio::spawn(future));
    }
    tasks
}

#[tokio::test]
async fn what_waits_together_is_committed_together() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lock = locked(&store);
    let sets = (0..64).map(|i| {
        let store = Arc::clone(&store);
        async move { store.set(format!("k{i}"), vec![7; 600]).await }
    });
    let tasks = queue(sets).await;
    lock.execute_batch("COMMIT").unwrap();
    for task in tasks {
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(store.commits(), 1);
    assert_eq!(store.list_keys().await.unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_setters_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    // With a flush for each commit, operations surely arrive faster than they are committed.
    let options = SqliteOptions {
        path,
        durability: Durability::Power,
    };
    let store = Arc::new(SqliteStore::open(options).unwrap().0);
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for i in 0..20 {
                    let key = format!("{task}.{i}");
                    store.set(key.clone(), vec![7; 600]).await.unwrap();
                    assert!(
                        store.get(&key).await.unwrap().is_some(),
                        "own write not read"
                    );
                }
            })
        })
        .collect();
    for task in tasks {
        timeout(DEADLINE, task).await.unwrap().unwrap();
    }
    assert_eq!(store.list_keys().await.unwrap().len(), 64 * 20);
    assert!(store.commits() < 64 * 20 / 2, "{} commits", store.commits());
}

#[tokio::test]
async fn one_that_fails_does_not_fail_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.set("word".into(), b"ten".to_vec()).await.unwrap();
    let lock = locked(&store);
    // As a full disk does, this undoes the whole transaction.
    lock.execute_batch(
        "CREATE TRIGGER fail BEFORE INSERT ON mcp_reporter_kv WHEN NEW.key = 'bad'
         BEGIN SELECT RAISE(ROLLBACK, 'no room for this'); END",
    )
    .unwrap();
    let ops = [
        vec!["a"],
        vec!["half", "bad"],
        vec!["b", "c"],
        vec!["bad"],
        vec!["d"],
    ]
    .map(|keys| {
        let store = Arc::clone(&store);
        async move {
            store
                .set_many(keys.into_iter().map(|k| (k.to_owned(), vec![1])).collect())
                .await
        }
    });
    let sets = queue(ops).await;
    let numbers = [("n", 5), ("word", 1), ("n", 2)].map(|(key, delta)| {
        let store = Arc::clone(&store);
        async move { store.increment(key.into(), delta).await }
    });
    let increments = queue(numbers).await;
    let swapper = Arc::clone(&store);
    let swap = async move {
        swapper
            .compare_and_swap("n".into(), Some(b"7".to_vec()), vec![])
            .await
    };
    let swaps = queue([swap]).await;
    lock.execute_batch("COMMIT").unwrap();

    let mut done = Vec::new();
    for task in sets {
        done.push(timeout(DEADLINE, task).await.unwrap().unwrap());
    }
    assert_eq!(
        done.iter().map(Result::is_ok).collect::<Vec<_>>(),
        [true, false, true, false, true]
    );
    assert!(
        done[1]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("no room for this")
    );
    let mut sums = Vec::new();
    for task in increments {
        sums.push(timeout(DEADLINE, task).await.unwrap().unwrap());
    }
    let word = StoreError::NotANumber {
        key: "word".into(),
        delta: 1,
    };
    assert_eq!(sums, [Ok(5), Err(word), Ok(7)], "each sum counted once");
    for task in swaps {
        assert_eq!(timeout(DEADLINE, task).await.unwrap().unwrap(), Ok(true));
    }
    let mut keys = store.list_keys().await.unwrap();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c", "d", "n", "word"]);

    lock.execute_batch("DROP TRIGGER fail").unwrap();
    store.set("bad".into(), vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_refused_operation_costs_no_commit_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.set("word".into(), b"ten".to_vec()).await.unwrap();
    let before = store.commits();
    let lock = locked(&store);
    let keys = ["n", "word", "n", "n"].map(|key| {
        let store = Arc::clone(&store);
        async move { store.increment(key.into(), 1).await }
    });
    let tasks = queue(keys).await;
    lock.execute_batch("COMMIT").unwrap();
    for (task, expected) in tasks.into_iter().zip([Some(1), None, Some(2), Some(3)]) {
        assert_eq!(
            timeout(DEADLINE, task).await.unwrap().unwrap().ok(),
            expected
        );
    }
    assert_eq!(store.commits() - before, 1);
}

#[tokio::test]
async fn a_locked_file_is_waited_for_without_blocking_the_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lock = locked(&store);
    let setter = Arc::clone(&store);
    let mut set = tokio::spawn(async move { setter.set("k".into(), vec![1]).await });
    // One thread runs all of this, so a blocked runtime could not tick.
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..100 {
        tokio::select! {
            biased;
            done = &mut set => panic!("done while the file is locked: {done:?}"),
            _ = ticks.tick() => {}
        }
        assert_eq!(store.get("k").await.unwrap(), None, "reads go on");
    }
    lock.execute_batch("COMMIT").unwrap();
    timeout(DEADLINE, set).await.unwrap().unwrap().unwrap();
    assert_eq!(store.get("k").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn a_dropped_future_leaves_the_store_working() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lock = locked(&store);
    for task in queue([0, 1].map(|i| {
        let store = Arc::clone(&store);
        async move { store.set(format!("k{i}"), vec![1]).await }
    }))
    .await
    {
        task.abort();
    }
    lock.execute_batch("COMMIT").unwrap();
    timeout(DEADLINE, store.set("after".into(), vec![1]))
        .await
        .unwrap()
        .unwrap();
    assert!(store.get("after").await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_swaps_from_two_handles_exactly_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let stores = [open(&folder), open(&folder)];
    let mut value: Option<Vec<u8>> = None;
    for round in 0..50 {
        let tasks: Vec<_> = (0..16)
            .map(|i| {
                let store = Arc::clone(&stores[i % 2]);
                let expected = value.clone();
                let new = format!("{round}.{i}").into_bytes();
                tokio::spawn(async move {
                    let won = store
                        .compare_and_swap("c".into(), expected, new.clone())
                        .await;
                    won.unwrap().then_some(new)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(timeout(DEADLINE, task).await.unwrap().unwrap());
        }
        assert_eq!(winners.len(), 1, "round {round}");
        value = winners.pop();
        for store in &stores {
            assert_eq!(
                store.get("c").await.unwrap(),
                value,
                "both handles see the winner"
            );
        }
    }
}

#[test]
fn many_may_make_the_file_at_once() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    open(&folder)
                });
            }
        });
    }
}

#[tokio::test]
async fn close_keeps_what_was_queued_and_leaves_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let lock = locked(&store);
    let tasks = queue((0..10).map(|i| {
        let store = Arc::clone(&store);
        async move { store.set(format!("k{i}"), vec![1]).await }
    }))
    .await;
    lock.execute_batch("COMMIT").unwrap();
    drop(lock);
    timeout(DEADLINE, store.close()).await.unwrap();
    for task in tasks {
        timeout(DEADLINE, task).await.unwrap().unwrap().unwrap();
    }
    let left: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["store.db"], "the log is copied into the file");
    assert_eq!(open(&folder).list_keys().await.unwrap().len(), 10);
}

#[tokio::test]
async fn close_does_not_wait_long_for_a_lock() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let _lock = locked(&store);
    let setter = Arc::clone(&store);
    let tasks = queue([async move { setter.set("k".into(), vec![1]).await }]).await;
    let began = Instant::now();
    timeout(DEADLINE, store.close()).await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    for task in tasks {
        let error = timeout(DEADLINE, task).await.unwrap().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Busy { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_dropped_store_has_finished_its_writes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    store.set("k".into(), vec![1]).await.unwrap();
    drop(store);
    assert!(!folder.path().join("store.db-wal").exists());
    assert_eq!(open(&folder).get("k").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn the_log_does_not_grow_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    // 64 MB of changes to 64 KB of values.
    for round in 0..1_000_u32 {
        let value = vec![round as u8; 65_536];
        store.set("k".into(), value).await.unwrap();
    }
    let log = folder.path().join("store.db-wal").metadata().unwrap().len();
    assert!(log < 24 << 20, "{log} bytes");
}
