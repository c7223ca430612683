//! `proxy`: a server behind Streamable HTTP, reported.

use super::coordinator::end;
use super::global::Global;
use super::start::load;
use super::{Error, Ui, logging};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use mcp_reporter::capture::{Reporting, Source};
use mcp_reporter::config::{Config, LogLevel};
use mcp_reporter::tls;
use mcp_reporter_capture::clock::Clock;
use mcp_reporter_capture::http::{
    Exchanges, Forwarder, Handover, Seen, Unobserved, Upstream, bind,
};
use mcp_reporter_capture::{CaptureSettings, NoProcess, Report, Tracker, Transport};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::Duration;

/// What may wait to be followed.
const HANDOVER_BYTES: usize = 64 << 20;

/// How long pieces may gather. What is taken together is stored together.
const GATHER: Duration = Duration::from_millis(2);

/// How long a connection to the server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long storing may take at the end.
const STORE: Duration = Duration::from_secs(2);

/// Between which two.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where clients find it; port 0 takes a free one. On loopback, only programs of this machine
    /// are answered
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8788")]
    listen: SocketAddr,
    /// The server's URL, such as http://127.0.0.1:3001/mcp
    #[arg(long, value_name = "URL")]
    upstream: String,
}

/// Serves until it is interrupted or told to end.
pub async fn run(args: Args, global: &Global, ui: Ui) -> Result<ExitCode, Error> {
    let end = end().map_err(|why| Error::Failed(format!("cannot listen to signals: {why}")))?;
    let upstream = Upstream::parse(&args.upstream)
        .map_err(|why| Error::Usage(format!("--upstream: {why}")))?;
    let config = configured(global)?;
    let tls = if upstream.is_tls() {
        tls::client(config.as_ref().and_then(Config::ca_file))
    } else {
        tls::client_without_roots()
    };
    let tls = tls.map_err(Error::Usage)?;
    let listener = bind(args.listen)
        .map_err(|why| Error::Failed(format!("--listen {}: {why}", args.listen)))?;
    let address = listener
        .local_addr()
        .map_err(|why| Error::Failed(format!("--listen {}: {why}", args.listen)))?;

    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(http);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector);

    let clock = Clock::start();
    let mut reporting = None;
    let mut handover = None;
    if let Some(config) = config.filter(Config::enabled) {
        let (ours, seen) = Handover::new(HANDOVER_BYTES, clock);
        let settings = CaptureSettings {
            transport: Transport::Tcp,
            ..config.capture()
        };
        let seed = RandomState::new().hash_one(address);
        let source = Http {
            seen: Some(seen),
            unobserved: ours.losses(),
            exchanges: Exchanges::new(Tracker::new(settings, NoProcess, seed)),
            clock,
        };
        match Reporting::start(config, source) {
            Ok(begun) => (reporting, handover) = (Some(begun), Some(ours)),
            Err(why) => tracing::error!("nothing is reported: {why}"),
        }
    } else {
        tracing::warn!("nothing is reported: enable_interaction_logging is false");
    }
    ui.line(&format!("listening on http://{address}"))?;
    let forwarder = Forwarder {
        client,
        upstream,
        handover,
        loopback_only: address.ip().is_loopback(),
    };
    forwarder.serve(listener, end).await;
    // The last hand-over went with the forwarder: the source is at its end.
    if let Some(reporting) = reporting {
        let stored = tokio::task::spawn_blocking(move || reporting.wait(STORE)).await;
        if !stored.unwrap_or(false) {
            tracing::warn!("not all that was captured could be stored in time");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The configuration; one that is wrong keeps nothing from passing.
fn configured(global: &Global) -> Result<Option<Config>, Error> {
    match load(global) {
        Ok(config) => {
            logging::of(&config, config.log_level())?;
            Ok(Some(config))
        }
        Err(error) => {
            let config = Config::from_pairs::<&str, String>([]).map_err(|_| error)?;
            logging::of(&config, LogLevel::Info)?;
            let error = load(global)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            tracing::error!("nothing is reported: {error}");
            Ok(None)
        }
    }
}

/// What passes through the proxy.
struct Http {
    seen: Option<Receiver<Seen>>,
    unobserved: Unobserved,
    exchanges: Exchanges<NoProcess>,
    clock: Clock,
}

impl Source for Http {
    fn more(&mut self) -> bool {
        let Some(seen) = &self.seen else {
            return false;
        };
        let Ok(first) = seen.recv() else {
            return false;
        };
        self.exchanges.see(first);
        std::thread::sleep(GATHER);
        for next in seen.try_iter() {
            self.exchanges.see(next);
        }
        true
    }

    fn finish(&mut self) {
        self.exchanges.end_all(self.clock.now_ns());
    }

    fn next_report(&mut self) -> Option<Report> {
        self.exchanges.next_report()
    }

    fn refuse(&mut self) {
        self.seen = None;
    }

    fn losses(&self) -> Vec<String> {
        let exchanges = self.unobserved.count();
        let messages = self.exchanges.too_long();
        let evicted = self.exchanges.tracker().evicted();
        [
            (exchanges, "exchanges passed unobserved"),
            (messages, "messages were too long to look into"),
            (evicted, "interactions were closed: too many were open"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect()
    }
}
