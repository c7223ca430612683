//! Getting events out: the drainer.
//!
//! A [`Drainer`] does no I/O but through the [`Store`] it is handed. Its owner
//! calls [`begin`](Drainer::begin), then [`poll`](Drainer::poll) again and
//! again, and does what each [`Step`] says: send a request, wait, or stop. What
//! came of a request goes in through [`answered`](Drainer::answered).
//!
//! ```text
//! begin ──► poll ─► Send(request) ──► (owner sends)  ─► answered ─┐
//!            ▲  └─► Wait(until) ────► (owner waits)  ─────────────┤
//!            └────────────────────────────────────────────────────┘
//!               └─► Done(delivery)
//! ```
//!
//! One drainer at a time, by the lease in the [`control`](crate::control) record. Events of one
//! interaction go in order, those of several side by side, and of all that may be sent the oldest
//! goes next.

mod outcome;
mod queue;
mod verdict;

#[cfg(test)]
mod tests;

pub use verdict::{Answer, Cause};

use crate::backoff;
use crate::control::{Held, LEASE, Mode, RENEWAL, nanos};
use crate::digits;
use crate::moves;
use crate::outbox::{EventKey, Place, Record, Stage, bytes, names};
use crate::prelude::*;
use crate::settings::Settings;
use crate::sort::sort;
use crate::store::{Now, Random, Store, StoreError};
use crate::text::ascii;
use crate::throttle::{Moment, Throttle, earliest};
use alloc::sync::Arc;
use core::time::Duration;
use queue::Queue;

/// How long a listing is good for.
const LISTING_LIFE: Duration = Duration::from_secs(30);
/// How often to look for arrivals while requests are under way.
const RELIST: Duration = Duration::from_millis(100);
/// How much later for each event that waits: to look is to list them all, which would otherwise
/// take all of the time where many wait for few that are under way.
const RELIST_EACH: Duration = Duration::from_micros(20);
/// How long a reserved permit is good for.
pub const RESERVATION: Duration = Duration::from_millis(200);
/// A key stamped later than its listing began, by no more than this, was
/// written meanwhile, so that an earlier one may be missing from the listing.
/// Nothing is earlier than a start.
/// One stamped later still was written before the clock was set back.
const LISTING_SKEW_NS: u64 = 10_000_000_000;
/// How many swaps a brief delivery makes before it ends. Spin's host has 256 places for them in
/// each instance, and one that was used stays taken; the rest is for what comes at the end.
const BRIEF_SWAPS: u32 = 200;
/// When to come back after losing a race for the lease.
const RACE: Duration = Duration::from_millis(50);

/// For how long a delivery with this budget begins to send.
///
/// A request gets all of `request_timeout` where the budget allows: nothing is sent in the last
/// `request_timeout` of it, nor in its second half where the budget is no longer than that. So
/// one that is to send for a while has a budget of that and `request_timeout`.
#[must_use]
pub fn sending_time(budget: Duration, request_timeout: Duration) -> Duration {
    match budget.checked_sub(request_timeout) {
        Some(rest) if !rest.is_zero() => rest,
        _ => budget / 2,
    }
}

/// A request to send: `POST {coordinator_url}/api/v2/interactions`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Names the request in [`Drainer::answered`].
    pub token: u64,
    /// The body.
    pub body: Vec<u8>,
    /// For the `Idempotency-Key` header.
    pub idempotency_key: String,
    /// For the `traceparent` header; empty for none.
    pub traceparent: String,
    /// The monotonic clock at which it counts as timed out, in nanoseconds.
    pub deadline_mono_ns: u64,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this, then poll again.
    Send(Outgoing),
    /// Poll again when an answer comes, or at this moment of the monotonic
    /// clock (nanoseconds), whichever is first.
    Wait {
        /// When.
        until_mono_ns: u64,
    },
    /// It is over: the lease is released.
    Done(Delivery),
}

/// What a delivery did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Events that the coordinator took.
    pub delivered: u32,
    /// Tries that failed.
    pub failed: u32,
    /// Events that became dead letters.
    pub dead_lettered: u32,
    /// Events still waiting, as far as this delivery saw them.
    pub waiting: u64,
    /// When to come back; none when nothing waits.
    pub next: Option<Duration>,
    /// Whether nothing at all can be sent before that.
    pub held: bool,
    /// Whether another instance holds the lease.
    pub lease_held_elsewhere: bool,
}

/// Something an operator wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// Normal operation.
    Info(String),
    /// Needs attention.
    Warn(String),
}

#[derive(Debug)]
struct Flight {
    key: EventKey,
    record: Box<Record>,
    /// Whether it was given all of `request_timeout`.
    in_full: bool,
    /// Whether the store no longer has it, because a drainer whose lease had expired dealt with it:
    /// it is not written back.
    gone: bool,
}

/// Why a session sends nothing more.
#[derive(Debug)]
enum Halt {
    /// The lease went to another.
    Lost,
    /// The store fails.
    Store(StoreError),
}

#[derive(Debug)]
struct Session {
    held: Held,
    renewed_at: Moment,
    /// No send begins after this.
    last_send: Moment,
    /// Every request ends by this.
    end: Moment,
    /// Whether a listing might bring something new.
    stale: bool,
    /// Whether this delivery came to list the store.
    listed: bool,
    flights: Vec<(u64, Flight)>,
    answers: Vec<(u64, Answer, Moment)>,
    halt: Option<Halt>,
    done: Delivery,
}

/// What lasts from one delivery to the next, as long as no other instance
/// delivers in between.
#[derive(Debug)]
struct Carry {
    epoch: u64,
    listed_at: Moment,
    queue: Queue,
    /// When a listing brings the keys that the last one passed over.
    relist_at: Option<Moment>,
}

/// Gets events out. See the [module](self).
#[derive(Debug)]
pub struct Drainer {
    settings: Arc<Settings>,
    holder: String,
    /// Whether deliveries end where they could only wait for a backoff.
    brief: bool,
    token: u64,
    throttle: Throttle,
    /// When the control record last took the log of the throttle.
    noted: Moment,
    /// Whether the last poll gave out a request: it went out since, at the latest just now.
    sending: bool,
    carry: Carry,
    /// Delivered, but the store failed to delete them: never to be sent again.
    undeleted: Vec<EventKey>,
    session: Option<Session>,
    notes: Vec<Note>,
}

/// How long a listing that found so many is enough while requests are under way.
fn relisting(waiting: u64) -> i64 {
    let each = nanos(RELIST_EACH).saturating_mul(i64::try_from(waiting).unwrap_or(i64::MAX));
    nanos(RELIST).saturating_add(each).min(nanos(LISTING_LIFE))
}

/// The events in flight that are in the store.
fn in_flight(flights: &[(u64, Flight)]) -> Vec<EventKey> {
    let mut keys = Vec::new();
    for (_, flight) in flights {
        if !flight.gone {
            keys.push(flight.key);
        }
    }
    keys
}

fn moment(now: Now) -> Moment {
    Moment::try_from(now.mono_ns).unwrap_or(Moment::MAX / 2)
}

/// The moment that a wall clock reading stands for; later ones are pulled back
/// to `latest` from now.
fn from_wall(wall_ns: u64, now: Now, latest: Duration) -> Moment {
    // Nanoseconds since 1970 fit in 63 bits until the year 2262.
    let ahead = wall_ns.wrapping_sub(now.wall_ns) as i64;
    moment(now).saturating_add(ahead.min(nanos(latest)))
}

fn to_wall(at: Moment, now: Now) -> u64 {
    now.wall_ns
        .saturating_add_signed(at.saturating_sub(moment(now)))
}

impl Drainer {
    /// A drainer that goes by `settings`.
    pub fn new(settings: Arc<Settings>, random: &mut dyn Random) -> Self {
        let mut b = [0; 4];
        random.fill(&mut b);
        let name = settings.lease_holder.as_deref().unwrap_or("reporter");
        let id = &digits::hex(u32::from_le_bytes(b).into())[8..];
        Self {
            holder: [name, "#", &ascii(id.to_vec())].concat(),
            brief: false,
            token: 0,
            sending: false,
            noted: 0,
            throttle: Throttle::new(settings.rate_limit, settings.rate_period),
            settings,
            carry: Carry {
                epoch: 0,
                listed_at: 0,
                queue: Queue::default(),
                relist_at: None,
            },
            undeleted: Vec::new(),
            session: None,
            notes: Vec::new(),
        }
    }

    /// From now on deliveries are brief, or are not. A brief one is for a runtime that keeps a
    /// place for each call, and in it one for each swap, as Spin does: it ends where it could only
    /// wait for the end of a backoff, and after so many swaps, and leaves the rest to the next.
    /// It does wait for the throttle, which is never long.
    pub fn set_brief(&mut self, brief: bool) {
        self.brief = brief;
    }

    /// What happened that an operator wants to know, since the last call.
    pub fn take_notes(&mut self) -> Vec<Note> {
        core::mem::take(&mut self.notes)
    }

    /// Begins a delivery that takes at most `budget`; none when it has begun,
    /// else what there is to say instead: nothing is due, or another delivers.
    /// It sends for [`sending_time`].
    pub fn begin(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
        budget: Duration,
    ) -> Result<Option<Delivery>, StoreError> {
        self.session = None;
        let sending = sending_time(budget, self.settings.request_timeout);
        let race = Delivery {
            next: Some(RACE),
            held: true,
            lease_held_elsewhere: true,
            ..Delivery::default()
        };
        let Some(mut held) = Held::load(store, random)? else {
            return Ok(Some(race));
        };
        held.clamp(store, random, now, self.settings.rate_period)?;
        // Left over from a delivery that the store broke off, maybe as it began.
        let left_over = held.control.holder == self.holder;
        if left_over {
            held.control.holder.clear();
        }
        if held.knock(store, random, now)? {
            let next = Some(held.control.lease_left(now));
            return Ok(Some(Delivery {
                next,
                waiting: held.control.waiting,
                ..race
            }));
        }
        let control = &held.control;
        let ours = self.carry.epoch != 0 && (left_over || control.epoch == self.carry.epoch);
        if !ours {
            let window = self.settings.rate_period;
            let mut log = control.log.clone();
            // More than the limit hold up no longer than the limit does.
            let reserved = control.reserved.min(self.settings.rate_limit) as usize;
            log.resize(log.len() + reserved, control.reserved_until);
            let log = log.into_iter().map(|at| from_wall(at, now, window));
            self.throttle.load(log, self.noted);
        }
        let at = moment(now);
        let mut wait = control.held_for(now);
        let pointless = self.brief && !wait.is_zero();
        if !self.throttle.lifted() {
            let free = self.throttle.next_free(at) - at;
            wait = wait.max(Duration::from_nanos(free.max(0) as u64));
        }
        if pointless || wait > sending {
            let next = Some(wait);
            let waiting = control.waiting;
            return Ok(Some(Delivery {
                next,
                waiting,
                held: true,
                ..Delivery::default()
            }));
        }
        let fresh = at - self.carry.listed_at < nanos(LISTING_LIFE);
        if !ours || !fresh {
            self.carry.queue = Queue::default();
        }
        if !held.acquire(store, random, &self.holder, now)? {
            return Ok(Some(race));
        }
        self.carry.epoch = held.control.epoch;
        self.session = Some(Session {
            held,
            renewed_at: at,
            last_send: at + nanos(sending),
            end: at + nanos(budget),
            stale: true,
            listed: false,
            flights: Vec::new(),
            answers: Vec::new(),
            halt: None,
            done: Delivery::default(),
        });
        if let Err(e) = self.delete_left_over(store) {
            self.halt(Halt::Store(e));
        }
        Ok(None)
    }

    /// Says what came of the request `token`. To be followed by a poll.
    pub fn answered(&mut self, token: u64, answer: Answer, now: Now) {
        if let Some(session) = &mut self.session {
            session.answers.push((token, answer, moment(now)));
        }
    }

    /// Says what to do next. Fails only when the store does, and then the
    /// delivery is over; the lease runs out by itself.
    pub fn poll(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<Step, StoreError> {
        let at = moment(now);
        if core::mem::take(&mut self.sending) {
            self.throttle.sent(at);
        }
        loop {
            // First of all: without the lease, answers are taken in another way.
            let due = self
                .session
                .as_ref()
                .is_some_and(|s| s.halt.is_none() && at - s.renewed_at >= nanos(RENEWAL));
            if due && let Err(e) = self.write_control(store, random, now) {
                self.halt(Halt::Store(e));
            }
            self.settle_answers(store, random, now);
            let wake = match self.advance(store, random, now) {
                Ok(Advance::Send(outgoing)) => return Ok(Step::Send(outgoing)),
                Ok(Advance::Again) => continue,
                Ok(Advance::Until(wake)) => wake,
                Err(e) => {
                    self.halt(Halt::Store(e));
                    None
                }
            };
            let Some(session) = &self.session else {
                return Ok(Step::Done(Delivery::default()));
            };
            let flying = !session.flights.is_empty();
            let wake = wake.filter(|w| *w <= session.last_send);
            if flying || (wake.is_some() && session.halt.is_none()) {
                // In flight, the renewal of the lease is what may come first.
                let renewal = session.renewed_at + nanos(RENEWAL);
                let until = wake.unwrap_or(Moment::MAX).min(if session.halt.is_none() {
                    renewal
                } else {
                    at + nanos(RENEWAL)
                });
                return Ok(Step::Wait {
                    until_mono_ns: until.max(0) as u64,
                });
            }
            match self.finish(store, random, now)? {
                Some(delivery) => return Ok(Step::Done(delivery)),
                None => continue,
            }
        }
    }

    fn halt(&mut self, halt: Halt) {
        if let Some(session) = &mut self.session {
            session.halt.get_or_insert(halt);
        }
    }

    /// Deletes what was delivered in an earlier session, while the store failed.
    fn delete_left_over(&mut self, store: &mut dyn Store) -> Result<(), StoreError> {
        if !self.undeleted.is_empty() {
            store.delete_many(&names(&self.undeleted, Place::Waiting))?;
            self.undeleted.clear();
        }
        Ok(())
    }

    /// One step forward: a request to send, or when to look again.
    fn advance(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<Advance, StoreError> {
        let at = moment(now);
        let Some(session) = &mut self.session else {
            return Ok(Advance::Until(None));
        };
        if session.halt.is_some() {
            return Ok(Advance::Until(None));
        }
        if self.brief && session.held.swaps >= BRIEF_SWAPS {
            session.last_send = session.last_send.min(at);
        }
        if at >= session.last_send {
            return Ok(Advance::Until(None));
        }
        let control = &session.held.control;
        let probing = control.mode != Mode::Closed;
        let slots = if probing {
            1
        } else {
            self.settings.max_in_flight as usize
        };
        if session.flights.len() >= slots {
            return Ok(Advance::Until(None));
        }
        let held = control.held_for(now);
        if !held.is_zero() {
            let wake = at + nanos(held);
            return Ok(Advance::Until((!self.brief).then_some(wake)));
        }

        self.carry.queue.wake(at);
        if self.carry.queue.ready() == 0 {
            let passed_over = self.carry.relist_at.is_some_and(|t| t <= at);
            let since = at - self.carry.listed_at;
            let flying = !session.flights.is_empty();
            let pause = relisting(control.waiting);
            let again = if flying {
                since >= pause
            } else {
                session.stale
            };
            if again || passed_over {
                self.list(store, now)?;
                return Ok(Advance::Again);
            }
            // While requests take their time, others may arrive.
            let relist = flying.then_some(self.carry.listed_at + pause);
            let wake = earliest(self.carry.queue.next_wake(), self.carry.relist_at);
            let wake = wake.filter(|_| !self.brief);
            return Ok(Advance::Until(earliest(wake, relist)));
        }

        if !self.throttle.lifted() && self.throttle.reserved(at) == 0 {
            let free = self.throttle.free(at);
            if free == 0 {
                return Ok(Advance::Until(Some(self.throttle.next_free(at))));
            }
            let want = (slots - session.flights.len()).min(self.carry.queue.ready());
            self.throttle
                .reserve(free.min(want), at + nanos(RESERVATION));
            self.write_control(store, random, now)?;
            // With the time read anew: should the store have been slow, the permits lapsed.
            return Ok(Advance::Until(Some(at)));
        }

        let taken = in_flight(&session.flights);
        let unread = self.carry.queue.unread(probing, &taken);
        if !unread.is_empty() {
            let values = store.get_many(&names(&unread, Place::Waiting))?;
            for (key, value) in unread.into_iter().zip(values) {
                self.carry.queue.read(key, value);
            }
        }
        // More than a backoff can be was written before the clock was set back.
        let latest = now.wall_ns + backoff::CAP.as_nanos() as u64;
        let Some((key, value)) = self.carry.queue.take(probing, latest) else {
            return Ok(Advance::Again);
        };
        let Some(value) = value else {
            self.carry.queue.remove(key); // purged meanwhile
            return Ok(Advance::Again);
        };
        match Record::decode(&value) {
            Ok(record) => {
                let wait = record.not_before_ns.saturating_sub(now.wall_ns);
                // Clamped instead, it would be so at each reading, and never pass.
                if wait == 0 || record.not_before_ns > latest {
                    return Ok(Advance::Send(self.launch(key, Box::new(record), now)));
                }
                self.carry.queue.sleep(key, at + wait as Moment);
            }
            Err(why) => self.set_aside_unread(store, key, &value, &why.message())?,
        }
        Ok(Advance::Again)
    }

    fn launch(&mut self, key: EventKey, record: Box<Record>, now: Now) -> Outgoing {
        let at = moment(now);
        self.token += 1;
        self.sending = true;
        self.throttle.send(self.token, at);
        let mut deadline = at + nanos(self.settings.request_timeout);
        let mut outgoing = Outgoing {
            token: self.token,
            body: record.body.clone(),
            idempotency_key: record.idempotency_key.clone(),
            traceparent: record.traceparent.clone(),
            deadline_mono_ns: 0,
        };
        if let Some(session) = &mut self.session {
            let in_full = deadline <= session.end;
            deadline = deadline.min(session.end);
            session.stale = true;
            if record.tries > 0 {
                session.held.control.resent_total += 1;
            }
            session.flights.push((
                self.token,
                Flight {
                    key,
                    record,
                    in_full,
                    gone: false,
                },
            ));
        }
        outgoing.deadline_mono_ns = deadline.max(0) as u64;
        outgoing
    }

    /// Lists the store and takes over what waits.
    fn list(&mut self, store: &mut dyn Store, now: Now) -> Result<(), StoreError> {
        let [mut waiting, dead] = moves::settle(store)?;
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        session.stale = false;
        session.listed = true;
        let control = &mut session.held.control;
        control.listed_ns = now.wall_ns;
        (control.dead, control.dead_bytes) = (dead.len() as u64, bytes(&dead));
        (control.waiting, control.waiting_bytes) = (0, 0);
        for (_, flight) in &mut session.flights {
            flight.gone = !waiting.contains(&flight.key);
        }
        let taken = in_flight(&session.flights);
        let mut graves: Vec<_> = dead.iter().map(|k| k.interaction).collect();
        sort(&mut graves, |a, b| a < b);
        let mut followers = Vec::new();
        // They come oldest first, so that nothing overtakes what is passed over.
        let (mut late, mut passed_over) = (None, Vec::new());
        waiting.retain(|k| {
            if self.undeleted.contains(k) {
                return false;
            }
            let ahead = k.ns.saturating_sub(now.wall_ns);
            if ahead > 0
                && k.stage != Stage::Start
                && (ahead <= LISTING_SKEW_NS || passed_over.contains(&k.interaction))
            {
                late.get_or_insert(k.ns);
                passed_over.push(k.interaction);
                return false;
            }
            control.waiting += 1;
            control.waiting_bytes += u64::from(k.size);
            // What comes after a dead letter of its interaction follows it.
            let follows = graves.binary_search(&k.interaction).is_ok()
                && taken.iter().all(|t| t.interaction != k.interaction);
            if follows {
                followers.push(*k);
            }
            !follows
        });
        self.carry.listed_at = moment(now);
        self.carry.relist_at = late.map(|ns| from_wall(ns, now, LISTING_LIFE) + 1);
        self.carry.queue.relist(waiting, &taken);
        self.bury(store, &followers, None)
    }

    /// Writes the control record and renews the lease; halts when it is lost.
    fn write_control(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<(), StoreError> {
        self.note_down_permits(now);
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        session.held.extend_lease(now);
        // Twice: a knock between the reading and the swap is no loss of the lease.
        for _ in 0..2 {
            if session.held.swap(store, random)? {
                session.renewed_at = moment(now);
                self.noted = session.renewed_at;
                return Ok(());
            }
            if !session.held.only_knocked(store)? {
                break;
            }
        }
        session.halt = Some(Halt::Lost);
        Ok(())
    }

    fn note_down_permits(&mut self, now: Now) {
        let at = moment(now);
        let Some(session) = &mut self.session else {
            return;
        };
        let control = &mut session.held.control;
        let log = self.throttle.log(at);
        control.log = log.into_iter().map(|t| to_wall(t, now)).collect();
        control.reserved = self.throttle.reserved(at) as u32;
        control.reserved_until = now.wall_ns + RESERVATION.as_nanos() as u64;
    }

    /// Releases the lease and says what was done; none when somebody knocked
    /// and there is time to look again.
    fn finish(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<Option<Delivery>, StoreError> {
        let at = moment(now);
        self.throttle.reserve(0, at);
        let Some(halt) = self.session.as_mut().map(|s| s.halt.take()) else {
            return Ok(Some(Delivery::default()));
        };
        match halt {
            Some(Halt::Store(e)) => {
                self.session = None;
                // What lies in the store is unknown; what was sent is not.
                self.carry.listed_at = at - nanos(LISTING_LIFE);
                return Err(e);
            }
            Some(Halt::Lost) => {
                let done = self.session.take().map(|s| s.done).unwrap_or_default();
                self.carry.epoch = 0;
                return Ok(Some(Delivery {
                    next: Some(LEASE),
                    held: true,
                    lease_held_elsewhere: true,
                    ..done
                }));
            }
            None => {}
        }
        let (mut next, mut held) = self.come_back(now);
        self.note_down_permits(now);
        let Some(session) = &mut self.session else {
            return Ok(None);
        };
        let holder = core::mem::take(&mut session.held.control.holder);
        let mut lost = false;
        for _ in 0..3 {
            if session.held.swap(store, random)? {
                self.noted = at;
                break;
            }
            if !session.held.only_knocked(store)? {
                lost = true;
                break;
            }
            session.held.control.knocked = false;
            if at < session.last_send {
                session.held.control.holder = holder;
                session.stale = true;
                // The knock must be gone before the listing that answers it.
                self.write_control(store, random, now)?;
                return Ok(None);
            }
            (next, held) = (Some(Duration::ZERO), false);
        }
        let waiting = session.held.control.waiting;
        let done = core::mem::take(&mut session.done);
        self.session = None;
        if lost {
            self.carry.epoch = 0;
        }
        Ok(Some(Delivery {
            waiting,
            next,
            held,
            ..done
        }))
    }

    /// When there is something to do again, and whether nothing is before.
    fn come_back(&mut self, now: Now) -> (Option<Duration>, bool) {
        let at = moment(now);
        let Some(session) = &self.session else {
            return (None, false);
        };
        // Where the time was over before the store was listed, nobody knows what waits.
        let unknown = !session.listed;
        if self.carry.queue.is_empty() && self.carry.relist_at.is_none() && !unknown {
            return (None, false);
        }
        let hold = session.held.control.held_for(now);
        if !hold.is_zero() {
            return (Some(hold), true);
        }
        let since = |t: Moment| Duration::from_nanos((t - at).max(0) as u64);
        if self.carry.queue.ready() > 0 || unknown {
            let free = if self.throttle.lifted() {
                at
            } else {
                self.throttle.next_free(at)
            };
            return (Some(since(free)), free > at);
        }
        let wake = earliest(self.carry.queue.next_wake(), self.carry.relist_at);
        (wake.map(since), false)
    }
}

/// What [`Drainer::advance`] came to.
enum Advance {
    Send(Outgoing),
    /// Something changed: look again.
    Again,
    /// Nothing to do before this moment, or before an answer.
    Until(Option<Moment>),
}
