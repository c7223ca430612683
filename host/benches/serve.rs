//! How many events `mcp-reporter serve` takes in a second, beside the same API in FastAPI, and how
//! long a client waits at half that load: alone, and beside a crowd that sends next to nothing.
//!
//! Both run as processes of their own on the cores that the clients use as well. Prints one line
//! per figure, `name<tab>value`, for `cargo xtask bench`.

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mcp_reporter::coordinator::Fault;
use support::{API_KEY, BODY_BYTES, INTERACTION, ROUNDS, folder, payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Connections that are kept open, with one request at a time on each.
const CONNECTIONS: usize = 16;
/// How long one round sends.
const ROUND: Duration = Duration::from_secs(4);
/// The crowd: connections on which nothing is sent, and those that send a byte a second.
const IDLE: usize = 10_000;
const SLOW: usize = 1_000;
/// How many of the crowd connect at once.
const CONNECTING: usize = 250;
const INGEST_KEY: &str = "bench-ingest-key";

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return; // `cargo test` only wants to see it built
    }
    // One thread for all clients: they are to take little of the cores that they share.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (mut ours, mut peers, mut p99, mut crowded) = (vec![], vec![], vec![], vec![]);
    for round in 1..=ROUNDS {
        eprintln!("serve: round {round} of {ROUNDS}");
        let measured = |side, rate, crowd| runtime.block_on(measured(side, rate, crowd));
        let rate = measured(Side::Serve, None, false).rate;
        let half = measured(Side::Serve, Some(rate / 2.0), false).p99;
        let beside = measured(Side::Serve, Some(rate / 2.0), true).p99;
        p99.push(half.as_secs_f64() * 1e3);
        crowded.push(beside.as_secs_f64() / half.as_secs_f64());
        ours.push(rate);
        peers.push(measured(Side::Peer, None, false).rate);
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
        ("serve_p99_crowded_times", crowded),
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

/// Sends for a while: as fast as answers come, or at this rate over all connections; with or
/// without the crowd beside it.
async fn measured(side: Side, rate: Option<f64>, crowd: bool) -> Measured {
    let folder = folder();
    let sink = support::sink(Fault::None);
    let server = match side {
        Side::Serve => serve(folder.path(), &sink.url()),
        Side::Peer => peer(folder.path()),
    };
    let (over, taken) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let crowd = match crowd {
        true => Some(Crowd::gathered(server.1).await),
        false => None,
    };
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        let client = Client::connected(server.1).await;
        let (over, taken) = (over.clone(), taken.clone());
        let first = (number << 24) as u32;
        let pause = rate.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate));
        clients.push(tokio::spawn(send(client, first, pause, over, taken)));
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
    if let Some(crowd) = crowd {
        crowd.leave();
    }
    waits.sort_unstable();
    Measured {
        rate,
        p99: waits[waits.len() * 99 / 100],
    }
}

/// A connection that is kept open, and the one request that is sent on it again and again. Its
/// bytes are written as they are: a client shares the cores with the server, and what a library
/// for HTTP costs here would be missing there.
struct Client {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    async fn connected(address: SocketAddr) -> Self {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true).expect("a socket");
                    let answer = Vec::with_capacity(4096);
                    return Self { stream, answer };
                }
                Err(error) if Instant::now() > end => panic!("{address}: {error}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Sends the request and reads its answer to the end; one that is no success is none.
    async fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.expect("a connection");
        self.answer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.answer).await;
            assert!(read.expect("a connection") > 0, "an answer");
            if let Some(length) = length(&self.answer) {
                assert!(self.answer.len() <= length, "one answer to one request");
                if self.answer.len() == length {
                    break;
                }
            }
        }
        assert!(
            self.answer.starts_with(b"HTTP/1.1 200 "),
            "{}",
            String::from_utf8_lossy(&self.answer)
        );
    }
}

/// [`IDLE`] and [`SLOW`] connections. One that the server closes, for it gives nobody for ever to
/// send a head, is opened again.
struct Crowd {
    members: tokio::task::JoinSet<()>,
    here: Arc<AtomicUsize>,
}

impl Crowd {
    async fn gathered(address: SocketAddr) -> Self {
        let here = Arc::new(AtomicUsize::new(0));
        let connecting = Arc::new(Semaphore::new(CONNECTING));
        let mut members = tokio::task::JoinSet::new();
        drop(Client::connected(address).await);
        for member in 0..IDLE + SLOW {
            let request = (member < SLOW).then(request);
            let (here, connecting) = (here.clone(), connecting.clone());
            members.spawn(async move {
                loop {
                    let stream = {
                        let _turn = connecting.acquire().await.expect("it is never closed");
                        TcpStream::connect(address).await.expect("a connection")
                    };
                    here.fetch_add(1, Ordering::Relaxed);
                    stay(stream, request.as_deref()).await;
                    here.fetch_sub(1, Ordering::Relaxed);
                }
            });
        }
        let end = Instant::now() + Duration::from_secs(60);
        while here.load(Ordering::Relaxed) < IDLE + SLOW {
            assert!(Instant::now() < end, "the crowd is not let in");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { members, here }
    }

    fn leave(mut self) {
        let here = self.here.load(Ordering::Relaxed);
        assert!(here > (IDLE + SLOW) * 9 / 10, "only {here} of the crowd");
        self.members.abort_all();
    }
}

/// Stays until the server ends the connection, and sends this, if anything, byte by byte.
async fn stay(mut stream: TcpStream, request: Option<&[u8]>) {
    let (mut end, mut answer) = (false, [0; 256]);
    for byte in request.unwrap_or_default().chunks(1) {
        if stream.write_all(byte).await.is_err() {
            return;
        }
        let second = Duration::from_secs(1);
        if let Ok(read) = tokio::time::timeout(second, stream.read(&mut answer)).await {
            end = read.unwrap_or(0) == 0;
        }
        if end {
            return;
        }
    }
    while !end {
        end = stream.read(&mut answer).await.unwrap_or(0) == 0;
    }
}

/// How long the answer is that starts with these bytes, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let mut fields = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(answer).expect("HTTP") else {
        return None;
    };
    let length = head
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .expect("an answer names its length");
    let length: usize = std::str::from_utf8(length.value)
        .ok()
        .and_then(|length| length.parse().ok())
        .expect("a number");
    Some(end + length)
}

/// What a client sends as the start of [`INTERACTION`].
fn request() -> Vec<u8> {
    let body = format!(
        r#"{{"action":"interaction_start","interaction_id":"{INTERACTION}","mcp_id":"bench","timestamp":1718000000.123456,"request_data":{}}}"#,
        payload(BODY_BYTES)
    );
    format!(
        "POST /api/v2/interactions HTTP/1.1\r\n\
         host: localhost\r\n\
         authorization: Bearer {INGEST_KEY}\r\n\
         content-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Makes it the start of another interaction: the last 8 hex digits of its id are a number.
fn number(request: &mut [u8], at: usize, number: u32) {
    request[at..at + 8].copy_from_slice(format!("{number:08x}").as_bytes());
}

/// Sends the starts of interactions: of this number, and of those that come after it.
async fn send(
    mut client: Client,
    first: u32,
    pause: Option<Duration>,
    over: Arc<AtomicBool>,
    taken: Arc<AtomicU64>,
) -> Vec<Duration> {
    let mut request = request();
    let id = INTERACTION.as_bytes();
    let at = request.windows(id.len()).position(|bytes| bytes == id);
    let at = at.expect("its id") + id.len() - 8;
    let mut waits = Vec::new();
    let mut next = tokio::time::Instant::now();
    while !over.load(Ordering::Relaxed) {
        if let Some(pause) = pause {
            next += pause;
            tokio::time::sleep_until(next).await;
        }
        number(&mut request, at, first + waits.len() as u32);
        let began = Instant::now();
        client.ask(&request).await;
        waits.push(began.elapsed());
        taken.fetch_add(1, Ordering::Relaxed);
    }
    waits
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
