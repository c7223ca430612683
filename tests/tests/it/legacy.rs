//! `local_cache_path` holds the old client's database: it is taken over, and
//! the old client can go on using it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mcp_reporter::reporter::LegacyImport;
use mcp_reporter::store::{MemoryStore, Store, StoreError};
use mcp_reporter_tests::{
    Place, assert_one_key_each, builder, coordinator, drained, json, python, stored,
};

/// The old client puts aside what it could not send.
pub const PUT_ASIDE: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("""CREATE TABLE IF NOT EXISTS failed_interactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, interaction_data TEXT, timestamp REAL,
    retry_count INTEGER DEFAULT 0)""")
for event in json.load(sys.stdin):
    db.execute("INSERT INTO failed_interactions (interaction_data, timestamp) VALUES (?, ?)",
               (json.dumps(event), event["timestamp"] + 1))
db.commit()
"#;

/// The old client's own round: select, count a retry, delete.
const RETRY: &str = r#"
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1])
rows = db.execute("SELECT id, interaction_data, retry_count FROM failed_interactions ORDER BY timestamp").fetchall()
print(len(rows), json.loads(rows[0][1])["interaction_id"])
db.execute("UPDATE failed_interactions SET retry_count = retry_count + 1 WHERE id = ?", (rows[1][0],))
db.execute("DELETE FROM failed_interactions WHERE id = ?", (rows[0][0],))
db.commit()
print(db.execute("SELECT count(*), sum(retry_count) FROM failed_interactions").fetchone())
print(db.execute("PRAGMA integrity_check").fetchone()[0])
"#;

pub const TWO_EVENTS: &str = r#"[
 {"action": "interaction_start", "interaction_id": "int_1718000000_1a2b3c4d", "mcp_id": "old é",
  "timestamp": 1718000000.123456, "request_data": {"user_id": "ü😀", "big": 123456789012345678901234567890, "f": 1e16}},
 {"action": "interaction_complete", "interaction_id": "int_1718000000_1a2b3c4d", "mcp_id": "old é",
  "timestamp": 1718000001.5, "result_data": {"success": true, "processing_time": -0.0}}]"#;

#[tokio::test]
async fn the_old_clients_rows_are_delivered_once_and_its_database_stays_usable() {
    let place = Place::new();
    let file = place.store().display().to_string();
    python(PUT_ASIDE, &[&file], TWO_EVENTS);

    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    stored(&coordinator, 2).await;
    let events = coordinator.stored().unwrap();
    let bodies: Vec<_> = events
        .iter()
        .map(|e| std::str::from_utf8(&e.body).unwrap())
        .collect();
    assert_eq!(
        bodies,
        [
            r#"{"action":"interaction_start","interaction_id":"int_1718000000_1a2b3c4d","mcp_id":"old é","timestamp":1718000000.123456,"request_data":{"user_id": "\u00fc\ud83d\ude00", "big": 123456789012345678901234567890, "f": 1e+16}}"#,
            r#"{"action":"interaction_complete","interaction_id":"int_1718000000_1a2b3c4d","mcp_id":"old é","timestamp":1718000001.5,"result_data":{"success": true, "processing_time": -0.0}}"#
        ]
    );

    // While ours runs, the old client adds a row and works on the others.
    let third = r#"[{"action": "interaction_start", "interaction_id": "third", "mcp_id": "old",
        "timestamp": 1718000002.0, "request_data": {}}]"#;
    python(PUT_ASIDE, &[&file], third);
    let said = python(RETRY, &[&file], "");
    assert_eq!(said, "3 int_1718000000_1a2b3c4d\n(2, 1)\nok\n");
    let call = reporter.start("{}").await.unwrap();
    call.complete("{}").await.unwrap();
    drained(&reporter).await;
    reporter.shutdown(std::time::Duration::from_secs(10)).await;

    // The next start takes over what is new, and nothing else.
    for _ in 0..2 {
        let reporter = place.reporter(&coordinator.url(), &[]).await;
        stored(&coordinator, 5).await;
        drained(&reporter).await;
        reporter.shutdown(std::time::Duration::from_secs(10)).await;
    }
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 5, "a row was sent again");
    assert_one_key_each(&receipts);
    assert_eq!(
        json(&receipts[4].body)["timestamp"].to_string(),
        "1718000002.0"
    );
    let said = python(RETRY, &[&file], "");
    assert_eq!(said, "2 int_1718000000_1a2b3c4d\n(1, 1)\nok\n");
}

#[tokio::test]
async fn a_row_that_holds_no_event_hinders_no_other() {
    let place = Place::new();
    let file = place.store().display().to_string();
    python(PUT_ASIDE, &[&file], TWO_EVENTS);
    let connection = rusqlite::Connection::open(place.store()).unwrap();
    connection
        .execute_batch(
            "UPDATE failed_interactions SET id = id + 10;
             INSERT INTO failed_interactions (id, interaction_data, timestamp) VALUES
                 (1, 'nonsense', 1.0), (2, NULL, NULL), (3, '{}', 'yesterday'),
                 (4, x'ff00', 4.0), (20, '[]', 5.0);",
        )
        .unwrap();
    drop(connection);
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    stored(&coordinator, 2).await;
    drained(&reporter).await;
    let connection = rusqlite::Connection::open(place.store()).unwrap();
    let rows = "SELECT count(*) FROM failed_interactions";
    let rows: i64 = connection.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 7, "a row of the old client was changed");
}

#[tokio::test]
async fn a_thousand_rows_are_taken_over_in_order() {
    let place = Place::new();
    let file = place.store().display().to_string();
    let rows: Vec<_> = (0..1000)
        .map(|n| {
            let (action, data) = [
                ("interaction_start", "request_data"),
                ("interaction_error", "error_data"),
            ][n % 2];
            serde_json::json!({
                "action": action, "interaction_id": format!("i{}", n / 2), "mcp_id": "old",
                "timestamp": 1_718_000_000.0 + n as f64 / 8.0, data: {"n": n},
            })
        })
        .collect();
    python(
        PUT_ASIDE,
        &[&file],
        &serde_json::Value::from(rows).to_string(),
    );
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let reporter = builder(&settings).build().await.unwrap();
    stored(&coordinator, 1000).await;
    drained(&reporter).await;
    for (id, history) in mcp_reporter_tests::histories(&coordinator.stored().unwrap()) {
        assert_eq!(history, ["start", "error"], "{id}");
    }
    assert_eq!(coordinator.receipts().len(), 1000);
}

#[tokio::test]
async fn rows_taken_over_again_after_a_crash_have_the_same_key() {
    let place = Place::new();
    let file = place.store().display().to_string();
    python(PUT_ASIDE, &[&file], TWO_EVENTS);
    let coordinator = coordinator();
    for sends in [2, 4] {
        let reporter = place.reporter(&coordinator.url(), &[]).await;
        let within = mcp_reporter_tests::SOON;
        let all = coordinator
            .wait_for(|seen| seen.receipts().len() == sends, within)
            .await;
        all.unwrap();
        drained(&reporter).await;
        reporter.shutdown(std::time::Duration::from_secs(10)).await;
        // As if the process had died before it noted what it took over.
        let connection = rusqlite::Connection::open(place.store()).unwrap();
        let forget = "DELETE FROM mcp_reporter_kv WHERE key LIKE 'imported%'";
        assert_eq!(connection.execute(forget, []).unwrap(), 1);
    }
    assert_one_key_each(&coordinator.receipts());
    let stats = coordinator.stats();
    assert_eq!((stats.processed, stats.duplicates_ignored), (2, 2));
}

/// A store in memory that counts the bytes that are noted of an import.
struct NotesCounted {
    store: MemoryStore,
    bytes: AtomicUsize,
}

#[async_trait]
impl Store for NotesCounted {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.store.get_many(keys).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        self.store.list_keys().await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        if key.starts_with("imported") {
            self.bytes.fetch_add(value.len(), Ordering::Relaxed);
        }
        self.store.set(key, value).await
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        self.store.set_many(pairs).await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.store.delete_many(keys).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.store.increment(key, delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.store.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[tokio::test]
async fn what_is_noted_of_an_import_grows_with_the_rows_and_no_faster() {
    let mut noted = Vec::new();
    for rows in [10_000, 40_000] {
        let place = Place::new();
        let cache = place.folder().join("interaction_cache.db");
        let connection = rusqlite::Connection::open(&cache).unwrap();
        connection
            .execute_batch(&format!(
                "CREATE TABLE failed_interactions (
                     id INTEGER PRIMARY KEY AUTOINCREMENT, interaction_data TEXT, timestamp REAL,
                     retry_count INTEGER DEFAULT 0);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO failed_interactions (interaction_data, timestamp)
                 SELECT '{{\"action\":\"interaction_start\",\"interaction_id\":\"int_' || i ||
                     '\",\"timestamp\":1718000000.5,\"request_data\":{{}}}}', 1718000001.0 FROM n;"
            ))
            .unwrap();
        let store = Arc::new(NotesCounted {
            store: MemoryStore::new(),
            bytes: AtomicUsize::new(0),
        });
        let settings = place.fast("http://127.0.0.1:9");
        let reporter = builder(&settings).without_timer().store(store.clone());
        let reporter = reporter.build().await.unwrap();
        for known in [0, rows] {
            let import = LegacyImport::open(&cache).unwrap();
            let done = import.run(&reporter, |_| {}).await.unwrap();
            assert_eq!((done.known, done.events), (known, rows - known));
        }
        noted.push(store.bytes.load(Ordering::Relaxed));
    }
    let times = noted[1] as f64 / noted[0] as f64;
    assert!(
        times < 6.0,
        "4 times the rows, {times} times the bytes: {noted:?}"
    );
}
