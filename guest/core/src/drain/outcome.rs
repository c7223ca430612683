//! What follows from answers: deletion, backoff, breaker, pause, dead letters.

use super::verdict::{self, Answer, Verdict};
use super::{Drainer, Flight, Halt, Note, moment};
use crate::backoff;
use crate::control::{BREAKER_FAILURES, Mode, REFUSALS, nanos};
use crate::outbox::{EventKey, Place, Record, names};
use crate::prelude::*;
use crate::store::{Now, Random, Store, StoreError};
use crate::text::decimal;
use core::time::Duration;

/// Records moved at once.
const MOVE_BATCH: usize = 64;

impl Drainer {
    /// Takes in all answers that came since the last poll.
    pub(super) fn settle_answers(
        &mut self,
        store: &mut dyn Store,
        random: &mut dyn Random,
        now: Now,
    ) {
        let Some(session) = &mut self.session else {
            return;
        };
        if session.answers.is_empty() {
            return;
        }
        let answers = core::mem::take(&mut session.answers);
        let (mut delivered, mut kept, mut buried) = (Vec::new(), Vec::new(), Vec::new());
        for (token, answer, at) in answers {
            self.throttle.answered(token, at);
            let flights = self.session.as_mut().map(|s| &mut s.flights);
            let flight = flights.and_then(|flights| {
                let at = flights.iter().position(|(t, _)| *t == token)?;
                Some(flights.swap_remove(at).1)
            });
            let Some(mut flight) = flight else { continue };
            let charged = self.count_try(&mut flight.record, now);
            let gone = flight.gone;
            let failed = match verdict::judge(&answer) {
                Verdict::Delivered => {
                    self.delivered(&flight);
                    delivered.push(flight.key);
                    continue;
                }
                _ if matches!(answer, Answer::TimedOut) && !flight.in_full => {
                    self.abandoned(flight, now)
                }
                Verdict::Transient => self.transient(flight, charged, &answer, random, now),
                Verdict::Pause(reason) => self.pause(flight, &answer, reason, now),
                Verdict::Refused => self.refused(flight, &answer, now),
            };
            match failed {
                // Written back, it would come back to life.
                _ if gone => {}
                Failed::Kept(key, record) => kept.push((key, record)),
                Failed::Dead(key, record) => buried.push((key, record)),
            }
        }
        if let Err(e) = self.write_outcomes(store, delivered, kept, buried) {
            self.halt(Halt::Store(e));
        }
    }

    fn write_outcomes(
        &mut self,
        store: &mut dyn Store,
        delivered: Vec<EventKey>,
        kept: Vec<(EventKey, Box<Record>)>,
        buried: Vec<(EventKey, Box<Record>)>,
    ) -> Result<(), StoreError> {
        if !delivered.is_empty() {
            let names = names(&delivered, Place::Waiting);
            if let Err(e) = store.delete_many(&names) {
                self.undeleted.extend(delivered);
                return Err(e);
            }
        }
        // Without the lease nothing is written back: another may have delivered
        // and deleted it meanwhile, and it would come back to life.
        if self.session.as_ref().is_none_or(|s| s.halt.is_some()) {
            return Ok(());
        }
        if !kept.is_empty() {
            let pairs: Vec<_> = kept
                .iter()
                .map(|(k, r)| (k.name(Place::Waiting), r.encode()))
                .collect();
            store.set_many(&pairs)?;
        }
        for (key, record) in buried {
            let lane = self.carry.queue.take_lane(key);
            self.bury(store, &lane, Some((key, record)))?;
        }
        Ok(())
    }

    /// Counts a try, however it ended; says whether a failure of it is charged:
    /// only if others got through since the try before, whatever came of that.
    /// What an outage does to all of them is no fault of this one.
    fn count_try(&mut self, record: &mut Record, now: Now) -> bool {
        let others = match &self.session {
            Some(session) => session.held.control.delivered_total,
            None => 0,
        };
        let charged = record.tries > 0 && others > record.delivered_mark;
        record.delivered_mark = others;
        record.tries += 1;
        // It may be tried again at once, unless it has to back off; a probe goes by when it was.
        record.not_before_ns = now.wall_ns;
        charged
    }

    fn delivered(&mut self, flight: &Flight) {
        self.carry.queue.remove(flight.key);
        let Some(session) = &mut self.session else {
            return;
        };
        session.done.delivered += 1;
        let control = &mut session.held.control;
        control.delivered_total += 1;
        control.waiting = control.waiting.saturating_sub(1);
        control.waiting_bytes = control.waiting_bytes.saturating_sub(flight.key.size.into());
        (control.failures, control.refusals) = (0, 0);
        if control.mode != Mode::Closed {
            control.mode = Mode::Closed;
            control.reason.clear();
            self.notes
                .push(Note::Info("the coordinator takes events again".into()));
        }
    }

    /// The delivery's own time was over before the request's: nobody's fault.
    fn abandoned(&mut self, flight: Flight, now: Now) -> Failed {
        let Flight {
            key, mut record, ..
        } = flight;
        record.last_failure = "no answer before the end of the delivery".into();
        self.carry.queue.sleep(key, moment(now));
        Failed::Kept(key, record)
    }

    fn transient(
        &mut self,
        flight: Flight,
        charged: bool,
        answer: &Answer,
        random: &mut dyn Random,
        now: Now,
    ) -> Failed {
        let Flight {
            key, mut record, ..
        } = flight;
        let base = self.settings.retry_delay;
        let Some(session) = &mut self.session else {
            return Failed::Kept(key, record);
        };
        session.done.failed += 1;
        let control = &mut session.held.control;

        record.charged += u32::from(charged);
        let failures = record.tries - 1;
        let backoff = backoff::full_jitter(random, base, failures);
        record.last_failure = verdict::describe(answer);
        if record.first_failure_ns == 0 {
            record.first_failure_ns = now.wall_ns;
        }

        // Of many that were in flight when the breaker opened only the first
        // counts, and later on only the probe.
        let counts = control.mode == Mode::Closed || control.retry_at <= now.wall_ns;
        if counts {
            control.failures += 1;
        }
        if counts && (control.mode != Mode::Closed || control.failures >= BREAKER_FAILURES) {
            if control.mode == Mode::Closed {
                self.notes.push(Note::Warn(
                    [
                        "the coordinator failed ",
                        &decimal(control.failures.into()),
                        " times in a row, the last time with: ",
                        &record.last_failure,
                        "; events wait in the outbox",
                    ]
                    .concat(),
                ));
            }
            let failures = control
                .failures
                .saturating_sub(BREAKER_FAILURES)
                .max(failures);
            let wait = backoff::full_jitter(random, base, failures);
            control.mode = Mode::Open;
            control.retry_at = now.wall_ns + wait.as_nanos() as u64;
        }
        let asked = match answer {
            Answer::Status {
                retry_after: Some(value),
                ..
            } => backoff::retry_after(value, now.wall_ns),
            _ => None,
        };
        if let Some(asked) = asked {
            control.hold_until = control
                .hold_until
                .max(now.wall_ns + asked.as_nanos() as u64);
        }

        let age = now.wall_ns.saturating_sub(record.first_failure_ns);
        if record.charged >= self.settings.max_retries.max(1)
            && Duration::from_nanos(age) >= self.settings.dead_letter_after
        {
            self.notes.push(Note::Warn(
                [
                    "an event of interaction ",
                    &record.interaction_id,
                    " became a dead letter after ",
                    &decimal(record.tries.into()),
                    " tries: ",
                    &record.last_failure,
                ]
                .concat(),
            ));
            return Failed::Dead(key, record);
        }
        // While the breaker is open, it alone says when to try again. A `Retry-After` holds the
        // whole queue, so there is no need to write it into the record too.
        let wait = if control.mode == Mode::Closed {
            backoff
        } else {
            Duration::ZERO
        };
        record.not_before_ns = now.wall_ns + wait.as_nanos() as u64;
        self.carry.queue.sleep(key, moment(now) + nanos(wait));
        Failed::Kept(key, record)
    }

    fn pause(&mut self, flight: Flight, answer: &Answer, reason: &str, now: Now) -> Failed {
        let Flight {
            key, mut record, ..
        } = flight;
        record.last_failure = verdict::describe(answer);
        self.carry.queue.sleep(key, moment(now));
        if let Some(session) = &mut self.session {
            session.done.failed += 1;
            let control = &mut session.held.control;
            let reason = [reason, " (", &record.last_failure, ")"].concat();
            if control.mode != Mode::Paused {
                self.notes.push(Note::Warn(
                    [
                        "delivery is paused: ",
                        &reason,
                        "; events wait in the outbox, and one is tried every ",
                        &decimal(backoff::CAP.as_secs()),
                        " s",
                    ]
                    .concat(),
                ));
            }
            control.mode = Mode::Paused;
            control.reason = reason;
            control.retry_at = now.wall_ns + backoff::CAP.as_nanos() as u64;
        }
        Failed::Kept(key, record)
    }

    fn refused(&mut self, flight: Flight, answer: &Answer, now: Now) -> Failed {
        let paused = self.session.as_ref().is_some_and(|s| {
            let control = &s.held.control;
            control.mode == Mode::Paused || control.refusals + 1 >= REFUSALS
        });
        if paused {
            let reason = "the coordinator refuses event after event";
            return self.pause(flight, answer, reason, now);
        }
        let Flight {
            key, mut record, ..
        } = flight;
        record.last_failure = verdict::describe(answer);
        if let Some(session) = &mut self.session {
            session.done.failed += 1;
            session.held.control.refusals += 1;
            // An answer is an answer: the coordinator is there.
            session.held.control.failures = 0;
            if session.held.control.mode == Mode::Open {
                session.held.control.mode = Mode::Closed;
            }
        }
        self.notes.push(Note::Warn(
            [
                "an event of interaction ",
                &record.interaction_id,
                " was refused and became a dead letter: ",
                &record.last_failure,
            ]
            .concat(),
        ));
        Failed::Dead(key, record)
    }

    /// Makes dead letters of `keys`, all of one interaction. `cause` is the one
    /// among them that was refused, with its record; the others follow it.
    pub(super) fn bury(
        &mut self,
        store: &mut dyn Store,
        keys: &[EventKey],
        cause: Option<(EventKey, Box<Record>)>,
    ) -> Result<(), StoreError> {
        let mut keys = keys.to_vec();
        if let Some((key, _)) = &cause
            && !keys.contains(key)
        {
            keys.insert(0, *key);
        }
        for batch in keys.chunks(MOVE_BATCH) {
            let names = names(batch, Place::Waiting);
            let values = store.get_many(&names)?;
            let mut graves = Vec::with_capacity(batch.len());
            let mut bytes = 0;
            for (key, value) in batch.iter().zip(values) {
                let before = graves.len();
                let record = match (&cause, value) {
                    (Some((k, record)), Some(_)) if k == key => Some((**record).clone()),
                    (_, Some(value)) => match Record::decode(&value) {
                        Ok(mut record) => {
                            record.last_failure = verdict::FOLLOWS.into();
                            Some(record)
                        }
                        Err(_) => {
                            graves.push((key.name(Place::Dead), value));
                            None
                        }
                    },
                    (_, None) => None, // purged meanwhile
                };
                if let Some(record) = record {
                    graves.push((key.name(Place::Dead), record.encode()));
                }
                if graves.len() > before {
                    bytes += u64::from(key.size);
                }
            }
            store.set_many(&graves)?;
            store.delete_many(&names)?;
            self.count_dead(graves.len() as u64, bytes);
        }
        Ok(())
    }

    /// Sets aside an event whose record cannot be read, as it is.
    pub(super) fn set_aside_unread(
        &mut self,
        store: &mut dyn Store,
        key: EventKey,
        value: &[u8],
        why: &str,
    ) -> Result<(), StoreError> {
        self.notes.push(Note::Warn(
            [
                "an event could not be read and became a dead letter: ",
                why,
                " (",
                &key.name(Place::Dead),
                ")",
            ]
            .concat(),
        ));
        store.set(&key.name(Place::Dead), value)?;
        store.delete_many(&[key.name(Place::Waiting)])?;
        self.count_dead(1, key.size.into());
        let lane = self.carry.queue.take_lane(key);
        self.bury(store, &lane[1..], None)
    }

    fn count_dead(&mut self, events: u64, bytes: u64) {
        if let Some(session) = &mut self.session {
            session.done.dead_lettered += events as u32;
            let control = &mut session.held.control;
            control.waiting = control.waiting.saturating_sub(events);
            control.waiting_bytes = control.waiting_bytes.saturating_sub(bytes);
            control.dead += events;
            control.dead_bytes += bytes;
        }
    }
}

enum Failed {
    Kept(EventKey, Box<Record>),
    Dead(EventKey, Box<Record>),
}
