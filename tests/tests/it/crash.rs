//! A reporter's process is killed in the middle of its work.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use mcp_reporter_tests::{Place, Process, SOON, assert_one_key_each, coordinator, histories, with};
use tokio::task::JoinSet;

use crate::PEER;

const EVENTS: usize = 1_000;
const ACTIONS: [&str; 4] = ["start", "progress", "progress", "complete"];

/// The burst: event `n` is one of an interaction of four.
fn burst() -> impl Iterator<Item = String> {
    (0..EVENTS).map(|n| format!(r#"report {} i{} {{"n":{n}}}"#, ACTIONS[n % 4], n / 4))
}

/// One burst, killed as soon as `killed_after` acknowledgements were read.
async fn round(killed_after: usize, durability: &str) {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = with(
        place.fast(&coordinator.url()),
        &[("durability", durability)],
    );
    let mut peer = Process::start(PEER, "warn", &settings).await;
    for command in burst() {
        peer.send(&command);
    }
    let mut acknowledged = BTreeSet::new();
    while let Some(answer) = peer.answer().await {
        let (number, outcome) = answer.split_once(' ').unwrap();
        assert_eq!(outcome, "queued");
        acknowledged.insert(number.parse::<usize>().unwrap());
        if acknowledged.len() == killed_after {
            peer.kill();
        }
    }
    let before = coordinator.stats().processed;
    let round = format!(
        "{durability}: killed after {killed_after}, {} acknowledged, {before} delivered by then",
        acknowledged.len()
    );
    assert!(acknowledged.len() >= killed_after, "{round}");

    // The next start delivers the rest.
    let mut peer = Process::start(PEER, "warn", &settings).await;
    let all_there = |numbers: &BTreeSet<usize>| acknowledged.is_subset(numbers);
    let number = |body: &[u8]| {
        let body = mcp_reporter_tests::json(body);
        let data = body.get("request_data").or(body.get("progress_data"));
        let data = data.or(body.get("result_data")).unwrap();
        data["n"].as_u64().unwrap() as usize
    };
    let mut seen = BTreeSet::new();
    let mut looked_at = 0;
    let delivered = coordinator
        .wait_for(
            |view| {
                for receipt in &view.receipts()[looked_at..] {
                    if receipt.answered == Some(200) {
                        seen.insert(number(&receipt.body));
                    }
                }
                looked_at = view.receipts().len();
                all_there(&seen)
            },
            SOON,
        )
        .await;
    if delivered.is_err() {
        let lost: Vec<_> = acknowledged.difference(&seen).collect();
        panic!("{round}: lost {lost:?}; {}", peer.log());
    }
    assert!(peer.shutdown(20_000).await, "{round}: not drained");

    let receipts = coordinator.receipts();
    assert_one_key_each(&receipts);
    let events = coordinator.stored().unwrap();
    let mut times = BTreeMap::<usize, u32>::new();
    for event in &events {
        *times.entry(number(&event.body)).or_default() += 1;
    }
    assert!(times.values().all(|n| *n == 1), "{round}: stored twice");
    assert_eq!(
        coordinator.stats().dropped_unknown,
        0,
        "{round}: out of order"
    );
    for (id, history) in histories(&events) {
        assert_eq!(history, ACTIONS[..history.len()], "{round}: {id}");
    }
    println!(
        "{round}, {} repeats recognised",
        coordinator.stats().duplicates_ignored
    );
}

#[tokio::test]
async fn kill_9_in_a_burst_of_1000_acknowledged_reports_loses_none() {
    // Another seed for each run; the moment is named when something is wrong.
    let random = RandomState::new();
    let mut moments: Vec<_> = (0..4)
        .map(|n| 1 + random.hash_one(n) as usize % EVENTS)
        .collect();
    moments.extend([1, EVENTS]);
    let mut rounds = JoinSet::new();
    for (n, moment) in moments.into_iter().enumerate() {
        rounds.spawn(round(moment, ["process", "power"][n % 2]));
    }
    rounds.join_all().await;
}
