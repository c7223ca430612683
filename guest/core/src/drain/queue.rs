//! The waiting events as the drainer knows them: one lane per interaction, in
//! order; lanes side by side.
//!
//! A lane is in exactly one of four places: among the ready ones, asleep until
//! some moment, in the window (its first record is read), or with the owner,
//! who took its first event to send it and gives the lane back with
//! [`sleep`](Queue::sleep), [`remove`](Queue::remove) or
//! [`take_lane`](Queue::take_lane).

use crate::outbox::{EventKey, Record, Stage};
use crate::prelude::*;
use crate::sort::sort;
use crate::throttle::Moment;
use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

/// Events `next..end` of the listing.
#[derive(Debug, Clone, Copy)]
struct Lane {
    next: usize,
    end: usize,
}

/// Lanes by something to order them by, smallest first.
type Heap = BinaryHeap<Reverse<(u64, usize)>>;

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// The listing, an interaction after the other.
    keys: Vec<EventKey>,
    lanes: Vec<Lane>,
    /// Lanes that have events left.
    open: usize,
    /// By the age of their first events.
    ready: Heap,
    /// By the moment they wake.
    asleep: Heap,
    /// The ready lanes that come next, with the records of their first events.
    window: Vec<(usize, Box<Record>)>,
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
        self.ready.len() + self.window.len()
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
        let first = self.keys[self.lanes[lane].next];
        self.ready.push(Reverse((first.ns, lane)));
    }

    /// Takes the oldest ready lanes out, to read the records of their first
    /// events: at most `count` and, beyond the first, `bytes` of bodies.
    pub fn unread(&mut self, count: usize, bytes: usize) -> Vec<EventKey> {
        let mut keys = Vec::new();
        let mut left = bytes;
        while keys.len() < count
            && let Some(Reverse((_, lane))) = self.ready.peek()
        {
            let key = self.keys[self.lanes[*lane].next];
            match left.checked_sub(key.size as usize) {
                Some(rest) => left = rest,
                None if keys.is_empty() => left = 0,
                None => break,
            }
            self.ready.pop();
            keys.push(key);
        }
        keys
    }

    /// Puts a lane into the window, with the record of its first event.
    pub fn read(&mut self, key: EventKey, record: Box<Record>) {
        if let Some(lane) = self.lane(&key) {
            self.window.push((lane, record));
        }
    }

    /// Whether no lane is in the window.
    pub fn window_is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// Takes the oldest event of the window.
    pub fn take_oldest(&mut self) -> Option<(EventKey, Box<Record>)> {
        self.take(0)
    }

    /// Takes the event of the window that was tried least: a probe with an
    /// event that is refused for its own sake would prove nothing.
    pub fn take_least_tried(&mut self) -> Option<(EventKey, Box<Record>)> {
        let tries = self
            .window
            .iter()
            .enumerate()
            .map(|(i, (_, record))| (record.tries, i));
        let (_, least) = tries.min()?;
        self.take(least)
    }

    fn take(&mut self, at: usize) -> Option<(EventKey, Box<Record>)> {
        if at >= self.window.len() {
            return None;
        }
        let (lane, record) = self.window.remove(at);
        Some((self.keys[self.lanes[lane].next], record))
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
