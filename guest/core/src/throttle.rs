//! The throttle: a sliding log, so that no window has more sends than allowed.
//!
//! The bound must hold where the requests are received. A request is received
//! some time between its send and its answer, so a send counts from its answer
//! on, or from [`slack`] after it was sent if no answer came by then. A guard
//! of 50 ms covers what is left.

use crate::control::nanos;
use crate::prelude::*;
use core::time::Duration;

/// A moment of the monotonic clock, in nanoseconds. Signed, so that moments
/// before the instance began can be told.
pub type Moment = i64;

/// The earlier of two moments that may never come.
pub(crate) fn earliest(a: Option<Moment>, b: Option<Moment>) -> Option<Moment> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What a window has beyond the period.
const GUARD: Duration = Duration::from_millis(50);

/// For how long a send counts, from the moment that the log has for it.
#[must_use]
pub fn window(period: Duration) -> Duration {
    period.saturating_add(GUARD)
}

/// How long after it was sent a send begins to count that was not answered by then.
#[must_use]
pub fn slack(period: Duration) -> Duration {
    period / 4
}

/// At most `limit` sends in any window.
#[derive(Debug)]
pub struct Throttle {
    limit: usize,
    window: Moment,
    slack: Moment,
    /// When past sends count from, oldest first.
    settled: Vec<Moment>,
    /// Sends that have no answer yet: token and moment of sending, oldest first.
    open: Vec<(u64, Moment)>,
    reserved: usize,
    reserved_until: Moment,
}

impl Throttle {
    /// `limit` 0 lifts it.
    #[must_use]
    pub fn new(limit: u32, period: Duration) -> Self {
        Self {
            limit: limit as usize,
            window: nanos(window(period)),
            slack: nanos(slack(period)),
            settled: Vec::new(),
            open: Vec::new(),
            reserved: 0,
            reserved_until: Moment::MIN,
        }
    }

    /// Whether there is no limit.
    #[must_use]
    pub fn lifted(&self) -> bool {
        self.limit == 0
    }

    /// Replaces the log of past sends by what another instance wrote down, but for those that count
    /// from after `noted`, when this one wrote its own down: the other cannot know of them.
    pub fn load(&mut self, log: impl Iterator<Item = Moment>, noted: Moment) {
        self.settled.retain(|at| *at > noted);
        log.for_each(|at| self.settle(at));
        self.reserved = 0;
    }

    /// The log to write down: every send, at the latest moment it counts from.
    pub fn log(&mut self, now: Moment) -> Vec<Moment> {
        self.prune(now);
        let mut log = self.settled.clone();
        log.extend(self.open.iter().map(|(_, at)| at + self.slack));
        log
    }

    fn prune(&mut self, now: Moment) {
        while let Some(&(_, at)) = self.open.first()
            && at.saturating_add(self.slack) <= now
        {
            self.open.remove(0);
            self.settle(at + self.slack);
        }
        while self
            .settled
            .first()
            .is_some_and(|at| at.saturating_add(self.window) <= now)
        {
            self.settled.remove(0);
        }
    }

    fn settle(&mut self, at: Moment) {
        let later = self.settled.iter().rev().take_while(|s| **s > at).count();
        self.settled.insert(self.settled.len() - later, at);
    }

    /// Permits that are free at `now`, beyond those reserved.
    #[must_use]
    pub fn free(&mut self, now: Moment) -> usize {
        self.prune(now);
        self.expire(now);
        self.limit
            .saturating_sub(self.settled.len() + self.open.len() + self.reserved)
    }

    /// When the next permit becomes free, if nothing more is answered.
    #[must_use]
    pub fn next_free(&mut self, now: Moment) -> Moment {
        if self.free(now) > 0 {
            return now;
        }
        let settled = self
            .settled
            .first()
            .map(|at| at.saturating_add(self.window));
        let open = self
            .open
            .first()
            .map(|(_, at)| at + self.slack + self.window);
        earliest(settled, open).unwrap_or(now)
    }

    fn expire(&mut self, now: Moment) {
        if now > self.reserved_until {
            self.reserved = 0;
        }
    }

    /// Sets `count` free permits aside, to be used by `until`.
    pub fn reserve(&mut self, count: usize, until: Moment) {
        self.reserved = count;
        self.reserved_until = until;
    }

    /// Permits set aside and still good at `now`.
    #[must_use]
    pub fn reserved(&mut self, now: Moment) -> usize {
        self.expire(now);
        self.reserved
    }

    /// Uses a reserved permit for the send `token`.
    pub fn send(&mut self, token: u64, now: Moment) {
        if !self.lifted() {
            self.reserved = self.reserved.saturating_sub(1);
            self.open.push((token, now));
        }
    }

    /// The last send went out at `now`: the store may have taken its time before it.
    pub fn sent(&mut self, now: Moment) {
        if let Some((_, at)) = self.open.last_mut() {
            *at = now;
        }
    }

    /// The send `token` was answered, or failed.
    pub fn answered(&mut self, token: u64, now: Moment) {
        self.prune(now);
        if let Some(at) = self.open.iter().position(|(t, _)| *t == token) {
            self.open.remove(at);
            self.settle(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Moment = 1_000_000_000;
    const PERIOD: Duration = Duration::from_secs(1);
    const GUARD: Moment = 50_000_000;

    #[test]
    fn a_log_that_is_loaded_replaces_what_was_written_down_and_nothing_else() {
        let mut t = Throttle::new(3, PERIOD);
        for (token, at) in [(1, 100), (2, 200)] {
            t.send(token, at);
            t.answered(token, at);
        }
        t.load([150].into_iter(), 100);
        assert_eq!(t.log(300), [150, 200]);
    }

    #[test]
    fn a_burst_is_let_through_and_the_next_one_waits_a_window() {
        let mut t = Throttle::new(10, PERIOD);
        assert_eq!(t.free(0), 10);
        t.reserve(10, SECOND);
        for token in 0..10 {
            assert_eq!(t.reserved(0), 10 - token as usize);
            t.send(token, 0);
            t.answered(token, 1_000);
        }
        assert_eq!(t.free(1_000), 0);
        assert_eq!(t.next_free(1_000), SECOND + GUARD + 1_000);
        assert_eq!(t.free(SECOND + GUARD + 999), 0);
        assert_eq!(t.free(SECOND + GUARD + 1_000), 10);
    }

    #[test]
    fn reserved_permits_lapse() {
        let mut t = Throttle::new(3, PERIOD);
        t.reserve(3, 100);
        assert_eq!((t.free(100), t.reserved(100)), (0, 3));
        assert_eq!((t.free(101), t.reserved(101)), (3, 0));
    }

    proptest! {
        /// Receipts, anywhere between send and the earlier of answer and slack,
        /// never exceed the limit in any window of the period.
        #[test]
        fn no_window_of_receipts_exceeds_the_limit(
            limit in 1..20u32,
            steps in proptest::collection::vec((0..200_000_000i64, 0..400_000_000i64, 0..100u8), 1..300),
        ) {
            let mut t = Throttle::new(limit, PERIOD);
            let (mut now, mut receipts, mut waiting) = (0, Vec::new(), Vec::<(Moment, u64)>::new());
            for (token, (pause, latency, share)) in steps.into_iter().enumerate() {
                now += pause;
                waiting.sort_unstable();
                while waiting.first().is_some_and(|(at, _)| *at <= now) {
                    let (at, token) = waiting.remove(0);
                    t.answered(token, at);
                }
                if t.free(now) == 0 {
                    let next = t.next_free(now);
                    prop_assert!(next > now);
                    now = next;
                    prop_assert!(t.free(now) > 0);
                }
                t.reserve(1, now);
                t.send(token as u64, now);
                waiting.push((now + latency, token as u64));
                receipts.push(now + latency.min(SECOND / 4) * Moment::from(share) / 100);
            }
            receipts.sort_unstable();
            for w in receipts.windows(limit as usize + 1) {
                prop_assert!(w[limit as usize] - w[0] >= SECOND, "{:?}", w);
            }
        }
    }
}
