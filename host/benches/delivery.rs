//! Delivery of a full outbox with the throttle lifted, against a bare HTTP client that sends the
//! same to the same coordinator.

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use mcp_reporter::{
    Action, Reporter,
    coordinator::{Coordinator, Fault},
    reporter::Report,
};
use support::{API_KEY, BODY_BYTES, INTERACTION, ROUNDS, folder, payload};
use tokio::{runtime::Runtime, task::JoinSet};

/// How many events the outbox holds.
const EVENTS: u64 = 10_000;
/// How many requests are under way at once.
const IN_FLIGHT: u64 = 16;

/// Times the delivery of [`EVENTS`] events.
async fn deliver(url: &str) -> Duration {
    let folder = folder();
    let mut settings = support::settings(&folder.path().join("outbox.db"), url);
    settings.push(("rate_limit", "0".to_owned()));
    settings.push(("max_in_flight", IN_FLIGHT.to_string()));
    let reporter = support::builder(settings)
        .without_timer()
        .build()
        .await
        .expect("a reporter");
    fill(&reporter).await;
    let began = Instant::now();
    loop {
        let delivery = reporter.deliver_now(Duration::from_secs(60)).await;
        let delivery = delivery.expect("a delivery").expect("a running reporter");
        if delivery.next_ms.is_none() {
            break;
        }
    }
    let elapsed = began.elapsed();
    reporter.shutdown(Duration::from_secs(5)).await;
    elapsed
}

async fn fill(reporter: &Reporter) {
    let data = payload(BODY_BYTES);
    for begin in (0..EVENTS).step_by(250) {
        let reports = (begin..begin + 250)
            // As many interactions as events: what is of one interaction waits for another.
            .map(|i| Report::new(Action::Start, format!("{INTERACTION}_{i}"), data.as_str()))
            .collect();
        for result in reporter.report_many(reports).await {
            result.expect("a stored report");
        }
    }
}

/// Times as many requests with the same headers and a body of the same size.
async fn send(url: &str) -> Duration {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector);
    let body = Bytes::from(format!(
        r#"{{"action":"interaction_start","interaction_id":"{INTERACTION}","mcp_id":"bench","timestamp":1718000000.123456,"request_data":{}}}"#,
        payload(BODY_BYTES),
    ));
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    let began = Instant::now();
    for _ in 0..IN_FLIGHT {
        let (client, body, next) = (client.clone(), body.clone(), next.clone());
        let url = format!("{url}/api/v2/interactions");
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= EVENTS {
                    return;
                }
                let request = Request::post(&url)
                    .header(header::AUTHORIZATION, format!("Bearer {API_KEY}"))
                    .header(header::CONTENT_TYPE, "application/json")
                    .header(
                        "idempotency-key",
                        format!("\"00000000-0000-4000-8000-{number:012}\""),
                    )
                    .body(Full::new(body.clone()))
                    .expect("a request");
                let response = client.request(request).await.expect("an answer");
                assert!(response.status().is_success(), "{}", response.status());
                response
                    .into_body()
                    .collect()
                    .await
                    .expect("a whole answer");
            }
        });
    }
    tasks.join_all().await;
    began.elapsed()
}

/// Times `turn` so often, and makes sure that each time everything arrived.
fn time(
    runtime: &Runtime,
    sink: &Coordinator,
    turns: u64,
    turn: impl AsyncFn(&str) -> Duration,
) -> Duration {
    (0..turns)
        .map(|_| {
            let before = sink.stats().processed;
            let elapsed = runtime.block_on(turn(&sink.url()));
            assert_eq!(sink.stats().processed - before, EVENTS);
            elapsed
        })
        .sum()
}

fn compare(criterion: &mut Criterion) {
    let runtime = support::runtime();
    let sink = support::sink(Fault::None);
    let mut group = criterion.benchmark_group("delivery, 16 in flight");
    group
        .throughput(Throughput::Elements(EVENTS))
        .sampling_mode(SamplingMode::Flat);
    for round in 1..=ROUNDS {
        group.bench_function(BenchmarkId::new("bare client", round), |bencher| {
            bencher.iter_custom(|turns| time(&runtime, &sink, turns, send));
        });
        group.bench_function(BenchmarkId::new("reporter", round), |bencher| {
            bencher.iter_custom(|turns| time(&runtime, &sink, turns, deliver));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(2_500))
        .nresamples(5_000);
    targets = compare
}
criterion_main!(benches);
