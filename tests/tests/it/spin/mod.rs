//! The component under Spin's rules.

mod edge;
mod limits;
mod load;
mod manifest;
mod mcp_server;
mod outage;
mod profile;

use std::time::Instant;

use hyper::StatusCode;
use mcp_reporter_tests::spin::Spin;
use mcp_reporter_tests::{Client, SOON, json};
use serde_json::Value;

const DELIVER: &str = "/api/v2/outbox/deliver";
const OUTBOX: &str = "/api/v2/outbox";

/// An event as a client sends it.
fn event(action: &str, id: &str) -> String {
    mcp_reporter_tests::event(action, id, "")
}

async fn connected(spin: &Spin) -> Client {
    Client::connect(spin.address()).await.expect("it listens")
}

/// Asks, and expects a 200 with JSON.
async fn ask(client: &mut Client, method: &str, path: &str) -> Value {
    let (status, said) = client.ask(method, path, &[], "").await.unwrap();
    assert_eq!(status, StatusCode::OK, "{method} {path}: {said}");
    json(said.as_bytes())
}

async fn post(client: &mut Client, action: &str, id: &str) {
    let (status, said) = client.event(&[], &event(action, id)).await.unwrap();
    assert_eq!(status, StatusCode::OK, "{said}");
}

/// Asks for this again and again, until the answer is the one that is waited for.
async fn until(
    client: &mut Client,
    method: &str,
    path: &str,
    mut done: impl FnMut(&Value) -> bool,
) -> Value {
    let end = Instant::now() + SOON;
    loop {
        let (status, said) = client.ask(method, path, &[], "").await.unwrap();
        if status == StatusCode::OK && done(&json(said.as_bytes())) {
            return json(said.as_bytes());
        }
        assert!(Instant::now() < end, "not in time: {status} {said}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
