//! The reporter process of the demo: reports the calls that it is handed, and
//! tells when each was acknowledged.

use super::io_error::io;
use super::{folder, script};
use crate::cli::error::Error;
use crate::cli::logging;
use mcp_reporter::config::{Config, Sources};
use mcp_reporter::{Report, Reporter};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

/// How long the last delivery may take.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// What the process tells, a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// It takes calls.
    Ready,
    /// The report of this call was acknowledged; its caller was blocked so long.
    Acknowledged { index: usize, blocked_us: u64 },
    /// The report of this call was refused.
    Refused { index: usize, why: String },
    /// It has shut down.
    Closed { delivered_all: bool },
}

/// Reports until standard input ends, as it does when the demo dies, too. Each
/// line is the index of a call.
pub(super) async fn run(dir: &Path) -> Result<(), Error> {
    let calls = script::calls()?;
    // The demo's own file and nothing else: what the environment has is for real work.
    let config = Config::load(Sources {
        file: Some(folder::config(dir)),
        cwd: dir.to_owned(),
        ..Sources::default()
    })?;
    logging::of(&config, config.log_level())?;
    let reporter = Reporter::builder().config(config).build().await?;
    tell(&Told::Ready)?;

    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.map_err(io)? {
        let index = line.parse().unwrap_or(usize::MAX);
        let Some(call) = calls.get(index) else {
            continue;
        };
        let mut report = Report::new(call.action(), &*call.interaction, call.data.get());
        // So that a report repeated after the kill is the same event.
        report.idempotency_key = Some(script::key(index));
        let began = Instant::now();
        let outcome = reporter.report_many(vec![report]).await.pop();
        let blocked_us = began.elapsed().as_micros() as u64;
        tell(&match outcome {
            Some(Ok(_)) => Told::Acknowledged { index, blocked_us },
            Some(Err(why)) => Told::Refused {
                index,
                why: why.to_string(),
            },
            None => Told::Refused {
                index,
                why: "no outcome".to_owned(),
            },
        })?;
    }
    let shutdown = reporter.shutdown(SHUTDOWN).await;
    tell(&Told::Closed {
        delivered_all: shutdown.delivered_all,
    })
}

fn tell(told: &Told) -> Result<(), Error> {
    let line = serde_json::to_string(told).map_err(|e| io(e.into()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(io)
}
