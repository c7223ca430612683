//! The oracle: what was reported, what the coordinator got, and whether both fit.
//!
//! It knows nothing of how the core works but the names of keys and the format
//! of records, and keeps its own books of everything that the store and the
//! coordinator did. The invariants are those of the [crate](crate) documentation.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use mcp_reporter_core::outbox::{EventKey, Place, Stage};

/// How long a damaged control record can have effects: a lease, and the windows of the throttle.
const DAMAGE_LASTS: u64 = 9_000_000_000;

/// The one way that is known to lose an event, by its name in the [coverage](crate::Coverage).
///
/// A drainer that stalls for longer than its lease between the two halves of a
/// move deletes what another moved back meanwhile. Keys have no condition that
/// a delete could carry, so that the fence, which is on the control record
/// alone, comes too late.
pub const KNOWN_LOSS: &str = "KNOWN LOSS: the lease expired in the middle of a move";

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
    pub key: Option<EventKey>,
    pub acceptor: u64,
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
    pub refused: bool,
    /// It was put back; `stored_op` is when.
    pub redriven: bool,
    /// It fell to the [`KNOWN_LOSS`].
    pub overtaken: bool,
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
    /// When it sent long after it had reserved the permit, because the store was slow.
    pub stalled: Vec<u64>,
    /// Store operations done when its last listing began, and when it ended.
    pub listing: (u64, u64),
    /// Its wall clock at the last listing.
    pub listing_wall: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub events: Vec<Event>,
    pub receipts: Vec<Receipt>,
    pub senders: BTreeMap<u64, Sender>,
    by_body: HashMap<Vec<u8>, usize>,
    by_key: HashMap<EventKey, usize>,
    pub violations: Vec<Violation>,
    /// Who took the lease, and when.
    pub leases: Vec<(u64, u64)>,
    /// When wall clocks differed, or jumped: from, to.
    pub disagreements: Vec<(u64, u64)>,
    /// Whether there is more than one process.
    pub several: bool,
    /// A wall clock jumped, or clocks differ.
    pub jumped: bool,
    /// When the control record was damaged or misread.
    pub control_damaged: Vec<u64>,
    pub excused: Vec<&'static str>,
    pub dropped: u64,
}

impl Ledger {
    pub fn violate(&mut self, invariant: Invariant, what: String) {
        self.violations.push(Violation { invariant, what });
    }

    pub fn submit(&mut self, interaction: u64, body: Vec<u8>, acceptor: u64) -> usize {
        let at = self.events.len();
        self.by_body.insert(body, at);
        self.events.push(Event {
            interaction,
            fate: Fate::Unknown,
            key: None,
            acceptor,
            stored_op: 0,
            stored_at: 0,
            idempotency_key: None,
            purged: false,
            dropped: false,
            damaged: false,
            died: false,
            refused: false,
            redriven: false,
            overtaken: false,
            receipts: Vec::new(),
            failures: Vec::new(),
        });
        at
    }

    pub fn by_body(&self, body: &[u8]) -> Option<usize> {
        self.by_body.get(body).copied()
    }

    pub fn by_key(&self, key: &EventKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// An acceptor stored an event under `key`.
    pub fn stored(
        &mut self,
        key: EventKey,
        body: &[u8],
        idempotency_key: String,
        op: u64,
        now: u64,
    ) {
        let Some(at) = self.by_body(body) else {
            self.violate(
                Invariant::NothingElse,
                "a body was stored that was not reported".into(),
            );
            return;
        };
        self.by_key.insert(key, at);
        let event = &mut self.events[at];
        event.key = Some(key);
        event.stored_op = op;
        event.stored_at = now;
        event.idempotency_key = Some(idempotency_key);
    }

    pub fn sender(&mut self, instance: u64) -> &mut Sender {
        self.senders.entry(instance).or_default()
    }

    pub fn excuse(&mut self, why: &'static str) {
        self.excused.push(why);
    }

    fn confirmed(&self, at: usize) -> bool {
        self.events[at]
            .receipts
            .iter()
            .any(|r| self.receipts[*r].stored)
    }

    /// A drainer deletes the key of an event: allowed when it was delivered, or
    /// is elsewhere.
    pub fn deleted_by_drainer(
        &mut self,
        place: Place,
        key: &EventKey,
        elsewhere: bool,
        overtaken: bool,
    ) {
        let Some(at) = self.by_key(key) else { return };
        let delivered = self.confirmed(at) && place == Place::Waiting;
        if !delivered && !elsewhere && overtaken {
            // Half a move, a stall longer than the lease, and another that moved it meanwhile.
            self.events[at].overtaken = true;
            self.excuse(KNOWN_LOSS);
        } else if !delivered && !elsewhere {
            let what = format!("a drainer deleted event {at} ({place:?}), which was not delivered");
            self.violate(Invariant::NothingLost, what);
        }
    }

    /// A redrive deletes a dead letter that does not wait: allowed when it was
    /// delivered since it was put back.
    pub fn deleted_by_redrive(&mut self, key: &EventKey, overtaken: bool) {
        let Some(at) = self.by_key(key) else { return };
        if self.confirmed(at) {
            return;
        }
        if overtaken {
            self.events[at].overtaken = true;
            self.excuse(KNOWN_LOSS);
        } else {
            let what = format!("a redrive deleted event {at}, which was not put back");
            self.violate(Invariant::OnlyTheNamed, what);
        }
    }

    /// Invariant 3, when `event` is about to be sent by `instance`: nothing that
    /// comes before it waits, undelivered, where the sender could see it.
    pub fn check_order(&mut self, event: usize, instance: u64, waits: impl Fn(&EventKey) -> bool) {
        let sender = self.senders.get(&instance).cloned().unwrap_or_default();
        let rank = |k: &EventKey| (k.stage != Stage::Start, k.ns, k.random);
        let this = &self.events[event];
        let Some(key) = this.key else { return };
        let earlier = self.events.iter().position(|e| {
            let Some(k) = e.key else { return false };
            e.interaction == this.interaction
                && rank(&k) < rank(&key)
                && (e.acceptor == this.acceptor && k.ns < key.ns && !e.redriven
                    || e.stored_op < sender.listing.0)
                && e.receipts.iter().all(|r| !self.receipts[*r].stored)
                && waits(&k)
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
            let differed = |(from, to): &(u64, u64)| *from <= last && since <= *to;
            let stepped = self.disagreements.iter().any(differed);
            // Where others write the control record, a drainer may know of its own sends by the
            // wall clock alone.
            let by_hand = |(at, who): &(u64, u64)| {
                *who == 0 && first.saturating_sub(2 * period_ns) <= *at && *at <= last
            };
            let handed_over = several || self.several || self.leases.iter().any(by_hand);
            let stalled = in_window().any(|r| {
                let s = self.senders.get(&r.instance).cloned().unwrap_or_default();
                s.stalled.iter().any(near)
            });
            let excuse = if expired {
                Some("throttle: a lease expired under a stalled drainer")
            } else if several && stalled {
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

    /// Invariant 7: whether something happened to the interaction of `event`
    /// for which a dead letter is right.
    pub fn check_dead_letter(&mut self, event: usize, now: u64, max_retries: u32, after_ns: u64) {
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

    fn poisoned(&self, at: usize, now: u64, max_retries: u32, after_ns: u64) -> bool {
        let failures = &self.events[at].failures;
        let Some(first) = failures.iter().find(|f| f.transient) else {
            return false;
        };
        let charged = failures.windows(2).filter(|pair| {
            let (since, until) = (pair[0].sent, pair[1].told);
            pair[1].transient
                && self.receipts.iter().any(|r| {
                    r.event != at && r.confirmed && r.told.is_some_and(|t| since <= t && t <= until)
                })
        });
        charged.count() >= max_retries as usize && (self.jumped || now - first.told >= after_ns)
    }

    /// Invariants 1 and 2, against what the store holds at the end.
    pub fn check_books(&mut self, in_store: impl Fn(&EventKey) -> bool) {
        for at in 0..self.events.len() {
            let event = &self.events[at];
            let held = event.key.is_some_and(|k| in_store(&k));
            let received = !event.receipts.is_empty();
            match event.fate {
                Fate::Acknowledged => {
                    if !held
                        && !event.purged
                        && !event.dropped
                        && !event.overtaken
                        && !self.confirmed(at)
                    {
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
