//! Many clients, instances that are killed at random, and the coordinator's rate.

use mcp_reporter_tests::spin::{Load, Mode, Outcome};

async fn carried(seed: u64, mode: Mode) -> Outcome {
    let load = Load::new(seed, mode);
    let outcome = load.run().await;
    let outcome = outcome.unwrap_or_else(|wrong| panic!("{load:?}\n{}", wrong.join("\n")));
    println!("{load:?}: {outcome}");
    assert_eq!(outcome.tally.acknowledged, load.events);
    assert_eq!(outcome.tally.delivered, load.events);
    // It is shown for instances that do die, and under a host that is fully used.
    assert!(outcome.counts.killed >= 20, "{outcome}");
    assert_eq!(outcome.counts.most_live, 16, "{outcome}");
    outcome
}

#[tokio::test]
async fn nothing_answered_is_lost_on_sqlite_with_seed_1() {
    carried(1, Mode::Sqlite).await;
}

#[tokio::test]
async fn nothing_answered_is_lost_on_sqlite_with_seed_2() {
    carried(2, Mode::Sqlite).await;
}

#[tokio::test]
async fn nothing_answered_is_lost_on_redis_with_seed_1() {
    carried(1, Mode::Redis).await;
}

#[tokio::test]
async fn nothing_answered_is_lost_on_redis_with_seed_2() {
    carried(2, Mode::Redis).await;
}
