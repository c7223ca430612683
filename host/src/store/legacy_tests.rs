//! The old client's cache, with the old client's own tool: Python's sqlite3 as it comes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{
    Durability, LegacyCache, LegacyRow, SqliteOptions, SqliteStore, Store as _, StoreError,
};

/// Reads statements, one a line (with `~` before it: on a connection that stays open, else
/// on one of its own), and prints the rows of each as JSON, one a line.
const CLIENT: &str = r#"
import json, sqlite3, sys
path, kept = sys.argv[1], None
for line in sys.stdin:
    line = line.strip()
    if line.startswith("~"):
        kept = kept or sqlite3.connect(path)
        connection, line = kept, line[1:]
    else:
        connection = sqlite3.connect(path)
    with connection:
        rows = connection.execute(line).fetchall()
    if connection is not kept:
        connection.close()
    print(json.dumps(rows), flush=True)
"#;

const TABLE: &str = "CREATE TABLE IF NOT EXISTS failed_interactions (id INTEGER PRIMARY KEY \
                     AUTOINCREMENT, interaction_data TEXT, timestamp REAL, retry_count INTEGER \
                     DEFAULT 0)";

struct OldClient {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl OldClient {
    fn start(path: &Path) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", CLIENT])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 with its sqlite3 module is needed for this test");
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            input,
            output,
        }
    }

    fn run(&mut self, statement: &str) -> String {
        writeln!(self.input.as_mut().unwrap(), "{statement}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the old client failed at: {statement}");
        line.trim_end().to_owned()
    }
}

impl Drop for OldClient {
    fn drop(&mut self) {
        drop(self.input.take());
        self.process.wait().unwrap();
    }
}

fn insert(data: &str, timestamp: f64) -> String {
    format!(
        "INSERT INTO failed_interactions (interaction_data, timestamp) VALUES ('{data}', {timestamp:?})"
    )
}

fn open(path: &Path) -> SqliteStore {
    let options = SqliteOptions {
        path: path.to_owned(),
        durability: Durability::Process,
    };
    SqliteStore::open(options).unwrap().0
}

fn row(id: i64, interaction_data: &str, timestamp: f64, retry_count: i64) -> LegacyRow {
    LegacyRow {
        id,
        interaction_data: interaction_data.to_owned(),
        timestamp,
        retry_count,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_client_goes_on_using_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("interaction_cache.db");
    let mut client = OldClient::start(&path);
    // The connection that stays open is there before our store changes the journal mode.
    client.run(&format!("~{TABLE}"));
    client.run(&insert("{\"n\": 1}", 1_700_000_000.25));
    client.run(&format!("~{}", insert("{\"n\": 2}", 1_700_000_001.5)));

    let store = open(&path);
    store.set("q.1".into(), b"ours".to_vec()).await.unwrap();
    client.run(TABLE);
    assert_eq!(
        client.run("SELECT id, interaction_data FROM failed_interactions ORDER BY timestamp"),
        r#"[[1, "{\"n\": 1}"], [2, "{\"n\": 2}"]]"#
    );
    client.run("UPDATE failed_interactions SET retry_count = retry_count + 1 WHERE id = 2");
    client.run("~DELETE FROM failed_interactions WHERE id = 1");
    client.run(&insert("{\"n\": 3}", 1_700_000_002.0));

    let cache = LegacyCache::open(&path).unwrap();
    let rows = [
        row(2, "{\"n\": 2}", 1_700_000_001.5, 1),
        row(3, "{\"n\": 3}", 1_700_000_002.0, 0),
    ];
    assert_eq!(cache.count().unwrap(), 2);
    assert_eq!(cache.page(i64::MIN, 10).unwrap(), rows);
    assert_eq!(cache.page(i64::MIN, 1).unwrap(), rows[..1]);
    assert_eq!(cache.page(2, 10).unwrap(), rows[1..]);
    assert_eq!(cache.page(3, 10).unwrap(), []);

    // Both write at once.
    let writer = tokio::spawn(async move {
        for i in 0..200 {
            store.set(format!("q.{i}"), vec![7; 600]).await.unwrap();
        }
        store
    });
    for i in 0..50 {
        client.run(&insert("{}", f64::from(i)));
    }
    let store = writer.await.unwrap();
    assert_eq!(store.list_keys().await.unwrap().len(), 200);
    store.close().await;
    drop(cache);

    assert_eq!(
        client.run("SELECT count(*) FROM failed_interactions"),
        "[[52]]"
    );
    client.run("DELETE FROM failed_interactions WHERE timestamp < 100");
    assert_eq!(
        client.run("~SELECT count(*) FROM failed_interactions"),
        "[[2]]"
    );
    assert_eq!(client.run("PRAGMA integrity_check"), r#"[["ok"]]"#);
    assert_eq!(client.run("PRAGMA application_id"), "[[0]]");
    assert_eq!(client.run("PRAGMA user_version"), "[[0]]");
    assert_eq!(open(&path).list_keys().await.unwrap().len(), 200);
}

#[test]
fn a_cache_is_read_while_it_is_written_and_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("interaction_cache.db");
    let mut client = OldClient::start(&path);
    client.run(TABLE);
    client.run("INSERT INTO failed_interactions (interaction_data) VALUES (NULL)");
    client.run("INSERT INTO failed_interactions (interaction_data, timestamp) VALUES (x'FF', 3)");
    let before = fs::read(&path).unwrap();
    let cache = LegacyCache::open(&path).unwrap();
    assert_eq!(
        cache.page(i64::MIN, 10).unwrap(),
        [row(1, "", 0.0, 0), row(2, "", 3.0, 0)]
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    client.run(&insert("{}", 4.0));
    assert_eq!(cache.count().unwrap(), 3);
}

#[test]
fn a_file_without_the_table_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(open(&path));
    let error = LegacyCache::open(&path).unwrap_err();
    assert_eq!(error, StoreError::NoLegacyTable { path: path.clone() });
    assert!(error.to_string().contains("failed_interactions"), "{error}");

    let text = folder.path().join("notes.txt");
    fs::write(
        &text,
        "no database at all, but some text that is long enough",
    )
    .unwrap();
    let error = LegacyCache::open(&text).unwrap_err();
    assert!(error.to_string().contains("not a database"), "{error}");
    assert!(text.exists(), "never moved");
    LegacyCache::open(folder.path()).unwrap_err();
    LegacyCache::open(&folder.path().join("absent.db")).unwrap_err();
    assert!(!folder.path().join("absent.db").exists(), "never made");
}
