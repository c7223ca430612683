//! `check`: whether reporting will work here, a line for each thing it needs.

use super::start::SHUTDOWN;
use super::{Error, Ui};
use mcp_reporter::config::{self, ConfigError, StoreKind};
use mcp_reporter::engine::Probe;
use mcp_reporter::store::{
    Durability, MemoryStore, RedisOptions, RedisStore, SqliteOptions, SqliteStore, Store,
    StoreWarning, agree_on_shards,
};
use mcp_reporter::{Config, ReportError, Reporter};
use mcp_reporter_core::settings::printable;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// A coordinator's clock further from ours than this is wrong, or ours is.
const MOST_SKEW_MS: u64 = 60_000;
/// What is written to the store and deleted again.
const TRIAL_KEY: &str = "check";

/// How to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print {"ok", "checks": [{"check", "result", "detail"}], "warnings"} as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Passed,
    Failed,
    Skipped,
}

/// One line.
#[derive(Debug, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    result: Verdict,
    detail: String,
}

/// All lines.
#[derive(Debug, Serialize)]
struct Findings {
    ok: bool,
    checks: Vec<Check>,
    warnings: Vec<String>,
}

impl Findings {
    /// Notes a finding, and says whether it is good.
    fn note(&mut self, name: &'static str, found: Result<String, String>) -> bool {
        let (result, detail) = match found {
            Ok(detail) => (Verdict::Passed, detail),
            Err(detail) => (Verdict::Failed, detail),
        };
        self.ok &= result == Verdict::Passed;
        self.checks.push(Check {
            name,
            result,
            detail,
        });
        result == Verdict::Passed
    }

    fn skip(&mut self, names: &[&'static str], because: &str) {
        self.ok = false;
        self.checks.extend(names.iter().map(|name| Check {
            name,
            result: Verdict::Skipped,
            detail: because.to_owned(),
        }));
    }
}

const CONFIGURATION: &str = "configuration";
const REPORTING: &str = "reporting";
const STORE: &str = "store";
const COORDINATOR: &str = "coordinator";
const V2: &str = "v2 API";
const KEY: &str = "API key";
const CLOCK: &str = "clock";

/// Checks everything, and says all that is wrong, not only the first. Exit
/// code 2 when it is the configuration, 1 when it is something else.
pub async fn run(args: Args, config: Result<Config, Error>, ui: Ui) -> Result<ExitCode, Error> {
    let mut findings = Findings {
        ok: true,
        checks: Vec::new(),
        warnings: Vec::new(),
    };
    let configured = configured(config, &mut findings)?;
    if let Some(config) = configured {
        look(config, &mut findings).await;
    } else {
        findings.skip(
            &[STORE, COORDINATOR, V2, KEY, CLOCK],
            "nothing to check with",
        );
    }
    if args.json {
        ui.json(&findings)?;
    } else {
        ui.line(&text(&findings, ui))?;
    }
    let user = findings.checks.iter().any(|check| {
        check.result == Verdict::Failed && matches!(check.name, CONFIGURATION | REPORTING)
    });
    Ok(match (findings.ok, user) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::from(2),
        (false, false) => ExitCode::FAILURE,
    })
}

/// The configuration, when it is one to report with.
fn configured(
    config: Result<Config, Error>,
    findings: &mut Findings,
) -> Result<Option<Config>, Error> {
    let config = match config {
        Ok(config) => config,
        Err(Error::Config(ConfigError::Invalid(problems))) => {
            for problem in problems {
                findings.note(CONFIGURATION, Err(problem.to_string()));
            }
            findings.skip(&[REPORTING], "nothing to check with");
            return Ok(None);
        }
        Err(Error::Config(error)) => {
            findings.note(CONFIGURATION, Err(error.to_string()));
            findings.skip(&[REPORTING], "nothing to check with");
            return Ok(None);
        }
        Err(other) => return Err(other),
    };
    findings.warnings.extend_from_slice(config.warnings());
    let file = match config.file() {
        Some(path) => format!("{} is valid", path.display()),
        None => "no file; environment and flags are valid".to_owned(),
    };
    findings.note(CONFIGURATION, Ok(file));
    let on = match config.settings() {
        Some(settings) => Ok(format!("on, as {}", settings.mcp_id)),
        None => Err("off: set enable_interaction_logging = true".to_owned()),
    };
    Ok(findings.note(REPORTING, on).then_some(config))
}

async fn look(config: Config, findings: &mut Findings) {
    let stored = match config.store() {
        StoreKind::Memory => Ok("in memory: events are lost when the process ends".to_owned()),
        StoreKind::Sqlite => try_file(&config, findings).await,
        StoreKind::Redis => try_redis(&config, findings).await,
    };
    findings.note(STORE, stored);
    // Not with the store that was just looked at: the rest does not depend on it.
    let builder = Reporter::builder()
        .config(config)
        .store(Arc::new(MemoryStore::new()));
    let reporter = match builder.without_timer().build().await {
        Ok(reporter) => reporter,
        Err(error) => {
            findings.note(COORDINATOR, Err(format!("cannot be asked: {error}")));
            return findings.skip(&[V2, KEY, CLOCK], "the coordinator was not asked");
        }
    };
    ask(&reporter, findings).await;
    reporter.shutdown(SHUTDOWN).await;
}

async fn try_file(config: &Config, findings: &mut Findings) -> Result<String, String> {
    let path = config.local_cache_path();
    let options = SqliteOptions {
        path: path.to_owned(),
        durability: Default::default(),
    };
    let (store, warnings) = SqliteStore::open(options).map_err(|error| error.to_string())?;
    findings
        .warnings
        .extend(warnings.iter().map(ToString::to_string));
    try_store(&store, config.shards(), path.display().to_string()).await
}

async fn try_redis(config: &Config, findings: &mut Findings) -> Result<String, String> {
    let url = config.redis().ok_or("it has no URL")?;
    let options = RedisOptions {
        url: url.clone(),
        ca_file: config.ca_file().map(Path::to_owned),
        durability: match config.durability() {
            config::Durability::Process => Durability::Process,
            config::Durability::Power => Durability::Power,
        },
    };
    let opened = RedisStore::open(options).await;
    let (store, warnings) = opened.map_err(|error| error.to_string())?;
    if let Some(StoreWarning::Away { error }) = warnings.first() {
        return Err(error.to_string());
    }
    findings
        .warnings
        .extend(warnings.iter().map(ToString::to_string));
    try_store(&store, config.shards(), url.to_string()).await
}

async fn try_store(store: &dyn Store, shards: u32, name: String) -> Result<String, String> {
    let tried = async {
        agree_on_shards(store, shards).await?;
        store
            .set(TRIAL_KEY.to_owned(), b"writable".to_vec())
            .await?;
        store.delete_many(vec![TRIAL_KEY.to_owned()]).await
    };
    let tried = tried.await;
    store.close().await;
    match tried {
        Ok(()) => Ok(format!("{name} is writable")),
        Err(error) => Err(error.to_string()),
    }
}

async fn ask(reporter: &Reporter, findings: &mut Findings) {
    let health = match reporter.check_connection().await {
        Ok(health) => health,
        Err(error) => {
            findings.note(COORDINATOR, Err(error.to_string()));
            return findings.skip(&[V2, KEY, CLOCK], "the coordinator was not asked");
        }
    };
    let Some(status) = health.status else {
        findings.note(COORDINATOR, Err(health.detail));
        return findings.skip(&[V2, KEY, CLOCK], "the coordinator did not answer");
    };
    findings.note(
        COORDINATOR,
        Ok(format!("answered in {} ms", health.elapsed_ms)),
    );
    findings.note(V2, v2(status, &health));
    if matches!(status, 404 | 405 | 410) {
        findings.skip(&[KEY], "there is no v2 API to try it with");
    } else {
        findings.note(KEY, key(reporter.validate_api_key().await));
    }
    let since_epoch = UNIX_EPOCH.elapsed().unwrap_or_default();
    let now_ms = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    findings.note(CLOCK, clock(health.server_time_ms, now_ms));
}

fn v2(status: u16, health: &Probe) -> Result<String, String> {
    match status {
        200 => Ok(health.detail.clone()),
        404 | 405 | 410 => Err(format!(
            "{}: this is no coordinator of version 2; check coordinator_url",
            health.detail
        )),
        _ => Err(health.detail.clone()),
    }
}

fn key(answer: Result<Probe, ReportError>) -> Result<String, String> {
    match answer {
        Ok(probe) if probe.ok => Ok("accepted".to_owned()),
        Ok(probe) if matches!(probe.status, Some(401 | 403)) => Err(format!(
            "refused: {}; check coordinator_api_key",
            probe.detail
        )),
        Ok(probe) => Err(probe.detail),
        Err(error) => Err(error.to_string()),
    }
}

fn clock(server_ms: Option<u64>, now_ms: u64) -> Result<String, String> {
    let Some(server_ms) = server_ms else {
        return Ok("not compared: the coordinator's answer has no Date".to_owned());
    };
    let skew_ms = now_ms.abs_diff(server_ms);
    let side = if now_ms > server_ms {
        "ahead of"
    } else {
        "behind"
    };
    let skew = format!("{} s {side} the coordinator's", skew_ms / 1_000);
    if skew_ms <= MOST_SKEW_MS {
        Ok(skew)
    } else {
        Err(format!(
            "{skew}: timestamps of events will be off; set one of them right"
        ))
    }
}

fn text(findings: &Findings, ui: Ui) -> String {
    let mut lines = Vec::new();
    for check in &findings.checks {
        // Padded before it is painted: the codes have no width.
        let result = match check.result {
            Verdict::Passed => ui.good("ok     "),
            Verdict::Failed => ui.bad("FAILED "),
            Verdict::Skipped => ui.notable("skipped"),
        };
        lines.push(format!(
            "{result}  {:<13}  {}",
            check.name,
            printable(&check.detail)
        ));
    }
    for warning in &findings.warnings {
        lines.push(format!("{}  {}", ui.notable("warning"), printable(warning)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_a_minute_off() {
        let now = 1_718_000_000_000;
        for (server, good) in [
            (None, true),
            (Some(now), true),
            (Some(now - 60_000), true),
            (Some(now + 60_000), true),
            (Some(now - 60_001), false),
            (Some(now + 61_000), false),
            (Some(0), false),
        ] {
            assert_eq!(clock(server, now).is_ok(), good, "{server:?}");
        }
    }
}
