//! The plugin in a runtime of files, environment variables and HTTP that makes an instance for each
//! call.

use std::time::Duration;

use futures_util::future::join_all;
use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    Fuse, Place, Plugin, SOON, assert_one_key_each, coordinator, faulty, histories,
    plugin_settings, report,
};
use wasmtime_wasi::FsPerms;

use crate::allowed_rate::assert_rate;

/// Longer than a delivery takes here.
const BUDGET_MS: u32 = 10_000;

/// The plugin with what it needs and, as all but one test wants it, without the throttle.
fn plugin(url: &str, more: &[(&str, &str)]) -> Plugin {
    Plugin::new(&plugin_settings(url, more))
}

fn stored(coordinator: &Coordinator) -> Vec<(String, Vec<String>)> {
    histories(&coordinator.stored().unwrap())
        .into_iter()
        .collect()
}

fn text(failure: &impl std::fmt::Debug) -> String {
    format!("{failure:?}")
}

#[tokio::test]
async fn a_report_delivers_because_nobody_else_does() {
    let (place, coordinator) = (Place::new(), coordinator());
    let plugin = plugin(&coordinator.url(), &[]);
    for id in ["i1", "i2"] {
        for action in ["start", "progress", "complete"] {
            let called = plugin
                .report(place.folder(), report(action, id, r#"{"n":1}"#))
                .await;
            assert_eq!(text(&called.unwrap()), "Outcome::Delivered", "{action}");
        }
    }
    let all = ["start", "progress", "complete"].map(str::to_owned);
    let expected = ["i1", "i2"].map(|id| (id.to_owned(), all.to_vec()));
    assert_eq!(stored(&coordinator), expected);
    let status = plugin.status(place.folder()).await.unwrap();
    assert_eq!((status.waiting, status.delivered_total), (0, 6));
}

#[tokio::test]
async fn what_an_outage_holds_back_is_delivered_in_order_and_once() {
    let (place, coordinator) = (Place::new(), faulty(Fault::Reset));
    let plugin = plugin(&coordinator.url(), &[("deliver_on_report", "true")]);
    for action in ["start", "progress", "progress", "error"] {
        let called = plugin
            .report(place.folder(), report(action, "i1", "{}"))
            .await;
        assert_eq!(text(&called.unwrap()), "Outcome::Queued", "{action}");
    }
    assert_eq!(plugin.status(place.folder()).await.unwrap().waiting, 4);

    coordinator.set_fault(Fault::None).unwrap();
    let delivered = async {
        let deliver = async || plugin.deliver(place.folder(), BUDGET_MS).await.unwrap();
        while let Some(next_ms) = deliver().await.next_ms {
            tokio::time::sleep(Duration::from_millis(next_ms)).await;
        }
    };
    let delivered = tokio::time::timeout(SOON, delivered).await;
    delivered.expect("something always waits");
    let all = ["start", "progress", "progress", "error"].map(str::to_owned);
    assert_eq!(stored(&coordinator), [("i1".to_owned(), all.to_vec())]);
    assert_eq!(plugin.status(place.folder()).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn reports_deliver_only_when_they_may() {
    let (place, coordinator) = (Place::new(), coordinator());
    let plugin = plugin(&coordinator.url(), &[("deliver_on_report", "false")]);
    let called = plugin
        .report(place.folder(), report("start", "i1", "{}"))
        .await;
    assert_eq!(text(&called.unwrap()), "Outcome::Queued");
    assert_eq!(coordinator.stats().processed, 0);
    let delivery = plugin.deliver(place.folder(), BUDGET_MS).await.unwrap();
    assert_eq!((delivery.delivered, delivery.next_ms), (1, None));
}

#[tokio::test]
async fn the_throttle_holds_across_instances() {
    const LIMIT: usize = 3;
    const PERIOD: Duration = Duration::from_millis(500);
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = [("rate_limit", "3"), ("rate_period", "0.5")];
    let plugin = plugin(&coordinator.url(), &settings);
    for n in 0..8 {
        let id = format!("i{n}");
        plugin
            .report(place.folder(), report("start", &id, "{}"))
            .await
            .unwrap();
    }
    while plugin.status(place.folder()).await.unwrap().waiting > 0 {
        plugin.deliver(place.folder(), BUDGET_MS).await.unwrap();
    }
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 8);
    assert_rate(&receipts, LIMIT, PERIOD);
}

#[tokio::test]
async fn bad_input_is_refused_with_what_is_wrong() {
    let (place, coordinator) = (Place::new(), coordinator());
    let plugin = plugin(&coordinator.url(), &[]);
    for (id, data, what) in [
        (
            "i1",
            "[1]",
            "data is not a JSON object: it must start with `{`",
        ),
        (
            "i1",
            r#"{"a":1,}"#,
            "data is not JSON: expected a key in double quotes at byte 7",
        ),
        ("", "{}", "interaction_id"),
    ] {
        let called = plugin
            .report(place.folder(), report("start", id, data))
            .await;
        let failure = text(&called.failure());
        let clear = failure.contains("InvalidInput") && failure.contains(what);
        assert!(clear, "{data}: {failure}");
    }
    assert_eq!(plugin.status(place.folder()).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn settings_are_named_as_variables_are() {
    let place = Place::new();
    let off = Plugin::new(&[]);
    let called = off
        .report(place.folder(), report("start", "i1", "{}"))
        .await;
    assert_eq!(text(&called.unwrap()), "Outcome::Disabled");

    let bare = Plugin::new(&[
        ("enable_interaction_logging", "true"),
        ("rate_limit", "ten"),
    ]);
    let called = bare
        .report(place.folder(), report("start", "i1", "{}"))
        .await;
    let failure = text(&called.failure());
    for what in ["NotConfigured", "mcp_id", "coordinator_url", "rate_limit"] {
        assert!(failure.contains(what), "{what}: {failure}");
    }
}

#[tokio::test]
async fn without_a_folder_to_write_to_the_failure_says_so() {
    let (place, coordinator) = (Place::new(), coordinator());
    let plugin = plugin(&coordinator.url(), &[]);
    let start = report("start", "i1", "{}");
    for (folder, what) in [
        (
            None,
            "the runtime gives the component no folder to keep its events in",
        ),
        (
            Some((place.folder(), FsPerms::ReadOnly)),
            "cannot make the folder mcp-reporter of the store: not-permitted",
        ),
    ] {
        let failure = text(&plugin.report_in(folder, None, start).await.failure());
        assert!(
            failure.contains("Storage") && failure.contains(what),
            "{failure}"
        );
    }
}

/// At every so many calls of the host an instance is killed.
const STEP: usize = 3;

/// How long the lease of a killed instance lasts.
const LEASE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn an_instance_killed_while_it_reports_or_delivers_loses_nothing() {
    let coordinator = coordinator();
    // All instances are at work at once: none that is not killed is to be short of time for an
    // answer, after which it would send again.
    let patient = [("report_budget", "10")];
    let plugin = &plugin(&coordinator.url(), &patient);
    let place = Place::new();
    let called = plugin.report(place.folder(), report("start", "all", "{}"));
    let calls = called.await.host_calls;
    assert!(calls > 100, "only {calls} calls of the host");

    let points = (0..calls).step_by(STEP);
    let points = points.flat_map(|calls| [false, true].map(|after| Fuse { calls, after }));
    let killed = points.map(|point| async move {
        let place = Place::new();
        let id = format!("i{}-{}", point.calls, point.after);
        let folder = Some((place.folder(), FsPerms::ReadWrite));
        let start = plugin.report_in(folder, Some(point), report("start", &id, "{}"));
        let start = start.await.result;
        // What the killed instance left does not hinder the next.
        let next = plugin.report(place.folder(), report("complete", &id, "{}"));
        next.await.unwrap();

        tokio::time::sleep(LEASE).await;
        let deliver = async || plugin.deliver(place.folder(), BUDGET_MS).await.unwrap();
        while let Some(next_ms) = deliver().await.next_ms {
            assert!(next_ms <= LEASE.as_millis() as u64, "{id}: {next_ms}");
            tokio::time::sleep(Duration::from_millis(next_ms)).await;
        }
        (id, start.is_some())
    });
    let killed = join_all(killed).await;

    let histories = histories(&coordinator.stored().unwrap());
    let receipts = coordinator.receipts();
    for (id, acknowledged) in killed {
        // Without its start, the coordinator drops the rest of an interaction.
        match histories.get(&id).map(Vec::as_slice) {
            None => assert!(!acknowledged, "{id}"),
            Some([start, complete]) if start == "start" && complete == "complete" => {}
            other => panic!("{id}: {other:?}"),
        }
        let completes = receipts.iter().filter(|receipt| {
            receipt.interaction_id.as_ref() == Some(&id)
                && receipt.action.as_deref() == Some("interaction_complete")
        });
        assert_eq!(completes.count(), 1, "{id}");
    }
    assert_one_key_each(&receipts);
}
