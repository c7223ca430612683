//! What the edge does in any runtime that serves it: events are taken while the coordinator is away,
//! bad ones are refused, and all of them arrive later, byte for byte.

use std::net::SocketAddr;

use mcp_reporter::coordinator::Coordinator;
use mcp_reporter_tests::{Client, json, stored};

/// How many events [`taken`] hands over.
pub const EVENTS: u64 = 3;

fn bodies() -> [String; EVENTS as usize] {
    [
        ("start", r#""request_data":{"a": 1.50,"A":"\u00e9"}"#),
        ("progress", r#""progress_data":{"text":"Zoë 漢字 🦀"}"#),
        ("complete", r#""result_data":{}"#),
    ]
    .map(|(action, data)| {
        format!(
            r#"{{"action": "interaction_{action}", "interaction_id":"i1","mcp_id":"other","timestamp":1718000000.5,{data}}}"#
        )
    })
}

/// Events are taken, and those refused that are none.
pub async fn taken(address: SocketAddr) {
    let mut client = Client::connect(address).await.unwrap();
    for body in &bodies() {
        let (status, answer) = client.event(&[], body).await.unwrap();
        assert_eq!(status, 200, "{answer}");
    }
    for body in ["[]", "{", r#"{"action":"stop"}"#] {
        let (status, answer) = client.event(&[], body).await.unwrap();
        assert_eq!(status, 422, "{body}: {answer}");
    }
}

/// What was taken is delivered, in order and once, now that the coordinator is there.
pub async fn delivered(address: SocketAddr, coordinator: &Coordinator) {
    let mut client = Client::connect(address).await.unwrap();
    let deliver = client.ask("POST", "/api/v2/outbox/deliver", &[], "");
    let (status, answer) = deliver.await.unwrap();
    assert_eq!(status, 200, "{answer}");
    stored(coordinator, EVENTS).await;
    let received = coordinator.receipts();
    let received = received.iter().map(|receipt| &*receipt.body);
    assert!(received.eq(bodies().iter().map(String::as_bytes)));
    let outbox = client.ask("GET", "/api/v2/outbox", &[], "");
    let (_, outbox) = outbox.await.unwrap();
    assert_eq!(json(outbox.as_bytes())["dead_letters"], 0, "{outbox}");
}
