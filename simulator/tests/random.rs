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

const ANSWERS: [&str; 17] = [
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
];

const CRASHES: [&str; 6] = [
    "crash: before a store operation",
    "crash: after a store operation",
    "store: full",
    "store: connection lost before",
    "store: connection lost after",
    "store: a failed swap",
];

const CLOCKS: [&str; 5] = [
    "clock: back",
    "clock: forward",
    "stall",
    "store: slow",
    "lease: expired under a delivery",
];

const DAMAGE: [&str; 2] = ["store: a value cut short", "store: a value damaged"];

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
    explore(Model::Spin, Mix::Crashes, &CRASHES);
}

#[test]
fn spin_store_clocks() {
    explore(Model::Spin, Mix::Clocks, &CLOCKS);
}

#[test]
fn spin_store_everything() {
    explore(Model::Spin, Mix::Everything, &DAMAGE);
}
