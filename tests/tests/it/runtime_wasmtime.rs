//! The plugin and the edge in the wasmtime CLI, the program that PyPI has: a process for each call
//! with `wasmtime run --invoke`, and an instance for each request with `wasmtime serve`.

use std::time::Duration;

use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    BRIEF_REPORT, INGEST_KEY, Place, Story, WasmtimeCli, coordinator, ended, faulty, number_in,
    plugin_killed_at_random, plugin_settings, stored, wave,
};

use crate::served_edge::{EVENTS, delivered, taken};

/// Data that a careless shell, runtime or writer of JSON would change.
const DATA: [&str; 4] = [
    r#"{"a": 1.50,"b":"\u00e9\n","A":2}"#,
    r#"{"text":"Zoë 漢字 🦀 \"\\</","empty":["",{},[]]}"#,
    r#"{"large":123456789012345678901234567890,"small":-0.0}"#,
    r#"{}"#,
];

/// An interaction of four reports, each told to the story, as the argument of `report-many`.
fn interaction(story: &mut Story, id: &str) -> String {
    let actions = ["start", "progress", "progress", "complete"];
    let reports = actions.iter().zip(DATA).enumerate();
    let reports = reports.map(|(n, (action, data))| {
        // No two bodies of an interaction are the same.
        let data = format!(r#"{{"n":{n},"data":{data}}}"#);
        let attempt = story.attempt(action, id, &data);
        story.acknowledge(attempt);
        let (id, data) = (wave(id), wave(&data));
        format!("{{action: {action}, interaction-id: {id}, data: {data}}}")
    });
    reports.collect::<Vec<_>>().join(", ")
}

/// What the coordinator received is what the story says, each once, and nothing is left.
async fn arrived(cli: &WasmtimeCli, story: &Story, coordinator: &Coordinator, events: usize) {
    let status = cli.invoke("status()").await;
    assert_eq!(number_in(&status, "waiting"), 0, "{status}");
    assert_eq!(number_in(&status, "dead-letters"), 0, "{status}");
    let tally = story.check(&coordinator.receipts(), &[]);
    assert_eq!((tally.delivered, tally.repeated), (events, 0), "{tally}");
    assert_eq!(coordinator.stats().processed, events as u64);
}

#[tokio::test]
async fn of_three_processes_the_first_two_find_nobody_and_the_third_delivers_all_of_it_once() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let cli = WasmtimeCli::new(&place, &plugin_settings(&url, &[BRIEF_REPORT]));
    let mut story = Story::new();
    for ids in [["i1", "i2"], ["i3", "i4"]] {
        let reports = ids.map(|id| interaction(&mut story, id)).join(", ");
        let result = cli.invoke(&format!("report-many([{reports}])")).await;
        let queued = ["ok(queued)"; 8].join(", ");
        assert_eq!(result, format!("[{queued}]"));
    }
    coordinator.set_fault(Fault::None).unwrap();
    let delivery = cli.invoke("deliver(20000)").await;
    assert_eq!(number_in(&delivery, "delivered"), 16, "{delivery}");
    arrived(&cli, &story, &coordinator, 16).await;
}

#[tokio::test]
async fn a_process_delivers_what_the_one_before_it_could_not_with_its_own_report() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let mut cli = WasmtimeCli::new(&place, &plugin_settings(&url, &[BRIEF_REPORT]));
    let mut story = Story::new();
    for (action, outcome) in [
        ("start", "ok(queued)"),
        ("progress", "ok(queued)"),
        ("complete", "ok(delivered)"),
    ] {
        if action == "complete" {
            coordinator.set_fault(Fault::None).unwrap();
            // However busy the machine is.
            cli = WasmtimeCli::new(&place, &plugin_settings(&url, &[("report_budget", "20")]));
        }
        let attempt = story.attempt(action, "i1", "{}");
        let call = format!(r#"report-{action}("i1", "{{}}")"#);
        assert_eq!(cli.invoke(&call).await, outcome, "{action}");
        story.acknowledge(attempt);
    }
    arrived(&cli, &story, &coordinator, 3).await;
}

#[tokio::test]
async fn three_processes_keep_the_throttle_together() {
    const LIMIT: usize = 3;
    const PERIOD: Duration = Duration::from_millis(800);
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let throttle = [("rate_limit", "3"), ("rate_period", "0.8")];
    let cli = WasmtimeCli::new(&place, &plugin_settings(&url, &throttle));
    let mut story = Story::throttled(LIMIT, PERIOD);
    let reports = ["i1", "i2"].map(|id| interaction(&mut story, id));
    for reports in reports {
        let result = cli.invoke(&format!("report-many([{reports}])")).await;
        assert!(!result.contains("err"), "{result}");
    }
    // Both had time for one window at most.
    let sent = coordinator.receipts().len() as u64;
    assert!((1..8).contains(&sent), "{sent} of 8");
    let delivery = cli.invoke("deliver(20000)").await;
    assert_eq!(number_in(&delivery, "delivered"), 8 - sent, "{delivery}");
    arrived(&cli, &story, &coordinator, 8).await;
}

#[tokio::test]
async fn bad_input_is_refused_with_what_is_wrong_and_nothing_is_lost() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    let cli = WasmtimeCli::new(&place, &plugin_settings(&url, &[BRIEF_REPORT]));
    let mut story = Story::new();
    let attempt = story.attempt("start", "i1", "{}");
    let good = cli.invoke(r#"report-start("i1", "{}")"#).await;
    assert_eq!(good, "ok(queued)");
    story.acknowledge(attempt);
    for (call, what) in [
        (
            r#"report-progress("i1", "[1]")"#,
            r#"err(invalid-input("data is not a JSON object"#,
        ),
        (
            r#"report-complete("", "{}")"#,
            r#"err(invalid-input("interaction_id"#,
        ),
        (
            "list-waiting(0, none)",
            r#"err(invalid-input("limit = 0: must be"#,
        ),
    ] {
        // The process did what it was told: the failure is the result.
        let result = cli.invoke(call).await;
        assert!(result.starts_with(what), "{call}: {result}");
    }
    let status = cli.invoke("status()").await;
    assert_eq!(number_in(&status, "waiting"), 1, "{status}");
    coordinator.set_fault(Fault::None).unwrap();
    cli.invoke("deliver(20000)").await;
    arrived(&cli, &story, &coordinator, 1).await;
}

#[tokio::test]
async fn what_the_command_forgets_is_named() {
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let cli = WasmtimeCli::new(&place, &[("enable_interaction_logging", "true")]);
    let result = cli.invoke(r#"report-start("i1", "{}")"#).await;
    for what in ["not-configured", "mcp_id", "coordinator_url"] {
        assert!(result.contains(what), "{what}: {result}");
    }

    let cli = WasmtimeCli::new(&place, &plugin_settings(&url, &[]));
    let status = ["run", "--invoke", "status()"];
    let invoked = ended(cli.command(&status, "plugin.wasm")).await;
    let named = invoked.log.contains("wasi:http");
    assert!(!invoked.success && named, "{invoked:?}");
}

#[tokio::test]
async fn served_by_wasmtime_the_edge_takes_events_through_an_outage_and_delivers_them() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Refuse));
    let url = coordinator.url();
    // No try fails meanwhile, after which the next would be far away.
    let more = [("ingest_keys", INGEST_KEY), ("edge_budget", "0")];
    let cli = WasmtimeCli::new(&place, &plugin_settings(&url, &more));
    let served = cli.serve().await;
    taken(served.address()).await;
    assert_eq!(coordinator.stats().processed, 0);
    coordinator.set_fault(Fault::None).unwrap();
    delivered(served.address(), &coordinator).await;
}

#[tokio::test]
async fn served_by_wasmtime_an_event_is_delivered_after_its_answer() {
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let settings = plugin_settings(&url, &[("ingest_keys", INGEST_KEY)]);
    let served = WasmtimeCli::new(&place, &settings).serve().await;
    taken(served.address()).await;
    stored(&coordinator, EVENTS).await;
}

#[tokio::test]
async fn of_ten_processes_on_one_folder_that_are_killed_at_random_none_breaks_a_promise() {
    let mut killed = 0;
    // One after the other: with more processes the one that kills would come too late.
    for seed in 1..=5 {
        let outcome = plugin_killed_at_random(seed).await;
        let outcome = outcome.unwrap_or_else(|wrong| panic!("seed {seed}:\n{}", wrong.join("\n")));
        println!("seed {seed}: {outcome}");
        killed += outcome.killed;
    }
    // A third of 300 is to be.
    assert!(
        killed > 20,
        "only {killed} were killed before they had ended"
    );
}
