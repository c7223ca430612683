//! What the old client could do, through the component.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mcp_reporter::config::{Config, Sources};
use mcp_reporter::coordinator::{Fault, InteractionState};
use mcp_reporter::engine::{self, Egress, Engine, EngineOptions, PurgeFilter};
use mcp_reporter::store::{MemoryStore, Store};
use mcp_reporter::{Action, Outcome, Reporter};
use mcp_reporter_tests::{
    KEY, Place, SOON, assert_one_key_each, builder, cache_dir, coordinator, drained, faulty,
    histories, json, stored, until, with,
};

#[tokio::test]
async fn a_report_reaches_the_coordinator_in_the_old_form() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = builder(&place.settings(&coordinator.url()))
        .build()
        .await
        .unwrap();
    let call = reporter
        .start(r#"{"user_id":"u","request_type":"tools/call"}"#)
        .await
        .unwrap();
    assert_eq!(call.progress(r#"{"step":1}"#).await, Ok(Outcome::Queued));
    let id = call.id().to_owned();
    assert_eq!(
        call.complete(r#"{"success":true}"#).await,
        Ok(Outcome::Queued)
    );
    let failing = reporter.start("{}").await.unwrap();
    let failing_id = failing.id().to_owned();
    failing
        .fail(r#"{"error_type":"Timeout","error_code":17}"#)
        .await
        .unwrap();
    stored(&coordinator, 5).await;
    drained(&reporter).await;

    let (unix, hex) = id.strip_prefix("int_").unwrap().split_once('_').unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - unix.parse::<f64>().unwrap()).abs() < 60.0, "{id}");
    assert!(
        hex.len() == 8 && u32::from_str_radix(hex, 16).is_ok(),
        "{id}"
    );
    assert_eq!(
        coordinator.interaction(&id).unwrap(),
        Some(InteractionState::Completed)
    );
    assert_eq!(
        coordinator.interaction(&failing_id).unwrap(),
        Some(InteractionState::Failed)
    );

    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 5);
    for receipt in &receipts {
        assert_eq!(
            receipt.header("authorization"),
            Some(format!("Bearer {KEY}").as_str())
        );
        assert_eq!(receipt.header("content-type"), Some("application/json"));
        let key = receipt.idempotency_key.as_deref().unwrap();
        assert!(
            key.len() == 38 && key.starts_with('"') && key.ends_with('"'),
            "{key}"
        );
        let body = json(&receipt.body);
        let keys: Vec<_> = body.as_object().unwrap().keys().collect();
        let data = match receipt.action.as_deref().unwrap() {
            "interaction_start" => "request_data",
            "interaction_progress" => "progress_data",
            "interaction_complete" => "result_data",
            _ => "error_data",
        };
        assert_eq!(
            keys,
            ["action", "interaction_id", "mcp_id", "timestamp", data]
        );
        assert_eq!(body["mcp_id"], "test");
        assert!((body["timestamp"].as_f64().unwrap() - now).abs() < 60.0);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_waits_and_is_delivered_later() {
    let place = Place::new();
    let coordinator = faulty(Fault::Refuse);
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let call = reporter.start("{}").await.unwrap();
    call.complete("{}").await.unwrap();
    until("a try failed", || async {
        let waiting = reporter.waiting(10, None).await.unwrap().entries;
        waiting.len() == 2 && waiting[0].tries > 0
    })
    .await;
    // Not even the end of the reporter loses them.
    assert!(
        !reporter
            .shutdown(Duration::from_secs(1))
            .await
            .delivered_all
    );
    coordinator.set_fault(Fault::None).unwrap();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    stored(&coordinator, 2).await;
    drained(&reporter).await;
    assert_eq!(coordinator.receipts().len(), 2);
}

#[tokio::test]
async fn switched_off_it_makes_no_file_and_no_connection_and_returns_at_once() {
    let place = Place::new();
    let coordinator = coordinator();
    let off = [("enable_interaction_logging", "false")];
    let settings = with(place.settings(&coordinator.url()), &off);
    let store = place.store().display().to_string();
    let by_default = Reporter::builder().set("local_cache_path", store);
    for reporter in [builder(&settings).build().await, by_default.build().await] {
        let reporter = reporter.unwrap();
        let began = Instant::now();
        for _ in 0..1000 {
            let call = reporter.start("{}").await.unwrap();
            assert_eq!(call.progress("{}").await, Ok(Outcome::Disabled));
            assert_eq!(
                call.complete("not even looked at").await,
                Ok(Outcome::Disabled)
            );
        }
        assert!(
            began.elapsed() < Duration::from_millis(500),
            "{:?}",
            began.elapsed()
        );
        assert!(
            reporter
                .shutdown(Duration::from_secs(1))
                .await
                .delivered_all
        );
    }
    assert_eq!(fs::read_dir(place.folder()).unwrap().count(), 0);
    assert_eq!(coordinator.stats().connections, 0);
}

#[tokio::test]
async fn the_component_itself_touches_nothing_when_switched_off() {
    let coordinator = coordinator();
    let options = EngineOptions {
        cache_dir: Some(cache_dir()),
        ..EngineOptions::default()
    };
    let component = Engine::new(&options)
        .unwrap()
        .load(mcp_reporter_artifacts::REPORTER)
        .unwrap();
    let settings = [
        ("enable_interaction_logging", "false"),
        ("coordinator_url", &coordinator.url()),
        ("deliver_on_report", "true"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let egress = Egress::new(&coordinator.url(), None).unwrap();
    let store = Arc::new(MemoryStore::new());
    let component = engine::Reporter::new(component, settings.to_vec(), egress);
    let mut instance = component.instantiate(store.clone()).await.unwrap();
    for action in [
        Action::Start,
        Action::Progress,
        Action::Complete,
        Action::Error,
    ] {
        let outcome = instance.report(action, "i", "{}").await.unwrap().unwrap();
        assert_eq!(outcome, Outcome::Disabled);
    }
    assert_eq!(instance.deliver(1_000).await.unwrap().unwrap().waiting, 0);
    assert_eq!(store.list_keys().await.unwrap(), [""; 0]);
    assert_eq!(coordinator.stats().connections, 0);
}

#[tokio::test]
async fn a_hanging_coordinator_times_out_after_five_seconds() {
    // A socket of our own, to see when the reporter lets go of the connection.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connection = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        let asked = Instant::now();
        stream.set_read_timeout(Some(SOON)).unwrap();
        while matches!(stream.read(&mut buffer), Ok(1..)) {}
        asked.elapsed()
    });
    let place = Place::new();
    let reporter = builder(&place.settings(&url)).build().await.unwrap();
    reporter.report_start("i", "{}").await.unwrap();
    let connection = tokio::task::spawn_blocking(move || connection.join().unwrap());
    let held = connection.await.unwrap();
    assert!(
        (4.9..6.0).contains(&held.as_secs_f64()),
        "let go after {held:?}"
    );
    until("the failure is noted", || async {
        let waiting = reporter.waiting(1, None).await.unwrap().entries;
        waiting[0].last_failure.is_some()
    })
    .await;
    let waiting = reporter.waiting(1, None).await.unwrap().entries;
    let failure = waiting[0].last_failure.as_deref();
    assert_eq!(failure, Some("no complete answer within request_timeout"));
}

#[tokio::test]
async fn start_progress_complete_keep_their_order_through_an_outage() {
    const INTERACTIONS: usize = 60;
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place
        .reporter(&coordinator.url(), &[("request_timeout", "0.5")])
        .await;
    // Some begin before the outage and go on in it, some go on after it.
    let report = async |action: Action, numbers: std::ops::Range<usize>| {
        for n in numbers {
            reporter
                .report(action, format!("i{n}"), "{}")
                .await
                .unwrap();
        }
    };
    report(Action::Start, 0..20).await;
    coordinator
        .wait_for(|seen| seen.stats().processed > 5, SOON)
        .await
        .unwrap();
    let mut received = coordinator.receipts().len();
    for fault in [
        Fault::Flaky(50),
        Fault::Cut,
        Fault::Hang,
        Fault::Status(503),
        Fault::Reset,
    ] {
        coordinator.set_fault(fault.clone()).unwrap();
        report(Action::Progress, 0..20).await;
        report(Action::Start, 20..40).await;
        let more = coordinator
            .wait_for(|seen| seen.receipts().len() > received, SOON)
            .await;
        more.unwrap_or_else(|e| panic!("{fault}: {e}"));
        received = coordinator.receipts().len();
    }
    coordinator.set_fault(Fault::Refuse).unwrap();
    report(Action::Complete, 0..20).await;
    report(Action::Complete, 20..40).await;
    report(Action::Start, 40..INTERACTIONS).await;
    coordinator.set_fault(Fault::None).unwrap();
    report(Action::Complete, 40..INTERACTIONS).await;

    let all = 20 * 7 + 20 * 6 + 20 * 2;
    stored(&coordinator, all).await;
    drained(&reporter).await;
    assert_eq!(coordinator.stats().dropped_unknown, 0);
    let events = coordinator.stored().unwrap();
    assert_eq!(events.len() as u64, all);
    assert_one_key_each_of_interaction(&events);
    for (id, history) in histories(&events) {
        let n: usize = id[1..].parse().unwrap();
        let expected: &[&str] = match n {
            0..20 => &[
                "start", "progress", "progress", "progress", "progress", "progress", "complete",
            ],
            20..40 => &["start", "start", "start", "start", "start", "complete"],
            _ => &["start", "complete"],
        };
        assert_eq!(history, expected, "{id}");
    }
}

/// Each event has a key of its own.
fn assert_one_key_each_of_interaction(events: &[mcp_reporter::coordinator::StoredEvent]) {
    let keys: std::collections::BTreeSet<_> = events.iter().map(|e| &e.idempotency_key).collect();
    assert_eq!(keys.len(), events.len());
}

#[tokio::test]
async fn the_old_configuration_file_works_as_it_is_with_the_programs_tables_beside() {
    let place = Place::new();
    let coordinator = coordinator();
    let file = place.path("mcp_config.toml");
    // The old client's own, switched on, and the tables of the program whose file it is.
    let text = format!(
        r#"
[mcp]
mcp_id = "your_mcp_001"
name = "Your MCP"
version = "1.0.0"

[interaction_logging]
enable_interaction_logging = true
coordinator_url = "{}/"
coordinator_api_key = "{KEY}"
max_retries = 3
retry_delay = 1.0
local_cache_path = "./data/interaction_cache.db"

[server]
rate_limit = "a thing of the program's own"
host = "0.0.0.0"

[[plugins]]
name = "x"
"#,
        coordinator.url()
    );
    fs::write(&file, text).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let sources = Sources {
        file: Some(file),
        cwd: elsewhere.path().to_owned(),
        ..Sources::default()
    };
    let config = Config::load(sources).unwrap();
    let reporter = Reporter::builder()
        .config(config)
        .cache_dir(cache_dir())
        .build()
        .await
        .unwrap();
    reporter
        .start("{}")
        .await
        .unwrap()
        .complete("{}")
        .await
        .unwrap();
    stored(&coordinator, 2).await;
    let receipts = coordinator.receipts();
    assert_one_key_each(&receipts);
    assert_eq!(json(&receipts[0].body)["mcp_id"], "your_mcp_001");
    // Relative to the file.
    assert!(place.path("data/interaction_cache.db").is_file());
}

#[tokio::test]
async fn performance_metrics_are_put_into_the_callers_result_and_into_the_error() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let call = reporter.start_monitored("{}").await.unwrap();
    call.complete(r#"{"success": true, "quality_score": 1e16}"#)
        .await
        .unwrap();
    let call = reporter.start_monitored("{}").await.unwrap();
    call.fail("{}").await.unwrap();
    let plain = reporter.start("{}").await.unwrap();
    plain.complete(r#"{"success":false}"#).await.unwrap();
    stored(&coordinator, 6).await;
    let mut with_metrics = 0;
    for receipt in coordinator.receipts() {
        let body = json(&receipt.body);
        let data = match receipt.action.as_deref().unwrap() {
            "interaction_complete" => &body["result_data"],
            "interaction_error" => &body["error_data"],
            _ => continue,
        };
        if data["success"] == false {
            assert_eq!(data.as_object().unwrap().len(), 1);
            continue;
        }
        with_metrics += 1;
        let metrics = data["performance_metrics"].as_object().unwrap();
        let names: Vec<_> = metrics.keys().collect();
        let expected = [
            "processing_time",
            "memory_usage_mb",
            "cpu_usage_percent",
            "timestamp",
        ];
        assert_eq!(names, expected);
        assert!(
            metrics.values().all(|value| value.is_number()),
            "{metrics:?}"
        );
        assert!(metrics["processing_time"].as_f64().unwrap() > 0.0);
        if data["success"] == true {
            // The caller's own bytes come first, as they were.
            let text = String::from_utf8_lossy(&receipt.body);
            let own =
                r#""result_data":{"success": true, "quality_score": 1e16,"performance_metrics":{"#;
            assert!(text.contains(own), "{text}");
        }
    }
    assert_eq!(with_metrics, 2);
}

#[tokio::test]
async fn a_trailing_slash_of_the_url_is_stripped() {
    for ending in ["/", "//"] {
        let place = Place::new();
        let coordinator = coordinator();
        let reporter = place
            .reporter(&format!("{}{ending}", coordinator.url()), &[])
            .await;
        reporter.report_start("i", "{}").await.unwrap();
        // Any other path is answered 404.
        stored(&coordinator, 1).await;
        assert!(reporter.check_connection().await.unwrap().ok);
    }
}

#[tokio::test]
async fn every_future_of_the_library_can_be_spawned() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.settings(&coordinator.url());
    // Compiling is most of the test.
    let used = tokio::spawn(async move {
        let reporter = builder(&settings).build().await.unwrap();
        let call = reporter.start_monitored("{}").await.unwrap();
        call.progress("{}").await.unwrap();
        call.complete("{}").await.unwrap();
        reporter.report_many(Vec::new()).await;
        reporter.status().await.unwrap();
        reporter.waiting(10, None).await.unwrap();
        reporter.dead_letters(10, None).await.unwrap();
        reporter.show("q.".to_owned()).await.unwrap();
        reporter.deliver_now(Duration::from_secs(1)).await.unwrap();
        reporter.redrive(Vec::new()).await.unwrap();
        let filter = PurgeFilter {
            dead_letters: true,
            older_than_ms: None,
            interaction_id: None,
        };
        reporter.purge(filter).await.unwrap();
        reporter.check_connection().await.unwrap();
        reporter.validate_api_key().await.unwrap();
        reporter.shutdown(Duration::from_secs(1)).await;
    });
    used.await.unwrap();
}
