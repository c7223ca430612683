//! What becomes of the file: damage, versions, permissions, locks.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{Durability, SqliteOptions, SqliteStore};
use crate::store::{Store as _, StoreError, StoreWarning};

fn try_open(path: &Path) -> Result<(SqliteStore, Vec<StoreWarning>), StoreError> {
    SqliteStore::open(SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Process,
    })
}

fn open(path: &Path) -> SqliteStore {
    let (store, warnings) = try_open(path).unwrap();
    assert_eq!(warnings, []);
    store
}

fn store_path() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

/// The names in the folder of `path` that begin as it does.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = path
        .parent()
        .unwrap()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

async fn begins_afresh(path: &Path, damaged: &[u8]) {
    let (store, warnings) = try_open(path).unwrap();
    let [
        StoreWarning::KeptAside {
            path: named, kept, ..
        },
    ] = &warnings[..]
    else {
        panic!("{warnings:?}");
    };
    assert_eq!(named, path);
    assert_eq!(fs::read(kept).unwrap(), damaged, "kept as it was");
    let prefix = format!("{}.corrupt-", path.display());
    let seconds = kept.to_str().unwrap().strip_prefix(&prefix).unwrap();
    seconds.parse::<u64>().unwrap();
    let told = warnings[0].to_string();
    assert!(told.contains(path.to_str().unwrap()) && told.contains(kept.to_str().unwrap()));

    assert_eq!(store.list_keys().await.unwrap().len(), 0);
    store.set("k".into(), vec![1]).await.unwrap();
    store.close().await;
    assert_eq!(open(path).get("k").await.unwrap(), Some(vec![1]));
}

#[tokio::test]
async fn what_is_no_database_is_kept_aside() {
    let (_folder, path) = store_path();
    for (round, damaged) in [b"short".to_vec(), vec![b'x'; 10_000]].iter().enumerate() {
        fs::remove_file(&path).ok();
        fs::write(&path, damaged).unwrap();
        set_mode(&path, 0o600);
        begins_afresh(&path, damaged).await;
        let kept = names(&path)
            .iter()
            .filter(|name| name.contains(".corrupt-"))
            .count();
        assert_eq!(kept, round + 1, "what was kept before stays");
    }
}

#[test]
fn of_many_that_meet_damage_one_keeps_it_aside() {
    for _ in 0..10 {
        let (_folder, path) = store_path();
        fs::write(&path, [b'x'; 5_000]).unwrap();
        set_mode(&path, 0o600);
        let start = Barrier::new(8);
        let warnings = Mutex::new(Vec::new());
        let stores = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    let (store, told) = try_open(&path).unwrap();
                    warnings.lock().unwrap().extend(told);
                    stores.lock().unwrap().push(store);
                });
            }
        });
        assert_eq!(warnings.lock().unwrap().len(), 1, "{warnings:?}");
    }
}

#[tokio::test]
async fn a_log_is_kept_with_its_damaged_file() {
    let (_folder, path) = store_path();
    let wal = path.with_file_name("store.db-wal");
    fs::write(&path, [b'x'; 5_000]).unwrap();
    fs::write(&wal, b"log").unwrap();
    set_mode(&path, 0o600);
    let (_store, warnings) = try_open(&path).unwrap();
    let [StoreWarning::KeptAside { kept, .. }] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert_eq!(fs::read(format!("{}-wal", kept.display())).unwrap(), b"log");
}

/// A store of `count` values, closed, with the bytes in `range` of its file overwritten.
async fn damaged_store(path: &Path, count: usize, range: std::ops::Range<usize>) -> Vec<u8> {
    let store = open(path);
    let pairs = (0..count)
        .map(|i| (format!("k{i:06}"), vec![7; 1_000]))
        .collect();
    store.set_many(pairs).await.unwrap();
    store.close().await;
    let mut bytes = fs::read(path).unwrap();
    bytes[range].fill(0xFF);
    fs::write(path, &bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_file_damaged_in_the_middle_is_kept_aside_at_the_start() {
    let (_folder, path) = store_path();
    let bytes = damaged_store(&path, 200, 40_000..80_000).await;
    begins_afresh(&path, &bytes).await;
}

#[tokio::test]
async fn a_truncated_file_is_kept_aside() {
    let (_folder, path) = store_path();
    let mut bytes = damaged_store(&path, 200, 0..0).await;
    bytes.truncate(50_000);
    fs::write(&path, &bytes).unwrap();
    begins_afresh(&path, &bytes).await;
}

#[tokio::test]
async fn damage_met_in_use_is_an_error_and_a_fresh_start_follows() {
    let (_folder, path) = store_path();
    // Too large to be checked at each start.
    damaged_store(&path, 8_000, 2_000_000..4_000_000).await;
    let store = open(&path);
    let error = store.list_keys().await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("restart"), "{error}");
    store.close().await;
    let bytes = fs::read(&path).unwrap();
    begins_afresh(&path, &bytes).await;
    assert!(
        !names(&path).contains(&"store.db.damaged".to_owned()),
        "the note is gone"
    );
}

#[tokio::test]
async fn a_note_of_damage_that_is_not_there_is_dropped() {
    let (_folder, path) = store_path();
    open(&path).set("k".into(), vec![1]).await.unwrap();
    fs::write(path.with_file_name("store.db.damaged"), "").unwrap();
    assert_eq!(open(&path).get("k").await.unwrap(), Some(vec![1]));
    assert_eq!(names(&path), ["store.db"]);
}

#[tokio::test]
async fn an_empty_file_is_a_new_store() {
    let (_folder, path) = store_path();
    fs::write(&path, "").unwrap();
    set_mode(&path, 0o600);
    open(&path).set("k".into(), vec![1]).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_as_it_is() {
    let (_folder, path) = store_path();
    open(&path).set("k".into(), vec![1]).await.unwrap();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute("UPDATE mcp_reporter_meta SET value = 7", [])
        .unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let error = try_open(&path).unwrap_err();
    let expected = StoreError::NewerSchema {
        path: path.clone(),
        found: 7,
        supported: 1,
    };
    assert_eq!(error, expected);
    let told = error.to_string();
    assert!(told.contains(path.to_str().unwrap()), "{told}");
    assert!(
        told.contains("version 7") && told.contains("up to 1"),
        "{told}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(&path), ["store.db"]);
}

#[test]
fn a_folder_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let error = try_open(folder.path()).unwrap_err();
    assert_eq!(
        error,
        StoreError::NotAFile {
            path: folder.path().to_owned()
        }
    );
}

#[test]
fn a_path_below_a_file_is_an_error() {
    let (_folder, path) = store_path();
    fs::write(&path, "not a folder").unwrap();
    let below = path.join("store.db");
    let error = try_open(&below).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    assert!(
        error.to_string().contains(below.to_str().unwrap()),
        "{error}"
    );
}

#[test]
fn a_file_locked_at_the_start_is_waited_for() {
    let (_folder, path) = store_path();
    let (locked, is_locked) = mpsc::channel();
    let (unlock, may_unlock) = mpsc::channel::<()>();
    let other = path.clone();
    drop(Connection::open(&path).unwrap());
    fs::write(&path, "").unwrap();
    set_mode(&path, 0o600);
    let holder = thread::spawn(move || {
        let connection = Connection::open(other).unwrap();
        connection
            .execute_batch("CREATE TABLE t (x); BEGIN EXCLUSIVE")
            .unwrap();
        locked.send(()).unwrap();
        may_unlock.recv().unwrap();
        connection.execute_batch("COMMIT").unwrap();
    });
    is_locked.recv().unwrap();
    let (opened, result) = mpsc::channel();
    let (name, opener) = (
        path.clone(),
        thread::spawn(move || opened.send(try_open(&path)).unwrap()),
    );
    let early = result.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "opened while locked: {early:?}");
    unlock.send(()).unwrap();
    holder.join().unwrap();
    let (_store, warnings) = result
        .recv_timeout(Duration::from_secs(60))
        .unwrap()
        .unwrap();
    opener.join().unwrap();
    assert_eq!(warnings, []);
    assert!(!names(&name).iter().any(|name| name.contains("corrupt")));
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_deleted_while_in_use_fails_writes() {
    let (_folder, path) = store_path();
    let store = open(&path);
    store.set("k".into(), vec![1]).await.unwrap();
    fs::rename(&path, path.with_file_name("elsewhere.db")).unwrap();
    let moved = StoreError::Moved { path: path.clone() };
    assert_eq!(store.set("k".into(), vec![2]).await.unwrap_err(), moved);
    open(&path).set("k".into(), vec![3]).await.unwrap();
    assert_eq!(store.set("k".into(), vec![2]).await.unwrap_err(), moved);
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_made_is_for_the_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folders/store.db");
    let store = open(&path);
    store.set("k".into(), vec![1]).await.unwrap();
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    assert_eq!(mode(path.parent().unwrap().parent().unwrap()), 0o700);
    assert_eq!(names(&path), ["store.db", "store.db-shm", "store.db-wal"]);
    for name in names(&path) {
        assert_eq!(mode(&path.with_file_name(&name)), 0o600, "{name}");
    }
}

#[cfg(unix)]
#[test]
fn what_others_can_write_is_refused() {
    let (folder, path) = store_path();
    for bad in [0o777, 0o770, 0o702] {
        set_mode(folder.path(), bad);
        let error = try_open(&path).unwrap_err();
        assert_eq!(
            error,
            StoreError::Exposed {
                path: folder.path().to_owned(),
                mode: bad
            }
        );
        assert!(
            error.to_string().contains(&format!("mode 0{bad:o}")),
            "{error}"
        );
        assert!(!path.exists());
    }
    set_mode(folder.path(), 0o1777);
    drop(open(&path));
    for bad in [0o666, 0o620, 0o602] {
        set_mode(&path, bad);
        let error = try_open(&path).unwrap_err();
        assert_eq!(
            error,
            StoreError::Exposed {
                path: path.clone(),
                mode: bad
            }
        );
    }
    set_mode(&path, 0o644);
    let (_store, warnings) = try_open(&path).unwrap();
    assert_eq!(
        warnings,
        [StoreWarning::Tightened {
            path: path.clone(),
            mode: 0o644
        }]
    );
    assert_eq!(mode(&path), 0o600);
}

#[cfg(unix)]
#[test]
fn what_this_user_cannot_write_is_an_error() {
    let (folder, path) = store_path();
    drop(open(&path));
    set_mode(&path, 0o400);
    if fs::OpenOptions::new().append(true).open(&path).is_ok() {
        return; // The superuser may write everything.
    }
    let error = try_open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
    fs::remove_file(&path).unwrap();
    set_mode(folder.path(), 0o500);
    let error = try_open(&path).unwrap_err();
    set_mode(folder.path(), 0o700);
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
}
