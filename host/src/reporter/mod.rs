//! The reporter for Rust programs.
//!
//! A [`Reporter`] runs the component in threads of its own: one instance takes
//! reports in, another delivers. A report waits for the store and never for
//! the network; reports that come together are stored together.
//!
//! ```no_run
//! # async fn work() -> Result<&'static str, std::io::Error> { Ok("{\"success\":true}") }
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mcp_reporter::Reporter;
//! use std::time::Duration;
//!
//! let reporter = Reporter::builder()
//!     .set("enable_interaction_logging", "true")
//!     .set("mcp_id", "weather")
//!     .set("coordinator_url", "http://127.0.0.1:8080")
//!     .set("coordinator_api_key", "the key")
//!     .set("local_cache_path", "./data/outbox.db")
//!     .build()
//!     .await?;
//!
//! let call = reporter.start(r#"{"request_type":"tools/call"}"#).await?;
//! match work().await {
//!     Ok(result) => call.complete(result).await?,
//!     Err(e) => call.fail(serde_json::json!({"error_message": e.to_string()})).await?,
//! };
//! reporter.shutdown(Duration::from_secs(2)).await;
//! # Ok(())
//! # }
//! ```

mod accept;
mod builder;
mod deliver;
mod edge;
mod error;
mod factory;
mod import;
mod interaction;
mod merge;
mod payload;
mod performance;
mod report;
mod shares;

pub use builder::ReporterBuilder;
pub use error::{BuildError, MetricsError, ReportError};
pub use import::{Imported, LegacyImport};
pub use interaction::Interaction;
pub use mcp_reporter_capture::PerformanceMetrics;
pub use payload::Payload;
pub use performance::PerformanceMonitor;
pub use report::Report;

use crate::engine::{
    Action, Delivery, EntryPage, Failure, Instance, OutboxStatus, Outcome, Probe, PurgeFilter,
};
use crate::store::shard;
use accept::Accepting;
use bytes::Bytes;
use deliver::Delivering;
use factory::Factory;
use http::{Request, Response};
use mcp_reporter_core::event;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long redrive and purge wait for the lease, and how often they try.
const LEASE_WAIT: Duration = Duration::from_secs(15);
const LEASE_RETRY: Duration = Duration::from_millis(20);

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether everything was delivered. What was not is in the store.
    pub delivered_all: bool,
    /// Whether it ended by itself, and not at its deadline.
    pub in_time: bool,
}

/// Reports interactions. Cheap to clone; all clones are one reporter.
///
/// One that is switched off (`enable_interaction_logging = false`, the
/// default) has no threads, opens no store and touches no network: its
/// functions return [`Outcome::Disabled`] at once.
#[derive(Debug, Clone)]
pub struct Reporter {
    inner: Option<Arc<Inner>>,
}

#[derive(Debug)]
struct Inner {
    accepting: Accepting,
    /// One for each shard.
    delivering: Vec<Delivering>,
    factory: Arc<Factory>,
    /// Answers requests over HTTP; none where there are several shards.
    edge: Option<edge::Edge>,
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
    metrics: Result<Option<SocketAddr>, MetricsError>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime may not be dropped where another one runs; this does not wait.
        let runtime = self
            .runtime
            .get_mut()
            .unwrap_or_else(|e| e.into_inner())
            .take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}

impl Reporter {
    /// Configures a reporter.
    pub fn builder() -> ReporterBuilder {
        ReporterBuilder::default()
    }

    /// A reporter that is switched off.
    #[must_use]
    pub fn disabled() -> Self {
        Self { inner: None }
    }

    /// Whether it is switched on.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// Where the metrics are served; none unless `metrics_listen` is set.
    ///
    /// # Errors
    ///
    /// They are to be and cannot. The reporter works all the same.
    pub fn metrics_address(&self) -> Result<Option<SocketAddr>, MetricsError> {
        match &self.inner {
            Some(inner) => inner.metrics.clone(),
            None => Ok(None),
        }
    }

    /// A new interaction id: `int_{unix seconds}_{8 hex digits}`.
    #[must_use]
    pub fn new_interaction_id(&self) -> String {
        let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        // Seeded by the system: an id must be unlikely to repeat, not secret.
        let random = RandomState::new().hash_one(()) as u32;
        event::new_interaction_id(since_epoch.as_nanos() as u64, random)
    }

    /// Begins an interaction: makes its id and reports its start.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn start(&self, data: impl Into<Payload>) -> Result<Interaction, ReportError> {
        Interaction::start(self.clone(), data.into(), false).await
    }

    /// Begins an interaction whose end will carry `performance_metrics`.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn start_monitored(
        &self,
        data: impl Into<Payload>,
    ) -> Result<Interaction, ReportError> {
        Interaction::start(self.clone(), data.into(), true).await
    }

    /// Reports that an interaction began.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn report_start(
        &self,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Result<Outcome, ReportError> {
        self.report(Action::Start, interaction_id, data).await
    }

    /// Reports that an interaction goes on.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn report_progress(
        &self,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Result<Outcome, ReportError> {
        self.report(Action::Progress, interaction_id, data).await
    }

    /// Reports that an interaction ended well.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn report_complete(
        &self,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Result<Outcome, ReportError> {
        self.report(Action::Complete, interaction_id, data).await
    }

    /// Reports that an interaction ended with an error.
    ///
    /// # Errors
    ///
    /// As [`report`](Self::report).
    pub async fn report_error(
        &self,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Result<Outcome, ReportError> {
        self.report(Action::Error, interaction_id, data).await
    }

    /// Reports what happened in an interaction. When it returns, the event is
    /// as durable as `durability` says.
    ///
    /// The report is handed over when the future is first polled, and stored
    /// even if the future is dropped after that.
    ///
    /// # Errors
    ///
    /// The report is malformed, the outbox is full, the store failed, or the
    /// reporter was shut down.
    pub async fn report(
        &self,
        action: Action,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Result<Outcome, ReportError> {
        let Some(inner) = &self.inner else {
            return Ok(Outcome::Disabled);
        };
        let report = Report::new(action, interaction_id, data);
        let mut results = inner.accepting.report(vec![report]).await;
        results.pop().unwrap_or(Err(ReportError::Closed))
    }

    /// Reports several at once, in order, in one store operation for each shard;
    /// one result for each.
    pub async fn report_many(&self, reports: Vec<Report>) -> Vec<Result<Outcome, ReportError>> {
        match &self.inner {
            Some(inner) => inner.accepting.report(reports).await,
            None => reports.iter().map(|_| Ok(Outcome::Disabled)).collect(),
        }
    }

    /// Hands a report over and does not wait until it is stored.
    fn report_detached(&self, action: Action, interaction_id: &str, data: Payload) {
        if let Some(inner) = &self.inner {
            inner
                .accepting
                .report_detached(Report::new(action, interaction_id, data));
        }
    }

    /// Answers a request to the coordinator's API in its place, as the component does: an event is
    /// stored, then answered. Who may ask is said by `ingest_keys`.
    ///
    /// # Errors
    ///
    /// The reporter is switched off or was shut down, it has several shards, the component failed,
    /// or the request names no host.
    pub async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ReportError> {
        let inner = self.inner.as_ref().ok_or(ReportError::Disabled)?;
        match &inner.edge {
            Some(edge) => edge.answer(request).await,
            None => Err(ReportError::NotConfigured(
                "shards must be 1: events that come over HTTP are not divided".to_owned(),
            )),
        }
    }

    /// Delivers now, for at most `budget`, instead of when the timer would.
    /// None when the reporter is switched off or shut down.
    ///
    /// # Errors
    ///
    /// The store or the component failed.
    pub async fn deliver_now(&self, budget: Duration) -> Result<Option<Delivery>, ReportError> {
        let Some(inner) = &self.inner else {
            return Ok(None);
        };
        // All begin before the first is waited for.
        let mut begun = Vec::new();
        for delivering in &inner.delivering {
            begun.push(delivering.deliver_now(budget));
        }
        let mut all = Vec::new();
        for answer in begun {
            // None comes from one that was shut down.
            all.extend(answer.await.ok().transpose()?);
        }
        Ok(merge::deliveries(all))
    }

    /// The state of the outbox.
    ///
    /// # Errors
    ///
    /// The reporter is switched off, or the store or the component failed.
    pub async fn status(&self) -> Result<OutboxStatus, ReportError> {
        self.factory()?.status().await
    }

    /// The dead letters, oldest first: at most `limit` after `cursor`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn dead_letters(
        &self,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<EntryPage, ReportError> {
        let factory = self.factory()?;
        let mut pages = Vec::new();
        for shard in 0..factory.shards.len() {
            let mut instance = factory.instance(shard).await?;
            let page = instance.list_dead_letters(limit, cursor.as_deref()).await;
            pages.push(page??);
        }
        Ok(merge::pages(pages, limit))
    }

    /// The waiting events, oldest first: at most `limit` after `cursor`.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn waiting(
        &self,
        limit: u32,
        cursor: Option<String>,
    ) -> Result<EntryPage, ReportError> {
        let factory = self.factory()?;
        let mut pages = Vec::new();
        for shard in 0..factory.shards.len() {
            let mut instance = factory.instance(shard).await?;
            let page = instance.list_waiting(limit, cursor.as_deref()).await;
            pages.push(page??);
        }
        Ok(merge::pages(pages, limit))
    }

    /// The body of the event under `key`; none when there is no such event.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn show(&self, key: String) -> Result<Option<String>, ReportError> {
        let factory = self.factory()?;
        let shard = shard::of_key(&key, factory.shards.len());
        let mut instance = factory.instance(shard.unwrap_or(0)).await?;
        Ok(instance.show(&key).await??)
    }

    /// Puts dead letters back into the queue: those of `interactions`, or all
    /// when it is empty. Returns how many. Waits up to 15 s for the lease.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status), or another instance keeps delivering.
    pub async fn redrive(&self, interactions: Vec<String>) -> Result<u32, ReportError> {
        let factory = self.factory()?;
        let shards = factory.shards.len();
        let mut parts = vec![Vec::new(); shards];
        let all = interactions.is_empty();
        for id in interactions {
            parts[shard::of_interaction(&id, shards)].push(id);
        }
        let mut total = 0;
        for (shard, part) in parts.into_iter().enumerate() {
            if !all && part.is_empty() {
                continue;
            }
            let until = Instant::now() + LEASE_WAIT;
            total += loop {
                let moved = factory.instance(shard).await?.redrive(&part).await?;
                if let Some(moved) = unless_busy(moved, until).await? {
                    break moved;
                }
            };
            if let Some(inner) = &self.inner {
                inner.delivering[shard].arrived();
            }
        }
        Ok(total)
    }

    /// Deletes events for good and returns how many. Waits up to 15 s for the lease.
    ///
    /// # Errors
    ///
    /// As [`redrive`](Self::redrive).
    pub async fn purge(&self, filter: PurgeFilter) -> Result<u32, ReportError> {
        let factory = self.factory()?;
        let shards = factory.shards.len();
        let only = filter
            .interaction_id
            .as_deref()
            .map(|id| shard::of_interaction(id, shards));
        let mut total = 0;
        for shard in (0..shards).filter(|shard| only.is_none_or(|only| only == *shard)) {
            let until = Instant::now() + LEASE_WAIT;
            total += loop {
                let purged = factory.instance(shard).await?.purge(&filter).await?;
                if let Some(purged) = unless_busy(purged, until).await? {
                    break purged;
                }
            };
        }
        Ok(total)
    }

    /// Asks the coordinator whether it is there.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn check_connection(&self) -> Result<Probe, ReportError> {
        Ok(self.instance().await?.check_connection().await??)
    }

    /// Asks the coordinator whether it takes the API key.
    ///
    /// # Errors
    ///
    /// As [`status`](Self::status).
    pub async fn validate_api_key(&self) -> Result<Probe, ReportError> {
        Ok(self.instance().await?.validate_api_key().await??)
    }

    /// Takes no more reports, stores those already handed over, delivers what
    /// is due, and lets go of the store: all within `deadline`, whatever the
    /// coordinator does. What is not delivered stays in the store. A second
    /// call does nothing.
    pub async fn shutdown(&self, deadline: Duration) -> Shutdown {
        // A timer may fire some milliseconds late, and the deadline is not to be missed by them.
        let margin = (deadline / 20).min(Duration::from_millis(20));
        let end = Instant::now() + deadline - margin;
        let Some(inner) = &self.inner else {
            return Shutdown {
                delivered_all: true,
                in_time: true,
            };
        };
        let deadline = tokio::time::Instant::from_std(end);
        let orderly = async {
            inner.accepting.close().await;
            // A little is kept for closing the store.
            let left = end.saturating_duration_since(Instant::now());
            let budget = left - left.min(left / 10);
            let close_by = tokio::time::Instant::now() + budget;
            let mut begun = Vec::new();
            for delivering in &inner.delivering {
                begun.push(delivering.close(budget));
            }
            let mut delivered_all = true;
            for (delivering, answer) in inner.delivering.iter().zip(begun) {
                delivered_all &= delivering.closed(answer, close_by).await;
            }
            inner.factory.store.close().await;
            delivered_all
        };
        let delivered_all = tokio::time::timeout_at(deadline, orderly).await;
        let runtime = inner
            .runtime
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
        Shutdown {
            delivered_all: matches!(delivered_all, Ok(true)),
            in_time: delivered_all.is_ok(),
        }
    }

    /// The runtime of its threads; none when it is switched off or was shut down.
    pub(crate) fn runtime(&self) -> Option<tokio::runtime::Handle> {
        let runtime = self.inner.as_ref()?.runtime.lock();
        let runtime = runtime.unwrap_or_else(|e| e.into_inner());
        runtime.as_ref().map(|runtime| runtime.handle().clone())
    }

    /// A fresh instance for a question to the coordinator, so that nothing else has to wait.
    async fn instance(&self) -> Result<Instance, ReportError> {
        Ok(self.factory()?.instance(0).await?)
    }

    fn factory(&self) -> Result<&Arc<Factory>, ReportError> {
        let inner = self.inner.as_ref().ok_or(ReportError::Disabled)?;
        Ok(&inner.factory)
    }
}

/// What a change of the outbox came to; none, after a while, when another instance delivers and
/// it is to be tried again.
async fn unless_busy(
    changed: Result<u32, Failure>,
    until: Instant,
) -> Result<Option<u32>, ReportError> {
    match changed {
        Err(Failure::Busy(_)) if Instant::now() < until => {
            tokio::time::sleep(LEASE_RETRY).await;
            Ok(None)
        }
        changed => Ok(Some(changed?)),
    }
}
