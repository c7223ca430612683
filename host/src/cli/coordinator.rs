//! `coordinator`: a coordinator to develop and test against.

use super::{Error, Ui};
use clap::ValueHint;
use mcp_reporter::coordinator::{self, CoordinatorOptions, Fault, Keep};
use mcp_reporter_core::settings::ApiKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The variable of which the reporter's key comes, too.
const KEY_VARIABLE: &str = "MCP_REPORTER_COORDINATOR_API_KEY";

/// How it listens and what it does wrong.
///
/// Its keys are those of --api-key-file, else the one in
/// MCP_REPORTER_COORDINATOR_API_KEY, else a random one, which it prints.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// SQLite file to keep the events in; memory if not given
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    db: Option<PathBuf>,
    /// File with the API keys to let in, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    api_key_file: Option<PathBuf>,
    /// What to do wrong
    #[arg(long, default_value_t = Fault::None, help = format!("What to do wrong: {}", Fault::VALUES))]
    fault: Fault,
    /// Have a POST /api/v2/validate; the real coordinator has none
    #[arg(long)]
    validate: bool,
    /// Print no line for each event
    #[arg(long)]
    quiet: bool,
}

/// Serves until it is interrupted or told to end.
pub async fn run(args: Args) -> Result<ExitCode, Error> {
    // Before anything is said: who reads it may end the process at once.
    let end = end().map_err(|why| Error::Failed(format!("cannot listen to signals: {why}")))?;
    let mut api_keys = keys(args.api_key_file.as_deref())?;
    if api_keys.is_empty() {
        let key = random_key()?;
        Ui::detect().line(&format!("api key: {key}"))?;
        api_keys.push(key);
    }
    let options = CoordinatorOptions {
        listen: args.listen,
        db: args.db,
        api_keys,
        fault: args.fault,
        validate: args.validate,
        keep: Keep::Events,
    };
    coordinator::run(options, !args.quiet, end).await?;
    Ok(ExitCode::SUCCESS)
}

/// Done when the process is to end.
#[cfg(unix)]
pub(super) fn end() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(not(unix))]
pub(super) fn end() -> std::io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the signal only a kill ends it, as it would anyway.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// The keys that were given; none for a random one.
fn keys(file: Option<&Path>) -> Result<Vec<String>, Error> {
    let Some(path) = file else {
        return match std::env::var(KEY_VARIABLE) {
            Ok(key) if !key.is_empty() => Ok(vec![checked(&key, KEY_VARIABLE)?]),
            Err(std::env::VarError::NotUnicode(_)) => Err(bad(KEY_VARIABLE)),
            _ => Ok(Vec::new()),
        };
    };
    let name = format!("--api-key-file {}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|why| Error::Usage(format!("{name}: cannot read it: {why}")))?;
    let keys: Result<Vec<_>, _> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| checked(line, &name))
        .collect();
    let keys = keys?;
    if keys.is_empty() {
        Err(bad(&name))
    } else {
        Ok(keys)
    }
}

fn checked(key: &str, from: &str) -> Result<String, Error> {
    ApiKey::new(key)
        .map(|key| key.expose().to_owned())
        .map_err(|_| bad(from))
}

/// What is wrong with a key is not said with the key.
fn bad(from: &str) -> Error {
    Error::Usage(format!(
        "{from}: a key must have 1 to 4096 printable ASCII characters on one line, without a \
         space at either end"
    ))
}

fn random_key() -> Result<String, Error> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    provider
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| Error::Failed("the system has no random bytes for an API key".to_owned()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
