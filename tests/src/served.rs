//! `mcp-reporter serve` in a process of its own, and clients that speak to it.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::wrapped::bare;
use crate::{Place, config_file, with};

/// The ingest key of the tests: a text that turns up nowhere by accident.
pub const INGEST_KEY: &str = "g-2b9e64d1a7f05c38";

/// The command that runs `mcp-reporter` with these settings in the place; its arguments are to
/// follow.
pub fn command(place: &Place, settings: &[(String, String)]) -> Command {
    let mut command = bare(place);
    command.arg("--config").arg(config_file(place, settings));
    command
}

/// A running one. It is killed when dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Starts it on a free port; returns when it listens.
    pub async fn start(place: &Place, settings: &[(String, String)]) -> Self {
        Self::start_at(place, settings, "127.0.0.1:0").await
    }

    /// The same on this address.
    pub async fn start_at(place: &Place, settings: &[(String, String)], listen: &str) -> Self {
        let settings = with(settings.to_vec(), &[("ingest_keys", INGEST_KEY)]);
        Self::start_by(command(place, &settings), place, listen).await
    }

    /// The same by a command that ends with the program and has its settings: one with other
    /// limits, say.
    pub async fn start_by(mut command: Command, place: &Place, listen: &str) -> Self {
        let mut child = command
            .args(["serve", "--listen", listen, "--log-file"])
            .arg(place.path("serve.log"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it does not start");
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let line = tokio::time::timeout(crate::SOON, lines.next_line()).await;
        let line = line.expect("it says nothing").expect("it can be read");
        let address = line
            .as_deref()
            .and_then(|line| line.strip_prefix("listening on http://"));
        let address = address.unwrap_or_else(|| panic!("{line:?} {}", log(place)));
        Self {
            address: address.parse().expect("an address"),
            child,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("it runs");
    }

    /// Tells it to end, and waits for that; says how long it took.
    pub async fn terminate(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.expect("no kill").success());
        let ended = tokio::time::timeout(crate::SOON, self.child.wait()).await;
        let ended = ended.expect("it does not end");
        (ended.expect("it can be waited for"), began.elapsed())
    }
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path("serve.log")).unwrap_or_default()
}

/// Where the one in the place serves its metrics.
pub fn metrics_address(place: &Place) -> SocketAddr {
    let log = log(place);
    let (_, rest) = log
        .split_once("metrics are at http://")
        .unwrap_or_else(|| panic!("no metrics: {log}"));
    let (address, _) = rest.split_once("/metrics").expect("a path");
    address.parse().expect("an address")
}

/// One connection to it, kept open.
#[derive(Debug)]
pub struct Client {
    sender: SendRequest<Full<Bytes>>,
    key: String,
}

impl Client {
    /// Connects, with the good key.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub async fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            key: INGEST_KEY.to_owned(),
        })
    }

    /// The same with another key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self
        }
    }

    /// Asks, with these headers besides; the status and the body.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Result<(StatusCode, String)> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())));
        self.sender.ready().await?;
        let answer = self
            .sender
            .send_request(request.expect("it is well-formed"))
            .await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Sends an event.
    ///
    /// # Errors
    ///
    /// The connection broke.
    pub async fn event(
        &mut self,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Result<(StatusCode, String)> {
        self.ask("POST", "/api/v2/interactions", headers, body)
            .await
    }
}
