//! A caller never waits for the network, whatever the coordinator does with it.

use std::time::{Duration, Instant};

use mcp_reporter::Outcome;
use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{Place, SOON, builder, drained, faulty, stored, with};
use tokio::task::JoinSet;

/// Far below `request_timeout`, far above what a store needs.
const BOUND: Duration = Duration::from_secs(10);

/// `first` events of `bytes` each are under way and get no answer while 1,000
/// callers report at once.
async fn nobody_is_blocked(fault: Fault, first: usize, bytes: usize) {
    let place = Place::new();
    let coordinator = faulty(fault);
    let more = [("request_timeout", "40"), ("max_in_flight", "16")];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let text = "x".repeat(bytes);
    for n in 0..first {
        let data = format!(r#"{{"text":"{text}"}}"#);
        reporter
            .report_start(format!("first{n}"), data)
            .await
            .unwrap();
    }
    let within = SOON;
    coordinator
        .wait_for(|seen| seen.stats().connections >= 1, within)
        .await
        .unwrap();

    let mut callers = JoinSet::new();
    for n in 0..1000 {
        let reporter = reporter.clone();
        callers.spawn(async move {
            let began = Instant::now();
            let outcome = reporter.report_start(format!("i{n}"), r#"{"n":1}"#).await;
            assert_eq!(outcome, Ok(Outcome::Queued));
            began.elapsed()
        });
    }
    let longest = callers.join_all().await.into_iter().max().unwrap();
    assert!(longest < BOUND, "a caller was blocked for {longest:?}");
    let status = reporter.status().await.unwrap();
    assert_eq!(
        status.delivered_total, 0,
        "there was nothing to be blocked by"
    );
    assert_eq!(status.waiting, first as u64 + 1000);
}

#[tokio::test]
async fn nobody_is_blocked_by_a_coordinator_that_hangs() {
    nobody_is_blocked(Fault::Hang, 16, 10).await;
}

#[tokio::test]
async fn nobody_is_blocked_by_a_coordinator_that_never_reads_events_of_256_kib() {
    nobody_is_blocked(Fault::NoRead, 16, 256 * 1024 - 200).await;
}

#[tokio::test]
async fn nobody_is_blocked_by_a_coordinator_that_answers_a_byte_a_second() {
    nobody_is_blocked(Fault::Drip, 16, 10).await;
}

#[tokio::test]
async fn nobody_pays_for_the_throttle() {
    let place = Place::new();
    let coordinator = faulty(Fault::None);
    let reporter = place
        .reporter(&coordinator.url(), &[("rate_limit", "1")])
        .await;
    let began = Instant::now();
    for n in 0..100 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_report_whose_caller_goes_away_is_still_delivered() {
    let place = Place::new();
    let coordinator = faulty(Fault::None);
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    for n in 0..100 {
        // Given up at its first wait.
        let report = reporter.report_start(format!("i{n}"), "{}");
        let _ = tokio::time::timeout(Duration::ZERO, report).await;
    }
    stored(&coordinator, 100).await;
    drained(&reporter).await;
}

#[tokio::test]
async fn deliver_on_report_waits_for_the_network_at_most_report_budget() {
    let place = Place::new();
    let coordinator = faulty(Fault::None);
    let more = [("deliver_on_report", "true")];
    let settings = with(place.fast(&coordinator.url()), &more);
    let reporter = builder(&settings).without_timer().build().await.unwrap();
    assert_eq!(
        reporter.report_start("a", "{}").await,
        Ok(Outcome::Delivered)
    );
    assert_eq!(coordinator.stats().processed, 1);
    coordinator.set_fault(Fault::Hang).unwrap();
    let began = Instant::now();
    assert_eq!(
        reporter.report_complete("a", "{}").await,
        Ok(Outcome::Queued)
    );
    let waited = began.elapsed();
    assert!(
        waited < Duration::from_secs(1),
        "{waited:?} for a report_budget of 0.5 s"
    );
    assert_eq!(reporter.status().await.unwrap().waiting, 1);
}
