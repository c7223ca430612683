//! The MCP server in `examples/spin-mcp-server`, whose reports go through the component that it
//! depends on.

use mcp_reporter_tests::spin::{Ground, Mode, Spin, mcp_server};
use mcp_reporter_tests::{Client, assert_one_key_each, coordinator, json, stored};
use serde_json::{Value, json};

use super::{DELIVER, OUTBOX, ask, connected};

/// The application, reporting to the coordinator at `url`.
async fn started(ground: &Ground, url: &str, inherits: Option<&[&str]>) -> Spin {
    let components = mcp_server(url, inherits).unwrap();
    let started = Spin::start_all(components, ground.backend()).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// Sends a message as a client of MCP does after the handshake.
async fn send(client: &mut Client, message: &str) -> (u16, String) {
    let headers = [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2025-11-25"),
    ];
    let answer = client.ask("POST", "/mcp", &headers, message).await;
    let (status, said) = answer.unwrap();
    (status.as_u16(), said)
}

fn call(id: u32, name: &str, arguments: &Value) -> String {
    let params = json!({"name": name, "arguments": arguments});
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}).to_string()
}

/// The tool calls of the conversation: the name, the arguments, and the whole answer.
fn calls() -> [(&'static str, Value, Value); 4] {
    let result = |text: &str, error: bool| json!({"result": {"content": [{"type": "text", "text": text}], "isError": error}});
    [
        (
            "count_words",
            json!({"texts": ["one two", "größer", ""]}),
            result(
                "2 words, 7 characters\n1 words, 6 characters\n0 words, 0 characters",
                false,
            ),
        ),
        (
            "days_between",
            json!({"from": "2024-02-28", "to": "2024-03-01"}),
            result("2", false),
        ),
        (
            "days_between",
            json!({"from": "2023-02-29", "to": "2024-03-01"}),
            result("from must be a date of the calendar, as YYYY-MM-DD", true),
        ),
        (
            "no_such_tool",
            json!({}),
            json!({"error": {"code": -32602, "message": "Unknown tool: no_such_tool"}}),
        ),
    ]
}

/// What the conversation reports: the number of the call, the action, and the data byte for byte.
const REPORTED: [(usize, &str, &str); 10] = [
    (
        0,
        "interaction_start",
        r#""request_data":{"mcp.method.name":"tools/call","gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"count_words","jsonrpc.request.id":"10","gen_ai.tool.call.arguments":{"texts":["one two","größer",""]}}"#,
    ),
    (
        0,
        "interaction_progress",
        r#""progress_data":{"progress":1,"total":3}"#,
    ),
    (
        0,
        "interaction_progress",
        r#""progress_data":{"progress":2,"total":3}"#,
    ),
    (
        0,
        "interaction_complete",
        r#""result_data":{"gen_ai.tool.call.result":"2 words, 7 characters\n1 words, 6 characters\n0 words, 0 characters"}"#,
    ),
    (
        1,
        "interaction_start",
        r#""request_data":{"mcp.method.name":"tools/call","gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"days_between","jsonrpc.request.id":"11","gen_ai.tool.call.arguments":{"from":"2024-02-28","to":"2024-03-01"}}"#,
    ),
    (
        1,
        "interaction_complete",
        r#""result_data":{"gen_ai.tool.call.result":"2"}"#,
    ),
    (
        2,
        "interaction_start",
        r#""request_data":{"mcp.method.name":"tools/call","gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"days_between","jsonrpc.request.id":"12","gen_ai.tool.call.arguments":{"from":"2023-02-29","to":"2024-03-01"}}"#,
    ),
    (
        2,
        "interaction_error",
        r#""error_data":{"error_type":"tool_error","error_message":"from must be a date of the calendar, as YYYY-MM-DD"}"#,
    ),
    (
        3,
        "interaction_start",
        r#""request_data":{"mcp.method.name":"tools/call","gen_ai.operation.name":"execute_tool","gen_ai.tool.name":"no_such_tool","jsonrpc.request.id":"13","gen_ai.tool.call.arguments":{}}"#,
    ),
    (
        3,
        "interaction_error",
        r#""error_data":{"error_type":"-32602","error_message":"Unknown tool: no_such_tool"}"#,
    ),
];

/// A request, by its method, headers and body; the status of its answer, and the code of the
/// JSON-RPC error in it.
type Asked<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16, Option<i32>);

/// Has the whole conversation, and asserts that the answers are right.
async fn conversation(spin: &Spin) {
    let mut client = connected(spin).await;
    let params = json!({
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    });
    let initialize =
        json!({"jsonrpc": "2.0", "id": "a", "method": "initialize", "params": params}).to_string();
    let (status, said) = client.ask("POST", "/mcp", &[], &initialize).await.unwrap();
    let said = json(said.as_bytes());
    assert_eq!((status.as_u16(), &said["id"]), (200, &json!("a")), "{said}");
    assert_eq!(said["result"]["protocolVersion"], "2025-11-25", "{said}");
    assert_eq!(said["result"]["capabilities"], json!({"tools": {}}));
    assert_eq!(said["result"]["serverInfo"]["name"], "spin-mcp-server");
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    let accepted = send(&mut client, initialized).await;
    assert_eq!(accepted, (202, String::new()));
    let (status, said) = send(
        &mut client,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
    )
    .await;
    assert_eq!(status, 200, "{said}");
    let said = json(said.as_bytes());
    let tools = said["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["count_words", "days_between"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
    }
    for (id, (name, arguments, mut expected)) in (10..).zip(calls()) {
        let (status, said) = send(&mut client, &call(id, name, &arguments)).await;
        assert_eq!(status, 200, "{said}");
        expected["jsonrpc"] = json!("2.0");
        expected["id"] = json!(id);
        assert_eq!(json(said.as_bytes()), expected);
    }
}

#[test]
fn without_any_inheritance_spin_does_not_compose_it() {
    // A bucket of the store that is denied is none that the host's batch and atomics take, and for
    // those Spin has no denial.
    let refused = mcp_server("http://127.0.0.1:8000", Some(&[])).unwrap_err();
    assert!(refused.contains("cannot be composed"), "{refused}");
    assert!(refused.contains("resource"), "{refused}");
}

#[tokio::test]
async fn a_conversation_is_reported_and_arrives_by_a_call_of_deliver() {
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        let spin = started(&ground, &coordinator.url(), None).await;
        conversation(&spin).await;
        assert_eq!(spin.log(), "", "{mode:?}");
        // All of it is in the store, and none of it has been sent.
        let mut client = connected(&spin).await;
        let status = ask(&mut client, "GET", OUTBOX).await;
        assert_eq!(status["waiting"], REPORTED.len(), "{mode:?}: {status}");
        assert_eq!(coordinator.receipts().len(), 0, "{mode:?}");
        let delivered = ask(&mut client, "POST", DELIVER).await;
        assert_eq!(delivered["delivered"], REPORTED.len(), "{delivered}");
        stored(&coordinator, REPORTED.len() as u64).await;
        assert_one_key_each(&coordinator.receipts());
        let events = coordinator.stored().unwrap();
        // Interactions go side by side, the events of each in order.
        let mut ids: Vec<_> = Vec::new();
        for number in 0..calls().len() {
            let expected = REPORTED.iter().filter(|(call, ..)| *call == number);
            let mut expected = expected.map(|(_, action, data)| (*action, *data));
            let (_, first) = expected.clone().next().unwrap();
            let id = events
                .iter()
                .find(|event| String::from_utf8_lossy(&event.body).contains(first))
                .map(|event| event.interaction_id.clone())
                .unwrap_or_else(|| panic!("{mode:?}: {first} did not arrive"));
            for event in events.iter().filter(|event| event.interaction_id == id) {
                let (action, data) = expected.next().expect("one too many");
                assert_eq!(event.action, action);
                assert_eq!(event.mcp_id.as_deref(), Some("spin-mcp-server"));
                let body = String::from_utf8_lossy(&event.body);
                assert!(body.ends_with(&format!(",{data}}}")), "{body}");
            }
            assert_eq!(expected.next(), None, "{mode:?}: {id}");
            assert!(!ids.contains(&id));
            ids.push(id);
        }
        let counts = spin.counts();
        assert_eq!((counts.trapped, counts.denied), (0, 0), "{counts:?}");
        ground.assert_foreign_keys_untouched(&spin).await;
    }
}

// It asks SQLite itself, for which a thread blocks.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_variables_the_answers_are_the_same_and_nothing_is_reported() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let spin = started(&ground, &coordinator.url(), Some(&["key_value_stores"])).await;
    conversation(&spin).await;
    // It asked the host for nothing: it did not wait, and it stored nothing.
    let counts = spin.counts();
    assert_eq!((counts.trapped, counts.sleeps, counts.sets), (0, 0, 0));
    assert_eq!(spin.store().list_keys().await, Ok(Vec::new()));
    // It says so once for each call, whatever the number of its reports.
    let log = spin.log();
    assert_eq!(log.lines().count(), calls().len(), "{log}");
    for line in log.lines() {
        assert!(line.contains("may not use wasi:config/store"), "{log}");
    }
    // The other component depends on nobody, and works.
    let mut client = connected(&spin).await;
    let delivered = ask(&mut client, "POST", DELIVER).await;
    assert_eq!(
        (&delivered["delivered"], &delivered["waiting"]),
        (&json!(0), &json!(0)),
        "{delivered}"
    );
    assert_eq!(coordinator.receipts().len(), 0);
}

// It asks SQLite itself, for which a thread blocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_stored_does_not_change_the_answer() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    // Reporting is on, and one of the settings that it needs is wrong.
    let mut components = mcp_server(&coordinator.url(), None).unwrap();
    for component in &mut components {
        let variables = &mut component.variables;
        variables.insert("max_events".to_owned(), "many".to_owned());
    }
    let spin = Spin::start_all(components, ground.backend()).await.unwrap();
    conversation(&spin).await;
    let log = spin.log();
    assert_eq!(log.lines().count(), calls().len(), "{log}");
    assert!(log.lines().all(|line| line.contains("max_events")), "{log}");
    assert_eq!(spin.store().list_keys().await, Ok(Vec::new()));
}

// It asks SQLite itself, for which a thread blocks.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_keeps_the_rules_of_json_rpc_and_of_streamable_http() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let spin = started(&ground, &coordinator.url(), None).await;
    let mut client = connected(&spin).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let here = "http://localhost";
    let requests: [Asked; 21] = [
        ("POST", &[], ping, 200, None),
        ("POST", &[("origin", here)], ping, 200, None),
        (
            "POST",
            &[("mcp-protocol-version", "2025-06-18")],
            ping,
            200,
            None,
        ),
        ("GET", &[("accept", "text/event-stream")], "", 405, None),
        ("DELETE", &[], "", 405, None),
        ("PUT", &[], ping, 405, None),
        (
            "POST",
            &[("origin", "http://elsewhere")],
            ping,
            403,
            Some(-32600),
        ),
        ("POST", &[("origin", "null")], ping, 403, Some(-32600)),
        (
            "POST",
            &[("mcp-protocol-version", "1.0")],
            ping,
            400,
            Some(-32600),
        ),
        ("POST", &[], r#"{"jsonrpc":"#, 400, Some(-32700)),
        ("POST", &[], "", 400, Some(-32700)),
        ("POST", &[], "[]", 400, Some(-32600)),
        (
            "POST",
            &[],
            r#"{"id":1,"method":"ping"}"#,
            400,
            Some(-32600),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            400,
            Some(-32600),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":2}"#,
            400,
            Some(-32600),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1}"#,
            400,
            Some(-32600),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            202,
            None,
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","method":"notifications/any"}"#,
            202,
            None,
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"any"}"#,
            200,
            Some(-32601),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}"#,
            200,
            Some(-32602),
        ),
        (
            "POST",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":1}}"#,
            200,
            Some(-32602),
        ),
    ];
    for (method, headers, body, status, code) in requests {
        let what = format!("{method} {headers:?} {body}");
        let (answered, said) = client.ask(method, "/mcp", headers, body).await.unwrap();
        assert_eq!(answered.as_u16(), status, "{what}: {said}");
        match (status, code) {
            (202 | 405, _) => assert_eq!(said, "", "{what}"),
            (_, None) => assert_eq!(said, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "{what}"),
            (_, Some(code)) => {
                assert_eq!(
                    json(said.as_bytes())["error"]["code"],
                    code,
                    "{what}: {said}"
                );
            }
        }
    }
    let (_, offered) = client
        .ask(
            "POST",
            "/mcp",
            &[],
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"1.0"}}"#,
        )
        .await
        .unwrap();
    let offered = json(offered.as_bytes());
    assert_eq!(offered["result"]["protocolVersion"], "2025-11-25");
    // None of these is a call of a tool.
    assert_eq!(spin.store().list_keys().await, Ok(Vec::new()));
    let counts = spin.counts();
    assert_eq!(counts.trapped, 0, "{}", spin.log());
    // What has no route is nobody's.
    let (status, _) = client.ask("GET", "/other", &[], "").await.unwrap();
    assert_eq!(status.as_u16(), 404);
    assert_eq!(spin.counts().instances, counts.instances);
}
