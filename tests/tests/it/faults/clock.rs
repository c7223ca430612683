//! The clock is set forward and back under a running reporter (libfaketime).

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, UNIX_EPOCH};

use mcp_reporter::coordinator::{Fault, Receipt};
use mcp_reporter_tests::{Place, Process, SOON, Story, Witnessed, coordinator, faulty, outbox};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::PEER;

/// A stored time further ahead than a backoff can be counts as one of 30 s;
/// on top comes how long a busy machine takes.
const CLAMPED: Duration = Duration::from_secs(40);
/// A process whose clock is set back waits for 30 s, if it was waiting, and
/// then finds that the time in the control record has to be clamped: once more.
const SET_BACK: Duration = Duration::from_secs(70);

/// The library that stands between a program and its clock.
fn faketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").unwrap();
    let library = folders
        .map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists());
    library.expect("libfaketime is missing (Debian: apt-get install faketime)")
}

/// A clock to be set, in a file.
struct Clock(PathBuf);

impl Clock {
    fn new(place: &Place) -> Self {
        let clock = Self(place.path("clock"));
        clock.set("+0");
        clock
    }

    /// Sets it apart from the true time by so much: `+1d`, `-1h`, `+0`.
    fn set(&self, offset: &str) {
        // At once, so that it is never read half written.
        let new = self.0.with_extension("new");
        fs::write(&new, offset).unwrap();
        fs::rename(&new, &self.0).unwrap();
    }

    /// Starts a peer that goes by it. Only the wall clock is set, as by an operator.
    async fn peer(&self, settings: &[(String, String)]) -> Witnessed {
        let mut command = Command::new(PEER);
        command.env("LD_PRELOAD", faketime());
        command.env("FAKETIME_TIMESTAMP_FILE", &self.0);
        command.env("FAKETIME_NO_CACHE", "1");
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command.env("DONT_FAKE_MONOTONIC", "1");
        let process = Process::start_by(command, "warn", settings).await;
        process.unwrap_or_else(|log| panic!("{log}")).into()
    }
}

/// The moment in seconds that the body of a receipt names.
fn timestamp(receipt: &Receipt) -> f64 {
    let body = mcp_reporter_tests::json(&receipt.body);
    body["timestamp"].as_f64().unwrap()
}

/// The clock is set to each of these, apart from the true time. Each step is
/// made while a backoff is written down.
async fn is_set(steps: [&str; 2]) {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let clock = Clock::new(&place);
    let mut story = Story::new();
    let mut peer = clock.peer(&settings).await;
    for (step, offset) in steps.iter().enumerate() {
        coordinator.set_fault(Fault::Status(503)).unwrap();
        let seen = coordinator.receipts().len();
        for n in 0..5 {
            peer.interaction(&mut story, &format!("s{step}-{n}"));
        }
        peer.acknowledged(&mut story).await;
        let failed = coordinator
            .wait_for(|view| view.receipts().len() >= seen + 6, SOON)
            .await;
        failed.unwrap_or_else(|missing| panic!("before {offset}: {missing}"));
        clock.set(offset);
        let stepped = Instant::now();
        coordinator.set_fault(Fault::None).unwrap();
        for n in 5..10 {
            peer.interaction(&mut story, &format!("s{step}-{n}"));
        }
        peer.acknowledged(&mut story).await;
        let all = 40 * (step as u64 + 1);
        let done = coordinator
            .wait_for(|view| view.stats().processed >= all, SET_BACK)
            .await;
        done.unwrap_or_else(|missing| panic!("{offset}: {missing} {}", peer.process.log()));
        println!("{offset}: delivered after {:?}", stepped.elapsed());
    }
    assert!(
        peer.process.shutdown(20_000).await,
        "{}",
        peer.process.log()
    );
    let receipts = coordinator.receipts();
    // It did have another clock than ours. Set back it does not show: the time in
    // the events of a process never goes back.
    let ahead = |receipt: &Receipt| {
        let now = receipt.wall.duration_since(UNIX_EPOCH).unwrap();
        timestamp(receipt) - now.as_secs_f64() > 80_000.0
    };
    assert_eq!(receipts.iter().any(ahead), steps[0] == "+1d", "{steps:?}");
    let left = outbox(&settings).await;
    let tally = story.check(&receipts, &left);
    assert_eq!((tally.delivered, tally.waiting, tally.dead), (80, 0, 0));
    println!("{tally}");
}

#[tokio::test]
async fn a_clock_set_forward_and_back_while_running_neither_stops_delivery_nor_loses_anything() {
    let mut cases = JoinSet::new();
    for steps in [["+1d", "+0"], ["-1d", "+0"], ["-1h", "+0"]] {
        cases.spawn(is_set(steps));
    }
    cases.join_all().await;
}

#[tokio::test]
async fn what_a_process_wrote_down_a_day_ahead_holds_its_successor_no_longer_than_allowed() {
    let place = Place::new();
    let coordinator = faulty(Fault::Status(503));
    let settings = place.fast(&coordinator.url());
    let clock = Clock::new(&place);
    clock.set("+1d");
    let mut story = Story::new();
    let mut peer = clock.peer(&settings).await;
    for n in 0..5 {
        peer.interaction(&mut story, &format!("ahead{n}"));
    }
    peer.acknowledged(&mut story).await;
    let failed = coordinator
        .wait_for(|view| view.receipts().len() >= 6, SOON)
        .await;
    failed.unwrap_or_else(|missing| panic!("{missing}"));
    // Its lease, its backoffs and the breaker's lie a day ahead.
    peer.kill(&mut story).await;
    clock.set("+0");
    coordinator.set_fault(Fault::None).unwrap();
    let mut peer = clock.peer(&settings).await;
    for n in 0..5 {
        peer.interaction(&mut story, &format!("now{n}"));
    }
    peer.acknowledged(&mut story).await;
    let done = coordinator
        .wait_for(|view| view.stats().processed >= 40, CLAMPED)
        .await;
    done.unwrap_or_else(|missing| panic!("{missing} {}", peer.process.log()));
    assert!(
        peer.process.shutdown(20_000).await,
        "{}",
        peer.process.log()
    );
    let left = outbox(&settings).await;
    let tally = story.check(&coordinator.receipts(), &left);
    assert_eq!((tally.delivered, tally.waiting, tally.dead), (40, 0, 0));
    println!("{tally}");
}
