//! The answers: statuses, headers and JSON bodies, as the coordinator has them.

use super::json_out::{Object, array};
use crate::admin::{AdminError, Breaker, Entry, MAX_PAGE, Status};
use crate::drain::Delivery;
use crate::event::InvalidReport;
use crate::json::JsonError;
use crate::prelude::*;
use crate::store::{Now, StoreError};
use crate::text::decimal;
use core::time::Duration;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers but for `content-type`, which is `application/json` where there is a body, and
    /// `content-length`.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Its body; empty for none. `HEAD` gets none of it.
    pub body: String,
}

impl Response {
    fn ok(body: String) -> Self {
        Self::new(200, body)
    }

    fn new(status: u16, body: String) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// `{"detail": …}`, as the coordinator says what is wrong.
fn detail(status: u16, text: &str) -> Response {
    let mut object = Object::new();
    object.text("detail", text);
    Response::new(status, object.end())
}

/// The same of a part of the request, as the coordinator's framework says it.
fn unprocessable(kind: &str, place: &[&str], message: &str) -> Response {
    let mut problem = Object::new();
    problem.text("type", kind);
    problem.raw(
        "loc",
        &array(place.iter().map(|part| super::json_out::string(part))),
    );
    problem.text("msg", message);
    let mut object = Object::new();
    object.raw("detail", &array([problem.end()]));
    Response::new(422, object.end())
}

pub(super) fn missing_field(field: &str) -> Response {
    unprocessable(
        "missing",
        &["body", field],
        &[field, " is missing"].concat(),
    )
}

pub(super) fn bad_field(field: &str, problem: &str) -> Response {
    unprocessable(
        "value_error",
        &["body", field],
        &[field, " ", problem].concat(),
    )
}

pub(super) fn bad_header(name: &str, problem: &str) -> Response {
    unprocessable(
        "value_error",
        &["header", name],
        &[name, " ", problem].concat(),
    )
}

pub(super) fn bad_limit() -> Response {
    let allowed = decimal(MAX_PAGE as u64);
    let message = ["limit must be a whole number from 1 to ", &allowed].concat();
    unprocessable("value_error", &["query", "limit"], &message)
}

pub(super) fn not_json(problem: &JsonError) -> Response {
    let message = ["the body ", &problem.message()].concat();
    unprocessable("json_invalid", &["body"], &message)
}

pub(super) fn not_utf8() -> Response {
    unprocessable("json_invalid", &["body"], "the body is not UTF-8")
}

/// What the outbox does not take.
pub(super) fn invalid(problem: &InvalidReport) -> Response {
    let field = match problem {
        InvalidReport::Id { name, .. } | InvalidReport::Header { name } => *name,
        InvalidReport::TooLarge { limit, .. } => return too_large(*limit),
        InvalidReport::Data(problem) => return not_json(problem),
    };
    unprocessable("value_error", &["body", field], &problem.message())
}

pub(super) fn too_large(limit: usize) -> Response {
    let limit = decimal(limit as u64);
    let text = [
        "the body has more than ",
        &limit,
        " bytes (max_event_bytes)",
    ]
    .concat();
    detail(413, &text)
}

pub(super) fn other_media_type() -> Response {
    detail(415, "Content-Type must be application/json").with("accept", "application/json")
}

pub(super) fn other_coding() -> Response {
    let text = "Content-Encoding must be absent: compressed bodies are not taken";
    detail(415, text).with("accept-encoding", "identity")
}

pub(super) fn no_such_path() -> Response {
    detail(404, "Not Found")
}

pub(super) fn other_method(allowed: &'static str) -> Response {
    detail(405, "Method Not Allowed").with("allow", allowed)
}

pub(super) fn options(allowed: &'static str) -> Response {
    Response::new(204, String::new()).with("allow", allowed)
}

pub(super) fn not_authenticated() -> Response {
    detail(403, "Not authenticated")
}

pub(super) fn wrong_key() -> Response {
    detail(401, "Invalid API key").with("www-authenticate", "Bearer")
}

/// `Retry-After` where the outbox is full: what waits must be delivered first.
const AFTER_FULL: &str = "30";

/// `Retry-After` where the store failed, which may be over at once.
const AFTER_FAILURE: &str = "1";

/// Why an event was answered 503.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// The outbox is full.
    Full,
    /// The store failed.
    Storage,
    /// Reporting is switched off, or a setting is missing or wrong: repeating it is no use.
    Configuration,
}

impl Unavailable {
    /// Of an answer 503 with this `Retry-After`.
    #[must_use]
    pub fn of(retry_after: Option<&[u8]>) -> Self {
        match retry_after {
            Some(seconds) if seconds == AFTER_FULL.as_bytes() => Self::Full,
            Some(_) => Self::Storage,
            None => Self::Configuration,
        }
    }
}

pub(super) fn full(why: &str) -> Response {
    detail(503, why).with("retry-after", AFTER_FULL)
}

/// Others deliver just now: the outbox is in order, and is free again soon.
pub(super) fn busy(why: &AdminError) -> Response {
    detail(409, &why.message()).with("retry-after", "1")
}

/// The answer where the store fails.
#[must_use]
pub fn store_failed(error: &StoreError) -> Response {
    let text = ["the outbox cannot be used: ", &error.message()].concat();
    detail(503, &text).with("retry-after", AFTER_FAILURE)
}

/// The answer while reporting is switched off: a client then keeps its events.
#[must_use]
pub fn switched_off() -> Response {
    let text = "reporting is switched off: set enable_interaction_logging = true";
    detail(503, text)
}

/// The answer where a setting is missing or wrong, of which `why` says which.
#[must_use]
pub fn not_configured(why: &str) -> Response {
    detail(503, why)
}

/// The answer to a body that did not come to its end.
#[must_use]
pub fn unreadable() -> Response {
    detail(408, "the body broke off, or did not come in time")
}

pub(super) fn accepted(interaction_id: &str, position: u64) -> Response {
    let mut object = Object::new();
    object.text("status", "accepted");
    object.text("interaction_id", interaction_id);
    object.number("queue_position", position);
    Response::ok(object.end())
}

/// What was answered before.
pub(super) fn again(body: String) -> Response {
    Response::ok(body)
}

pub(super) fn health(now: Now, waiting: u64) -> Response {
    let mut object = Object::new();
    object.text("status", "healthy");
    object.timestamp("timestamp", now.wall_ns);
    object.number("queue_size", waiting);
    object.raw("processor_running", "true");
    Response::ok(object.end())
}

pub(super) fn valid() -> Response {
    let mut object = Object::new();
    object.raw("valid", "true");
    Response::ok(object.end())
}

/// Received is what was ever taken, as far as it is still known: purged events are not.
pub(super) fn stats(now: Now, status: &Status) -> Response {
    let known = status
        .delivered_total
        .saturating_add(status.waiting + status.dead_letters);
    let mut stats = Object::new();
    stats.number("requests_received", known);
    stats.number("requests_processed", status.delivered_total);
    stats.number("requests_failed", status.dead_letters);
    stats.number("queue_size", status.waiting);
    let mut object = Object::new();
    object.raw("stats", &stats.end());
    object.timestamp("timestamp", now.wall_ns);
    object.number("queue_size", status.waiting);
    Response::ok(object.end())
}

pub(super) fn outbox(status: &Status) -> Response {
    let mut object = Object::new();
    object.number("waiting", status.waiting);
    object.number("dead_letters", status.dead_letters);
    object.number("bytes", status.bytes);
    object.seconds("oldest_age_s", status.oldest_age);
    object.text(
        "breaker",
        match status.breaker {
            Breaker::Closed => "closed",
            Breaker::Open => "open",
            Breaker::HalfOpen => "half-open",
            Breaker::Paused => "paused",
        },
    );
    object.text_or_null("paused_reason", status.paused_reason.as_deref());
    object.seconds("next_attempt_s", status.next_attempt);
    object.number("delivered_total", status.delivered_total);
    object.number("resent_total", status.resent_total);
    object.number("dropped_total", status.dropped_total);
    object.text_or_null("lease_holder", status.lease_holder.as_deref());
    Response::ok(object.end())
}

/// The answer to `POST /api/v2/outbox/deliver`.
#[must_use]
pub fn delivered(result: Result<Delivery, StoreError>) -> Response {
    let done = match result {
        Ok(done) => done,
        Err(error) => return store_failed(&error),
    };
    let mut object = Object::new();
    object.number("delivered", done.delivered.into());
    object.number("failed", done.failed.into());
    object.number("dead_lettered", done.dead_lettered.into());
    object.number("waiting", done.waiting);
    object.seconds("next_s", done.next);
    object.flag("lease_held_elsewhere", done.lease_held_elsewhere);
    Response::ok(object.end())
}

pub(super) fn page(entries: &[Entry], cursor: Option<&str>) -> Response {
    let mut object = Object::new();
    object.raw("entries", &array(entries.iter().map(entry)));
    object.text_or_null("cursor", cursor);
    Response::ok(object.end())
}

fn entry(entry: &Entry) -> String {
    let record = entry.record.as_ref();
    let action = entry.action().map(|action| {
        let name = action.name();
        name.strip_prefix("interaction_").unwrap_or(name)
    });
    let mut object = Object::new();
    object.text("key", &entry.key);
    object.text_or_null("action", action);
    object.text("interaction_id", record.map_or("", |r| &r.interaction_id));
    object.time("accepted_at", entry.accepted_ns);
    object.number("size", entry.size);
    object.number("tries", record.map_or(0, |r| r.tries.into()));
    let failure = record.map_or("the record cannot be read", |r| &r.last_failure);
    object.text_or_null(
        "last_failure",
        Some(failure).filter(|text| !text.is_empty()),
    );
    object.text("idempotency_key", record.map_or("", |r| &r.idempotency_key));
    object.end()
}

pub(super) fn redriven(count: u32) -> Response {
    let mut object = Object::new();
    object.number("redriven", count.into());
    Response::ok(object.end())
}

/// Of a time that is not shown finer than milliseconds.
pub(super) fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
