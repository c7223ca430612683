//! What the tracker makes of messages: the traps of both eras, and any order of them.

use mcp_reporter_capture::{
    Body, CaptureSettings, Channel, Direction, End, Method, NoProcess, Report, Tracker,
};
use mcp_reporter_event::event::Action;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const C: Channel = Channel(1);

struct Session {
    tracker: Tracker<NoProcess>,
    now: u64,
}

impl Session {
    fn new(settings: CaptureSettings) -> Self {
        Self {
            tracker: Tracker::new(settings, NoProcess, 42),
            now: 1_718_000_000_000_000_000,
        }
    }

    fn send(&mut self, channel: Channel, direction: Direction, message: &str) {
        self.now += 1_000_000;
        self.tracker
            .message(channel, direction, self.now, message.as_bytes());
    }

    fn client(&mut self, message: &str) {
        self.send(C, Direction::ToServer, message);
    }

    fn server(&mut self, message: &str) {
        self.send(C, Direction::ToClient, message);
    }

    fn reports(&mut self) -> Vec<Report> {
        std::iter::from_fn(|| self.tracker.next_report()).collect()
    }

    /// The reports so far: actions, and of an end how it ended.
    fn story(&mut self) -> String {
        let one = |report: Report| {
            let data: Value = serde_json::from_str(&report.data).unwrap();
            match report.action {
                Action::Start => "start".to_owned(),
                Action::Progress => data["progress_type"].as_str().unwrap().to_owned(),
                Action::Complete => "complete".to_owned(),
                Action::Error => data["error.type"].as_str().unwrap().to_owned(),
            }
        };
        let all: Vec<_> = self.reports().into_iter().map(one).collect();
        all.join(" ")
    }
}

fn session() -> Session {
    Session::new(CaptureSettings::default())
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
const ANSWER: &str = r#"{"result":{"content":[]},"jsonrpc":"2.0","id":1}"#;

#[test]
fn the_id_may_stand_last_and_lines_may_be_noise() {
    let mut s = session();
    s.client("not JSON");
    s.client(r#"{"params":{"name":"t"},"method":"tools/call","id":1}"#);
    s.server("starting up…");
    s.server(ANSWER);
    assert_eq!(s.story(), "start complete");
}

#[test]
fn an_id_has_a_type() {
    let mut s = session();
    s.client(CALL);
    s.server(r#"{"id":"1","result":{}}"#);
    assert_eq!(s.story(), "start");
    s.client(&CALL.replace(":1,", ":\"1\","));
    s.server(r#"{"id":"1","error":{"code":-32000,"message":"m"}}"#);
    s.server(ANSWER);
    assert_eq!(s.story(), "start -32000 complete");
}

#[test]
fn ids_of_the_two_directions_are_apart() {
    let mut s = session();
    s.client(CALL);
    s.server(r#"{"id":1,"method":"sampling/createMessage","params":{}}"#);
    s.client(r#"{"id":1,"result":{"role":"assistant"}}"#);
    s.client(r#"{"id":1,"error":{"code":-1,"message":"no"}}"#);
    assert_eq!(s.story(), "start sampling");
    s.server(ANSWER);
    assert_eq!(s.story(), "complete");
}

#[test]
fn handshakes_are_no_interactions() {
    let mut s = session();
    s.client(r#"{"id":1,"method":"server/discover","params":{}}"#);
    s.server(r#"{"id":1,"error":{"code":-32601,"message":"Method not found"}}"#);
    s.client(r#"{"id":2,"method":"initialize","params":{}}"#);
    s.server(r#"{"id":2,"result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"s"}}}"#);
    assert_eq!(s.story(), "");
    s.client(CALL);
    s.server(ANSWER);
    let reports = s.reports();
    assert!(
        reports[0]
            .data
            .contains(r#""mcp.protocol.version":"2025-11-25""#)
    );
    assert!(reports[1].data.contains(r#""adapter_used":"s""#));
}

#[test]
fn arrays_are_batches() {
    let mut s = session();
    s.client(&format!("[{CALL},7,{}]", CALL.replace(":1,", ":2,")));
    s.server(r#"[{"id":2,"result":{}},{"id":1,"result":{"isError":true}}]"#);
    assert_eq!(s.story(), "start start complete tool_error");
}

#[test]
fn a_late_answer_is_ignored() {
    let mut s = session();
    s.client(CALL);
    s.client(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    s.server(r#"{"method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#);
    s.server(ANSWER);
    assert_eq!(s.story(), "start cancelled");
}

#[test]
fn only_who_asked_can_cancel() {
    let mut s = session();
    s.client(CALL);
    s.server(r#"{"method":"notifications/cancelled","params":{"requestId":1}}"#);
    s.client(r#"{"method":"notifications/cancelled","params":{"requestId":"1"}}"#);
    s.server(ANSWER);
    assert_eq!(s.story(), "start complete");
}

#[test]
fn a_closed_stream_cancels() {
    let mut s = session();
    s.client(CALL);
    s.tracker.end(C, s.now, End::ClientCancelled);
    assert_eq!(s.story(), "start cancelled");
}

#[test]
fn whoever_takes_an_open_id_ends_it() {
    let mut s = session();
    s.client(CALL);
    s.client(CALL);
    s.server(ANSWER);
    assert_eq!(s.story(), "start replaced start complete");
}

#[test]
fn channels_are_apart() {
    let mut s = session();
    s.client(CALL);
    s.send(Channel(2), Direction::ToServer, CALL);
    s.send(Channel(2), Direction::ToClient, ANSWER);
    s.tracker.end(Channel(2), s.now, End::NoResult);
    assert_eq!(s.story(), "start start complete");
    s.tracker.end(C, s.now, End::ServerExited(139));
    let reports = s.reports();
    assert!(
        reports[0].data.contains(r#""error_code":139"#),
        "{}",
        reports[0].data
    );
}

#[test]
fn a_retry_with_the_state_goes_on_and_input_is_progress() {
    let mut s = session();
    s.client(CALL);
    s.server(r#"{"id":1,"result":{"resultType":"input_required","requestState":"st","inputRequests":{"a":{}}}}"#);
    s.tracker.end(C, s.now, End::NoResult);
    let retry = r#"{"id":2,"method":"tools/call","params":{"name":"t","requestState":"st","inputResponses":{},"_meta":{"progressToken":"x"}}}"#;
    s.send(Channel(9), Direction::ToServer, retry);
    s.send(
        Channel(9),
        Direction::ToClient,
        r#"{"method":"notifications/progress","params":{"progressToken":"x","progress":0.5}}"#,
    );
    s.send(
        Channel(9),
        Direction::ToClient,
        r#"{"id":2,"result":{"resultType":"complete"}}"#,
    );
    assert_eq!(s.story(), "start input_required progress complete");
    assert_eq!(s.tracker.open(), 0);
}

#[test]
fn tasks_of_both_eras_end_once_however_their_end_is_seen() {
    let new = r#"{"id":1,"result":{"resultType":"task","taskId":"T","status":"working"}}"#;
    let old = r#"{"id":1,"result":{"task":{"taskId":"T","status":"working"}}}"#;
    let get = r#"{"id":5,"method":"tasks/get","params":{"taskId":"T"}}"#;
    let cases = [
        (
            get,
            r#"{"id":5,"result":{"taskId":"T","status":"completed","result":{"content":[]}}}"#,
            "complete",
        ),
        (
            get,
            r#"{"id":5,"result":{"taskId":"T","status":"completed","result":{"isError":true}}}"#,
            "tool_error",
        ),
        (
            get,
            r#"{"id":5,"result":{"taskId":"T","status":"failed","error":{"code":-7,"message":"m"}}}"#,
            "-7",
        ),
        (
            get,
            r#"{"id":5,"result":{"taskId":"T","status":"failed"}}"#,
            "task_failed",
        ),
        (
            r#"{"id":5,"method":"tasks/result","params":{"taskId":"T"}}"#,
            r#"{"id":5,"result":{"content":[],"isError":true}}"#,
            "tool_error",
        ),
        (
            r#"{"id":5,"method":"tasks/cancel","params":{"taskId":"T"}}"#,
            r#"{"id":5,"result":{"taskId":"T","status":"cancelled"}}"#,
            "cancelled",
        ),
        (
            r#"{"id":5,"method":"tasks/list"}"#,
            r#"{"id":5,"result":{"tasks":[{"taskId":"U","status":"failed"},{"taskId":"T","status":"completed"}]}}"#,
            "complete",
        ),
        (
            "",
            r#"{"method":"notifications/tasks/status","params":{"taskId":"T","status":"completed"}}"#,
            "complete",
        ),
        (
            "",
            r#"{"method":"notifications/tasks","params":{"taskId":"T","status":"failed"}}"#,
            "task_failed",
        ),
    ];
    for became in [new, old] {
        for (ask, told, end) in cases {
            let mut s = session();
            s.client(CALL);
            s.server(became);
            s.tracker.end(C, s.now, End::NoResult);
            for _ in 0..2 {
                s.client(ask);
                s.server(told);
            }
            s.tracker.end_all(s.now, End::ConnectionLost);
            assert_eq!(s.story(), format!("start task {end}"), "{told}");
        }
        let mut s = session();
        s.client(CALL);
        s.server(became);
        s.tracker.end_all(s.now, End::ConnectionLost);
        assert_eq!(s.story(), "start task connection_lost");
    }
}

#[test]
fn of_several_open_none_is_the_one_that_asks() {
    let mut s = session();
    s.client(CALL);
    s.client(&CALL.replace(":1,", ":2,"));
    s.server(r#"{"id":9,"method":"elicitation/create","params":{}}"#);
    assert_eq!(s.story(), "start start");
}

#[test]
fn only_a_trace_of_the_right_form_is_passed_on() {
    let good = "00-35578fab2c256a2663ab37db7a7d5f79-96018fb2c2063cb7-03";
    let bad = [
        "",
        "x",
        &good[1..],
        &good.to_uppercase(),
        &good.replace("00-", "ff-"),
    ];
    let mut s = session();
    for trace in [good].into_iter().chain(bad) {
        s.client(&CALL.replace(
            r#""name":"t""#,
            &format!(r#""name":"t","_meta":{{"traceparent":"{trace}"}}"#),
        ));
        s.server(ANSWER);
        for report in s.reports() {
            assert_eq!(
                report.traceparent.as_deref(),
                (trace == good).then_some(good)
            );
        }
    }
}

#[test]
fn the_oldest_goes_when_too_many_are_open() {
    let mut s = Session::new(CaptureSettings {
        max_open: 3,
        ..CaptureSettings::default()
    });
    for id in 10..20 {
        s.client(&CALL.replace(":1,", &format!(":{id},")));
        assert!(s.tracker.open() <= 3);
    }
    assert_eq!(s.tracker.evicted(), 7);
    let reports = s.reports();
    let evicted = reports
        .iter()
        .filter(|r| r.data.contains(r#""error.type":"evicted""#));
    assert_eq!(evicted.count(), 7);
}

#[test]
fn a_share_is_reported_and_errors_all_the_same() {
    let run = |keep_errors| {
        let mut s = Session::new(CaptureSettings {
            sampling: 0.25,
            keep_errors,
            ..CaptureSettings::default()
        });
        for id in 0..1000 {
            s.client(&format!(r#"{{"id":{id},"method":"tools/call","params":{{"_meta":{{"progressToken":{id}}}}}}}"#));
            s.server(&format!(r#"{{"method":"notifications/progress","params":{{"progressToken":{id},"progress":1}}}}"#));
            s.server(&format!(
                r#"{{"id":{id},"result":{{"isError":{}}}}}"#,
                id % 2 == 0
            ));
        }
        s.reports()
    };
    let count = |reports: &[Report], action| reports.iter().filter(|r| r.action == action).count();
    let all = run(true);
    assert_eq!(count(&all, Action::Error), 500);
    let complete = count(&all, Action::Complete);
    assert!((75..175).contains(&complete), "{complete}");
    assert_eq!(count(&all, Action::Start), 500 + complete);
    assert_eq!(count(&all, Action::Progress), 500 + complete);
    let few = run(false);
    assert_eq!(count(&few, Action::Complete), complete);
    assert!(count(&few, Action::Error) < 200);
    assert_eq!(few, run(false), "the same seed decides the same");
}

#[test]
fn invalid_utf8_in_an_answer_does_not_leave_it_open() {
    let mut s = session();
    s.client(CALL);
    s.tracker.message(
        C,
        Direction::ToClient,
        s.now,
        b"{\"id\":1,\"result\":{\"x\":\"\xff\"}}",
    );
    assert_eq!(s.story(), "start complete");
}

#[test]
fn a_member_that_stands_twice_does_not_hide_a_message() {
    let mut s = session();
    s.client(r#"{"id":7,"id":1,"method":"tools/call","params":{"name":"a","name":"t","_meta":{"user_id":"u","userId":"v"}}}"#);
    s.server(r#"{"id":1,"result":{"isError":false,"isError":true}}"#);
    assert_eq!(s.story(), "start tool_error");
}

/// Messages of a small alphabet, so that their ids, tokens, tasks and states often meet.
fn message() -> impl Strategy<Value = Value> {
    let id = prop_oneof![
        (0..4_i32).prop_map(Value::from),
        (0..2_i32).prop_map(|n| n.to_string().into())
    ];
    let method = prop::sample::select(vec![
        "tools/call",
        "prompts/get",
        "resources/read",
        "completion/complete",
        "initialize",
        "sampling/createMessage",
        "elicitation/create",
        "tasks/get",
        "tasks/result",
        "tasks/cancel",
        "tasks/list",
        "tools/list",
    ]);
    let notification = prop::sample::select(vec![
        "notifications/progress",
        "notifications/cancelled",
        "notifications/tasks",
        "notifications/tasks/status",
        "notifications/message",
    ]);
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let status = prop::sample::select(vec![
        "working",
        "completed",
        "failed",
        "cancelled",
        "input_required",
        "",
    ]);
    let kind = prop::sample::select(vec!["complete", "input_required", "task", "other"]);
    (id, method, notification, name, status, kind, any::<bool>(), 0..6_u8).prop_map(
        |(id, method, notification, name, status, kind, yes, form)| match form {
            0 | 1 => json!({"id":id,"method":method,"params":{
                "name":name,"uri":name,"taskId":name,"requestState":if yes { json!(name) } else { json!(null) },
                "arguments":{"password":"hunter2","x":name},"_meta":{"progressToken":id}}}),
            2 => json!({"method":notification,"params":{
                "progressToken":id,"progress":1,"requestId":id,"taskId":name,"status":status,"message":name}}),
            3 => json!({"id":id,"error":{"code":-1,"message":"hunter2"}}),
            4 => json!({"id":id,"result":{"task":{"taskId":name,"status":status}}}),
            _ => json!({"id":id,"result":{"resultType":kind,"taskId":name,"status":status,
                "requestState":name,"isError":yes,"result":{"isError":yes},"tasks":[{"taskId":name,"status":status}]}}),
        },
    )
}

fn settings() -> impl Strategy<Value = CaptureSettings> {
    let body = prop::sample::select(vec![
        Body::Metadata,
        Body::Arguments,
        Body::Results,
        Body::All,
    ]);
    (body, any::<bool>(), any::<bool>(), 0..6_usize).prop_map(
        |(body, half, keep_errors, max_open)| CaptureSettings {
            body,
            keep_errors,
            max_open,
            sampling: if half { 0.5 } else { 1.0 },
            methods: vec![Method::Complete, Method::Sampling, Method::Elicitation],
            ..CaptureSettings::default()
        },
    )
}

/// Each starts once and first, and ends once and last.
fn check(reports: &[Report], complete: bool) {
    let mut seen: BTreeMap<&str, Vec<Action>> = BTreeMap::new();
    for report in reports {
        assert!(
            serde_json::from_str::<Value>(&report.data)
                .unwrap()
                .is_object()
        );
        assert!(!report.data.contains("hunter2"));
        seen.entry(&report.interaction_id)
            .or_default()
            .push(report.action);
    }
    for actions in seen.values() {
        let starts = actions.iter().filter(|a| **a == Action::Start).count();
        let ends = actions
            .iter()
            .filter(|a| matches!(a, Action::Complete | Action::Error))
            .count();
        assert_eq!((actions[0], starts), (Action::Start, 1), "{actions:?}");
        assert_eq!(ends, usize::from(complete), "{actions:?}");
        assert!(matches!(
            actions[actions.len() - 1],
            Action::Complete | Action::Error
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_each_interaction_ends_once(
        settings in settings(),
        steps in prop::collection::vec((message(), any::<bool>(), 0..2_u64, 0..20_u8), 1..80),
    ) {
        let max_open = settings.max_open.max(1);
        let mut s = Session::new(settings);
        for (message, to_server, channel, end) in steps {
            let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
            s.send(Channel(channel), direction, &message.to_string());
            if end == 0 {
                s.tracker.end(Channel(channel), s.now, End::NoResult);
            }
            prop_assert!(s.tracker.open() <= max_open);
        }
        s.tracker.end_all(s.now, End::ConnectionLost);
        prop_assert_eq!(s.tracker.open(), 0);
        check(&s.reports(), true);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..200), to_server: bool) {
        let mut s = session();
        let direction = if to_server { Direction::ToServer } else { Direction::ToClient };
        s.tracker.message(C, direction, 1, &bytes);
        s.tracker.message(C, direction, 1, &[b"{\"id\":1,\"method\":\"tools/call\",\"params\":", &bytes[..], b"}"].concat());
        s.tracker.end_all(2, End::NoResult);
        check(&s.reports(), true);
    }
}
