use super::*;
use crate::engine::Action;
use mcp_reporter_core::outbox::{Place, Stage};

fn status(waiting: u64, breaker: BreakerState, next_attempt_ms: Option<u64>) -> OutboxStatus {
    OutboxStatus {
        waiting,
        dead_letters: 1,
        bytes: 10,
        oldest_age_ms: (waiting > 0).then_some(waiting),
        breaker,
        paused_reason: (breaker == BreakerState::Paused).then(|| "the key".to_owned()),
        next_attempt_ms,
        delivered_total: 3,
        resent_total: 2,
        dropped_total: 1,
        lease_holder: None,
    }
}

#[test]
fn a_status_has_sums_and_the_worst_of_all() {
    let mut all = vec![
        status(0, BreakerState::Closed, Some(5)),
        status(7, BreakerState::Open, Some(300)),
        status(5, BreakerState::Open, Some(200)),
        status(1, BreakerState::HalfOpen, None),
    ];
    for (one, holder) in all.iter_mut().zip(["a#1", "b#2", "a#1"]) {
        one.lease_holder = Some(holder.to_owned());
    }
    let sum = statuses(all.clone());
    assert_eq!((sum.waiting, sum.dead_letters, sum.bytes), (13, 4, 40));
    assert_eq!(sum.oldest_age_ms, Some(7));
    assert_eq!(
        (sum.breaker, sum.next_attempt_ms),
        (BreakerState::Open, Some(200))
    );
    assert_eq!(
        (sum.delivered_total, sum.resent_total, sum.dropped_total),
        (12, 8, 4)
    );
    let named: Vec<_> = holders(sum.lease_holder.as_deref().unwrap()).collect();
    assert_eq!(named, ["a#1", "b#2"]);

    all.push(status(0, BreakerState::Paused, Some(30_000)));
    let sum = statuses(all);
    assert_eq!(sum.breaker, BreakerState::Paused);
    assert_eq!(sum.next_attempt_ms, Some(30_000));
    assert_eq!(sum.paused_reason.as_deref(), Some("the key"));
}

fn key(ns: u64) -> String {
    let key = EventKey {
        ns,
        interaction: ns * 7,
        stage: Stage::Start,
        size: 2,
        random: 1,
    };
    key.name(Place::Waiting)
}

fn page(times: &[u64], more: bool) -> EntryPage {
    let entry = |ns: &u64| Entry {
        key: key(*ns),
        action: Some(Action::Start),
        interaction_id: "i".to_owned(),
        accepted_ns: *ns,
        size: 2,
        tries: 0,
        last_failure: None,
        idempotency_key: "k".to_owned(),
    };
    EntryPage {
        entries: times.iter().map(entry).collect(),
        cursor: times.last().filter(|_| more).map(|ns| key(*ns)),
    }
}

fn times(page: &EntryPage) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.accepted_ns).collect()
}

#[test]
fn pages_become_one_oldest_first() {
    let merged = pages(vec![page(&[1, 4], false), page(&[2, 3], false)], 10);
    assert_eq!(times(&merged), [1, 2, 3, 4]);
    assert_eq!(merged.cursor, None);
}

#[test]
fn nothing_is_passed_over_where_a_shard_has_more() {
    // What follows 2 in the first shard may be older than 5.
    let merged = pages(vec![page(&[1, 2], true), page(&[3, 5], false)], 2);
    assert_eq!(times(&merged), [1, 2]);
    assert_eq!(merged.cursor, Some(key(2)));
    let merged = pages(vec![page(&[4, 6], true), page(&[1, 5], true)], 2);
    assert_eq!(times(&merged), [1, 4]);
    assert_eq!(merged.cursor, Some(key(4)));
    // Some of a page were delivered while it was read.
    let mut short = page(&[1, 2], true);
    short.entries.pop();
    let merged = pages(vec![short, page(&[3], false)], 2);
    assert_eq!(times(&merged), [1]);
    assert_eq!(merged.cursor, Some(key(2)));
}

#[test]
fn a_page_of_one_shard_is_as_it_is() {
    let merged = pages(vec![page(&[1, 2], true)], 2);
    assert_eq!((times(&merged), merged.cursor), (vec![1, 2], Some(key(2))));
}

fn delivery(next_ms: Option<u64>, held: bool, elsewhere: bool) -> Delivery {
    Delivery {
        delivered: 1,
        failed: 2,
        dead_lettered: 3,
        waiting: 4,
        next_ms,
        held,
        lease_held_elsewhere: elsewhere,
    }
}

fn summary(all: &[Delivery]) -> (Option<u64>, bool, bool) {
    let sum = deliveries(all.to_vec()).unwrap();
    (sum.next_ms, sum.held, sum.lease_held_elsewhere)
}

#[test]
fn deliveries_have_sums_and_the_earliest_time_to_come_back() {
    let (done, busy) = (delivery(None, false, false), delivery(Some(9), true, false));
    let elsewhere = delivery(Some(5), true, true);
    let sum = deliveries(vec![done, busy, done]).unwrap();
    assert_eq!(
        (sum.delivered, sum.failed, sum.dead_lettered, sum.waiting),
        (3, 6, 9, 12)
    );
    assert_eq!(summary(&[done, done]), (None, false, false));
    assert_eq!(summary(&[done, busy]), (Some(9), true, false));
    let ready = delivery(Some(30), false, false);
    assert_eq!(summary(&[ready, busy]), (Some(9), false, false));
    // Elsewhere counts only when there is nothing left here.
    assert_eq!(summary(&[busy, elsewhere]), (Some(9), true, false));
    assert_eq!(summary(&[done, elsewhere]), (Some(5), true, true));
    assert!(deliveries(Vec::new()).is_none());
}
