//! `report`: what is taken, and what is not.

use crate::home::{Home, finish};
use serde_json::json;
use std::io::Write;
use std::process::Stdio;

#[test]
fn a_payload_that_is_no_json_object_is_refused_and_nothing_stored() {
    let home = Home::with("http://127.0.0.1:9", "");
    let deep = format!("{}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    let big = format!("{{\"a\":\"{}\"}}", "x".repeat(300_000));
    std::fs::write(home.path("deep"), deep).unwrap();
    std::fs::write(home.path("big"), big).unwrap();
    std::fs::write(home.path("latin1"), b"{\"a\":\"\xe9\"}").unwrap();
    std::fs::write(home.path("bom"), "\u{feff}{}").unwrap();
    for (data, says) in [
        ("[1]", "is not a JSON object"),
        ("nonsense", "is not a JSON object"),
        ("", "is not a JSON object"),
        ("-5", "is not a JSON object"),
        ("{\"a\":}", "is not JSON: expected"),
        ("{} {}", "is not JSON: expected"),
        ("{\"a\":NaN}", "holds NaN or Infinity at byte 5"),
        ("{\"a\":1e400}", "too large for a double"),
        (r#"{"a":"\ud800"}"#, "lone surrogate"),
        ("{\"a\":1,\"a\":2}", "names the same key twice"),
        ("@deep", "levels deep"),
        ("@big", "more than max_event_bytes = 262144"),
        ("@bom", "byte-order mark"),
        ("@latin1", "--data: latin1 is not UTF-8 (at byte 6)"),
        ("@absent", "--data: cannot read absent: No such file"),
        ("@.", "--data: cannot read .: "),
    ] {
        home.run(&["report", "start", "--data", data])
            .refused(2, says);
    }
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 0);
}

#[test]
fn an_id_that_cannot_be_one_is_refused() {
    let home = Home::with("http://127.0.0.1:9", "");
    for (id, says) in [
        ("", "is empty"),
        ("a\nb", "holds a control character"),
        (&"x".repeat(257), "is too long"),
    ] {
        home.run(&["report", "progress", "--id", id])
            .refused(2, says);
    }
}

#[test]
fn a_start_makes_its_id_and_the_rest_follows() {
    let home = Home::with("http://127.0.0.1:9", "");
    let started = home.json(&["report", "start", "--json"]);
    let id = started["interaction_id"].as_str().unwrap();
    assert!(id.starts_with("int_") && id.len() == 23, "{id}");
    assert_eq!(started["outcome"], "queued");
    std::fs::write(home.path("data.json"), r#"{"step":1e16}"#).unwrap();
    let said = home.ok(&["report", "progress", "--id", id, "--data", "@data.json"]);
    assert_eq!(said, format!("queued {id}\n"));
    let mut command = home.command(&["report", "complete", "--id", id, "--data", "-"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"success\":true}")
        .unwrap();
    assert_eq!(finish(child).code, 0);
    let list = home.json(&["outbox", "list", "--json"]);
    let actions: Vec<_> = list["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["action"])
        .collect();
    assert_eq!(actions, ["start", "progress", "complete"]);
    let key = list["entries"][1]["key"].as_str().unwrap();
    let body = home.ok(&["outbox", "show", key]);
    assert!(
        body.ends_with("\"progress_data\":{\"step\":1e16}}\n"),
        "{body}"
    );
}

#[test]
fn a_reporter_that_is_off_stores_nothing() {
    let home = Home::empty();
    let said = home.json(&[
        "report", "error", "--id", "i", "--data", "@absent", "--json",
    ]);
    assert_eq!(said, json!({"interaction_id": "i", "outcome": "disabled"}));
    assert!(home.ok(&["report", "start"]).starts_with("disabled int_"));
    assert_eq!(
        std::fs::read_dir(home.path("")).unwrap().count(),
        0,
        "nothing was made"
    );
}

#[test]
fn deliver_on_report_delivers_at_once() {
    let (home, coordinator) = Home::with_coordinator("deliver_on_report = true\nreport_budget = 5");
    assert_eq!(home.ok(&["report", "start", "--id", "i"]), "delivered i\n");
    assert_eq!(coordinator.stored().unwrap().len(), 1);
}

#[test]
fn a_store_that_cannot_be_is_a_failure_of_the_work() {
    let home = Home::with("http://127.0.0.1:9", "");
    std::fs::create_dir(home.path("outbox.db")).unwrap();
    home.run(&["report", "start"]).refused(1, "is not a file");
}
