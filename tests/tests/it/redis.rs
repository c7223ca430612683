//! Hosts on several machines share one Redis.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mcp_reporter::ReportError;
use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    Place, Process, RedisServer, SOON, assert_one_key_each, builder, coordinator, drained, faulty,
    histories, python, stored, until, with,
};

use crate::PEER;
use crate::allowed_rate::assert_rate;
use crate::legacy::{PUT_ASIDE, TWO_EVENTS};

const PASSWORD: &str = "p-51e2d84b067f3a9c";
const ACTIONS: [&str; 4] = ["start", "progress", "progress", "complete"];

/// The settings of a host with a folder of its own.
fn host(place: &Place, coordinator: &Coordinator, store: &str) -> Vec<(String, String)> {
    with(place.fast(&coordinator.url()), &[("store", store)])
}

/// Everything of these interactions is there once and in order.
fn assert_complete(coordinator: &Coordinator, interactions: usize) {
    assert_eq!(coordinator.stats().dropped_unknown, 0, "out of order");
    let histories = histories(&coordinator.stored().unwrap());
    assert_eq!(histories.len(), interactions);
    for (id, history) in histories {
        assert_eq!(history, ACTIONS, "{id}");
    }
}

#[tokio::test]
async fn a_host_takes_over_within_the_lease_when_the_other_is_killed() {
    const INTERACTIONS: usize = 50;
    let server = RedisServer::durable();
    let (here, there) = (Place::new(), Place::new());
    let coordinator = coordinator();
    let slow = [("rate_limit", "40")];
    let mut a = Process::start(
        PEER,
        "warn",
        &with(host(&here, &coordinator, &server.url()), &slow),
    )
    .await;
    for i in 0..INTERACTIONS {
        for (n, action) in ACTIONS.iter().enumerate() {
            a.send(&format!(r#"report {action} i{i} {{"n":{n}}}"#));
        }
    }
    a.acknowledged(4 * INTERACTIONS).await;
    stored(&coordinator, 60).await;
    // With a request under way it holds the lease.
    coordinator.set_fault(Fault::Hang).unwrap();
    let answered = coordinator.stats().processed as usize;
    coordinator
        .wait_for(|seen| seen.receipts().len() > answered + 1, SOON)
        .await
        .unwrap();
    let settings = with(host(&there, &coordinator, &server.url()), &slow);
    let mut b = Process::start(PEER, "warn", &settings).await;
    a.kill();
    coordinator.set_fault(Fault::None).unwrap();
    let killed = Instant::now();
    // What it had sent by then may still arrive.
    a.whole_log().await;
    let before = coordinator.receipts().len();
    assert!(before < 3 * INTERACTIONS, "{before} were sent already");
    coordinator
        .wait_for(|seen| seen.receipts().len() > before + 1, SOON)
        .await
        .unwrap();
    // The lease of 6 s, and how often one looks whether it is free: 1 s.
    let took = killed.elapsed();
    assert!(took < Duration::from_millis(7_500), "{took:?}");
    stored(&coordinator, 4 * INTERACTIONS as u64).await;
    assert!(b.shutdown(20_000).await, "{}", b.log());
    assert_complete(&coordinator, INTERACTIONS);
    assert_one_key_each(&coordinator.receipts());
}

#[tokio::test]
async fn no_second_has_more_than_ten_receipts_from_two_hosts_together() {
    const EVENTS: usize = 60;
    let server = RedisServer::durable();
    let (here, there) = (Place::new(), Place::new());
    let coordinator = coordinator();
    // The rate has its default.
    let settings = |place: &Place| {
        let store = ("store", &*server.url());
        with(place.settings(&coordinator.url()), &[store])
    };
    let mut a = Process::start(PEER, "warn", &settings(&here)).await;
    let mut b = Process::start(PEER, "warn", &settings(&there)).await;
    for n in 0..EVENTS {
        let peer = if n % 2 == 0 { &a } else { &b };
        peer.send(&format!("report start i{n} {{}}"));
    }
    tokio::join!(a.acknowledged(EVENTS / 2), b.acknowledged(EVENTS / 2));
    stored(&coordinator, EVENTS as u64 / 2).await;
    // One ends in the middle, and its successor obeys what it sent last.
    a.shutdown(1_000).await;
    stored(&coordinator, EVENTS as u64).await;
    assert_rate(&coordinator.receipts(), 10, Duration::from_secs(1));
    assert_eq!(coordinator.receipts().len(), EVENTS);
    assert!(b.shutdown(10_000).await);
}

#[tokio::test]
async fn what_was_acknowledged_arrives_after_redis_was_away() {
    let mut server = RedisServer::durable();
    let place = Place::new();
    let coordinator = faulty(Fault::Status(503));
    let settings = host(&place, &coordinator, &server.url());
    let reporter = builder(&settings).build().await.unwrap();
    let mut acknowledged = BTreeSet::new();
    for n in 0..20 {
        let id = format!("before-{n}");
        reporter.report_start(id.clone(), "{}").await.unwrap();
        acknowledged.insert(id);
    }
    server.stop();
    for n in 0..5 {
        let begun = Instant::now();
        let error = reporter
            .report_start(format!("away-{n}"), "{}")
            .await
            .unwrap_err();
        assert!(
            matches!(&error, ReportError::Storage(said) if said.contains("cannot be reached")),
            "{error:?}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(6),
            "{:?}",
            begun.elapsed()
        );
    }
    server.start_again();
    for n in 0..20 {
        let id = format!("after-{n}");
        reporter.report_start(id.clone(), "{}").await.unwrap();
        acknowledged.insert(id);
    }
    coordinator.set_fault(Fault::None).unwrap();
    drained(&reporter).await;
    let arrived = histories(&coordinator.stored().unwrap());
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|id| !arrived.contains_key(*id))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_one_key_each(&coordinator.receipts());
    reporter.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn the_password_is_in_no_log_line_at_any_level_and_no_error() {
    let mut server = RedisServer::start(&["--requirepass", PASSWORD]);
    let place = Place::new();
    let coordinator = coordinator();
    let store = format!("redis://:{PASSWORD}@127.0.0.1:{}", server.port());
    let settings = host(&place, &coordinator, &store);
    let mut peer = Process::start(PEER, "trace", &settings).await;
    peer.send("report start i {}");
    peer.acknowledged(1).await;
    stored(&coordinator, 1).await;
    server.stop();
    peer.send("report start j {}");
    let answer = peer.answer().await.unwrap();
    assert!(answer.contains("redis://:***@127.0.0.1"), "{answer}");
    assert!(!answer.contains(PASSWORD), "{answer}");
    until("the outage is logged", || async {
        peer.log().contains("cannot be reached")
    })
    .await;
    peer.kill();
    let log = peer.whole_log().await;
    assert!(!log.contains(PASSWORD));

    let other = RedisServer::start(&["--requirepass", "another"]);
    let store = format!("redis://:{PASSWORD}@127.0.0.1:{}", other.port());
    let settings = host(&place, &coordinator, &store);
    let error = builder(&settings).build().await.unwrap_err();
    assert!(error.to_string().contains("password in its URL is wrong"));
    assert!(!format!("{error} {error:?}").contains(PASSWORD));
}

#[tokio::test]
async fn a_redis_behind_tls_is_trusted_by_ca_file() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/src/engine/tests");
    let file = |name: &str| fixtures.join(name).display().to_string();
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let server = RedisServer::start(&[
        "--tls",
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &certificate,
        "--tls-auth-clients",
        "no",
    ]);
    let place = Place::new();
    let coordinator = coordinator();
    let store = format!("rediss://127.0.0.1:{}", server.port());
    let settings = host(&place, &coordinator, &store);
    let trusting = with(settings.clone(), &[("ca_file", &certificate)]);
    let reporter = builder(&trusting).build().await.unwrap();
    reporter.report_start("i", "{}").await.unwrap();
    stored(&coordinator, 1).await;
    reporter.shutdown(Duration::from_secs(5)).await;

    let error = builder(&settings).build().await.unwrap_err().to_string();
    assert!(error.contains("ca_file"), "{error}");
}

#[tokio::test]
async fn the_old_clients_rows_are_taken_over_from_the_file_that_is_named_beside() {
    let server = RedisServer::durable();
    let place = Place::new();
    let coordinator = coordinator();
    python(
        PUT_ASIDE,
        &[&place.store().display().to_string()],
        TWO_EVENTS,
    );
    let before = fs::read(place.store()).unwrap();
    let settings = host(&place, &coordinator, &server.url());
    for _ in 0..2 {
        let reporter = builder(&settings).build().await.unwrap();
        stored(&coordinator, 2).await;
        drained(&reporter).await;
        reporter.shutdown(Duration::from_secs(5)).await;
    }
    assert_eq!(coordinator.receipts().len(), 2, "taken over once");
    assert_eq!(fs::read(place.store()).unwrap(), before);
}
