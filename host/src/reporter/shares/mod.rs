//! The rate, divided over the shards.
//!
//! The component obeys the `rate_limit` that it is made with, and goes on from the sends that its
//! shard's control record has. So a shard's share is changed by replacing the instance that
//! delivers it, between two deliveries. Who has how much lies under the key `shares`, outside the
//! shards, as JSON; it is changed by compare-and-swap only. Its arithmetic, and what it promises,
//! is in [`ledger`].
//!
//! A host delivers a shard only while it has a [`Claim`] to it, from the first thing to send to
//! the last. Claims are per host, so that no two hosts use one; the component's lease goes on
//! behind them, and keeps out whoever changes the outbox by hand.
//!
//! A claim is good for 6 s from its renewal, before a delivery; a delivery sends for 250 ms. Should
//! a host stand still between the two, or for longer than that, a [`Fence`] around the store lets
//! no permits be reserved any more.

mod fence;
mod ledger;

pub(super) use fence::Fence;

use super::ReportError;
use crate::engine::Delivery;
use crate::store::{Store, StoreError};
use ledger::{Entry, Ledger, Rate};
use mcp_reporter_core::control::{self, Control};
use mcp_reporter_core::settings::Settings;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Where the record lies.
const KEY: &str = "shares";
/// How old what is known of the record may be: the shards of a host look one after the other.
/// What others wrote meanwhile concerns no claim that is this host's and good.
const KNOWN_FOR: Duration = Duration::from_millis(100);
/// How often a swap may fail because another host wrote, before the turn is over.
const TRIES: u32 = 20;
/// How often to look whether the share has changed, with something to send.
const LOOK: Duration = Duration::from_millis(200);
/// How often to look whether there are permits, with none.
const LOOK_FOR_ANY: Duration = Duration::from_millis(50);
/// How often a share may grow: each time an instance is replaced, and lists its events anew.
const GROWTH: Duration = Duration::from_millis(300);

/// Who may send how much, as one host sees it.
pub(super) struct Shares {
    /// That of all shards together.
    store: Arc<dyn Store>,
    shards: Vec<Arc<dyn Store>>,
    /// Names this host, or this start of it.
    host: u64,
    rate: Rate,
    /// The record as it was read or written last, and when.
    known: tokio::sync::Mutex<Option<(Instant, Option<Vec<u8>>)>>,
}

/// What a host may do with a shard.
enum Turn {
    /// Deliver it, with so many permits, 0 for none; the claim is good until then.
    Own { permits: u32, until: Instant },
    /// Another host does, for so long.
    Elsewhere(Duration),
}

/// Wall and monotonic clock at one moment.
fn now() -> (u64, Instant) {
    let since_epoch = UNIX_EPOCH.elapsed().unwrap_or_default();
    // Nanoseconds since 1970 fit in 64 bits until the year 2554.
    (since_epoch.as_nanos() as u64, Instant::now())
}

impl Shares {
    /// Of the outbox in `store`, whose shards are `shards`; none when `settings` lift the
    /// throttle, so that there is nothing to divide.
    pub fn new(
        store: Arc<dyn Store>,
        shards: Vec<Arc<dyn Store>>,
        settings: &Settings,
    ) -> Option<Arc<Self>> {
        let rate = Rate {
            limit: settings.rate_limit,
            period: settings.rate_period,
        };
        (rate.limit > 0).then(|| {
            Arc::new(Self {
                store,
                shards,
                // Seeded by the system. 0 stands for nobody.
                host: RandomState::new().hash_one(0).max(1),
                rate,
                known: tokio::sync::Mutex::new(None),
            })
        })
    }

    async fn enter(&self, shard: usize, may_grow: bool) -> Result<Turn, StoreError> {
        let mut log = None;
        for _ in 0..TRIES {
            let change = |ledger: &mut Ledger, wall: u64| {
                let log = log.as_deref();
                ledger.enter(shard, self.host, wall, self.rate, may_grow, log)
            };
            let Some((entry, wall, at)) = self.change(change).await? else {
                continue;
            };
            let left = |until: u64| Duration::from_nanos(until.saturating_sub(wall));
            return Ok(match entry {
                Entry::Own { permits, until } => Turn::Own {
                    permits,
                    until: at + left(until),
                },
                Entry::Elsewhere { until } => Turn::Elsewhere(left(until)),
                Entry::TellLog => {
                    log = Some(self.log(shard).await?);
                    continue;
                }
            });
        }
        // Many hosts at once: as if there were nothing to be had, so it tries again soon.
        Ok(Turn::Own {
            permits: 0,
            until: Instant::now(),
        })
    }

    async fn leave(&self, shard: usize) -> Result<(), StoreError> {
        let log = self.log(shard).await.ok();
        for _ in 0..TRIES {
            let change = |ledger: &mut Ledger, wall: u64| {
                ledger.leave(shard, self.host, wall, self.rate, log.as_deref());
            };
            if self.change(change).await?.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Reads the record, changes it, and writes it if that made a difference. None when another
    /// host wrote meanwhile. Returns the time by which it was changed as well.
    async fn change<T>(
        &self,
        change: impl FnOnce(&mut Ledger, u64) -> T,
    ) -> Result<Option<(T, u64, Instant)>, StoreError> {
        let mut known = self.known.lock().await;
        let raw = match known.take() {
            Some((at, raw)) if at.elapsed() < KNOWN_FOR => raw,
            _ => self.store.get(KEY).await?,
        };
        let read = raw
            .as_deref()
            .and_then(|raw| Ledger::decode(raw, self.shards.len()));
        let is_new = read.is_none();
        let used = is_new && self.used(raw.is_some()).await?;
        let read_at = Instant::now();
        let (wall, at) = now();
        let mut ledger =
            read.unwrap_or_else(|| Ledger::new(self.shards.len(), used, wall, self.rate));
        let pulled_back = ledger.settle(wall, self.rate);
        let before = ledger.clone();
        let result = change(&mut ledger, wall);
        if ledger == before && !pulled_back && !is_new {
            *known = Some((read_at, raw));
            return Ok(Some((result, wall, at)));
        }
        let new = ledger.encode();
        let swapped = self
            .store
            .compare_and_swap(KEY.to_owned(), raw, new.clone())
            .await?;
        *known = swapped.then_some((read_at, Some(new)));
        Ok(swapped.then_some((result, wall, at)))
    }

    /// Whether anything may have been sent from this outbox, where no record says so.
    async fn used(&self, has_record: bool) -> Result<bool, StoreError> {
        let mut used = has_record || self.store.get(control::KEY).await?.is_some();
        for shard in &self.shards {
            used = used || shard.get(control::KEY).await?.is_some();
        }
        Ok(used)
    }

    /// From when the sends of a shard count. As if all its permits were used just now, when its
    /// control record cannot be read.
    async fn log(&self, shard: usize) -> Result<Vec<u64>, StoreError> {
        let slack = self.rate.slack().as_nanos() as u64;
        let Some(raw) = self.shards[shard].get(control::KEY).await? else {
            return Ok(Vec::new());
        };
        let Some(control) = Control::decode(&raw) else {
            let (wall, _) = now();
            return Ok(vec![wall.saturating_add(slack); self.rate.limit as usize]);
        };
        let mut log = control.log;
        // What a host that died had reserved counts as sent, without an answer.
        let reserved = control.reserved.min(self.rate.limit) as usize;
        let until = control.reserved_until.saturating_add(slack);
        log.resize(log.len() + reserved, until);
        Ok(log)
    }
}

/// A host's claim to one shard.
pub(super) struct Claim {
    shares: Arc<Shares>,
    shard: usize,
    /// Permits of the instance that delivers.
    permits: u32,
    /// When they were changed.
    changed: Instant,
    /// Until when there is nothing to send, unless something arrives or they are changed.
    quiet_until: Instant,
    /// What the last delivery came to.
    last: Delivery,
    fence: Arc<Mutex<Instant>>,
}

/// What to do about a shard.
pub(super) enum Go {
    /// Deliver it, by the instance there is, or by a new one if its share has changed.
    Deliver {
        /// Whether it has.
        changed: bool,
    },
    /// Nothing now.
    Later(Delivery),
}

/// What a delivery comes to that does nothing.
fn nothing(next: Duration, elsewhere: bool) -> Delivery {
    Delivery {
        delivered: 0,
        failed: 0,
        dead_lettered: 0,
        waiting: 0,
        next_ms: Some(millis(next)),
        held: true,
        lease_held_elsewhere: elsewhere,
    }
}

/// Not before the time has passed.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

impl Claim {
    /// None is held yet.
    pub fn new(shares: Arc<Shares>, shard: usize) -> Self {
        let now = Instant::now();
        Self {
            shares,
            shard,
            permits: 0,
            changed: now,
            quiet_until: now,
            last: nothing(Duration::ZERO, false),
            fence: Arc::new(Mutex::new(now)),
        }
    }

    /// Permits of the instance that delivers, from 1.
    pub fn permits(&self) -> u32 {
        self.permits
    }

    /// Until when permits may be reserved.
    pub fn fence(&self) -> Arc<Mutex<Instant>> {
        self.fence.clone()
    }

    /// Something arrived, or somebody asks.
    pub fn wake(&mut self) {
        self.quiet_until = Instant::now();
    }

    /// Before a delivery.
    pub async fn enter(&mut self) -> Result<Go, ReportError> {
        let may_grow = self.changed.elapsed() >= GROWTH;
        let turn = self.shares.enter(self.shard, may_grow).await;
        let (permits, until) = match turn.map_err(|e| ReportError::Storage(e.to_string()))? {
            Turn::Own { permits, until } => (permits, until),
            Turn::Elsewhere(left) => {
                self.permits = 0;
                return Ok(Go::Later(nothing(left, true)));
            }
        };
        *self.fence.lock().unwrap_or_else(PoisonError::into_inner) = until;
        let changed = permits != self.permits;
        if changed {
            self.permits = permits;
            self.changed = Instant::now();
        }
        if permits == 0 {
            return Ok(Go::Later(nothing(LOOK_FOR_ANY, false)));
        }
        let quiet = self.quiet_until.saturating_duration_since(Instant::now());
        if !changed && !quiet.is_zero() {
            return Ok(Go::Later(Delivery {
                next_ms: Some(millis(quiet.min(LOOK))),
                delivered: 0,
                failed: 0,
                dead_lettered: 0,
                ..self.last
            }));
        }
        Ok(Go::Deliver { changed })
    }

    /// After a delivery: keeps the claim while there is more to send soon.
    pub async fn after(
        &mut self,
        result: Result<Delivery, ReportError>,
    ) -> Result<Delivery, ReportError> {
        let window = self.shares.rate.longest();
        let next = match &result {
            Ok(done) => done.next_ms.map(Duration::from_millis),
            Err(_) => None,
        };
        let Some(next) = next.filter(|next| *next <= window) else {
            self.leave().await;
            return result;
        };
        result.map(|done| {
            self.last = done;
            self.quiet_until = Instant::now() + next;
            Delivery {
                next_ms: Some(millis(next.min(LOOK))),
                ..done
            }
        })
    }

    /// Gives the claim up. Should the store fail, it runs out by itself.
    pub async fn leave(&mut self) {
        self.permits = 0;
        self.wake();
        if let Err(failed) = self.shares.leave(self.shard).await {
            tracing::debug!("a share of the rate was not given up: {failed}");
        }
    }
}

#[cfg(test)]
mod tests;
