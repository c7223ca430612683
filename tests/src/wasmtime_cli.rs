//! The wasmtime CLI: a process for each call of the plugin, or one that serves the edge.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use mcp_reporter_artifacts::{EDGE, PLUGIN};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::plugin::variables;
use crate::{Place, PythonPeers, SOON};

/// The components in a place, and the settings that the CLI gives them.
#[derive(Debug)]
pub struct WasmtimeCli {
    folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// What a process of `wasmtime run --invoke` said.
#[derive(Debug)]
pub struct Invoked {
    /// Whether it ended with the exit code 0.
    pub success: bool,
    /// The result, as WAVE.
    pub result: String,
    /// What it wrote to standard error.
    pub log: String,
}

/// What a process said that may have been killed.
#[derive(Debug)]
pub struct Cut {
    /// Whether it was.
    pub killed: bool,
    /// The result, if it came to say it.
    pub result: Option<String>,
}

/// The number in this field of a record that the CLI printed.
#[track_caller]
pub fn number_in(record: &str, field: &str) -> u64 {
    let (_, rest) = record
        .split_once(&format!("{field}: "))
        .unwrap_or_else(|| panic!("no {field}: {record}"));
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
    let digits = digits.unwrap_or_default();
    digits.parse().expect(record)
}

/// A text as WAVE, the notation of values that the CLI reads.
pub fn wave(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

impl WasmtimeCli {
    /// Writes the components to the place. The store is in the same folder.
    pub fn new(place: &Place, settings: &[(&str, &str)]) -> Self {
        for (name, component) in [("plugin.wasm", PLUGIN), ("edge.wasm", EDGE)] {
            std::fs::write(place.path(name), component).expect("a component cannot be written");
        }
        std::fs::create_dir_all(place.path("data")).expect("no folder for the store");
        Self {
            folder: place.folder().to_owned(),
            variables: variables(settings),
        }
    }

    /// The command with what it gives to a component, and the component; more arguments of the
    /// component may follow.
    pub fn command(&self, arguments: &[&str], component: &str) -> Command {
        let mut command = Command::new(PythonPeers::of_this_build().require("wasmtime"));
        command
            .args(arguments)
            .args(["--dir", "data::/data"])
            .current_dir(&self.folder)
            // What it compiled is kept for the next process.
            .env("XDG_CACHE_HOME", crate::cache_dir())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for (name, value) in &self.variables {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(component);
        command
    }

    /// Calls a function of the plugin in a new process, as in `status()`. Panics when the process
    /// fails.
    pub async fn invoke(&self, call: &str) -> String {
        let arguments = ["run", "-S", "http", "--invoke", call];
        let invoked = ended(self.command(&arguments, "plugin.wasm")).await;
        assert!(invoked.success, "{call}: {}", invoked.log);
        invoked.result
    }

    /// The same in a process that ends as by `kill -9` unless it has ended within that time.
    pub async fn invoke_for(&self, call: &str, time: Duration) -> Cut {
        let mut child = self
            .command(&["run", "-S", "http", "--invoke", call], "plugin.wasm")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmtime does not start");
        let ended = tokio::time::timeout(time, child.wait()).await.is_ok();
        if !ended {
            child.start_kill().expect("it runs, or has ended");
        }
        // What it had said is in the pipes.
        let output = child.wait_with_output().await.expect("it can be read");
        let killed = output.status.code().is_none();
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(killed || output.status.success(), "{call}: {log}");
        let result = String::from_utf8_lossy(&output.stdout);
        Cut {
            killed,
            result: result.strip_suffix('\n').map(str::to_owned),
        }
    }

    /// Serves the edge on a free port.
    pub async fn serve(&self) -> WasmtimeServe {
        let mut child = self
            .command(
                &["serve", "-S", "cli", "--addr", "127.0.0.1:0"],
                "edge.wasm",
            )
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("wasmtime does not start");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        let address = tokio::time::timeout(SOON, async {
            loop {
                let line = lines.next_line().await.ok().flatten();
                let line = line.unwrap_or_else(|| panic!("it ended: {said:?}"));
                if let Some((_, url)) = line.split_once("http://") {
                    break url.trim_end_matches('/').parse().expect(url);
                }
                said.push(line);
            }
        });
        let address = address.await.expect("it does not say where it listens");
        // It ends when nobody reads what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        WasmtimeServe {
            _child: child,
            address,
        }
    }
}

/// Runs a command to its end.
///
/// # Panics
///
/// It does not end soon.
pub async fn ended(mut command: Command) -> Invoked {
    let output = tokio::time::timeout(SOON, command.output()).await;
    let output = output
        .expect("wasmtime does not end")
        .expect("wasmtime does not start");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    Invoked {
        success: output.status.success(),
        result: text(&output.stdout),
        log: text(&output.stderr),
    }
}

/// A running `wasmtime serve`. It is killed when dropped.
#[derive(Debug)]
pub struct WasmtimeServe {
    _child: Child,
    address: SocketAddr,
}

impl WasmtimeServe {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
