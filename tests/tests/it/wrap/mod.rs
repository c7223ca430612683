//! `mcp-reporter wrap`: a server behind it is the same server, and is reported.

mod events;
mod faults;
mod process;
mod secrets;

use crate::MCP_SERVER;
use mcp_reporter::coordinator::Coordinator;
use mcp_reporter_tests::{Place, Wrapped, config_file, wrap};

/// The small server, wrapped, with these settings.
fn small(place: &Place, settings: &[(String, String)]) -> Wrapped {
    let config = config_file(place, settings);
    let mut command = wrap(place);
    command.arg("--config").arg(config).args(["--", MCP_SERVER]);
    Wrapped::start(command)
}

/// What the coordinator stored: action, and the payload.
fn payloads(coordinator: &Coordinator) -> Vec<(String, serde_json::Value)> {
    let stored = coordinator.stored().unwrap();
    let payload = |body: &serde_json::Value| {
        let all = body.as_object().unwrap();
        all.iter().next_back().unwrap().1.clone()
    };
    stored
        .iter()
        .map(|event| {
            let body = serde_json::from_slice(event.body.as_ref()).unwrap();
            (
                event.action.trim_start_matches("interaction_").to_owned(),
                payload(&body),
            )
        })
        .collect()
}

fn log(place: &Place) -> String {
    std::fs::read_to_string(place.path("wrap.log")).unwrap_or_default()
}
