//! A backup while the outbox is in use, and what a restore of it delivers.

use std::collections::BTreeSet;

use mcp_reporter::store::backup;
use mcp_reporter_tests::{Place, Process, assert_one_key_each, coordinator, drained, stored, with};

use crate::PEER;

const EVENTS: usize = 3_000;

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_began_is_in_it_and_delivered() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = with(place.fast(&coordinator.url()), &[("timer", "off")]);
    let mut peer = Process::start(PEER, "warn", &settings).await;
    for n in 0..EVENTS {
        peer.send(&format!("report start i{n} {{}}"));
    }
    // In the middle of the burst, and three times.
    let mut backups = Vec::new();
    let mut acknowledged = 0;
    for before in [EVENTS / 10, EVENTS / 4, EVENTS / 2] {
        peer.acknowledged(before - acknowledged).await;
        acknowledged = before;
        let (from, to) = (place.store(), place.path(&format!("backup-{before}.db")));
        let work = tokio::task::spawn_blocking(move || backup(&from, &to, false));
        let done = work.await.unwrap().unwrap();
        assert!(
            done.waiting >= before as u64,
            "{done:?}, {before} acknowledged"
        );
        backups.push((before, done.waiting));
    }
    peer.acknowledged(EVENTS - acknowledged).await;
    peer.shutdown(10_000).await;

    // Each restored elsewhere delivers all that it must have.
    for (before, waiting) in backups {
        let elsewhere = Place::new();
        std::fs::rename(
            place.path(&format!("backup-{before}.db")),
            elsewhere.store(),
        )
        .unwrap();
        let restored = mcp_reporter_tests::coordinator();
        let reporter = elsewhere.reporter(&restored.url(), &[]).await;
        stored(&restored, waiting).await;
        drained(&reporter).await;
        let delivered = restored.stored().unwrap();
        assert_eq!(delivered.len() as u64, waiting);
        let ids: BTreeSet<_> = delivered.into_iter().map(|e| e.interaction_id).collect();
        for n in 0..before {
            assert!(ids.contains(&format!("i{n}")), "i{n} of {before}");
        }
    }

    // The store itself is as it was: all there, each once.
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    stored(&coordinator, EVENTS as u64).await;
    drained(&reporter).await;
    assert_eq!(coordinator.receipts().len(), EVENTS);
}

#[tokio::test]
async fn a_restore_sends_what_was_delivered_since_again_with_its_key() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = with(place.fast(&coordinator.url()), &[("timer", "off")]);
    let mut peer = Process::start(PEER, "warn", &settings).await;
    for n in 0..10 {
        peer.send(&format!("report start i{n} {{}}"));
    }
    peer.acknowledged(10).await;
    peer.shutdown(10_000).await;
    let kept = place.path("backup.db");
    assert_eq!(backup(&place.store(), &kept, false).unwrap().waiting, 10);
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    stored(&coordinator, 10).await;
    drained(&reporter).await;
    drop(reporter);

    let elsewhere = Place::new();
    std::fs::copy(&kept, elsewhere.store()).unwrap();
    let reporter = elsewhere.reporter(&coordinator.url(), &[]).await;
    coordinator
        .wait_for(|seen| seen.receipts().len() == 20, mcp_reporter_tests::SOON)
        .await
        .unwrap();
    drained(&reporter).await;
    assert_one_key_each(&coordinator.receipts());
    assert_eq!(coordinator.stored().unwrap().len(), 10);
    assert_eq!(coordinator.stats().duplicates_ignored, 10);
}
