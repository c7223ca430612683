//! Answers after which the same event is sent again.

use std::time::Duration;

use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    Place, assert_one_key_each, coordinator, drained, faulty, histories, stored, until,
};
use tokio::task::JoinSet;

/// Three requests meet the fault; then all three events are stored, once, in order.
async fn three_times(fault: Fault) -> Coordinator {
    let place = Place::new();
    let coordinator = coordinator();
    coordinator.set_fault_for(fault.clone(), 3).unwrap();
    let more = [("request_timeout", "0.5")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    reporter.report_start("a", "{}").await.unwrap();
    reporter.report_complete("a", "{}").await.unwrap();
    reporter.report_start("b", "{}").await.unwrap();
    stored(&coordinator, 3).await;
    drained(&reporter).await;

    let status = reporter.status().await.unwrap();
    assert_eq!(
        (status.dead_letters, status.delivered_total),
        (0, 3),
        "{fault}"
    );
    assert_eq!(status.resent_total, 3, "{fault}");
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 6, "{fault}: {receipts:#?}");
    assert_one_key_each(&receipts);
    let events = coordinator.stored().unwrap();
    assert_eq!(events.len(), 3, "{fault}");
    assert_eq!(histories(&events)["a"], ["start", "complete"], "{fault}");
    assert_eq!(coordinator.stats().dropped_unknown, 0, "{fault}");
    coordinator
}

async fn each_three_times(faults: impl IntoIterator<Item = Fault>) {
    let mut cases = JoinSet::new();
    for fault in faults {
        cases.spawn(async move { drop(three_times(fault).await) });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn a_transient_status_is_tried_again_with_the_same_key_and_stored_once() {
    each_three_times([408, 425, 429, 500, 501, 502, 503, 504, 599].map(Fault::Status)).await;
}

#[tokio::test]
async fn a_conflict_means_that_the_first_try_is_running_and_is_tried_again() {
    three_times(Fault::Status(409)).await;
}

#[tokio::test]
async fn a_full_queue_makes_no_dead_letters() {
    three_times(Fault::Full).await;
}

#[tokio::test]
async fn a_broken_connection_is_tried_again_with_the_same_key_and_stored_once() {
    each_three_times([Fault::Reset, Fault::Garbage]).await;
}

#[tokio::test]
async fn a_timeout_is_tried_again_with_the_same_key_and_stored_once() {
    each_three_times([
        Fault::Hang,
        Fault::Drip,
        Fault::Slow(Duration::from_secs(3)),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_lost_after_storing_leads_to_a_repeat_that_is_recognised() {
    let coordinator = three_times(Fault::Cut).await;
    assert!(
        coordinator.stats().duplicates_ignored >= 1,
        "{:?}",
        coordinator.stats()
    );
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    let place = Place::new();
    let coordinator = faulty(Fault::Refuse);
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let call = reporter.start("{}").await.unwrap();
    call.complete("{}").await.unwrap();
    until("it was tried twice", || async {
        reporter.status().await.unwrap().resent_total > 0
    })
    .await;
    let waiting = reporter.waiting(10, None).await.unwrap().entries;
    assert_eq!(
        waiting[0].last_failure.as_deref(),
        Some("connection refused")
    );
    coordinator.set_fault(Fault::None).unwrap();
    stored(&coordinator, 2).await;
    assert_eq!(coordinator.receipts().len(), 2);
}

#[tokio::test]
async fn a_coordinator_that_stops_reading_an_event_of_8_mib_times_out() {
    let place = Place::new();
    let coordinator = faulty(Fault::NoRead);
    let more = [("request_timeout", "0.5"), ("max_event_bytes", "16777216")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let data = format!(r#"{{"text":"{}"}}"#, "x".repeat(8 << 20));
    reporter.report_start("a", data).await.unwrap();
    until("it was tried twice", || async {
        reporter.status().await.unwrap().resent_total > 0
    })
    .await;
    let waiting = reporter.waiting(10, None).await.unwrap().entries;
    let failure = waiting[0].last_failure.as_deref();
    assert_eq!(failure, Some("no complete answer within request_timeout"));
    coordinator.set_fault(Fault::None).unwrap();
    stored(&coordinator, 1).await;
    assert!(coordinator.receipts()[0].body.len() > 8 << 20);
}

/// The queue is held by a `Retry-After`; returns when the second request came
/// after the first.
async fn held_for(fault: Fault) -> Duration {
    let place = Place::new();
    let coordinator = coordinator();
    coordinator.set_fault_for(fault, 1).unwrap();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    reporter.report_start("a", "{}").await.unwrap();
    coordinator
        .wait_for(|seen| seen.receipts().len() == 1, Duration::from_secs(10))
        .await
        .unwrap();
    // The whole queue, not only the event that met it.
    until("the queue is held", || async {
        reporter.status().await.unwrap().next_attempt_ms.is_some()
    })
    .await;
    for n in 0..20 {
        reporter.report_start(format!("b{n}"), "{}").await.unwrap();
    }
    stored(&coordinator, 21).await;
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 22);
    receipts[1].at - receipts[0].at
}

#[tokio::test]
async fn retry_after_in_seconds_holds_the_whole_queue() {
    let held = held_for(Fault::RetryAfter(2)).await;
    assert!((2.0..4.0).contains(&held.as_secs_f64()), "{held:?}");
}

#[tokio::test]
async fn retry_after_as_a_date_holds_the_whole_queue() {
    // A date has whole seconds: up to one less than asked for.
    let held = held_for(Fault::RetryAfterDate(3)).await;
    assert!((1.9..5.0).contains(&held.as_secs_f64()), "{held:?}");
}
