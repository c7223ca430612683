//! The oracle: what was reported, what the coordinator got, and whether both fit.
//!
//! It knows nothing of how the core works but the names of keys and the format
//! of records, and keeps its own books of everything that the store and the
//! coordinator did. The invariants are those of the [crate](crate) documentation.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use mcp_reporter_core::outbox::{EventKey, Place, Record, Stage};

use crate::requests::Requests;

/// How long a damaged control record can have effects: a lease, and the windows of the throttle.
const DAMAGE_LASTS: u64 = 9_000_000_000;

/// How long a lease holds, in nanoseconds.
const LEASE: u64 = 6_000_000_000;

/// An invariant, by its number in the [crate](crate) documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// 0: the core does not panic.
    NoPanic,
    /// 1: no acknowledged event is lost.
    NothingLost,
    /// 2: nothing else is delivered, and to the byte.
    NothingElse,
    /// 3: in order per interaction.
    InOrder,
    /// 4: no window has more requests than allowed.
    Throttled,
    /// 5: no second delivery without cause, and never with another key.
    OnlyOnce,
    /// 6: the outbox drains once faults stop.
    Drains,
    /// 7: an outage makes no dead letters.
    NoFalseDeadLetter,
    /// 8: purge, redrive and drop-oldest touch nothing that they do not name.
    OnlyTheNamed,
    /// 9: reject, drop-oldest, purge and redrive work on whole interactions, never on one with a
    /// send in flight.
    Whole,
    /// 10: what was purged or dropped is counted, neither more nor less.
    Counted,
    /// 11: the oldest event goes first, so that few interactions are open at the coordinator.
    OldestFirst,
    /// 12: a request that comes again is the same request.
    SameAgain,
}

/// An invariant that does not hold, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// In words.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}

/// What the reporter was told of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was stored.
    Acknowledged,
    /// The store failed: it may be there.
    Unknown,
    /// It was refused: it is not there.
    Refused,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub interaction: u64,
    pub fate: Fate,
    /// The keys it had, in order: another each time that it was put back.
    pub keys: Vec<EventKey>,
    pub acceptor: u64,
    /// The request that brought it, where it came over the coordinator's own API.
    pub request: Option<usize>,
    /// Store operations done when it was first stored.
    pub stored_op: u64,
    /// When it was first stored, or put back.
    pub stored_at: u64,
    pub idempotency_key: Option<String>,
    pub purged: bool,
    pub dropped: bool,
    /// Its record was misread or damaged.
    pub damaged: bool,
    /// It was a dead letter at some time.
    pub died: bool,
    /// A drainer was told that it is refused.
    pub refused: bool,
    /// It was put back; `stored_op` is when.
    pub redriven: bool,
    pub receipts: Vec<usize>,
    /// Tries that failed.
    pub failures: Vec<Failed>,
}

/// A try that failed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub sent: u64,
    /// When the drainer was told.
    pub told: u64,
    pub transient: bool,
}

/// A request as the coordinator got it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub event: usize,
    pub sent: u64,
    pub received: u64,
    pub stored: bool,
    /// It was stored, and the answer says so.
    pub confirmed: bool,
    /// The drainer was told of the 2xx.
    pub told: Option<u64>,
    /// The drainer that sent it.
    pub instance: u64,
}

/// The lease as it was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub at: u64,
    /// The drainer; 0 for a change by hand.
    pub who: u64,
}

/// What is known of a drainer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sender {
    /// When it ended by force, if it did.
    pub crashed: Option<u64>,
    /// When a delivery of it was broken off by the store, so that its lease ran out.
    pub broken_off: Vec<u64>,
    /// When another took the lease while it was delivering, or the reverse.
    pub overlapped: Vec<u64>,
    /// When it last wrote the control record.
    pub wrote: u64,
    /// When the call began in which it did, and what its wall clock said then: the lease counts
    /// from there.
    pub leased_from: (u64, u64),
    /// When it sent long after it had reserved the permit, because the store was slow.
    pub stalled: Vec<u64>,
    /// Store operations done when its last listing began, and when it ended.
    pub listing: (u64, u64),
    /// When its last listing took effect.
    pub listed: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub events: Vec<Event>,
    pub receipts: Vec<Receipt>,
    pub senders: BTreeMap<u64, Sender>,
    /// By what is sent: the body, and the `traceparent`, which is another for each try of a request.
    by_content: HashMap<(Vec<u8>, String), usize>,
    by_key: HashMap<EventKey, usize>,
    pub violations: Vec<Violation>,
    pub requests: Requests,
    /// Who took the lease, and when.
    pub leases: Vec<Lease>,
    /// When somebody wrote the control record, and how long before that its call had begun.
    pub late_writes: Vec<(u64, u64)>,
    /// What is being sent: the drainer, the event.
    pub in_flight: Vec<(u64, usize)>,
    /// Interactions whose start was refused, by the acceptor that knows.
    pub refused_starts: BTreeSet<(u64, u64)>,
    /// When wall clocks differed, or jumped: from, to.
    pub disagreements: Vec<(u64, u64)>,
    /// Whether there is more than one process.
    pub several: bool,
    /// A wall clock jumped, or clocks differ.
    pub jumped: bool,
    /// When the control record was damaged or misread.
    pub control_damaged: Vec<u64>,
    pub excused: Vec<&'static str>,
    /// Events dropped to make room.
    pub dropped: u64,
    /// Events that drop-oldest meant to delete.
    pub meant_to_drop: u64,
    /// A drop-oldest was broken off, or what it wrote down was lost.
    pub drops_unsure: bool,
    /// Whether there is one drainer, and no failure so far that could change the order.
    pub orderly: bool,
    /// Interactions that the coordinator knows the start of, and not the end.
    open: BTreeSet<u64>,
    /// Those that it knows the end of.
    ended: BTreeSet<u64>,
    /// Those whose start it forgot.
    forgotten: BTreeSet<u64>,
    /// When the newest event that was sent had been accepted.
    newest_ns: u64,
    /// Interactions that were in flight when it was sent, its own among them.
    beside_newest: BTreeSet<u64>,
}

impl Ledger {
    pub fn violate(&mut self, invariant: Invariant, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    pub fn submit(
        &mut self,
        interaction: u64,
        content: (Vec<u8>, String),
        acceptor: u64,
        request: Option<usize>,
    ) -> usize {
        let at = self.events.len();
        self.by_content.insert(content, at);
        self.events.push(Event {
            interaction,
            fate: Fate::Unknown,
            keys: Vec::new(),
            acceptor,
            request,
            stored_op: 0,
            stored_at: 0,
            idempotency_key: None,
            purged: false,
            dropped: false,
            damaged: false,
            died: false,
            refused: false,
            redriven: false,
            receipts: Vec::new(),
            failures: Vec::new(),
        });
        at
    }

    pub fn by_content(&self, body: Vec<u8>, traceparent: String) -> Option<usize> {
        self.by_content.get(&(body, traceparent)).copied()
    }

    pub fn by_key(&self, key: &EventKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// An acceptor stored an event under `key`.
    pub fn stored(&mut self, key: EventKey, record: Record, op: u64, now: u64) {
        let Some(at) = self.by_content(record.body, record.traceparent) else {
            self.violate(
                Invariant::NothingElse,
                "a body was stored that was not reported".into(),
            );
            return;
        };
        self.by_key.insert(key, at);
        let event = &mut self.events[at];
        event.keys = vec![key];
        event.stored_op = op;
        event.stored_at = now;
        let request = event.request;
        event.idempotency_key = Some(record.idempotency_key.clone());
        self.check_key(request, &record.idempotency_key);
    }

    /// A redrive put an event back under `key`.
    pub fn put_back(&mut self, key: EventKey, record: &Record, op: u64, now: u64) {
        let content = (record.body.clone(), record.traceparent.clone());
        let Some(at) = self.by_content(content.0, content.1) else {
            let what = "a body was put back that was not reported".into();
            self.violate(Invariant::NothingElse, what);
            return;
        };
        self.by_key.insert(key, at);
        let event = &mut self.events[at];
        if !event.keys.contains(&key) {
            event.keys.push(key);
        }
        event.redriven = true;
        event.stored_op = op;
        event.stored_at = now;
    }

    /// Whether `held` has the event of `key` under a name that is later on its way than this one.
    pub fn later(&self, place: Place, key: &EventKey, held: impl Fn(&str) -> bool) -> bool {
        let Some(at) = self.by_key(key) else {
            return false;
        };
        let keys = self.events[at].keys.iter();
        let mut rest = keys.skip_while(|k| *k != key);
        let own = rest.next().is_some() && place == Place::Waiting && held(&key.name(Place::Dead));
        own || rest.any(|k| holds(k, &held))
    }

    pub fn sender(&mut self, instance: u64) -> &mut Sender {
        self.senders.entry(instance).or_default()
    }

    pub fn excuse(&mut self, why: &'static str) {
        self.excused.push(why);
    }

    pub fn confirmed(&self, at: usize) -> bool {
        self.events[at]
            .receipts
            .iter()
            .any(|r| self.receipts[*r].stored)
    }

    /// A name of an event is deleted, which no purge names: allowed when the coordinator has the
    /// event, when it is elsewhere, later on its way, or when it is to vanish anyway.
    pub fn deleted(&mut self, place: Place, key: &EventKey, later: bool) {
        let Some(at) = self.by_key(key) else { return };
        let event = &self.events[at];
        if !(later || self.confirmed(at) || event.purged || event.dropped) {
            let what = format!("the only copy of event {at} ({place:?}) was deleted");
            self.violate(Invariant::NothingLost, what);
        }
    }

    /// Invariant 9, when the events of an interaction are about to be deleted or put back by
    /// somebody whose call began at `wall`: nothing of it is being sent by a drainer that has the
    /// lease.
    pub fn check_idle(&mut self, key: &EventKey, now: u64, wall: u64) {
        if self.jumped {
            return; // one clock says that the lease has expired, the other that it has not
        }
        let sent = self.in_flight.iter().find(|(instance, event)| {
            let keys = &self.events[*event].keys;
            let sender = self.senders.get(instance).cloned().unwrap_or_default();
            let (from, from_wall) = sender.leased_from;
            // Who reads the lease by a clock that it looked at long ago takes it for one that lasts
            // too long, and cuts it short by as much.
            let late = self.late_writes.iter().filter(|(at, _)| *at >= from);
            let late = late.map(|(_, late)| *late).max().unwrap_or(0);
            let expired = from + LEASE <= now + late || from_wall + LEASE <= wall;
            let damaged = self.control_damaged.iter().any(|t| *t >= from);
            keys.iter().any(|k| k.interaction == key.interaction) && !expired && !damaged
        });
        if let Some((_, event)) = sent {
            let what = format!("event {event} was being sent while its interaction was changed");
            self.violate(Invariant::Whole, what);
        }
    }

    /// Invariant 9, for what an acceptor said to the reports of an interaction.
    pub fn check_refusal(&mut self, at: usize, start: bool, full: bool) {
        let known = (self.events[at].acceptor, self.events[at].interaction);
        if start && full {
            self.refused_starts.insert(known);
        } else if !full && self.refused_starts.contains(&known) {
            let what = format!("event {at} was accepted, the start of its interaction was refused");
            self.violate(Invariant::Whole, what);
        }
    }

    /// Invariant 10, against what the control record says at the end; `exact` when no fault of the
    /// store can have come between a delete and its count.
    pub fn check_dropped(&mut self, total: u64, exact: bool) {
        let unsure = self.drops_unsure || !self.control_damaged.is_empty();
        if total > self.meant_to_drop || exact && !unsure && total != self.dropped {
            let what = format!("{} events were dropped, {total} counted", self.dropped);
            self.violate(Invariant::Counted, what);
        }
    }

    /// Invariant 3, when `event` is about to be sent by `instance`: nothing that
    /// comes before it waits, undelivered, where the sender could see it.
    pub fn check_order(&mut self, event: usize, instance: u64, waits: impl Fn(&EventKey) -> bool) {
        let sender = self.senders.get(&instance).cloned().unwrap_or_default();
        let rank = |k: &EventKey| (k.stage != Stage::Start, k.ns, k.random);
        let this = &self.events[event];
        let Some(key) = this.keys.first().copied() else {
            return;
        };
        let earlier = self.events.iter().position(|e| {
            let Some(k) = e.keys.first() else {
                return false;
            };
            // What was purged or dropped is there only if somebody without the lease brought it back.
            e.interaction == this.interaction
                && !(e.purged || e.dropped)
                && rank(k) < rank(&key)
                && (e.acceptor == this.acceptor && k.ns < key.ns && !e.redriven
                    || e.stored_op < sender.listing.0)
                && e.receipts.iter().all(|r| !self.receipts[*r].stored)
                && e.keys.iter().any(&waits)
        });
        let Some(earlier) = earlier else { return };
        let e = &self.events[earlier];
        // A listing that is no snapshot hides what an acceptor with a clock behind the drainer's
        // stored meanwhile.
        let torn = sender.listing.0 <= e.stored_op && e.stored_op <= sender.listing.1;
        if torn && self.jumped {
            self.excuse("order: listing torn while clocks differ");
            return;
        }
        // What was on its way when an earlier one turned up stays first until it is listed anew.
        let mut tries = self.events[event].receipts.iter();
        let since = self.events[event].stored_at;
        if tries.any(|r| self.receipts[*r].sent >= since) {
            self.excuse("order: turned up after the first try of what comes later");
            return;
        }
        // What is delivered by now was in order when it was delivered first.
        if self.confirmed(event) {
            return;
        }
        let what = format!("event {event} was sent before event {earlier} of the same interaction");
        self.violate(Invariant::InOrder, what);
    }

    /// Invariant 11, once `event` is in flight and the coordinator has it, or has not: what is open
    /// there overlaps in reported time with the newest event that was sent, or was in flight beside
    /// it. Says whether the coordinator had forgotten the start.
    pub fn check_oldest_first(&mut self, event: usize, stored: bool) -> bool {
        let Event {
            interaction, keys, ..
        } = &self.events[event];
        let Some(key) = keys.first() else {
            return false;
        };
        let (interaction, stage) = (*interaction, key.stage);
        if key.ns > self.newest_ns {
            self.newest_ns = key.ns;
            let flying = self.in_flight.iter();
            let flying = flying.map(|(_, event)| self.events[*event].interaction);
            self.beside_newest = flying.collect();
        }
        // A client may post a start, or post it again, when all the rest has been delivered.
        let late = self.had_before(event) || self.ended.contains(&interaction);
        if stored && stage == Stage::Start && !late {
            self.open.insert(interaction);
        }
        if stored && stage == Stage::End {
            self.open.remove(&interaction);
            self.ended.insert(interaction);
        }
        self.check_open();
        stored && stage != Stage::Start && self.forgotten.contains(&interaction)
    }

    fn check_open(&mut self) {
        if !self.orderly || self.jumped {
            return;
        }
        let overlaps = |interaction: u64| {
            let mut events = self.events.iter().filter(|e| e.interaction == interaction);
            // What a purge or a drop-oldest took away never ends.
            let ended = |e: &Event| {
                let key = e.keys.first();
                key.is_some_and(|k| k.stage == Stage::End && k.ns <= self.newest_ns)
                    && !(e.purged || e.dropped)
            };
            !events.any(ended)
        };
        let late = |i: &&u64| !self.beside_newest.contains(i) && !overlaps(**i);
        let late: Vec<_> = self.open.iter().filter(late).collect();
        if !late.is_empty() {
            let what = format!(
                "{} interactions are open at the coordinator, {late:?} of them though newer ones went out",
                self.open.len(),
            );
            self.violate(Invariant::OldestFirst, what);
        }
    }

    /// The coordinator forgets all starts; says how many interactions that orphans.
    pub fn forget(&mut self) -> usize {
        self.check_open();
        let open = std::mem::take(&mut self.open);
        let orphans = open.len();
        self.forgotten.extend(open);
        orphans
    }

    /// Invariant 4.
    pub fn check_throttle(&mut self, limit: u32, period_ns: u64) {
        if limit == 0 {
            return;
        }
        let mut order: Vec<_> = (0..self.receipts.len()).collect();
        order.sort_by_key(|r| self.receipts[*r].received);
        let mut last_excused = None;
        for window in order.windows(limit as usize + 1) {
            let first = self.receipts[window[0]].received;
            let last = self.receipts[window[limit as usize]].received;
            if last - first >= period_ns {
                continue;
            }
            let in_window = || window.iter().map(|r| &self.receipts[*r]);
            let several = in_window().any(|r| r.instance != self.receipts[window[0]].instance);
            let near = |t: &u64| *t + 3 * period_ns >= first && *t <= last;
            let expired = in_window().any(|r| {
                let s = self.senders.get(&r.instance).cloned().unwrap_or_default();
                s.overlapped.iter().any(near)
            });
            // What was written down within two windows before may still count.
            let since = first.saturating_sub(2 * period_ns);
            let differ = |(from, to): &(u64, u64)| *from <= last && since <= *to;
            let stepped = self.disagreements.iter().any(differ);
            // Where others write the control record, or the store broke a delivery off, a drainer may
            // know of its own sends by the wall clock alone.
            let by_hand = |l: &Lease| l.who == 0 && since <= l.at && l.at <= last;
            let broken_off = in_window().any(|r| {
                let sender = self.senders.get(&r.instance);
                sender.is_some_and(|s| s.broken_off.iter().any(near))
            });
            let handed_over =
                several || self.several || broken_off || self.leases.iter().any(by_hand);
            let stalled = in_window().any(|r| {
                let s = self.senders.get(&r.instance).cloned().unwrap_or_default();
                s.stalled.iter().any(near)
            });
            let excuse = if expired {
                Some("throttle: a lease expired under a stalled drainer")
            } else if (several || self.several) && stalled {
                Some(
                    "throttle: a drainer stalled between reserving and sending, and never wrote it down",
                )
            } else if handed_over && stepped {
                Some("throttle: the wall clock stepped between instances")
            } else if self
                .control_damaged
                .iter()
                .any(|t| *t + DAMAGE_LASTS >= first && *t <= last)
            {
                Some("throttle: the control record was damaged")
            } else {
                None
            };
            match excuse {
                Some(excuse) => {
                    if last_excused.is_none_or(|t| t < first) {
                        self.excuse(excuse);
                        last_excused = Some(last);
                    }
                }
                None => {
                    let times: Vec<_> = in_window().map(|r| (r.received, r.instance)).collect();
                    let what = format!(
                        "{} requests within {} ns of {period_ns}: {times:?}",
                        window.len(),
                        last - first
                    );
                    self.violate(Invariant::Throttled, what);
                    return;
                }
            }
        }
    }

    /// Invariant 5.
    pub fn check_doubles(&mut self) {
        for at in 0..self.events.len() {
            let mut stored: Vec<_> = self.events[at].receipts.clone();
            stored.retain(|r| self.receipts[*r].stored);
            for pair in 1..stored.len() {
                let [a, b] = [self.receipts[stored[pair - 1]], self.receipts[stored[pair]]];
                let sender =
                    |r: &Receipt| self.senders.get(&r.instance).cloned().unwrap_or_default();
                let before = |t: Option<u64>| t.is_some_and(|t| t <= b.sent);
                let overlap = self
                    .senders
                    .values()
                    .flat_map(|s| &s.overlapped)
                    .any(|t| *t <= b.sent);
                let between = |t: &u64| a.told.is_some_and(|told| told <= *t) && *t <= b.sent;
                let broken_off = sender(&a).broken_off.iter().any(between);
                let excuse = if !a.confirmed
                    || a.told.is_none_or(|t| t > b.sent) && a.instance == b.instance
                {
                    "second delivery: the answer was lost"
                } else if before(sender(&a).crashed) {
                    "second delivery: a crash"
                } else if a.instance != b.instance && broken_off || overlap {
                    "second delivery: a lease expired"
                } else if broken_off && self.put_back_by_redrive(at, &a, &b) {
                    "second delivery: a lease expired, another made a dead letter of it, a redrive put it back"
                } else if self
                    .control_damaged
                    .iter()
                    .any(|t| *t + DAMAGE_LASTS >= a.sent && *t <= b.sent)
                {
                    "second delivery: the control record was damaged"
                } else {
                    let what = format!("event {at} was delivered twice: {a:?}, {b:?}");
                    self.violate(Invariant::OnlyOnce, what);
                    return;
                };
                self.excuse(excuse);
            }
        }
    }

    /// Whether between `a` and `b` another drainer than that of `a` sent the event, which it could
    /// not know to be delivered, made a dead letter of it, and a redrive put that back.
    fn put_back_by_redrive(&self, at: usize, a: &Receipt, b: &Receipt) -> bool {
        let event = &self.events[at];
        let mut receipts = event.receipts.iter().map(|r| &self.receipts[*r]);
        event.redriven
            && event.stored_at <= b.sent
            && receipts.any(|r| {
                let between = a.sent < r.sent && r.sent <= event.stored_at;
                between && r.instance != a.instance && !r.stored
            })
    }

    /// Invariant 7: whether something happened to the interaction of `event` for which a dead
    /// letter is right.
    pub fn check_dead_letter(
        &mut self,
        event: usize,
        now: u64,
        (max_retries, after_ns): (u32, u64),
    ) {
        let interaction = self.events[event].interaction;
        let entitled = self.events.iter().enumerate().any(|(at, e)| {
            e.interaction == interaction
                && (e.refused
                    || e.damaged
                    || e.died
                    || self.poisoned(at, now, max_retries, after_ns))
        });
        if !entitled {
            let what = format!("event {event} became a dead letter without a refusal");
            self.violate(Invariant::NoFalseDeadLetter, what);
        }
        self.events[event].died = true;
    }

    fn poisoned(&self, at_event: usize, now: u64, max_retries: u32, after_ns: u64) -> bool {
        let failures = &self.events[at_event].failures;
        let Some(first) = failures.iter().find(|f| f.transient) else {
            return false;
        };
        // Of two drainers at once, one goes by a count of deliveries that is behind the other's, and
        // by it writes down the tries of both; or it brings back what the other has delivered.
        let overlap = self.senders.values().any(|s| !s.overlapped.is_empty());
        let ended = |s: &Sender, from: u64, to: u64| {
            let mut times = s.broken_off.iter().copied().chain(s.crashed);
            times.any(|t| from <= t && t <= to)
        };
        let charged = (1..failures.len()).filter(|at| {
            let (earlier, this) = (&failures[..*at], &failures[*at]);
            // A try that the store or a crash kept from being written down is forgotten.
            let noted = |f: &&Failed| {
                let mut senders = self.senders.values();
                !senders.any(|s| ended(s, f.told, this.sent))
            };
            let since = match earlier.iter().rev().find(noted) {
                Some(previous) if !overlap => previous.sent,
                _ => 0,
            };
            this.transient
                && self.receipts.iter().any(|r| {
                    (overlap || r.event != at_event)
                        && r.confirmed
                        && r.told.is_some_and(|t| since <= t && t <= this.told)
                })
        });
        charged.count() >= max_retries as usize && (self.jumped || now - first.told >= after_ns)
    }

    /// Invariants 1 and 2, against what the store holds at the end.
    pub fn check_books(&mut self, in_store: impl Fn(&EventKey) -> bool) {
        for at in 0..self.events.len() {
            let event = &self.events[at];
            let held = event.keys.iter().any(&in_store);
            let received = !event.receipts.is_empty();
            match event.fate {
                Fate::Acknowledged => {
                    if !held && !event.purged && !event.dropped && !self.confirmed(at) {
                        self.violate(
                            Invariant::NothingLost,
                            format!("event {at} was acknowledged and is nowhere"),
                        );
                    }
                }
                Fate::Refused => {
                    if held || received {
                        self.violate(
                            Invariant::NothingElse,
                            format!("event {at} was refused, and is kept or sent"),
                        );
                    }
                }
                Fate::Unknown => {}
            }
        }
    }
}

/// Whether `held` has the event of `key` under it, in either place.
fn holds(key: &EventKey, held: impl Fn(&str) -> bool) -> bool {
    held(&key.name(Place::Waiting)) || held(&key.name(Place::Dead))
}
