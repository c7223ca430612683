//! Files of older versions are brought up to date, those of newer ones left as they are.

use std::path::Path;
use std::sync::Barrier;
use std::thread;

use rusqlite::Connection;

use super::schema::{migrate, schema_version};
use super::{Durability, SqliteOptions, SqliteStore};
use crate::store::{Store as _, StoreError};

/// What version 1 wrote, word for word: such files are out there.
const VERSION_1: &str = "
    CREATE TABLE mcp_reporter_meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE mcp_reporter_kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL);
    INSERT INTO mcp_reporter_meta (name, value) VALUES ('schema_version', 1);
    INSERT INTO mcp_reporter_kv (key, value) VALUES ('k', x'0102');
";

/// The pairs alone, before the file said its version.
const VERSION_0: &str = "
    CREATE TABLE mcp_reporter_kv (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, value BLOB NOT NULL);
    INSERT INTO mcp_reporter_kv (key, value) VALUES ('k', x'0102');
";

/// Versions to come.
const SECOND: &str = "ALTER TABLE mcp_reporter_kv ADD COLUMN second INTEGER NOT NULL DEFAULT 2";
const THIRD: &str = "UPDATE mcp_reporter_kv SET second = second + 1";

fn file(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    let options = SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Process,
    };
    SqliteStore::open(options).map(|(store, _)| store)
}

fn second(connection: &Connection) -> i64 {
    connection
        .query_row("SELECT second FROM mcp_reporter_kv", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn files_of_every_older_version_are_opened_with_what_is_in_them() {
    for sql in [VERSION_0, VERSION_1] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        file(&path, sql);
        let store = open(&path).unwrap();
        assert_eq!(store.get("k").await.unwrap(), Some(vec![1, 2]), "{sql}");
        store.set("l".into(), vec![3]).await.unwrap();
        store.close().await;
        let connection = Connection::open(&path).unwrap();
        assert_eq!(schema_version(&connection).unwrap(), Some(1), "{sql}");
    }
}

#[test]
fn an_older_file_takes_the_steps_it_has_not_had_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    file(&path, VERSION_1);
    let mut connection = Connection::open(&path).unwrap();
    let steps = ["no SQL: it must not be taken", SECOND, THIRD];
    assert_eq!(migrate(&mut connection, &steps).unwrap(), 3);
    assert_eq!(second(&connection), 3);
    // Again: there is nothing to do.
    assert_eq!(migrate(&mut connection, &steps).unwrap(), 3);
    assert_eq!(second(&connection), 3);
    drop(connection);

    // The program of today refuses it, and says which versions it knows.
    let before = std::fs::read(&path).unwrap();
    let refused = open(&path).unwrap_err();
    let newer = StoreError::NewerSchema {
        path: path.clone(),
        found: 3,
        supported: 1,
    };
    assert_eq!(refused, newer);
    assert_eq!(std::fs::read(&path).unwrap(), before, "left as it was");
}

#[test]
fn a_step_that_fails_leaves_the_file_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    file(&path, VERSION_1);
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &["", SECOND, "no SQL"]).unwrap_err();
    assert_eq!(schema_version(&connection).unwrap(), Some(1));
    assert!(
        connection
            .prepare("SELECT second FROM mcp_reporter_kv")
            .is_err()
    );
    assert_eq!(migrate(&mut connection, &["", SECOND, THIRD]).unwrap(), 3);
}

#[test]
fn of_many_that_meet_an_older_file_one_migrates_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    file(&path, VERSION_1);
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut connection = Connection::open(&path).unwrap();
                let wait = std::time::Duration::from_secs(60);
                connection.busy_timeout(wait).unwrap();
                start.wait();
                // A second time, the column would be there already.
                assert_eq!(migrate(&mut connection, &["", SECOND]).unwrap(), 2);
            });
        }
    });
    assert_eq!(second(&Connection::open(&path).unwrap()), 2);
}

#[test]
fn a_version_that_never_was_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    file(&path, VERSION_1);
    let connection = Connection::open(&path).unwrap();
    let set = "UPDATE mcp_reporter_meta SET value = -1";
    connection.execute_batch(set).unwrap();
    drop(connection);
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains("schema version is -1"), "{error}");
}
