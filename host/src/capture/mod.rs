//! From MCP traffic to the outbox: what `wrap` and `proxy` have in common.
//!
//! A thread of its own, at low priority, takes what has gathered, follows it, and stores the
//! reports; whoever carries the traffic never waits for it.

mod sink;

use crate::config::Config;
use crate::{Reporter, reporter::Shutdown};
use mcp_reporter_capture::Report;
use sink::Sink;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long delivery may go on at the end. What is not delivered then waits for a later run.
const SHUTDOWN: Duration = Duration::from_millis(300);

/// Behind whatever carries the traffic, and the server.
#[cfg(unix)]
const NICENESS: i32 = 10;

/// Where reports come from.
pub trait Source: Send + 'static {
    /// Waits for more and follows it; false once there will be none.
    fn more(&mut self) -> bool;

    /// Ends what is open.
    fn finish(&mut self);

    /// The next report, oldest first.
    fn next_report(&mut self) -> Option<Report>;

    /// Nothing more is wanted.
    fn refuse(&mut self);

    /// What could not be observed, to be said at the end.
    fn losses(&self) -> Vec<String>;
}

/// The thread that reports.
#[derive(Debug)]
pub struct Reporting {
    done: mpsc::Receiver<()>,
}

impl Reporting {
    /// Begins to report what comes from `source`. What cannot be is said in the log.
    ///
    /// # Errors
    ///
    /// There can be no thread.
    pub fn start(config: Config, source: impl Source) -> io::Result<Self> {
        let (ended, done) = mpsc::channel();
        thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || {
                report(config, source);
                drop(ended);
            })?;
        Ok(Self { done })
    }

    /// Waits until all is stored that came from the source, which is at its end. False if that
    /// takes longer.
    #[must_use]
    pub fn wait(&self, at_most: Duration) -> bool {
        !matches!(
            self.done.recv_timeout(at_most),
            Err(mpsc::RecvTimeoutError::Timeout)
        )
    }
}

fn report(config: Config, mut source: impl Source) {
    // The reporter's threads are begun by this one, and are like it.
    #[cfg(unix)]
    if let Err(why) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!("reporting has the priority of the traffic: {why}");
    }
    let built = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map(|runtime| {
            let reporter = runtime.block_on(Reporter::builder().config(config).build());
            (runtime, reporter)
        });
    let (runtime, reporter) = match built {
        Ok((runtime, Ok(reporter))) => (runtime, reporter),
        Ok((_, Err(why))) => {
            tracing::error!("nothing is reported: {why}");
            return source.refuse();
        }
        Err(why) => {
            tracing::error!("nothing is reported: {why}");
            return source.refuse();
        }
    };
    if !reporter.is_enabled() {
        tracing::info!("nothing is reported: enable_interaction_logging is false");
        return source.refuse();
    }
    tracing::info!("interactions are reported");
    let mut sink = Sink::new(reporter.clone());
    let mut reports = Vec::new();
    while source.more() {
        reports.extend(std::iter::from_fn(|| source.next_report()));
        runtime.block_on(sink.store(&mut reports));
    }
    source.finish();
    reports.extend(std::iter::from_fn(|| source.next_report()));
    runtime.block_on(sink.store(&mut reports));
    for loss in sink.losses().into_iter().chain(source.losses()) {
        tracing::warn!("{loss}");
    }
    let Shutdown { delivered_all, .. } = runtime.block_on(reporter.shutdown(SHUTDOWN));
    if !delivered_all {
        tracing::debug!("what is not delivered waits for the next run");
    }
}
