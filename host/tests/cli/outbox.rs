//! `outbox`: looking at events and changing them by hand.

use crate::home::Home;
use mcp_reporter::coordinator::Fault;
use serde_json::json;

/// The fields that programs may rely on, in order.
const STATUS: [&str; 11] = [
    "waiting",
    "dead_letters",
    "bytes",
    "oldest_age_s",
    "breaker",
    "paused_reason",
    "next_attempt_s",
    "delivered_total",
    "resent_total",
    "dropped_total",
    "lease_holder",
];

#[test]
fn events_go_from_report_to_coordinator() {
    let (home, coordinator) = Home::with_coordinator("");
    for (action, data) in [
        ("start", "{\"n\":1}"),
        ("progress", "{}"),
        ("complete", "{\"n\":2}"),
    ] {
        home.ok(&["report", action, "--id", "one", "--data", data]);
    }
    let status = home.json(&["outbox", "status", "--json"]);
    let fields: Vec<_> = status.as_object().unwrap().keys().collect();
    assert_eq!(fields, STATUS);
    assert_eq!(status["waiting"], 3);
    assert_eq!(status["breaker"], "closed");
    assert!(
        status["oldest_age_s"].is_f64() && status["bytes"].as_u64() > Some(300),
        "{status}"
    );
    assert!(
        home.ok(&["outbox", "status"])
            .contains("waiting         3\n")
    );
    let page = home.json(&["outbox", "list", "--limit", "2", "--json"]);
    assert_eq!(page["more"], true);
    assert_eq!(page["entries"].as_array().unwrap().len(), 2);
    assert!(
        home.ok(&["outbox", "list", "--limit", "2"])
            .contains("… and more")
    );
    let key = page["entries"][0]["key"].as_str().unwrap();
    let event = home.json(&["outbox", "show", key, "--json"]);
    assert_eq!(event["body"]["request_data"], json!({"n": 1}));
    home.run(&["outbox", "show", "q.1"])
        .refused(1, "there is no event q.1");

    assert!(
        home.ok(&["deliver"])
            .ends_with("delivered 3 events, 0 waiting\n")
    );

    let actions: Vec<_> = coordinator
        .stored()
        .unwrap()
        .into_iter()
        .map(|e| e.action)
        .collect();
    assert_eq!(
        actions,
        [
            "interaction_start",
            "interaction_progress",
            "interaction_complete"
        ]
    );
    assert_eq!(coordinator.stats().duplicates_ignored, 0);
    let status = home.json(&["outbox", "status", "--json"]);
    assert_eq!(
        (&status["waiting"], &status["delivered_total"]),
        (&json!(0), &json!(3))
    );
    assert_eq!(status["oldest_age_s"], json!(null));
    assert_eq!(home.ok(&["outbox", "list"]), "no waiting events\n");
}

#[test]
fn what_was_refused_is_listed_redriven_and_delivered() {
    let (home, coordinator) = Home::with_coordinator("");
    coordinator.set_fault(Fault::Status(422)).unwrap();
    home.ok(&["report", "start", "--id", "a"]);
    home.ok(&["report", "complete", "--id", "a"]);
    home.ok(&["report", "start", "--id", "b"]);
    home.run(&["deliver"])
        .refused(1, "outbox list --dead-letters");
    coordinator.set_fault(Fault::None).unwrap();
    let list = home.json(&["outbox", "list", "--dead-letters", "--json"]);
    assert_eq!(list["entries"].as_array().unwrap().len(), 3, "{list}");
    let text = home.ok(&["outbox", "list", "--dead-letters"]);
    assert!(text.contains("422"), "{text}");
    assert_eq!(home.ok(&["outbox", "list"]), "no waiting events\n");

    let said = home.ok(&["outbox", "redrive", "--interaction", "a"]);
    assert_eq!(said, "put 2 dead letters back into the queue\n");
    home.ok(&["deliver"]);
    assert_eq!(
        home.json(&["outbox", "redrive", "--all", "--json"]),
        json!({"redriven": 1})
    );
    home.ok(&["deliver"]);
    assert_eq!(coordinator.stored().unwrap().len(), 3);
    assert_eq!(
        home.json(&["outbox", "status", "--json"])["dead_letters"],
        0
    );
}

#[test]
fn an_outbox_in_shards_is_one_outbox_and_refuses_another_number() {
    let (home, coordinator) = Home::with_coordinator("shards = 3");
    for id in ["a", "b", "c", "d"] {
        home.ok(&["report", "start", "--id", id]);
    }
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 4);
    let list = home.json(&["outbox", "list", "--json"]);
    let ids: Vec<_> = list["entries"].as_array().unwrap().iter().collect();
    let ids: Vec<_> = ids.iter().map(|e| e["interaction_id"].as_str()).collect();
    assert_eq!(ids, [Some("a"), Some("b"), Some("c"), Some("d")]);
    let backup = home.json(&["outbox", "backup", "b.db", "--json"]);
    assert_eq!(backup["waiting"], 4);
    let expected = "the outbox has shards = 3 and holds 4 events, but shards = 1 is set";
    for arguments in [
        &["outbox", "status", "--shards", "1"][..],
        &["deliver", "--shards", "1"],
    ] {
        home.run(arguments).refused(1, expected);
    }
    let ran = home.run(&["check", "--shards", "1"]);
    assert!(ran.code == 1 && ran.out.contains(expected), "{ran:?}");
    home.run(&["outbox", "status", "--shards", "11"])
        .refused(2, "must be at most rate_limit = 10");
    assert!(
        home.ok(&["deliver"])
            .ends_with("delivered 4 events, 0 waiting\n")
    );
    assert_eq!(coordinator.stored().unwrap().len(), 4);
    assert!(home.ok(&["config", "show"]).contains("shards"));
}

#[test]
fn a_purge_deletes_what_its_filter_names_and_nothing_else() {
    let home = Home::with("http://127.0.0.1:9", "");
    for id in ["a", "b", "c"] {
        home.ok(&["report", "start", "--id", id]);
    }
    let purge = |args: &[&str]| {
        home.json(&[&["outbox", "purge", "--json"], args].concat())["purged"].clone()
    };
    assert_eq!(purge(&["--older-than", "1h"]), 0);
    assert_eq!(purge(&["--dead-letters"]), 0);
    assert_eq!(purge(&["--interaction", "a", "--older-than", "7d"]), 0);
    assert_eq!(purge(&["--interaction", "a"]), 1);
    assert_eq!(purge(&["--older-than", "0s", "--interaction", "b"]), 1);
    assert_eq!(home.ok(&["outbox", "purge", "--all"]), "deleted 1 event\n");
    assert_eq!(home.json(&["outbox", "status", "--json"])["waiting"], 0);
}

#[test]
fn while_reporting_is_off_there_is_no_outbox() {
    let home = Home::empty();
    home.ok(&["config", "init"]);
    for args in [
        &["outbox", "status"][..],
        &["deliver"],
        &["outbox", "purge", "--all"],
    ] {
        home.run(args).refused(
            2,
            "reporting is off: set enable_interaction_logging = true in ",
        );
    }
}

#[test]
fn a_backup_is_made_checked_and_never_over_another_file() {
    let (home, coordinator) = Home::with_coordinator("");
    home.run(&["outbox", "backup", "b.db"])
        .refused(1, "there is no outbox at ");
    home.ok(&["report", "start", "--id", "a"]);
    home.ok(&["report", "start", "--id", "b"]);
    let said = home.ok(&["outbox", "backup", "b.db"]);
    assert!(
        said.starts_with("backed up 2 waiting events and 0 dead letters to b.db ("),
        "{said}"
    );
    home.run(&["outbox", "backup", "b.db"]).refused(
        1,
        "b.db exists; name another file, or replace it with --force",
    );
    home.ok(&["report", "start", "--id", "c"]);
    let done = home.json(&["outbox", "backup", "b.db", "--force", "--json"]);
    let bytes = std::fs::metadata(home.path("b.db")).unwrap().len();
    let expected = json!({"file": "b.db", "waiting": 3, "dead_letters": 0, "bytes": bytes});
    assert_eq!(done, expected);
    home.run(&["outbox", "backup", "--store", "memory", "m.db"])
        .refused(2, "only an outbox in an SQLite file can be backed up");

    // Restored elsewhere by its path alone.
    home.ok(&["deliver", "--local-cache-path", "b.db"]);
    assert_eq!(coordinator.stored().unwrap().len(), 3);
}
