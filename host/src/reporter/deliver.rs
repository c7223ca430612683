//! The retry timer: has events delivered when there is something to deliver.

use super::{Factory, ReportError};
use crate::engine::{Delivery, Instance};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Delivery is attempted at least so often, whatever happened or did not.
const LATEST: Duration = Duration::from_secs(30);
/// How long one delivery goes on sending. Short, so that a shutdown does not
/// wait for long; each request has its own time on top.
const SENDING: Duration = Duration::from_secs(1);
/// How often to look whether another instance still delivers.
const LEASE_CHECK: Duration = Duration::from_secs(1);
/// When to try again after the store or the component failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

type Reply = oneshot::Sender<Result<Delivery, ReportError>>;

enum Order {
    /// Deliver now, for so long.
    Deliver(Duration, Reply),
    /// Deliver once more, for so long, and end; says whether nothing is left.
    Close(Duration, oneshot::Sender<bool>),
}

/// The way to the delivering instance.
#[derive(Debug)]
pub(super) struct Delivering {
    orders: mpsc::UnboundedSender<Order>,
    arrival: Arc<Notify>,
    task: Mutex<tokio::task::JoinHandle<()>>,
}

impl Delivering {
    /// Starts on the current runtime. Without `timer` nothing is delivered
    /// but on request.
    pub fn start(factory: Arc<Factory>, request_timeout: Duration, timer: bool) -> Self {
        let (orders, receiver) = mpsc::unbounded_channel();
        let arrival = Arc::new(Notify::new());
        let timer = Timer {
            factory,
            instance: None,
            budget: request_timeout + SENDING,
            arrival: arrival.clone(),
            running: timer,
            due: Instant::now(),
            held: false,
        };
        let task = tokio::spawn(timer.run(receiver));
        Self {
            orders,
            arrival,
            task: Mutex::new(task),
        }
    }

    /// Something was stored.
    pub fn arrived(&self) {
        self.arrival.notify_one();
    }

    /// For those who outlive a borrow.
    pub fn arrival(&self) -> Arc<Notify> {
        self.arrival.clone()
    }

    pub async fn deliver_now(&self, budget: Duration) -> Result<Option<Delivery>, ReportError> {
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Deliver(budget, reply)).is_err() {
            return Ok(None);
        }
        match answer.await {
            Ok(result) => result.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// Delivers what is due and ends, within `budget`; says whether nothing is left.
    pub async fn close(&self, budget: Duration) -> bool {
        let deadline = Instant::now() + budget;
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Close(budget, reply)).is_err() {
            return true; // closed before
        }
        let answer = tokio::time::timeout_at(deadline, answer).await;
        if answer.is_err() {
            // A request is under way and gets no answer. Its event stays in the store.
            self.task.lock().unwrap_or_else(|e| e.into_inner()).abort();
        }
        matches!(answer, Ok(Ok(true)))
    }
}

struct Timer {
    factory: Arc<Factory>,
    instance: Option<Instance>,
    budget: Duration,
    arrival: Arc<Notify>,
    running: bool,
    /// When to deliver next.
    due: Instant,
    /// Whether nothing can be sent before that, so that arrivals do not matter.
    held: bool,
}

impl Timer {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Deliver(budget, reply)) => {
                        let result = self.deliver(budget).await;
                        let _ = reply.send(result);
                    }
                    Some(Order::Close(budget, reply)) => {
                        let _ = reply.send(self.flush(budget).await);
                        return;
                    }
                    None => return,
                },
                () = self.arrival.notified(), if self.running && !self.held => {
                    let _ = self.deliver(self.budget).await;
                }
                () = tokio::time::sleep_until(self.due), if self.running => {
                    let _ = self.deliver(self.budget).await;
                }
            }
        }
    }

    /// The last delivery: what can be sent by `budget` from now.
    async fn flush(&mut self, budget: Duration) -> bool {
        if !self.running {
            return false;
        }
        let end = Instant::now() + budget;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.deliver(left).await {
                Ok(done) if done.next_ms.is_none() && !done.lease_held_elsewhere => return true,
                Ok(done) => {
                    let next = Duration::from_millis(done.next_ms.unwrap_or(0));
                    // Half of what is left is for sending: later than that nothing is sent.
                    if left.is_zero() || next >= left / 2 {
                        return false;
                    }
                    tokio::time::sleep(next).await;
                }
                Err(_) => return false,
            }
        }
    }

    async fn deliver(&mut self, budget: Duration) -> Result<Delivery, ReportError> {
        let result = self.attempt(budget).await;
        if let Some(metrics) = &self.factory.metrics {
            metrics.delivery(&result);
        }
        let (next, held) = match &result {
            Ok(done) => (
                match done.next_ms.map(Duration::from_millis) {
                    // It may be done long before its lease ends.
                    Some(next) if done.lease_held_elsewhere => next.min(LEASE_CHECK),
                    Some(next) => next,
                    None => LATEST,
                },
                done.held && done.next_ms.is_some(),
            ),
            Err(failed) => {
                tracing::error!("delivery failed: {failed}");
                (AFTER_FAILURE, true)
            }
        };
        self.due = Instant::now() + next.min(LATEST);
        self.held = held;
        result
    }

    async fn attempt(&mut self, budget: Duration) -> Result<Delivery, ReportError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            None => self
                .instance
                .insert(self.factory.delivering_instance().await?),
        };
        let budget_ms = u32::try_from(budget.as_millis()).unwrap_or(u32::MAX);
        let result = instance.deliver(budget_ms).await;
        if instance.is_poisoned() {
            self.instance = None;
        }
        Ok(result??)
    }
}
