//! What the whole-system tests share: a folder with a reporter's settings, a
//! coordinator, a server that answers as it is told, a Redis, a reporter in a
//! process of its own, Python, the old client's language, and what judges in
//! the end.

mod exposition;
mod jco;
mod keyvalue;
mod leaks;
mod oracle;
mod plugin;
mod plugin_killed;
mod process;
mod python;
mod scripted;
mod served;
mod served_load;
pub mod spin;
mod wash;
mod wasi;
mod wasmtime_cli;
mod wrapped;

pub use mcp_reporter_test_support::{PythonPeers, RedisServer};

pub use exposition::{Exposition, get, scrape};
pub use jco::{Jco, JcoStore};
pub use keyvalue::{Ended, KeyValue, KeyValueFs, Opened, Swap};
pub use leaks::{files_with, files_with_the_key, holds_the_key, lines_with_the_key};
pub use oracle::{Left, Story, Tally, Witnessed, outbox};
pub use plugin::{BRIEF_REPORT, Called, Plugin, plugin_settings, report, variables};
pub use plugin_killed::{Killed, plugin_killed_at_random};
pub use process::Process;
pub use python::python;
pub use scripted::{Scripted, answer};
pub use served::{Client, INGEST_KEY, Served, command, metrics_address};
pub use served_load::{event, killed_under_16_clients};
pub use wash::WashDev;
pub use wasi::{Fuse, Wasi};
pub use wasmtime_cli::{Cut, Invoked, WasmtimeCli, WasmtimeServe, ended, number_in, wave};
pub use wrapped::{Wrapped, config_file, wrap};

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions, Fault, Receipt, StoredEvent};
use mcp_reporter::{Reporter, ReporterBuilder};
use serde_json::Value;
use tempfile::TempDir;

/// The API key of all tests: a text that turns up nowhere by accident.
pub const KEY: &str = "k-7f3a9c51e2d84b06";

/// Longer than anything takes that is going to happen at all.
pub const SOON: Duration = Duration::from_secs(60);

/// A folder with one reporter's store. It is deleted when dropped.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// A new, empty folder.
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("no temporary folder"),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the store is.
    pub fn store(&self) -> PathBuf {
        self.path("outbox.db")
    }

    /// The settings that reporting to `url` requires; all else has its default.
    pub fn settings(&self, url: &str) -> Vec<(String, String)> {
        let store = self.store().display().to_string();
        [
            ("enable_interaction_logging", "true"),
            ("mcp_id", "test"),
            ("coordinator_url", url),
            ("coordinator_api_key", KEY),
            ("local_cache_path", &store),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// The same without the throttle and with short backoffs.
    pub fn fast(&self, url: &str) -> Vec<(String, String)> {
        let mut settings = self.settings(url);
        settings.push(("rate_limit".to_owned(), "0".to_owned()));
        settings.push(("retry_delay".to_owned(), "0.01".to_owned()));
        settings
    }

    /// A reporter with the [`fast`](Self::fast) settings, and `more`.
    pub async fn reporter(&self, url: &str, more: &[(&str, &str)]) -> Reporter {
        builder(&with(self.fast(url), more))
            .build()
            .await
            .expect("no reporter")
    }
}

/// `settings` and then `more`, of which the last of equal keys counts.
pub fn with(mut settings: Vec<(String, String)>, more: &[(&str, &str)]) -> Vec<(String, String)> {
    settings.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    settings
}

/// A builder with these settings, and the component compiled once for all tests.
pub fn builder(settings: &[(String, String)]) -> ReporterBuilder {
    let builder = Reporter::builder().cache_dir(cache_dir());
    settings.iter().fold(builder, |builder, (key, value)| {
        builder.set(key, value.as_str())
    })
}

/// Where compiled components are kept: beside the executable that runs.
pub fn cache_dir() -> PathBuf {
    let executable = std::env::current_exe().expect("this executable has no path");
    executable.with_file_name("component-cache")
}

/// A coordinator that takes [`KEY`].
pub fn coordinator() -> Coordinator {
    faulty(Fault::None)
}

/// The same with a fault from the beginning.
pub fn faulty(fault: Fault) -> Coordinator {
    let api_keys = vec![KEY.to_owned()];
    let options = CoordinatorOptions {
        api_keys,
        fault,
        ..CoordinatorOptions::default()
    };
    Coordinator::start(options).expect("no coordinator")
}

/// Waits until the coordinator has stored `count` events.
pub async fn stored(coordinator: &Coordinator, count: u64) {
    let done = coordinator
        .wait_for(|seen| seen.stats().processed >= count, SOON)
        .await;
    if let Err(missing) = done {
        panic!("{missing}");
    }
}

/// Waits until nothing waits and nobody delivers: only then does the status
/// count what was delivered last.
pub async fn drained(reporter: &Reporter) {
    until("the outbox is drained", || async {
        let status = reporter.status().await.unwrap();
        status.waiting == 0 && status.lease_holder.is_none()
    })
    .await;
}

/// Asks again and again, and panics when the answer is not yes [soon](SOON).
pub async fn until<A: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> A) {
    let end = Instant::now() + SOON;
    while !ask().await {
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A body as JSON.
pub fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("the body is not JSON")
}

/// The actions stored for each interaction, in order, without `interaction_`.
pub fn histories(events: &[StoredEvent]) -> BTreeMap<String, Vec<String>> {
    let mut histories = BTreeMap::<_, Vec<_>>::new();
    for event in events {
        let action = event.action.trim_start_matches("interaction_").to_owned();
        histories
            .entry(event.interaction_id.clone())
            .or_default()
            .push(action);
    }
    histories
}

/// Panics unless all sends of one event had one key, and no two events shared one.
pub fn assert_one_key_each(receipts: &[Receipt]) {
    let mut keys = BTreeMap::new();
    let mut bodies = BTreeMap::new();
    for receipt in receipts {
        let key = receipt
            .idempotency_key
            .as_deref()
            .expect("no Idempotency-Key");
        let body = String::from_utf8_lossy(&receipt.body);
        let first = keys.entry(body.clone()).or_insert(key);
        assert_eq!(*first, key, "two keys for {body}");
        let first = bodies.entry(key).or_insert_with(|| body.clone());
        assert_eq!(*first, body, "one key for two events");
    }
}
