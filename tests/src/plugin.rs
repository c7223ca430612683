//! The plugin in a runtime that makes an instance for each call and keeps nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use mcp_reporter_artifacts::{PLUGIN, plugin_with_tool_docs};
use wasmtime_wasi::FsPerms;

use self::bindings::Plugin as Exports;
use self::bindings::exports::mcp_reporter::interactions::outbox::{Delivery, OutboxStatus};
use self::bindings::exports::mcp_reporter::interactions::reporter::Outcome;
use self::bindings::mcp_reporter::interactions::types::Failure;
use crate::KEY;
use crate::wasi::{Fuse, State, Wasi};

#[allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        inline: "
            package mcp-reporter:tests;

            world plugin {
                export mcp-reporter:interactions/reporter@0.1.0;
                export mcp-reporter:interactions/outbox@0.1.0;
                export mcp-reporter:interactions/coordinator@0.1.0;
            }
        ",
        world: "mcp-reporter:tests/plugin",
        exports: { default: async },
    });
}

/// The compiled plugin, and what its instances see.
pub struct Plugin {
    wasi: Wasi,
    variables: Vec<(String, String)>,
}

/// Settings as the environment variables that the plugin reads.
pub fn variables(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let variables = settings.iter().map(|(key, value)| {
        let name = format!("MCP_REPORTER_{}", key.to_ascii_uppercase());
        (name, (*value).to_owned())
    });
    variables.collect()
}

/// A report in an outage tries only a few times: with each try that fails, the next may be further
/// away, at last beyond the budget of the delivery that follows the outage.
pub const BRIEF_REPORT: (&str, &str) = ("report_budget", "0.05");

/// The settings of a plugin that reports to `url`: what it needs, without the throttle and with
/// short backoffs, and `more`.
pub fn plugin_settings<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut settings = vec![
        ("enable_interaction_logging", "true"),
        ("mcp_id", "test"),
        ("coordinator_url", url),
        ("coordinator_api_key", KEY),
        ("rate_limit", "0"),
        ("retry_delay", "0.01"),
    ];
    settings.extend(more);
    settings
}

/// What came of a call.
#[derive(Debug)]
pub struct Called<T> {
    /// What it returned; none when the instance was killed.
    pub result: Option<Result<T, Failure>>,
    /// What it logged.
    pub log: String,
    /// How long it took to make the instance.
    pub start: Duration,
    /// How long the call itself took.
    pub call: Duration,
    /// How often the host was called.
    pub host_calls: usize,
}

impl<T> Called<T> {
    /// What it returned; panics when it failed.
    #[track_caller]
    pub fn unwrap(self) -> T {
        match self.result {
            Some(Ok(value)) => value,
            Some(Err(failure)) => panic!("{failure:?}\n{}", self.log),
            None => panic!("the instance ended: {}", self.log),
        }
    }

    /// Why it failed; panics when it did not.
    #[track_caller]
    pub fn failure(self) -> Failure {
        match self.result {
            Some(Err(failure)) => failure,
            Some(Ok(_)) => panic!("it did not fail: {}", self.log),
            None => panic!("the instance ended: {}", self.log),
        }
    }
}

/// A call of `reporter`.
#[derive(Debug, Clone, Copy)]
pub struct ReportCall<'a> {
    action: &'a str,
    id: &'a str,
    data: &'a str,
}

/// The report that an interaction began, `start`, went on, `progress`, or ended, `complete` or
/// `error`.
pub fn report<'a>(action: &'a str, id: &'a str, data: &'a str) -> ReportCall<'a> {
    ReportCall { action, id, data }
}

impl Plugin {
    /// The plugin with these settings as environment variables.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        Self {
            wasi: Wasi::new(PLUGIN),
            variables: variables(settings),
        }
    }

    /// The plugin as Wassette runs it, on a runtime that links what Wassette links and denies what
    /// it denies. Its policy allows these hosts.
    pub fn in_wassette(settings: &[(&str, &str)], hosts: &[&str]) -> Self {
        Self {
            wasi: Wasi::wassette(&plugin_with_tool_docs(), hosts),
            variables: variables(settings),
        }
    }

    /// Reports, in an instance that sees this folder.
    pub async fn report(&self, folder: &Path, report: ReportCall<'_>) -> Called<Outcome> {
        let folder = Some((folder, FsPerms::ReadWrite));
        self.report_in(folder, None, report).await
    }

    /// Reports, in an instance that sees this folder, if any, and may be killed.
    pub async fn report_in(
        &self,
        folder: Option<(&Path, FsPerms)>,
        fuse: Option<Fuse>,
        report: ReportCall<'_>,
    ) -> Called<Outcome> {
        let ReportCall { action, id, data } = report;
        self.call(folder, fuse, async |exports, store| {
            let reporter = exports.mcp_reporter_interactions_reporter();
            match action {
                "start" => reporter.call_report_start(store, id, data).await,
                "progress" => reporter.call_report_progress(store, id, data).await,
                "complete" => reporter.call_report_complete(store, id, data).await,
                "error" => reporter.call_report_error(store, id, data).await,
                other => panic!("no such action: {other}"),
            }
        })
        .await
    }

    /// Delivers for at most `budget_ms`.
    pub async fn deliver(&self, folder: &Path, budget_ms: u32) -> Called<Delivery> {
        let folder = Some((folder, FsPerms::ReadWrite));
        self.call(folder, None, async |exports, store| {
            let outbox = exports.mcp_reporter_interactions_outbox();
            outbox.call_deliver(store, budget_ms).await
        })
        .await
    }

    /// The state of the outbox.
    pub async fn status(&self, folder: &Path) -> Called<OutboxStatus> {
        let folder = Some((folder, FsPerms::ReadWrite));
        self.call(folder, None, async |exports, store| {
            exports
                .mcp_reporter_interactions_outbox()
                .call_status(store)
                .await
        })
        .await
    }

    async fn call<T>(
        &self,
        folder: Option<(&Path, FsPerms)>,
        fuse: Option<Fuse>,
        call: impl AsyncFnOnce(
            &Exports,
            &mut wasmtime::Store<State>,
        ) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Called<T> {
        let began = Instant::now();
        let mut store = self.wasi.store(folder, &self.variables, fuse);
        let (component, linker) = (self.wasi.component(), self.wasi.linker());
        let exports = Exports::instantiate_async(&mut store, component, linker).await;
        let exports = exports.expect("the plugin asks for more than this runtime has");
        let start = began.elapsed();
        let result = call(&exports, &mut store).await;
        Called {
            call: began.elapsed() - start,
            start,
            log: match &result {
                Ok(_) => store.data().log(),
                Err(trap) => format!("{}{trap:#}", store.data().log()),
            },
            host_calls: store.data().calls(),
            result: result.ok(),
        }
    }
}
