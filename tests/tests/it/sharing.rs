//! Two processes use one store file.

use std::time::{Duration, Instant};

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{
    Place, Process, SOON, assert_one_key_each, coordinator, faulty, histories, stored,
};

use crate::PEER;

#[tokio::test]
async fn two_processes_on_one_store_deliver_every_event_once_and_in_order() {
    const INTERACTIONS: usize = 2_500;
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let mut a = Process::start(PEER, "warn", &settings).await;
    let mut b = Process::start(PEER, "warn", &settings).await;
    // Each begins half of the interactions, and ends those that the other began.
    for (number, actions) in [["start", "progress"], ["progress", "complete"]]
        .iter()
        .enumerate()
    {
        for i in 0..INTERACTIONS {
            let peer = if i % 2 == number { &a } else { &b };
            for action in actions {
                peer.send(&format!(r#"report {action} i{i} {{"part":{number}}}"#));
            }
        }
        tokio::join!(a.acknowledged(INTERACTIONS), b.acknowledged(INTERACTIONS));
    }
    let all = 4 * INTERACTIONS;
    let done = coordinator
        .wait_for(|seen| seen.stats().processed == all as u64, SOON * 2)
        .await;
    done.unwrap_or_else(|missing| panic!("{missing} {} {}", a.log(), b.log()));
    // Whoever lets go of the last event knows that there is nothing left.
    assert!(a.shutdown(20_000).await);
    assert!(b.shutdown(20_000).await);
    assert_eq!(coordinator.receipts().len(), all, "events were sent twice");
    let histories = histories(&coordinator.stored().unwrap());
    assert_eq!(histories.len(), INTERACTIONS);
    for (id, history) in histories {
        assert_eq!(
            history,
            ["start", "progress", "progress", "complete"],
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_process_takes_over_within_the_lease_when_the_other_is_killed() {
    let place = Place::new();
    let coordinator = faulty(Fault::Hang);
    let settings = place.fast(&coordinator.url());
    let mut a = Process::start(PEER, "warn", &settings).await;
    a.send("report start i1 {}");
    a.acknowledged(1).await;
    // It holds the lease: its request is under way.
    coordinator
        .wait_for(|seen| seen.receipts().len() == 1, SOON)
        .await
        .unwrap();
    let mut b = Process::start(PEER, "warn", &settings).await;
    b.send("report start i2 {}");
    b.acknowledged(1).await;
    coordinator.set_fault(Fault::None).unwrap();
    a.kill();
    let killed = Instant::now();
    stored(&coordinator, 2).await;
    // The lease of 6 s, and how often one looks whether it is free: 1 s.
    assert!(
        killed.elapsed() < Duration::from_millis(7_500),
        "{:?}",
        killed.elapsed()
    );
    // The one that was under way is sent again, with its key.
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 3);
    assert_one_key_each(&receipts);
    assert!(b.shutdown(10_000).await);
}
