//! Group commit: what many callers at once get, against one that waits for each report.

mod support;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mcp_reporter::{Action, Reporter};
use support::{BODY_BYTES, INTERACTION, ROUNDS, folder, payload};
use tokio::{runtime::Runtime, task::JoinSet};

/// How many reports go into one store before it is replaced by an empty one.
const REPORTS_PER_STORE: u64 = 32_768;

async fn reporter(store: &Path, durability: &str) -> Reporter {
    let mut settings = support::settings(store, "http://127.0.0.1:9");
    settings.push(("durability", durability.to_owned()));
    // Delivery would take part of the cores.
    support::builder(settings)
        .without_timer()
        .build()
        .await
        .expect("a reporter")
}

/// Has each of `callers` make `reports` reports, one after the other.
async fn report(reporter: &Reporter, callers: u64, reports: u64) {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let reporter = reporter.clone();
        tasks.spawn(async move {
            let data = payload(BODY_BYTES);
            for _ in 0..reports {
                let outcome = reporter
                    .report(Action::Start, INTERACTION, data.as_str())
                    .await;
                outcome.expect("a stored report");
            }
        });
    }
    tasks.join_all().await;
}

/// Times `turns` reports of each caller, on as many stores as that takes.
fn time(runtime: &Runtime, durability: &str, callers: u64, turns: u64) -> Duration {
    let mut left = turns;
    let mut total = Duration::ZERO;
    while left > 0 {
        let turn = left.min(REPORTS_PER_STORE / callers);
        let folder = folder();
        runtime.block_on(async {
            let reporter = reporter(&folder.path().join("outbox.db"), durability).await;
            report(&reporter, callers, 1).await;
            let began = Instant::now();
            report(&reporter, callers, turn).await;
            total += began.elapsed();
            reporter.shutdown(Duration::from_secs(5)).await;
        });
        left -= turn;
    }
    total
}

fn compare(criterion: &mut Criterion) {
    let runtime = support::runtime();
    for durability in ["process", "power"] {
        let mut group = criterion.benchmark_group(format!("group commit, durability {durability}"));
        for round in 1..=ROUNDS {
            for callers in [1, 64] {
                group.throughput(Throughput::Elements(callers));
                let id = BenchmarkId::new(format!("callers {callers}"), round);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|turns| time(&runtime, durability, callers, turns));
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(2_000))
        .nresamples(5_000);
    targets = compare
}
criterion_main!(benches);
