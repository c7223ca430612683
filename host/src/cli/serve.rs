//! `serve`: takes events over HTTP in the coordinator's place, for programs in any language.

use super::coordinator::end;
use super::start::{SHUTDOWN, serving_reporter};
use super::{Error, Ui};
use mcp_reporter::Config;
use mcp_reporter::serve::ServeOptions;
use mcp_reporter_capture::http::bind;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Where it listens.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where programs send their events; port 0 takes a free one. On loopback, only requests of
    /// this machine's programs are answered
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8787")]
    listen: SocketAddr,
}

/// Serves until it is interrupted or told to end, and delivers meanwhile.
pub async fn run(args: Args, config: Config, ui: Ui) -> Result<ExitCode, Error> {
    let options = options(&config)?;
    // Before anything is said: who reads it may end the process at once.
    let end = end().map_err(|why| Error::Failed(format!("cannot listen to signals: {why}")))?;
    let failed = |why: std::io::Error| {
        Error::Failed(format!(
            "--listen {}: {why}; choose a free port, or 0 for any",
            args.listen
        ))
    };
    let listener = bind(args.listen).and_then(|listener| listener.into_std());
    let listener = listener.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    raise_descriptor_limit();
    let reporter = serving_reporter(config).await?;
    ui.line(&format!("listening on http://{address}"))?;
    let served = reporter.serve(listener, options, end).await;
    let ended = reporter.shutdown(SHUTDOWN).await;
    if !ended.delivered_all {
        tracing::info!("what is not delivered stays in the outbox");
    }
    served.map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

fn options(config: &Config) -> Result<ServeOptions, Error> {
    let settings = super::start::require_enabled(config)?;
    if settings.ingest_keys.is_empty() {
        return Err(Error::Usage(
            "ingest_keys is not set: without one, every request would be refused; set it in \
             [interaction_logging], or MCP_REPORTER_INGEST_KEYS, and give the key to the programs \
             that send events"
                .to_owned(),
        ));
    }
    if config.shards() > 1 {
        return Err(Error::Usage(format!(
            "shards = {}: must be 1 for `serve`, whose instances share one outbox; empty the \
             outbox (`mcp-reporter deliver`), set shards = 1, and raise rate_limit or \
             max_in_flight instead, or let several `serve` share a Redis",
            config.shards()
        )));
    }
    Ok(ServeOptions {
        rate_limit: config.ingest_rate_limit(),
        max_event_bytes: settings.max_event_bytes as usize,
    })
}

/// Each connection takes a descriptor: as many are allowed as the system lets us have.
#[cfg(unix)]
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Fewer are soon used up by clients that keep their connections.
    const ENOUGH: u64 = 16_384;

    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    );
    let now = if raised.is_ok() { maximum } else { current };
    if let Some(now) = now.filter(|now| *now < ENOUGH) {
        tracing::warn!(
            "at most {now} files and connections may be open at once (`ulimit -Hn`): further \
             clients will have to wait"
        );
    }
}

#[cfg(not(unix))]
fn raise_descriptor_limit() {}
