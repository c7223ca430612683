//! A server behind `mcp-reporter wrap`, and its client's end of the pipes.

use crate::Place;
use mcp_reporter_test_support::programs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Nothing that a wrapper does takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program, which is built beside the tests.
fn program() -> PathBuf {
    let program = programs().join("mcp-reporter");
    assert!(
        program.exists(),
        "{} is missing: cargo build --release",
        program.display()
    );
    program
}

/// Writes a configuration file with these settings.
pub fn config_file(place: &Place, settings: &[(String, String)]) -> PathBuf {
    let path = place.path("config.toml");
    let mut tables = [
        String::from("[mcp]\n"),
        String::from("[interaction_logging]\n"),
    ];
    for (key, value) in settings {
        let bare = value == "true" || value == "false" || value.parse::<f64>().is_ok();
        let value = if bare {
            value.clone()
        } else {
            format!("{value:?}")
        };
        tables[usize::from(key != "mcp_id")].push_str(&format!("{key} = {value}\n"));
    }
    std::fs::write(&path, tables.concat()).expect("the file can be written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .expect("its mode can be set");
    path
}

/// The program in the place, with nothing of this process's environment.
pub(crate) fn bare(place: &Place) -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("XDG_STATE_HOME", place.path("state"))
        .env("XDG_CACHE_HOME", crate::cache_dir())
        .env("HOME", place.folder())
        .current_dir(place.folder());
    command
}

/// The command that runs a server wrapped; more of the wrapper's arguments, `--` and the server's
/// command are to follow. Its log is `wrap.log` in the place.
pub fn wrap(place: &Place) -> Command {
    let mut command = bare(place);
    command
        .arg("wrap")
        .arg("--log-file")
        .arg(place.path("wrap.log"));
    command
}

/// A running one.
#[derive(Debug)]
pub struct Wrapped {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    next_id: u64,
}

impl Wrapped {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it starts");
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("stdout is piped")),
            child,
            next_id: 1,
        }
    }

    /// The wrapper's process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Writes to the server.
    pub async fn send(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        stdin.write_all(text.as_bytes()).await.expect("it reads");
        stdin.flush().await.expect("it reads");
    }

    /// Sends a request, and returns its id.
    pub async fn ask(&mut self, method: &str, params: serde_json::Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request =
            serde_json::json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        self.send(&format!("{request}\n")).await;
        id
    }

    /// The next line of the server; none at its end.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = tokio::time::timeout(PATIENCE, self.stdout.read_line(&mut line)).await;
        let read = read
            .expect("the server says nothing")
            .expect("it can be read");
        (read > 0).then_some(line)
    }

    /// Calls a tool and reads until the answer.
    pub async fn call(&mut self, tool: &str, arguments: serde_json::Value) -> serde_json::Value {
        let params = serde_json::json!({"name": tool, "arguments": arguments,
            "_meta": {"progressToken": self.next_id}});
        let id = self.ask("tools/call", params).await;
        loop {
            let line = self.line().await.expect("the server has ended");
            let message: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Ends the server's input.
    pub fn close(&mut self) {
        self.stdin = None;
    }

    /// Writes these bytes, ends the input, and returns all that the server wrote, with its end.
    pub async fn exchange(mut self, bytes: &[u8]) -> (Vec<u8>, ExitStatus) {
        let mut stdin = self.stdin.take().expect("its input is open");
        let write = async move {
            // A server may end before it has read all.
            let _ = stdin.write_all(bytes).await;
        };
        let mut all = Vec::new();
        let read = self.stdout.read_to_end(&mut all);
        let both = async { tokio::join!(write, read) };
        let (_, read) = tokio::time::timeout(PATIENCE, both)
            .await
            .expect("it hangs");
        read.expect("it can be read");
        let status = self.ended().await;
        (all, status)
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .expect("it does not end")
            .expect("it can be waited for")
    }

    /// Kills it so that it notices nothing.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}
