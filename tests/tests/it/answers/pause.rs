//! Answers that say that key or endpoint is wrong: the queue pauses.

use std::time::Duration;

use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions, Fault};
use mcp_reporter::engine::BreakerState;
use mcp_reporter::{Reporter, coordinator::Receipt};
use mcp_reporter_tests::{
    KEY, Place, Process, assert_one_key_each, coordinator, drained, faulty, histories, stored,
    until,
};
use tokio::task::JoinSet;

use crate::PEER;

const KEY_STATUSES: [u16; 2] = [401, 403];
const ENDPOINT_STATUSES: [u16; 10] = [300, 301, 302, 303, 304, 307, 308, 404, 405, 410];
/// A charged try would be the last one.
const HARSH: [(&str, &str); 2] = [("max_retries", "0"), ("dead_letter_after", "0")];

/// One event meets the fault, and the queue is paused with nothing charged:
/// what is reported afterwards waits, too.
async fn pauses(coordinator: &Coordinator, reporter: &Reporter, reason: &str) {
    let url = coordinator.url();
    reporter.report_start("a", "{}").await.unwrap();
    until("the queue is paused", || async {
        reporter.status().await.unwrap().breaker == BreakerState::Paused
    })
    .await;
    reporter.report_complete("a", "{}").await.unwrap();
    for n in 0..20 {
        reporter.report_start(format!("b{n}"), "{}").await.unwrap();
    }
    // Not even when asked to.
    let delivery = reporter
        .deliver_now(Duration::from_secs(1))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((delivery.delivered, delivery.failed), (0, 0), "{url}");
    assert!(delivery.held);
    assert!(
        (25_000..=30_000).contains(&delivery.next_ms.unwrap()),
        "{:?}",
        delivery.next_ms
    );

    let status = reporter.status().await.unwrap();
    assert_eq!((status.waiting, status.dead_letters), (22, 0));
    let said = status.paused_reason.unwrap();
    assert!(said.contains(reason), "{said}");
    assert_eq!(coordinator.receipts().len(), 1);
}

async fn all_pause(statuses: &[u16], reason: &'static str) {
    let mut cases = JoinSet::new();
    for status in statuses.iter().copied() {
        cases.spawn(async move {
            let place = Place::new();
            let coordinator = faulty(Fault::Status(status));
            let reporter = place.reporter(&coordinator.url(), &HARSH).await;
            pauses(&coordinator, &reporter, reason).await;
            let said = reporter.status().await.unwrap().paused_reason.unwrap();
            assert!(said.contains(&format!("HTTP {status}")), "{said}");
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_rejected_key_pauses_the_queue_says_so_and_charges_nothing() {
    all_pause(&KEY_STATUSES, "the coordinator rejects coordinator_api_key").await;
}

#[tokio::test]
async fn a_wrong_endpoint_pauses_the_queue_says_so_and_charges_nothing() {
    all_pause(
        &ENDPOINT_STATUSES,
        "coordinator_url is not the endpoint of a coordinator",
    )
    .await;
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let place = Place::new();
    let target = coordinator();
    let redirect = Fault::Redirect(format!("{}/api/v2/interactions", target.url()));
    let coordinator = faulty(redirect);
    let reporter = place.reporter(&coordinator.url(), &HARSH).await;
    pauses(
        &coordinator,
        &reporter,
        "coordinator_url is not the endpoint",
    )
    .await;
    assert_eq!(target.stats().connections, 0);
}

#[tokio::test]
async fn a_pause_is_in_the_log_once() {
    let place = Place::new();
    let api_keys = vec!["another key".to_owned()];
    let options = CoordinatorOptions {
        api_keys,
        ..CoordinatorOptions::default()
    };
    let coordinator = Coordinator::start(options).unwrap();
    let mut peer = Process::start(PEER, "info", &place.fast(&coordinator.url())).await;
    for n in 0..5 {
        peer.send(&format!("report start i{n} {{}}"));
    }
    peer.acknowledged(5).await;
    until("the log tells of it", || async {
        peer.log().contains("delivery is paused")
    })
    .await;
    assert!(!peer.shutdown(1_000).await);
    let log = peer.whole_log().await;
    let lines: Vec<_> = log
        .lines()
        .filter(|l| l.contains("delivery is paused"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("WARN"), "{log}");
    assert!(
        lines[0].contains("the coordinator rejects coordinator_api_key (HTTP 401"),
        "{log}"
    );
    assert!(!log.contains(KEY), "{log}");
}

#[tokio::test]
async fn five_different_events_refused_in_a_row_pause_the_queue() {
    let place = Place::new();
    let coordinator = faulty(Fault::Status(422));
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    for n in 0..10 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    until("the queue is paused", || async {
        reporter.status().await.unwrap().breaker == BreakerState::Paused
    })
    .await;
    let status = reporter.status().await.unwrap();
    // The fifth and all after it wait: they may be good.
    assert_eq!((status.dead_letters, status.waiting), (4, 6));
    let said = status.paused_reason.unwrap();
    assert!(
        said.contains("the coordinator refuses event after event (HTTP 422"),
        "{said}"
    );
}

#[tokio::test]
async fn refusals_with_a_2xx_between_them_pause_nothing() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    for round in 0..3 {
        for n in 0..4 {
            coordinator.set_fault_for(Fault::Status(422), 1).unwrap();
            reporter
                .report_start(format!("bad{round}-{n}"), "{}")
                .await
                .unwrap();
            drained(&reporter).await;
        }
        reporter
            .report_start(format!("good{round}"), "{}")
            .await
            .unwrap();
        stored(&coordinator, round + 1).await;
    }
    drained(&reporter).await;
    let status = reporter.status().await.unwrap();
    assert_eq!(
        (status.dead_letters, status.breaker),
        (12, BreakerState::Closed)
    );
}

#[tokio::test]
async fn a_paused_queue_is_probed_every_30_seconds_and_goes_on_in_order_when_mended() {
    let mut cases = JoinSet::new();
    for status in KEY_STATUSES.into_iter().chain([404, 308]) {
        cases.spawn(async move {
            let place = Place::new();
            let coordinator = faulty(Fault::Status(status));
            let reporter = place.reporter(&coordinator.url(), &HARSH).await;
            pauses(&coordinator, &reporter, "coordinator").await;
            coordinator.set_fault(Fault::None).unwrap();
            stored(&coordinator, 22).await;
            drained(&reporter).await;

            let receipts: Vec<Receipt> = coordinator.receipts();
            let waited = receipts[1].at - receipts[0].at;
            assert!(
                (29.9..33.0).contains(&waited.as_secs_f64()),
                "{status}: {waited:?}"
            );
            assert_eq!(receipts.len(), 23, "{status}");
            assert_one_key_each(&receipts);
            assert_eq!(
                histories(&coordinator.stored().unwrap())["a"],
                ["start", "complete"]
            );
            let status = reporter.status().await.unwrap();
            assert_eq!(
                (status.breaker, status.paused_reason),
                (BreakerState::Closed, None)
            );
            assert_eq!(status.dead_letters, 0);
        });
    }
    cases.join_all().await;
}
