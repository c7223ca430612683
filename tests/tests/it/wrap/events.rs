//! What is reported.

use super::{log, payloads, small};
use crate::MCP_SERVER;
use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{
    Place, Wrapped, assert_one_key_each, config_file, coordinator, faulty, histories, json, stored,
    with, wrap,
};
use serde_json::json;

#[tokio::test]
async fn every_call_is_reported_with_its_end() {
    let place = Place::new();
    let coordinator = coordinator();
    let mut wrapped = small(&place, &place.fast(&coordinator.url()));
    wrapped.ask("initialize", json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}})).await;
    wrapped.line().await.unwrap();
    for tool in ["echo", "fail", "refuse", "progress"] {
        wrapped.call(tool, json!({"x": "private"})).await;
    }
    wrapped
        .ask(
            "resources/read",
            json!({"uri": "db://user:word@host/table?key=private#x"}),
        )
        .await;
    wrapped.line().await.unwrap();
    let never = wrapped.ask("tools/call", json!({"name": "never"})).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": never, "reason": "private"}});
    wrapped.send(&format!("{cancel}\n")).await;
    wrapped.ask("tools/call", json!({"name": "die"})).await;
    assert_eq!(wrapped.ended().await.code(), Some(3));
    stored(&coordinator, 16).await;

    let all = payloads(&coordinator);
    let starts: Vec<_> = all.iter().filter(|(action, _)| action == "start").collect();
    assert_eq!(starts.len(), 7);
    for (_, start) in &starts {
        assert_eq!(start["network.transport"], "pipe");
        assert_eq!(start["mcp.protocol.version"], "2025-11-25");
        assert_eq!(start["parameters"], json!({}));
    }
    let named = |name: &str, value: &str| {
        starts
            .iter()
            .filter(|(_, start)| start[name] == value)
            .count()
    };
    assert_eq!(named("gen_ai.tool.name", "echo"), 1);
    assert_eq!(named("mcp.resource.uri", "db://host/table"), 1);
    let mut errors: Vec<_> = all
        .iter()
        .filter(|(action, _)| action == "error")
        .map(|(_, e)| e["error_type"].as_str().unwrap().to_owned())
        .collect();
    errors.sort();
    assert_eq!(
        errors,
        ["cancelled", "jsonrpc_error", "server_exited", "tool_error"]
    );
    let exited = all
        .iter()
        .find(|(_, data)| data["error_type"] == "server_exited")
        .unwrap();
    assert_eq!(exited.1["error_code"], 3);
    let completes: Vec<_> = all
        .iter()
        .filter(|(action, _)| action == "complete")
        .collect();
    assert_eq!(completes.len(), 3);
    assert!(
        completes
            .iter()
            .all(|(_, data)| data["adapter_used"] == "small")
    );
    assert_eq!(
        all.iter()
            .filter(|(action, _)| action == "progress")
            .count(),
        2
    );
    // Nothing of what was said.
    for receipt in coordinator.receipts() {
        let body = String::from_utf8_lossy(&receipt.body).into_owned();
        assert!(
            !body.contains("private") && !body.contains("word@"),
            "{body}"
        );
    }
    // It says that it reports, and has nothing else to say.
    let log = log(&place);
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.contains(" - INFO - interactions are reported"), "{log}");
}

#[tokio::test]
async fn the_trace_of_the_client_goes_with_the_events() {
    let place = Place::new();
    let coordinator = coordinator();
    let mut wrapped = small(&place, &place.fast(&coordinator.url()));
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    wrapped
        .ask(
            "tools/call",
            json!({"name": "echo", "_meta": {"traceparent": trace}}),
        )
        .await;
    wrapped.line().await.unwrap();
    wrapped
        .ask(
            "tools/call",
            json!({"name": "echo", "_meta": {"traceparent": "none"}}),
        )
        .await;
    wrapped.line().await.unwrap();
    wrapped.close();
    wrapped.ended().await;
    stored(&coordinator, 4).await;
    let traced = coordinator
        .receipts()
        .iter()
        .filter(|r| {
            r.header("traceparent")
                .is_some_and(|t| t.contains("0af7651916cd43dd8448eb211c80319c"))
        })
        .count();
    assert_eq!(traced, 2);
}

#[tokio::test]
async fn ten_wrappers_share_one_outbox_and_are_told_apart() {
    let place = Place::new();
    let coordinator = coordinator();
    let config = config_file(&place, &place.fast(&coordinator.url()));
    let wrappers = (0..10).map(|n| {
        let mut command = wrap(&place);
        command.arg("--config").arg(&config).args([
            "--mcp-id",
            &format!("server {n}"),
            "--",
            MCP_SERVER,
        ]);
        tokio::spawn(async move {
            let mut wrapped = Wrapped::start(command);
            for k in 0..20 {
                wrapped.call("echo", json!({"k": k})).await;
            }
            wrapped.close();
            wrapped.ended().await.code()
        })
    });
    for wrapper in wrappers.collect::<Vec<_>>() {
        assert_eq!(wrapper.await.unwrap(), Some(0));
    }
    // What the last one left is delivered by the next run.
    let mut last = small(&place, &place.fast(&coordinator.url()));
    stored(&coordinator, 400).await;
    last.close();
    last.ended().await;
    let all = coordinator.stored().unwrap();
    assert_eq!(all.len(), 400);
    assert_one_key_each(&coordinator.receipts());
    let mut other = histories(&all);
    other.retain(|_, history| history != &["start", "complete"]);
    assert!(other.is_empty(), "{other:?}");
    for n in 0..10 {
        let name = format!("server {n}");
        let own = all
            .iter()
            .filter(|event| json(event.body.as_ref())["mcp_id"] == name.as_str());
        assert_eq!(own.count(), 40, "{name}");
    }
}

#[tokio::test]
async fn when_the_outbox_is_full_whole_interactions_are_skipped_and_that_is_said_once() {
    let place = Place::new();
    let coordinator = faulty(Fault::Refuse);
    let settings = with(place.fast(&coordinator.url()), &[("max_events", "20")]);
    let mut wrapped = small(&place, &settings);
    for n in 0..100 {
        assert_eq!(
            wrapped.call("echo", json!({"n": n})).await["result"]["isError"],
            false
        );
    }
    wrapped.close();
    assert_eq!(wrapped.ended().await.code(), Some(0));
    let log = log(&place);
    assert_eq!(
        log.matches("interactions are not reported").count(),
        1,
        "{log}"
    );
    assert_eq!(
        log.matches("interactions were not reported").count(),
        1,
        "{log}"
    );

    coordinator.set_fault(Fault::None).unwrap();
    let mut next = small(&place, &settings);
    let waiting = mcp_reporter_tests::outbox(&settings).await.len() as u64;
    stored(&coordinator, waiting.min(2)).await;
    next.close();
    next.ended().await;
    for history in histories(&coordinator.stored().unwrap()).values() {
        assert_eq!(history, &["start", "complete"]);
    }
}
