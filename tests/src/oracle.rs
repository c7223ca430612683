//! What a reporter promises, checked after the fact: what was acknowledged
//! against what the coordinator received and what is left in the outbox.
//!
//! 1. Every acknowledged event is delivered, waiting or a dead letter.
//! 2. Nothing is delivered that was not reported, and the body is equal to the
//!    byte. A report that failed, or that a kill cut off, may have been stored.
//! 3. The first successful receipts of an interaction come in its order.
//! 4. No window of `rate_period` has more than `rate_limit` requests, over all
//!    processes.
//! 5. An event is delivered a second time only where a crash, a lost answer or
//!    an expired lease explains it, or a caller that handed it over again, and
//!    then with the same idempotency key.
//!
//! A test tells its [`Story`] while it makes it, and ends with
//! [`Story::check`].

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use mcp_reporter::Reporter;
use mcp_reporter::coordinator::Receipt;
use mcp_reporter_core::outbox::{EventKey, Place, Stage, interaction_hash};

use crate::{Process, builder};

/// What was on the wire when a process died may be received as much later.
const ON_THE_WIRE: Duration = Duration::from_secs(2);

/// One report that was attempted.
#[derive(Debug)]
struct Attempt {
    action: String,
    id: String,
    acknowledged: bool,
    handed_over_again: bool,
}

impl Attempt {
    /// Whether the event under this key can be the one reported.
    fn fits(&self, key: &EventKey) -> bool {
        let stage = match self.action.as_str() {
            "start" => Stage::Start,
            "progress" => Stage::Progress,
            _ => Stage::End,
        };
        key.interaction == interaction_hash(&self.id) && key.stage == stage
    }
}

/// An event left in the outbox.
#[derive(Debug, Clone)]
pub struct Left {
    /// Its key in the store.
    pub key: String,
    /// Its body; none when its record cannot be read.
    pub body: Option<String>,
}

/// Everything left in the store of these settings, waiting and dead.
pub async fn outbox(settings: &[(String, String)]) -> Vec<Left> {
    let idle = builder(settings).without_timer().build().await;
    let idle = idle.expect("the store cannot be opened to look at it");
    let mut left = Vec::new();
    for dead in [false, true] {
        let mut cursor = None;
        loop {
            let page = match dead {
                false => idle.waiting(1_000, cursor).await,
                true => idle.dead_letters(1_000, cursor).await,
            };
            let page = page.expect("the outbox cannot be listed");
            for entry in page.entries {
                let body = body(&idle, &entry).await;
                left.push(Left {
                    key: entry.key,
                    body,
                });
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    idle.shutdown(Duration::from_secs(5)).await;
    left
}

async fn body(idle: &Reporter, entry: &mcp_reporter::engine::Entry) -> Option<String> {
    entry.action?; // the record cannot be read
    let shown = idle.show(entry.key.clone()).await;
    shown.expect("an event cannot be shown")
}

/// What happened in a test, as far as the invariants ask for it.
#[derive(Debug, Default)]
pub struct Story {
    attempts: Vec<Attempt>,
    /// The attempt with this body, but for the timestamp.
    by_body: HashMap<(String, String), usize>,
    throttle: Option<(usize, Duration)>,
    disturbances: Vec<SystemTime>,
}

/// What the check counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Reports attempted.
    pub reported: usize,
    /// Of these acknowledged.
    pub acknowledged: usize,
    /// Events that the coordinator took.
    pub delivered: usize,
    /// Events that wait.
    pub waiting: usize,
    /// Dead letters.
    pub dead: usize,
    /// Deliveries of what had been delivered.
    pub repeated: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} reported, {} acknowledged, {} delivered, {} waiting, {} dead letters, {} repeated, 0 lost",
            self.reported,
            self.acknowledged,
            self.delivered,
            self.waiting,
            self.dead,
            self.repeated
        )
    }
}

impl Story {
    /// A story in which nothing has happened, without a throttle.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same under a throttle.
    pub fn throttled(rate_limit: usize, rate_period: Duration) -> Self {
        Self {
            throttle: Some((rate_limit, rate_period)),
            ..Self::default()
        }
    }

    /// A report is made: `action` is `start`, `progress`, `complete` or
    /// `error`. Those of one interaction are told in their order. Returns its
    /// number.
    pub fn attempt(&mut self, action: &str, id: &str, data: &str) -> usize {
        let field = match action {
            "start" => "request_data",
            "progress" => "progress_data",
            "complete" => "result_data",
            "error" => "error_data",
            other => panic!("no such action: {other}"),
        };
        let head = format!(
            r#"{{"action":"interaction_{action}","interaction_id":"{id}","mcp_id":"test","timestamp":"#
        );
        let tail = format!(r#","{field}":{data}}}"#);
        let number = self.attempts.len();
        let before = self.by_body.insert((head, tail), number);
        assert!(before.is_none(), "{action} {id} {data} is told twice");
        self.attempts.push(Attempt {
            action: action.to_owned(),
            id: id.to_owned(),
            acknowledged: false,
            handed_over_again: false,
        });
        number
    }

    /// The report of this number was acknowledged.
    pub fn acknowledge(&mut self, number: usize) {
        self.attempts[number].acknowledged = true;
    }

    /// The report of this number got no answer and was made again, under the same
    /// idempotency key: it may have been stored twice.
    pub fn handed_over_again(&mut self, number: usize) {
        self.attempts[number].handed_over_again = true;
    }

    /// Something happens now that explains a second delivery of what is being
    /// delivered: a crash, an answer that is lost, a lease that runs out.
    pub fn disturb(&mut self) {
        self.disturb_at(SystemTime::now());
    }

    /// The same at another moment.
    pub fn disturb_at(&mut self, at: SystemTime) {
        self.disturbances.push(at);
    }

    /// Checks the five invariants. Panics with all that is wrong.
    pub fn check(&self, receipts: &[Receipt], left: &[Left]) -> Tally {
        self.verdict(receipts, left)
            .unwrap_or_else(|wrong| panic!("{}", wrong.join("\n")))
    }

    /// The same, with what is wrong, each beginning with the invariant's number.
    ///
    /// # Errors
    ///
    /// When there is anything.
    pub fn verdict(&self, receipts: &[Receipt], left: &[Left]) -> Result<Tally, Vec<String>> {
        let mut wrong = Vec::new();
        let mut sends = BTreeMap::<usize, Vec<&Receipt>>::new();
        for receipt in receipts {
            let body = String::from_utf8_lossy(&receipt.body);
            match self.attempt_of(&body) {
                Some(number) => sends.entry(number).or_default().push(receipt),
                None => wrong.push(format!("2: this was sent but not reported: {body}")),
            }
        }
        let mut tally = Tally {
            reported: self.attempts.len(),
            acknowledged: self.attempts.iter().filter(|a| a.acknowledged).count(),
            ..Tally::default()
        };
        self.none_is_lost(&sends, left, &mut tally, &mut wrong);
        self.order_is_kept(receipts, &mut wrong);
        self.rate_is_kept(receipts, &mut wrong);
        self.repeats_are_explained(&sends, &mut tally, &mut wrong);
        if wrong.is_empty() {
            Ok(tally)
        } else {
            Err(wrong)
        }
    }

    fn attempt_of(&self, body: &str) -> Option<usize> {
        const TIMESTAMP: &str = r#""timestamp":"#;
        let start = body.find(TIMESTAMP)? + TIMESTAMP.len();
        let end = start + body[start..].find(',')?;
        // Which moment it was, only the reporter knows.
        let seconds: f64 = body[start..end].parse().ok()?;
        let parts = (body[..start].to_owned(), body[end..].to_owned());
        let number = self.by_body.get(&parts)?;
        seconds.is_finite().then_some(*number)
    }

    fn none_is_lost(
        &self,
        sends: &BTreeMap<usize, Vec<&Receipt>>,
        left: &[Left],
        tally: &mut Tally,
        wrong: &mut Vec<String>,
    ) {
        let mut there = vec![false; self.attempts.len()];
        for (number, sends) in sends {
            if sends.iter().any(|receipt| is_taken(receipt)) {
                there[*number] = true;
                tally.delivered += 1;
            }
        }
        let mut unreadable = Vec::new();
        for event in left {
            let Some((place, key)) = EventKey::parse(&event.key) else {
                wrong.push(format!("1: no key of an event: {}", event.key));
                continue;
            };
            match place {
                Place::Waiting => tally.waiting += 1,
                Place::Dead => tally.dead += 1,
            }
            match event.body.as_deref().map(|body| self.attempt_of(body)) {
                Some(Some(number)) => there[number] = true,
                Some(None) => wrong.push(format!("2: this waits but was not reported: {event:?}")),
                None => unreadable.push(key),
            }
        }
        // Those stand for one event each, by what their keys tell.
        for key in unreadable {
            let lost = |n: &usize| !there[*n] && self.attempts[*n].fits(&key);
            match (0..there.len()).find(lost) {
                Some(number) => there[number] = true,
                None => wrong.push(format!("2: a record that stands for no report: {key:?}")),
            }
        }
        for (attempt, there) in self.attempts.iter().zip(there) {
            if attempt.acknowledged && !there {
                wrong.push(format!("1: acknowledged and lost: {attempt:?}"));
            }
        }
    }

    fn order_is_kept(&self, receipts: &[Receipt], wrong: &mut Vec<String>) {
        let mut last = HashMap::<&str, usize>::new();
        let mut taken = vec![false; self.attempts.len()];
        for receipt in receipts.iter().filter(|receipt| is_taken(receipt)) {
            let body = String::from_utf8_lossy(&receipt.body);
            let Some(number) = self.attempt_of(&body) else {
                continue; // said before
            };
            if std::mem::replace(&mut taken[number], true) {
                continue; // a repeat
            }
            let attempt = &self.attempts[number];
            match last.insert(&attempt.id, number) {
                Some(before) if before > number => {
                    let before = &self.attempts[before];
                    wrong.push(format!("3: {attempt:?} came after {before:?}"));
                }
                _ => {}
            }
        }
    }

    fn rate_is_kept(&self, receipts: &[Receipt], wrong: &mut Vec<String>) {
        let Some((limit, period)) = self.throttle else {
            return;
        };
        for (at, window) in receipts.windows(limit + 1).enumerate() {
            let took = window[limit].at - window[0].at;
            if took < period {
                let end = at + limit;
                wrong.push(format!("4: receipts {at} to {end} lie within {took:?}"));
            }
        }
    }

    fn repeats_are_explained(
        &self,
        sends: &BTreeMap<usize, Vec<&Receipt>>,
        tally: &mut Tally,
        wrong: &mut Vec<String>,
    ) {
        let mut owners = HashMap::new();
        for (number, sends) in sends {
            let attempt = &self.attempts[*number];
            let mut answered: Option<SystemTime> = None;
            let mut taken = false;
            for receipt in sends {
                let Some(key) = receipt.idempotency_key.as_deref() else {
                    wrong.push(format!("5: no Idempotency-Key: {attempt:?}"));
                    continue;
                };
                if receipt.idempotency_key != sends[0].idempotency_key {
                    wrong.push(format!("5: two keys: {attempt:?}"));
                }
                if *owners.entry(key).or_insert(*number) != *number {
                    wrong.push(format!("5: one key for two events: {attempt:?}"));
                }
                // Without an answer, or with one that fails, it has to be sent again.
                if let Some(answered) = answered
                    && !attempt.handed_over_again
                    && !self.is_disturbed(answered, receipt.wall)
                {
                    wrong.push(format!("5: sent again though it was answered: {attempt:?}"));
                }
                if receipt.answered.is_some_and(is_2xx) {
                    answered = Some(receipt.wall);
                }
                if taken {
                    tally.repeated += 1;
                }
                taken |= is_taken(receipt);
            }
        }
    }

    fn is_disturbed(&self, from: SystemTime, to: SystemTime) -> bool {
        let mut disturbances = self.disturbances.iter();
        disturbances.any(|at| from <= *at + ON_THE_WIRE && *at <= to)
    }
}

fn is_2xx(status: u16) -> bool {
    (200..300).contains(&status)
}

/// Whether the coordinator has the event, by this request or an earlier one.
fn is_taken(receipt: &Receipt) -> bool {
    receipt.stored || receipt.answered.is_some_and(is_2xx)
}

/// A [`Process`] whose reports are told to a [`Story`].
#[derive(Debug)]
pub struct Witnessed {
    /// The process.
    pub process: Process,
    /// The attempt that each command was.
    told: Vec<usize>,
    answered: usize,
}

impl From<Process> for Witnessed {
    /// Of a process that has had no command yet.
    fn from(process: Process) -> Self {
        Self {
            process,
            told: Vec::new(),
            answered: 0,
        }
    }
}

impl Witnessed {
    /// Hands over a report; does not wait.
    pub fn report(&mut self, story: &mut Story, action: &str, id: &str, data: &str) {
        self.told.push(story.attempt(action, id, data));
        self.process.send(&format!("report {action} {id} {data}"));
    }

    /// Hands over an interaction of four reports, from start to end.
    pub fn interaction(&mut self, story: &mut Story, id: &str) {
        for (n, action) in ["start", "progress", "progress", "complete"]
            .iter()
            .enumerate()
        {
            self.report(story, action, id, &format!(r#"{{"n":{n}}}"#));
        }
    }

    /// Reads the next answer; none when the process has ended. Inside: what
    /// was wrong, if it was no acknowledgement.
    pub async fn answer(&mut self, story: &mut Story) -> Option<Result<(), String>> {
        let line = self.process.answer().await?;
        let (number, outcome) = line.split_once(' ').expect("no answer of a peer");
        let number: usize = number.parse().expect("no answer of a peer");
        self.answered += 1;
        if outcome != "queued" {
            return Some(Err(outcome.to_owned()));
        }
        story.acknowledge(self.told[number]);
        Some(Ok(()))
    }

    /// Reads the answers to all reports so far, or those that came before its
    /// end. Returns what was wrong with those that failed.
    pub async fn answers(&mut self, story: &mut Story) -> Vec<String> {
        let mut failed = Vec::new();
        while self.answered < self.told.len() {
            match self.answer(story).await {
                Some(answer) => failed.extend(answer.err()),
                None => break,
            }
        }
        failed
    }

    /// The same for a process that runs on: all must be acknowledged.
    pub async fn acknowledged(&mut self, story: &mut Story) {
        let failed = self.answers(story).await;
        let log = || self.process.log();
        assert_eq!(failed, Vec::<String>::new(), "{}", log());
        assert_eq!(self.answered, self.told.len(), "it ended: {}", log());
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(&mut self, story: &mut Story) {
        story.disturb();
        self.process.kill();
        self.answers(story).await;
        self.process.ended().await;
        story.disturb();
    }
}
