//! The export `outbox`: delivery, and the outbox by hand.

use core::time::Duration;

use mcp_reporter_core::{
    admin::{self, AdminError, Breaker},
    event,
    outbox::Place,
    store::StoreError,
    text::decimal,
};

use crate::{
    Component,
    bindings::{
        Failure,
        outbox::{
            Action, BreakerState, Delivery, Entry, EntryPage, Guest, OutboxStatus, PurgeFilter,
        },
    },
    clock, delivery,
    instance::{self, Instance},
    prelude::*,
};

impl Guest for Component {
    fn deliver(budget_ms: u32) -> Result<Delivery, Failure> {
        // Switched off, there is nothing to deliver and nothing to come back for.
        let done = match instance::enabled()? {
            Some(mut instance) => {
                delivery::deliver(&mut instance, Duration::from_millis(budget_ms.into()))
                    .map_err(storage)?
            }
            None => Default::default(),
        };
        Ok(Delivery {
            delivered: done.delivered,
            failed: done.failed,
            dead_lettered: done.dead_lettered,
            waiting: done.waiting,
            // Rounded up: a moment too early would find nothing due.
            next_ms: done.next.map(|d| ms(d + Duration::from_nanos(999_999))),
            held: done.held,
            lease_held_elsewhere: done.lease_held_elsewhere,
        })
    }

    fn status() -> Result<OutboxStatus, Failure> {
        let Instance { store, .. } = &mut *instance::required()?;
        let status = admin::status(store, clock::now()).map_err(storage)?;
        Ok(OutboxStatus {
            waiting: status.waiting,
            dead_letters: status.dead_letters,
            bytes: status.bytes,
            oldest_age_ms: status.oldest_age.map(ms),
            breaker: match status.breaker {
                Breaker::Closed => BreakerState::Closed,
                Breaker::Open => BreakerState::Open,
                Breaker::HalfOpen => BreakerState::HalfOpen,
                Breaker::Paused => BreakerState::Paused,
            },
            paused_reason: status.paused_reason,
            next_attempt_ms: status.next_attempt.map(ms),
            delivered_total: status.delivered_total,
            resent_total: status.resent_total,
            dropped_total: status.dropped_total,
            lease_holder: status.lease_holder,
        })
    }

    fn list_dead_letters(limit: u32, cursor: Option<String>) -> Result<EntryPage, Failure> {
        list(Place::Dead, limit, cursor.as_deref())
    }

    fn list_waiting(limit: u32, cursor: Option<String>) -> Result<EntryPage, Failure> {
        list(Place::Waiting, limit, cursor.as_deref())
    }

    fn show(key: String) -> Result<Option<String>, Failure> {
        let body = admin::show(&mut instance::required()?.store, &key).map_err(storage)?;
        Ok(body.and_then(|bytes| String::from_utf8(bytes).ok()))
    }

    fn redrive(interaction_ids: Vec<String>) -> Result<u32, Failure> {
        let Instance { store, random, .. } = &mut *instance::required()?;
        admin::redrive(store, random, clock::now(), &interaction_ids).map_err(hindrance)
    }

    fn purge(filter: PurgeFilter) -> Result<u32, Failure> {
        let filter = admin::PurgeFilter {
            dead_letters: filter.dead_letters,
            older_than: filter.older_than_ms.map(Duration::from_millis),
            interaction_id: filter.interaction_id,
        };
        let Instance { store, random, .. } = &mut *instance::required()?;
        admin::purge(store, random, clock::now(), &filter).map_err(hindrance)
    }
}

fn list(place: Place, limit: u32, cursor: Option<&str>) -> Result<EntryPage, Failure> {
    if limit == 0 || limit as usize > admin::MAX_PAGE {
        let allowed = admin::MAX_PAGE as u64;
        return Err(Failure::InvalidInput(
            [
                "limit = ",
                &decimal(limit.into()),
                ": must be from 1 to ",
                &decimal(allowed),
            ]
            .concat(),
        ));
    }
    let store = &mut instance::required()?.store;
    let (entries, cursor) = admin::list(store, place, limit as usize, cursor).map_err(storage)?;
    Ok(EntryPage {
        entries: entries.into_iter().map(entry).collect(),
        cursor,
    })
}

fn entry(entry: admin::Entry) -> Entry {
    let action = entry.action().map(|action| match action {
        event::Action::Start => Action::Start,
        event::Action::Progress => Action::Progress,
        event::Action::Complete => Action::Complete,
        event::Action::Error => Action::Error,
    });
    let (interaction_id, tries, last_failure, idempotency_key) = match entry.record {
        Some(r) => (r.interaction_id, r.tries, r.last_failure, r.idempotency_key),
        None => (
            String::new(),
            0,
            String::from("the record cannot be read"),
            String::new(),
        ),
    };
    Entry {
        key: entry.key,
        action,
        interaction_id,
        accepted_ns: entry.accepted_ns,
        size: entry.size,
        tries,
        last_failure: (!last_failure.is_empty()).then_some(last_failure),
        idempotency_key,
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn storage(error: StoreError) -> Failure {
    Failure::Storage(error.0)
}

fn hindrance(error: AdminError) -> Failure {
    match error {
        AdminError::Busy { .. } => Failure::Busy(error.message()),
        AdminError::Store(error) => storage(error),
    }
}
