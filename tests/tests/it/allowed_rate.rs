//! How many events reach the coordinator in any window of time. First in the
//! alphabet, because the first test takes longest.

use std::time::{Duration, Instant};

use mcp_reporter::coordinator::{Fault, Receipt};
use mcp_reporter::{Action, Report};
use mcp_reporter_tests::{
    Place, Process, SOON, assert_one_key_each, builder, coordinator, faulty, histories, stored,
    with,
};
use tokio::task::JoinSet;

use crate::PEER;

/// No `limit` + 1 receipts in a row lie within `window`.
pub fn assert_rate(receipts: &[Receipt], limit: usize, window: Duration) {
    for (at, group) in receipts.windows(limit + 1).enumerate() {
        let took = group[limit].at - group[0].at;
        assert!(
            took >= window,
            "receipts {at} to {} lie within {took:?}",
            at + limit
        );
    }
}

#[tokio::test]
async fn no_second_has_more_than_ten_receipts_with_a_thousand_queued_retries_included() {
    const EVENTS: u64 = 1000;
    let place = Place::new();
    let coordinator = faulty(Fault::Flaky(3));
    // Every setting of rate and retries has its default.
    let reporter = builder(&place.settings(&coordinator.url()))
        .build()
        .await
        .unwrap();
    let reports = (0..EVENTS).map(|n| {
        let action = [
            Action::Start,
            Action::Progress,
            Action::Progress,
            Action::Complete,
        ];
        let id = format!("i{}", n / 4);
        Report::new(action[n as usize % 4], id, format!(r#"{{"n":{n}}}"#))
    });
    let began = Instant::now();
    let results = reporter.report_many(reports.collect()).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "the caller paid: {:?}",
        began.elapsed()
    );

    let within = Duration::from_secs(180);
    coordinator
        .wait_for(|seen| seen.stats().processed == EVENTS, within)
        .await
        .unwrap();
    let receipts = coordinator.receipts();
    let failed = receipts.iter().filter(|r| r.answered == Some(500)).count();
    assert!(
        failed >= 30,
        "only {failed} of {} were made to fail",
        receipts.len()
    );
    assert_rate(&receipts, 10, Duration::from_secs(1));
    assert_one_key_each(&receipts);
    for (id, history) in histories(&coordinator.stored().unwrap()) {
        assert_eq!(
            history,
            ["start", "progress", "progress", "complete"],
            "{id}"
        );
    }
    // The allowance is also used: a window takes its second and a guard of 50 ms.
    let took = receipts[receipts.len() - 1].at - receipts[0].at;
    let windows = receipts.len() as f64 / 10.0;
    assert!(
        took.as_secs_f64() < windows * 1.15,
        "{took:?} for {windows} windows"
    );
}

#[tokio::test]
async fn the_rate_holds_while_64_callers_report() {
    const EVENTS: u64 = 1000;
    let place = Place::new();
    let coordinator = coordinator();
    let more = [
        ("rate_limit", "50"),
        ("rate_period", "0.5"),
        ("max_events", "1000000"),
    ];
    let reporter = place.reporter(&coordinator.url(), &more).await;
    let mut callers = JoinSet::new();
    for caller in 0..64 {
        let reporter = reporter.clone();
        callers.spawn(async move {
            // Ends with the test.
            for n in 0.. {
                let id = format!("i{caller}-{n}");
                reporter
                    .report_start(id, r#"{"request_type":"tools/call"}"#)
                    .await
                    .unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let within = Duration::from_secs(60);
    coordinator
        .wait_for(|seen| seen.stats().processed >= EVENTS, within)
        .await
        .unwrap();
    let receipts = coordinator.receipts();
    assert_rate(&receipts, 50, Duration::from_millis(500));
    let took = receipts[receipts.len() - 1].at - receipts[0].at;
    assert!(
        took < Duration::from_secs(20),
        "{took:?} for {EVENTS} events"
    );
}

#[tokio::test]
async fn the_rate_holds_for_two_processes_together() {
    const EVENTS: usize = 300;
    let place = Place::new();
    let coordinator = coordinator();
    let more = [("rate_limit", "20"), ("rate_period", "0.5")];
    let settings = with(place.fast(&coordinator.url()), &more);
    let mut a = Process::start(PEER, "warn", &settings).await;
    let mut b = Process::start(PEER, "warn", &settings).await;
    for n in 0..EVENTS {
        let peer = if n % 2 == 0 { &a } else { &b };
        peer.send(&format!("report start i{n} {{}}"));
    }
    tokio::join!(a.acknowledged(EVENTS / 2), b.acknowledged(EVENTS / 2));
    let half = EVENTS as u64 / 2;
    coordinator
        .wait_for(|seen| seen.stats().processed >= half, SOON)
        .await
        .unwrap();
    // One ends in the middle, and its successor obeys what it sent last.
    a.shutdown(1_000).await;
    stored(&coordinator, EVENTS as u64).await;
    assert_rate(&coordinator.receipts(), 20, Duration::from_millis(500));
    assert_eq!(coordinator.receipts().len(), EVENTS);
    assert!(b.shutdown(10_000).await);
}

#[tokio::test]
async fn the_rate_holds_across_a_restart() {
    let place = Place::new();
    let coordinator = coordinator();
    let more = [("rate_limit", "5"), ("rate_period", "2")];
    for start in 1..=3 {
        let reporter = place.reporter(&coordinator.url(), &more).await;
        for n in 0..5 {
            reporter
                .report_start(format!("i{start}-{n}"), "{}")
                .await
                .unwrap();
        }
        stored(&coordinator, start * 5).await;
        reporter.shutdown(Duration::from_secs(1)).await;
    }
    assert_rate(&coordinator.receipts(), 5, Duration::from_secs(2));
}
