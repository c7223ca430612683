//! Secrets of calls are in no event, no log and no store, in any mode of capture.

use super::{log, small};
use mcp_reporter_tests::{Place, coordinator, stored, with};
use serde_json::json;
use std::path::Path;

const PASSWORD: &str = "correct-horse-9 \"battery\"";
const BEARER: &str = "b5e0c2f1a94d4c7e8a";
const API_KEY: &str = "sk-proj-Q7w8E9r0T1y2U3i4O5p6";
const PIN: u64 = 90_417_733;

/// The parts of the secrets by which they are found however they are escaped.
const PARTS: [&str; 4] = [
    "correct-horse-9",
    BEARER,
    "Q7w8E9r0T1y2U3i4O5p6",
    "90417733",
];

fn files_with_a_secret(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_with_a_secret(&path, found);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for part in PARTS.iter().filter(|part| text.contains(**part)) {
            found.push(format!("{part} in {}", path.display()));
        }
    }
}

#[tokio::test]
async fn secrets_of_a_call_are_nowhere_though_the_server_repeats_them() {
    for mode in ["metadata", "arguments", "results", "all"] {
        let place = Place::new();
        let coordinator = coordinator();
        let settings = with(
            place.fast(&coordinator.url()),
            &[("capture", mode), ("log_level", "trace")],
        );
        let mut wrapped = small(&place, &settings);
        let arguments = json!({
            "user": "ann", "password": PASSWORD, "pin": PIN,
            "headers": {"Authorization": format!("Bearer {BEARER}")},
            "note": format!("use {API_KEY} for it"),
        });
        for tool in ["echo", "fail", "refuse", "progress"] {
            wrapped.call(tool, arguments.clone()).await;
        }
        let uri = format!(
            "vault://ann:{BEARER}@host/{API_KEY}/{}?password=x",
            "correct-horse-9%20%22battery%22"
        );
        wrapped.ask("resources/read", json!({"uri": uri})).await;
        wrapped.line().await.unwrap();
        wrapped.close();
        wrapped.ended().await;
        stored(&coordinator, 12).await;
        let bodies: Vec<_> = coordinator
            .receipts()
            .iter()
            .map(|receipt| String::from_utf8_lossy(&receipt.body).into_owned())
            .collect();
        for part in PARTS {
            for body in &bodies {
                assert!(!body.contains(part), "{mode}: {part} in {body}");
            }
        }
        // What is captured is there but for the secrets.
        let all = bodies.concat();
        assert_eq!(
            all.contains("\"user\":\"ann\""),
            matches!(mode, "arguments" | "all"),
            "{mode}"
        );
        assert_eq!(
            all.contains("\\\"ann\\\""),
            matches!(mode, "results" | "all"),
            "{mode}: {all}"
        );
        let mut found = Vec::new();
        files_with_a_secret(place.folder(), &mut found);
        assert_eq!(found, Vec::<String>::new(), "{mode}");
        assert!(!log(&place).is_empty());
    }
}
