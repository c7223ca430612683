//! The retry timer: has events delivered when there is something to deliver. One for each shard.

use super::ReportError;
use super::factory::Factory;
use super::shares::{Claim, Go};
use crate::engine::{Delivery, Instance};
use mcp_reporter_core::drain::sending_time;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// Delivery is attempted at least so often, whatever happened or did not.
const LATEST: Duration = Duration::from_secs(30);
/// How long one delivery goes on sending. Short, so that a shutdown does not
/// wait for long; each request has its own time on top.
const SENDING: Duration = Duration::from_secs(1);
/// The same where shards share the rate: their shares change between deliveries.
const SENDING_SHARED: Duration = Duration::from_millis(250);
/// How often to look whether another instance still delivers.
const LEASE_CHECK: Duration = Duration::from_secs(1);
/// The same where shards share the rate: there are several, one of which may be for this host.
const CLAIM_CHECK: Duration = Duration::from_millis(250);
/// When to try again after the store or the component failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

type DeliverAnswer = Result<Delivery, ReportError>;

enum Order {
    /// Deliver now, for so long.
    Deliver(Duration, oneshot::Sender<DeliverAnswer>),
    /// Deliver once more, for so long, and end; says whether nothing is left.
    Close(Duration, oneshot::Sender<bool>),
}

/// The way to the delivering instance of a shard.
#[derive(Debug)]
pub(super) struct Delivering {
    orders: mpsc::UnboundedSender<Order>,
    arrival: Arc<Notify>,
    task: Mutex<tokio::task::JoinHandle<()>>,
}

impl Delivering {
    /// Starts on the current runtime, for this shard. Without `timer` nothing
    /// is delivered but on request.
    pub fn start(
        factory: Arc<Factory>,
        shard: usize,
        request_timeout: Duration,
        timer: bool,
    ) -> Self {
        let (orders, receiver) = mpsc::unbounded_channel();
        let arrival = Arc::new(Notify::new());
        let claim = factory.claim(shard);
        let sending = match claim {
            Some(_) => SENDING_SHARED,
            None => SENDING,
        };
        let timer = Timer {
            factory,
            shard,
            claim,
            instance: None,
            budget: request_timeout + sending,
            request_timeout,
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

    /// Begins to deliver now. No answer comes after a shutdown.
    pub fn deliver_now(&self, budget: Duration) -> oneshot::Receiver<DeliverAnswer> {
        let (reply, answer) = oneshot::channel();
        // One that was shut down drops the order, and the reply with it.
        let _ = self.orders.send(Order::Deliver(budget, reply));
        answer
    }

    /// Begins to deliver what is due and to end, within `budget`; to be waited
    /// for by [`closed`](Self::closed). None when it was closed before.
    pub fn close(&self, budget: Duration) -> Option<oneshot::Receiver<bool>> {
        let (reply, answer) = oneshot::channel();
        let sent = self.orders.send(Order::Close(budget, reply));
        sent.is_ok().then_some(answer)
    }

    /// Waits for the end, not longer than `deadline`; says whether nothing is left.
    pub async fn closed(&self, answer: Option<oneshot::Receiver<bool>>, deadline: Instant) -> bool {
        let Some(answer) = answer else {
            return true;
        };
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
    shard: usize,
    /// None where no rate is shared.
    claim: Option<Claim>,
    instance: Option<Instance>,
    budget: Duration,
    request_timeout: Duration,
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
                        self.wake();
                        let result = match self.claim {
                            Some(_) => self.deliver_in_turns(budget).await,
                            None => self.deliver(budget).await,
                        };
                        let _ = reply.send(result);
                    }
                    Some(Order::Close(budget, reply)) => {
                        self.wake();
                        let delivered_all = self.flush(budget).await;
                        if let Some(claim) = &mut self.claim {
                            claim.leave().await;
                        }
                        let _ = reply.send(delivered_all);
                        return;
                    }
                    None => return,
                },
                () = self.arrival.notified(), if self.running && !self.held => {
                    self.wake();
                    let _ = self.deliver(self.budget).await;
                }
                () = tokio::time::sleep_until(self.due), if self.running => {
                    let _ = self.deliver(self.budget).await;
                }
            }
        }
    }

    fn wake(&mut self) {
        if let Some(claim) = &mut self.claim {
            claim.wake();
        }
    }

    /// Delivers for at most `budget`, with the share that there is in each turn.
    async fn deliver_in_turns(&mut self, budget: Duration) -> Result<Delivery, ReportError> {
        let end = Instant::now() + budget;
        let last_send = Instant::now() + sending_time(budget, self.request_timeout);
        let (mut delivered, mut failed, mut dead_lettered) = (0, 0, 0);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let done = self.deliver(left).await?;
            delivered += done.delivered;
            failed += done.failed;
            dead_lettered += done.dead_lettered;
            let next = done.next_ms.map(Duration::from_millis);
            match next.filter(|next| Instant::now() + *next < last_send) {
                Some(next) if !done.lease_held_elsewhere => {
                    // Not at once again: who waits for a share must not spin.
                    tokio::time::sleep(next.max(Duration::from_millis(1))).await;
                }
                _ => {
                    return Ok(Delivery {
                        delivered,
                        failed,
                        dead_lettered,
                        ..done
                    });
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
                    // Not worth it where more than half of what is left goes by in waiting.
                    if left.is_zero() || next >= left / 2 {
                        return false;
                    }
                    let look = match (&self.claim, done.lease_held_elsewhere) {
                        (Some(_), true) => CLAIM_CHECK,
                        _ => next,
                    };
                    tokio::time::sleep(next.min(look)).await;
                }
                Err(_) => return false,
            }
        }
    }

    async fn deliver(&mut self, budget: Duration) -> Result<Delivery, ReportError> {
        let result = self.attempt(budget).await;
        if let Some(metrics) = &self.factory.metrics {
            metrics.delivery(result.as_ref().ok());
        }
        let check = match self.claim {
            Some(_) => CLAIM_CHECK,
            None => LEASE_CHECK,
        };
        let (next, held) = match &result {
            Ok(done) => (
                match done.next_ms.map(Duration::from_millis) {
                    // It may be done long before its lease ends.
                    Some(next) if done.lease_held_elsewhere => next.min(check),
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
        let Some(claim) = &mut self.claim else {
            return self.call(budget).await;
        };
        match claim.enter().await? {
            Go::Deliver { changed: true } => self.instance = None,
            Go::Deliver { changed: false } => {}
            Go::Later(done) => return Ok(done),
        }
        let result = self.call(budget.min(self.budget)).await;
        match &mut self.claim {
            Some(claim) => claim.after(result).await,
            None => result,
        }
    }

    async fn call(&mut self, budget: Duration) -> Result<Delivery, ReportError> {
        let instance = match &mut self.instance {
            Some(instance) => instance,
            None => {
                let made = self
                    .factory
                    .delivering(self.shard, self.claim.as_ref())
                    .await?;
                self.instance.insert(made)
            }
        };
        let budget_ms = u32::try_from(budget.as_millis()).unwrap_or(u32::MAX);
        let result = instance.deliver(budget_ms).await;
        if instance.is_poisoned() {
            self.instance = None;
        }
        Ok(result??)
    }
}
