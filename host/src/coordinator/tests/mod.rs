//! The coordinator as a raw TCP client sees it.

mod faults;
mod lifecycle;
mod rules;

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Coordinator, CoordinatorOptions, Fault};

const KEY: &str = "test-key";
const SOON: Duration = Duration::from_secs(10);
const START: &str = r#"{"action":"interaction_start","interaction_id":"int_1_a","mcp_id":"m","timestamp":1.5,"request_data":{}}"#;

fn event(action: &str, id: &str) -> String {
    format!(r#"{{"action":"interaction_{action}","interaction_id":"{id}","mcp_id":"m"}}"#)
}

fn start() -> Coordinator {
    start_with(CoordinatorOptions::default())
}

fn start_with(options: CoordinatorOptions) -> Coordinator {
    Coordinator::start(CoordinatorOptions {
        api_keys: vec![KEY.to_owned()],
        ..options
    })
    .unwrap()
}

fn faulty(fault: Fault) -> Coordinator {
    start_with(CoordinatorOptions {
        fault,
        ..CoordinatorOptions::default()
    })
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(": ")?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(coordinator: &Coordinator) -> Self {
        Self(TcpStream::connect(coordinator.addr()).await.unwrap())
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: c\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        );
        self.0.write_all(request.as_bytes()).await.unwrap();
    }

    async fn send_event(&mut self, body: &str) {
        let headers = format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n");
        self.send("POST", "/api/v2/interactions", &headers, body)
            .await;
    }

    /// Reads one answer; its body must have a length, or be absent.
    async fn answer(&mut self) -> Answer {
        timeout(SOON, async {
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                read.push(self.0.read_u8().await.unwrap());
            }
            let head = String::from_utf8(read).unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            let mut answer = Answer {
                status,
                head,
                body: String::new(),
            };
            let length: usize = answer
                .header("content-length")
                .map_or(0, |n| n.parse().unwrap());
            let mut body = vec![0; length];
            self.0.read_exact(&mut body).await.unwrap();
            answer.body = String::from_utf8(body).unwrap();
            answer
        })
        .await
        .expect("no answer in time")
    }

    /// Reads what comes until the connection ends.
    async fn rest(&mut self) -> (Vec<u8>, io::Result<usize>) {
        let mut read = Vec::new();
        let ended = timeout(SOON, self.0.read_to_end(&mut read))
            .await
            .expect("the connection did not end in time");
        (read, ended)
    }
}

async fn request(
    coordinator: &Coordinator,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let mut client = Client::connect(coordinator).await;
    client.send(method, path, headers, body).await;
    client.answer().await
}

async fn post(coordinator: &Coordinator, body: &str) -> Answer {
    let mut client = Client::connect(coordinator).await;
    client.send_event(body).await;
    client.answer().await
}

async fn post_keyed(coordinator: &Coordinator, key: &str, body: &str) -> Answer {
    let headers = format!("Authorization: Bearer {KEY}\r\nIdempotency-Key: {key}\r\n");
    request(coordinator, "POST", "/api/v2/interactions", &headers, body).await
}
