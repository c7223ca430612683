//! A component in Node, transpiled by jco: `tests/peers/jco.mjs`, driven line by line.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use mcp_reporter_artifacts::{PLUGIN, REPORTER};
use mcp_reporter_test_support::NodePeers;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::plugin::variables;
use crate::{Place, SOON};

/// Which component Node has, and what that keeps its events in.
#[derive(Debug, Clone, Copy)]
pub enum JcoStore<'a> {
    /// The plugin, with a folder of the place open to it.
    Folder(&'a str),
    /// The plugin, with no folder open to it.
    NoFolder,
    /// The bare reporter, on the key-value store in memory of `tests/peers/jco_store.mjs`.
    Mapped,
}

/// A running Node. It is killed when dropped.
#[derive(Debug)]
pub struct Jco {
    child: Child,
    input: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Jco {
    /// Starts it in the place.
    pub fn start(place: &Place, store: JcoStore<'_>, settings: &[(&str, &str)]) -> Self {
        let modules = place.path("node_modules");
        if !modules.exists() {
            symlink(NodePeers::of_this_build().require(), modules).expect("no link");
        }
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        for name in ["jco.mjs", "jco_store.mjs"] {
            // Node looks for packages beside the file that names them.
            std::fs::copy(peers.join(name), place.path(name)).expect("no copy");
        }
        let (component, folder, map): (_, _, &[&str]) = match store {
            JcoStore::Folder(folder) => (PLUGIN, folder, &[]),
            JcoStore::NoFolder => (PLUGIN, "", &[]),
            JcoStore::Mapped => (REPORTER, "", &["jco_store.mjs"]),
        };
        std::fs::write(place.path("component.wasm"), component).expect("no component");
        if !folder.is_empty() {
            std::fs::create_dir_all(place.path(folder)).expect("no folder");
        }
        let mut child = Command::new("node")
            .args(["jco.mjs", "component.wasm", folder])
            .args(map)
            .current_dir(place.folder())
            .envs(variables(settings))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("these tests need Node");
        Self {
            input: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")).lines(),
            child,
        }
    }

    /// Calls a function by the names that it has in JavaScript: `{"ok": …}` or `{"err": …}`.
    pub async fn call(&mut self, interface: &str, function: &str, arguments: Value) -> Value {
        let call = json!({"interface": interface, "function": function, "arguments": arguments});
        let line = format!("{call}\n");
        let said = async {
            self.input.write_all(line.as_bytes()).await?;
            self.answers.next_line().await
        };
        let said = tokio::time::timeout(SOON, said).await;
        let said = said
            .expect("no answer")
            .expect("no pipe")
            .expect("it ended");
        serde_json::from_str(&said).expect("an answer is JSON")
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}
