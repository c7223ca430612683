//! Many clients post interactions while instances are killed, and the oracle judges what arrived.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hyper::StatusCode;
use mcp_reporter::coordinator::Coordinator;

use super::{Counts, Ground, Mode, Mortality, Spin};
use crate::{Client, SOON, Story, Tally, coordinator, json};

/// The actions of one interaction, and the field that each has.
const ACTIONS: [(&str, &str); 4] = [
    ("start", "request_data"),
    ("progress", "progress_data"),
    ("progress", "progress_data"),
    ("complete", "result_data"),
];

/// How long a client waits before it asks again.
const AGAIN: Duration = Duration::from_millis(10);

/// A load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// What decides who is killed.
    pub seed: u64,
    /// On which backend.
    pub mode: Mode,
    /// How many events.
    pub events: usize,
    /// How many clients post them, each one interaction after the other.
    pub clients: usize,
    /// `rate_limit`, in a second.
    pub rate_limit: u32,
    /// Of 100 instances so many are killed.
    pub killed_percent: u8,
}

/// What came of a load in which nothing was wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// What the oracle counted.
    pub tally: Tally,
    /// What the profile counted.
    pub counts: Counts,
    /// Requests that got no 200 and were made again.
    pub again: u64,
    /// How long the clients took.
    pub accepting: Duration,
    /// The same, until the outbox was empty.
    pub draining: Duration,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "{}; {} requests made again; {} instances, {} at once, {} killed, {} trapped; accepted \
             in {:.1?}, delivered in {:.1?}",
            self.tally,
            self.again,
            counts.instances,
            counts.most_live,
            counts.killed,
            counts.trapped,
            self.accepting,
            self.draining
        )
    }
}

/// An event that a client is to post.
struct Event {
    /// Its number in the story.
    number: usize,
    key: String,
    body: String,
}

/// What the clients share.
struct Work {
    interactions: Mutex<VecDeque<Vec<Event>>>,
    story: Mutex<Story>,
    again: Mutex<u64>,
    end: Instant,
}

impl Load {
    /// 2,000 events by 16 clients at 500 a second, while 20 of 100 instances are to be killed.
    pub fn new(seed: u64, mode: Mode) -> Self {
        Self {
            seed,
            mode,
            events: 2_000,
            clients: 16,
            rate_limit: 500,
            killed_percent: 20,
        }
    }

    /// Puts it on a reporter of its own, and has the outbox emptied by calls of the deliver route.
    ///
    /// # Errors
    ///
    /// Everything that the oracle finds wrong, or what did not happen in time.
    pub async fn run(self) -> Result<Outcome, Vec<String>> {
        let coordinator = coordinator();
        let ground = Ground::new(self.mode).await;
        let limit = self.rate_limit.to_string();
        let more = [("rate_limit", &*limit), ("retry_delay", "0.05")];
        let mut options = ground.options(coordinator.addr(), &more);
        options.mortality = Mortality {
            percent: self.killed_percent,
            seed: self.seed,
        };
        let spin = Spin::start(mcp_reporter_artifacts::REPORTER, options).await;
        let spin = spin.map_err(|error| vec![error])?;
        let work = Arc::new(self.work());
        let since = Instant::now();
        let clients: Vec<_> = (0..self.clients)
            .map(|_| tokio::spawn(client(work.clone(), spin.address())))
            .collect();
        for client in clients {
            client
                .await
                .map_err(|error| vec![error.to_string()])?
                .map_err(|error| vec![error])?;
        }
        let accepting = since.elapsed();
        empty(&spin, work.end)
            .await
            .map_err(|error| vec![format!("{error}; {:?}", spin.counts())])?;
        let draining = since.elapsed();
        ground.assert_foreign_keys_untouched(&spin).await;
        self.judge(&work, &spin, &coordinator).map(|tally| Outcome {
            tally,
            counts: spin.counts(),
            again: *work.again.lock().unwrap_or_else(PoisonError::into_inner),
            accepting,
            draining,
        })
    }

    fn work(self) -> Work {
        let mut story = Story::throttled(self.rate_limit as usize, Duration::from_secs(1));
        let mut interactions = VecDeque::new();
        for at in (0..self.events).step_by(ACTIONS.len()) {
            let id = format!("int_{}_{at}", self.seed);
            let actions = ACTIONS.iter().take(self.events - at).enumerate();
            let events = actions.map(|(n, (action, field))| {
                let data = format!(r#"{{"n":{n}}}"#);
                Event {
                    number: story.attempt(action, &id, &data),
                    key: format!("{id}-{n}"),
                    body: body(action, &id, field, &data),
                }
            });
            interactions.push_back(events.collect());
        }
        Work {
            interactions: Mutex::new(interactions),
            story: Mutex::new(story),
            again: Mutex::new(0),
            end: Instant::now() + 2 * SOON,
        }
    }

    fn judge(
        self,
        work: &Work,
        spin: &Spin,
        coordinator: &Coordinator,
    ) -> Result<Tally, Vec<String>> {
        let mut story = work.story.lock().unwrap_or_else(PoisonError::into_inner);
        for at in spin.deaths() {
            story.disturb_at(at);
        }
        // It was emptied: what is not received is lost.
        story.verdict(&coordinator.receipts(), &[])
    }
}

/// An event as the reporter itself would send it.
fn body(action: &str, id: &str, field: &str, data: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs_f64();
    format!(
        r#"{{"action":"interaction_{action}","interaction_id":"{id}","mcp_id":"test","timestamp":{seconds:.6},"{field}":{data}}}"#
    )
}

/// Posts one interaction after the other, each event until it is answered 200.
async fn client(work: Arc<Work>, address: SocketAddr) -> Result<(), String> {
    let mut connection = None;
    loop {
        let next = work
            .interactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(events) = next else {
            return Ok(());
        };
        for event in events {
            let headers = [("idempotency-key", &*event.key)];
            let mut repeated = false;
            loop {
                let answer = ask(
                    &mut connection,
                    address,
                    "POST",
                    mcp_reporter_core::edge::EVENTS_PATH,
                    &headers,
                    &event.body,
                )
                .await;
                if let Ok((StatusCode::OK, _)) = answer {
                    break;
                }
                if Instant::now() > work.end {
                    return Err(format!(
                        "not answered 200 in time: {} {answer:?}",
                        event.body
                    ));
                }
                repeated = true;
                *work.again.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                tokio::time::sleep(AGAIN).await;
            }
            let mut story = work.story.lock().unwrap_or_else(PoisonError::into_inner);
            if repeated {
                story.handed_over_again(event.number);
            }
            story.acknowledge(event.number);
        }
    }
}

/// Calls the deliver route until nothing waits.
async fn empty(spin: &Spin, end: Instant) -> Result<(), String> {
    let mut connection = None;
    loop {
        let path = "/api/v2/outbox/deliver";
        let answer = ask(&mut connection, spin.address(), "POST", path, &[], "").await;
        if let Ok((StatusCode::OK, said)) = &answer {
            let said = json(said.as_bytes());
            if said["waiting"] == 0 && said["lease_held_elsewhere"] == false {
                return Ok(());
            }
        }
        if Instant::now() > end {
            return Err(format!("the outbox was not emptied in time: {answer:?}"));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks over the connection that is there, or a new one; an error gives it up.
async fn ask(
    connection: &mut Option<Client>,
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(StatusCode, String), String> {
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::connect(address).await.map_err(|e| e.to_string())?,
    };
    let answer = tokio::time::timeout(SOON, client.ask(method, path, headers, body)).await;
    let answer = answer.map_err(|_| "no answer in time".to_owned())?;
    let answer = answer.map_err(|error| error.to_string())?;
    *connection = Some(client);
    Ok(answer)
}
