//! Whatever is wrong with the reporting, the session is what it would be without it.

use super::log;
use crate::MCP_SERVER;
use mcp_reporter::coordinator::Fault;
use mcp_reporter_tests::{Place, Wrapped, config_file, faulty, with, wrap};
use serde_json::json;
use std::path::Path;

/// A session of some calls: what the client saw.
async fn session(place: &Place, config: Option<&Path>) -> (Vec<u8>, Option<i32>) {
    let mut bytes = Vec::new();
    for id in 0..20 {
        let tool = ["echo", "fail", "refuse", "progress"][id % 4];
        let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": {"id": id}, "_meta": {"progressToken": id}}});
        bytes.extend(format!("{call}\n").into_bytes());
    }
    let mut command = wrap(place);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.args(["--", MCP_SERVER]);
    let (got, status) = Wrapped::start(command).exchange(&bytes).await;
    (got, status.code())
}

#[tokio::test]
async fn a_session_is_the_same_whatever_is_wrong_and_the_log_says_what() {
    let place = Place::new();
    let healthy = session(&place, None).await;
    assert_eq!(
        (healthy.0.iter().filter(|b| **b == b'\n').count(), healthy.1),
        (30, Some(0))
    );
    assert!(
        log(&place).contains("enable_interaction_logging is false"),
        "{}",
        log(&place)
    );

    for fault in [
        Fault::Hang,
        Fault::Refuse,
        Fault::Status(500),
        Fault::NoRead,
    ] {
        let place = Place::new();
        let coordinator = faulty(fault);
        let config = config_file(&place, &place.fast(&coordinator.url()));
        assert_eq!(session(&place, Some(&config)).await, healthy);
    }

    let place = Place::new();
    let wrong = with(
        place.fast("http://127.0.0.1:9"),
        &[("capture", "everything")],
    );
    let config = config_file(&place, &wrong);
    assert_eq!(session(&place, Some(&config)).await, healthy);
    assert!(
        log(&place).contains("must be metadata, arguments, results or all"),
        "{}",
        log(&place)
    );
    assert_eq!(
        session(&place, Some(Path::new("no-such.toml"))).await,
        healthy
    );
    assert!(log(&place).contains("no-such.toml"), "{}", log(&place));

    // A store that cannot be: its folder is a file.
    let place = Place::new();
    std::fs::write(place.path("data"), "").unwrap();
    let store = place.path("data/outbox.db").display().to_string();
    let settings = with(
        place.fast("http://127.0.0.1:9"),
        &[("local_cache_path", &store)],
    );
    let config = config_file(&place, &settings);
    assert_eq!(session(&place, Some(&config)).await, healthy);
    assert!(
        log(&place).contains("nothing is reported"),
        "{}",
        log(&place)
    );
}

#[tokio::test]
async fn a_store_that_is_read_only_is_said_in_the_log() {
    let place = Place::new();
    let coordinator = faulty(Fault::Refuse);
    let settings = place.fast(&coordinator.url());
    let config = config_file(&place, &settings);
    let healthy = session(&place, Some(&config)).await;
    // The superuser may write to any file, but not to one that SQLite is told not to.
    let store = format!("{}", place.store().display());
    let made_immutable = std::process::Command::new("chattr")
        .args(["+i", &store])
        .status();
    let immutable = made_immutable.is_ok_and(|status| status.success());
    if !immutable {
        let read_only = std::os::unix::fs::PermissionsExt::from_mode(0o400);
        std::fs::set_permissions(place.store(), read_only).unwrap();
    }
    let again = session(&place, Some(&config)).await;
    if immutable {
        let undone = std::process::Command::new("chattr")
            .args(["-i", &store])
            .status();
        assert!(undone.unwrap().success());
        assert!(
            log(&place).contains("not reported") || log(&place).contains("nothing is reported"),
            "{}",
            log(&place)
        );
    }
    assert_eq!(again, healthy);
}
