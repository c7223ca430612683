//! A record that cannot be read, at the head of the queue.

use std::path::Path;

use mcp_reporter_tests::{Place, Process, Story, Witnessed, coordinator, outbox, stored};

use crate::PEER;

const NOWHERE: &str = "http://127.0.0.1:1";

/// Overwrites the value of the oldest event with what `damage` makes of it.
fn damage_head(store: &Path, damage: fn(Vec<u8>) -> Vec<u8>) {
    let file = rusqlite::Connection::open(store).unwrap();
    let head = "SELECT key, value FROM mcp_reporter_kv WHERE key LIKE 'q.%' ORDER BY key LIMIT 1";
    let (key, value): (String, Vec<u8>) = file
        .query_row(head, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let update = "UPDATE mcp_reporter_kv SET value = ?2 WHERE key = ?1";
    assert_eq!(file.execute(update, (key, damage(value))).unwrap(), 1);
}

async fn is_set_aside(damage: fn(Vec<u8>) -> Vec<u8>, said: &str) {
    let place = Place::new();
    let mut story = Story::new();
    let mut peer: Witnessed = Process::start(PEER, "warn", &place.fast(NOWHERE))
        .await
        .into();
    for n in 0..10 {
        peer.interaction(&mut story, &format!("i{n}"));
    }
    peer.acknowledged(&mut story).await;
    peer.kill(&mut story).await;
    damage_head(&place.store(), damage);

    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let mut peer = Process::start(PEER, "warn", &settings).await;
    stored(&coordinator, 36).await;
    assert!(peer.shutdown(20_000).await, "{}", peer.log());
    let left = outbox(&settings).await;
    // What comes after it in its interaction follows it, to be redriven in order.
    let unreadable = left.iter().filter(|event| event.body.is_none()).count();
    assert_eq!(unreadable, 1, "{left:?}");
    let tally = story.check(&coordinator.receipts(), &left);
    assert_eq!((tally.delivered, tally.waiting, tally.dead), (36, 0, 4));
    let log = peer.whole_log().await;
    assert!(log.contains(said), "{log}");
    println!("{tally}");
}

#[tokio::test]
async fn a_flipped_bit_at_the_head_of_the_queue_is_set_aside_and_the_rest_flows() {
    let flip = |mut value: Vec<u8>| {
        let middle = value.len() / 2;
        value[middle] ^= 1;
        value
    };
    is_set_aside(flip, "the record is damaged").await;
}

#[tokio::test]
async fn a_record_cut_short_at_the_head_of_the_queue_is_set_aside_and_the_rest_flows() {
    let cut = |value: Vec<u8>| value[..value.len() / 2].to_vec();
    is_set_aside(cut, "the record is damaged").await;
}

#[tokio::test]
async fn an_empty_record_at_the_head_of_the_queue_is_set_aside_and_the_rest_flows() {
    is_set_aside(|_| Vec::new(), "the record is damaged").await;
}

#[tokio::test]
async fn a_newer_record_at_the_head_of_the_queue_is_set_aside_and_the_rest_flows() {
    let newer = |mut value: Vec<u8>| {
        value[0] = 9;
        value
    };
    is_set_aside(newer, "the record has version 9").await;
}
