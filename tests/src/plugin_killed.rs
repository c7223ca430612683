//! Ten processes of the wasmtime CLI on one folder, killed at random: for a test, and for the soak.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mcp_reporter_core::store::Random;
use mcp_reporter_test_support::Dice;

use crate::wasmtime_cli::{WasmtimeCli, number_in, wave};
use crate::{Place, Story, Tally, coordinator, plugin_settings, until};

/// How many processes run at once.
const CALLERS: u64 = 10;

/// How many interactions each of ten callers reports, one after the other.
const INTERACTIONS: u64 = 2;

/// One process of so many is killed, unless it ends before.
const ONE_OF: u64 = 3;

const RATE_LIMIT: usize = 30;

/// With more processes than cores, a request may be read later than it was sent: that much of the
/// period of 1 s is held against the receipts.
const RATE_PERIOD: Duration = Duration::from_millis(700);

/// What a round came to.
#[derive(Debug, Clone, Copy)]
pub struct Killed {
    /// What the oracle counted.
    pub tally: Tally,
    /// How many processes were killed before they had ended.
    pub killed: usize,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} processes killed: {}", self.killed, self.tally)
    }
}

struct Round {
    cli: WasmtimeCli,
    story: Mutex<Story>,
    killed: AtomicUsize,
    /// The microseconds that the last process took that was not killed. One is killed within that
    /// time, whatever else the machine does.
    took_us: AtomicU64,
}

/// Runs one round. The seed decides which processes are killed, and after how long.
///
/// # Errors
///
/// What is wrong, as the oracle says it.
///
/// # Panics
///
/// A process that was not killed failed, or what waits is not delivered.
pub async fn plugin_killed_at_random(seed: u64) -> Result<Killed, Vec<String>> {
    let (place, coordinator) = (Place::new(), coordinator());
    let url = coordinator.url();
    let limit = RATE_LIMIT.to_string();
    let settings = plugin_settings(&url, &[("rate_limit", &limit), ("rate_period", "1")]);
    let round = Round {
        cli: WasmtimeCli::new(&place, &settings),
        story: Mutex::new(Story::throttled(RATE_LIMIT, RATE_PERIOD)),
        killed: AtomicUsize::new(0),
        took_us: AtomicU64::new(0),
    };
    // The first also compiles the plugin, once for all.
    round.cli.invoke("status()").await;
    round.timed("status()").await;
    join_all((0..CALLERS).map(|caller| {
        let dice = Dice::new(seed.wrapping_mul(CALLERS).wrapping_add(caller));
        round.caller(caller, dice)
    }))
    .await;

    until("everything is delivered", || async {
        round.cli.invoke("deliver(5000)").await;
        let status = round.cli.invoke("status()").await;
        assert_eq!(number_in(&status, "dead-letters"), 0, "{status}");
        number_in(&status, "waiting") == 0
    })
    .await;
    let tally = round.story().verdict(&coordinator.receipts(), &[])?;
    Ok(Killed {
        tally,
        killed: round.killed.into_inner(),
    })
}

impl Round {
    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().expect("nobody panics with it")
    }

    /// Calls the plugin in a process that is not killed.
    async fn timed(&self, call: &str) -> String {
        let since = Instant::now();
        let result = self.cli.invoke(call).await;
        let took = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.took_us.store(took, Ordering::Relaxed);
        result
    }

    /// Reports interactions, with a process for each report.
    async fn caller(&self, caller: u64, mut dice: Dice) {
        for n in 0..INTERACTIONS {
            let id = format!("i{caller}-{n}");
            for action in ["start", "progress", "complete"] {
                self.report(action, &id, &mut dice).await;
            }
        }
    }

    async fn report(&self, action: &str, id: &str, dice: &mut Dice) {
        let data = r#"{"text":"Zoë"}"#;
        let number = self.story().attempt(action, id, data);
        let call = format!("report-{action}({}, {})", wave(id), wave(data));
        let result = if dice.number().is_multiple_of(ONE_OF) {
            let took = self.took_us.load(Ordering::Relaxed).max(1);
            let time = Duration::from_micros(dice.number() % took);
            let cut = self.cli.invoke_for(&call, time).await;
            if cut.killed {
                self.story().disturb();
                self.killed.fetch_add(1, Ordering::Relaxed);
            }
            cut.result
        } else {
            Some(self.timed(&call).await)
        };
        if let Some(result) = result {
            assert!(result.starts_with("ok("), "{call}: {result}");
            self.story().acknowledge(number);
        }
    }
}
