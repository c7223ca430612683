//! Loads on `mcp-reporter serve`, for tests and for the soak.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::StatusCode;
use mcp_reporter_core::store::Random;
use mcp_reporter_test_support::Dice;

use crate::{Client, Place, SOON, Served, coordinator};

/// An event as the old client sends it: spaces after colons and commas.
pub fn event(action: &str, id: &str, note: &str) -> String {
    let data = match action {
        "start" => "request_data",
        "progress" => "progress_data",
        "error" => "error_data",
        _ => "result_data",
    };
    format!(
        "{{\"action\": \"interaction_{action}\", \"interaction_id\": \"{id}\", \"mcp_id\": \"old\", \
         \"timestamp\": 1718000000.123456, \"{data}\": {{\"note\": \"{note}\"}}}}"
    )
}

/// Kills a `serve` that 16 clients report to, so many times, at moments that the seed chooses; each
/// next one goes on with its store. Returns how many events were answered 200.
///
/// # Panics
///
/// What was answered did not arrive, one key stands for two events, or an event came twice with
/// other keys.
pub async fn killed_under_16_clients(rounds: u32, seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = place.fast(&coordinator.url());
    let mut answered = BTreeMap::<String, String>::new();
    let mut unanswered = vec![None; 16];
    for round in 0..rounds {
        let mut served = Served::start(&place, &settings).await;
        let address = served.address();
        let over = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = unanswered
            .drain(..)
            .enumerate()
            .map(|(n, first)| {
                let client = ReportingClient {
                    name: format!("{round}-{n}"),
                    first,
                    over: over.clone(),
                };
                tokio::spawn(client.report(address))
            })
            .collect();
        let mut byte = [0];
        dice.fill(&mut byte);
        tokio::time::sleep(Duration::from_millis(20 + u64::from(byte[0]) / 2)).await;
        served.kill().await;
        over.store(true, Ordering::Relaxed);
        for client in clients {
            let (more, last) = client.await.expect("a client");
            answered.extend(more);
            unanswered.push(last);
        }
    }
    // The last one delivers what the others left.
    let _served = Served::start(&place, &settings).await;
    let all = coordinator.wait_for(
        |seen| {
            if (seen.stats().processed as usize) < answered.len() {
                return false; // the look at all of them takes long
            }
            let stored = seen.stored();
            let keys: BTreeSet<_> = stored
                .iter()
                .filter_map(|e| e.idempotency_key.clone())
                .collect();
            answered.keys().all(|key| keys.contains(key))
        },
        SOON,
    );
    all.await.expect("what was answered did not arrive");
    // One body for each key, whoever sent it how often; and one event of each.
    let mut bodies = BTreeMap::new();
    for receipt in coordinator.receipts() {
        let key = receipt.idempotency_key.expect("each event has a key");
        let key = key.trim_matches('"').to_owned();
        let body = String::from_utf8_lossy(&receipt.body).into_owned();
        assert_eq!(bodies.entry(key).or_insert_with(|| body.clone()), &body);
    }
    for (key, body) in &answered {
        assert_eq!(bodies.get(key), Some(body));
    }
    let events = coordinator.stored().expect("it stores");
    let unique: BTreeSet<_> = events.iter().map(|e| &e.body).collect();
    assert_eq!(unique.len(), events.len());
    answered.len()
}

/// An event, and the key it is sent with.
type Keyed = (String, String);

/// One that sends an event after another, each with a key of its own.
struct ReportingClient {
    name: String,
    /// What got no answer before: sent again first.
    first: Option<Keyed>,
    over: Arc<AtomicBool>,
}

impl ReportingClient {
    /// Returns what was answered 200, and what was not answered.
    async fn report(self, address: SocketAddr) -> (BTreeMap<String, String>, Option<Keyed>) {
        let mut answered = BTreeMap::new();
        let mut next = self.first;
        let Ok(mut client) = Client::connect(address).await else {
            return (answered, next);
        };
        for n in 0.. {
            let (key, body) = next.take().unwrap_or_else(|| {
                let key = format!("{}-{n}", self.name);
                let body = event("start", &format!("int_{key}"), "x");
                (key, body)
            });
            match client.event(&[("Idempotency-Key", &key)], &body).await {
                Ok((StatusCode::OK, _)) => answered.insert(key, body),
                _ => return (answered, Some((key, body))),
            };
            if self.over.load(Ordering::Relaxed) {
                break;
            }
        }
        (answered, None)
    }
}
