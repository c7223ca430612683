//! `mcp-reporter serve`: programs send their events to it as to the coordinator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use mcp_reporter::coordinator::{Coordinator, Fault};
use mcp_reporter_tests::{
    Client, INGEST_KEY, KEY, Place, SOON, Served, command, coordinator, event, get,
    killed_under_16_clients, with,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) async fn connected(served: &Served) -> Client {
    Client::connect(served.address()).await.expect("it listens")
}

#[tokio::test]
async fn while_the_coordinator_is_away_all_is_taken_at_once_and_arrives_once_in_order_unchanged() {
    let (place, coordinator) = (Place::new(), coordinator());
    coordinator.set_fault(Fault::Refuse).unwrap();
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    let mut sent = BTreeMap::<String, Vec<String>>::new();
    let mut slowest = Duration::ZERO;
    let mut client = connected(&served).await;
    for n in 0..50 {
        let id = format!("int_1718000000_{n:08x}");
        for action in ["start", "progress", "complete"] {
            let body = event(action, &id, "ü \\u00fc");
            let began = Instant::now();
            let (status, said) = client.event(&[], &body).await.unwrap();
            slowest = slowest.max(began.elapsed());
            assert_eq!(status, StatusCode::OK, "{said}");
            let start =
                format!(r#"{{"status":"accepted","interaction_id":"{id}","queue_position":"#);
            assert!(said.starts_with(&start), "{said}");
            sent.entry(id.clone()).or_default().push(body);
        }
    }
    // A request that waited for the network would take seconds.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    coordinator.set_fault(Fault::None).unwrap();
    let done = coordinator
        .wait_for(|seen| seen.stats().processed == 150, SOON)
        .await;
    done.unwrap();
    let mut received = BTreeMap::<String, Vec<String>>::new();
    for event in coordinator.stored().unwrap() {
        let body = String::from_utf8(event.body.to_vec()).unwrap();
        received.entry(event.interaction_id).or_default().push(body);
    }
    assert_eq!(received, sent);
    assert_eq!(coordinator.stats().duplicates_ignored, 0);
}

#[tokio::test]
async fn what_was_answered_survives_kill_9_under_16_clients_and_is_repeated_with_equal_keys_only() {
    assert!(killed_under_16_clients(10, 0).await > 200);
}

#[tokio::test]
async fn told_to_end_it_answers_what_it_has_begun_and_keeps_what_it_cannot_deliver() {
    let (place, coordinator) = (Place::new(), coordinator());
    coordinator.set_fault(Fault::Hang).unwrap();
    let settings = place.fast(&coordinator.url());
    let mut served = Served::start(&place, &settings).await;
    let mut client = connected(&served).await;
    assert_eq!(
        client
            .event(&[], &event("start", "i1", ""))
            .await
            .unwrap()
            .0,
        StatusCode::OK
    );
    let (status, took) = served.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(8), "{took:?}");
    let left = mcp_reporter_tests::outbox(&with(settings.clone(), &[])).await;
    assert_eq!(left.len(), 1);
    // The next one delivers it.
    coordinator.set_fault(Fault::None).unwrap();
    let mut served = Served::start(&place, &settings).await;
    coordinator
        .wait_for(|seen| seen.stats().processed == 1, SOON)
        .await
        .unwrap();
    let (status, _) = served.terminate().await;
    assert!(status.success());
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let place = Place::new();
    let settings = place.fast("http://127.0.0.1:9");
    let keys = ("ingest_keys", INGEST_KEY);
    for (more, said) in [
        (&[][..], "ingest_keys is not set"),
        (
            &[keys, ("shards", "4")],
            "shards = 4: must be 1 for `serve`",
        ),
        (
            &[keys, ("enable_interaction_logging", "false")],
            "reporting is off",
        ),
        (
            &[("ingest_keys", "a b")],
            "ingest_keys = \"***\": must be 1 to 64 keys",
        ),
    ] {
        let mut settings: BTreeMap<_, _> = settings.iter().cloned().collect();
        settings.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        let settings: Vec<_> = settings.into_iter().collect();
        let output = command(&place, &settings)
            .arg("serve")
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said) && !text.contains(INGEST_KEY), "{text}");
    }
    let output = command(&place, &settings)
        .args(["serve", "--ingest-keys", INGEST_KEY])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("--ingest-keys is not taken") && !text.contains(INGEST_KEY),
        "{text}"
    );
}

#[tokio::test]
async fn who_may_ask_and_how_often_is_kept() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = with(
        place.fast(&coordinator.url()),
        &[("ingest_rate_limit", "5")],
    );
    let served = Served::start(&place, &settings).await;
    let body = event("start", "i1", "");
    let mut client = connected(&served).await;
    for (name, value) in [("origin", "http://evil.example"), ("x", "y")] {
        let (status, said) = client.event(&[(name, value)], &body).await.unwrap();
        let expected = if name == "x" {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        assert_eq!(status, expected, "{said}");
    }
    let address = served.address();
    let (head, _) = get(address, "GET", "/api/v2/health").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let rebound = raw(
        address,
        "GET /api/v2/health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(rebound.starts_with("HTTP/1.1 403"), "{rebound}");
    for key in [KEY, "wrong"] {
        let mut other = connected(&served).await.with_key(key);
        let (status, said) = other.ask("GET", "/api/v2/outbox", &[], "").await.unwrap();
        assert_eq!(
            (status, &*said),
            (StatusCode::UNAUTHORIZED, r#"{"detail":"Invalid API key"}"#)
        );
    }
    let mut refused = 0;
    for _ in 0..20 {
        let (status, said) = client.event(&[], &body).await.unwrap();
        refused += u32::from(status == StatusCode::TOO_MANY_REQUESTS);
        assert!(
            status == StatusCode::OK || said.contains("ingest_rate_limit"),
            "{said}"
        );
    }
    // One was taken before; should a second end meanwhile, five more are.
    assert!((11..=16).contains(&refused), "{refused}");
    let (head, body) = get(address, "GET", "/api/v2/openapi.json").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let described: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
}

/// What comes back for these bytes until the connection is closed.
pub(crate) async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_state_of_the_outbox_is_what_the_command_prints() {
    let (place, coordinator) = (Place::new(), coordinator());
    coordinator.set_fault(Fault::Status(401)).unwrap();
    let settings = place.fast(&coordinator.url());
    let served = Served::start(&place, &settings).await;
    let mut client = connected(&served).await;
    client.event(&[], &event("start", "i1", "")).await.unwrap();
    let asked = coordinator.wait_for(|seen| !seen.receipts().is_empty(), SOON);
    asked.await.unwrap();
    let paused = async {
        loop {
            let (_, said) = client.ask("GET", "/api/v2/outbox", &[], "").await.unwrap();
            let said: serde_json::Value = serde_json::from_str(&said).unwrap();
            if said["breaker"] == "paused" && said["lease_holder"].is_null() {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut said = tokio::time::timeout(SOON, paused).await.unwrap();
    let printed = command(&place, &settings)
        .args(["outbox", "status", "--json"])
        .output()
        .await;
    let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
    let mut printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    for moving in ["oldest_age_s", "next_attempt_s"] {
        for state in [&mut said, &mut printed] {
            let value = state[moving].take();
            assert!(
                value.as_f64().is_some_and(|seconds| seconds < 60.0),
                "{moving}: {value}"
            );
        }
    }
    assert_eq!(said, printed);
}

#[tokio::test]
async fn two_on_one_store_share_the_work_and_the_rate() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = with(place.settings(&coordinator.url()), &[("rate_limit", "20")]);
    let (one, two) = (
        Served::start(&place, &settings).await,
        Served::start(&place, &settings).await,
    );
    for served in [&one, &two] {
        let mut client = connected(served).await;
        for n in 0..30 {
            let id = format!("int_{}_{n}", served.pid());
            let (status, _) = client.event(&[], &event("start", &id, "")).await.unwrap();
            assert_eq!(status, StatusCode::OK);
        }
    }
    coordinator
        .wait_for(|seen| seen.stats().processed == 60, SOON)
        .await
        .unwrap();
    assert_eq!(coordinator.stats().duplicates_ignored, 0);
    most_in_a_second(&coordinator, 20);
}

fn most_in_a_second(coordinator: &Coordinator, limit: usize) {
    let at: Vec<_> = coordinator
        .receipts()
        .iter()
        .map(|receipt| receipt.at)
        .collect();
    for window in at.windows(limit + 1) {
        let span = window[limit] - window[0];
        assert!(span >= Duration::from_secs(1), "{} in {span:?}", limit + 1);
    }
}

#[tokio::test]
async fn clients_that_send_a_byte_a_second_hold_nobody_up() {
    let (place, coordinator) = (Place::new(), coordinator());
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        let head = format!(
            "POST /api/v2/interactions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {INGEST_KEY}\r\nContent-Length: 100\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut client = connected(&served).await;
    for n in 0..200 {
        let body = event("start", &format!("i{n}"), "");
        let asked = client.event(&[], &body);
        let (status, _) = tokio::time::timeout(Duration::from_secs(5), asked)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    // They are told, and let go.
    let mut answer = String::new();
    let stream = slow.last_mut().unwrap();
    let _ = tokio::time::timeout(SOON, stream.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn deliver_follow_delivers_what_comes_in_until_it_is_told_to_end() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = place.fast(&coordinator.url());
    let mut follow = command(&place, &settings)
        .args(["deliver", "--follow"])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let elsewhere = mcp_reporter_tests::builder(&settings)
        .without_timer()
        .build()
        .await
        .unwrap();
    for n in 0..3 {
        let id = format!("i{n}");
        elsewhere.report_start(id, "{}").await.unwrap();
        coordinator
            .wait_for(|seen| seen.stats().processed > n, SOON)
            .await
            .unwrap();
    }
    let pid = follow.id().unwrap().to_string();
    let sent = tokio::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .await;
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(SOON, follow.wait())
        .await
        .unwrap()
        .unwrap();
    assert!(ended.success(), "{ended}");
    elsewhere.shutdown(Duration::from_secs(2)).await;
}
