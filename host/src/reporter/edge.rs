//! The component's own API over HTTP: a pool of instances that answer requests.
//!
//! What an instance stores is watched, so that it wakes the timer and counts like any report: the
//! component says over HTTP what the coordinator would, which is less.

use super::ReportError;
use super::factory::Factory;
use crate::engine::{Action, HandlerAnswer, Instance, action_of};
use crate::metrics::Refusal;
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use mcp_reporter_core::edge::{EVENTS_PATH, Unavailable};
use mcp_reporter_core::outbox::{Place, Record};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore, oneshot};

/// Most requests that are answered at once; further ones wait for an instance.
const INSTANCES: usize = 32;

/// Answers requests.
pub(super) struct Edge {
    factory: Arc<Factory>,
    /// Told when something was stored.
    arrival: Arc<Notify>,
    permits: Semaphore,
    idle: Mutex<Vec<Answering>>,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Edge")
    }
}

/// An instance, and what it did to the store.
struct Answering {
    instance: Instance,
    /// The action of the event that was stored since the request began.
    stored: Arc<Mutex<Option<Action>>>,
}

impl Edge {
    pub fn new(factory: Arc<Factory>, arrival: Arc<Notify>) -> Self {
        Self {
            factory,
            arrival,
            permits: Semaphore::new(INSTANCES),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ReportError> {
        let since = Instant::now();
        let is_event = request.uri().path() == EVENTS_PATH;
        // The semaphore is never closed.
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| ReportError::Closed)?;
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut answering = match idle {
            Some(answering) => answering,
            None => Answering::new(&self.factory).await?,
        };
        answering.take_stored();
        let answer = answering.handle(request).await;
        let stored = answering.take_stored();
        if !answering.instance.is_poisoned() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(answering);
        }
        if is_event {
            match &answer {
                Ok(answer) => self.count(answer, stored, since),
                Err(failed) => self.count_failed(failed, since),
            }
        }
        answer
    }

    fn count(&self, answer: &Response<Bytes>, stored: Option<Action>, since: Instant) {
        let status = answer.status();
        let stored = stored.filter(|_| status.is_success());
        if stored.is_some() {
            self.arrival.notify_one();
        }
        let Some(metrics) = &self.factory.metrics else {
            return;
        };
        match (stored, status) {
            (Some(action), _) => metrics.accepted(action),
            (None, StatusCode::SERVICE_UNAVAILABLE) => {
                let retry_after = answer.headers().get(header::RETRY_AFTER);
                let why = Unavailable::of(retry_after.map(HeaderValue::as_bytes));
                metrics.refused(match why {
                    Unavailable::Full => Refusal::Full,
                    Unavailable::Storage => Refusal::Storage,
                    Unavailable::Configuration => Refusal::Component,
                });
            }
            // Nobody's report, until the key is right.
            (None, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => return,
            (None, status) if status.is_client_error() => metrics.refused(Refusal::Invalid),
            // One that was answered before.
            (None, _) => {}
        }
        metrics.answered_caller(since.elapsed());
    }

    fn count_failed(&self, failed: &ReportError, since: Instant) {
        if let Some(metrics) = &self.factory.metrics {
            metrics.refused(failed.refusal());
            metrics.answered_caller(since.elapsed());
        }
    }
}

impl Answering {
    async fn new(factory: &Factory) -> Result<Self, ReportError> {
        let stored = Arc::new(Mutex::new(None));
        let store = Watched {
            store: factory.shards[0].clone(),
            stored: stored.clone(),
        };
        // The timer delivers.
        let no_budget = ("edge_budget".to_owned(), "0".to_owned());
        let component = factory.component.with([no_budget]);
        let instance = component.instantiate_accepting(Arc::new(store)).await?;
        Ok(Self { instance, stored })
    }

    fn take_stored(&self) -> Option<Action> {
        self.stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    async fn handle(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, ReportError> {
        let request = request.map(|body| {
            let body = Full::new(body).map_err(|never| match never {});
            body.boxed_unsync()
        });
        let (sender, receiver) = oneshot::channel::<HandlerAnswer>();
        let read = async {
            let failed = |why: String| ReportError::Component(why);
            let answer = receiver
                .await
                .map_err(|_| failed("it did not answer".to_owned()))?;
            let (head, body) = answer.map_err(|e| failed(e.to_string()))?.into_parts();
            let body = body.collect().await.map_err(|e| failed(e.to_string()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        // Side by side: what is larger than the component may write at once is read meanwhile.
        let (answer, done) = tokio::join!(read, self.instance.handle(request, sender));
        done?;
        answer
    }
}

/// The store of an instance, watched.
struct Watched {
    store: Arc<dyn Store>,
    stored: Arc<Mutex<Option<Action>>>,
}

impl Watched {
    /// What is written is an event that waits, if any of it is.
    fn action<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a Vec<u8>)>) -> Option<Action> {
        let mut events = pairs
            .into_iter()
            .filter(|(key, _)| Place::of(key) == Some(Place::Waiting));
        let (_, value) = events.next()?;
        Record::decode(value)
            .ok()
            .map(|record| action_of(record.action))
    }

    fn saw(
        &self,
        action: Option<Action>,
        result: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if action.is_some() && result.is_ok() {
            let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
            *stored = action;
        }
        result
    }
}

#[async_trait]
impl Store for Watched {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key).await
    }

    async fn get_many(
        &self,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        self.store.get_many(keys).await
    }

    async fn list_keys(&self) -> Result<Vec<String>, StoreError> {
        self.store.list_keys().await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<(), StoreError> {
        let stored = Self::action([(&key, &value)]);
        self.saw(stored, self.store.set(key, value).await)
    }

    async fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let stored = Self::action(pairs.iter().map(|(key, value)| (key, value)));
        self.saw(stored, self.store.set_many(pairs).await)
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<(), StoreError> {
        self.store.delete_many(keys).await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64, StoreError> {
        self.store.increment(key, delta).await
    }

    async fn compare_and_swap(
        &self,
        key: String,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> Result<bool, StoreError> {
        self.store.compare_and_swap(key, expected, new).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
