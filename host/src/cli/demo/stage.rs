//! Everybody who takes part in the demo, and what they do in turn.

use super::child::Told;
use super::folder::Folder;
use super::io_error::io;
use super::process::Process;
use super::script::{self, Call, LOST_ANSWERS, Step};
use super::tally::{self, Tally};
use crate::cli::error::Error;
use crate::cli::output::Ui;
use indicatif::ProgressBar;
use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions, Fault};
use std::fmt::Display;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long is waited for what should take moments.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Stage<'a> {
    calls: &'a [Call],
    folder: &'a Folder,
    began: Instant,
    ui: Ui,
    bar: Option<ProgressBar>,
    coordinator: Coordinator,
    process: Process,
    /// Whether the reporter process takes calls.
    ready: bool,
    /// How many calls it was handed.
    handed: usize,
    /// For each call how long its report blocked, once it was acknowledged.
    blocked: Vec<Option<Duration>>,
    /// Since when the coordinator is back, and what it had then, until more arrives.
    back: Option<(Instant, u64)>,
    /// Once the reporter was shut down: whether its outbox was empty.
    closed: Option<bool>,
}

impl<'a> Stage<'a> {
    /// Starts the coordinator and the reporter process.
    pub async fn set(calls: &'a [Call], folder: &'a Folder, ui: Ui) -> Result<Self, Error> {
        let key = "demo-key";
        let coordinator = Coordinator::start(CoordinatorOptions {
            db: Some(folder.path().join("coordinator.db")),
            api_keys: vec![key.to_owned()],
            ..CoordinatorOptions::default()
        })?;
        let url = coordinator.url();
        folder.write_config(&configuration(&url, key)).map_err(io)?;
        let mut stage = Stage {
            calls,
            folder,
            began: Instant::now(),
            ui,
            bar: ui.bar(calls.len() as u64),
            process: Process::start(folder.path())?,
            coordinator,
            ready: false,
            handed: 0,
            blocked: vec![None; calls.len()],
            back: None,
            closed: None,
        };
        stage.say(format_args!("coordinator listens on {url}"))?;
        stage.wait("was not ready", |stage| stage.ready).await?;
        let pid = stage.process.pid();
        stage.say(format_args!(
            "reporter process {pid} runs the component, its outbox a file"
        ))?;
        stage.ui.line(
            "         all settings are defaults but rate_limit = 20 (default 10) and\n         \
             retry_delay = 0.2 (default 1.0), so that pace 1 ends within 20 s",
        )?;
        Ok(stage)
    }

    /// Hands the calls over as they were recorded, with the faults between them.
    pub async fn replay(&mut self, pace: f64) -> Result<(), Error> {
        self.say(format_args!(
            "a recorded MCP session is replayed: {} events, pace {pace}",
            self.calls.len()
        ))?;
        let mut began = Instant::now();
        for (at_ms, step) in script::steps(self.calls) {
            let due = began + Duration::from_secs_f64(at_ms / 1000.0 / pace);
            self.until(due, |_| false).await?;
            match step {
                Step::Call(index) => {
                    self.process.call(index).await;
                    self.handed = index + 1;
                }
                Step::Coordinator(fault, story) => {
                    match fault {
                        Fault::Cut => self.coordinator.set_fault_for(fault, LOST_ANSWERS)?,
                        Fault::None => {
                            self.back = Some((Instant::now(), self.delivered()));
                            self.coordinator.set_fault(fault)?;
                        }
                        _ => self.coordinator.set_fault(fault)?,
                    }
                    let waiting = self.waiting();
                    self.say(format_args!(
                        "coordinator {story}; {waiting} events wait in the outbox"
                    ))?;
                }
                Step::Kill => {
                    let killed = Instant::now();
                    self.kill().await?;
                    // A dead program makes no calls: they go on where they stopped.
                    began += killed.elapsed();
                }
            }
        }
        Ok(())
    }

    /// Kills the reporter process, and starts another where it stopped.
    async fn kill(&mut self) -> Result<(), Error> {
        self.process.kill().await?;
        // It may have acknowledged more than was read.
        while let Some(told) = self.process.told().await? {
            self.take(told)?;
        }
        let (pid, waiting) = (self.process.pid(), self.waiting());
        self.say(format_args!(
            "reporter process {pid} killed (SIGKILL): {waiting} events wait in its outbox"
        ))?;
        self.ready = false;
        self.process = Process::start(self.folder.path())?;
        self.wait("was not ready", |stage| stage.ready).await?;
        // Stored or not, nobody knows. With its own key, an event reported twice is one event.
        let unsure: Vec<usize> = (0..self.handed)
            .filter(|i| self.blocked[*i].is_none())
            .collect();
        for index in &unsure {
            self.process.call(*index).await;
        }
        let (pid, again) = (self.process.pid(), unsure.len());
        self.say(format_args!(
            "reporter process {pid} goes on; reports {again} again that the kill left unacknowledged"
        ))
    }

    /// Waits until everything has arrived, and shuts the reporter process down.
    pub async fn clear(&mut self) -> Result<(), Error> {
        let all = |stage: &Self| stage.reported() == stage.calls.len();
        self.wait("did not acknowledge every report", all).await?;
        let (reported, waiting) = (self.reported(), self.waiting());
        self.say(format_args!(
            "all {reported} events reported; {waiting} wait in the outbox"
        ))?;
        if !self
            .until(Instant::now() + PATIENCE, |stage| stage.waiting() == 0)
            .await?
        {
            let (waiting, s) = (self.waiting(), PATIENCE.as_secs());
            self.say(format_args!(
                "{waiting} events have not arrived after {s} s"
            ))?;
        }
        let began = Instant::now();
        self.process.close();
        self.wait("did not shut down", |stage| stage.closed.is_some())
            .await?;
        let status = self.process.ended().await?;
        if !status.success() {
            return Err(self.failed(&format!("ended with {status}")));
        }
        let outbox = if self.closed == Some(true) {
            "empty"
        } else {
            "not empty"
        };
        let ms = began.elapsed().as_millis();
        self.say(format_args!(
            "reporter process shut down in {ms} ms, its outbox {outbox}"
        ))?;
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        Ok(())
    }

    /// Holds what was acknowledged against what the coordinator received.
    pub fn count(&self) -> Result<Tally, Error> {
        let taken = tally::taken(&self.coordinator.receipts());
        let stored = tally::stored(self.calls, &self.coordinator.stored()?);
        Ok(Tally::count(self.calls, &self.blocked, &taken, &stored))
    }

    async fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        if self.until(Instant::now() + PATIENCE, done).await? {
            return Ok(());
        }
        Err(self.failed(&format!("{what} within {} s", PATIENCE.as_secs())))
    }

    /// Takes in what goes on until `done` or `deadline`; says whether it is done.
    async fn until(
        &mut self,
        deadline: Instant,
        done: impl Fn(&Self) -> bool,
    ) -> Result<bool, Error> {
        loop {
            self.look()?;
            if done(self) {
                return Ok(true);
            }
            tokio::select! {
                told = self.process.told() => match told? {
                    Some(told) => self.take(told)?,
                    None => return Err(self.failed("ended before its time")),
                },
                () = sleep_until(deadline) => return Ok(false),
                () = sleep(Duration::from_millis(20)) => {}
            }
        }
    }

    fn take(&mut self, told: Told) -> Result<(), Error> {
        match told {
            Told::Ready => self.ready = true,
            Told::Acknowledged { index, blocked_us } => {
                if let Some(blocked) = self.blocked.get_mut(index) {
                    *blocked = Some(Duration::from_micros(blocked_us));
                }
            }
            Told::Refused { index, why } => {
                return Err(self.failed(&format!("refused to take event {index}: {why}")));
            }
            Told::Closed { delivered_all } => self.closed = Some(delivered_all),
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Error> {
        let delivered = self.delivered();
        if let Some(bar) = &self.bar {
            bar.set_position(delivered);
            bar.set_message(format!("delivered, {} wait", self.waiting()));
        }
        match self.back {
            Some((since, had)) if delivered > had => {
                self.back = None;
                let s = since.elapsed().as_secs_f64();
                self.say(format_args!(
                    "delivery goes on, {s:.1} s later, as backoff and the dead process's lease have ended"
                ))
            }
            _ => Ok(()),
        }
    }

    fn say(&self, text: impl Display) -> Result<(), Error> {
        self.ui.line(&format!(
            "{:5.1} s  {text}",
            self.began.elapsed().as_secs_f64()
        ))
    }

    fn reported(&self) -> usize {
        self.blocked.iter().flatten().count()
    }

    fn delivered(&self) -> u64 {
        self.coordinator.stats().processed
    }

    fn waiting(&self) -> u64 {
        (self.reported() as u64).saturating_sub(self.delivered())
    }

    fn failed(&self, what: &str) -> Error {
        Error::Failed(format!(
            "the reporter process {what}\n{}",
            self.folder.log_tail()
        ))
    }
}

/// The reporter's configuration file, in the old client's form.
fn configuration(url: &str, key: &str) -> String {
    format!(
        r#"[mcp]
mcp_id = "demo"

[interaction_logging]
enable_interaction_logging = true
coordinator_url = "{url}"
coordinator_api_key = "{key}"
local_cache_path = "./outbox.db"
rate_limit = 20
retry_delay = 0.2
"#
    )
}
