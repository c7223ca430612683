//! The waiting events as the drainer knows them: one lane per interaction, in
//! order; lanes side by side.

use crate::outbox::{EventKey, Record, Stage};
use crate::throttle::Moment;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[derive(Debug)]
struct Lane {
    events: VecDeque<EventKey>,
    /// The record of the first event, once read.
    record: Option<Box<Record>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    Asleep(Moment),
    InFlight,
}

/// All lanes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: BTreeMap<u64, Lane>,
    /// Lanes that may send: age of the first event, lane.
    ready: BTreeSet<(u64, u64)>,
    /// Lanes that wait: until when, lane.
    asleep: BTreeSet<(Moment, u64)>,
}

impl Queue {
    /// Takes over a listing; keeps what is known of lanes whose first event is the same.
    pub fn relist(&mut self, mut keys: Vec<EventKey>) {
        let mut old = core::mem::take(self);
        keys.sort_unstable();
        for key in keys {
            let lane = self.lanes.entry(key.interaction).or_insert_with(|| Lane {
                events: VecDeque::new(),
                record: None,
                state: State::Ready,
            });
            lane.events.push_back(key);
        }
        for (hash, lane) in &mut self.lanes {
            start_first(&mut lane.events);
            if let Some(known) = old.lanes.remove(hash) {
                if known.state == State::InFlight {
                    lane.state = State::InFlight;
                } else if known.events.front() == lane.events.front() {
                    lane.state = known.state;
                    lane.record = known.record;
                }
            }
            match lane.state {
                State::Ready => drop(self.ready.insert((lane.events[0].ns, *hash))),
                State::Asleep(until) => drop(self.asleep.insert((until, *hash))),
                State::InFlight => {}
            }
        }
        // A lane in flight whose event the listing no longer has is still in flight.
        for (hash, lane) in old.lanes {
            if lane.state == State::InFlight {
                self.lanes.insert(
                    hash,
                    Lane {
                        events: VecDeque::new(),
                        ..lane
                    },
                );
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// When the next sleeping lane wakes.
    pub fn next_wake(&self) -> Option<Moment> {
        self.asleep.first().map(|(until, _)| *until)
    }

    /// Readies the lanes whose time has come.
    pub fn wake(&mut self, now: Moment) {
        while let Some(&(until, hash)) = self.asleep.first()
            && until <= now
        {
            self.asleep.pop_first();
            self.set(hash, State::Ready);
        }
    }

    /// Moves a lane from the sets of its old state to those of `state`.
    fn set(&mut self, hash: u64, state: State) {
        let Some(lane) = self.lanes.get_mut(&hash) else {
            return;
        };
        if let Some(first) = lane.events.front() {
            match lane.state {
                State::Ready => drop(self.ready.remove(&(first.ns, hash))),
                State::Asleep(until) => drop(self.asleep.remove(&(until, hash))),
                State::InFlight => {}
            }
            match state {
                State::Ready => drop(self.ready.insert((first.ns, hash))),
                State::Asleep(until) => drop(self.asleep.insert((until, hash))),
                State::InFlight => {}
            }
        }
        lane.state = state;
    }

    /// The first events of the ready lanes whose records are not read yet,
    /// oldest first: at most `count`, and `bytes` beyond the first.
    pub fn unread(&self, count: usize, bytes: usize) -> Vec<EventKey> {
        let mut left = bytes;
        let firsts = self.ready.iter().take(count).filter_map(|(_, hash)| {
            let lane = &self.lanes[hash];
            lane.record.is_none().then(|| lane.events[0])
        });
        let mut keys = Vec::new();
        for key in firsts {
            let Some(rest) = left.checked_sub(key.size as usize) else {
                if keys.is_empty() {
                    keys.push(key);
                }
                break;
            };
            left = rest;
            keys.push(key);
        }
        keys
    }

    /// Notes the record of the first event of a lane.
    pub fn read(&mut self, key: EventKey, record: Record) {
        if let Some(lane) = self.lanes.get_mut(&key.interaction)
            && lane.events.front() == Some(&key)
        {
            lane.record = Some(Box::new(record));
        }
    }

    /// Whether the oldest ready lane is read.
    pub fn first_is_read(&self) -> bool {
        self.ready
            .first()
            .is_some_and(|(_, hash)| self.lanes[hash].record.is_some())
    }

    /// Takes the oldest ready event whose record is read, to send it.
    pub fn take_oldest(&mut self) -> Option<(EventKey, Record)> {
        let hash = self
            .ready
            .iter()
            .map(|(_, h)| *h)
            .find(|h| self.lanes[h].record.is_some())?;
        self.take(hash)
    }

    /// Takes the ready event that was tried least, among those read: a probe
    /// with an event that is refused for its own sake would prove nothing.
    pub fn take_least_tried(&mut self, among: usize) -> Option<(EventKey, Record)> {
        let firsts = self.ready.iter().take(among);
        let tried =
            firsts.filter_map(|(ns, h)| Some((self.lanes[h].record.as_ref()?.tries, *ns, *h)));
        let (_, _, hash) = tried.min()?;
        self.take(hash)
    }

    fn take(&mut self, hash: u64) -> Option<(EventKey, Record)> {
        self.set(hash, State::InFlight);
        let lane = self.lanes.get_mut(&hash)?;
        Some((*lane.events.front()?, *lane.record.take()?))
    }

    /// The lane of `key` may send again from `at` on.
    pub fn sleep(&mut self, key: EventKey, at: Moment) {
        if self
            .lanes
            .get(&key.interaction)
            .is_some_and(|lane| lane.events.is_empty())
        {
            self.lanes.remove(&key.interaction); // purged while it was in flight
        } else {
            self.set(key.interaction, State::Asleep(at));
        }
    }

    /// `key` has left the outbox.
    pub fn remove(&mut self, key: EventKey) {
        self.set(key.interaction, State::InFlight); // out of both sets while it changes
        let Some(lane) = self.lanes.get_mut(&key.interaction) else {
            return;
        };
        lane.events.retain(|k| *k != key);
        lane.record = None;
        if lane.events.is_empty() {
            self.lanes.remove(&key.interaction);
        } else {
            self.set(key.interaction, State::Ready);
        }
    }

    /// Takes a whole lane out.
    pub fn remove_lane(&mut self, hash: u64) -> Vec<EventKey> {
        self.set(hash, State::InFlight);
        self.lanes
            .remove(&hash)
            .map_or_else(Vec::new, |lane| lane.events.into())
    }
}

/// The start goes first, whatever the clocks of its writers said.
fn start_first(events: &mut VecDeque<EventKey>) {
    if events.front().is_some_and(|e| e.stage != Stage::Start)
        && let Some(i) = events.iter().position(|e| e.stage == Stage::Start)
        && let Some(start) = events.remove(i)
    {
        events.push_front(start);
    }
}
