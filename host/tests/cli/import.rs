//! `import`: the old client's cache, taken over once.

use crate::home::Home;
use rusqlite::Connection;
use serde_json::json;

/// A cache as the old client makes it.
fn cache(home: &Home, rows: &[&str]) {
    let cache = Connection::open(home.path("old.db")).unwrap();
    cache
        .execute_batch(
            "CREATE TABLE failed_interactions (id INTEGER PRIMARY KEY AUTOINCREMENT,
             interaction_data TEXT, timestamp REAL, retry_count INTEGER DEFAULT 0)",
        )
        .unwrap();
    for row in rows {
        let insert =
            "INSERT INTO failed_interactions (interaction_data, timestamp) VALUES (?1, 1.5)";
        cache.execute(insert, [row]).unwrap();
    }
}

const START: &str = r#"{"action": "interaction_start", "interaction_id": "old1", "mcp_id": "before", "timestamp": 1718000000.25, "request_data": {"a": 1e16}}"#;
const END: &str = r#"{"action": "interaction_complete", "interaction_id": "old1", "mcp_id": "before", "timestamp": 1718000001.5, "result_data": {}}"#;

#[test]
fn importing_again_adds_nothing() {
    let (home, coordinator) = Home::with_coordinator("");
    cache(&home, &[START, END]);
    let before = std::fs::read(home.path("old.db")).unwrap();
    let said = home.ok(&["import", "old.db"]);
    assert_eq!(
        said,
        "2 events taken over, 0 already known, 0 unreadable; old.db was left as it is\n"
    );
    let again = json!({"taken_over": 0, "known": 2, "unreadable": 0, "reasons": []});
    assert_eq!(home.json(&["import", "old.db", "--json"]), again);
    home.ok(&["deliver"]);
    assert_eq!(home.json(&["import", "old.db", "--json"]), again);
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 0);
    assert_eq!(std::fs::read(home.path("old.db")).unwrap(), before);

    let stored = coordinator.stored().unwrap();
    assert_eq!(stored.len(), 2);
    let body: serde_json::Value = serde_json::from_slice(stored[0].body.as_ref()).unwrap();
    assert_eq!(
        (&body["mcp_id"], &body["interaction_id"]),
        (&json!("before"), &json!("old1"))
    );
    assert_eq!(body["timestamp"].as_f64(), Some(1718000000.25));
}

#[test]
fn a_row_without_an_event_is_named_and_the_others_taken() {
    let home = Home::with("http://127.0.0.1:9", "");
    cache(&home, &["nonsense\u{1b}[2J", START]);
    let ran = home.run(&["import", "old.db"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.out
            .contains("1 event taken over, 0 already known, 1 unreadable"),
        "{ran:?}"
    );
    assert!(
        ran.out.contains("\n  row 1: is not an event") && !ran.out.contains('\u{1b}'),
        "{ran:?}"
    );
}

#[test]
fn what_a_full_outbox_does_not_take_is_taken_later() {
    let home = Home::with("http://127.0.0.1:9", "max_events = 1");
    let end = END.replace("old1", "old2");
    cache(&home, &[START, &end]);
    let ran = home.run(&["import", "old.db"]);
    ran.refused(1, "the outbox is full");
    ran.refused(1, "importing old.db again goes on from there");
    assert_eq!(
        home.json(&["import", "old.db", "--json", "--max-events", "100"])["unreadable"],
        0
    );
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 2);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let home = Home::with("http://127.0.0.1:9", "");
    Connection::open(home.path("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    std::fs::write(
        home.path("text"),
        "no database at all, but long enough to be looked at",
    )
    .unwrap();
    home.run(&["import", "other.db"])
        .refused(2, "has no table failed_interactions");
    home.run(&["import", "text"]).refused(2, "text");
}
