//! The coordinator is down for the whole load, and up again.

use std::time::{Duration, Instant};

use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::spin::{Ground, Mode};
use mcp_reporter_tests::{SOON, assert_one_key_each, coordinator, histories};

use super::{DELIVER, ask, connected, post};

const ACTIONS: [&str; 3] = ["start", "progress", "complete"];

/// 16 clients post this many interactions each. Together fewer events than one second may have, so
/// that nobody has to wait for the throttle.
const INTERACTIONS: usize = 9;

async fn a_few_calls_empty_the_outbox(mode: Mode) {
    let (ground, coordinator) = (Ground::new(mode).await, coordinator());
    coordinator.set_fault(Fault::Refuse).unwrap();
    let more = [("rate_limit", "500"), ("retry_delay", "0.05")];
    let spin = ground.start(coordinator.addr(), &more).await;
    let clients: Vec<_> = (0..16)
        .map(|n| {
            let connected = mcp_reporter_tests::Client::connect(spin.address());
            tokio::spawn(async move {
                let mut client = connected.await.unwrap();
                for i in 0..INTERACTIONS {
                    for action in ACTIONS {
                        post(&mut client, action, &format!("i{n}-{i}")).await;
                    }
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    coordinator.set_fault(Fault::None).unwrap();
    // As a scheduler does: it calls, and comes back when it is told to.
    let end = Instant::now() + 2 * SOON;
    let mut client = connected(&spin).await;
    let mut calls = 0;
    loop {
        let said = ask(&mut client, "POST", DELIVER).await;
        calls += 1;
        let Some(next) = said["next_s"].as_f64() else {
            assert_eq!(said["waiting"], 0, "{said}");
            break;
        };
        assert!(Instant::now() < end, "not in time: {said}");
        tokio::time::sleep(Duration::from_secs_f64(next)).await;
    }
    let counts = spin.counts();
    println!("{mode:?}: {calls} calls, {counts:?}");
    assert!(calls <= 5, "{calls} calls; {counts:?}");
    assert_eq!((counts.sleeps, counts.trapped), (0, 0), "{counts:?}");
    let histories = histories(&coordinator.stored().unwrap());
    assert_eq!(histories.len(), 16 * INTERACTIONS);
    for (id, history) in histories {
        assert_eq!(history, ACTIONS, "{id}");
    }
    assert_one_key_each(&coordinator.receipts());
}

#[tokio::test]
async fn after_an_outage_a_few_calls_empty_the_outbox_and_no_instance_slept_on_sqlite() {
    a_few_calls_empty_the_outbox(Mode::Sqlite).await;
}

#[tokio::test]
async fn after_an_outage_a_few_calls_empty_the_outbox_and_no_instance_slept_on_redis() {
    a_few_calls_empty_the_outbox(Mode::Redis).await;
}
