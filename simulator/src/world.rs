//! The world of a run: time, processes, and what they do.
//!
//! Everything happens in one thread and in simulated time. Where the plan says
//! so, another process makes a step in the middle of a store operation, so that
//! processes interleave at every operation and not only between calls.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_reporter_core::accept::{Acceptor, Refusal};
use mcp_reporter_core::admin::{self, PurgeFilter};
use mcp_reporter_core::control::{self, Control};
use mcp_reporter_core::drain::{Answer, Drainer, Outgoing, Step};
use mcp_reporter_core::event::{Action as Kind, Report};
use mcp_reporter_core::outbox::{EventKey, Place, Stage, interaction_hash};
use mcp_reporter_core::settings::{IngestKeys, Settings, WhenFull};
use mcp_reporter_core::store::Now;
use std::time::Duration;

use crate::client::INGEST_KEY;
use crate::coordinator;
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::oracle::{Failed, Fate, Invariant, Lease, Ledger, Receipt};
use crate::plan::{Act, Action, Config, Faults, Model, Plan, Sabotage, Weather};
use crate::store::{Handle, Role};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
/// `rate_period`.
const PERIOD: u64 = SECOND;
/// How long a reserved permit is good for.
const RESERVATION: u64 = 200 * MS;
/// When a run begins: not 0, so that a process can have run for a while.
const START: u64 = 3_600 * SECOND;
/// Steps that a run may take between two actions before it counts as stuck.
const MAX_STEPS: u32 = 20_000;
/// How often the host's timer calls at the latest.
const TIMER: u64 = 30 * SECOND;

/// A request under way.
struct Pending {
    token: u64,
    receipt: Option<usize>,
    event: Option<usize>,
    sent: u64,
    /// When the answer comes.
    at: u64,
    answer: Answer,
    deadline: u64,
}

struct Session {
    pending: Vec<Pending>,
    wake: u64,
}

/// A process: an acceptor, a drainer, and the delivery under way.
struct Process {
    acceptor: Acceptor,
    drainer: Drainer,
    dice: Dice,
    session: Option<Session>,
}

enum Slot {
    Down,
    /// In the middle of a call.
    Busy,
    Up(Box<Process>),
}

/// What is known of a process while it is in the middle of a call, too.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Meta {
    /// The drainer, counted over all.
    pub instance: u64,
    /// The acceptor, counted over all.
    acceptor: u64,
    /// How far its wall clock is ahead of time.
    offset: i64,
    /// When its monotonic clock was 0.
    mono_base: u64,
    up_at: u64,
    stalled_until: u64,
    next_begin: u64,
    /// Whether a delivery is under way.
    live: bool,
}

/// An interaction as its reporter knows it.
#[derive(Clone)]
struct Interaction {
    number: u64,
    started: bool,
}

pub(crate) struct World {
    pub config: Config,
    pub settings: Arc<Settings>,
    pub now: Cell<u64>,
    pub dice: RefCell<Dice>,
    /// Whether faults strike just now.
    pub faulty: Cell<bool>,
    /// Whether the faults are over.
    pub calm: Cell<bool>,
    pub map: RefCell<BTreeMap<String, Vec<u8>>>,
    pub meta: RefCell<Vec<Meta>>,
    slots: RefCell<Vec<Slot>>,
    pub ledger: RefCell<Ledger>,
    pub coverage: RefCell<Coverage>,
    weather: Cell<Weather>,
    pub depth: Cell<u32>,
    pub ops: Cell<u64>,
    instances: Cell<u64>,
    open: RefCell<Vec<Interaction>>,
    interactions: Cell<u64>,
    longest_hold: Cell<u64>,
    /// What happened, line by line; none when nobody asked.
    pub trace: RefCell<Option<Vec<String>>>,
}

fn settings(config: &Config) -> Settings {
    let base = Settings::from_pairs([
        ("enable_interaction_logging", "true"),
        ("mcp_id", "m"),
        ("coordinator_url", "http://127.0.0.1:1"),
        ("coordinator_api_key", "k"),
    ]);
    let Ok(Some(base)) = base else {
        unreachable!("these settings are complete");
    };
    Settings {
        ingest_keys: IngestKeys::parse(INGEST_KEY).unwrap_or_default(),
        rate_limit: config.rate_limit,
        rate_period: Duration::from_nanos(PERIOD),
        max_in_flight: config.max_in_flight,
        max_events: config.max_events,
        when_full: if config.drop_oldest {
            WhenFull::DropOldest
        } else {
            WhenFull::Reject
        },
        max_retries: config.max_retries,
        dead_letter_after: Duration::from_secs(config.dead_letter_after_s),
        ..base
    }
}

impl World {
    pub fn new(plan: &Plan, traced: bool) -> Self {
        let config = plan.config.clone();
        let world = Self {
            settings: Arc::new(settings(&config)),
            now: Cell::new(START),
            dice: RefCell::new(Dice::new(plan.seed)),
            faulty: Cell::new(false),
            calm: Cell::new(false),
            map: RefCell::default(),
            meta: RefCell::new(vec![Meta::default(); config.processes]),
            slots: RefCell::new((0..config.processes).map(|_| Slot::Down).collect()),
            ledger: RefCell::default(),
            coverage: RefCell::default(),
            weather: Cell::new(Weather::Fine),
            depth: Cell::new(0),
            ops: Cell::new(0),
            instances: Cell::new(0),
            open: RefCell::default(),
            interactions: Cell::new(0),
            longest_hold: Cell::new(0),
            trace: RefCell::new(traced.then(Vec::new)),
            config,
        };
        {
            let ledger = &mut *world.ledger.borrow_mut();
            let config = &world.config;
            ledger.several = config.processes > 1;
            ledger.orderly = config.processes == 1
                && config.faults == Faults::default()
                && config.poison + config.refused == 0;
        }
        for process in 0..world.config.processes {
            world.start(process);
        }
        world
    }

    pub fn hit(&self, name: &'static str) {
        self.coverage.borrow_mut().hit(name);
    }

    /// Writes down what happened, where somebody asked for it.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut *self.trace.borrow_mut() {
            let now = self.now.get() - START;
            trace.push(format!(
                "{:>4}.{:09}  {}{}",
                now / SECOND,
                now % SECOND,
                "  ".repeat(self.depth.get() as usize),
                what()
            ));
        }
    }

    pub fn pass(&self, ns: u64) {
        self.now.set(self.now.get() + ns);
    }

    pub fn roll(&self, from: u64, to: u64) -> u64 {
        self.dice.borrow_mut().between(from, to)
    }

    /// How fast a monotonic clock runs.
    fn pace(&self) -> u64 {
        match self.config.sabotage {
            Some(Sabotage::FastClock) => 3,
            _ => 1,
        }
    }

    /// What the clocks of a process say.
    pub fn clock(&self, process: usize) -> Now {
        let meta = self.meta.borrow()[process];
        let now = self.now.get();
        Now {
            wall_ns: (self.config.epoch_s * SECOND + now).saturating_add_signed(meta.offset),
            mono_ns: (now - meta.mono_base) * self.pace(),
        }
    }

    /// The time at which the monotonic clock of a process says `mono`.
    fn at_mono(&self, process: usize, mono: u64) -> u64 {
        let base = self.meta.borrow()[process].mono_base;
        base.saturating_add(mono.div_ceil(self.pace()))
    }

    pub fn new_instance(&self) -> u64 {
        self.instances.set(self.instances.get() + 1);
        self.instances.get()
    }

    /// Whether a process runs, started anew if it is time for that.
    pub fn runs(&self, process: usize) -> bool {
        let (now, meta) = (self.now.get(), self.meta.borrow()[process]);
        let down = matches!(self.slots.borrow()[process], Slot::Down);
        if meta.stalled_until > now || down && meta.up_at > now {
            return false;
        }
        if down {
            self.start(process);
        }
        true
    }

    /// An arrival wakes the timer.
    pub fn wake_timer(&self, process: usize) {
        let meta = &mut self.meta.borrow_mut()[process];
        if meta.next_begin != u64::MAX && !meta.live {
            meta.next_begin = meta.next_begin.min(self.now.get() + SECOND);
        }
    }

    fn start(&self, process: usize) {
        let mut dice = Dice::new(self.dice.borrow_mut().bits());
        let instance = self.new_instance();
        let mut meta = self.meta.borrow_mut();
        let meta = &mut meta[process];
        *meta = Meta {
            instance,
            acceptor: instance,
            mono_base: self.now.get(),
            next_begin: if self.config.timer || self.calm.get() {
                self.now.get()
            } else {
                u64::MAX
            },
            offset: meta.offset,
            ..Meta::default()
        };
        self.slots.borrow_mut()[process] = Slot::Up(Box::new(Process {
            acceptor: Acceptor::new(self.settings.clone()),
            drainer: Drainer::new(self.settings.clone(), &mut dice),
            dice,
            session: None,
        }));
    }

    /// Takes a process to have it do something; none while it is down, stalled
    /// or in the middle of a call.
    fn take(&self, process: usize) -> Option<Box<Process>> {
        if !self.runs(process) {
            return None;
        }
        let slot = &mut self.slots.borrow_mut()[process];
        match std::mem::replace(slot, Slot::Busy) {
            Slot::Up(taken) => Some(taken),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Gives a process back, or buries it.
    fn give(&self, process: usize, taken: Box<Process>, dead: bool) {
        if dead {
            self.kill(process);
        } else {
            self.slots.borrow_mut()[process] = Slot::Up(taken);
        }
    }

    fn kill(&self, process: usize) {
        let now = self.now.get();
        let delay = self.dice.borrow_mut().pick(&[1, 100, 3_000, 9_000]) * MS;
        let mut meta = self.meta.borrow_mut();
        let meta = &mut meta[process];
        self.ledger.borrow_mut().sender(meta.instance).crashed = Some(now);
        let instance = meta.instance;
        let mut ledger = self.ledger.borrow_mut();
        ledger.in_flight.retain(|(sender, _)| *sender != instance);
        ledger.orderly = false;
        meta.up_at = now + delay;
        meta.live = false;
        self.slots.borrow_mut()[process] = Slot::Down;
    }

    /// Another process does something, in the middle of what one does.
    pub fn interleave(&self) {
        if self.depth.get() >= 2 {
            return;
        }
        self.depth.set(self.depth.get() + 1);
        let process = self.roll(0, self.config.processes as u64) as usize;
        match self.roll(0, 8) {
            0 => self.report(process, 1),
            1 => self.redrive(process, false),
            _ => self.step(process, 6_000),
        }
        self.depth.set(self.depth.get() - 1);
    }

    /// Whoever takes the lease while others deliver overlaps with them.
    fn took_lease(&self, process: usize, who: u64) {
        let now = self.now.get();
        let meta = self.meta.borrow();
        self.ledger.borrow_mut().leases.push(Lease { at: now, who });
        let others = || {
            meta.iter()
                .enumerate()
                .filter(|(p, m)| *p != process && m.live)
        };
        if others().next().is_none() {
            return;
        }
        self.hit("lease: expired under a delivery");
        let mut ledger = self.ledger.borrow_mut();
        ledger.sender(meta[process].instance).overlapped.push(now);
        for (_, m) in others() {
            ledger.sender(m.instance).overlapped.push(now);
        }
    }

    /// Begins a delivery, or makes one step of it.
    fn step(&self, process: usize, budget_ms: u64) {
        let Some(mut taken) = self.take(process) else {
            return;
        };
        let mut handle = Handle::new(self, process, Role::Drain);
        self.drive(process, &mut taken, &mut handle, budget_ms);
        let dead = handle.dead;
        self.give(process, taken, dead);
    }

    fn drive(&self, process: usize, taken: &mut Process, handle: &mut Handle<'_>, budget_ms: u64) {
        let Process {
            drainer,
            dice,
            session,
            ..
        } = taken;
        let now = self.clock(process);
        let Some(under_way) = session else {
            if self.config.fresh_instances {
                let old = self.meta.borrow()[process].instance;
                let mut ledger = self.ledger.borrow_mut();
                ledger.sender(old).crashed.get_or_insert(self.now.get());
                drop(ledger);
                let instance = self.new_instance();
                self.meta.borrow_mut()[process].instance = instance;
                *drainer = Drainer::new(self.settings.clone(), dice);
            }
            self.hit("deliver: begin");
            let begun = drainer.begin(handle, dice, now, Duration::from_millis(budget_ms));
            self.tell(|| format!("p{process} begins: {begun:?}"));
            match begun {
                Ok(None) if !handle.dead => {
                    let who = self.meta.borrow()[process].instance;
                    self.took_lease(process, who);
                    self.meta.borrow_mut()[process].live = true;
                    *session = Some(Session {
                        pending: Vec::new(),
                        wake: 0,
                    });
                }
                Ok(None) => {}
                Ok(Some(idle)) => {
                    if idle.lease_held_elsewhere {
                        self.hit("deliver: the lease is held elsewhere");
                    }
                    self.come_back(process, idle.next);
                }
                Err(_) => {
                    self.hit("deliver: the store fails");
                    self.come_back(process, Some(Duration::from_secs(1)));
                }
            }
            return;
        };
        self.answer(process, drainer, under_way, now);
        let step = drainer.poll(handle, dice, now);
        self.tell(|| match &step {
            Ok(Step::Send(_)) => format!("p{process} polls: send"),
            other => format!("p{process} polls: {other:?}"),
        });
        match step {
            Ok(Step::Send(out)) => {
                if handle.dead {
                    return; // it died before the request went out
                }
                let pending = self.receive(process, out);
                under_way.pending.push(pending);
                under_way.wake = 0;
            }
            Ok(Step::Wait { until_mono_ns }) => {
                under_way.wake = self.at_mono(process, until_mono_ns);
            }
            Ok(Step::Done(done)) => {
                *session = None;
                self.nothing_in_flight(process);
                self.meta.borrow_mut()[process].live = false;
                if done.lease_held_elsewhere {
                    self.hit("deliver: lost the lease");
                    let instance = self.meta.borrow()[process].instance;
                    let now = self.now.get();
                    let mut ledger = self.ledger.borrow_mut();
                    ledger.sender(instance).broken_off.push(now);
                    ledger.sender(instance).overlapped.push(now);
                } else {
                    self.hit("deliver: done");
                }
                self.come_back(process, done.next);
            }
            Err(_) => {
                self.hit("deliver: the store fails");
                *session = None;
                self.nothing_in_flight(process);
                let now = self.now.get();
                let instance = {
                    let meta = &mut self.meta.borrow_mut()[process];
                    meta.live = false;
                    meta.instance
                };
                self.ledger
                    .borrow_mut()
                    .sender(instance)
                    .broken_off
                    .push(now);
                self.come_back(process, Some(Duration::from_secs(1)));
            }
        }
        drainer.take_notes();
    }

    fn nothing_in_flight(&self, process: usize) {
        let instance = self.meta.borrow()[process].instance;
        let mut ledger = self.ledger.borrow_mut();
        ledger.in_flight.retain(|(sender, _)| *sender != instance);
    }

    fn come_back(&self, process: usize, next: Option<Duration>) {
        let wait = next.map_or(TIMER, |d| (d.as_nanos() as u64).clamp(MS, TIMER));
        let meta = &mut self.meta.borrow_mut()[process];
        if meta.next_begin != u64::MAX {
            meta.next_begin = self.now.get() + wait;
        }
    }

    /// Tells the drainer of the answers that have come.
    fn answer(&self, process: usize, drainer: &mut Drainer, session: &mut Session, now: Now) {
        let time = self.now.get();
        let mut at = 0;
        while at < session.pending.len() {
            let Pending {
                at: comes,
                deadline,
                ..
            } = session.pending[at];
            if time < comes.min(deadline) {
                at += 1;
                continue;
            }
            let pending = session.pending.remove(at);
            // Where both are over, because the process did not run, either may be seen.
            let answered = comes <= time && (comes < deadline || self.roll(0, 2) == 0);
            let answer = if answered {
                pending.answer.clone()
            } else {
                Answer::TimedOut
            };
            self.tell(|| {
                format!(
                    "p{process} is told of event {:?}: {answer:?}",
                    pending.event
                )
            });
            let mut ledger = self.ledger.borrow_mut();
            let instance = self.meta.borrow()[process].instance;
            ledger
                .in_flight
                .retain(|(sender, event)| *sender != instance || Some(*event) != pending.event);
            match &answer {
                Answer::Status {
                    code: 200..=299, ..
                } => {
                    self.hit("verdict: delivered");
                    if let Some(receipt) = pending.receipt {
                        ledger.receipts[receipt].told = Some(time);
                    }
                }
                Answer::Status {
                    code: 401 | 403 | 404 | 405 | 410 | 300..=399,
                    ..
                }
                | Answer::Denied(_) => {
                    self.hit("verdict: pause");
                    self.failed(&mut ledger, &pending, false);
                }
                Answer::Status {
                    code: 408 | 409 | 425 | 429,
                    ..
                } => self.failed(&mut ledger, &pending, true),
                Answer::Status {
                    code: 400..=499, ..
                } => {
                    self.hit("verdict: refused");
                    self.failed(&mut ledger, &pending, false);
                    if let Some(event) = pending.event
                        && self.config.sabotage != Some(Sabotage::RefusesInOutage)
                    {
                        ledger.events[event].refused = true;
                    }
                }
                Answer::TimedOut => {
                    self.hit("verdict: timed out");
                    self.failed(&mut ledger, &pending, true);
                    if let Some(receipt) = pending.receipt {
                        ledger.receipts[receipt].confirmed = false;
                    }
                }
                _ => self.failed(&mut ledger, &pending, true),
            }
            drop(ledger);
            drainer.answered(pending.token, answer, now);
        }
    }

    fn failed(&self, ledger: &mut Ledger, pending: &Pending, transient: bool) {
        if transient {
            self.hit("verdict: transient");
        }
        ledger.orderly = false;
        if let Some(event) = pending.event {
            ledger.events[event].failures.push(Failed {
                sent: pending.sent,
                told: self.now.get(),
                transient,
            });
        }
    }

    /// A request goes out, and arrives.
    fn receive(&self, process: usize, out: Outgoing) -> Pending {
        let sent = self.now.get();
        let Meta { instance, .. } = self.meta.borrow()[process];
        let dice = &mut *self.dice.borrow_mut();
        let mut ledger = self.ledger.borrow_mut();
        let (mut body, mut idempotency_key) = (out.body, out.idempotency_key);
        match self.config.sabotage {
            Some(Sabotage::ChangesBodies) => body.push(b' '),
            Some(Sabotage::ChangesKeys) => idempotency_key.push_str(&dice.bits().to_string()),
            _ => {}
        }
        let wrote = ledger.sender(instance).wrote;
        if sent - wrote > RESERVATION {
            ledger.sender(instance).stalled.push(sent);
        }
        let received = sent + dice.between(MS, 30 * MS);
        let deadline = self.at_mono(process, out.deadline_mono_ns);
        let Some(event) = ledger.by_content(body, out.traceparent) else {
            ledger.violate(
                Invariant::NothingElse,
                "a body was sent that was not reported".into(),
            );
            return Pending {
                token: out.token,
                receipt: None,
                event: None,
                sent,
                at: received,
                answer: Answer::Failed("cut".into()),
                deadline,
            };
        };
        let map = self.map.borrow();
        ledger.check_order(event, instance, |k| {
            map.contains_key(&k.name(Place::Waiting))
        });
        if ledger.events[event].idempotency_key.as_ref() != Some(&idempotency_key) {
            ledger.violate(
                Invariant::OnlyOnce,
                format!("event {event} was sent with another key"),
            );
        }
        let number = ledger.events[event].interaction;
        let every = |n: u64| n > 0 && number % n == 1;
        let fate = if every(self.config.poison) {
            coordinator::poison()
        } else if every(self.config.refused)
            || self.config.sabotage == Some(Sabotage::RefusesInOutage) && dice.chance(300)
        {
            coordinator::refusal(dice)
        } else {
            coordinator::fate(dice, self.weather.get())
        };
        self.hit(fate.name);
        self.tell(|| {
            format!(
                "p{process} sends event {event} of i{number}, {} (stored: {})",
                fate.name, fate.stored
            )
        });
        if let Some(Answer::Status {
            retry_after: Some(value),
            ..
        }) = &fate.answer
        {
            let seconds = value.parse::<u64>().unwrap_or(0).min(3_600);
            self.longest_hold
                .set(self.longest_hold.get().max(seconds * SECOND + 1));
        }
        let confirmed = matches!(
            fate.answer,
            Some(Answer::Status {
                code: 200..=299,
                ..
            })
        );
        let takes = match dice.between(0, 10) {
            _ if self.calm.get() => MS,
            0 => dice.between(MS, 4_900 * MS),
            1..=3 => dice.between(MS, 900 * MS),
            _ => dice.between(MS, 30 * MS),
        };
        let receipt = ledger.receipts.len();
        ledger.receipts.push(Receipt {
            event,
            sent,
            received,
            stored: fate.stored,
            confirmed,
            told: None,
            instance,
        });
        ledger.in_flight.push((instance, event));
        ledger.events[event].receipts.push(receipt);
        if ledger.orderly {
            self.hit("open interactions: checked");
        }
        if ledger.check_oldest_first(event, fate.stored) {
            self.hit("event: orphaned");
        }
        let (at, answer) = match fate.answer {
            Some(answer) => (received + takes, answer),
            None => (u64::MAX, Answer::TimedOut),
        };
        Pending {
            token: out.token,
            receipt: Some(receipt),
            event: Some(event),
            sent,
            at,
            answer,
            deadline,
        }
    }

    /// Lets time pass up to `target`, and everyone does what is due; ends early
    /// when `over` says so.
    fn advance(&self, target: u64, over: impl Fn() -> bool) {
        for _ in 0..MAX_STEPS {
            if over() {
                return;
            }
            let next = (0..self.config.processes).map(|p| (self.due(p), p)).min();
            match next {
                Some((at, process)) if at <= target => {
                    self.now.set(self.now.get().max(at));
                    self.step(process, 6_000);
                }
                _ => {
                    self.now.set(self.now.get().max(target));
                    return;
                }
            }
        }
        let what = format!("{MAX_STEPS} steps without an end");
        self.ledger.borrow_mut().violate(Invariant::Drains, what);
    }

    /// When a process has something to do.
    fn due(&self, process: usize) -> u64 {
        let meta = self.meta.borrow()[process];
        let at = match &self.slots.borrow()[process] {
            Slot::Down => meta.up_at,
            Slot::Busy => u64::MAX,
            Slot::Up(process) => match &process.session {
                None => meta.next_begin,
                Some(session) => session
                    .pending
                    .iter()
                    .map(|p| p.at.min(p.deadline))
                    .fold(session.wake, u64::min),
            },
        };
        at.max(meta.stalled_until)
    }

    fn report(&self, process: usize, count: usize) {
        let Some(mut taken) = self.take(process) else {
            return;
        };
        let now = self.clock(process);
        let acceptor = self.meta.borrow()[process].acceptor;
        let mut texts = Vec::new();
        for _ in 0..count {
            let text = self.next_report(now);
            let content = (text.body.clone(), String::new());
            let mut ledger = self.ledger.borrow_mut();
            let event = ledger.submit(text.interaction, content, acceptor, None);
            drop(ledger);
            texts.push((event, text));
        }
        let reports: Vec<_> = texts
            .iter()
            .map(|(_, t)| Report {
                action: t.action,
                interaction_id: &t.id,
                data: &t.data,
                timestamp_ns: t.timestamp_ns,
                mcp_id: None,
                idempotency_key: None,
                traceparent: None,
            })
            .collect();
        let mut handle = Handle::new(self, process, Role::Accept);
        let results = taken
            .acceptor
            .accept(&mut handle, &mut taken.dice, now, &reports);
        handle.check_change(None);
        let mut ledger = self.ledger.borrow_mut();
        for ((event, text), result) in texts.iter().zip(results) {
            let full = matches!(result, Err(Refusal::Full(_)));
            if !handle.dead {
                ledger.check_refusal(*event, text.action == Kind::Start, full);
            }
            let event = &mut ledger.events[*event];
            event.fate = match result {
                _ if handle.dead => Fate::Unknown,
                Ok(()) => {
                    self.hit("report: queued");
                    Fate::Acknowledged
                }
                Err(Refusal::Storage(_)) => {
                    self.hit("report: storage");
                    Fate::Unknown
                }
                Err(_) => {
                    self.hit("report: outbox full");
                    Fate::Refused
                }
            };
        }
        drop(ledger);
        let dead = handle.dead;
        self.wake_timer(process);
        self.give(process, taken, dead);
    }

    /// What some interaction reports next.
    pub fn next_report(&self, now: Now) -> Text {
        let mut open = self.open.borrow_mut();
        while open.len() < 3 {
            self.interactions.set(self.interactions.get() + 1);
            open.push(Interaction {
                number: self.interactions.get(),
                started: false,
            });
        }
        let dice = &mut *self.dice.borrow_mut();
        let at = dice.between(0, open.len() as u64) as usize;
        let number = open[at].number;
        let action = if !open[at].started && dice.chance(900) {
            Kind::Start
        } else {
            dice.pick(&[Kind::Progress, Kind::Progress, Kind::Complete, Kind::Error])
        };
        open[at].started = true;
        if matches!(action, Kind::Complete | Kind::Error) {
            open.remove(at);
        }
        let id = format!("i{number}");
        let data = format!("{{\"n\":{}}}", self.ledger.borrow().events.len());
        let given = dice.chance(300);
        let timestamp_ns = given.then_some(1_700_000_000 * SECOND + SECOND / 2);
        let body = body(action, &id, timestamp_ns.unwrap_or(now.wall_ns), &data);
        Text {
            interaction: number,
            body,
            action,
            id,
            data,
            timestamp_ns,
        }
    }

    /// The id of a random interaction that was reported.
    fn some_id(&self) -> String {
        let number = self.roll(0, self.interactions.get().max(1)) + 1;
        format!("i{number}")
    }

    fn redrive(&self, process: usize, one: bool) {
        let ids: Vec<_> = one.then(|| self.some_id()).into_iter().collect();
        let Some(mut taken) = self.take(process) else {
            return;
        };
        let wanted = ids.first().map(|id| interaction_hash(id));
        let mut handle = Handle::new(self, process, Role::Redrive { wanted });
        let now = self.clock(process);
        let moved = admin::redrive(&mut handle, &mut taken.dice, now, &ids);
        self.hit("redrive");
        handle.check_change(moved.as_ref().ok().copied());
        self.changed(
            process,
            !matches!(moved, Err(admin::AdminError::Busy { .. })),
        );
        let dead = handle.dead;
        self.give(process, taken, dead);
    }

    /// A change by hand was made, or at least begun.
    fn changed(&self, process: usize, begun: bool) {
        let live = self.meta.borrow()[process].live;
        if begun {
            self.took_lease(process, 0);
            if live {
                let instance = self.meta.borrow()[process].instance;
                let now = self.now.get();
                self.ledger
                    .borrow_mut()
                    .sender(instance)
                    .overlapped
                    .push(now);
            }
        }
    }

    fn purge(&self, process: usize, dead: bool, one: bool, older_s: Option<u64>) {
        let interaction_id = one.then(|| self.some_id());
        let Some(mut taken) = self.take(process) else {
            return;
        };
        let now = self.clock(process);
        let mut handle = Handle::new(
            self,
            process,
            Role::Purge {
                dead,
                wanted: interaction_id.as_deref().map(interaction_hash),
                newest_ns: older_s.map(|s| now.wall_ns.saturating_sub(s * SECOND)),
            },
        );
        let filter = PurgeFilter {
            dead_letters: dead,
            older_than: older_s.map(Duration::from_secs),
            interaction_id,
        };
        let purged = admin::purge(&mut handle, &mut taken.dice, now, &filter);
        self.hit("purge");
        handle.check_change(purged.as_ref().ok().copied());
        self.changed(
            process,
            !matches!(purged, Err(admin::AdminError::Busy { .. })),
        );
        let dead = handle.dead;
        self.give(process, taken, dead);
    }

    fn look(&self, process: usize) {
        let Some(taken) = self.take(process) else {
            return;
        };
        let mut handle = Handle::new(self, process, Role::Look);
        let now = self.clock(process);
        self.hit("look");
        let status = admin::status(&mut handle, now);
        let pages = [Place::Waiting, Place::Dead].map(|p| admin::list(&mut handle, p, 3, None));
        if pages.iter().all(Result::is_ok) && status.is_ok() {
            self.hit("look: succeeded");
        }
        let dead = handle.dead;
        self.give(process, taken, dead);
    }

    /// Keeps the times at which clocks differ, after one jumped.
    fn note_clocks(&self) {
        let now = self.now.get();
        let meta = self.meta.borrow();
        let differ = meta.iter().any(|m| m.offset != meta[0].offset);
        let times = &mut self.ledger.borrow_mut().disagreements;
        if let Some((_, to)) = times.last_mut() {
            *to = now.min(*to);
        }
        times.push((now, if differ { u64::MAX } else { now }));
    }

    /// Does one action of the plan.
    pub fn act(&self, action: Action) {
        *self.dice.borrow_mut() = Dice::new(action.seed);
        self.faulty.set(action.faulty);
        if action.act != Act::Forget {
            self.pass(MS);
        }
        self.tell(|| format!("{:?}", action.act));
        match action.act {
            Act::Report { process, count } => self.report(process, count),
            Act::Post { process, at_once } => self.post(process, at_once),
            Act::PostAgain { process, at_once } => self.post_again(process, at_once),
            Act::Deliver { process, budget_ms } => {
                self.step(process, budget_ms);
                self.advance(self.now.get(), || false);
            }
            Act::Advance { ms } => self.advance(self.now.get() + ms * MS, || false),
            Act::Jump { process, ms } => {
                self.hit(if ms < 0 {
                    "clock: back"
                } else {
                    "clock: forward"
                });
                self.ledger.borrow_mut().jumped = true;
                for (p, meta) in self.meta.borrow_mut().iter_mut().enumerate() {
                    if process.is_none_or(|one| one == p) {
                        meta.offset += ms * MS as i64;
                    }
                }
                self.note_clocks();
            }
            Act::Stall { process, ms } => {
                self.hit("stall");
                let until = self.now.get() + ms * MS;
                self.meta.borrow_mut()[process].stalled_until = until;
            }
            Act::Crash { process } => {
                if let Some(taken) = self.take(process) {
                    self.hit("crash: between operations");
                    self.give(process, taken, true);
                }
            }
            Act::Weather(weather) => self.weather.set(weather),
            Act::Forget => {
                let mut ledger = self.ledger.borrow_mut();
                let orderly = ledger.orderly;
                if ledger.forget() > 0 {
                    self.hit("coordinator: forgets starts");
                    if orderly {
                        self.hit("coordinator: forgets starts in an orderly run");
                    }
                }
            }
            Act::Redrive { process, one } => self.redrive(process, one),
            Act::Purge {
                process,
                dead,
                one,
                older_s,
            } => self.purge(process, dead, one, older_s),
            Act::Look { process } => self.look(process),
        }
    }

    /// Events that wait and that the coordinator would take.
    fn waiting(&self) -> usize {
        self.waiting_of(true)
    }

    /// Events that wait and that the coordinator would take, or would not.
    fn waiting_of(&self, taken: bool) -> usize {
        let ledger = self.ledger.borrow();
        let map = self.map.borrow();
        let good = |key: &EventKey| {
            ledger.by_key(key).is_none_or(|at| {
                let number = ledger.events[at].interaction;
                let every = |n: u64| n > 0 && number % n == 1;
                !every(self.config.poison) && !every(self.config.refused)
            })
        };
        let waiting = map.range("q.".to_owned().."q/".to_owned());
        waiting
            .filter(
                |(name, _)| matches!(EventKey::parse(name), Some((Place::Waiting, k)) if good(&k) == taken),
            )
            .count()
    }

    /// The faults stop: the outbox drains within a bound.
    pub fn drain(&self) {
        *self.dice.borrow_mut() = Dice::new(1);
        self.faulty.set(false);
        self.calm.set(true);
        self.weather.set(Weather::Fine);
        for meta in self.meta.borrow_mut().iter_mut() {
            meta.offset = 0;
            meta.stalled_until = 0;
            meta.up_at = meta.up_at.min(self.now.get());
            meta.next_begin = meta.next_begin.min(self.now.get());
        }
        let jumped = self.ledger.borrow().jumped;
        if jumped {
            self.note_clocks();
        }
        self.post_unanswered();
        let waiting = self.waiting();
        if waiting == 0 {
            return;
        }
        let share = u64::from(self.config.rate_limit.max(1));
        // The hold that was asked for, the cap of the backoff, the timer, a lease, a key stamped
        // ahead, and the throttle.
        let hold = match self.longest_hold.get() {
            0 => 0,
            // Clocks that were set back leave the most that any hold can be.
            _ if jumped => 3_600 * SECOND,
            hold => hold,
        };
        let mut bound = hold + 120 * SECOND + waiting as u64 * 4 * SECOND / share;
        if self.config.poison + self.config.refused > 0 {
            // What fails for its own sake takes its tries, of which the breaker makes probes; and
            // five refusals in a row pause the queue, which then probes one after the other.
            bound += 600 * SECOND + self.waiting_of(false) as u64 * TIMER;
        }
        let began = self.now.get();
        self.advance(began + bound, || self.waiting() == 0);
        let left = self.waiting();
        if left > 0 {
            let what = format!(
                "{left} of {waiting} events wait still, {} s after the faults stopped",
                bound / SECOND
            );
            self.ledger.borrow_mut().violate(Invariant::Drains, what);
        }
    }

    /// Checks what can only be checked at the end.
    pub fn check(&self) {
        let mut ledger = self.ledger.borrow_mut();
        let map = self.map.borrow();
        ledger.check_books(|key| {
            [Place::Waiting, Place::Dead]
                .iter()
                .any(|place| map.contains_key(&key.name(*place)))
        });
        ledger.check_throttle(self.config.rate_limit, PERIOD);
        ledger.check_doubles();
        let control = map.get(control::KEY).map(|raw| Control::decode(raw));
        if let Some(Some(control)) = control {
            let exact = self.config.faults == Faults::default();
            ledger.check_dropped(control.dropped_total, exact);
        }
        if self.config.model == Model::Strict && map.keys().any(|k| k.starts_with("q.f")) {
            ledger.violate(Invariant::NothingElse, "a foreign key was stored".into());
        }
        for excuse in std::mem::take(&mut ledger.excused) {
            self.hit(excuse);
        }
    }
}

/// A report as it is made.
pub(crate) struct Text {
    pub interaction: u64,
    /// What the coordinator must get.
    pub body: Vec<u8>,
    action: Kind,
    id: String,
    data: String,
    timestamp_ns: Option<u64>,
}

/// The body that the coordinator must get, written down independently of the core.
fn body(action: Kind, id: &str, timestamp_ns: u64, data: &str) -> Vec<u8> {
    let (name, member) = match (action, Stage::from(action)) {
        (Kind::Start, _) => ("start", "request"),
        (Kind::Progress, _) => ("progress", "progress"),
        (Kind::Complete, _) => ("complete", "result"),
        (Kind::Error, _) => ("error", "error"),
    };
    let micros = timestamp_ns / 1_000;
    let fraction = format!("{:06}", micros % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!(
        "{{\"action\":\"interaction_{name}\",\"interaction_id\":\"{id}\",\"mcp_id\":\"m\",\"timestamp\":{}.{fraction},\"{member}_data\":{data}}}",
        micros / 1_000_000,
    )
    .into_bytes()
}
