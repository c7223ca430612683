//! Takes reports in: gathers those that come together, and hands them to the
//! instance that accepts.

use super::factory::Factory;
use super::{Report, ReportError};
use crate::engine::{Action, Instance, InteractionReport, Outcome};
use crate::metrics::Metrics;
use crate::store::shard;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::sync::{Notify, mpsc, oneshot};

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

/// The way to the accepting instances, one for each shard.
#[derive(Debug)]
pub(super) struct Accepting {
    lanes: Vec<Lane>,
    metrics: Option<Arc<Metrics>>,
}

/// The way to one accepting instance.
#[derive(Debug)]
struct Lane {
    /// None once the reporter was shut down.
    queue: Mutex<Option<mpsc::UnboundedSender<Batch>>>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Accepting {
    /// Starts to accept on the current runtime. `first` is the instance of the
    /// first shard; those of the others are made when they are needed.
    /// `arrivals` has one for each shard, told whenever something was stored.
    pub fn start(factory: Arc<Factory>, first: Instance, arrivals: Vec<Arc<Notify>>) -> Self {
        let metrics = factory.metrics.clone();
        let mut first = Some(first);
        let lanes = arrivals.into_iter().enumerate().map(|(shard, arrival)| {
            // Unbounded, since each caller waits for its answer: there are never
            // more in it than callers and dropped interactions.
            let (sender, receiver) = mpsc::unbounded_channel();
            let task = tokio::spawn(run(factory.clone(), shard, first.take(), receiver, arrival));
            Lane {
                queue: Mutex::new(Some(sender)),
                task: Mutex::new(Some(task)),
            }
        });
        Self {
            lanes: lanes.collect(),
            metrics,
        }
    }

    pub async fn report(&self, reports: Vec<Report>) -> Results {
        let since = self.metrics.as_ref().map(|_| Instant::now());
        let results = match &self.lanes[..] {
            [lane] => {
                let count = reports.len();
                let answer = lane.report(reports).await;
                answer.unwrap_or_else(|_| vec![Err(ReportError::Closed); count])
            }
            lanes => report_by_shard(lanes, reports).await,
        };
        if let (Some(metrics), Some(since)) = (&self.metrics, since) {
            metrics.answered_caller(since.elapsed());
        }
        results
    }

    pub fn report_detached(&self, report: Report) {
        let lane = shard::of_interaction(&report.interaction_id, self.lanes.len());
        self.lanes[lane].send(Batch {
            reports: vec![report],
            reply: None,
        });
    }

    /// Takes no more, and returns when all that was handed over is stored.
    pub async fn close(&self) {
        for lane in &self.lanes {
            drop(lane.queue.lock().unwrap_or_else(|e| e.into_inner()).take());
        }
        for lane in &self.lanes {
            let task = lane.task.lock().unwrap_or_else(|e| e.into_inner()).take();
            if let Some(task) = task {
                // It only ends by itself; a panic in it was logged as such.
                let _ = task.await;
            }
        }
    }
}

impl Lane {
    fn send(&self, batch: Batch) -> bool {
        let queue = self.queue.lock().unwrap_or_else(|e| e.into_inner());
        queue.as_ref().is_some_and(|q| q.send(batch).is_ok())
    }

    /// Hands the reports over. No answer comes after a shutdown.
    fn report(&self, reports: Vec<Report>) -> oneshot::Receiver<Results> {
        let (reply, answer) = oneshot::channel();
        // One that was shut down drops the batch, and the reply with it.
        self.send(Batch {
            reports,
            reply: Some(reply),
        });
        answer
    }
}

/// Hands each shard its reports, in order, and puts the results into the order of all.
async fn report_by_shard(lanes: &[Lane], reports: Vec<Report>) -> Results {
    let mut results = vec![Err(ReportError::Closed); reports.len()];
    let mut parts: Vec<(Vec<usize>, Vec<Report>)> = vec![Default::default(); lanes.len()];
    for (at, report) in reports.into_iter().enumerate() {
        let (places, part) = &mut parts[shard::of_interaction(&report.interaction_id, lanes.len())];
        places.push(at);
        part.push(report);
    }
    // All are handed over before the first is waited for.
    let mut begun = Vec::new();
    for (lane, (places, part)) in lanes.iter().zip(parts) {
        if !part.is_empty() {
            begun.push((places, lane.report(part)));
        }
    }
    for (places, answer) in begun {
        // Without an answer it was shut down, as it says there already.
        let answer = answer.await.unwrap_or_default();
        for (at, result) in places.into_iter().zip(answer) {
            results[at] = result;
        }
    }
    results
}

async fn run(
    factory: Arc<Factory>,
    shard: usize,
    mut instance: Option<Instance>,
    mut queue: mpsc::UnboundedReceiver<Batch>,
    arrival: Arc<Notify>,
) {
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
            let results = match accept(&factory, shard, &mut instance, reports).await {
                Ok(results) => results,
                Err(failed) => vec![Err(failed); count],
            };
            if let Some(metrics) = &factory.metrics {
                count_in(metrics, &actions, &results);
            }
            if results.iter().any(Result::is_ok) {
                arrival.notify_one();
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
            Err(why) => metrics.refused(why.refusal()),
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
    shard: usize,
    slot: &mut Option<Instance>,
    reports: Vec<InteractionReport>,
) -> Result<Results, ReportError> {
    let instance = match slot {
        Some(instance) => instance,
        None => slot.insert(factory.accepting(shard).await?),
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
