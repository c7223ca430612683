//! Taking reports in: check, build the event, put it into the outbox.
//!
//! Accepting is one `set`, or one `set_many` for a batch. There is no counter
//! to keep in step, so a crash leaves no hole: the bounds are checked against
//! the totals of the last listing plus what this instance accepted since.

use crate::admin;
use crate::control::{self, Held};
use crate::edge::Incoming;
use crate::event::{self, Action, InvalidReport, KEY_BYTES, Report};
use crate::outbox::{self, EventKey, Place, Stage, interaction_hash};
use crate::prelude::*;
use crate::settings::{Settings, WhenFull};
use crate::store::{Now, Random, Store, StoreError};
use crate::text::{decimal, errors_by_message};
use alloc::sync::Arc;

/// How long the totals of the control record are good for.
const TOTALS_LIFE_NS: u64 = 1_000_000_000;
/// Refused interactions that are remembered.
const MAX_REFUSED: usize = 4_096;

/// Why a report was not accepted. Nothing of it is stored, unless the store
/// failed: then that is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is malformed.
    Invalid(InvalidReport),
    /// The outbox is full.
    Full(String),
    /// The store failed.
    Storage(StoreError),
}

impl Refusal {
    /// Why, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Invalid(problem) => problem.message(),
            Self::Full(text) => text.clone(),
            Self::Storage(error) => ["the event could not be stored: ", &error.0].concat(),
        }
    }
}

errors_by_message!(Refusal);

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

/// Takes reports in. One for each instance.
#[derive(Debug)]
pub struct Acceptor {
    settings: Arc<Settings>,
    last_ns: u64,
    totals: Totals,
    /// Interactions whose start was refused, oldest first.
    refused: Vec<u64>,
}

/// What the outbox holds, as far as this instance knows.
#[derive(Debug, Default)]
struct Totals {
    read_at: Option<u64>,
    listed_ns: u64,
    events: u64,
    bytes: u64,
    /// Accepted here since the listing: stamp and bytes.
    since: Vec<(u64, u32)>,
    since_bytes: u64,
}

impl Totals {
    fn load(&mut self, control: &control::Control) {
        self.listed_ns = control.listed_ns;
        (self.events, self.bytes) = control.totals();
        self.since.retain(|(ns, _)| *ns > control.listed_ns);
        self.since_bytes = self.since.iter().map(|(_, bytes)| u64::from(*bytes)).sum();
    }

    fn add(&mut self, key: &EventKey) {
        self.since.push((key.ns, key.size));
        self.since_bytes += u64::from(key.size);
    }

    fn events(&self) -> u64 {
        self.events + self.since.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes + self.since_bytes
    }
}

impl Acceptor {
    /// Goes by `settings`.
    #[must_use]
    pub fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            last_ns: 0,
            totals: Totals::default(),
            refused: Vec::new(),
        }
    }

    /// Accepts `reports`, in order; one result for each. All that are accepted
    /// are durable when it returns, as far as the store makes them so.
    pub fn accept(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
        reports: &[Report<'_>],
    ) -> Vec<Result<(), Refusal>> {
        let mut pairs = Vec::with_capacity(reports.len());
        let mut keys = Vec::with_capacity(reports.len());
        let mut results: Vec<_> = reports
            .iter()
            .map(|report| {
                let built = self.build(random, now, report);
                let (key, value) = built.map_err(Refusal::Invalid)?;
                self.make_room(store, random, now, report.action, &key)?;
                self.totals.add(&key);
                keys.push(key);
                pairs.push((key.name(Place::Waiting), value));
                Ok(())
            })
            .collect();
        let stored = match pairs.as_slice() {
            [] => Ok(()),
            [(key, value)] => store.set(key, value),
            several => store.set_many(several),
        };
        if let Err(e) = stored {
            // What was counted stays counted: it may be there. The next listing tells.
            for result in results.iter_mut().filter(|r| r.is_ok()) {
                *result = Err(Refusal::Storage(e.clone()));
            }
        }
        results
    }

    fn build(
        &mut self,
        random: &mut dyn Random,
        now: Now,
        report: &Report<'_>,
    ) -> Result<(EventKey, Vec<u8>), InvalidReport> {
        let limit = self.settings.max_event_bytes as usize;
        let mut buffer = [0; KEY_BYTES];
        let idempotency_key = match report.idempotency_key {
            Some(given) => given,
            None => new_idempotency_key(&mut buffer, random, now),
        };
        let mut size = 0;
        let value = outbox::new_value(
            report.action,
            report.interaction_id,
            idempotency_key,
            report.traceparent.unwrap_or_default(),
            event::body_capacity(report).min(limit),
            |out| {
                let before = out.len();
                event::push_body(out, report, &self.settings.mcp_id, now.wall_ns, limit)?;
                size = out.len() - before;
                Ok(())
            },
        )?;
        let key = self.new_key(random, now, report.action, report.interaction_id, size);
        Ok((key, value))
    }

    fn new_key(
        &mut self,
        random: &mut dyn Random,
        now: Now,
        action: Action,
        interaction_id: &str,
        size: usize,
    ) -> EventKey {
        // Never back, never twice: the order of an interaction hangs on it.
        self.last_ns = now.wall_ns.max(self.last_ns + 1);
        EventKey {
            ns: self.last_ns,
            interaction: interaction_hash(interaction_id),
            stage: Stage::from(action),
            size: size as u32,
            random: random.number(),
        }
    }

    /// Accepts an event that is to be sent as it came. Returns how many wait with it, as far as
    /// this instance knows.
    ///
    /// `beside` says, of that number, what is to be stored together with the event: after it
    /// where the store does one after the other.
    pub(crate) fn accept_incoming(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
        incoming: &Incoming<'_>,
        beside: impl FnOnce(u64) -> Option<(String, Vec<u8>)>,
    ) -> Result<u64, Refusal> {
        let Incoming {
            action,
            ref interaction_id,
            body,
            ..
        } = *incoming;
        event::check_id("interaction_id", interaction_id).map_err(Refusal::Invalid)?;
        let mut buffer = [0; KEY_BYTES];
        let idempotency_key = match incoming.idempotency_key {
            Some(given) => given,
            None => new_idempotency_key(&mut buffer, random, now),
        };
        let traceparent = incoming.traceparent.unwrap_or_default();
        let value = outbox::new_value(
            action,
            interaction_id,
            idempotency_key,
            traceparent,
            body.len(),
            |out| {
                out.extend_from_slice(body);
                Ok::<_, Refusal>(())
            },
        )?;
        let key = self.new_key(random, now, action, interaction_id, body.len());
        self.make_room(store, random, now, action, &key)?;
        self.totals.add(&key);
        let position = self.totals.events();
        let event = (key.name(Place::Waiting), value);
        match beside(position) {
            Some(other) => store.set_many(&[event, other])?,
            None => store.set(&event.0, &event.1)?,
        }
        Ok(position)
    }

    /// Sees to it that there is room for the event. The last twentieth is kept
    /// for ends, so that interactions that began can end.
    fn make_room(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
        action: Action,
        key: &EventKey,
    ) -> Result<(), Refusal> {
        if action == Action::Start {
            self.refused.retain(|refused| *refused != key.interaction);
        } else if self.refused.contains(&key.interaction) {
            return Err(Refusal::Full(
                "the outbox was full when this interaction started, so all of it is refused".into(),
            ));
        }
        self.refresh_totals(store, random, now)?;
        let (max_events, max_bytes) = (self.settings.max_events, self.settings.max_bytes);
        let share = |max: u64| {
            if key.stage == Stage::End {
                max
            } else {
                max - max / 20
            }
        };
        let size = u64::from(key.size);
        let over = |t: &Totals, slack: (u64, u64)| {
            t.events() + 1 > share(max_events) + slack.0
                || t.bytes() + size > share(max_bytes) + slack.1
        };
        if !over(&self.totals, (0, 0)) {
            return Ok(());
        }
        if self.settings.when_full == WhenFull::DropOldest {
            // A twentieth below what a start may fill, so that not every report drops.
            // An event that alone is more than that wraps, and nothing is dropped for it in vain.
            let keep = (
                max_events - max_events / 10,
                (max_bytes - max_bytes / 10).wrapping_sub(size),
            );
            let dropped = admin::drop_oldest(store, random, now, keep)?;
            self.totals.read_at = None;
            self.refresh_totals(store, random, now)?;
            // While another delivers nothing can be dropped; a twentieth more
            // is taken meanwhile.
            let slack = if dropped {
                (0, 0)
            } else {
                (max_events / 20, max_bytes / 20)
            };
            if !over(&self.totals, slack) {
                return Ok(());
            }
        }
        if action == Action::Start {
            self.refuse_interaction(key.interaction);
        }
        Err(Refusal::Full(
            [
                "the outbox is full: ",
                &decimal(self.totals.events()),
                " events and ",
                &decimal(self.totals.bytes()),
                " bytes of at most max_events = ",
                &decimal(max_events),
                " and max_bytes = ",
                &decimal(max_bytes),
                " (the last 5 % is kept for ends)",
            ]
            .concat(),
        ))
    }

    fn refresh_totals(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) -> Result<(), StoreError> {
        let fresh = self
            .totals
            .read_at
            .is_some_and(|at| now.mono_ns.saturating_sub(at) < TOTALS_LIFE_NS);
        if !fresh {
            if let Some(held) = Held::load(store, random)? {
                self.totals.load(&held.control);
            }
            self.totals.read_at = Some(now.mono_ns);
        }
        Ok(())
    }

    fn refuse_interaction(&mut self, interaction: u64) {
        if self.refused.len() == MAX_REFUSED {
            self.refused.remove(0);
        }
        self.refused.push(interaction);
    }
}

fn new_idempotency_key<'a>(
    buffer: &'a mut [u8; KEY_BYTES],
    random: &mut dyn Random,
    now: Now,
) -> &'a str {
    let mut bytes = [0; 10];
    random.fill(&mut bytes);
    event::new_idempotency_key(buffer, now.wall_ns, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{bytes, sort_out};
    use crate::testing::{Dice, Memory, at_ms, report, settings};

    fn accept(
        a: &mut Acceptor,
        store: &mut Memory,
        reports: &[Report<'_>],
    ) -> Vec<Result<(), Refusal>> {
        a.accept(store, &mut Dice::new(1), at_ms(1_000), reports)
    }

    #[test]
    fn an_accepted_event_is_in_the_store_under_its_key_before_the_call_returns() {
        let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings().into()));
        let results = accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Start, "i1", r#"{"a":1}"#)],
        );
        assert_eq!(results, [Ok(())]);
        let events = store.events(Place::Waiting);
        let (key, record) = &events[0];
        assert_eq!(key.size as usize, record.body.len());
        assert_eq!(key.interaction, interaction_hash("i1"));
        assert_eq!(
            (record.action, record.tries, record.idempotency_key.len()),
            (Action::Start, 0, 36)
        );
    }

    #[test]
    fn a_malformed_report_of_a_batch_does_not_hinder_the_others() {
        let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings().into()));
        let reports = [
            report(Action::Start, "a", "{}"),
            report(Action::Start, "b", "[]"),
            report(Action::Start, "c", "{}"),
        ];
        let results = accept(&mut acceptor, &mut store, &reports);
        assert!(matches!(results[1], Err(Refusal::Invalid(_))));
        assert_eq!(store.events(Place::Waiting).len(), 2);
        assert_eq!(store.operations("set_many"), 1);
    }

    #[test]
    fn stamps_never_repeat_nor_go_back_when_the_clock_does() {
        let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings().into()));
        let mut dice = Dice::new(1);
        for ms in [5_000, 5_000, 4_000, 1, 5_000] {
            let reports = [
                report(Action::Progress, "i", "{}"),
                report(Action::Progress, "i", "{}"),
            ];
            acceptor.accept(&mut store, &mut dice, at_ms(ms), &reports);
        }
        let mut stamps: Vec<_> = store
            .events(Place::Waiting)
            .iter()
            .map(|(k, _)| k.ns)
            .collect();
        stamps.dedup();
        assert_eq!(stamps.len(), 10);
    }

    #[test]
    fn a_failing_store_refuses_every_event_of_the_batch() {
        let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings().into()));
        accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Start, "warm", "{}")],
        );
        store.fail_next("set_many");
        let reports = [
            report(Action::Start, "a", "{}"),
            report(Action::Start, "b", "{}"),
        ];
        let results = accept(&mut acceptor, &mut store, &reports);
        assert!(
            results
                .iter()
                .all(|r| matches!(r, Err(Refusal::Storage(_))))
        );
    }

    #[test]
    fn a_full_outbox_keeps_its_last_twentieth_for_ends_and_refuses_interactions_whole() {
        let settings = Settings {
            max_events: 20,
            ..settings()
        };
        let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings.into()));
        for i in 0..19 {
            let id = format!("i{i}");
            assert_eq!(
                accept(
                    &mut acceptor,
                    &mut store,
                    &[report(Action::Start, &id, "{}")]
                ),
                [Ok(())]
            );
        }
        let full = |r: &[Result<(), Refusal>]| matches!(r, [Err(Refusal::Full(_))]);
        let r = accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Start, "late", "{}")],
        );
        assert!(full(&r), "{r:?}");
        let message = r[0].as_ref().unwrap_err().to_string();
        assert!(
            message.contains("19 events") && message.contains("max_events = 20"),
            "{message}"
        );
        assert!(full(&accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Error, "late", "{}")]
        )));
        assert!(full(&accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Progress, "i1", "{}")]
        )));
        assert_eq!(
            accept(
                &mut acceptor,
                &mut store,
                &[report(Action::Complete, "i1", "{}")]
            ),
            [Ok(())]
        );
        assert!(full(&accept(
            &mut acceptor,
            &mut store,
            &[report(Action::Complete, "i2", "{}")]
        )));
    }

    #[test]
    fn a_full_outbox_drops_no_more_than_makes_room_by_count_and_by_bytes() {
        for (max_events, max_bytes) in [(20, 1_000_000), (100_000, 20_000)] {
            let settings = Settings {
                max_events,
                max_bytes,
                when_full: WhenFull::DropOldest,
                ..settings()
            };
            let (mut store, mut acceptor) = (Memory::default(), Acceptor::new(settings.into()));
            let (mut dice, data) = (Dice::new(1), format!(r#"{{"x":"{}"}}"#, "x".repeat(800)));
            for i in 0..100 {
                let id = format!("i{i:02}");
                let start = [report(Action::Start, &id, &data)];
                let results = acceptor.accept(&mut store, &mut dice, at_ms(1_000 + i), &start);
                assert_eq!(results, [Ok(())]);
                let waiting = &sort_out(&store.list_keys().unwrap())[0];
                let (events, bytes) = (waiting.len() as u64, bytes(waiting));
                assert!(
                    events <= max_events && bytes <= max_bytes,
                    "{events}, {bytes}"
                );
                assert!(i < 20 || events >= 16, "{events} are left after {i}");
            }
        }
    }
}
