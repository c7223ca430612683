//! The component against the same core compiled natively: what WebAssembly costs a report.
//!
//! Both put reports into an SQLite store of the same kind, driven from one thread that waits for
//! each call, and both wait on the same runtime for the store's answer.

mod support;

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mcp_reporter::{
    Action, Config, Outcome,
    engine::{self, Egress, Engine, EngineOptions, Instance, InteractionReport},
    store::{Durability, SqliteOptions, SqliteStore, Store},
};
use mcp_reporter_core::{
    accept::Acceptor,
    event,
    store::{self as core_store, Now, Random, StoreError},
};
use support::{BODY_BYTES, INTERACTION, ROUNDS, folder, payload};
use tokio::runtime::Runtime;

/// How many reports go into one store before it is replaced by an empty one, so that neither side
/// works on a larger store than the other.
const REPORTS_PER_STORE: u64 = 4_096;

/// One side of the comparison, with a store of its own.
trait Side {
    /// Makes `calls` calls with `batch` reports each.
    fn report(&mut self, calls: u64, batch: u64);
}

/// The core, compiled natively.
struct Native<'a> {
    acceptor: Acceptor,
    store: Adapter<'a>,
    data: String,
    epoch: Instant,
}

/// The core's store over the host's.
struct Adapter<'a> {
    runtime: &'a Runtime,
    store: Arc<dyn Store>,
}

impl Adapter<'_> {
    fn wait<T>(
        &self,
        operation: impl Future<Output = Result<T, mcp_reporter::store::StoreError>>,
    ) -> Result<T, StoreError> {
        self.runtime
            .block_on(operation)
            .map_err(|e| StoreError(e.to_string()))
    }
}

impl core_store::Store for Adapter<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.wait(self.store.get(key))
    }

    fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let found = self.wait(self.store.get_many(keys.to_vec()))?;
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    fn list_keys(&mut self) -> Result<Vec<String>, StoreError> {
        self.wait(self.store.list_keys())
    }

    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.wait(self.store.set(key.to_owned(), value.to_vec()))
    }

    fn set_many(&mut self, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError> {
        self.wait(self.store.set_many(pairs.to_vec()))
    }

    fn delete_many(&mut self, keys: &[String]) -> Result<(), StoreError> {
        self.wait(self.store.delete_many(keys.to_vec()))
    }

    fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StoreError> {
        self.wait(self.store.increment(key.to_owned(), delta))
    }

    fn compare_and_swap(
        &mut self,
        key: &str,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError> {
        let expected = Some(expected.to_vec());
        self.wait(
            self.store
                .compare_and_swap(key.to_owned(), expected, new.to_vec()),
        )
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, buf: &mut [u8]) {
        for chunk in buf.chunks_mut(8) {
            let bytes = RandomState::new().hash_one(()).to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

impl Side for Native<'_> {
    fn report(&mut self, calls: u64, batch: u64) {
        let one = event::Report {
            action: event::Action::Start,
            interaction_id: INTERACTION,
            data: &self.data,
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        };
        let reports = vec![one; batch as usize];
        for _ in 0..calls {
            let wall = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
            let now = Now {
                wall_ns: wall.as_nanos() as u64,
                mono_ns: self.epoch.elapsed().as_nanos() as u64,
            };
            let results = self
                .acceptor
                .accept(&mut self.store, &mut SystemRandom, now, &reports);
            assert!(results.iter().all(Result::is_ok), "{results:?}");
        }
    }
}

/// The same core in the component.
struct InComponent<'a> {
    runtime: &'a Runtime,
    instance: Instance,
    data: String,
}

impl Side for InComponent<'_> {
    fn report(&mut self, calls: u64, batch: u64) {
        let Self {
            runtime,
            instance,
            data,
        } = self;
        let one = InteractionReport {
            action: Action::Start,
            interaction_id: INTERACTION.to_owned(),
            data: data.clone(),
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        };
        let reports = vec![one; batch as usize];
        runtime.block_on(async {
            for _ in 0..calls {
                if batch == 1 {
                    let outcome = instance.report(Action::Start, INTERACTION, data).await;
                    assert!(matches!(outcome, Ok(Ok(Outcome::Queued))), "{outcome:?}");
                } else {
                    let results = instance.report_many(&reports).await.expect("no trap");
                    assert!(results.iter().all(Result::is_ok), "{results:?}");
                }
            }
        });
    }
}

/// Times `calls` calls, on as many stores as that takes. Making a side is not part of it.
fn time<S: Side>(calls: u64, batch: u64, make: impl Fn(Arc<dyn Store>) -> S) -> Duration {
    let mut left = calls;
    let mut total = Duration::ZERO;
    while left > 0 {
        let turn = left.min(REPORTS_PER_STORE / batch);
        let folder = folder();
        let options = SqliteOptions {
            path: folder.path().join("outbox.db"),
            durability: Durability::Process,
        };
        let (store, _) = SqliteStore::open(options).expect("a store");
        let mut side = make(Arc::new(store));
        // The first one reads the totals of the outbox.
        side.report(1, batch);
        let began = Instant::now();
        side.report(turn, batch);
        total += began.elapsed();
        left -= turn;
    }
    total
}

fn compare(criterion: &mut Criterion) {
    let runtime = support::runtime();
    let url = "http://127.0.0.1:9";
    let config =
        Config::from_pairs(support::settings("outbox.db".as_ref(), url)).expect("settings");
    let settings = Arc::new(config.settings().expect("switched on").clone());
    let engine = Engine::new(&EngineOptions::default()).expect("an engine");
    let component = engine
        .load(mcp_reporter_artifacts::REPORTER)
        .expect("our component");
    let pairs = config
        .pairs()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let egress = Egress::new(url, None).expect("a client");
    let component = engine::Reporter::new(component, pairs, egress);

    for (name, batch) in [("report one by one", 1), ("report in batches of 64", 64)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(batch));
        for round in 1..=ROUNDS {
            group.bench_function(BenchmarkId::new("native", round), |bencher| {
                let make = |store| Native {
                    acceptor: Acceptor::new(settings.clone()),
                    store: Adapter {
                        runtime: &runtime,
                        store,
                    },
                    data: payload(BODY_BYTES),
                    epoch: Instant::now(),
                };
                bencher.iter_custom(|calls| time(calls, batch, make));
            });
            group.bench_function(BenchmarkId::new("component", round), |bencher| {
                let make = |store| InComponent {
                    runtime: &runtime,
                    instance: runtime
                        .block_on(component.instantiate(store))
                        .expect("an instance"),
                    data: payload(BODY_BYTES),
                };
                bencher.iter_custom(|calls| time(calls, batch, make));
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1_500))
        .nresamples(5_000);
    targets = compare
}
criterion_main!(benches);
