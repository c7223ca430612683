//! How many events the component takes in under Spin's rules, beside the `set`s that the profile's
//! store does by itself: a commit with its flush for each, one after the other.
//!
//! Prints one line per figure, `name<tab>value`, for `cargo xtask bench`.

use std::time::{Duration, Instant};

use hyper::StatusCode;
use mcp_reporter_tests::spin::{Ground, Mode, Spin};
use mcp_reporter_tests::{Client, coordinator, event};

/// Comparisons, side after side; the figure is that of the middle one.
const ROUNDS: usize = 5;
/// Events in a round, and `set`s.
const COUNT: usize = 2_000;
const CLIENTS: usize = 16;
/// The size of what is stored, about that of the events.
const BYTES: usize = 500;

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return; // `cargo test` only wants to see it built
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (mode, name) in [(Mode::Sqlite, "sqlite"), (Mode::Redis, "redis")] {
        let (rates, shares) = runtime.block_on(measured(mode));
        println!("spin_{name}_per_s\t{}", middle(rates));
        println!("spin_{name}_of_sets\t{}", middle(shares));
    }
}

/// The events in a second, and as a share of the `set`s in a second beside them, for each round.
async fn measured(mode: Mode) -> (Vec<f64>, Vec<f64>) {
    let ground = Ground::new(mode).await;
    let coordinator = coordinator();
    let spin = ground.start(coordinator.addr(), &[]).await;
    // The coordinator is down: what is measured is taking in.
    drop(coordinator);
    let per_second = |took: Duration| COUNT as f64 / took.as_secs_f64();
    let (mut rates, mut shares) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("spin, {mode:?}: round {} of {ROUNDS}", round + 1);
        let sets = spin.time_of_sets(COUNT, BYTES, CLIENTS).await;
        let sets = per_second(sets.expect("the store works"));
        let rate = per_second(accepted(&spin, round).await);
        rates.push(rate);
        shares.push(rate / sets);
    }
    (rates, shares)
}

/// How long it takes to have all events of a round answered.
async fn accepted(spin: &Spin, round: usize) -> Duration {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = Client::connect(spin.address()).await.expect("it listens");
        clients.push(async move {
            for event_number in 0..COUNT / CLIENTS {
                let id = format!("i{round}.{number}.{event_number}");
                let body = event("start", &id, &"x".repeat(BYTES - 200));
                let answer = client.event(&[], &body).await;
                let (status, said) = answer.expect("an answer");
                assert_eq!(status, StatusCode::OK, "{said}");
            }
        });
    }
    let since = Instant::now();
    let clients: Vec<_> = clients.into_iter().map(tokio::spawn).collect();
    for client in clients {
        client.await.expect("a client");
    }
    since.elapsed()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
