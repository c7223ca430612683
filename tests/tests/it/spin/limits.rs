//! What Spin's host has only so many of.

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::spin::{Ground, Mode, Spin};
use mcp_reporter_tests::{coordinator, stored};

use super::{DELIVER, OUTBOX, ask, connected, post, until};

#[tokio::test]
async fn one_that_still_delivers_keeps_its_place_and_the_next_request_waits_for_it() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    coordinator.set_fault(Fault::Hang).unwrap();
    let mut options = ground.options(coordinator.addr(), &[("edge_budget", "1")]);
    options.instances = 1;
    let spin = Spin::start(mcp_reporter_artifacts::REPORTER, options).await;
    let spin = spin.unwrap();
    let (mut one, mut other) = (connected(&spin).await, connected(&spin).await);
    post(&mut one, "start", "i1").await;
    // It was answered, and its instance goes on.
    assert_eq!(spin.counts().live, 1);
    post(&mut other, "start", "i2").await;
    let counts = spin.counts();
    assert_eq!((counts.instances, counts.most_live), (2, 1), "{counts:?}");
}

#[tokio::test]
async fn one_call_delivers_more_events_than_the_host_has_slots_for_swaps() {
    const EVENTS: u64 = 300;
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        // With one request at once each has a reservation of its own, and that is a swap, of
        // which each takes one of the host's 256 slots for good.
        let more = [
            ("edge_budget", "0"),
            ("rate_limit", "10000"),
            ("max_in_flight", "1"),
        ];
        let spin = ground.start(coordinator.addr(), &more).await;
        let mut client = connected(&spin).await;
        for n in 0..EVENTS {
            post(&mut client, "start", &format!("i{n}")).await;
        }
        let mut calls = 0;
        loop {
            calls += 1;
            let said = ask(&mut client, "POST", DELIVER).await;
            if said["waiting"] == 0 {
                break;
            }
            assert_eq!(said["lease_held_elsewhere"], false, "{said}");
            assert!(calls < 5, "{said}");
        }
        stored(&coordinator, EVENTS).await;
        assert!(spin.counts().leaked_slots > 256, "{:?}", spin.counts());
        until(&mut client, "GET", OUTBOX, |said| said["waiting"] == 0).await;
    }
}
