//! What several shards say, as one outbox would.

use crate::engine::{BreakerState, Delivery, Entry, EntryPage, OutboxStatus};
use mcp_reporter_core::admin::page_limit;
use mcp_reporter_core::outbox::EventKey;

/// What stands between the names of several who deliver.
const BETWEEN: &str = ", ";

/// How bad a state is.
fn badness(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::HalfOpen => 1,
        BreakerState::Open => 2,
        BreakerState::Paused => 3,
    }
}

/// Sums, the oldest age, the worst state of a breaker with the earliest try of those that are in
/// it, and everybody who delivers.
pub(super) fn statuses(all: Vec<OutboxStatus>) -> OutboxStatus {
    let mut rest = all.into_iter();
    let Some(mut sum) = rest.next() else {
        return OutboxStatus {
            waiting: 0,
            dead_letters: 0,
            bytes: 0,
            oldest_age_ms: None,
            breaker: BreakerState::Closed,
            paused_reason: None,
            next_attempt_ms: None,
            delivered_total: 0,
            resent_total: 0,
            dropped_total: 0,
            lease_holder: None,
        };
    };
    for one in rest {
        sum.waiting += one.waiting;
        sum.dead_letters += one.dead_letters;
        sum.bytes += one.bytes;
        sum.oldest_age_ms = sum.oldest_age_ms.max(one.oldest_age_ms);
        match badness(one.breaker).cmp(&badness(sum.breaker)) {
            std::cmp::Ordering::Greater => {
                sum.breaker = one.breaker;
                sum.next_attempt_ms = one.next_attempt_ms;
            }
            // None is at once, and less than any.
            std::cmp::Ordering::Equal => {
                sum.next_attempt_ms = sum.next_attempt_ms.min(one.next_attempt_ms);
            }
            std::cmp::Ordering::Less => {}
        }
        sum.paused_reason = sum.paused_reason.or(one.paused_reason);
        sum.delivered_total += one.delivered_total;
        sum.resent_total += one.resent_total;
        sum.dropped_total += one.dropped_total;
        sum.lease_holder = match (sum.lease_holder, one.lease_holder) {
            (Some(a), Some(b)) if !holders(&a).any(|held| held == b) => Some(a + BETWEEN + &b),
            (a, b) => a.or(b),
        };
    }
    sum
}

/// Those that a status names as delivering.
pub(super) fn holders(all: &str) -> impl Iterator<Item = &str> {
    all.split(BETWEEN)
}

/// The first `limit` of the entries on these pages, each of which is the next page of its shard
/// after one common cursor.
///
/// A cursor is the key of an event, and every shard takes that of another's: it lists what is
/// younger. So the next page begins after the last entry of this one.
pub(super) fn pages(pages: Vec<EntryPage>, limit: u32) -> EntryPage {
    if pages.len() == 1 {
        return pages.into_iter().next().unwrap_or(EntryPage {
            entries: Vec::new(),
            cursor: None,
        });
    }
    let order = |key: &str| EventKey::parse(key).map(|(_, key)| key);
    // Of a shard with a cursor nothing is known beyond it: it may come before another's.
    let ends = pages.iter().filter_map(|page| page.cursor.as_deref());
    let end = ends.min_by_key(|cursor| order(cursor)).map(str::to_owned);
    let known = |entry: &Entry| match &end {
        Some(end) => order(&entry.key) <= order(end),
        None => true,
    };
    let mut entries: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
    entries.retain(known);
    entries.sort_by_key(|entry| order(&entry.key));
    let limit = page_limit(limit as usize);
    let cursor = if entries.len() > limit {
        entries.truncate(limit);
        entries.last().map(|entry| entry.key.clone())
    } else {
        end
    };
    EntryPage { entries, cursor }
}

/// Sums, and the earliest time to come back. None of none.
pub(super) fn deliveries(all: Vec<Delivery>) -> Option<Delivery> {
    // Those that have something more to do, here before elsewhere.
    let busy = |done: &&Delivery| done.next_ms.is_some();
    let here = |done: &&Delivery| busy(done) && !done.lease_held_elsewhere;
    let elsewhere = all.iter().any(|done| done.lease_held_elsewhere);
    let lease_held_elsewhere = elsewhere && !all.iter().any(|done| here(&done));
    let next = |done: &Delivery| done.next_ms;
    let next_ms = match lease_held_elsewhere {
        true => all.iter().filter_map(next).min(),
        false => all.iter().filter(here).filter_map(next).min(),
    };
    let held = all.iter().filter(busy).all(|done| done.held) && next_ms.is_some();
    let sum = Delivery {
        delivered: all.iter().map(|done| done.delivered).sum(),
        failed: all.iter().map(|done| done.failed).sum(),
        dead_lettered: all.iter().map(|done| done.dead_lettered).sum(),
        waiting: all.iter().map(|done| done.waiting).sum(),
        next_ms,
        held,
        lease_held_elsewhere,
    };
    match all.len() {
        0 | 1 => all.into_iter().next(),
        _ => Some(sum),
    }
}

#[cfg(test)]
mod tests;
