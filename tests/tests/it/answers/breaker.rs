//! Many failures in a row, and one event that fails where others do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mcp_reporter::coordinator::Fault;
use mcp_reporter::engine::BreakerState;
use mcp_reporter_tests::{
    Place, Scripted, answer, assert_one_key_each, drained, faulty, json, stored, until,
};

#[tokio::test]
async fn five_failures_in_a_row_open_the_breaker_and_then_one_probe_goes_at_a_time() {
    let place = Place::new();
    let coordinator = faulty(Fault::Hang);
    let more = [("request_timeout", "0.3"), ("max_in_flight", "8")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    for n in 0..40 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    // Eight at once, whose failures open it. Before the fifth, each that failed made room for
    // another.
    const UNTIL_OPEN: usize = 8 + 4;
    let within = Duration::from_secs(30);
    let enough = UNTIL_OPEN + 6;
    coordinator
        .wait_for(|seen| seen.receipts().len() == enough, within)
        .await
        .unwrap();
    let breaker = reporter.status().await.unwrap().breaker;
    assert!(
        matches!(breaker, BreakerState::Open | BreakerState::HalfOpen),
        "{breaker:?}"
    );
    let receipts = coordinator.receipts();
    for probe in receipts[UNTIL_OPEN..].windows(2) {
        let apart = probe[1].at - probe[0].at;
        assert!(
            apart >= Duration::from_millis(250),
            "two probes {apart:?} apart"
        );
    }
    coordinator.set_fault(Fault::None).unwrap();
    stored(&coordinator, 40).await;
    drained(&reporter).await;
    assert_one_key_each(&coordinator.receipts());
    let status = reporter.status().await.unwrap();
    assert_eq!(
        (status.breaker, status.dead_letters),
        (BreakerState::Closed, 0)
    );
}

/// An event counts as poison after two charged tries, at once.
const HARSH: [(&str, &str); 3] = [
    ("max_retries", "2"),
    ("dead_letter_after", "0"),
    ("retry_delay", "0.01"),
];

#[tokio::test]
async fn an_event_that_fails_while_others_get_through_becomes_a_dead_letter() {
    let place = Place::new();
    let server = Scripted::start(
        |request| match json(request.body())["interaction_id"].as_str() {
            Some("poison") => answer(500, "no"),
            _ => answer(200, "{}"),
        },
    )
    .await;
    let reporter = place.reporter(&server.url(), &HARSH).await;
    reporter.report_start("poison", "{}").await.unwrap();
    reporter.report_complete("poison", "{}").await.unwrap();
    let others = AtomicU64::new(0);
    until("it is a dead letter", || async {
        let n = others.fetch_add(1, Ordering::Relaxed);
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
        reporter.status().await.unwrap().dead_letters == 2
    })
    .await;
    drained(&reporter).await;
    let letters = reporter.dead_letters(10, None).await.unwrap().entries;
    assert_eq!(letters[0].last_failure.as_deref(), Some("HTTP 500: no"));
    assert!(
        letters[0].tries >= 3,
        "{}: the first try is never charged",
        letters[0].tries
    );
    assert_eq!(letters[1].tries, 0);
    assert_eq!(
        reporter.status().await.unwrap().delivered_total,
        others.into_inner()
    );
}

#[tokio::test]
async fn an_outage_of_any_length_makes_no_dead_letters() {
    let place = Place::new();
    let down = Arc::new(AtomicBool::new(true));
    let server = Scripted::start({
        let down = down.clone();
        move |_| match down.load(Ordering::Relaxed) {
            true => answer(500, "no"),
            false => answer(200, "{}"),
        }
    })
    .await;
    let more = [HARSH[0], HARSH[1], ("retry_delay", "0.001")];
    let reporter = place.reporter(&server.url(), &more).await;
    for n in 0..3 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    // More tries for each than max_retries allows.
    until("15 tries failed", || async {
        server.requests().len() >= 15
    })
    .await;
    let status = reporter.status().await.unwrap();
    assert_eq!((status.waiting, status.dead_letters), (3, 0));
    down.store(false, Ordering::Relaxed);
    drained(&reporter).await;
    let status = reporter.status().await.unwrap();
    assert_eq!((status.delivered_total, status.dead_letters), (3, 0));
}
