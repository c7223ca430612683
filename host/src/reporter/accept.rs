//! Takes reports in: gathers those that come together, and hands them to the
//! instance that accepts.

use super::{Factory, Report, ReportError};
use crate::engine::{Action, Instance, InteractionReport, Outcome};
use crate::metrics::Metrics;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Most reports that go to the component at once. More would make the first
/// of them wait for the last.
const MAX_BATCH: usize = 256;

type Results = Vec<Result<Outcome, ReportError>>;

/// Most bytes that do, unless a caller alone hands over more.
const MAX_BATCH_BYTES: usize = 4 << 20;

struct Batch {
    reports: Vec<Report>,
    reply: Option<oneshot::Sender<Results>>,
}

impl Batch {
    fn bytes(&self) -> usize {
        self.reports.iter().map(|r| r.data.as_str().len()).sum()
    }
}

/// The way to the accepting instance.
#[derive(Debug)]
pub(super) struct Accepting {
    /// None once the reporter was shut down.
    queue: Mutex<Option<mpsc::UnboundedSender<Batch>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
    metrics: Option<Arc<Metrics>>,
}

impl Accepting {
    /// Starts to accept on the current runtime. `arrived` is called whenever
    /// something was stored.
    pub fn start(
        factory: Arc<Factory>,
        instance: Instance,
        arrived: impl Fn() + Send + 'static,
    ) -> Self {
        // Unbounded, since each caller waits for its answer: there are never
        // more in it than callers and dropped interactions.
        let (sender, receiver) = mpsc::unbounded_channel();
        let metrics = factory.metrics.clone();
        let task = tokio::spawn(run(factory, instance, receiver, arrived));
        Self {
            queue: Mutex::new(Some(sender)),
            task: Mutex::new(Some(task)),
            metrics,
        }
    }

    fn send(&self, batch: Batch) -> bool {
        let queue = self.queue.lock().unwrap_or_else(|e| e.into_inner());
        queue.as_ref().is_some_and(|q| q.send(batch).is_ok())
    }

    pub async fn report(&self, reports: Vec<Report>) -> Results {
        let count = reports.len();
        let since = self.metrics.as_ref().map(|_| Instant::now());
        let (reply, answer) = oneshot::channel();
        let sent = self.send(Batch {
            reports,
            reply: Some(reply),
        });
        let results = match answer.await {
            Ok(results) if sent => results,
            _ => vec![Err(ReportError::Closed); count],
        };
        if let (Some(metrics), Some(since)) = (&self.metrics, since) {
            metrics.answered_caller(since.elapsed());
        }
        results
    }

    pub fn report_detached(&self, report: Report) {
        self.send(Batch {
            reports: vec![report],
            reply: None,
        });
    }

    /// Takes no more, and returns when all that was handed over is stored.
    pub async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(|e| e.into_inner()).take());
        let task = self.task.lock().unwrap_or_else(|e| e.into_inner()).take();
        if let Some(task) = task {
            // It only ends by itself; a panic in it was logged as such.
            let _ = task.await;
        }
    }
}

async fn run(
    factory: Arc<Factory>,
    first: Instance,
    mut queue: mpsc::UnboundedReceiver<Batch>,
    arrived: impl Fn(),
) {
    let mut instance = Some(first);
    let mut batches = Vec::new();
    while queue.recv_many(&mut batches, MAX_BATCH).await > 0 {
        let mut rest = batches.drain(..).peekable();
        while rest.peek().is_some() {
            let mut bytes = 0;
            let mut reports = Vec::new();
            let mut replies = Vec::new();
            while let Some(batch) =
                rest.next_if(|b| bytes == 0 || bytes + b.bytes() <= MAX_BATCH_BYTES)
            {
                bytes += batch.bytes();
                replies.push((batch.reports.len(), batch.reply));
                reports.extend(batch.reports.into_iter().map(lower));
            }
            let count = reports.len();
            let actions: Vec<_> = match factory.metrics {
                Some(_) => reports.iter().map(|report| report.action).collect(),
                None => Vec::new(),
            };
            let results = match accept(&factory, &mut instance, reports).await {
                Ok(results) => results,
                Err(failed) => vec![Err(failed); count],
            };
            if let Some(metrics) = &factory.metrics {
                count_in(metrics, &actions, &results);
            }
            if results.iter().any(Result::is_ok) {
                arrived();
            }
            answer(results, replies);
        }
    }
}

fn count_in(metrics: &Metrics, actions: &[Action], results: &Results) {
    for (action, result) in actions.iter().zip(results) {
        match result {
            Ok(outcome) => {
                metrics.accepted(*action);
                if *outcome == Outcome::Delivered {
                    metrics.delivered_on_report();
                }
            }
            Err(why) => metrics.refused(why),
        }
    }
}

/// Hands each caller its own results.
fn answer(mut results: Results, replies: Vec<(usize, Option<oneshot::Sender<Results>>)>) {
    for (count, reply) in replies {
        let rest = results.split_off(count.min(results.len()));
        let own = std::mem::replace(&mut results, rest);
        if let Some(reply) = reply {
            // Whoever no longer waits does not need to know.
            let _ = reply.send(own);
        } else if let Some(Err(refused)) = own.first() {
            tracing::warn!("the end of a dropped interaction was not stored: {refused}");
        }
    }
}

async fn accept(
    factory: &Factory,
    slot: &mut Option<Instance>,
    reports: Vec<InteractionReport>,
) -> Result<Results, ReportError> {
    let instance = match slot {
        Some(instance) => instance,
        None => slot.insert(factory.accepting().await?),
    };
    match instance.report_many(&reports).await {
        Ok(results) => Ok(results
            .into_iter()
            .map(|r| r.map_err(ReportError::from))
            .collect()),
        Err(failed) => {
            tracing::error!("the accepting instance failed and is replaced: {failed}");
            *slot = None;
            Err(failed.into())
        }
    }
}

fn lower(report: Report) -> InteractionReport {
    InteractionReport {
        action: report.action,
        interaction_id: report.interaction_id,
        data: report.data.into_text(),
        timestamp_ns: report.timestamp_ns,
        mcp_id: report.mcp_id,
        idempotency_key: report.idempotency_key,
        traceparent: report.traceparent,
    }
}
