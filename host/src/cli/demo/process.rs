//! The reporter process, as the demo sees it.

use super::child::Told;
use super::folder;
use super::io_error::io;
use crate::cli::error::Error;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// A running reporter process. Dropping it kills it.
pub(super) struct Process {
    child: Child,
    pid: u32,
    calls: Option<ChildStdin>,
    told: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    /// Starts this very program as the reporter process of the demo in `dir`.
    pub fn start(dir: &Path) -> Result<Self, Error> {
        let mut child = Command::new(std::env::current_exe().map_err(io)?)
            .args(["demo", "--reporter"])
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(folder::log(dir).map_err(io)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(io)?;
        Ok(Self {
            pid: child.id().unwrap_or_default(),
            calls: child.stdin.take(),
            told: child.stdout.take().map(|out| BufReader::new(out).lines()),
            child,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Has it report call `index`; does not wait for that.
    pub async fn call(&mut self, index: usize) {
        if let Some(calls) = &mut self.calls {
            // If it has ended, so has what it tells: that is where it is noticed.
            let _ = calls.write_all(format!("{index}\n").as_bytes()).await;
        }
    }

    /// What it tells next; none when it has ended. May be cancelled.
    pub async fn told(&mut self) -> Result<Option<Told>, Error> {
        let Some(told) = &mut self.told else {
            return Ok(None);
        };
        let line = told.next_line().await.map_err(io)?;
        // A last line that a kill cut off tells nothing.
        Ok(line.and_then(|line| serde_json::from_str(&line).ok()))
    }

    /// Kills it; on Unix with SIGKILL. What it told before can still be read.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.child.start_kill().map_err(io)?;
        self.ended().await.map(drop)
    }

    /// Tells it that no more calls come, upon which it shuts down.
    pub fn close(&mut self) {
        self.calls = None;
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Result<ExitStatus, Error> {
        self.child.wait().await.map_err(io)
    }
}
