//! Recorded sessions of real clients and servers, replayed through the tracker.
//!
//! `data/mcp-sessions.jsonl` holds the lines of four runs: `run`, `seq`, `t_ms` (since the start),
//! `dir` (`c2s`, `s2c`, `stderr`, `…-eof`, `exit`) and `line`. A run is one session, but for
//! `conformance-supergateway`, where a bridge started 34 servers one after the other: there `seq` 1
//! begins a new process. That makes 37 sessions. One ends with the server's exit where that was
//! recorded, and with a lost connection elsewhere.
//!
//! What the tracker reports is compared with `data/sessions/<run>.<what is captured>.jsonl`, which
//! was reviewed by hand against the recorded lines: times in milliseconds since the session's
//! start, interactions numbered in the order in which they began. `UPDATE_FIXTURES=1` writes those
//! files anew, to be reviewed again.

use mcp_reporter_capture::{Body, CaptureSettings, Channel, Direction, End, NoProcess, Tracker};
use mcp_reporter_event::event::Action;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

struct Line {
    run: String,
    t_ms: f64,
    dir: String,
    text: String,
}

type Session = Vec<Line>;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn sessions() -> Vec<Session> {
    let text = std::fs::read_to_string(data().join("mcp-sessions.jsonl")).unwrap();
    let mut sessions: Vec<Session> = Vec::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let new = line["seq"] == json!(1);
        let line = Line {
            run: field("run"),
            t_ms: line["t_ms"].as_f64().unwrap(),
            dir: field("dir"),
            // The exit's code is written as a number.
            text: line["line"]
                .as_str()
                .map_or_else(|| line["line"].to_string(), Into::into),
        };
        if new {
            sessions.push(Vec::new());
        }
        sessions.last_mut().unwrap().push(line);
    }
    sessions
}

/// 2024-06-10T05:33:20Z: the recording's own start does not matter.
const START_NS: u64 = 1_718_000_000_000_000_000;

fn replay(session: &Session, body: Body) -> Vec<Value> {
    let settings = CaptureSettings {
        body,
        ..CaptureSettings::default()
    };
    let mut tracker = Tracker::new(settings, NoProcess, 7);
    let channel = Channel(1);
    let at = |ms: f64| START_NS + (ms * 1e6).round() as u64;
    for line in session {
        let now = at(line.t_ms);
        match line.dir.as_str() {
            "c2s" => tracker.message(channel, Direction::ToServer, now, line.text.as_bytes()),
            "s2c" => tracker.message(channel, Direction::ToClient, now, line.text.as_bytes()),
            "exit" => tracker.end_all(now, End::ServerExited(line.text.parse().unwrap_or(0))),
            _ => {}
        }
    }
    tracker.end_all(at(session.last().unwrap().t_ms), End::ConnectionLost);
    assert_eq!(tracker.open(), 0);

    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut events = Vec::new();
    let mut last_ns = 0;
    while let Some(report) = tracker.next_report() {
        assert!(report.timestamp_ns >= last_ns, "time goes back");
        last_ns = report.timestamp_ns;
        let next = numbers.len() + 1;
        let number = *numbers.entry(report.interaction_id).or_insert(next);
        let data: Value = serde_json::from_str(&report.data).unwrap();
        assert!(data.is_object());
        let mut event = json!({
            "t_ms": (report.timestamp_ns - START_NS) as f64 / 1e6,
            "interaction": number,
            "action": report.action.name(),
            report.action.data_key(): data,
        });
        if let Some(traceparent) = report.traceparent {
            event["traceparent"] = traceparent.into();
        }
        events.push(event);
    }
    events
}

/// The requests that open an interaction, counted without the tracker. A retry goes on with one.
fn requests(session: &Session) -> usize {
    let opens = |line: &&Line| {
        let Ok(message) = serde_json::from_str::<Value>(&line.text) else {
            return false;
        };
        line.dir == "c2s"
            && ["tools/call", "prompts/get", "resources/read"]
                .iter()
                .any(|m| message["method"] == *m)
            && message["params"]["requestState"].is_null()
    };
    session.iter().filter(opens).count()
}

#[test]
fn there_are_37_sessions_and_all_their_calls_are_reported() {
    let sessions = sessions();
    assert_eq!(sessions.len(), 37);
    let mut all = 0;
    for session in &sessions {
        for body in [Body::Metadata, Body::Arguments, Body::Results, Body::All] {
            let events = replay(session, body);
            let starts = events
                .iter()
                .filter(|e| e["action"] == Action::Start.name());
            assert_eq!(starts.count(), requests(session));
        }
        all += requests(session);
    }
    assert_eq!(all, EXPECTED_CALLS);
}

/// As `grep` counts them in the file.
const EXPECTED_CALLS: usize = 51;

#[test]
fn each_interaction_starts_once_first_and_ends_once_last() {
    for session in sessions() {
        let mut seen: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for event in replay(&session, Body::Metadata) {
            let number = event["interaction"].as_u64().unwrap();
            let action = event["action"].as_str().unwrap().to_owned();
            seen.entry(number).or_default().push(action);
        }
        for actions in seen.values() {
            let ends = |a: &&String| *a == "interaction_complete" || *a == "interaction_error";
            assert_eq!(actions.first().unwrap(), "interaction_start");
            assert_eq!(
                actions.iter().filter(|a| *a == "interaction_start").count(),
                1
            );
            assert_eq!(actions.iter().filter(ends).count(), 1, "{actions:?}");
            assert!(ends(&actions.last().unwrap()));
        }
    }
}

#[test]
fn the_events_are_those_of_the_fixtures() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    for (name, body) in [("metadata", Body::Metadata), ("all", Body::All)] {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for (number, session) in sessions().iter().enumerate() {
            let text = files.entry(session[0].run.clone()).or_default();
            for mut event in replay(session, body) {
                let event = event.as_object_mut().unwrap();
                let mut line = serde_json::Map::new();
                line.insert("session".into(), (number + 1).into());
                line.append(event);
                text.push_str(&Value::Object(line).to_string());
                text.push('\n');
            }
        }
        for (run, events) in files {
            let path = data().join(format!("sessions/{run}.{name}.jsonl"));
            if update {
                std::fs::write(&path, &events).unwrap();
            }
            let expected = std::fs::read_to_string(&path).unwrap_or_default();
            for (n, (got, want)) in events.lines().zip(expected.lines()).enumerate() {
                assert_eq!(got, want, "{run}.{name}.jsonl, line {}", n + 1);
            }
            assert_eq!(
                events.lines().count(),
                expected.lines().count(),
                "{run}.{name}.jsonl"
            );
        }
    }
}
