//! The coordinator's own API, answered by the component: a reporter that talks to it today moves
//! over by changing its URL.
//!
//! Pure functions. [`Operation::of`] reads the head of a request, [`Operation::admit`] looks at its
//! key, [`Operation::perform`] does what is asked and answers. What it means that the store fails,
//! that the outbox is full, or that reporting is switched off is said here as well, so that its
//! caller only carries bytes.
//!
//! | route | key | answer |
//! | --- | --- | --- |
//! | `POST /api/v2/interactions` | yes | the event is in the outbox, then 200 |
//! | `GET /api/v2/health` | no | 200, or 503 when the store fails |
//! | `POST /api/v2/validate`, `GET /api/v2/interactions/stats` | yes | as the coordinator's |
//! | `GET /api/v2/outbox` | yes | the state of the outbox |
//! | `POST /api/v2/outbox/deliver` | yes | what was delivered |
//! | `GET /api/v2/outbox/dead-letters?limit&cursor` | yes | a page |
//! | `POST /api/v2/outbox/redrive` | yes | how many were put back; 409 while another delivers |
//!
//! `HEAD` is answered as `GET` without the body, `OPTIONS` with what is allowed.
//!
//! A request with an `Idempotency-Key` that was answered 200 before gets the same answer again,
//! and stores nothing (`repeats`).

mod answers;
mod event;
mod json_out;
pub(crate) mod repeats;
mod route;

#[cfg(test)]
mod tests;

pub use answers::{
    Response, Unavailable, delivered, not_configured, store_failed, switched_off, unreadable,
};
pub(crate) use event::Incoming;
pub use route::{EVENTS_PATH, FORM_BYTES, Head, Operation};

use crate::accept::{Acceptor, Refusal};
use crate::admin::{self, AdminError};
use crate::control::{Control, KEY};
use crate::json;
use crate::outbox::Place;
use crate::prelude::*;
use crate::settings::Settings;
use crate::store::{Now, Random, Store, StoreError};
use core::time::Duration;

/// How long `POST /api/v2/outbox/deliver` delivers where `edge_budget` is 0.
const DELIVER_BUDGET: Duration = Duration::from_secs(20);

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performed {
    /// Answer this.
    Answer(Response),
    /// Answer this: an event was stored. Deliver after it, for `edge_budget`.
    Stored(Response),
    /// Deliver for so long, and answer with what [`delivered`] makes of it.
    Deliver(Duration),
}

impl Operation<'_> {
    /// Does what is asked. `body` is what was read of the request's, within
    /// [`body_limit`](Self::body_limit).
    pub fn perform(
        &self,
        body: &[u8],
        settings: &Settings,
        acceptor: &mut Acceptor,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Performed {
        let done = match self {
            Self::Accept(head) => {
                return match event::accept(head, body, settings, acceptor, store, random, now) {
                    Ok((response, true)) => Performed::Stored(response),
                    Ok((response, false)) | Err(response) => Performed::Answer(response),
                };
            }
            Self::Deliver => {
                let budget = match settings.edge_budget {
                    Duration::ZERO => DELIVER_BUDGET,
                    budget => budget,
                };
                return Performed::Deliver(budget);
            }
            Self::Health => waiting(store).map(|waiting| answers::health(now, waiting)),
            Self::Validate => Ok(answers::valid()),
            Self::Stats => admin::status(store, now).map(|status| answers::stats(now, &status)),
            Self::Outbox => admin::status(store, now).map(|status| answers::outbox(&status)),
            Self::DeadLetters { limit, cursor } => admin::list(store, Place::Dead, *limit, *cursor)
                .map(|(entries, next)| answers::page(&entries, next.as_deref())),
            Self::Redrive => match interactions(body) {
                Ok(ids) => match admin::redrive(store, random, now, &ids) {
                    Ok(count) => Ok(answers::redriven(count)),
                    Err(AdminError::Store(error)) => Err(error),
                    Err(busy) => Ok(answers::busy(&busy)),
                },
                Err(response) => Ok(response),
            },
        };
        Performed::Answer(done.unwrap_or_else(|error| store_failed(&error)))
    }
}

/// How many events wait, by the last listing: asking costs one small read.
fn waiting(store: &mut dyn Store) -> Result<u64, StoreError> {
    let control = store.get(KEY)?.and_then(|raw| Control::decode(&raw));
    Ok(control.map_or(0, |control| control.waiting))
}

/// The interactions to redrive, none for all: `{"interaction_ids": ["…"]}`, or nothing.
fn interactions(body: &[u8]) -> Result<Vec<String>, Response> {
    if body.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let text = core::str::from_utf8(body).map_err(|_| answers::not_utf8())?;
    let members = json::members(text).map_err(|problem| answers::not_json(&problem))?;
    for (name, value) in members {
        if name == "interaction_ids" {
            return json::strings(value).ok_or_else(|| {
                answers::bad_field("interaction_ids", "must be an array of strings")
            });
        }
    }
    Ok(Vec::new())
}

/// What is answered to an event that was not stored.
fn refused(refusal: &Refusal) -> Response {
    match refusal {
        Refusal::Invalid(problem) => answers::invalid(problem),
        Refusal::Full(_) => answers::full(&refusal.message()),
        Refusal::Storage(error) => store_failed(error),
    }
}
