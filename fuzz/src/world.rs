//! A store in memory, a clock that goes on when told, and the core on them.

use std::sync::Arc;
use std::time::Duration;

use mcp_reporter_core::accept::Acceptor;
use mcp_reporter_core::drain::{Answer, Drainer, Note, Outgoing, Step};
use mcp_reporter_core::event::{Action, Report};
use mcp_reporter_core::outbox::{EventKey, Place, Record};
use mcp_reporter_core::settings::Settings;
use mcp_reporter_core::store::Now;
use mcp_reporter_test_support::{Dice, Memory};

use crate::KEY;

/// How long a delivery may take.
const BUDGET: Duration = Duration::from_secs(6);
/// More steps than a delivery of a few events takes: one that takes more hangs.
const STEPS: u32 = 10_000;
const EPOCH_NS: u64 = 1_718_000_000_000_000_000;

/// An outbox, those who fill and drain it, and the time.
pub struct World {
    store: Memory,
    random: Dice,
    acceptor: Acceptor,
    drainer: Drainer,
    now: Duration,
    notes: Vec<String>,
}

impl World {
    /// With an empty outbox and all settings at their defaults.
    pub fn new() -> Self {
        let settings = Settings::from_pairs([
            ("enable_interaction_logging", "true"),
            ("mcp_id", "m"),
            ("coordinator_url", "http://127.0.0.1:1"),
            ("coordinator_api_key", KEY),
        ]);
        let settings = Arc::new(settings.expect("they are good").expect("it is on"));
        let mut random = Dice::new(0);
        Self {
            store: Memory::default(),
            acceptor: Acceptor::new(settings.clone()),
            drainer: Drainer::new(settings, &mut random),
            random,
            now: Duration::from_secs(1),
            notes: Vec::new(),
        }
    }

    fn at(&self) -> Now {
        let ns = self.now.as_nanos() as u64;
        Now {
            wall_ns: EPOCH_NS + ns,
            mono_ns: ns,
        }
    }

    /// Accepts a report.
    pub fn accept(&mut self, action: Action, id: &str) {
        let report = Report {
            action,
            interaction_id: id,
            data: "{}",
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        };
        let now = self.at();
        let results = self
            .acceptor
            .accept(&mut self.store, &mut self.random, now, &[report]);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        self.now += Duration::from_millis(1);
    }

    /// Puts a value into the store.
    pub fn put(&mut self, key: &str, value: Vec<u8>) {
        self.store.map.insert(key.to_owned(), value);
    }

    /// Delivers so many times, or until nothing waits; returns the bodies that were sent.
    pub fn deliver(
        &mut self,
        times: u32,
        mut answer: impl FnMut(&Outgoing) -> Answer,
    ) -> Vec<String> {
        let mut sent = Vec::new();
        for _ in 0..times {
            let next = self.once(&mut sent, &mut answer);
            if self.events()[0] == 0 {
                break;
            }
            // The host asks every 30 s, whatever it was told.
            let next = next.unwrap_or(Duration::from_secs(30));
            self.now += next.max(Duration::from_millis(1));
        }
        sent
    }

    fn once(
        &mut self,
        sent: &mut Vec<String>,
        answer: &mut impl FnMut(&Outgoing) -> Answer,
    ) -> Option<Duration> {
        let now = self.at();
        let idle = self
            .drainer
            .begin(&mut self.store, &mut self.random, now, BUDGET);
        if let Some(idle) = idle.expect("the store does not fail") {
            return idle.next;
        }
        for _ in 0..STEPS {
            let now = self.at();
            let step = self.drainer.poll(&mut self.store, &mut self.random, now);
            match step.expect("the store does not fail") {
                Step::Send(outgoing) => {
                    let answer = answer(&outgoing);
                    self.now += Duration::from_millis(1);
                    self.drainer.answered(outgoing.token, answer, self.at());
                    sent.push(String::from_utf8_lossy(&outgoing.body).into_owned());
                }
                Step::Wait { until_mono_ns } => {
                    let until = Duration::from_nanos(until_mono_ns);
                    self.now = until.max(self.now + Duration::from_nanos(1));
                }
                Step::Done(delivery) => {
                    for note in self.drainer.take_notes() {
                        let (Note::Info(text) | Note::Warn(text)) = note;
                        self.notes.push(text);
                    }
                    return delivery.next;
                }
            }
        }
        panic!("the delivery does not end");
    }

    /// The answer to an event that is taken.
    pub fn taken() -> Answer {
        Answer::Status {
            code: 200,
            retry_after: None,
            body: String::new(),
        }
    }

    /// How many events wait, and how many are dead letters.
    pub fn events(&self) -> [usize; 2] {
        let places = self
            .store
            .map
            .keys()
            .filter_map(|name| EventKey::parse(name));
        let mut counts = [0; 2];
        for (place, _) in places {
            counts[usize::from(place == Place::Dead)] += 1;
        }
        counts
    }

    /// The events' records, those that can be read.
    pub fn records(&self) -> impl Iterator<Item = Record> {
        let events = self.store.map.iter();
        let events = events.filter(|(name, _)| EventKey::parse(name).is_some());
        events.filter_map(|(_, value)| Record::decode(value).ok())
    }

    /// What the operator was told.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
