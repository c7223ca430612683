//! `outbox`: shows the events that wait and those that were refused, and
//! changes them by hand.

use super::start::{SHUTDOWN, enabled_reporter};
use super::{Error, Ui, duration, output};
use clap::{Subcommand, ValueHint};
use mcp_reporter::config::StoreKind;
use mcp_reporter::engine::{Action, BreakerState, Entry, EntryPage, OutboxStatus, PurgeFilter};
use mcp_reporter::store::{Compacted, backup, compact};
use mcp_reporter::{Config, ReportError, Reporter};
use mcp_reporter_core::settings::printable;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Most entries that are asked for at once.
const PAGE: u32 = 1_000;

/// What to do with the outbox.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: What,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows how many events wait, and whether they are being sent
    Status,
    /// Lists the waiting events, oldest first
    List {
        /// List the dead letters instead
        #[arg(long)]
        dead_letters: bool,
        /// List at most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Shows the body of an event
    Show {
        /// Its key, as `list` shows it
        key: String,
    },
    /// Puts dead letters back into the queue
    Redrive(Redrive),
    /// Deletes events for good; whole interactions only
    Purge(Purge),
    /// Copies the outbox into a file, also while it is in use
    Backup(Backup),
    /// Gives space that the file no longer needs back to the disk, at once
    Compact,
}

#[derive(Debug, clap::Args)]
struct Backup {
    /// The new file; it is made for its owner alone, and checked
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true)]
struct Redrive {
    /// Those of this interaction; may be given several times
    #[arg(long, value_name = "ID")]
    interaction: Vec<String>,
    /// All of them
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Purge {
    /// Only interactions whose newest event is at least this old: 90s, 30m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = duration::age)]
    older_than: Option<Duration>,
    /// Only dead letters
    #[arg(long)]
    dead_letters: bool,
    /// Only this interaction
    #[arg(long, value_name = "ID")]
    interaction: Option<String>,
    /// Everything
    #[arg(long, conflicts_with_all = ["older_than", "dead_letters", "interaction"])]
    all: bool,
}

/// Does it.
pub async fn run(args: Args, config: Config, ui: Ui) -> Result<ExitCode, Error> {
    // These need no reporter: they work while reporting is off, and beside one that does not start.
    match args.action {
        What::Backup(backup) => return back_up(backup, args.json, &config, ui).await,
        What::Compact => return compact_file(args.json, &config, ui).await,
        _ => {}
    }
    let reporter = enabled_reporter(config).await?;
    let result = act(&reporter, args, ui).await;
    reporter.shutdown(SHUTDOWN).await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn act(reporter: &Reporter, args: Args, ui: Ui) -> Result<(), Error> {
    let Args { action, json } = args;
    match action {
        What::Status => {
            let status = reporter.status().await?;
            if json {
                ui.json(&status_document(&status))
            } else {
                ui.line(&status_text(&status, ui))
            }
        }
        What::List {
            dead_letters,
            limit,
        } => {
            let (entries, more) = list(reporter, dead_letters, limit).await?;
            if json {
                let entries: Vec<_> = entries.iter().map(entry_document).collect();
                return ui.json(&json!({ "entries": entries, "more": more }));
            }
            let kind = if dead_letters {
                "dead letter"
            } else {
                "waiting event"
            };
            ui.line(&list_text(&entries, more, kind, ui))
        }
        What::Show { key } => {
            let Some(body) = reporter.show(key.clone()).await? else {
                return Err(Error::Failed(format!(
                    "there is no event {key}: it may have been delivered; `outbox list` shows \
                     those that wait"
                )));
            };
            if !json {
                let lines: Vec<_> = body.lines().map(printable).collect();
                return ui.line(&lines.join("\n"));
            }
            let body = RawValue::from_string(body)
                .map_err(|why| Error::Failed(format!("the event {key} is not JSON: {why}")))?;
            ui.json(&json!({ "key": key, "body": body }))
        }
        What::Backup(_) | What::Compact => Ok(()), // done before a reporter was made
        What::Redrive(which) => {
            let moved = reporter.redrive(which.interaction).await?;
            if json {
                return ui.json(&json!({ "redriven": moved }));
            }
            let moved = output::count(moved.into(), "dead letter");
            ui.line(&format!("put {moved} back into the queue"))
        }
        What::Purge(which) => {
            let filter = PurgeFilter {
                dead_letters: which.dead_letters,
                // The span was bounded when it was read.
                older_than_ms: which.older_than.map(|span| span.as_secs() * 1_000),
                interaction_id: which.interaction,
            };
            let purged = reporter.purge(filter).await?;
            if json {
                return ui.json(&json!({ "purged": purged }));
            }
            ui.line(&format!(
                "deleted {}",
                output::count(purged.into(), "event")
            ))
        }
    }
}

async fn back_up(args: Backup, json: bool, config: &Config, ui: Ui) -> Result<ExitCode, Error> {
    let from = sqlite_file(config, "backed up")?;
    let to = args.file.clone();
    let work = tokio::task::spawn_blocking(move || backup(&from, &to, args.force));
    let done = work
        .await
        .map_err(|error| Error::Failed(format!("the backup broke off: {error}")))??;
    let file = args.file.display().to_string();
    if json {
        ui.json(&json!({
            "file": file,
            "waiting": done.waiting,
            "dead_letters": done.dead_letters,
            "bytes": done.bytes,
        }))?;
    } else {
        ui.line(&format!(
            "backed up {} and {} to {} ({} bytes, checked)",
            output::count(done.waiting, "waiting event"),
            output::count(done.dead_letters, "dead letter"),
            printable(&file),
            done.bytes,
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn compact_file(json: bool, config: &Config, ui: Ui) -> Result<ExitCode, Error> {
    let path = sqlite_file(config, "compacted")?;
    let work = tokio::task::spawn_blocking(move || compact(&path));
    let done = work
        .await
        .map_err(|error| Error::Failed(format!("compacting broke off: {error}")))??;
    let Compacted {
        bytes_before,
        bytes_after,
    } = done;
    if json {
        ui.json(&json!({ "bytes_before": bytes_before, "bytes_after": bytes_after }))?;
    } else {
        ui.line(&format!(
            "the outbox takes {bytes_after} bytes on the disk now, before {bytes_before}"
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The file that the outbox is in, to which something is to be done.
fn sqlite_file(config: &Config, done: &str) -> Result<PathBuf, Error> {
    let kind = match config.store() {
        StoreKind::Sqlite => return Ok(config.local_cache_path().to_owned()),
        StoreKind::Memory => "memory",
        StoreKind::Redis => "redis",
    };
    Err(Error::Usage(format!(
        "store = {kind}: only an outbox in an SQLite file can be {done}"
    )))
}

async fn list(
    reporter: &Reporter,
    dead_letters: bool,
    limit: u32,
) -> Result<(Vec<Entry>, bool), ReportError> {
    let mut entries = Vec::new();
    let mut cursor = None;
    loop {
        // The limit is 32 bits, and so is what is left of it.
        let left = (limit - entries.len() as u32).min(PAGE);
        let page = if dead_letters {
            reporter.dead_letters(left, cursor).await?
        } else {
            reporter.waiting(left, cursor).await?
        };
        let EntryPage {
            entries: some,
            cursor: next,
        } = page;
        entries.extend(some);
        if next.is_none() || entries.len() as u32 >= limit {
            return Ok((entries, next.is_some()));
        }
        cursor = next;
    }
}

/// What the breaker's state is called.
pub fn breaker(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Paused => "paused",
    }
}

/// Milliseconds as seconds, for programs.
pub fn seconds(ms: Option<u64>) -> Value {
    ms.map_or(Value::Null, |ms| (ms as f64 / 1_000.0).into())
}

fn status_document(status: &OutboxStatus) -> Value {
    json!({
        "waiting": status.waiting,
        "dead_letters": status.dead_letters,
        "bytes": status.bytes,
        "oldest_age_s": seconds(status.oldest_age_ms),
        "breaker": breaker(status.breaker),
        "paused_reason": status.paused_reason,
        "next_attempt_s": seconds(status.next_attempt_ms),
        "delivered_total": status.delivered_total,
        "resent_total": status.resent_total,
        "dropped_total": status.dropped_total,
        "lease_holder": status.lease_holder,
    })
}

fn status_text(status: &OutboxStatus, ui: Ui) -> String {
    let span = |ms: u64| duration::shown(Duration::from_millis(ms));
    let state = breaker(status.breaker);
    let state = match status.breaker {
        BreakerState::Closed => ui.good(state),
        BreakerState::Paused => ui.bad(state),
        BreakerState::Open | BreakerState::HalfOpen => ui.notable(state),
    };
    let mut lines = vec![
        ("waiting", status.waiting.to_string()),
        ("dead letters", status.dead_letters.to_string()),
        ("bytes", status.bytes.to_string()),
        ("oldest", status.oldest_age_ms.map_or("-".to_owned(), span)),
        ("breaker", state),
    ];
    if let Some(reason) = &status.paused_reason {
        lines.push(("paused because", printable(reason)));
    }
    if let Some(ms) = status.next_attempt_ms {
        lines.push(("next attempt", format!("in {}", span(ms))));
    }
    lines.extend([
        ("delivered", status.delivered_total.to_string()),
        ("resent", status.resent_total.to_string()),
        ("dropped", status.dropped_total.to_string()),
        (
            "delivering now",
            status
                .lease_holder
                .as_deref()
                .map_or("-".to_owned(), printable),
        ),
    ]);
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(name, value)| format!("{name:<15} {value}"))
        .collect();
    lines.join("\n")
}

fn action(entry: &Entry) -> Option<&'static str> {
    Some(match entry.action? {
        Action::Start => "start",
        Action::Progress => "progress",
        Action::Complete => "complete",
        Action::Error => "error",
    })
}

fn entry_document(entry: &Entry) -> Value {
    let at = OffsetDateTime::from_unix_timestamp_nanos(entry.accepted_ns.into());
    json!({
        "key": entry.key,
        "action": action(entry),
        "interaction_id": entry.interaction_id,
        "accepted_at": at.ok().and_then(|at| at.format(&Rfc3339).ok()),
        "size": entry.size,
        "tries": entry.tries,
        "last_failure": entry.last_failure,
        "idempotency_key": entry.idempotency_key,
    })
}

fn list_text(entries: &[Entry], more: bool, kind: &str, ui: Ui) -> String {
    if entries.is_empty() {
        return format!("no {kind}s");
    }
    let now = UNIX_EPOCH.elapsed().unwrap_or_default();
    let heading = format!(
        "{:<8} {:<9} {:<28} {:>7} {:>5}  KEY",
        "AGE", "ACTION", "INTERACTION", "BYTES", "TRIES"
    );
    let mut text = ui.bold(&heading);
    for entry in entries {
        let age = now.saturating_sub(Duration::from_nanos(entry.accepted_ns));
        text += &format!(
            "\n{:<8} {:<9} {:<28} {:>7} {:>5}  {}",
            duration::shown(age),
            action(entry).unwrap_or("damaged"),
            printable(&entry.interaction_id),
            entry.size,
            entry.tries,
            printable(&entry.key),
        );
        if let Some(failure) = &entry.last_failure {
            text += &format!("\n         {}", printable(failure));
        }
    }
    if more {
        text += &format!("\n… and more; --limit {} shows them", entries.len() * 10);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_from_outside_cannot_steer_the_terminal() {
        let entry = Entry {
            key: "d.1".to_owned(),
            action: None,
            interaction_id: "int\x1b[2J\n\u{202e}".to_owned(),
            accepted_ns: 0,
            size: 3,
            tries: 1,
            last_failure: Some("400: \x07\r\nfake line".to_owned()),
            idempotency_key: "k".to_owned(),
        };
        let ui = Ui::detect();
        let text = list_text(&[entry], true, "dead letter", ui);
        assert!(
            text.lines()
                .all(|line| !line.contains(|c: char| c.is_control())),
            "{text:?}"
        );
        assert!(
            !text.contains('\u{202e}') && text.contains(r"int\u{1b}[2J\n\u{202e}"),
            "{text}"
        );
        let status = OutboxStatus {
            waiting: 0,
            dead_letters: 0,
            bytes: 0,
            oldest_age_ms: None,
            breaker: BreakerState::Paused,
            paused_reason: Some("401: \x1b[31m".to_owned()),
            next_attempt_ms: Some(30_000),
            delivered_total: 0,
            resent_total: 0,
            dropped_total: 0,
            lease_holder: Some("pid\n".to_owned()),
        };
        let text = status_text(&status, ui);
        assert!(
            text.contains(r"401: \u{1b}[31m") && text.contains(r"pid\n"),
            "{text}"
        );
    }
}
