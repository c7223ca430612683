//! What reached the coordinator and what became of it, for whoever looks on.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use tokio::sync::watch;

use super::{
    faults::InForce,
    store::{Store, StoredEvent},
};

/// One `POST /api/v2/interactions` that was read to its end.
#[derive(Clone)]
pub struct Receipt {
    /// When it had been read, since the coordinator started; never goes back.
    pub at: Duration,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
    /// `Idempotency-Key` as it was sent, quotes included.
    pub idempotency_key: Option<String>,
    /// Whether it brought a good key.
    pub authorized: bool,
    /// All headers in the order sent, names in lower case. `Authorization` is
    /// among them, but hidden from `Debug`.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// `action`, if the body is an object that has it as a string.
    pub action: Option<String>,
    /// `interaction_id`, likewise.
    pub interaction_id: Option<String>,
    /// The status answered; none when there was no answer (yet): it was cut,
    /// hangs, or is slow.
    pub answered: Option<u16>,
    /// Whether this request stored an event. False for a repeated key.
    pub stored: bool,
}

impl Receipt {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "authorization" => (name.as_str(), "***"),
                _ => (name.as_str(), value.as_str()),
            })
            .collect();
        f.debug_struct("Receipt")
            .field("at", &self.at)
            .field("wall", &self.wall)
            .field("idempotency_key", &self.idempotency_key)
            .field("authorized", &self.authorized)
            .field("headers", &headers)
            .field("body", &String::from_utf8_lossy(&self.body))
            .field("action", &self.action)
            .field("interaction_id", &self.interaction_id)
            .field("answered", &self.answered)
            .field("stored", &self.stored)
            .finish()
    }
}

/// Counts since the coordinator started.
/// `received = processed + failed + duplicates_ignored + dropped_unknown`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Events let in: good key, JSON object, no fault before storing.
    pub received: u64,
    /// Events stored.
    pub processed: u64,
    /// Events with no known action or no id (answered 200 all the same), or that
    /// the store failed on (500).
    pub failed: u64,
    /// Events whose `Idempotency-Key` had been seen.
    pub duplicates_ignored: u64,
    /// Progress, complete or error of an interaction whose start was not seen.
    pub dropped_unknown: u64,
}

/// The state at one moment, as [`Coordinator::wait_for`](super::Coordinator::wait_for) shows it.
pub struct View<'a>(&'a State);

impl View<'_> {
    /// The requests so far, in order of receipt.
    pub fn receipts(&self) -> &[Receipt] {
        &self.0.receipts
    }

    /// The counts so far.
    pub fn stats(&self) -> Stats {
        self.0.stats
    }

    /// The events stored, in order; those of earlier runs too when they are in a
    /// file. Reads and copies them all: prefer [`stats`](Self::stats) where a
    /// count will do. Empty when the store cannot be read.
    pub fn stored(&self) -> Vec<StoredEvent> {
        self.0.store.events().unwrap_or_default()
    }
}

pub(super) struct State {
    pub receipts: Vec<Receipt>,
    pub stats: Stats,
    pub store: Store,
    pub in_force: InForce,
}

pub(super) struct Ledger {
    started: Instant,
    keep_receipts: bool,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

impl Ledger {
    pub(super) fn new(store: Store, keep_receipts: bool, in_force: InForce) -> Self {
        Self {
            started: Instant::now(),
            keep_receipts,
            state: Mutex::new(State {
                receipts: Vec::new(),
                stats: Stats::default(),
                store,
                in_force,
            }),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn since_start(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn keeps_receipts(&self) -> bool {
        self.keep_receipts
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes whoever waits for a change.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.state());
        self.changed.send_replace(());
        value
    }

    /// Waits until `done` says so; false when `within` has passed first.
    pub(super) async fn wait_for(
        &self,
        mut done: impl FnMut(&View<'_>) -> bool,
        within: Duration,
    ) -> bool {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            while !done(&View(&self.state())) {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::time::timeout(within, waiting).await.is_ok()
    }
}
