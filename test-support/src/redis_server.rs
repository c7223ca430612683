//! A Redis of one's own: Debian's `redis-server` on a free loopback port, with a folder that goes
//! away with it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than a start takes on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running, or stopped, server. It is killed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    settings: Vec<String>,
}

impl RedisServer {
    /// Starts one with these arguments beside its defaults (`--requirepass`, `x`). With `--tls`
    /// first, its port speaks TLS with what the other arguments say.
    pub fn start(settings: &[&str]) -> Self {
        let mut server = Self {
            child: None,
            folder: tempfile::tempdir().expect("no temporary folder"),
            port: 0,
            settings: settings.iter().map(|text| (*text).to_owned()).collect(),
        };
        // Between the look for a free port and its use, another may take it.
        for _ in 0..10 {
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        panic!("redis-server ends at once: {}", server.log());
    }

    /// One that keeps each write before it acknowledges it.
    pub fn durable() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL, without password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as `kill -9` does. Connections to it are refused from then on.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it can be waited for");
        }
    }

    /// Starts it again, on the same port and with what it kept.
    pub fn start_again(&mut self) {
        assert!(self.run(), "redis-server ends at once: {}", self.log());
    }

    /// Sends it a signal by name: `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.expect("no kill").success());
    }

    /// Does one command of plain words; returns the first line of the answer.
    pub fn command(&self, words: &str) -> String {
        self.try_command(words).expect("it does not answer")
    }

    fn try_command(&self, words: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(START_LIMIT))?;
        stream.write_all(format!("{words}\r\n").as_bytes())?;
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        Ok(answer.lines().next().unwrap_or_default().to_owned())
    }

    /// Whether it came up.
    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let mut settings = &self.settings[..];
        let tls = settings.first().is_some_and(|first| first == "--tls");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]);
        command.arg(self.folder.path());
        command.args(["--logfile", "redis.log"]);
        if tls {
            settings = &settings[1..];
            command.args(["--port", "0", "--tls-port", &port]);
        } else {
            command.args(["--port", &port]);
        }
        command.args(settings);
        let started = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = started.unwrap_or_else(|error| {
            panic!("these tests need redis-server (Debian: apt-get install redis-server): {error}")
        });
        let end = Instant::now() + START_LIMIT;
        loop {
            let answers = if tls {
                TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            } else {
                let answer = self.try_command("PING").unwrap_or_default();
                // That it wants a password is an answer; that it still loads is none.
                answer.starts_with("+PONG") || answer.starts_with("-NOAUTH")
            };
            // What answers on the port of one that ended is another's.
            if child.try_wait().expect("it can be waited for").is_some() {
                return false;
            }
            if answers {
                self.child = Some(child);
                return true;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "redis-server is not ready within {START_LIMIT:?}: {}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("no free port")
        .port()
}
