//! kill -9 at random moments, three reporters on one file.

use std::time::Duration;

use mcp_reporter_tests::{Place, Process, SOON, Story, Witnessed, coordinator, outbox};
use tokio::task::JoinSet;

use super::Dice;
use crate::PEER;

/// They run side by side: whoever is killed may hold the lease, which the
/// others then wait for.
const FILES: u64 = 5;
const ROUNDS_EACH: u64 = 10;
const REPORTERS: usize = 3;

/// Ten rounds on one file. In each all reporters report a burst and some of
/// them are killed: while the burst goes on, or while it is delivered.
async fn rounds(seed: u64) {
    let mut dice = Dice(seed);
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let mut story = Story::new();
    let mut reporters: Vec<Witnessed> = Vec::new();
    for _ in 0..REPORTERS {
        reporters.push(Process::start(PEER, "warn", &settings).await.into());
    }
    for round in 0..ROUNDS_EACH {
        let received = coordinator.receipts().len();
        for n in 0..10 {
            for (who, reporter) in reporters.iter_mut().enumerate() {
                reporter.interaction(&mut story, &format!("r{round}-p{who}-n{n}"));
            }
        }
        if dice.below(2) == 0 {
            let moment = Duration::from_micros(dice.below(50_000));
            tokio::time::sleep(moment).await;
        } else {
            let more = dice.below(100) as usize + 1;
            let flows = coordinator
                .wait_for(|seen| seen.receipts().len() >= received + more, SOON)
                .await;
            flows.unwrap_or_else(|missing| panic!("seed {seed}: {missing}"));
        }
        // At least one of them.
        let killed = dice.below((1 << REPORTERS) - 1) + 1;
        for (who, reporter) in reporters.iter_mut().enumerate() {
            if killed & 1 << who != 0 {
                reporter.kill(&mut story).await;
                *reporter = Process::start(PEER, "warn", &settings).await.into();
            } else {
                reporter.acknowledged(&mut story).await;
            }
        }
    }
    let mut drained = false;
    for reporter in &mut reporters {
        drained |= reporter.process.shutdown(20_000).await;
    }
    assert!(drained, "seed {seed}: {}", reporters[0].process.log());
    let left = outbox(&settings).await;
    let tally = story
        .verdict(&coordinator.receipts(), &left)
        .unwrap_or_else(|wrong| panic!("seed {seed}:\n{}", wrong.join("\n")));
    assert_eq!((tally.waiting, tally.dead), (0, 0), "seed {seed}");
    assert!(tally.acknowledged > tally.reported / 4, "{tally}");
    println!("seed {seed}: {tally}");
}

#[tokio::test]
async fn fifty_rounds_of_kill_9_among_three_reporters_on_one_file_lose_nothing() {
    let mut seeds = Dice::new();
    let mut files = JoinSet::new();
    for _ in 0..FILES {
        files.spawn(rounds(seeds.below(u64::MAX)));
    }
    files.join_all().await;
}
