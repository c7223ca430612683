//! The control record: what instances tell each other.
//!
//! It lies under [`KEY`] and is only ever changed by compare-and-swap. It says
//! who delivers (the lease), what was sent lately (the permits of the current
//! window), how the coordinator fares (breaker, pause, `Retry-After`), and how
//! much lies in the outbox (as of the last listing).
//!
//! Times in it are wall clock, since instances share no other. A time further
//! ahead than its own maximum is clamped to that maximum when read, so that a
//! stepped clock cannot stop delivery.

use crate::backoff;
use crate::outbox::{Reader, checksum, cut};
use crate::prelude::*;
use crate::store::{Now, Random, Store, StoreError};
use crate::throttle::Moment;
use core::time::Duration;

/// Where the control record lies.
pub const KEY: &str = "control";
/// Counts those who wanted to create it. Never shares a key with a `set`:
/// some stores break for good on that.
pub const CREATION_KEY: &str = "control.made";
/// How long a lease holds.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often it is renewed.
pub const RENEWAL: Duration = Duration::from_secs(2);
/// After so many transient failures in a row the breaker opens.
pub const BREAKER_FAILURES: u32 = 5;
/// After so many different events refused in a row the queue pauses.
pub const REFUSALS: u32 = 5;

const VERSION: u8 = 1;
const MAX_TEXT: usize = 300;

/// Whether events are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Normally.
    #[default]
    Closed,
    /// Not until the backoff ends: the coordinator fails.
    Open,
    /// Only a probe at the cap of the backoff: key or endpoint is wrong.
    Paused,
}

/// The control record. Times are wall clock in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Makes every version of the record different, byte for byte.
    pub nonce: u64,
    /// Names the lease taken last. Drawn anew for each: a count would start over, and repeat, after
    /// a damaged record.
    pub epoch: u64,
    /// Who holds the lease; empty when nobody.
    pub holder: String,
    /// When the lease ends.
    pub lease_until: u64,
    /// Somebody wanted to deliver while the lease was held.
    pub knocked: bool,
    /// Whether events are sent.
    pub mode: Mode,
    /// Why they are not, while paused.
    pub reason: String,
    /// When the next probe may go, unless `mode` is closed.
    pub retry_at: u64,
    /// Transient failures in a row.
    pub failures: u32,
    /// Events refused in a row.
    pub refusals: u32,
    /// Until when a `Retry-After` holds the whole queue.
    pub hold_until: u64,
    /// When past sends of the current window count from.
    pub log: Vec<u64>,
    /// Permits reserved and not known to be used: they count from `reserved_until`.
    pub reserved: u32,
    /// The latest moment a reserved permit is used.
    pub reserved_until: u64,
    /// When the last listing began; an event stamped later is not in the counts.
    pub listed_ns: u64,
    /// Waiting events.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// Dead letters.
    pub dead: u64,
    /// Their bytes.
    pub dead_bytes: u64,
    /// Events delivered, all in all.
    pub delivered_total: u64,
    /// Sends beyond the first of an event, all in all.
    pub resent_total: u64,
    /// Events dropped to make room, all in all.
    pub dropped_total: u64,
}

impl Control {
    /// What is stored as 4 bytes.
    fn small(&mut self) -> [&mut u32; 3] {
        [&mut self.failures, &mut self.refusals, &mut self.reserved]
    }

    /// What is stored as 8 bytes.
    fn large(&mut self) -> [&mut u64; 14] {
        [
            &mut self.nonce,
            &mut self.epoch,
            &mut self.lease_until,
            &mut self.retry_at,
            &mut self.hold_until,
            &mut self.reserved_until,
            &mut self.listed_ns,
            &mut self.waiting,
            &mut self.waiting_bytes,
            &mut self.dead,
            &mut self.dead_bytes,
            &mut self.delivered_total,
            &mut self.resent_total,
            &mut self.dropped_total,
        ]
    }

    fn encode(&mut self) -> Vec<u8> {
        let mut out = vec![
            VERSION,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            self.knocked.into(),
            self.mode as u8,
        ];
        for n in &self.small() {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in &self.large() {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for text in [&self.holder, &self.reason] {
            let text = cut(text, MAX_TEXT);
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        for at in &self.log {
            out.extend_from_slice(&at.to_le_bytes());
        }
        let sum = checksum(&out[9..]);
        out[1..9].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a stored record; none when it is damaged or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader { bytes };
        if r.u8()? != VERSION || r.u64()? != checksum(r.bytes) {
            return None;
        }
        let mut control = Self {
            knocked: r.u8()? != 0,
            mode: match r.u8()? {
                0 => Mode::Closed,
                1 => Mode::Open,
                2 => Mode::Paused,
                _ => return None,
            },
            ..Self::default()
        };
        for n in &mut control.small() {
            **n = r.u32()?;
        }
        for n in &mut control.large() {
            **n = r.u64()?;
        }
        for text in [&mut control.holder, &mut control.reason] {
            let len = r.u16()?;
            *text = r.text(len)?;
        }
        while !r.bytes.is_empty() {
            control.log.push(r.u64()?);
        }
        Some(control)
    }

    /// Pulls times that lie further ahead than their own maximum back to it;
    /// says whether there were any. To be followed by a swap: a clamp that is
    /// not written down would be made anew at each reading, and never pass.
    fn clamp(&mut self, now: Now, window: Duration) -> bool {
        let mut clamped = false;
        let mut pull_back = |until: &mut u64, max: Duration| {
            let latest = now.wall_ns.saturating_add(nanos(max) as u64);
            clamped |= *until > latest;
            *until = (*until).min(latest);
        };
        pull_back(&mut self.lease_until, LEASE);
        pull_back(&mut self.retry_at, backoff::CAP);
        pull_back(&mut self.hold_until, backoff::RETRY_AFTER_CAP);
        pull_back(&mut self.reserved_until, window);
        for at in &mut self.log {
            pull_back(at, window);
        }
        clamped
    }

    /// Whether somebody holds the lease at `now`.
    #[must_use]
    pub fn leased(&self, now: Now) -> bool {
        !self.holder.is_empty() && self.lease_left(now) > Duration::ZERO
    }

    /// How long the lease holds on.
    #[must_use]
    pub fn lease_left(&self, now: Now) -> Duration {
        left(self.lease_until, now, LEASE)
    }

    /// How long nothing may be sent, for whatever reason but the throttle.
    #[must_use]
    pub fn held_for(&self, now: Now) -> Duration {
        let retry = match self.mode {
            Mode::Closed => Duration::ZERO,
            Mode::Open | Mode::Paused => left(self.retry_at, now, backoff::CAP),
        };
        retry.max(left(self.hold_until, now, backoff::RETRY_AFTER_CAP))
    }

    /// Events in the outbox and their bytes, as of the last listing.
    #[must_use]
    pub fn totals(&self) -> (u64, u64) {
        (
            self.waiting + self.dead,
            self.waiting_bytes + self.dead_bytes,
        )
    }
}

/// The time from `now` to `until`, at most `max`.
pub(crate) fn left(until: u64, now: Now, max: Duration) -> Duration {
    Duration::from_nanos(until.saturating_sub(now.wall_ns)).min(max)
}

/// A duration as the core's monotonic arithmetic has it.
pub(crate) fn nanos(d: Duration) -> Moment {
    Moment::try_from(d.as_nanos()).unwrap_or(Moment::MAX / 4)
}

/// The control record as it was read or written last.
#[derive(Debug)]
pub(crate) struct Held {
    pub control: Control,
    /// Swaps tried since the record was read.
    pub swaps: u32,
    raw: Vec<u8>,
}

impl Held {
    /// Reads the record, and creates it where it is absent. None when somebody
    /// else is creating it just now.
    pub fn load(
        store: &mut dyn Store,
        random: &mut dyn Random,
    ) -> Result<Option<Self>, StoreError> {
        if let Some(raw) = store.get(KEY)? {
            return Ok(Some(Self::read(raw)));
        }
        // A swap on an absent key overwrites what another just inserted, in
        // some stores; so one alone creates it. Should that one have died
        // before it did, every hundredth tries in its place.
        let turn = store.increment(CREATION_KEY, 1)?;
        if turn == 1 || turn % 100 == 0 {
            let mut fresh = Control {
                nonce: random.number(),
                ..Control::default()
            };
            store.set(KEY, &fresh.encode())?;
        }
        Ok(store.get(KEY)?.map(Self::read))
    }

    /// Pulls back times that lie too far ahead, for all instances: those of sends to `window`.
    pub fn clamp(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
        window: Duration,
    ) -> Result<(), StoreError> {
        // Whoever wrote meanwhile has a clock of its own to clamp by.
        if self.control.clamp(now, window)
            && !self.swap(store, random)?
            && let Some(raw) = store.get(KEY)?
        {
            *self = Self::read(raw);
        }
        Ok(())
    }

    /// A damaged record counts as an empty one: the next swap replaces it.
    pub fn read(raw: Vec<u8>) -> Self {
        Self {
            control: Control::decode(&raw).unwrap_or_default(),
            swaps: 0,
            raw,
        }
    }

    /// Writes `self.control` if nobody else wrote since; says whether it did.
    pub fn swap(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
    ) -> Result<bool, StoreError> {
        self.swaps += 1;
        self.control.nonce = random.number();
        let new = self.control.encode();
        let swapped = store.compare_and_swap(KEY, &self.raw, &new)?;
        if swapped {
            self.raw = new;
        }
        Ok(swapped)
    }

    /// Takes the lease for `holder`, if it is free; says whether it did.
    pub fn acquire(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        holder: &str,
        now: Now,
    ) -> Result<bool, StoreError> {
        if self.control.leased(now) {
            return Ok(false);
        }
        holder.clone_into(&mut self.control.holder);
        self.control.epoch = random.number();
        self.control.knocked = false;
        self.extend_lease(now);
        self.swap(store, random)
    }

    /// Moves the end of the lease; to be followed by a swap.
    pub fn extend_lease(&mut self, now: Now) {
        self.control.lease_until = now.wall_ns + LEASE.as_nanos() as u64;
    }

    /// After a failed swap: true when the lease is still ours and somebody only
    /// knocked. Our own state then replaces the rest of theirs.
    pub fn only_knocked(&mut self, store: &mut dyn Store) -> Result<bool, StoreError> {
        let Some(raw) = store.get(KEY)? else {
            return Ok(false);
        };
        let theirs = Control::decode(&raw).unwrap_or_default();
        let ours = theirs.epoch == self.control.epoch && !theirs.holder.is_empty();
        if ours {
            self.control.knocked = theirs.knocked;
            self.raw = raw;
        }
        Ok(ours)
    }

    /// Tells the holder of the lease that there is something to deliver. False
    /// when the lease was let go meanwhile.
    pub fn knock(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<bool, StoreError> {
        while self.control.leased(now) {
            if self.control.knocked {
                return Ok(true);
            }
            self.control.knocked = true;
            if self.swap(store, random)? {
                return Ok(true);
            }
            match store.get(KEY)? {
                Some(raw) => *self = Self::read(raw),
                None => return Ok(false),
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall_ns: u64) -> Now {
        Now {
            wall_ns,
            mono_ns: 0,
        }
    }

    #[test]
    fn survives_the_round_trip_and_damage_is_seen() {
        let mut control = Control {
            nonce: 1,
            epoch: 2,
            holder: "host-é".into(),
            knocked: true,
            mode: Mode::Paused,
            reason: "401".into(),
            log: vec![3, 4, 5],
            waiting: 9,
            ..Control::default()
        };
        let bytes = control.encode();
        assert_eq!(Control::decode(&bytes), Some(control));
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 4;
            assert_eq!(Control::decode(&damaged), None, "byte {i}");
            assert_eq!(Control::decode(&bytes[..i]), None, "cut at {i}");
        }
    }

    #[test]
    fn times_too_far_ahead_are_clamped_once_and_then_pass() {
        let year = 365 * 86_400 * 1_000_000_000;
        let mut control = Control {
            holder: "x".into(),
            lease_until: year,
            mode: Mode::Open,
            retry_at: year,
            ..Control::default()
        };
        assert!(control.clamp(at(0), LEASE));
        assert!(!control.clamp(at(0), LEASE));
        assert_eq!(control.lease_left(at(0)), LEASE);
        assert_eq!(control.held_for(at(0)), backoff::CAP);
        assert_eq!(
            control.held_for(at(backoff::CAP.as_nanos() as u64)),
            Duration::ZERO
        );
        control.hold_until = year;
        assert!(control.clamp(at(0), LEASE));
        assert_eq!(control.held_for(at(0)), backoff::RETRY_AFTER_CAP);
    }
}
