//! What clients of the coordinator's own API see, on both backends.

use std::net::SocketAddr;

use hyper::StatusCode;
use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::spin::{Ground, Mode, Spin};
use mcp_reporter_tests::{
    Client, Place, Served, assert_one_key_each, coordinator, get, histories, json, stored, with,
};
use serde_json::Value;

use super::{DELIVER, OUTBOX, ask, connected, event, post, until};

/// What depends on the moment, or on how far delivery has come.
const MOVING: [&str; 16] = [
    "timestamp",
    "queue_size",
    "queue_position",
    "requests_received",
    "requests_processed",
    "waiting",
    "bytes",
    "oldest_age_s",
    "next_attempt_s",
    "delivered_total",
    "resent_total",
    "lease_holder",
    "delivered",
    "next_s",
    "lease_held_elsewhere",
    "failed",
];

/// A body without what moves; one that is not JSON as it is.
fn still(body: &str) -> Value {
    fn blank(value: &mut Value) {
        for (name, value) in value.as_object_mut().into_iter().flatten() {
            match MOVING.contains(&name.as_str()) {
                true => *value = Value::Null,
                false => blank(value),
            }
        }
    }
    let mut value = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    blank(&mut value);
    value
}

/// Asks for every route in every way, and returns what was answered.
async fn asked(address: SocketAddr) -> Vec<(String, StatusCode, Value)> {
    let mut client = Client::connect(address).await.unwrap();
    let mut stranger = Client::connect(address).await.unwrap().with_key("wrong");
    let key = [("Idempotency-Key", "\"k1\"")];
    let large = event("start", &"x".repeat(2_000));
    let events = "/api/v2/interactions";
    let requests = [
        ("POST", events, &key[..], event("start", "i1"), 200),
        ("POST", events, &key[..], event("start", "i1"), 200),
        ("POST", events, &key[..], event("start", "i2"), 422),
        ("POST", events, &[], event("progress", "i1"), 200),
        ("POST", events, &[], event("complete", "i1"), 200),
        ("POST", events, &[], event("start", "i3"), 200),
        ("POST", events, &[], event("error", "i3"), 200),
        ("POST", events, &[], event("end", "i4"), 422),
        ("POST", events, &[], event("start", ""), 422),
        ("POST", events, &[], "{\"action\":".to_owned(), 422),
        ("POST", events, &[], "[]".to_owned(), 422),
        ("POST", events, &[], "{}".to_owned(), 422),
        ("POST", events, &[], String::new(), 422),
        ("POST", events, &[], large, 413),
        ("GET", events, &[], String::new(), 405),
        ("OPTIONS", events, &[], String::new(), 204),
        ("GET", "/api/v2/health", &[], String::new(), 200),
        ("HEAD", "/api/v2/health", &[], String::new(), 200),
        ("POST", "/api/v2/validate", &[], String::new(), 200),
        ("GET", "/api/v2/interactions/stats", &[], String::new(), 200),
        ("GET", OUTBOX, &[], String::new(), 200),
        ("POST", DELIVER, &[], String::new(), 200),
        (
            "GET",
            "/api/v2/outbox/dead-letters",
            &[],
            String::new(),
            200,
        ),
        (
            "GET",
            "/api/v2/outbox/dead-letters?limit=0",
            &[],
            String::new(),
            422,
        ),
        ("POST", "/api/v2/outbox/redrive", &[], "[]".to_owned(), 422),
        ("GET", "/api/v2/no-such", &[], String::new(), 404),
        ("GET", "/", &[], String::new(), 404),
    ];
    let mut answers = Vec::new();
    for (method, path, headers, body, expected) in requests {
        let what = format!("{method} {path} {body:.40}");
        let (status, said) = client.ask(method, path, headers, &body).await.unwrap();
        assert_eq!(status, expected, "{what}: {said}");
        answers.push((what, status, still(&said)));
    }
    for (method, path) in [("POST", events), ("GET", OUTBOX), ("POST", DELIVER)] {
        let what = format!("{method} {path} with another key");
        let body = event("start", "i9");
        let (status, said) = stranger.ask(method, path, &[], &body).await.unwrap();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {said}");
        answers.push((what, status, still(&said)));
    }
    let (head, said) = get(address, "GET", OUTBOX).await;
    assert!(head.starts_with("HTTP/1.1 403"), "without a key: {head}");
    answers.push((String::new(), StatusCode::FORBIDDEN, still(&said)));
    let (head, said) = get(address, "GET", "/api/v2/health").await;
    assert!(head.starts_with("HTTP/1.1 200"), "without a key: {head}");
    answers.push((String::new(), StatusCode::OK, still(&said)));
    answers
}

#[tokio::test]
async fn every_route_answers_as_it_does_in_serve_and_what_was_taken_arrives() {
    let more = [("max_event_bytes", "1024"), ("rate_limit", "0")];
    let (place, there) = (Place::new(), coordinator());
    let settings = with(place.settings(&there.url()), &more);
    let served = Served::start(&place, &settings).await;
    let expected = asked(served.address()).await;
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        let spin = ground.start(coordinator.addr(), &more).await;
        for (answer, expected) in asked(spin.address()).await.iter().zip(&expected) {
            assert_eq!(answer, expected, "{mode:?}");
        }
        until(&mut connected(&spin).await, "POST", DELIVER, |said| {
            said["waiting"] == 0 && said["lease_held_elsewhere"] == false
        })
        .await;
        let histories = histories(&coordinator.stored().unwrap());
        assert_eq!(histories["i1"], ["start", "progress", "complete"]);
        assert_eq!(histories["i3"], ["start", "error"]);
        assert_eq!(histories.len(), 2);
        assert_one_key_each(&coordinator.receipts());
        assert_eq!(
            coordinator.receipts()[0].header("idempotency-key"),
            Some("\"k1\"")
        );
        ground.assert_foreign_keys_untouched(&spin).await;
        assert_eq!(spin.counts().trapped, 0, "{}", spin.log());
    }
}

#[tokio::test]
async fn an_event_that_was_answered_before_is_answered_again_byte_for_byte_and_stored_once() {
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        let spin = ground.start(coordinator.addr(), &[]).await;
        let mut answers = Vec::new();
        for _ in 0..3 {
            // A fresh instance each time, of course.
            let mut client = connected(&spin).await;
            let key = [("Idempotency-Key", "once")];
            answers.push(client.event(&key, &event("start", "i1")).await.unwrap());
        }
        assert_eq!(answers[0].0, StatusCode::OK);
        assert!(answers.iter().all(|answer| *answer == answers[0]));
        stored(&coordinator, 1).await;
        until(&mut connected(&spin).await, "GET", OUTBOX, |said| {
            said["waiting"] == 0 && said["lease_holder"].is_null()
        })
        .await;
        assert_eq!(coordinator.receipts().len(), 1);
    }
}

#[tokio::test]
async fn a_dead_letter_is_shown_and_redriven_with_its_followers() {
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        coordinator.set_fault_for(Fault::Status(422), 1).unwrap();
        let spin = ground.start(coordinator.addr(), &[]).await;
        let mut client = connected(&spin).await;
        post(&mut client, "start", "i1").await;
        let page = "/api/v2/outbox/dead-letters";
        let refused = |said: &Value| said["entries"].as_array().is_some_and(|e| e.len() == 1);
        let listed = until(&mut client, "GET", page, refused).await;
        assert_eq!(listed["entries"][0]["interaction_id"], "i1", "{listed}");
        post(&mut client, "complete", "i1").await;
        let both = |said: &Value| said["entries"].as_array().is_some_and(|e| e.len() == 2);
        until(&mut client, "GET", page, both).await;
        assert_eq!(coordinator.stats().processed, 0);
        // While another instance delivers it is busy, and says so.
        let redriven = |said: &Value| said["redriven"] == 2;
        until(&mut client, "POST", "/api/v2/outbox/redrive", redriven).await;
        until(&mut client, "POST", DELIVER, |said| said["waiting"] == 0).await;
        stored(&coordinator, 2).await;
        let histories = histories(&coordinator.stored().unwrap());
        assert_eq!(histories["i1"], ["start", "complete"]);
        assert_one_key_each(&coordinator.receipts());
    }
}

#[tokio::test]
async fn a_host_that_is_not_listed_is_denied_and_reported_and_nothing_is_lost() {
    // Side by side, because the probe of a paused queue is half a minute away.
    tokio::join!(denied(Mode::Sqlite), denied(Mode::Redis));
}

async fn denied(mode: Mode) {
    let (ground, coordinator) = (Ground::new(mode).await, coordinator());
    let mut options = ground.options(coordinator.addr(), &[]);
    // The same place under another name.
    let elsewhere = format!("http://localhost:{}", coordinator.addr().port());
    options.allowed_outbound_hosts = vec![elsewhere];
    let spin = Spin::start(mcp_reporter_artifacts::REPORTER, options).await;
    let spin = spin.unwrap();
    let mut client = connected(&spin).await;
    post(&mut client, "start", "i1").await;
    let paused = |said: &Value| said["breaker"] == "paused" && said["lease_holder"].is_null();
    let said = until(&mut client, "GET", OUTBOX, paused).await;
    let reason = said["paused_reason"].as_str().unwrap_or_default();
    assert!(
        reason.contains("denies requests to coordinator_url"),
        "{said}"
    );
    assert_eq!(
        (&said["waiting"], &said["dead_letters"]),
        (&1.into(), &0.into())
    );
    assert!(spin.log().contains(reason), "{}", spin.log());
    let counts = spin.counts();
    assert!(counts.denied >= 1 && counts.trapped == 0, "{counts:?}");
    drop(spin);
    assert_eq!(coordinator.receipts().len(), 0);
    // Listed, it is delivered at the next probe.
    let spin = ground.start(coordinator.addr(), &[]).await;
    let mut client = connected(&spin).await;
    let left = ask(&mut client, "GET", OUTBOX).await;
    assert_eq!(left["waiting"], 1, "{left}");
    until(&mut client, "POST", DELIVER, |said| said["waiting"] == 0).await;
    stored(&coordinator, 1).await;
}

#[tokio::test]
async fn a_variable_that_is_missing_is_named_in_the_answer() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let spin = ground
        .start(coordinator.addr(), &[("coordinator_api_key", "")])
        .await;
    let mut client = connected(&spin).await;
    let (status, said) = client.event(&[], &event("start", "i1")).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let detail = json(said.as_bytes())["detail"].to_string();
    assert!(detail.contains("coordinator_api_key"), "{said}");
}
