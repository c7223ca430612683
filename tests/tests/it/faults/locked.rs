//! Another process keeps the file locked.

use std::time::{Duration, Instant};

use mcp_reporter::{Action, Outcome};
use mcp_reporter_tests::{Place, Story, coordinator, drained, outbox, python, stored, until};
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::{JoinHandle, JoinSet};

const LOCK: &str = r#"
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
db.execute("BEGIN EXCLUSIVE")
open(sys.argv[2], "w").close()
time.sleep(10)
db.execute("COMMIT")
"#;

/// A task that ticks every 5 ms, if the runtime's thread lets it.
struct Ticker {
    stop: oneshot::Sender<()>,
    task: JoinHandle<(Duration, u32)>,
}

impl Ticker {
    fn start() -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let (mut longest, mut ticks) = (Duration::ZERO, 0);
            while stopped.try_recv() == Err(TryRecvError::Empty) {
                let ticked = Instant::now();
                tokio::time::sleep(Duration::from_millis(5)).await;
                longest = longest.max(ticked.elapsed());
                ticks += 1;
            }
            (longest, ticks)
        });
        Self { stop, task }
    }

    /// The longest time between two ticks, and how many there were.
    async fn stop(self) -> (Duration, u32) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap()
    }
}

/// On a runtime of one thread, which reports share with a task that ticks.
#[tokio::test(flavor = "current_thread")]
async fn a_store_locked_for_10_s_delays_reports_blocks_no_thread_and_loses_none() {
    let place = Place::new();
    let coordinator = coordinator();
    let settings = place.fast(&coordinator.url());
    let reporter = place.reporter(&coordinator.url(), &[]).await;
    let mut story = Story::new();
    let before = story.attempt("start", "i0", "{}");
    assert_eq!(reporter.report_start("i0", "{}").await, Ok(Outcome::Queued));
    story.acknowledge(before);

    let (store, locked) = (place.store(), place.path("locked"));
    let lock = tokio::task::spawn_blocking({
        let (store, locked) = (store.display().to_string(), locked.display().to_string());
        move || python(LOCK, &[&store, &locked], "")
    });
    until("the file is locked", || async { locked.exists() }).await;
    // The lock lasts longer than the lease.
    story.disturb();
    let ticker = Ticker::start();
    let began = Instant::now();
    let mut reports = JoinSet::new();
    for n in 0..20 {
        let (id, reporter) = (format!("during{n}"), reporter.clone());
        let number = story.attempt("start", &id, "{}");
        reports.spawn(async move { (number, reporter.report(Action::Start, id, "{}").await) });
    }
    while let Some(done) = reports.join_next().await {
        let (number, result) = done.unwrap();
        assert_eq!(result, Ok(Outcome::Queued));
        story.acknowledge(number);
        let waited = began.elapsed();
        assert!(waited > Duration::from_secs(9), "{waited:?}: not locked");
    }
    let (longest, ticks) = ticker.stop().await;
    lock.await.unwrap();
    assert!(
        longest < Duration::from_secs(1) && ticks > 500,
        "the thread of the reports stood still for {longest:?}; {ticks} ticks"
    );
    story.disturb();
    stored(&coordinator, 21).await;
    drained(&reporter).await;
    reporter.shutdown(Duration::from_secs(10)).await;
    let left = outbox(&settings).await;
    let tally = story.check(&coordinator.receipts(), &left);
    assert_eq!((tally.delivered, tally.waiting, tally.dead), (21, 0, 0));
    println!("{tally}");
}
