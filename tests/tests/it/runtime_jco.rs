//! The component in Node, transpiled by jco: the plugin on a folder, and the bare reporter on a
//! key-value store in JavaScript.

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{BRIEF_REPORT, Jco, JcoStore, Place, Story, faulty, plugin_settings};
use serde_json::{Value, json};

/// Longer than a delivery takes here.
const BUDGET_MS: u32 = 20_000;

/// Reports, and tells the story; the outcome.
async fn report(jco: &mut Jco, story: &mut Story, function: &str, id: &str, data: &str) -> Value {
    let action = function.trim_start_matches("report").to_ascii_lowercase();
    let attempt = story.attempt(&action, id, data);
    let mut answer = jco.call("reporter", function, json!([id, data])).await;
    story.acknowledge(attempt);
    answer["ok"].take()
}

async fn refused(jco: &mut Jco) {
    for (id, data, what) in [
        ("i1", "[1]", "data is not a JSON object"),
        ("i1", r#"{"a":1,}"#, "data is not JSON"),
        ("", "{}", "interaction_id"),
    ] {
        let answer = jco.call("reporter", "reportProgress", json!([id, data]));
        let answer = answer.await;
        assert_eq!(answer["err"]["tag"], "invalid-input", "{answer}");
        let said = answer["err"]["val"].as_str().unwrap();
        assert!(said.contains(what), "{data}: {said}");
    }
}

#[tokio::test]
async fn what_node_reported_into_a_folder_outlives_it_and_the_next_one_delivers_it_once() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let settings = plugin_settings(&url, &[BRIEF_REPORT]);
    // However busy the machine is.
    let patient = plugin_settings(&url, &[("report_budget", "20")]);
    let mut story = Story::new();
    let mut first = Jco::start(&place, JcoStore::Folder("data"), &settings);
    let data = r#"{"a": 1.50,"b":"\u00e9","text":"Zoë 漢字 🦀","A":2}"#;
    for function in ["reportStart", "reportProgress", "reportComplete"] {
        let outcome = report(&mut first, &mut story, function, "i1", data).await;
        assert_eq!(outcome, "queued", "{function}");
    }
    refused(&mut first).await;
    first.kill().await;

    coordinator.set_fault(Fault::None).unwrap();
    let mut second = Jco::start(&place, JcoStore::Folder("data"), &patient);
    let delivery = second.call("outbox", "deliver", json!([BUDGET_MS])).await;
    assert_eq!(delivery["ok"]["delivered"], 3, "{delivery}");
    // Nobody else delivers, so the next report does.
    let outcome = report(&mut second, &mut story, "reportStart", "i2", data).await;
    assert_eq!(outcome, "delivered");
    let tally = story.check(&coordinator.receipts(), &[]);
    assert_eq!((tally.delivered, tally.repeated), (4, 0), "{tally}");
}

#[tokio::test]
async fn the_bare_reporter_runs_in_node_on_a_key_value_store_in_javascript() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let mut jco = Jco::start(
        &place,
        JcoStore::Mapped,
        &plugin_settings(&url, &[BRIEF_REPORT]),
    );
    let mut story = Story::new();
    for function in ["reportStart", "reportProgress", "reportError"] {
        let outcome = report(&mut jco, &mut story, function, "i1", "{}").await;
        assert_eq!(outcome, "queued", "{function}");
    }
    refused(&mut jco).await;
    let delivery = jco.call("outbox", "deliver", json!([50])).await;
    assert_eq!(delivery["ok"]["delivered"], 0, "{delivery}");
    let status = jco.call("outbox", "status", json!([])).await;
    assert_eq!(status["ok"]["waiting"], 3, "{status}");

    coordinator.set_fault(Fault::None).unwrap();
    let delivery = jco.call("outbox", "deliver", json!([BUDGET_MS])).await;
    assert_eq!(delivery["ok"]["delivered"], 3, "{delivery}");
    let tally = story.check(&coordinator.receipts(), &[]);
    assert_eq!((tally.delivered, tally.repeated), (3, 0), "{tally}");
}

#[tokio::test]
async fn in_node_the_plugin_says_that_no_folder_is_open_to_it() {
    let place = Place::new();
    let settings = plugin_settings("http://127.0.0.1:9", &[]);
    let mut jco = Jco::start(&place, JcoStore::NoFolder, &settings);
    let answer = jco.call("reporter", "reportStart", json!(["i1", "{}"]));
    let answer = answer.await;
    assert_eq!(answer["err"]["tag"], "storage", "{answer}");
    let said = answer["err"]["val"].as_str().unwrap();
    assert!(said.contains("grant it one"), "{said}");
}
