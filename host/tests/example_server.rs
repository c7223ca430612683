//! The example MCP server behaves the same with reporting on and off, and with
//! reporting on the coordinator learns of every call.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use mcp_reporter::coordinator::{Coordinator, CoordinatorOptions};
use rmcp::{
    ClientHandler, RoleClient, ServiceExt,
    model::{CallToolRequestParams, ProgressNotificationParam},
    service::{NotificationContext, ServiceError},
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::mpsc, time::timeout};

const DEADLINE: Duration = Duration::from_secs(30);
const STEPS: usize = 3;

/// Action and data of an event.
type Event = (String, Value);

/// What the client calls, one after the other.
fn calls() -> [(&'static str, Value); 6] {
    [
        ("divide", json!({"dividend": 1, "divisor": 8})),
        ("slow", json!({"steps": STEPS})),
        ("divide", json!({"dividend": 1, "divisor": 0})),
        ("slow", json!({"steps": 0})),
        ("slow", json!({"steps": "many"})),
        ("unknown", json!({})),
    ]
}

#[tokio::test]
async fn reporting_changes_nothing_for_the_client_and_tells_the_coordinator_all() {
    let off = Run::of(false).await;
    let on = Run::of(true).await;

    assert_eq!(on.seen, off.seen, "the client sees the same");
    for (seen, what) in off.seen.iter().zip([
        r#""name":"divide""#,
        r#""text":"0.125""#,
        r#""text":"3 steps done""#,
        r#""isError":true"#,
        "steps must be at least 1",
        "invalid type",
        "tool not found",
        r#""progress":1.0,"total":3.0"#,
    ]) {
        assert!(seen.contains(what), "{what} in {seen}");
    }

    assert_eq!(off.coordinator.stats().connections, 0);
    assert_eq!(
        off.files(),
        Vec::<PathBuf>::new(),
        "reporting off leaves no file"
    );
    assert!(on.files().contains(&on.folder.path().join("outbox.db")));

    // The server has ended: what has not come by now was not flushed.
    assert_eq!(told(&on.coordinator), expected());
}

/// What the coordinator must be told of the [`calls`], as action and data.
fn expected() -> Vec<Vec<Event>> {
    let event = |action: &str, data| (format!("interaction_{action}"), data);
    let start = |tool: &str| {
        let data = json!({"request_type": "tools/call", "gen_ai.tool.name": tool});
        event("start", data)
    };
    let complete = || event("complete", json!({"success": true}));
    let error = |kind: &str, message: &str, code: Option<i32>| {
        let data = json!({"error_type": kind, "error_message": message, "error_code": code});
        event("error", data)
    };
    let bad_params = |message: &str| error("json_rpc_error", message, Some(-32602));
    let not_a_number =
        "failed to deserialize parameters: invalid type: string \"many\", expected u32";
    let steps = (1..=STEPS).map(|step| event("progress", json!({"step": step, "steps": STEPS})));
    vec![
        vec![start("divide"), complete()],
        [start("slow")]
            .into_iter()
            .chain(steps)
            .chain([complete()])
            .collect(),
        vec![
            start("divide"),
            error("tool_error", "division by zero", None),
        ],
        vec![start("slow"), bad_params("steps must be at least 1")],
        vec![start("slow"), error("tool_error", not_a_number, None)],
        vec![start("unknown"), bad_params("tool not found")],
    ]
}

/// One run of the server, to its end.
struct Run {
    folder: tempfile::TempDir,
    coordinator: Coordinator,
    /// What the client saw, as JSON: the list of tools, each answer, the progress.
    seen: Vec<String>,
}

impl Run {
    async fn of(reporting: bool) -> Run {
        let folder = tempfile::tempdir().unwrap();
        let api_keys = vec!["the key".to_owned()];
        let options = CoordinatorOptions {
            api_keys,
            ..CoordinatorOptions::default()
        };
        let coordinator = Coordinator::start(options).unwrap();
        let mut server = Command::new(example());
        // All is configured either way; only the switch differs, and "off" is the default.
        server
            .env_clear()
            .env("HOME", folder.path())
            .env("MCP_REPORTER_MCP_ID", "example")
            .env("MCP_REPORTER_COORDINATOR_URL", coordinator.url())
            .env("MCP_REPORTER_COORDINATOR_API_KEY", "the key")
            .env(
                "MCP_REPORTER_LOCAL_CACHE_PATH",
                folder.path().join("outbox.db"),
            )
            .env("MCP_REPORTER_RATE_LIMIT", "0")
            .current_dir(folder.path());
        if reporting {
            server.env("MCP_REPORTER_ENABLE_INTERACTION_LOGGING", "true");
        }
        let (seen, status) = timeout(DEADLINE, session(server))
            .await
            .expect("the session ends");
        assert!(
            status.success(),
            "the server ends by itself when its input does: {status}"
        );
        Run {
            folder,
            coordinator,
            seen,
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        self.folder
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect()
    }
}

/// Calls every tool, closes the server's input and waits for its end.
async fn session(mut server: Command) -> (Vec<String>, ExitStatus) {
    let mut server = server
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let transport = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
    let (progress, mut progressed) = mpsc::unbounded_channel();
    let client = Client { progress }.serve(transport).await.unwrap();
    let tools = client.list_all_tools().await.unwrap();
    let mut seen = vec![serde_json::to_string(&tools).unwrap()];
    for (tool, arguments) in calls() {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        seen.push(match client.call_tool(call).await {
            Ok(result) => serde_json::to_string(&result).unwrap(),
            Err(ServiceError::McpError(error)) => serde_json::to_string(&error).unwrap(),
            Err(other) => panic!("{tool}: {other}"),
        });
    }
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        steps.push(progressed.recv().await.unwrap());
    }
    // The client handles notifications side by side.
    steps.sort_by(|a, b| a.progress.total_cmp(&b.progress));
    seen.push(serde_json::to_string(&steps).unwrap());
    client.cancel().await.unwrap();
    assert!(
        progressed.recv().await.is_none(),
        "no progress but that of the steps"
    );
    (seen, server.wait().await.unwrap())
}

/// A client that keeps the progress it is told of.
struct Client {
    progress: mpsc::UnboundedSender<ProgressNotificationParam>,
}

impl ClientHandler for Client {
    async fn on_progress(
        &self,
        params: ProgressNotificationParam,
        _context: NotificationContext<RoleClient>,
    ) {
        let _ = self.progress.send(params);
    }
}

/// What the coordinator was told in each interaction, in order of receipt; the
/// interactions in order of their starts. The ends without their
/// `performance_metrics`, which must be there.
fn told(coordinator: &Coordinator) -> Vec<Vec<Event>> {
    let mut interactions: HashMap<String, (f64, Vec<Event>)> = HashMap::new();
    for event in coordinator.stored().unwrap() {
        let mut body: Value = serde_json::from_slice(&event.body).unwrap();
        let started = body["timestamp"].as_f64().unwrap();
        let (key, ends) = match &*event.action {
            "interaction_start" => ("request_data", false),
            "interaction_progress" => ("progress_data", false),
            "interaction_complete" => ("result_data", true),
            _ => ("error_data", true),
        };
        let mut data = body[key].take();
        if ends {
            let metrics = data
                .as_object_mut()
                .unwrap()
                .remove("performance_metrics")
                .unwrap();
            for metric in [
                "processing_time",
                "memory_usage_mb",
                "cpu_usage_percent",
                "timestamp",
            ] {
                assert!(metrics[metric].is_number(), "{metric} in {metrics}");
            }
        }
        let new = (started, Vec::new());
        let (_, events) = interactions.entry(event.interaction_id).or_insert(new);
        events.push((event.action, data));
    }
    let mut interactions: Vec<_> = interactions.into_values().collect();
    interactions.sort_by(|a, b| a.0.total_cmp(&b.0));
    interactions.into_iter().map(|(_, events)| events).collect()
}

/// The example's program. Cargo builds it before it runs all tests; a variable
/// with its path there is for `[[bin]]` targets only.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let name = format!("mcp_server{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(name);
    let how = "build it first, in the same profile: cargo build --release --example mcp_server";
    assert!(
        program.is_file(),
        "{} is not there: {how}",
        program.display()
    );
    program
}
