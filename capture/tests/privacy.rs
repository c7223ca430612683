//! What may not leave the machine does not, whatever is captured.

use mcp_reporter_capture::{
    Body, CaptureSettings, Channel, Direction, End, Method, NoProcess, Report, Tracker,
};
use serde_json::{Value, json};

const ALL: [Body; 4] = [Body::Metadata, Body::Arguments, Body::Results, Body::All];
const CHANNEL: Channel = Channel(3);

fn tracker(body: Body) -> Tracker<NoProcess> {
    let settings = CaptureSettings {
        body,
        redact: vec!["staff-number".into()],
        methods: vec![Method::Complete, Method::Sampling, Method::Elicitation],
        ..CaptureSettings::default()
    };
    Tracker::new(settings, NoProcess, 1)
}

fn to_server(tracker: &mut Tracker<NoProcess>, message: Value) {
    tracker.message(
        CHANNEL,
        Direction::ToServer,
        1,
        message.to_string().as_bytes(),
    );
}

fn to_client(tracker: &mut Tracker<NoProcess>, message: Value) {
    tracker.message(
        CHANNEL,
        Direction::ToClient,
        2,
        message.to_string().as_bytes(),
    );
}

fn reports(tracker: &mut Tracker<NoProcess>) -> Vec<Report> {
    std::iter::from_fn(|| tracker.next_report()).collect()
}

fn call(id: u32, arguments: &Value) -> Value {
    json!({"jsonrpc":"2.0","id":id,"method":"tools/call","params":{
        "name":"login","arguments":arguments,"_meta":{"progressToken":id}}})
}

/// All that a server can say of a call: progress, and the result or the error.
fn say(tracker: &mut Tracker<NoProcess>, id: u32, text: &str, uri: &str) {
    to_client(
        tracker,
        json!({"method":"notifications/progress","params":{
        "progressToken":id,"progress":1,"message":text}}),
    );
    let content =
        json!([{"type":"text","text":text},{"type":"resource_link","uri":uri,"name":text}]);
    let answer = match id % 3 {
        0 => json!({"id":id,"result":{"content":content}}),
        1 => json!({"id":id,"result":{"content":content,"isError":true}}),
        _ => json!({"id":id,"error":{"code":-32000,"message":text,"data":{"uri":uri}}}),
    };
    to_client(tracker, answer);
    to_server(
        tracker,
        json!({"id":id + 1000,"method":"resources/read","params":{"uri":uri}}),
    );
    to_client(
        tracker,
        json!({"id":id + 1000,"result":{"contents":[{"uri":uri,"text":text}]}}),
    );
}

#[test]
fn no_secret_of_a_calls_arguments_is_in_any_report() {
    let secrets = [
        "correct horse/battery",
        "pä\"ss\\w",
        "abc123tok",
        "sk-live-abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrst12345",
        "4711-0815",
        "nested-leaf-value",
        "987654321",
        "s3ss10n-1d-value",
    ];
    let arguments = json!({
        "password": secrets[0],
        "DB-Passwd": secrets[1],
        "headers": {"Authorization": format!("Bearer {}", secrets[2])},
        "key": secrets[3],
        "note": format!("use {} for git", secrets[4]),
        "Staff_Number": secrets[5],
        "credentials": {"a": [{"b": secrets[6]}]},
        "token": 987_654_321,
        "sessionId": secrets[8],
        "user": "ada",
    });
    for body in ALL {
        let mut tracker = tracker(body);
        let mut next = 0;
        for secret in secrets {
            for form in [
                format!("you said {secret}, ok"),
                format!("password={secret}"),
                json!({"password": secret}).to_string(),
                json!({"echo": {"of": secret}}).to_string(),
                json!({"twice": json!({"of": secret}).to_string()}).to_string(),
            ] {
                let encoded: String = secret
                    .bytes()
                    .map(|b| match b {
                        b if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) => {
                            char::from(b).to_string()
                        }
                        b => format!("%{b:02X}"),
                    })
                    .collect();
                let uri = format!("mem://{encoded}/x?token={encoded}");
                for _ in 0..3 {
                    next += 1;
                    to_server(&mut tracker, call(next, &arguments));
                    say(&mut tracker, next, &form, &uri);
                }
            }
        }
        let reports = reports(&mut tracker);
        assert!(reports.len() > secrets.len() * 5 * 3 * 4);
        for report in reports {
            for secret in secrets {
                let json = json!(secret).to_string();
                let json = &json[1..json.len() - 1];
                for form in [secret, json, &json.replace('\\', "\\\\")] {
                    assert!(
                        !report.data.contains(form),
                        "{body:?}: {form} in {}",
                        report.data
                    );
                }
            }
            for leftover in ["correct%20horse", "p%C3%A4", "horse/battery"] {
                assert!(!report.data.contains(leftover), "{body:?}: {}", report.data);
            }
        }
    }
}

#[test]
fn metadata_holds_no_text_of_the_messages() {
    let mut tracker = tracker(Body::Metadata);
    let text = "quite-an-ordinary-text";
    let error = json!({"code":-1,"message":text});
    let asked = json!({"a":{"method":"elicitation/create","params":{"message":text}}});
    let params = |method: &str| match method {
        "prompts/get" => json!({"name":"p","arguments":{"a":text}}),
        "resources/read" => json!({"uri":format!("http://{text}@h/r?{text}#{text}")}),
        "tools/call" => {
            json!({"name":"t","arguments":{text:text},"_meta":{"progressToken":"p","baggage":text}})
        }
        _ => {
            json!({"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"n","value":text},"message":text})
        }
    };
    let answers = [
        json!({"result":{"content":[{"type":"text","text":text}],"structuredContent":{text:text}}}),
        json!({"result":{"content":[{"type":"text","text":text}],"isError":true}}),
        json!({"error":error}),
        json!({"result":{"resultType":"input_required","requestState":text,"inputRequests":asked}}),
        json!({"result":{"resultType":"task","taskId":"t1","status":"working","statusMessage":text}}),
    ];
    let mut id = 0;
    for method in [
        "tools/call",
        "prompts/get",
        "resources/read",
        "completion/complete",
    ] {
        for answer in &answers {
            id += 1;
            to_server(
                &mut tracker,
                json!({"id":id,"method":method,"params":params(method)}),
            );
            to_client(
                &mut tracker,
                json!({"method":"notifications/progress","params":{
                "progressToken":"p","progress":1,"message":text}}),
            );
            to_client(
                &mut tracker,
                json!({"id":id,"method":"sampling/createMessage","params":{"systemPrompt":text}}),
            );
            to_server(
                &mut tracker,
                json!({"id":id,"result":{"content":{"text":text}}}),
            );
            let mut answer = answer.clone();
            answer["id"] = id.into();
            to_client(&mut tracker, answer);
        }
    }
    to_client(
        &mut tracker,
        json!({"method":"notifications/tasks/status","params":{
        "taskId":"t1","status":"failed","statusMessage":text,"error":error}}),
    );
    to_server(
        &mut tracker,
        json!({"id":"c","method":"tools/call","params":params("tools/call")}),
    );
    to_server(
        &mut tracker,
        json!({"method":"notifications/cancelled","params":{"requestId":"c","reason":text}}),
    );
    tracker.end_all(3, End::ServerExited(1));
    let reports = reports(&mut tracker);
    assert!(reports.len() > 60);
    for report in reports {
        assert!(!report.data.contains(text), "{}", report.data);
        if report.data.contains("request_type") {
            let data: Value = serde_json::from_str(&report.data).unwrap();
            assert_eq!(data["parameters"], json!({}));
        }
    }
}

#[test]
fn names_that_peers_choose_are_cut_and_clean() {
    let key = "ghp_abcdefghijklmnopqrst12345";
    for body in ALL {
        let mut tracker = tracker(body);
        to_server(
            &mut tracker,
            json!({"id":0,"method":"initialize","params":{}}),
        );
        to_client(
            &mut tracker,
            json!({"id":0,"result":{
            "protocolVersion":format!("2025 {key}"),"serverInfo":{"name":format!("server {key}")}}}),
        );
        tracker.session(CHANNEL, &format!("session {key}"));
        let long = "n".repeat(100_000);
        for (id, method, params) in [
            (
                json!(format!("id {key}")),
                "tools/call",
                json!({"name":format!("tool {key}")}),
            ),
            (
                json!(2),
                "prompts/get",
                json!({"name":format!("prompt {key}")}),
            ),
            (
                json!(3),
                "resources/read",
                json!({"uri":format!("mem://{key}")}),
            ),
            (json!(4), "tools/call", json!({"name":long})),
            (
                json!(5),
                "resources/read",
                json!({"uri":format!("data:text/plain,{long}")}),
            ),
            (
                json!(long),
                "tools/call",
                json!({"name":"x","_meta":{"userId":format!("{key}{long}")}}),
            ),
        ] {
            to_server(
                &mut tracker,
                json!({"id":id,"method":method,"params":params}),
            );
            to_client(&mut tracker, json!({"id":id,"result":{}}));
        }
        let reports = reports(&mut tracker);
        assert_eq!(reports.len(), 12);
        for report in reports {
            assert!(!report.data.contains(key), "{}", report.data);
            assert!(report.data.len() < 15_000, "{}", report.data.len());
        }
    }
}

#[test]
fn what_is_captured_is_what_was_asked_for() {
    for body in ALL {
        let mut tracker = tracker(body);
        to_server(&mut tracker, call(3, &json!({"given":"by the caller"})));
        say(&mut tracker, 3, "said by the server", "mem://x");
        let all: String = reports(&mut tracker).into_iter().map(|r| r.data).collect();
        let arguments = matches!(body, Body::Arguments | Body::All);
        let results = matches!(body, Body::Results | Body::All);
        assert_eq!(all.contains("by the caller"), arguments);
        assert_eq!(all.contains("gen_ai.tool.call.arguments"), arguments);
        assert_eq!(all.contains("said by the server"), results);
        assert_eq!(all.contains("gen_ai.tool.call.result"), results);
    }
}

#[test]
fn a_large_field_is_cut_and_says_so() {
    let mut tracker = tracker(Body::All);
    let long = "word ".repeat(10_000);
    to_server(&mut tracker, call(3, &json!({"long":long})));
    say(&mut tracker, 3, &long, "mem://x");
    for report in reports(&mut tracker) {
        assert!(report.data.len() < 3 * 4096 + 1000, "{}", report.data.len());
        if report.data.contains("word word") {
            assert!(report.data.contains("[truncated, 50000 bytes]"));
        }
    }
}

#[test]
fn what_a_person_answers_is_as_secret_as_an_argument() {
    let secret = "correct horse/battery";
    for body in ALL {
        let mut tracker = tracker(body);
        to_server(&mut tracker, call(3, &json!({})));
        to_client(
            &mut tracker,
            json!({"id":1,"method":"elicitation/create","params":{}}),
        );
        to_server(
            &mut tracker,
            json!({"id":1,"result":{"content":{"password":secret}}}),
        );
        say(&mut tracker, 3, &format!("you said {secret}"), "mem://x");

        let mut retried = self::tracker(body);
        to_server(&mut retried, call(3, &json!({})));
        to_client(
            &mut retried,
            json!({"id":3,"result":{"resultType":"input_required","requestState":"s"}}),
        );
        to_server(
            &mut retried,
            json!({"id":6,"method":"tools/call","params":{"requestState":"s",
            "inputResponses":{"a":{"content":{"password":secret}}},"_meta":{"progressToken":6}}}),
        );
        say(&mut retried, 6, &format!("you said {secret}"), "mem://x");

        for report in reports(&mut tracker)
            .into_iter()
            .chain(reports(&mut retried))
        {
            assert!(!report.data.contains("horse"), "{}", report.data);
        }
    }
}

#[test]
fn secrets_that_cannot_all_be_known_keep_the_servers_words_back() {
    let secret = "correct horse";
    let deep = |levels: usize| {
        format!(
            "{}{{\"password\":\"{secret}\"}}{}",
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    let many: serde_json::Map<String, Value> = (0..2000)
        .map(|n| (format!("token{n}"), json!(format!("{secret} {n}"))))
        .collect();
    let long = format!("{secret} {}", "x".repeat(100_000));
    for (arguments, said) in [
        (deep(50), secret.to_owned()),
        (deep(500), secret.to_owned()),
        (Value::Object(many).to_string(), format!("{secret} 7")),
        (json!({"password":long}).to_string(), long.clone()),
        (
            format!("{{\"p\\u0061ssword\":\"{secret}\"}}"),
            secret.to_owned(),
        ),
    ] {
        for body in ALL {
            for id in 1..4 {
                let mut tracker = tracker(body);
                let message = format!(
                    "{{\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"arguments\":{arguments},\"_meta\":{{\"progressToken\":{id}}}}}}}"
                );
                tracker.message(CHANNEL, Direction::ToServer, 1, message.as_bytes());
                to_client(
                    &mut tracker,
                    json!({"method":"notifications/progress","params":{
                    "progressToken":id,"progress":1,"message":said}}),
                );
                to_client(
                    &mut tracker,
                    match id {
                        1 => json!({"id":id,"result":{"content":[{"text":said}]}}),
                        2 => json!({"id":id,"result":{"content":[{"text":said}],"isError":true}}),
                        _ => json!({"id":id,"error":{"code":1,"message":said}}),
                    },
                );
                let reports = reports(&mut tracker);
                assert_eq!(reports.len(), 3);
                for report in reports {
                    assert!(!report.data.contains(secret), "{body:?}: {}", report.data);
                }
            }
        }
    }
}
