//! `wash dev`, which serves the edge: an instance for each request.

use std::net::SocketAddr;
use std::process::Stdio;

use mcp_reporter_artifacts::EDGE;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::plugin::variables;
use crate::{Place, PythonPeers, SOON};

/// A running one. It is killed when dropped.
#[derive(Debug)]
pub struct WashDev {
    child: Child,
    address: SocketAddr,
}

impl WashDev {
    /// Serves the edge on a free port; it may send to `allowed`, a host and a port. What it keeps is
    /// in the folder `data` of the place.
    pub async fn start(place: &Place, settings: &[(&str, &str)], allowed: &str) -> Self {
        let variables = variables(settings).into_iter();
        let variables: Map<_, _> = variables
            .map(|(name, value)| (name, Value::from(value)))
            .collect();
        for folder in [".wash", "data"] {
            std::fs::create_dir_all(place.path(folder)).expect("no folder");
        }
        let config = json!({
            // It takes a component that is there as well as one that it builds.
            "build": {"command": "true", "component_path": "edge.wasm"},
            "dev": {
                "address": "127.0.0.1:0",
                "volumes": [{"host_path": place.path("data"), "guest_path": "/data"}],
            },
            "workload": {
                "environment": {"config": variables},
                "allowedHosts": [allowed],
            },
        });
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(place.path(name), bytes).expect("a file cannot be written");
        };
        write(".wash/config.json", config.to_string().as_bytes());
        write("edge.wasm", EDGE);

        let mut child = Command::new(PythonPeers::of_this_build().require("wash"))
            .arg("dev")
            .current_dir(place.folder())
            .env("HOME", place.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("wash does not start");
        let mut lines = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let mut said = Vec::new();
        let mut address = None;
        let serves = tokio::time::timeout(SOON, async {
            loop {
                let line = lines.next_line().await.ok().flatten();
                let line = line.unwrap_or_else(|| panic!("it ended: {said:?}"));
                if let Some((_, rest)) = line.split_once("HTTP server listening addr=") {
                    address = rest.split(' ').next().and_then(|text| text.parse().ok());
                }
                // Only then does it have the component.
                if line.contains("listening for HTTP requests") {
                    break;
                }
                said.push(line);
            }
        });
        serves.await.expect("it does not serve");
        // It ends when nobody reads what it says.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            child,
            address: address.expect("it does not say where it listens"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it runs");
    }
}
