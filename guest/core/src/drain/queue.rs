//! The waiting events as the drainer knows them: one lane per interaction, in
//! order; lanes side by side.
//!
//! A lane is in exactly one of three places: among the ready ones, asleep until
//! some moment, or with the owner, who took its first event to send it and
//! gives the lane back with [`sleep`](Queue::sleep), [`remove`](Queue::remove)
//! or [`take_lane`](Queue::take_lane).
//!
//! The oldest event goes first, over all lanes, so values are read ahead by
//! event and not by lane: those of the first events of lanes, and of what comes
//! after them or after what is being sent. What is read is what the store had
//! while the lease was held, and nobody else writes under it; what the owner
//! took and wrote anew is read anew.

use crate::outbox::{EventKey, Record, Stage};
use crate::prelude::*;
use crate::sort::sort;
use crate::throttle::Moment;
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

/// Values read ahead.
const READ_AHEAD: usize = 64;
/// Values read ahead of one lane, so that a long one leaves room for the others.
const READ_AHEAD_IN_LANE: usize = 4;
/// Bytes of bodies read ahead.
const READ_AHEAD_BYTES: usize = 1 << 20;

/// Events `next..end` of the listing.
#[derive(Debug, Clone, Copy)]
struct Lane {
    next: usize,
    end: usize,
}

/// Lanes or events by something to order them by, smallest first.
type Heap = BinaryHeap<Reverse<(u64, usize)>>;

/// What the store has under a key; none when it was purged meanwhile.
type Value = Option<Vec<u8>>;

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The listing, an interaction after the other.
    keys: Vec<EventKey>,
    lanes: Vec<Lane>,
    /// Lanes that have events left.
    open: usize,
    /// The first events of the ready lanes, by their age.
    ready: Heap,
    /// Lanes by the moment they wake.
    asleep: Heap,
    /// What was read ahead.
    values: Vec<(EventKey, Value)>,
}

/// Where the value of `key` is, if it was read.
fn find(values: &[(EventKey, Value)], key: &EventKey) -> Option<usize> {
    values.iter().position(|(k, _)| k == key)
}

/// Orders moments, which may be negative, as unsigned numbers.
fn order(at: Moment) -> u64 {
    (at as u64) ^ (1 << 63)
}

fn moment(order: u64) -> Moment {
    (order ^ (1 << 63)) as Moment
}

impl Queue {
    /// Takes over a listing. The lanes of `taken`, which are being sent, stay
    /// with the owner; how long other lanes sleep is kept.
    pub fn relist(&mut self, mut keys: Vec<EventKey>, taken: &[EventKey]) {
        let old = core::mem::take(self);
        self.values = old.values;
        // The start goes first, whatever the clocks of its writers said.
        sort(&mut keys, |a, b| {
            let rank = |k: &EventKey| (k.interaction, k.stage != Stage::Start, k.ns, k.random);
            rank(a) < rank(b)
        });
        self.keys = keys;
        let mut next = 0;
        while let Some(first) = self.keys.get(next) {
            let interaction = first.interaction;
            let rest = self.keys[next..].iter();
            let end = next + rest.take_while(|k| k.interaction == interaction).count();
            self.lanes.push(Lane { next, end });
            next = end;
        }
        self.open = self.lanes.len();
        let mut asleep = vec![0; self.lanes.len()];
        for Reverse((until, lane)) in old.asleep {
            let first = old.keys[old.lanes[lane].next];
            if let Some(lane) = self.lane(&first)
                && self.keys[self.lanes[lane].next] == first
            {
                asleep[lane] = until;
            }
        }
        for (lane, until) in asleep.into_iter().enumerate() {
            let Lane { next, end } = self.lanes[lane];
            // What is being sent is first, even if an earlier one turned up meanwhile. (Of what
            // another deleted, because the lease ran out, nothing is left to keep.)
            let mut events = self.keys[next..end].iter();
            if let Some(at) = events.position(|k| taken.contains(k)) {
                self.keys[next..=next + at].rotate_right(1);
                continue;
            }
            match until {
                0 => self.make_ready(lane),
                _ => self.asleep.push(Reverse((until, lane))),
            }
        }
    }

    /// The lane of the interaction of `key`.
    fn lane(&self, key: &EventKey) -> Option<usize> {
        let interaction = |lane: &Lane| self.keys[lane.next.min(lane.end - 1)].interaction;
        self.lanes
            .binary_search_by_key(&key.interaction, interaction)
            .ok()
    }

    /// Whether nothing is left, not even with the owner.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Lanes that may send.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// When the next sleeping lane wakes.
    pub fn next_wake(&self) -> Option<Moment> {
        self.asleep.peek().map(|Reverse((until, _))| moment(*until))
    }

    /// Readies the lanes whose time has come.
    pub fn wake(&mut self, now: Moment) {
        while self.next_wake().is_some_and(|until| until <= now) {
            if let Some(Reverse((_, lane))) = self.asleep.pop() {
                self.make_ready(lane);
            }
        }
    }

    fn make_ready(&mut self, lane: usize) {
        let first = self.lanes[lane].next;
        self.ready.push(Reverse((self.keys[first].ns, first)));
    }

    /// The events that come next and whose values are yet to be read: none as long as that of the
    /// oldest which may be sent is at hand. For a probe the first events of many lanes, else in
    /// the order in which they will go if all goes well, `taken` being sent just now.
    pub fn unread(&mut self, probing: bool, taken: &[EventKey]) -> Vec<EventKey> {
        let mut next = Vec::new();
        let oldest = self.ready.peek().map(|Reverse((_, at))| self.keys[*at]);
        if !probing && oldest.is_none_or(|key| find(&self.values, &key).is_some()) {
            return next;
        }
        let (mut heads, mut later) = (Vec::new(), Heap::new());
        for key in taken {
            if let Some(lane) = self.lane_from_owner(key)
                && !probing
            {
                self.push_later(&mut later, self.lanes[lane].next);
            }
        }
        let mut left = READ_AHEAD_BYTES;
        while next.len() < READ_AHEAD {
            // What may be sent goes before all that may not yet.
            let head = next.is_empty() || self.ready.peek() > later.peek();
            let event = if head { self.ready.pop() } else { later.pop() };
            let Some(Reverse((age, at))) = event else {
                break;
            };
            if head {
                heads.push(Reverse((age, at)));
            }
            match left.checked_sub(self.keys[at].size as usize) {
                Some(rest) => left = rest,
                None if next.is_empty() => left = 0,
                None => break,
            }
            next.push(self.keys[at]);
            if !probing {
                self.push_later(&mut later, at);
            }
        }
        self.give_back(heads);
        let mut old = core::mem::take(&mut self.values);
        next.retain(|key| {
            // What is read and comes no more among the next is forgotten.
            let at = find(&old, key);
            if let Some(at) = at {
                self.values.push(old.remove(at));
            }
            at.is_none()
        });
        next
    }

    /// Puts first events of lanes back among the ready ones.
    fn give_back(&mut self, heads: Vec<Reverse<(u64, usize)>>) {
        for head in heads {
            self.ready.push(head);
        }
    }

    /// Puts the event after that at `at` of the same lane on the heap, unless it is far from the
    /// first.
    fn push_later(&self, later: &mut Heap, at: usize) {
        if let Some(lane) = self.lane(&self.keys[at]) {
            let Lane { next, end } = self.lanes[lane];
            if at + 1 < end.min(next + READ_AHEAD_IN_LANE) {
                later.push(Reverse((self.keys[at + 1].ns, at + 1)));
            }
        }
    }

    /// Keeps what was read.
    pub fn read(&mut self, key: EventKey, value: Value) {
        self.values.push((key, value));
    }

    /// Takes the oldest event that may be sent, with its value; for a probe, of the oldest that
    /// were read, the one whose last try is the longest ago: one that is refused for its own sake
    /// proves nothing, so each gets its turn. A try after `latest_ns` was written down before the
    /// clock was set back, and counts as none.
    pub fn take(&mut self, probing: bool, latest_ns: u64) -> Option<(EventKey, Value)> {
        let count = if probing { READ_AHEAD } else { 1 };
        let mut heads = Vec::new();
        let mut first: Option<(u64, usize, usize)> = None;
        while heads.len() < count
            && let Some(head) = self.ready.pop()
        {
            if let Some(at) = find(&self.values, &self.keys[head.0.1]) {
                let value = self.values[at].1.as_deref();
                let record = value.filter(|_| probing).map(Record::decode);
                let tried = match record {
                    Some(Ok(record)) if record.not_before_ns <= latest_ns => record.not_before_ns,
                    _ => 0,
                };
                if first.is_none_or(|(earliest, ..)| tried < earliest) {
                    first = Some((tried, heads.len(), at));
                }
            }
            heads.push(head);
        }
        let taken = first.map(|(_, head, at)| {
            heads.remove(head);
            self.values.remove(at)
        });
        self.give_back(heads);
        taken
    }

    /// The lane of `key`, whose first event it is, may send again from `at` on.
    pub fn sleep(&mut self, key: EventKey, at: Moment) {
        if let Some(lane) = self.lane_from_owner(&key) {
            self.asleep.push(Reverse((order(at), lane)));
        }
    }

    /// `key`, the first event of its lane, has left the outbox.
    pub fn remove(&mut self, key: EventKey) {
        if let Some(lane) = self.lane_from_owner(&key) {
            self.lanes[lane].next += 1;
            if self.lanes[lane].next == self.lanes[lane].end {
                self.open -= 1;
            } else {
                self.make_ready(lane);
            }
        }
    }

    /// Takes the whole lane of `key`, its first event, out.
    pub fn take_lane(&mut self, key: EventKey) -> Vec<EventKey> {
        let Some(lane) = self.lane_from_owner(&key) else {
            return vec![key];
        };
        let Lane { next, end } = self.lanes[lane];
        self.lanes[lane].next = end;
        self.open -= 1;
        self.keys[next..end].to_vec()
    }

    /// The lane that the owner gives back; none when a later listing no longer
    /// had the event, because it was purged meanwhile.
    fn lane_from_owner(&self, key: &EventKey) -> Option<usize> {
        let lane = self.lane(key)?;
        let Lane { next, end } = self.lanes[lane];
        (next < end && self.keys[next] == *key).then_some(lane)
    }
}
