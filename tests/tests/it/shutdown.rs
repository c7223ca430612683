//! Shutting down: in time whatever the coordinator does, and without loss.

use std::time::{Duration, Instant};

use mcp_reporter::coordinator::Fault;
use mcp_reporter::{ReportError, Shutdown};
use mcp_reporter_tests::{Place, SOON, builder, coordinator, faulty, stored};

/// Shuts down with requests under way that get no answer.
async fn hanging(fault: Fault, deadline: Duration) {
    let place = Place::new();
    let coordinator = faulty(fault);
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    for n in 0..20 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    coordinator
        .wait_for(|seen| seen.stats().connections > 0, SOON)
        .await
        .unwrap();
    let began = Instant::now();
    let shutdown = reporter.shutdown(deadline).await;
    let took = began.elapsed();
    assert!(took <= deadline, "took {took:?} of {deadline:?}");
    assert!(!shutdown.delivered_all);
    drop(reporter);
    assert!(
        began.elapsed() <= deadline + Duration::from_millis(100),
        "dropping it took long"
    );

    // What was not sent is in the store, for the next start.
    let next = builder(&place.fast(&coordinator.url()))
        .without_timer()
        .build()
        .await
        .unwrap();
    assert_eq!(next.status().await.unwrap().waiting, 20);
}

#[tokio::test]
async fn shutdown_keeps_its_deadline_while_the_coordinator_hangs_20_of_20_times() {
    for run in 0..20u64 {
        // From 300 ms to 2 s.
        hanging(Fault::Hang, Duration::from_millis(300 + run * 1700 / 19)).await;
    }
}

#[tokio::test]
async fn shutdown_keeps_its_deadline_while_the_coordinator_reads_nothing_or_drips() {
    for fault in [
        Fault::NoRead,
        Fault::Slow(Duration::from_secs(30)),
        Fault::Drip,
    ] {
        hanging(fault, Duration::from_millis(500)).await;
    }
}

#[tokio::test]
async fn shutdown_keeps_its_deadline_while_another_process_locks_the_store() {
    let place = Place::new();
    let reporter = place.reporter("http://127.0.0.1:1", &[]).await;
    reporter.report_start("before", "{}").await.unwrap();
    let lock = rusqlite::Connection::open(place.store()).unwrap();
    lock.busy_timeout(SOON).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let report = tokio::spawn({
        let reporter = reporter.clone();
        async move { reporter.report_start("during", "{}").await }
    });
    tokio::task::yield_now().await;
    let deadline = Duration::from_millis(500);
    let began = Instant::now();
    assert!(!reporter.shutdown(deadline).await.delivered_all);
    assert!(began.elapsed() <= deadline, "took {:?}", began.elapsed());
    // Its caller learns that it was not stored, or that nobody knows.
    let report = tokio::time::timeout(SOON, report).await.unwrap().unwrap();
    assert!(report.is_err(), "{report:?}");
    lock.execute_batch("ROLLBACK").unwrap();
    drop((lock, reporter));
    let settings = place.fast("http://127.0.0.1:1");
    let next = builder(&settings).without_timer().build().await.unwrap();
    assert!(next.status().await.unwrap().waiting >= 1);
}

#[tokio::test]
async fn shutdown_delivers_what_waits_to_a_healthy_coordinator() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    for n in 0..500 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    let shutdown = reporter.shutdown(Duration::from_secs(20)).await;
    assert_eq!(
        shutdown,
        Shutdown {
            delivered_all: true,
            in_time: true
        }
    );
    assert_eq!(coordinator.stats().processed, 500);
    assert_eq!(coordinator.receipts().len(), 500);
    assert_eq!(
        reporter.report_start("late", "{}").await,
        Err(ReportError::Closed)
    );
}

#[tokio::test]
async fn shutdown_waits_for_the_throttle_as_far_as_its_deadline_allows() {
    let place = Place::new();
    let coordinator = coordinator();
    // With the default request_timeout, the throttle's default.
    let reporter = builder(&place.settings(&coordinator.url()))
        .build()
        .await
        .unwrap();
    for n in 0..15 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    let shutdown = reporter.shutdown(Duration::from_secs(8)).await;
    assert!(shutdown.delivered_all);
    assert_eq!(coordinator.stats().processed, 15);
}

#[tokio::test]
async fn reports_under_way_when_the_shutdown_begins_are_stored() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let reports = (0..200).map(|n| {
        let reporter = reporter.clone();
        async move { reporter.report_start(format!("i{n}"), "{}").await }
    });
    let (results, shutdown) = tokio::join!(
        futures_util::future::join_all(reports),
        reporter.shutdown(Duration::from_secs(20))
    );
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert!(shutdown.delivered_all);
    stored(&coordinator, 200).await;
}

#[tokio::test]
async fn an_interaction_dropped_before_the_shutdown_is_reported_as_abandoned() {
    let place = Place::new();
    let coordinator = coordinator();
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    drop(reporter.start("{}").await.unwrap());
    assert!(
        reporter
            .shutdown(Duration::from_secs(10))
            .await
            .delivered_all
    );
    let events = coordinator.stored().unwrap();
    assert_eq!(events.len(), 2);
    let body = mcp_reporter_tests::json(&events[1].body);
    assert_eq!(body["action"], "interaction_error");
    assert_eq!(body["error_data"]["error_type"], "abandoned");
}
