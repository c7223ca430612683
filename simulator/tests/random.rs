//! 100,000 random runs: two stores, four mixes of faults.

use mcp_reporter_simulator::{Coverage, Mix, Model, Plan, run, shrink, trace};

/// Runs so many seeds, and expects that each of `reached` happened.
fn explore(model: Model, mix: Mix, reached: &[&str]) {
    let mut coverage = Coverage::default();
    for seed in 0..12_500 {
        let plan = Plan::random(seed, model, mix);
        let outcome = run(&plan);
        coverage.merge(&outcome.coverage);
        if outcome.violation.is_some() {
            let failure = shrink(&plan).expect("it failed just now");
            let (_, lines) = trace(&failure.plan);
            panic!("{failure}{}", lines.join("\n"));
        }
    }
    for name in reached {
        assert!(
            coverage.count(name) > 0,
            "never reached: {name}\n{coverage}"
        );
    }
}

const ANSWERS: [&str; 24] = [
    "answer: 2xx",
    "answer: 409",
    "answer: 408 or 425",
    "answer: 429 or 503 with Retry-After",
    "answer: 5xx",
    "answer: garbage",
    "answer: a huge body",
    "answer: none, not stored",
    "answer: none, after storing",
    "answer: cut after storing",
    "answer: wrong key or endpoint",
    "answer: 4xx",
    "event: redriven",
    "event: dropped",
    "event: orphaned",
    "open interactions: checked",
    "coordinator: forgets starts in an orderly run",
    "post: stored",
    "post: the same answer again",
    "post: the same answer the next day",
    "post: the answer got lost",
    "post: outbox full",
    "post: at once",
    "post: stored twice, by tries at once",
];

const CRASHES: [&str; 8] = [
    "crash: before a store operation",
    "crash: after a store operation",
    "store: full",
    "store: connection lost before",
    "store: connection lost after",
    "store: a failed swap",
    "post: no answer, and the event is stored",
    "post: the store fails, and the event is stored",
];

const CLOCKS: [&str; 6] = [
    "clock: back",
    "clock: forward",
    "stall",
    "store: slow",
    "lease: expired under a delivery",
    "post: stored twice, the answer was kept on another day",
];

const DAMAGE: [&str; 4] = [
    "store: a value cut short",
    "store: a value damaged",
    "store: a kept answer damaged",
    "post: stored twice, the kept answer was damaged",
];

#[test]
fn strict_store_any_answers() {
    explore(Model::Strict, Mix::Answers, &ANSWERS);
}

#[test]
fn strict_store_crashes() {
    explore(Model::Strict, Mix::Crashes, &CRASHES);
}

#[test]
fn strict_store_clocks() {
    explore(Model::Strict, Mix::Clocks, &CLOCKS);
}

#[test]
fn strict_store_everything() {
    explore(Model::Strict, Mix::Everything, &DAMAGE);
}

#[test]
fn spin_store_any_answers() {
    explore(Model::Spin, Mix::Answers, &ANSWERS);
}

#[test]
fn spin_store_crashes() {
    // Of a batch that is not atomic the answer can be missing.
    let half = ["post: stored twice, no answer was kept"];
    explore(Model::Spin, Mix::Crashes, &[&CRASHES[..], &half].concat());
}

#[test]
fn spin_store_clocks() {
    explore(Model::Spin, Mix::Clocks, &CLOCKS);
}

#[test]
fn spin_store_everything() {
    explore(Model::Spin, Mix::Everything, &DAMAGE);
}
