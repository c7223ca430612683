//! How many events `mcp-reporter serve` takes in a second, beside the same API in FastAPI, and how
//! long a client waits at half that load.
//!
//! Both run as processes of their own on the cores that the clients use as well. Prints one line
//! per figure, `name<tab>value`, for `cargo xtask bench`.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mcp_reporter::coordinator::Fault;
use support::{API_KEY, BODY_BYTES, INTERACTION, ROUNDS, folder, payload};
use tokio::net::TcpStream;

/// Connections that are kept open, with one request at a time on each.
const CONNECTIONS: usize = 16;
/// How long one round sends.
const ROUND: Duration = Duration::from_secs(4);
const INGEST_KEY: &str = "bench-ingest-key";

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return; // `cargo test` only wants to see it built
    }
    let runtime = support::runtime();
    let (mut ours, mut peers, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        eprintln!("serve: round {round} of {ROUNDS}");
        let rate = runtime.block_on(measured(Side::Serve, None)).rate;
        let half = runtime.block_on(measured(Side::Serve, Some(rate / 2.0)));
        p99.push(half.p99.as_secs_f64() * 1e3);
        ours.push(rate);
        peers.push(runtime.block_on(measured(Side::Peer, None)).rate);
    }
    let ratios = ours
        .iter()
        .zip(&peers)
        .map(|(ours, peer)| ours / peer)
        .collect();
    for (name, values) in [
        ("serve_per_s", ours),
        ("serve_peer_per_s", peers),
        ("serve_times_peer", ratios),
        ("serve_p99_ms", p99),
    ] {
        println!("{name}\t{}", median(values));
    }
}

#[derive(Clone, Copy)]
enum Side {
    Serve,
    Peer,
}

struct Measured {
    /// Events that were answered 200, in a second.
    rate: f64,
    /// What a client waited for an answer.
    p99: Duration,
}

/// A server process, killed when dropped.
struct Server(Child, SocketAddr);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends for a while: as fast as answers come, or at this rate over all connections.
async fn measured(side: Side, rate: Option<f64>) -> Measured {
    let folder = folder();
    let sink = support::sink(Fault::None);
    let server = match side {
        Side::Serve => serve(folder.path(), &sink.url()),
        Side::Peer => peer(folder.path()),
    };
    let body = Bytes::from(format!(
        r#"{{"action":"interaction_start","interaction_id":"{INTERACTION}","mcp_id":"bench","timestamp":1718000000.123456,"request_data":{}}}"#,
        payload(BODY_BYTES)
    ));
    let (over, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let sender = connected(server.1).await;
        let (over, taken, body) = (over.clone(), taken.clone(), body.clone());
        let pause = rate.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate));
        clients.push(tokio::spawn(send(sender, body, pause, over, taken)));
    }
    // Not from the first request on: caches fill, files grow.
    tokio::time::sleep(ROUND / 4).await;
    let (before, began) = (taken.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(ROUND).await;
    let count = taken.load(Ordering::Relaxed) - before;
    let rate = count as f64 / began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for client in clients {
        waits.extend(client.await.expect("a client"));
    }
    waits.sort_unstable();
    Measured {
        rate,
        p99: waits[waits.len() * 99 / 100],
    }
}

async fn send(
    mut sender: SendRequest<Full<Bytes>>,
    body: Bytes,
    pause: Option<Duration>,
    over: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    let mut next = tokio::time::Instant::now();
    while !over.load(Ordering::Relaxed) {
        if let Some(pause) = pause {
            next += pause;
            tokio::time::sleep_until(next).await;
        }
        let began = Instant::now();
        let request = Request::post("/api/v2/interactions")
            .header("host", "localhost")
            .header("authorization", format!("Bearer {INGEST_KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(body.clone()))
            .expect("a request");
        sender.ready().await.expect("a connection");
        let answer = sender.send_request(request).await.expect("an answer");
        let status = answer.status();
        let body = answer
            .into_body()
            .collect()
            .await
            .expect("a body")
            .to_bytes();
        assert!(status.is_success(), "{status} {body:?}");
        waits.push(began.elapsed());
        taken.fetch_add(1, Ordering::Relaxed);
    }
    waits
}

async fn connected(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true).expect("a socket");
                let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
                tokio::spawn(connection);
                return sender;
            }
            Err(error) if Instant::now() > end => panic!("{address}: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

fn serve(folder: &Path, coordinator: &str) -> Server {
    let address = free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-reporter"));
    command
        .env("XDG_CACHE_HOME", support::cache_dir())
        .env("XDG_STATE_HOME", folder)
        .env("MCP_REPORTER_INGEST_KEYS", INGEST_KEY)
        .env("MCP_REPORTER_COORDINATOR_API_KEY", API_KEY)
        // It is taking them that is measured: delivery has a benchmark of its own.
        .env("MCP_REPORTER_RATE_LIMIT", "10")
        .env("MCP_REPORTER_MAX_EVENTS", "10000000")
        .env("MCP_REPORTER_MAX_BYTES", "100000000000");
    for (key, value) in support::settings(&folder.join("outbox.db"), coordinator) {
        if key != "coordinator_api_key" {
            command.env(format!("MCP_REPORTER_{}", key.to_uppercase()), value);
        }
    }
    command.args(["serve", "--listen", &address.to_string()]);
    Server(quiet(command).spawn().expect("mcp-reporter"), address)
}

fn peer(folder: &Path) -> Server {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/fastapi");
    let python = environment(&home).join("bin/python");
    let address = free_port();
    let mut command = Command::new(python);
    command
        .arg(home.join("peer.py"))
        .arg(address.port().to_string())
        .arg(folder.join("peer.db"))
        .arg(INGEST_KEY);
    Server(quiet(command).spawn().expect("the peer"), address)
}

fn quiet(mut command: Command) -> Command {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Python with what the peer needs, made at the first run.
fn environment(home: &Path) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fastapi");
    let run = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).status();
        let status = status.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        assert!(status.success(), "{command:?}: {status}");
    };
    if !folder.join("ready").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        run(Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", "-r"])
            .arg(home.join("requirements.txt")));
        std::fs::write(folder.join("ready"), "").expect("a file");
    }
    folder
}

/// The value in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
