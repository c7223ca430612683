//! Who may send how much: the arithmetic, without a store and without a clock.
//!
//! The [`Ledger`] says of each shard which host delivers it, how many permits of the rate it has
//! (its *claim*), and until when that is good; and which permits were given up and still count,
//! because what was sent with them has not left the window. What always holds:
//!
//! > claims + permits that still count ≤ `rate_limit`
//!
//! A shard with a claim of `c` sends at most `c` in any window, by the throttle of the component.
//! When its claim falls from `c` to `d` and its log has `k` sends, it goes on to occupy `k` permits
//! until the oldest `k - d` of them have left the window: those are noted as still counting, each
//! until its moment. A claim that runs out, because its host died, counts for as long as anything
//! that was sent in its last moment does.
//!
//! What is noted of a shard's own sends it may take back as claim: its log counts them anyway.

use mcp_reporter_core::control::LEASE;
use mcp_reporter_core::throttle;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a claim is good from its renewal: as long as the component's lease.
pub(super) const CLAIM: Duration = LEASE;
/// When a claim is renewed: with so much of it left.
const RENEWAL: Duration = Duration::from_secs(4);
/// How long a host's wish for a shard is kept.
const WISH: Duration = Duration::from_secs(2);
/// Permits whose moments lie so close are noted together: this part of the window.
const GRAIN: u32 = 64;

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// `rate_limit`, from 1.
    pub limit: u32,
    /// `rate_period`.
    pub period: Duration,
}

impl Rate {
    /// How long a send counts from the moment that the component's log has.
    pub fn window(&self) -> Duration {
        throttle::window(self.period)
    }

    /// How long a send may begin to count after it was made: when it was answered, or after this.
    pub fn slack(&self) -> Duration {
        throttle::slack(self.period)
    }

    /// How long a send may count from when it was made.
    pub fn longest(&self) -> Duration {
        self.window() + self.slack()
    }
}

/// A shard.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    /// Who delivers it; 0 for nobody.
    host: u64,
    /// Its claim.
    permits: u32,
    /// Until when that is good, wall clock in nanoseconds.
    until: u64,
    /// Who has fewer shards and wants this one; 0 for nobody.
    wished: u64,
    /// Until when.
    wished_until: u64,
}

/// Permits that were given up and still count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counting {
    /// Whose they were; none where that is unknown.
    shard: Option<usize>,
    permits: u32,
    /// Until when, wall clock in nanoseconds.
    until: u64,
}

/// The record. Only ever changed by compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// Makes every version different, byte for byte.
    version: u64,
    shares: Vec<Share>,
    counting: Vec<Counting>,
}

/// What a host that wants to deliver a shard is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// The shard is its own, with so many permits, 0 when there are none to be had yet; the
    /// claim is good until then.
    Own { permits: u32, until: u64 },
    /// Another host delivers it; its claim is good until then, unless it is renewed.
    Elsewhere { until: u64 },
    /// It is to have fewer permits: ask again with the log of its sends.
    TellLog,
}

impl Ledger {
    /// Of an outbox of which nothing was ever sent, or nothing is known: then all permits count
    /// for as long as they can.
    pub fn new(shards: usize, used: bool, now: u64, rate: Rate) -> Self {
        let all = Counting {
            shard: None,
            permits: rate.limit,
            until: now.saturating_add(nanos(rate.longest())),
        };
        Self {
            version: 0,
            shares: vec![Share::default(); shards],
            counting: used.then_some(all).into_iter().collect(),
        }
    }

    /// Reads a record of so many shards; none when it is not one.
    pub fn decode(bytes: &[u8], shards: usize) -> Option<Self> {
        let ledger: Self = serde_json::from_slice(bytes).ok()?;
        (ledger.shares.len() == shards).then_some(ledger)
    }

    /// The bytes to store, as a new version.
    pub fn encode(&mut self) -> Vec<u8> {
        self.version = self.version.wrapping_add(1);
        // Numbers and lists of them: there is nothing in it that JSON cannot say.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Lets go of what has run out. Times further ahead than they can be, because a clock was set
    /// back, are pulled back; says whether there were any. That must be written down: a time that
    /// is pulled back anew at each reading never passes.
    pub fn settle(&mut self, now: u64, rate: Rate) -> bool {
        let mut pulled_back = false;
        let mut pull_back = |until: &mut u64, most: Duration| {
            let latest = now.saturating_add(nanos(most));
            pulled_back |= *until > latest;
            *until = latest.min(*until);
        };
        for (shard, share) in self.shares.iter_mut().enumerate() {
            pull_back(&mut share.until, CLAIM);
            pull_back(&mut share.wished_until, WISH);
            if share.wished_until <= now {
                share.wished = 0;
            }
            if share.host != 0 && share.until <= now {
                let until = share.until.saturating_add(nanos(rate.longest()));
                self.counting.push(Counting {
                    shard: Some(shard),
                    permits: share.permits,
                    until,
                });
                *share = Share::default();
            }
        }
        for counting in &mut self.counting {
            // They were rounded up.
            pull_back(&mut counting.until, rate.longest() + rate.window() / GRAIN);
        }
        self.counting.retain(|c| c.permits > 0 && c.until > now);
        pulled_back
    }

    /// `host` is about to deliver `shard`, or wants to, in a settled ledger. `may_grow` says whether the claim may
    /// become larger than it is; one of nothing always may. `log` has the moments from which the
    /// shard's sends count, if that was asked for; then nothing is being sent.
    pub fn enter(
        &mut self,
        shard: usize,
        host: u64,
        now: u64,
        rate: Rate,
        may_grow: bool,
        log: Option<&[u64]>,
    ) -> Entry {
        let (owner, until) = (self.shares[shard].host, self.shares[shard].until);
        if owner != 0 && owner != host {
            self.wish(shard, host, now);
            return Entry::Elsewhere { until };
        }
        if owner == host && self.hand_over(shard, now) {
            return Entry::Elsewhere { until };
        }
        let share = &mut self.shares[shard];
        if share.host != host || share.until < now.saturating_add(nanos(RENEWAL)) {
            share.until = now.saturating_add(nanos(CLAIM));
        }
        share.host = host;
        let (permits, until) = (share.permits, share.until);
        let fair = self.fair(shard, rate.limit);
        if permits > fair {
            let Some(log) = log else {
                return Entry::TellLog;
            };
            self.shares[shard].permits = fair;
            self.count(shard, fair, log, now, rate);
        } else if permits < fair && (may_grow || permits == 0) {
            self.grow(shard, fair, rate.limit);
        }
        Entry::Own {
            permits: self.shares[shard].permits,
            until,
        }
    }

    /// `host` has nothing to send in `shard` for now; in a settled ledger. `log` as in [`enter`](Self::enter); none
    /// when it cannot be had: then all permits count for as long as they can.
    pub fn leave(&mut self, shard: usize, host: u64, now: u64, rate: Rate, log: Option<&[u64]>) {
        // It may be about to end, and a shard that it is given then would wait for nobody.
        for share in &mut self.shares {
            if share.wished == host {
                share.wished = 0;
            }
        }
        let Some(share) = self.shares.get_mut(shard).filter(|s| s.host == host) else {
            return;
        };
        let permits = share.permits;
        *share = Share::default();
        match log {
            Some(log) => self.count(shard, 0, log, now, rate),
            None => self.counting.push(Counting {
                shard: Some(shard),
                permits,
                until: now.saturating_add(nanos(rate.longest())),
            }),
        }
    }

    /// Whether there are permits that no shard has or counts.
    fn free(&self, limit: u32) -> u32 {
        let claimed = self.shares.iter().map(|share| share.permits);
        let counting = self.counting.iter().map(|counting| counting.permits);
        let used: u64 = claimed.chain(counting).map(u64::from).sum();
        // What is left of 32 bits has 32.
        u64::from(limit).saturating_sub(used) as u32
    }

    /// The part of a shard, among those that somebody delivers.
    fn fair(&self, shard: usize, limit: u32) -> u32 {
        let busy = |share: &&Share| share.host != 0;
        // At most 64 shards.
        let all = self.shares.iter().filter(busy).count().max(1) as u32;
        let rank = self.shares[..shard].iter().filter(busy).count() as u32;
        // The rest goes to the first ones, a permit each.
        limit / all + u32::from(rank < limit % all)
    }

    /// Raises the claim of `shard` to at most `fair`: what it counts itself first, then what is
    /// free.
    fn grow(&mut self, shard: usize, fair: u32, limit: u32) {
        let own = |counting: &Counting| counting.shard == Some(shard);
        let counting: u32 = self
            .counting
            .iter()
            .filter(|c| own(c))
            .map(|c| c.permits)
            .sum();
        let had = self.shares[shard].permits;
        let charged = had.saturating_add(counting);
        let permits = fair.min(charged.saturating_add(self.free(limit)));
        self.shares[shard].permits = permits.max(had);
        // Those that leave the window last are taken back: the others leave before.
        let mut taken = permits.saturating_sub(had).min(counting);
        self.counting.sort_by_key(|c| c.until);
        for counting in self.counting.iter_mut().rev().filter(|c| own(c)) {
            let part = counting.permits.min(taken);
            counting.permits -= part;
            taken -= part;
        }
        self.counting.retain(|c| c.permits > 0);
    }

    /// Notes which sends of `shard` count beyond its claim of `permits`: the oldest in its log.
    fn count(&mut self, shard: usize, permits: u32, log: &[u64], now: u64, rate: Rate) {
        self.counting.retain(|c| c.shard != Some(shard));
        let (window, longest) = (nanos(rate.window()), nanos(rate.longest()));
        let grain = (window / u64::from(GRAIN)).max(1);
        let mut leaving: Vec<u64> = log
            .iter()
            .map(|at| at.saturating_add(window).min(now.saturating_add(longest)))
            .filter(|until| *until > now)
            .collect();
        leaving.sort_unstable();
        let beyond = leaving.len().saturating_sub(permits as usize);
        for until in &leaving[..beyond] {
            let until = until.div_ceil(grain).saturating_mul(grain);
            match self.counting.last_mut() {
                Some(last) if last.shard == Some(shard) && last.until == until => last.permits += 1,
                _ => self.counting.push(Counting {
                    shard: Some(shard),
                    permits: 1,
                    until,
                }),
            }
        }
    }

    /// How many shards `host` delivers, were all wishes granted.
    fn load(&self, host: u64) -> usize {
        let will = |share: &&Share| match share.wished {
            0 => share.host == host,
            wished => wished == host,
        };
        self.shares.iter().filter(will).count()
    }

    /// Notes that `host` wants `shard`, if its owner has at least two more.
    fn wish(&mut self, shard: usize, host: u64, now: u64) {
        let share = &self.shares[shard];
        let owner = share.host;
        if share.wished == 0 && self.load(owner) >= self.load(host) + 2 {
            let share = &mut self.shares[shard];
            share.wished = host;
            share.wished_until = now.saturating_add(nanos(WISH));
        }
    }

    /// Gives `shard` to the host that wants it, with its claim; says whether there was one.
    fn hand_over(&mut self, shard: usize, now: u64) -> bool {
        let share = &mut self.shares[shard];
        if share.wished == 0 {
            return false;
        }
        share.host = share.wished;
        share.until = now.saturating_add(nanos(CLAIM));
        share.wished = 0;
        true
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
