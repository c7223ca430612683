//! `deliver`: until the outbox is empty or the time is over.

use crate::home::{Home, finish};
use mcp_reporter::coordinator::Fault;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn an_outage_leaves_the_events_and_says_why() {
    let (home, coordinator) = Home::with_coordinator("");
    coordinator.set_fault(Fault::Refuse).unwrap();
    home.ok(&["report", "start", "--id", "a"]);
    home.ok(&["report", "start", "--id", "b"]);
    let ran = home.run(&["deliver", "--timeout", "1"]);
    ran.refused(1, "2 events not delivered: ");
    ran.refused(1, "connection refused");
    assert!(
        ran.out.ends_with("delivered 0 events, 2 waiting\n"),
        "{ran:?}"
    );
    coordinator.set_fault(Fault::None).unwrap();
    let done = home.json(&["deliver", "--json"]);
    assert_eq!(
        (&done["delivered"], &done["waiting"]),
        (&json!(2), &json!(0)),
        "{done}"
    );
    assert_eq!(coordinator.stored().unwrap().len(), 2);
}

#[test]
fn a_wrong_key_pauses_and_is_said_without_waiting_in_vain() {
    let (home, coordinator) = Home::with_coordinator("");
    coordinator.set_fault(Fault::Status(401)).unwrap();
    home.ok(&["report", "start", "--id", "a"]);
    let begun = Instant::now();
    let ran = home.run(&["deliver", "--timeout", "20"]);
    ran.refused(1, "1 event not delivered: paused: ");
    ran.refused(1, "401");
    // The next probe would come after the timeout.
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
    let status = home.json(&["outbox", "status", "--json"]);
    assert_eq!(status["breaker"], "paused");
    assert!(
        status["paused_reason"].as_str().unwrap().contains("401"),
        "{status}"
    );
    assert!(status["next_attempt_s"].as_f64().unwrap() > 0.0, "{status}");
    let document = home.run(&["deliver", "--timeout", "0.1", "--json"]);
    assert_eq!(document.code, 1);
    let document: serde_json::Value = serde_json::from_str(&document.out).unwrap();
    assert_eq!(
        (&document["waiting"], &document["breaker"]),
        (&json!(1), &json!("paused"))
    );
}

#[test]
fn while_another_process_delivers_it_watches() {
    let (home, coordinator) = Home::with_coordinator("request_timeout = 4");
    coordinator.set_fault(Fault::Hang).unwrap();
    home.ok(&["report", "start", "--id", "a"]);
    let first = home.start(&["deliver", "--timeout", "50"]);
    let status = home.wait_for(|status| !status["lease_holder"].is_null());
    let holder = status["lease_holder"].as_str().unwrap();
    assert!(
        holder.starts_with(&format!("pid-{}", first.id())),
        "{holder}"
    );

    let ran = home.run(&["deliver", "--timeout", "0.5"]);
    ran.refused(
        1,
        &format!("1 event not delivered: {holder} is still delivering"),
    );

    coordinator.set_fault(Fault::None).unwrap();
    let second = home.start(&["deliver", "--timeout", "50"]);
    let (first, second) = (finish(first), finish(second));
    assert_eq!((first.code, second.code), (0, 0), "{first:?} {second:?}");
    assert_eq!(coordinator.stored().unwrap().len(), 1);
    assert_eq!(coordinator.stats().duplicates_ignored, 0);
}

#[test]
fn it_serves_metrics_while_it_runs_and_other_commands_do_not() {
    let (home, coordinator) = Home::with_coordinator("metrics_listen = \"127.0.0.1:0\"");
    coordinator.set_fault(Fault::Refuse).unwrap();
    // Commands that only look never listen: the line that says so is not there.
    home.ok(&["report", "start", "--id", "a"]);
    let status = home.run(&["outbox", "status"]);
    assert!(!status.err.contains("metrics"), "{status:?}");
    let running = home.start(&["deliver", "--timeout", "50", "--log-file", "log"]);
    let begun = Instant::now();
    let address = loop {
        let log = std::fs::read_to_string(home.path("log")).unwrap_or_default();
        let rest = log
            .split_once("metrics are at http://")
            .map(|(_, rest)| rest);
        if let Some((address, _)) = rest.and_then(|rest| rest.split_once("/metrics")) {
            break address.to_owned();
        }
        assert!(begun.elapsed() < crate::home::DEADLINE, "{log}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut stream = std::net::TcpStream::connect(&address).unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(
        answer.contains("\nmcp_reporter_outbox_waiting 1\n"),
        "{answer}"
    );

    // An address in use fails the command at its start.
    home.run(&["deliver", "--metrics-listen", &address])
        .refused(1, &format!("metrics_listen = \"{address}\": "));
    coordinator.set_fault(Fault::None).unwrap();
    assert_eq!(finish(running).code, 0);
}
