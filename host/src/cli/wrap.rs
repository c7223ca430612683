//! `wrap`: a server behind its pipes, reported.
//!
//! Whatever is wrong with the reporting, the session between client and server is what it would be
//! without it; standard output and standard error are theirs.

use super::global::Global;
use super::{Error, logging};
use clap::ValueHint;
use mcp_reporter::capture::{Reporting, Source};
use mcp_reporter::config::{Config, Sources};
use mcp_reporter_capture::clock::Clock;
use mcp_reporter_capture::stdio::{Gathered, Handover, Observer, Server, ServerProcess};
use mcp_reporter_capture::{End, Report, Tracker, Transport};
use std::ffi::{OsStr, OsString};
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// What may wait to be followed.
const HANDOVER_BYTES: usize = 16 << 20;

/// How long the process stays after the server has ended, to store what was captured. Clients wait
/// 2.0 s from the end of their output to a signal.
const STORE: Duration = Duration::from_millis(1100);

/// A server that speaks MCP over its standard input and output.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The server's command, and its arguments
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "COMMAND",
        value_hint = ValueHint::CommandWithArguments
    )]
    command: Vec<OsString>,
}

/// Runs until the server ends, and ends as it did.
pub fn run(args: Args, global: &Global) -> ExitCode {
    let Some((program, arguments)) = args.command.split_first() else {
        return ExitCode::from(2);
    };
    let server = match Server::start(program, arguments) {
        Ok(server) => server,
        Err(error) => {
            let code = error.exit_code();
            super::output::error(&Error::Failed(error.to_string()));
            return ExitCode::from(code);
        }
    };
    let clock = Clock::start();
    let handover = Handover::new(HANDOVER_BYTES, clock);
    let exit = Arc::new(AtomicI32::new(-1));
    let reporting = begin(global, program, &server, &handover, clock, exit.clone());
    let observed = reporting.is_some().then_some(&handover);
    let code = match server.run(observed) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error}");
            1
        }
    };
    exit.store(code, Ordering::Release);
    handover.close();
    if reporting.is_some_and(|reporting| !reporting.wait(STORE)) {
        tracing::warn!("not all that was captured could be stored in time");
    }
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Begins to report; none if that cannot be, which the log says.
fn begin(
    global: &Global,
    program: &OsStr,
    server: &Server,
    handover: &Handover,
    clock: Clock,
    exit: Arc<AtomicI32>,
) -> Option<Reporting> {
    let config = configured(global, program)?;
    let settings = mcp_reporter_capture::CaptureSettings {
        transport: Transport::Pipe,
        ..config.capture()
    };
    let seed = RandomState::new().hash_one(server.pid());
    let tracker = Tracker::new(settings, ServerProcess::new(server.pid()), seed);
    let source = Stdio {
        handover: handover.clone(),
        gathered: Gathered::default(),
        observer: Observer::new(tracker),
        clock,
        exit,
    };
    match Reporting::start(config, source) {
        Ok(reporting) => Some(reporting),
        Err(why) => {
            tracing::error!("nothing is reported: {why}");
            None
        }
    }
}

/// The configuration, with the log begun; none if there is nothing to report by it.
fn configured(global: &Global, program: &OsStr) -> Option<Config> {
    let load = |further: &[(String, String)]| {
        let mut flags = global.settings.given().to_vec();
        flags.extend_from_slice(further);
        Config::load(Sources::from_process(flags, global.config.clone()))
    };
    let config = load(&[]).or_else(|error| {
        // A server that has no name yet has that of its program.
        let name = Path::new(program)
            .file_stem()
            .unwrap_or(program)
            .to_string_lossy();
        load(&[("mcp_id".to_owned(), name.into_owned())]).map_err(|_| error)
    });
    match config {
        Ok(config) => {
            // There is nowhere else to say that there is no log.
            let _ = logging::of_wrap(Some(&config), &[]);
            if !config.enabled() {
                tracing::info!("nothing is reported: enable_interaction_logging is false");
                return None;
            }
            Some(config)
        }
        Err(error) => {
            let _ = logging::of_wrap(None, global.settings.given());
            tracing::error!("nothing is reported: {error}");
            None
        }
    }
}

/// What passes through the pipes.
struct Stdio {
    handover: Handover,
    gathered: Gathered,
    observer: Observer<ServerProcess>,
    clock: Clock,
    exit: Arc<AtomicI32>,
}

impl Source for Stdio {
    fn more(&mut self) -> bool {
        let more = self.handover.take(&mut self.gathered);
        if more {
            self.observer.see(&self.gathered);
        }
        more
    }

    fn finish(&mut self) {
        let why = match self.exit.load(Ordering::Acquire) {
            -1 => End::ConnectionLost,
            code => End::ServerExited(code),
        };
        self.observer.finish(self.clock.now_ns(), why);
    }

    fn next_report(&mut self) -> Option<Report> {
        self.observer.next_report()
    }

    fn refuse(&mut self) {
        self.handover.close();
    }

    fn losses(&self) -> Vec<String> {
        let lines = self.handover.unobserved() + self.observer.unobserved();
        let evicted = self.observer.tracker().evicted();
        let lines = (lines > 0).then(|| format!("{lines} lines passed unobserved"));
        let evicted = (evicted > 0)
            .then(|| format!("{evicted} interactions were closed: too many were open"));
        lines.into_iter().chain(evicted).collect()
    }
}
