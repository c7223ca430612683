//! A reporter in a process of its own: the program `peer`, driven line by line.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A running `peer`. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    input: Option<mpsc::UnboundedSender<String>>,
    answers: Lines<BufReader<ChildStdout>>,
    log: Arc<Mutex<String>>,
    log_reader: JoinHandle<()>,
}

impl Process {
    /// Starts the program at `path` with these settings; returns when its
    /// reporter is built. Panics with what it says when it cannot be.
    pub async fn start(path: &str, log_level: &str, settings: &[(String, String)]) -> Self {
        Self::start_by(Command::new(path), log_level, settings)
            .await
            .unwrap_or_else(|log| panic!("{log}"))
    }

    /// The same by a command that ends with the program: one that runs it as
    /// another user, say, or with other limits.
    ///
    /// # Errors
    ///
    /// What it says when its reporter cannot be built.
    pub async fn start_by(
        command: Command,
        log_level: &str,
        settings: &[(String, String)],
    ) -> Result<Self, String> {
        let mut process = Self::spawn(command, log_level, settings);
        match process.answer().await.as_deref() {
            Some("ready") => Ok(process),
            _ => Err(process.whole_log().await),
        }
    }

    fn spawn(mut command: Command, log_level: &str, settings: &[(String, String)]) -> Self {
        let mut child = command
            .arg(log_level)
            .args(settings.iter().map(|(key, value)| format!("{key}={value}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("peer does not start");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut stderr = child.stderr.take().expect("stderr is piped");
        // Written by a task of its own, so that neither side waits for the other.
        let (input, mut lines) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                if stdin.write_all(line.as_bytes()).await.is_err() {
                    return; // it was killed
                }
            }
        });
        let log = Arc::<Mutex<String>>::default();
        let log_reader = tokio::spawn({
            let log = log.clone();
            async move {
                let mut buffer = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    log.lock().expect("nobody panics with it").push_str(&text);
                }
            }
        });
        let answers = BufReader::new(stdout).lines();
        Self {
            child,
            input: Some(input),
            answers,
            log,
            log_reader,
        }
    }

    /// Hands over one command; does not wait.
    pub fn send(&self, command: &str) {
        let input = self.input.as_ref().expect("killed before");
        // A killed process takes nothing more.
        let _ = input.send(format!("{command}\n"));
    }

    /// Its next line; none when it has ended.
    pub async fn answer(&mut self) -> Option<String> {
        self.answers.next_line().await.ok().flatten()
    }

    /// The answers to the next `count` commands, by the commands' numbers.
    /// Panics unless all are acknowledged.
    pub async fn acknowledged(&mut self, count: usize) {
        for _ in 0..count {
            let answer = self.answer().await;
            let good = answer.as_ref().is_some_and(|a| a.ends_with(" queued"));
            assert!(good, "{answer:?} {}", self.log());
        }
    }

    /// Ends it as `kill -9` does; what it had answered can still be read.
    pub fn kill(&mut self) {
        self.child.start_kill().expect("it runs");
    }

    /// Its process id, as long as it runs.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Waits for its end.
    pub async fn ended(&mut self) {
        self.child.wait().await.expect("it can be waited for");
    }

    /// Shuts the reporter down within `ms` milliseconds and waits for the end
    /// of the process. Returns what [`Shutdown`](mcp_reporter::Shutdown) says
    /// of `delivered_all`.
    pub async fn shutdown(&mut self, ms: u64) -> bool {
        self.send(&format!("shutdown {ms}"));
        let answer = self.answer().await.expect("it ended without a word");
        self.child.wait().await.expect("it can be waited for");
        answer.ends_with("delivered_all")
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("nobody panics with it").clone()
    }

    /// Everything it ever logged: waits for its end.
    pub async fn whole_log(&mut self) -> String {
        self.child.wait().await.expect("it can be waited for");
        (&mut self.log_reader).await.expect("it does not panic");
        self.log()
    }
}
