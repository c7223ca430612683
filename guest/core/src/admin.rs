//! Looking at the outbox, and changing it by hand.
//!
//! Redrive, purge and dropping the oldest take the lease first, so that none
//! of their events is being sent meanwhile, and work on whole interactions.

use crate::control::{Control, Held, KEY, Mode};
use crate::event::Action;
use crate::moves::{self, Listing, next_key};
use crate::outbox::{EventKey, Place, Record, bytes, interaction_hash, names};
use crate::prelude::*;
use crate::sort::sort;
use crate::store::{Now, Random, Store, StoreError};
use crate::text::{decimal, errors_by_message};
use core::time::Duration;

/// Most entries of a page.
pub const MAX_PAGE: usize = 1_000;

/// How many entries a page has for which so many were asked.
#[must_use]
pub fn page_limit(asked: usize) -> usize {
    asked.clamp(1, MAX_PAGE)
}

/// Records moved at once.
const MOVE_BATCH: usize = 64;

/// Why the outbox was not changed, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminError {
    /// Another instance is delivering.
    Busy {
        /// Who.
        holder: String,
        /// How long its lease holds, unless it is renewed.
        free_in: Duration,
    },
    /// The store failed.
    Store(StoreError),
}

impl AdminError {
    /// Why, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Busy { holder, free_in } => [
                holder,
                " is delivering just now; try again in ",
                &decimal(free_in.as_millis() as u64),
                " ms",
            ]
            .concat(),
            Self::Store(error) => error.message(),
        }
    }
}

errors_by_message!(AdminError);

impl From<StoreError> for AdminError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether events are sent, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// Normally.
    Closed,
    /// Not until the backoff ends.
    Open,
    /// The backoff is over: the next send is a probe.
    HalfOpen,
    /// Key or endpoint is wrong.
    Paused,
}

/// The state of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Events that wait.
    pub waiting: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Age of the oldest waiting event.
    pub oldest_age: Option<Duration>,
    /// Whether events are sent.
    pub breaker: Breaker,
    /// Why not, when paused.
    pub paused_reason: Option<String>,
    /// When the next try is allowed; none when at once.
    pub next_attempt: Option<Duration>,
    /// Events delivered, all in all.
    pub delivered_total: u64,
    /// Sends beyond the first of an event, all in all.
    pub resent_total: u64,
    /// Events dropped to make room, all in all.
    pub dropped_total: u64,
    /// Who delivers just now.
    pub lease_holder: Option<String>,
}

/// An event in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key in the store.
    pub key: String,
    /// When it was accepted, in nanoseconds since 1970-01-01 UTC.
    pub accepted_ns: u64,
    /// Size of its body, in bytes.
    pub size: u64,
    /// Its record; none when it cannot be read.
    pub record: Option<Record>,
}

impl Entry {
    /// What it reports.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        self.record.as_ref().map(|r| r.action)
    }
}

/// Which events to purge. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PurgeFilter {
    /// Only dead letters.
    pub dead_letters: bool,
    /// Only interactions whose newest event is at least this old.
    pub older_than: Option<Duration>,
    /// Only this interaction.
    pub interaction_id: Option<String>,
}

/// By interaction, and within one by age.
fn by_interaction(a: &EventKey, b: &EventKey) -> bool {
    (a.interaction, a.ns, a.random) < (b.interaction, b.ns, b.random)
}

/// The state of the outbox.
pub fn status(store: &mut dyn Store, now: Now) -> Result<Status, StoreError> {
    let Listing { waiting, dead, .. } = moves::list(store)?;
    // Looking changes nothing: an absent record is not created.
    let control = match store.get(KEY)? {
        Some(raw) => Held::read(raw).control,
        None => Control::default(),
    };
    let held = control.held_for(now);
    Ok(Status {
        waiting: waiting.len() as u64,
        dead_letters: dead.len() as u64,
        bytes: bytes(&waiting) + bytes(&dead),
        oldest_age: waiting
            .first()
            .map(|k| Duration::from_nanos(now.wall_ns.saturating_sub(k.ns))),
        breaker: match control.mode {
            Mode::Closed => Breaker::Closed,
            Mode::Paused => Breaker::Paused,
            Mode::Open if held.is_zero() => Breaker::HalfOpen,
            Mode::Open => Breaker::Open,
        },
        paused_reason: (control.mode == Mode::Paused).then(|| control.reason.clone()),
        next_attempt: (!held.is_zero()).then_some(held),
        delivered_total: control.delivered_total,
        resent_total: control.resent_total,
        dropped_total: control.dropped_total,
        lease_holder: control.leased(now).then_some(control.holder),
    })
}

/// One page of events, oldest first: at most `limit` after the key `cursor`,
/// and the cursor of the next page.
pub fn list(
    store: &mut dyn Store,
    place: Place,
    limit: usize,
    cursor: Option<&str>,
) -> Result<(Vec<Entry>, Option<String>), StoreError> {
    let after = cursor.and_then(EventKey::parse).map(|(_, key)| key);
    let limit = page_limit(limit);
    let Listing { waiting, dead, .. } = moves::list(store)?;
    let all = if place == Place::Waiting {
        waiting
    } else {
        dead
    };
    let mut keys = all
        .into_iter()
        .filter(|key| after.is_none_or(|after| *key > after));
    let page: Vec<_> = keys.by_ref().take(limit).collect();
    let next = page
        .last()
        .filter(|_| keys.next().is_some())
        .map(|key| key.name(place));
    let names = names(&page, place);
    let values = store.get_many(&names)?;
    let entries = page
        .into_iter()
        .zip(names)
        .zip(values)
        .filter_map(|((key, name), value)| {
            let value = value?; // delivered meanwhile
            Some(Entry {
                key: name,
                accepted_ns: key.ns,
                size: key.size.into(),
                record: Record::decode(&value).ok(),
            })
        });
    Ok((entries.collect(), next))
}

/// The body of the event under `name`; none when there is no such event, or
/// its record cannot be read.
pub fn show(store: &mut dyn Store, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    if EventKey::parse(name).is_none() {
        return Ok(None);
    }
    let value = store.get(name)?;
    Ok(value
        .and_then(|v| Record::decode(&v).ok())
        .map(|record| record.body))
}

/// Takes the lease, to change the outbox under it.
fn take_lease(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
) -> Result<Held, AdminError> {
    let busy = |holder, free_in: Duration| AdminError::Busy {
        holder,
        free_in: free_in.max(Duration::from_millis(1)),
    };
    let Some(mut held) = Held::load(store, random)? else {
        return Err(busy("another instance".into(), Duration::ZERO));
    };
    held.clamp(store, random, now, Duration::MAX)?;
    if !held.acquire(store, random, "administration", now)? {
        let left = held.control.lease_left(now);
        return Err(busy(held.control.holder, left));
    }
    Ok(held)
}

/// Lets the lease go, whatever came of the change. Should this fail, it runs out.
fn let_lease_go(
    mut held: Held,
    store: &mut dyn Store,
    random: &mut dyn Random,
) -> Result<(), StoreError> {
    held.control.holder.clear();
    for _ in 0..3 {
        if held.swap(store, random)? || !held.only_knocked(store)? {
            break;
        }
    }
    Ok(())
}

/// Puts dead letters back into the queue, in order, as if they were never
/// tried: those of `interactions`, or all when it is empty. Returns how many.
pub fn redrive(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
    interactions: &[String],
) -> Result<u32, AdminError> {
    let wanted: Vec<_> = interactions.iter().map(|id| interaction_hash(id)).collect();
    let mut held = take_lease(store, random, now)?;
    let moved = put_back(store, &wanted);
    held.control.refusals = 0;
    let_lease_go(held, store, random)?;
    Ok(moved?)
}

fn put_back(store: &mut dyn Store, wanted: &[u64]) -> Result<u32, StoreError> {
    let [_, mut keys] = moves::settle(store)?;
    keys.retain(|key| wanted.is_empty() || wanted.contains(&key.interaction));
    // An interaction at a time: a crash in between leaves each whole, in one
    // place or the other.
    sort(&mut keys, by_interaction);
    let mut moved = 0;
    for batch in keys.chunks(MOVE_BATCH) {
        let names = names(batch, Place::Dead);
        let values = store.get_many(&names)?;
        let mut back = Vec::with_capacity(batch.len());
        let mut gone = Vec::with_capacity(batch.len());
        for ((key, name), value) in batch.iter().zip(names).zip(values) {
            // What cannot be read cannot be sent either: it stays.
            let Some(Ok(record)) = value.map(|v| Record::decode(&v)) else {
                continue;
            };
            let fresh = Record {
                tries: 0,
                charged: 0,
                first_failure_ns: 0,
                not_before_ns: 0,
                delivered_mark: 0,
                last_failure: String::new(),
                ..record
            };
            back.push((next_key(*key).name(Place::Waiting), fresh.encode()));
            gone.push(name);
        }
        store.set_many(&back)?;
        store.delete_many(&gone)?;
        moved += gone.len() as u32;
    }
    Ok(moved)
}

/// Deletes the events that `filter` names, by whole interactions, and returns
/// how many.
pub fn purge(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
    filter: &PurgeFilter,
) -> Result<u32, AdminError> {
    let wanted = filter.interaction_id.as_deref().map(interaction_hash);
    let newest_allowed = filter.older_than.map(|age| {
        now.wall_ns
            .saturating_sub(u64::try_from(age.as_nanos()).unwrap_or(u64::MAX))
    });
    let mut held = take_lease(store, random, now)?;
    let purged = purge_events(
        store,
        &mut held.control,
        filter.dead_letters,
        wanted,
        newest_allowed,
    );
    let_lease_go(held, store, random)?;
    Ok(purged?)
}

/// `wanted`: only this interaction; `newest_allowed`: only what is no newer.
fn purge_events(
    store: &mut dyn Store,
    control: &mut Control,
    dead_letters: bool,
    wanted: Option<u64>,
    newest_allowed: Option<u64>,
) -> Result<u32, StoreError> {
    let [waiting, dead] = moves::settle(store)?;
    let mut doomed = both(if dead_letters { &[] } else { &waiting }, &dead);
    let mut kept = Vec::new();
    for events in doomed.chunk_by(|(_, a), (_, b)| a.interaction == b.interaction) {
        let interaction = events[0].1.interaction;
        let newest = events.iter().map(|(_, key)| key.ns).max().unwrap_or(0);
        if wanted.is_some_and(|w| w != interaction) || newest_allowed.is_some_and(|a| newest > a) {
            kept.push(interaction);
        }
    }
    doomed.retain(|(_, key)| kept.binary_search(&key.interaction).is_err());
    delete(store, control, &doomed)?;
    Ok(doomed.len() as u32)
}

/// Drops the oldest interactions until fewer events and no more bytes than
/// `keep` are left; false when another instance delivers, so that nothing could be dropped.
pub fn drop_oldest(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
    keep: (u64, u64),
) -> Result<bool, StoreError> {
    let mut held = match take_lease(store, random, now) {
        Ok(held) => held,
        Err(AdminError::Busy { .. }) => return Ok(false),
        Err(AdminError::Store(e)) => return Err(e),
    };
    held.control.listed_ns = now.wall_ns;
    let dropped = drop_events(store, &mut held.control, keep);
    let_lease_go(held, store, random)?;
    dropped?;
    Ok(true)
}

fn drop_events(
    store: &mut dyn Store,
    control: &mut Control,
    keep: (u64, u64),
) -> Result<(), StoreError> {
    let [waiting, dead] = moves::settle(store)?;
    (control.waiting, control.waiting_bytes) = (waiting.len() as u64, bytes(&waiting));
    (control.dead, control.dead_bytes) = (dead.len() as u64, bytes(&dead));
    let all = both(&waiting, &dead);
    // Whole interactions, the one with the oldest event first.
    let mut oldest: Vec<_> = all
        .chunk_by(|(_, a), (_, b)| a.interaction == b.interaction)
        .filter_map(|events| {
            events
                .iter()
                .map(|(_, key)| (key.ns, key.interaction))
                .min()
        })
        .collect();
    sort(&mut oldest, |a, b| a < b);
    let mut doomed = Vec::new();
    let mut left = (all.len(), control.waiting_bytes + control.dead_bytes);
    for (_, interaction) in oldest {
        if (left.0 as u64) < keep.0 && left.1 <= keep.1 {
            break;
        }
        let from = all.partition_point(|(_, key)| key.interaction < interaction);
        let events = all[from..]
            .iter()
            .take_while(|(_, key)| key.interaction == interaction);
        for event in events {
            left.0 -= 1;
            left.1 -= u64::from(event.1.size);
            doomed.push(*event);
        }
    }
    delete(store, control, &doomed)?;
    control.dropped_total += doomed.len() as u64;
    Ok(())
}

/// All events of both places, by interaction.
fn both(waiting: &[EventKey], dead: &[EventKey]) -> Vec<(Place, EventKey)> {
    let waiting = waiting.iter().map(|key| (Place::Waiting, *key));
    let dead = dead.iter().map(|key| (Place::Dead, *key));
    let mut all: Vec<_> = waiting.chain(dead).collect();
    sort(&mut all, |(_, a), (_, b)| by_interaction(a, b));
    all
}

fn delete(
    store: &mut dyn Store,
    control: &mut Control,
    events: &[(Place, EventKey)],
) -> Result<(), StoreError> {
    for batch in events.chunks(1_000) {
        let names: Vec<_> = batch.iter().map(|(place, key)| key.name(*place)).collect();
        store.delete_many(&names)?;
        for (place, key) in batch {
            let (events, bytes) = match place {
                Place::Waiting => (&mut control.waiting, &mut control.waiting_bytes),
                Place::Dead => (&mut control.dead, &mut control.dead_bytes),
            };
            *events = events.saturating_sub(1);
            *bytes = bytes.saturating_sub(key.size.into());
        }
    }
    Ok(())
}
