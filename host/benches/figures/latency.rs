//! How long callers wait when many report at once, while the coordinator fails and while it does
//! not.

use std::time::{Duration, Instant};

use mcp_reporter::{
    Action, Payload,
    coordinator::{Coordinator, Fault},
    reporter::Report,
};
use tokio::task::JoinSet;

use crate::{
    figure, median,
    support::{self, BODY_BYTES, INTERACTION, builder, folder, payload, settings},
};

/// How many callers report at once.
const CALLERS: usize = 1_000;
/// How many requests are under way when they do: as many as the throttle lets through at once.
const UNDER_WAY: u64 = 10;
/// The largest event that is taken.
const LARGEST_BYTES: usize = 262_144;

/// Measures bursts, each fault beside health.
pub fn measure() {
    let small = [
        ("healthy", Fault::None),
        ("hang", Fault::Hang),
        ("drip", Fault::Drip),
    ];
    compare("p99", &small, BODY_BYTES, 15);
    let large = [("healthy", Fault::None), ("no_read", Fault::NoRead)];
    compare("p99_256k", &large, LARGEST_BYTES, 5);
}

fn compare(name: &str, faults: &[(&str, Fault)], body_bytes: usize, rounds: usize) {
    eprintln!("{name}: {rounds} rounds of {CALLERS} callers with {body_bytes} bytes each");
    let runtime = support::runtime();
    let mut found = vec![Vec::new(); faults.len()];
    for round in 0..rounds {
        for turn in 0..faults.len() {
            // None is always the one that follows another.
            let at = (round + turn) % faults.len();
            found[at].push(
                runtime
                    .block_on(burst(&faults[at].1, body_bytes))
                    .as_secs_f64()
                    * 1e3,
            );
        }
    }
    for ((fault, _), found) in faults.iter().zip(found) {
        figure(&format!("{name}_{fault}_ms"), median(found));
    }
}

/// The 99th percentile of what the callers wait.
async fn burst(fault: &Fault, body_bytes: usize) -> Duration {
    let coordinator = support::sink(fault.clone());
    let folder = folder();
    let mut settings = settings(&folder.path().join("outbox.db"), &coordinator.url());
    settings.push(("max_bytes", (1 << 30).to_string()));
    let reporter = builder(settings).build().await.expect("a reporter");

    // Interactions of their own, so that none waits for another; their ids are a byte longer.
    let data = payload(body_bytes - 1);
    let first = (0..UNDER_WAY)
        .map(|i| Report::new(Action::Start, format!("{INTERACTION}{i}"), data.as_str()));
    for result in reporter.report_many(first.collect()).await {
        result.expect("a stored report");
    }
    in_force(&coordinator, fault).await;

    let data = Payload::from(payload(body_bytes));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| (reporter.clone(), data.clone()))
        .collect();
    let mut tasks = JoinSet::new();
    for (reporter, data) in callers {
        tasks.spawn(async move {
            let began = Instant::now();
            let outcome = reporter.report(Action::Start, INTERACTION, data).await;
            outcome.expect("a stored report");
            began.elapsed()
        });
    }
    let mut waited = tasks.join_all().await;
    reporter.shutdown(Duration::ZERO).await;
    coordinator.stop().await;
    waited.sort_unstable();
    waited[CALLERS * 99 / 100]
}

/// Waits until the fault keeps requests under way, or, when healthy, until they are answered.
async fn in_force(coordinator: &Coordinator, fault: &Fault) {
    let seen = coordinator.wait_for(
        |seen| match fault {
            Fault::None => seen.stats().processed >= UNDER_WAY,
            _ => seen.stats().connections >= UNDER_WAY,
        },
        Duration::from_secs(10),
    );
    seen.await.expect("requests under way");
}
