//! What a running reporter counts, for Prometheus.
//!
//! Each [`Reporter`](crate::Reporter) with `metrics_listen` has a recorder of its own, so several
//! in one process do not mix. Counting is an atomic addition on a handle that was made at the
//! start; nothing is looked up, and no label comes from outside. What the outbox knows of itself
//! (its depth, the breaker, the lease) is read from it when somebody scrapes, at most once a
//! second.
//!
//! [`CATALOG`] is the list of all metrics; `docs/metrics.md` says what each is for.

mod dead_letters;
mod listener;

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use self::dead_letters::DeadLetterCounter;
pub(crate) use self::listener::{Listener, Refresh};
use crate::engine::{Action, Answered, BreakerState, Delivery, OutboxStatus};
use mcp_reporter_core::drain::Cause;

/// Upper bounds of the buckets of a report, in seconds: from a memory store to a locked file.
const ACCEPT_BUCKETS: [f64; 14] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// Upper bounds of the buckets of a request, in seconds: `request_timeout` is 5 by default.
const REQUEST_BUCKETS: [f64; 13] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

const ACCEPTED: &str = "mcp_reporter_events_accepted_total";
const REFUSED: &str = "mcp_reporter_events_refused_total";
const ACCEPT_DURATION: &str = "mcp_reporter_accept_duration_seconds";
const DELIVERED: &str = "mcp_reporter_events_delivered_total";
const TRIES_FAILED: &str = "mcp_reporter_tries_failed_total";
const DEAD_LETTERED: &str = "mcp_reporter_events_dead_lettered_total";
const DELIVERY_ERRORS: &str = "mcp_reporter_delivery_errors_total";
const REQUEST_DURATION: &str = "mcp_reporter_request_duration_seconds";
const WAITING: &str = "mcp_reporter_outbox_waiting";
const DEAD_LETTERS: &str = "mcp_reporter_outbox_dead_letters";
const BYTES: &str = "mcp_reporter_outbox_bytes";
const OLDEST_AGE: &str = "mcp_reporter_outbox_oldest_age_seconds";
const OUTBOX_DELIVERED: &str = "mcp_reporter_outbox_delivered_total";
const OUTBOX_RESENT: &str = "mcp_reporter_outbox_resent_total";
const OUTBOX_DROPPED: &str = "mcp_reporter_outbox_dropped_total";
const BREAKER: &str = "mcp_reporter_breaker_state";
const LEASE: &str = "mcp_reporter_lease_held";
const STATUS_ERRORS: &str = "mcp_reporter_status_errors_total";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every metric: its name, its kind, and what its `# HELP` line says.
const CATALOG: [(&str, Kind, &str); 18] = [
    (
        ACCEPTED,
        Kind::Counter,
        "Events this reporter stored, by action.",
    ),
    (
        REFUSED,
        Kind::Counter,
        "Reports this reporter did not store, by reason.",
    ),
    (
        ACCEPT_DURATION,
        Kind::Histogram,
        "Time a caller waited for a report or a batch of reports.",
    ),
    (
        DELIVERED,
        Kind::Counter,
        "Events this reporter sent that the coordinator took.",
    ),
    (
        TRIES_FAILED,
        Kind::Counter,
        "Sends by this reporter that the coordinator did not take.",
    ),
    (
        DEAD_LETTERED,
        Kind::Counter,
        "Events this reporter made dead letters, by action and reason.",
    ),
    (
        DELIVERY_ERRORS,
        Kind::Counter,
        "Deliveries that the store or the component broke off.",
    ),
    (
        REQUEST_DURATION,
        Kind::Histogram,
        "Time from sending a request to the head of its answer, by what came of it.",
    ),
    (WAITING, Kind::Gauge, "Events that wait in the outbox."),
    (DEAD_LETTERS, Kind::Gauge, "Dead letters in the outbox."),
    (BYTES, Kind::Gauge, "Bytes of all events in the outbox."),
    (
        OLDEST_AGE,
        Kind::Gauge,
        "Age of the oldest waiting event; 0 when none waits.",
    ),
    (
        OUTBOX_DELIVERED,
        Kind::Counter,
        "Events delivered since the outbox was made, by anyone.",
    ),
    (
        OUTBOX_RESENT,
        Kind::Counter,
        "Sends beyond the first of an event since the outbox was made, by anyone.",
    ),
    (
        OUTBOX_DROPPED,
        Kind::Counter,
        "Events dropped to make room since the outbox was made, by anyone.",
    ),
    (
        BREAKER,
        Kind::Gauge,
        "1 for the state that the circuit breaker is in, 0 for the others.",
    ),
    (
        LEASE,
        Kind::Gauge,
        "Whether this process holds the lease, and so delivers.",
    ),
    (
        STATUS_ERRORS,
        Kind::Counter,
        "Scrapes for which the outbox could not be read: its figures are of an earlier one.",
    ),
];

const ACTIONS: [&str; 4] = ["start", "progress", "complete", "error"];
const REFUSALS: [&str; 4] = ["invalid", "full", "storage", "component"];
const BREAKER_STATES: [&str; 4] = ["closed", "open", "half-open", "paused"];

fn action_index(action: Action) -> usize {
    match action {
        Action::Start => 0,
        Action::Progress => 1,
        Action::Complete => 2,
        Action::Error => 3,
    }
}

const ANSWERED: [&str; 7] = ["2xx", "3xx", "4xx", "5xx", "other", "error", "timeout"];

fn answered_index(answered: Answered) -> usize {
    match answered {
        Answered::Status(status @ 200..=599) => usize::from(status / 100 - 2),
        Answered::Status(_) => 4,
        Answered::Failed => 5,
        Answered::GivenUp => 6,
    }
}

/// Why a report was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is malformed.
    Invalid,
    /// The outbox is full.
    Full,
    /// The store failed.
    Storage,
    /// The component failed, or takes no reports any more.
    Component,
}

fn refusal_index(why: Refusal) -> usize {
    match why {
        Refusal::Invalid => 0,
        Refusal::Full => 1,
        Refusal::Storage => 2,
        Refusal::Component => 3,
    }
}

fn cause_index(cause: Cause) -> usize {
    match cause {
        Cause::Refused => 0,
        Cause::Follows => 1,
        Cause::Exhausted => 2,
        Cause::Unreadable => 3,
    }
}

const CAUSES: [&str; 4] = ["refused", "follows", "exhausted", "unreadable"];

/// The counters of one reporter.
pub(crate) struct Metrics {
    handle: PrometheusHandle,
    accepted: [Counter; 4],
    refused: [Counter; 4],
    accept_duration: Histogram,
    delivered: Counter,
    tries_failed: Counter,
    /// By cause, then by action.
    dead_lettered: [[Counter; 4]; 3],
    unreadable: Counter,
    delivery_errors: Counter,
    request_duration: [Histogram; 7],
    waiting: Gauge,
    dead_letters: Gauge,
    bytes: Gauge,
    oldest_age: Gauge,
    outbox_delivered: Counter,
    outbox_resent: Counter,
    outbox_dropped: Counter,
    breaker: [Gauge; 4],
    lease: Gauge,
    status_errors: Counter,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    ///
    /// The buckets are none, which a test rules out.
    pub(crate) fn new() -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let buckets = |name: &str| Matcher::Full(name.to_owned());
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(buckets(ACCEPT_DURATION), &ACCEPT_BUCKETS)?
            .set_buckets_for_metric(buckets(REQUEST_DURATION), &REQUEST_BUCKETS)?
            .build_recorder();
        for (name, kind, help) in CATALOG {
            let unit = name.ends_with("_seconds").then_some(Unit::Seconds);
            match kind {
                Kind::Counter => recorder.describe_counter(name.into(), unit, help.into()),
                Kind::Gauge => recorder.describe_gauge(name.into(), unit, help.into()),
                Kind::Histogram => recorder.describe_histogram(name.into(), unit, help.into()),
            }
        }
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        let key = |name: &'static str, labels: &[(&'static str, &'static str)]| {
            let labels: Vec<Label> = labels
                .iter()
                .map(|(name, value)| Label::from_static_parts(name, value))
                .collect();
            Key::from_parts(name, labels)
        };
        let counter = |name, labels: &[_]| recorder.register_counter(&key(name, labels), &metadata);
        let gauge = |name, labels: &[_]| recorder.register_gauge(&key(name, labels), &metadata);
        let histogram =
            |name, labels: &[_]| recorder.register_histogram(&key(name, labels), &metadata);
        let dead = |cause: Cause| {
            ACTIONS.map(|action| {
                let reason = CAUSES[cause_index(cause)];
                counter(DEAD_LETTERED, &[("action", action), ("reason", reason)])
            })
        };
        Ok(Self {
            accepted: ACTIONS.map(|action| counter(ACCEPTED, &[("action", action)])),
            refused: REFUSALS.map(|reason| counter(REFUSED, &[("reason", reason)])),
            accept_duration: histogram(ACCEPT_DURATION, &[]),
            delivered: counter(DELIVERED, &[]),
            tries_failed: counter(TRIES_FAILED, &[]),
            dead_lettered: [Cause::Refused, Cause::Follows, Cause::Exhausted].map(dead),
            unreadable: counter(
                DEAD_LETTERED,
                &[
                    ("action", "unknown"),
                    ("reason", CAUSES[cause_index(Cause::Unreadable)]),
                ],
            ),
            delivery_errors: counter(DELIVERY_ERRORS, &[]),
            request_duration: ANSWERED
                .map(|status| histogram(REQUEST_DURATION, &[("status", status)])),
            waiting: gauge(WAITING, &[]),
            dead_letters: gauge(DEAD_LETTERS, &[]),
            bytes: gauge(BYTES, &[]),
            oldest_age: gauge(OLDEST_AGE, &[]),
            outbox_delivered: counter(OUTBOX_DELIVERED, &[]),
            outbox_resent: counter(OUTBOX_RESENT, &[]),
            outbox_dropped: counter(OUTBOX_DROPPED, &[]),
            breaker: BREAKER_STATES.map(|state| gauge(BREAKER, &[("state", state)])),
            lease: gauge(LEASE, &[]),
            status_errors: counter(STATUS_ERRORS, &[]),
            handle: recorder.handle(),
        })
    }

    /// An event is in the store.
    pub(crate) fn accepted(&self, action: Action) {
        self.accepted[action_index(action)].increment(1);
    }

    /// An event is not.
    pub(crate) fn refused(&self, why: Refusal) {
        self.refused[refusal_index(why)].increment(1);
    }

    /// A caller has its answer.
    pub(crate) fn answered_caller(&self, waited: Duration) {
        self.accept_duration.record(waited.as_secs_f64());
    }

    /// An event was sent by the instance that accepts, for `deliver_on_report`.
    pub(crate) fn delivered_on_report(&self) {
        self.delivered.increment(1);
    }

    /// A delivery has ended; none when the store or the component broke it off.
    pub(crate) fn delivery(&self, done: Option<&Delivery>) {
        match done {
            Some(done) => {
                self.delivered.increment(done.delivered.into());
                self.tries_failed.increment(done.failed.into());
            }
            None => self.delivery_errors.increment(1),
        }
    }

    /// An event became a dead letter; no action when its record cannot be read.
    fn dead_lettered(&self, cause: Cause, action: Option<Action>) {
        match action {
            Some(action) if cause != Cause::Unreadable => {
                self.dead_lettered[cause_index(cause)][action_index(action)].increment(1);
            }
            _ => self.unreadable.increment(1),
        }
    }

    /// A request has come to its end.
    pub(crate) fn request(&self, answered: Answered, took: Duration) {
        self.request_duration[answered_index(answered)].record(took.as_secs_f64());
    }

    /// What the outbox says of itself; none when it could not be asked.
    pub(crate) fn outbox(&self, status: Option<&OutboxStatus>, lease_held: bool) {
        let Some(status) = status else {
            self.status_errors.increment(1);
            return;
        };
        // A gauge is a float: exact up to 2^53, which no outbox reaches.
        self.waiting.set(status.waiting as f64);
        self.dead_letters.set(status.dead_letters as f64);
        self.bytes.set(status.bytes as f64);
        let oldest_age = Duration::from_millis(status.oldest_age_ms.unwrap_or(0));
        self.oldest_age.set(oldest_age.as_secs_f64());
        self.outbox_delivered.absolute(status.delivered_total);
        self.outbox_resent.absolute(status.resent_total);
        self.outbox_dropped.absolute(status.dropped_total);
        let state = match status.breaker {
            BreakerState::Closed => 0,
            BreakerState::Open => 1,
            BreakerState::HalfOpen => 2,
            BreakerState::Paused => 3,
        };
        for (index, gauge) in self.breaker.iter().enumerate() {
            gauge.set(f64::from(u8::from(index == state)));
        }
        self.lease.set(f64::from(u8::from(lease_held)));
    }

    /// Prometheus' text format, version 0.0.4.
    fn render(&self) -> String {
        self.handle.render()
    }

    /// Sums up what the histograms were given, which otherwise grows until the next scrape.
    fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_there_from_the_start_and_described() {
        let text = Metrics::new().unwrap().render();
        for (name, kind, help) in CATALOG {
            let kind = format!("{kind:?}").to_lowercase();
            assert!(text.contains(&format!("# TYPE {name} {kind}\n")), "{text}");
            assert!(text.contains(&format!("# HELP {name} {help}\n")), "{text}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        }
        assert_eq!(text.matches("# TYPE ").count(), CATALOG.len(), "{text}");
    }

    #[test]
    fn two_recorders_do_not_mix() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.accepted(Action::Complete);
        let line = |n: u8| format!("{ACCEPTED}{{action=\"complete\"}} {n}\n");
        assert!(one.render().contains(&line(1)));
        assert!(other.render().contains(&line(0)));
    }

    #[test]
    fn every_end_of_a_request_has_its_class() {
        let class = |answered: Answered| ANSWERED[answered_index(answered)];
        for (status, name) in [(200, "2xx"), (299, "2xx"), (308, "3xx"), (429, "4xx")] {
            assert_eq!(class(Answered::Status(status)), name);
        }
        assert_eq!(class(Answered::Status(599)), "5xx");
        assert_eq!(class(Answered::Status(199)), "other");
        assert_eq!(class(Answered::Status(600)), "other");
        assert_eq!(class(Answered::Failed), "error");
        assert_eq!(class(Answered::GivenUp), "timeout");
    }
}
