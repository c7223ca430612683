//! Looking at the outbox, and changing it by hand.
//!
//! Redrive, purge and dropping the oldest take the lease first, so that none
//! of their events is being sent meanwhile, and work on whole interactions.

use crate::control::{Control, Held, KEY, Mode};
use crate::event::Action;
use crate::outbox::{EventKey, Place, Record, interaction_hash};
use crate::store::{Now, Random, Store, StoreError};
use core::time::Duration;
use std::collections::BTreeMap;
use thiserror::Error;

/// Most entries of a page.
pub const MAX_PAGE: usize = 1_000;
/// Records moved at once.
const MOVE_BATCH: usize = 64;

/// Why the outbox was not changed, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdminError {
    /// Another instance is delivering.
    #[error("{holder} is delivering just now; try again in {} ms", .free_in.as_millis())]
    Busy {
        /// Who.
        holder: String,
        /// How long its lease holds, unless it is renewed.
        free_in: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
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

fn events(store: &mut dyn Store) -> Result<Vec<(Place, EventKey)>, StoreError> {
    let names = store.list_keys()?;
    let mut events: Vec<_> = names
        .iter()
        .filter_map(|name| EventKey::parse(name))
        .collect();
    events.sort_unstable_by_key(|(_, key)| *key);
    Ok(events)
}

/// The state of the outbox. An event in the middle of a move counts in both places.
pub fn status(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
) -> Result<Status, StoreError> {
    let events = events(store)?;
    // Looking changes nothing: an absent record is not created.
    let control = match store.get(KEY)? {
        Some(_) => Held::load(store, random)?
            .map(|held| held.control)
            .unwrap_or_default(),
        None => Control::default(),
    };
    let count = |place| events.iter().filter(|(p, _)| *p == place).count() as u64;
    let oldest = events.iter().find(|(place, _)| *place == Place::Waiting);
    let held = control.held_for(now);
    Ok(Status {
        waiting: count(Place::Waiting),
        dead_letters: count(Place::Dead),
        bytes: events.iter().map(|(_, key)| u64::from(key.size)).sum(),
        oldest_age: oldest.map(|(_, k)| Duration::from_nanos(now.wall_ns.saturating_sub(k.ns))),
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
    let limit = limit.clamp(1, MAX_PAGE);
    let all = events(store)?;
    let mut keys = all
        .into_iter()
        .filter(|(p, key)| *p == place && after.is_none_or(|after| *key > after))
        .map(|(_, key)| key);
    let page: Vec<_> = keys.by_ref().take(limit).collect();
    let next = page
        .last()
        .filter(|_| keys.next().is_some())
        .map(|key| key.name(place));
    let names: Vec<_> = page.iter().map(|key| key.name(place)).collect();
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

/// Runs `change` while holding the lease.
fn with_lease<T>(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
    change: impl FnOnce(&mut dyn Store, &mut Control) -> Result<T, StoreError>,
) -> Result<T, AdminError> {
    let busy = |control: &Control| AdminError::Busy {
        holder: control.holder.clone(),
        free_in: control.lease_left(now).max(Duration::from_millis(1)),
    };
    let Some(mut held) = Held::load(store, random)? else {
        return Err(busy(&Control {
            holder: "another instance".into(),
            ..Control::default()
        }));
    };
    held.clamp(store, random, now)?;
    if !held.acquire(store, random, "administration", now)? {
        return Err(busy(&held.control));
    }
    let result = change(store, &mut held.control);
    // Released whatever came of it; should this fail, the lease runs out.
    held.control.holder.clear();
    for _ in 0..3 {
        if held.swap(store, random)? || !held.only_knocked(store)? {
            break;
        }
    }
    Ok(result?)
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
    with_lease(store, random, now, |store, control| {
        let all = events(store)?;
        let mut keys: Vec<_> = all
            .into_iter()
            .filter(|(place, key)| {
                *place == Place::Dead && (wanted.is_empty() || wanted.contains(&key.interaction))
            })
            .map(|(_, key)| key)
            .collect();
        // An interaction at a time: a crash in between leaves each whole, in one
        // place or the other.
        keys.sort_unstable_by_key(|key| (key.interaction, *key));
        let mut moved = 0;
        for batch in keys.chunks(MOVE_BATCH) {
            let names: Vec<_> = batch.iter().map(|key| key.name(Place::Dead)).collect();
            let values = store.get_many(&names)?;
            let mut back = Vec::with_capacity(batch.len());
            let mut gone = Vec::with_capacity(batch.len());
            for ((key, name), value) in batch.iter().zip(names).zip(values) {
                // What cannot be read cannot be sent either: it stays.
                let Some(Ok(record)) = value.map(|v| Record::decode(&v)) else {
                    continue;
                };
                let fresh = Record {
                    moves: record.moves + 1,
                    tries: 0,
                    charged: 0,
                    first_failure_ns: 0,
                    not_before_ns: 0,
                    delivered_mark: 0,
                    last_failure: String::new(),
                    ..record
                };
                back.push((key.name(Place::Waiting), fresh.encode()));
                gone.push(name);
            }
            store.set_many(&back)?;
            store.delete_many(&gone)?;
            moved += gone.len() as u32;
        }
        control.refusals = 0;
        Ok(moved)
    })
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
    with_lease(store, random, now, |store, control| {
        let mut interactions: BTreeMap<u64, Vec<(Place, EventKey)>> = BTreeMap::new();
        for (place, key) in events(store)? {
            if !filter.dead_letters || place == Place::Dead {
                interactions
                    .entry(key.interaction)
                    .or_default()
                    .push((place, key));
            }
        }
        let mut doomed = Vec::new();
        for (interaction, events) in interactions {
            let newest = events.iter().map(|(_, key)| key.ns).max().unwrap_or(0);
            if wanted.is_none_or(|w| w == interaction) && newest_allowed.is_none_or(|a| newest <= a)
            {
                doomed.extend(events);
            }
        }
        delete(store, control, &doomed)?;
        Ok(doomed.len() as u32)
    })
}

/// Drops the oldest interactions to make room for `want` events and bytes;
/// false when another instance delivers, so that nothing could be dropped.
pub fn drop_oldest(
    store: &mut dyn Store,
    random: &mut dyn Random,
    now: Now,
    want: (u64, u64),
) -> Result<bool, StoreError> {
    let dropped = with_lease(store, random, now, |store, control| {
        let all = events(store)?;
        let mut interactions: BTreeMap<u64, Vec<(Place, EventKey)>> = BTreeMap::new();
        for (place, key) in &all {
            interactions
                .entry(key.interaction)
                .or_default()
                .push((*place, *key));
        }
        let (mut doomed, mut bytes) = (Vec::new(), 0);
        for (_, oldest) in &all {
            if doomed.len() as u64 >= want.0 && bytes >= want.1 {
                break;
            }
            for (place, key) in interactions.remove(&oldest.interaction).unwrap_or_default() {
                bytes += u64::from(key.size);
                doomed.push((place, key));
            }
        }
        control.listed_ns = now.wall_ns;
        let sum = |p: Place| {
            let of = all.iter().filter(|(place, _)| *place == p);
            of.fold((0, 0), |(n, b), (_, key)| (n + 1, b + u64::from(key.size)))
        };
        (control.waiting, control.waiting_bytes) = sum(Place::Waiting);
        (control.dead, control.dead_bytes) = sum(Place::Dead);
        delete(store, control, &doomed)?;
        control.dropped_total += doomed.len() as u64;
        Ok(())
    });
    match dropped {
        Ok(()) => Ok(true),
        Err(AdminError::Busy { .. }) => Ok(false),
        Err(AdminError::Store(e)) => Err(e),
    }
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
