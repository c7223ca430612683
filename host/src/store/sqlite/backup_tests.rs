//! What a backup holds, and what it leaves alone.

use std::fs;
use std::path::{Path, PathBuf};

use mcp_reporter_core::outbox::{EventKey, Place, Stage};
use rusqlite::Connection;

use super::{Backup, Durability, SqliteOptions, SqliteStore, backup};
use crate::store::{Store as _, StoreError};

fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Process,
    };
    SqliteStore::open(options).unwrap().0
}

fn key(ns: u64, place: Place) -> String {
    let key = EventKey {
        ns,
        interaction: 1,
        stage: Stage::Start,
        size: 3,
        random: 4,
    };
    key.name(place)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// A store of two waiting events, a dead letter and something else, in use.
async fn store(folder: &Path) -> (SqliteStore, PathBuf) {
    let path = folder.join("live/store.db");
    let store = open(&path);
    for name in [
        key(1, Place::Waiting),
        key(2, Place::Waiting),
        key(3, Place::Dead),
        "control".to_owned(),
    ] {
        store.set(name, vec![7; 100]).await.unwrap();
    }
    (store, path)
}

#[tokio::test]
async fn all_that_was_written_is_in_one_file_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = store(folder.path()).await;
    let to = folder.path().join("new/backup.db");
    let done = backup(&path, &to, false).unwrap();
    let bytes = fs::metadata(&to).unwrap().len();
    let expected = Backup {
        waiting: 2,
        dead_letters: 1,
        bytes,
    };
    assert_eq!(done, expected);
    assert_eq!(names(to.parent().unwrap()), ["backup.db"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&to), 0o600);
        assert_eq!(mode(to.parent().unwrap()), 0o700);
    }
    // What comes later is not in it, and the store goes on.
    store.set("later".into(), vec![1]).await.unwrap();
    let restored = open(&to);
    assert_eq!(restored.list_keys().await.unwrap().len(), 4);
    let value = restored.get(&key(3, Place::Dead)).await.unwrap();
    assert_eq!(value, Some(vec![7; 100]));
}

#[tokio::test]
async fn what_exists_is_replaced_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let (_store, path) = store(folder.path()).await;
    let to = folder.path().join("backup.db");
    fs::write(&to, "precious").unwrap();
    let refused = backup(&path, &to, false).unwrap_err();
    assert_eq!(refused, StoreError::BackupExists { path: to.clone() });
    assert!(refused.to_string().contains("--force"), "{refused}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "precious");
    assert_eq!(backup(&path, &to, true).unwrap().waiting, 2);
    assert_eq!(open(&to).list_keys().await.unwrap().len(), 4);
    let itself = backup(&path, &path, true).unwrap_err();
    assert!(
        itself.to_string().contains("is the store itself"),
        "{itself}"
    );
    let left = names(folder.path());
    assert!(!left.iter().any(|name| name.contains(".part-")), "{left:?}");
}

#[tokio::test]
async fn a_damaged_store_makes_no_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = open(&path);
    let pairs = (0..200).map(|i| (format!("k{i:06}"), vec![7; 1_000]));
    store.set_many(pairs.collect()).await.unwrap();
    store.close().await;
    let mut bytes = fs::read(&path).unwrap();
    bytes[40_000..80_000].fill(0xFF);
    fs::write(&path, &bytes).unwrap();
    let to = folder.path().join("backup.db");
    fs::write(&to, "the one before").unwrap();
    let error = backup(&path, &to, true).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "the one before");
    // SQLite's own side files of the store may stay; nothing of the backup does.
    let left = names(folder.path());
    assert!(
        left.iter()
            .all(|name| name == "backup.db" || name.starts_with("store.db")),
        "{left:?}"
    );
    assert_eq!(
        fs::read(&path).unwrap(),
        bytes,
        "the damaged file is as it was"
    );
}

#[test]
fn where_there_is_no_outbox_nothing_is_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = (folder.path().join("no.db"), folder.path().join("backup.db"));
    let none = StoreError::NoStore { path: path.clone() };
    assert_eq!(backup(&path, &to, false), Err(none.clone()));
    // A database of somebody else.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    assert_eq!(backup(&path, &to, false), Err(none));
    assert_eq!(names(folder.path()), ["no.db"]);
}
