//! `deliver`: drains the outbox now.

use super::coordinator::end;
use super::start::{SHUTDOWN, measured_reporter, require_enabled};
use super::{Error, Ui, duration, outbox, output};
use indicatif::ProgressBar;
use mcp_reporter::engine::{BreakerState, OutboxStatus};
use mcp_reporter::{Config, ReportError, Reporter};
use mcp_reporter_core::settings::printable;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long one delivery goes on sending: after it, the progress is shown.
const SENDING: Duration = Duration::from_millis(500);
/// How often to look while another process delivers.
const WATCH: Duration = Duration::from_millis(250);
/// How often to look for what other processes have stored.
const FOLLOW: Duration = Duration::from_millis(500);
/// At most so often a line of progress is printed.
const LINES: Duration = Duration::from_secs(2);

/// How long to try.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Give up after so many seconds; what is not delivered stays in the outbox
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = duration::seconds)]
    timeout: Duration,
    /// Deliver for as long as it runs, what comes in meanwhile too, until it is interrupted or told
    /// to end
    #[arg(long, conflicts_with_all = ["timeout", "json"])]
    follow: bool,
    /// Print {"delivered", "dead_lettered", "waiting", "breaker", "paused_reason",
    /// "next_attempt_s"} as JSON
    #[arg(long)]
    json: bool,
}

/// Delivers until the outbox is empty or the time is over. Delivered by
/// another process counts as well.
pub async fn run(args: Args, config: Config, ui: Ui) -> Result<ExitCode, Error> {
    if args.follow {
        return follow(config, ui).await;
    }
    let request_timeout = config
        .settings()
        .map(|s| s.request_timeout)
        .unwrap_or_default();
    let reporter = measured_reporter(config).await?;
    let drain = Drain {
        reporter: &reporter,
        turn: request_timeout + SENDING,
        end: Instant::now() + args.timeout,
        shown: Shown::new(ui, args.json),
        delivered: 0,
        dead_lettered: 0,
    };
    let result = drain.run(&args, ui).await;
    reporter.shutdown(SHUTDOWN).await;
    result
}

/// Delivers until it is interrupted or told to end.
async fn follow(config: Config, ui: Ui) -> Result<ExitCode, Error> {
    let turn = require_enabled(&config)?.request_timeout + SENDING;
    let end = end().map_err(|why| Error::Failed(format!("cannot listen to signals: {why}")))?;
    let reporter = measured_reporter(config).await?;
    let waiting = output::count(reporter.status().await?.waiting, "event");
    ui.line(&format!("delivering; {waiting} waiting"))?;
    let deliver = async {
        loop {
            // What other processes store tells nobody: it is looked for.
            let pause = match reporter.deliver_now(turn).await {
                Ok(done) => done
                    .and_then(|done| done.next_ms)
                    .map(Duration::from_millis),
                Err(failed) => {
                    tracing::error!("delivery failed: {failed}");
                    None
                }
            };
            tokio::time::sleep(pause.map_or(FOLLOW, |pause| pause.min(FOLLOW))).await;
        }
    };
    tokio::select! {
        () = end => {}
        () = deliver => {}
    }
    reporter.shutdown(SHUTDOWN).await;
    Ok(ExitCode::SUCCESS)
}

struct Drain<'a> {
    reporter: &'a Reporter,
    /// The budget of one delivery.
    turn: Duration,
    end: Instant,
    shown: Shown,
    delivered: u64,
    dead_lettered: u64,
}

impl Drain<'_> {
    async fn run(mut self, args: &Args, ui: Ui) -> Result<ExitCode, Error> {
        self.drain().await?;
        self.shown.clear();
        let status = self.reporter.status().await?;
        if args.json {
            ui.json(&json!({
                "delivered": self.delivered,
                "dead_lettered": self.dead_lettered,
                "waiting": status.waiting,
                "breaker": outbox::breaker(status.breaker),
                "paused_reason": status.paused_reason,
                "next_attempt_s": outbox::seconds(status.next_attempt_ms),
            }))?;
        } else {
            let delivered = output::count(self.delivered, "event");
            ui.line(&format!(
                "delivered {delivered}, {} waiting",
                status.waiting
            ))?;
        }
        if status.waiting > 0 {
            let why = self.why(&status).await?;
            let waiting = output::count(status.waiting, "event");
            return Err(Error::Failed(format!("{waiting} not delivered: {why}")));
        }
        if self.dead_lettered > 0 {
            return Err(Error::Failed(format!(
                "{} refused and kept: see `mcp-reporter outbox list --dead-letters`",
                output::count(self.dead_lettered, "event")
            )));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Goes on until nothing waits, or nothing more can be sent in time.
    async fn drain(&mut self) -> Result<(), Error> {
        let before = self.reporter.status().await?;
        self.shown.begin(before.waiting);
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let done = self.reporter.deliver_now(left.min(self.turn)).await?;
            let done = done.ok_or(ReportError::Closed)?;
            self.delivered += u64::from(done.delivered);
            self.dead_lettered += u64::from(done.dead_lettered);
            let next = match done.next_ms {
                None if !done.lease_held_elsewhere => return Ok(()),
                next => Duration::from_millis(next.unwrap_or(0)),
            };
            let pause = if done.lease_held_elsewhere {
                let status = self.reporter.status().await?;
                if status.waiting == 0 {
                    return Ok(());
                }
                let holder = status.lease_holder.as_deref().unwrap_or("another process");
                self.shown.progress(
                    before.waiting.saturating_sub(status.waiting),
                    format!("{} is delivering", printable(holder)),
                )?;
                WATCH.min(next)
            } else {
                let held = if done.held {
                    self.reporter.status().await?.held()
                } else {
                    None
                };
                let gone = self.delivered + self.dead_lettered;
                self.shown.progress(gone, held.unwrap_or_default())?;
                next
            };
            // Nobody is served by waiting for what will not happen any more.
            if pause > self.end.saturating_duration_since(Instant::now()) {
                return Ok(());
            }
            // Not at once again: who loses a race for the lease must not spin.
            tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    async fn why(&self, status: &OutboxStatus) -> Result<String, Error> {
        if let Some(holder) = &status.lease_holder {
            return Ok(format!("{} is still delivering them", printable(holder)));
        }
        let first = self.reporter.waiting(1, None).await?.entries.pop();
        let failed = first
            .and_then(|entry| entry.last_failure)
            .map(|failure| printable(&failure));
        let mut why = match (status.held(), &failed) {
            (Some(held), _) => held,
            (None, Some(_)) => "the last try failed, and the next is not in time".to_owned(),
            (None, None) => "the time was too short; run it again, or raise --timeout".to_owned(),
        };
        if let (None, Some(failed)) = (&status.paused_reason, failed) {
            why += &format!(" (the oldest one's last failure: {failed})");
        }
        Ok(why)
    }
}

trait Held {
    /// Why nothing is sent just now, if so.
    fn held(&self) -> Option<String>;
}

impl Held for OutboxStatus {
    fn held(&self) -> Option<String> {
        let mut why = match (self.breaker, &self.paused_reason) {
            (BreakerState::Closed, _) if self.next_attempt_ms.is_none() => return None,
            (BreakerState::Closed, _) => "the coordinator asked for a pause".to_owned(),
            (BreakerState::Paused, Some(reason)) => format!("paused: {}", printable(reason)),
            (BreakerState::Paused, None) => "paused".to_owned(),
            (BreakerState::Open | BreakerState::HalfOpen, _) => {
                "several tries in a row failed (the circuit breaker is open)".to_owned()
            }
        };
        if let Some(ms) = self.next_attempt_ms {
            why += &format!(
                "; next attempt in {}",
                duration::shown(Duration::from_millis(ms))
            );
        }
        Some(why)
    }
}

/// What is seen meanwhile: a bar on a terminal, else a line now and then.
struct Shown {
    ui: Ui,
    quiet: bool,
    bar: Option<ProgressBar>,
    total: u64,
    last: Option<(Instant, u64, String)>,
}

impl Shown {
    fn new(ui: Ui, quiet: bool) -> Self {
        Self {
            ui,
            quiet,
            bar: None,
            total: 0,
            last: None,
        }
    }

    fn begin(&mut self, total: u64) {
        self.total = total;
        if total > 0 && !self.quiet {
            self.bar = self.ui.bar(total);
        }
    }

    fn progress(&mut self, gone: u64, note: String) -> Result<(), Error> {
        // Events that were reported meanwhile come on top.
        self.total = self.total.max(gone);
        if let Some(bar) = &self.bar {
            bar.set_length(self.total);
            bar.set_position(gone);
            bar.set_message(note);
            return Ok(());
        }
        if self.quiet {
            return Ok(());
        }
        let new = match &self.last {
            Some((at, before, said)) => {
                (said.is_empty() != note.is_empty() || *before != gone) && at.elapsed() >= LINES
            }
            None => true,
        };
        if new {
            let comma = if note.is_empty() { "" } else { ", " };
            self.ui
                .line(&format!("{gone} of {}{comma}{note}", self.total))?;
            self.last = Some((Instant::now(), gone, note));
        }
        Ok(())
    }

    fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
