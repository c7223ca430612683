//! What the benchmarks share.
#![allow(dead_code, reason = "each benchmark uses its part of this")]

use std::path::PathBuf;

use mcp_reporter::{
    ReporterBuilder,
    coordinator::{Coordinator, CoordinatorOptions, Fault, Keep},
};

/// How often a comparison is made: side after side, then again, so that a change in what else the
/// machine does hits both. The ratio that counts is the middle one.
pub const ROUNDS: usize = 3;

/// The interaction that all reports are of.
pub const INTERACTION: &str = "int_1718000000_1a2b3c4d";

/// The key that a coordinator here takes, as it takes any.
pub const API_KEY: &str = "0123456789abcdef0123456789abcdef";

/// The size of the body of an event.
pub const BODY_BYTES: usize = 500;

/// A payload with which the start of [`INTERACTION`] has a body of `body_bytes`, or up to 6 fewer:
/// the timestamp leaves its last zeros out.
pub fn payload(body_bytes: usize) -> String {
    let head = r#"{"request_type":"tools/call","tool_name":"search","arguments":{"query":""#;
    let tail = r#""}}"#;
    let around = format!(
        r#"{{"action":"interaction_start","interaction_id":"{INTERACTION}","mcp_id":"bench","timestamp":1718000000.123456,"request_data":}}"#
    );
    let fill = body_bytes - around.len() - head.len() - tail.len();
    let words = "what was it that the agent asked for ";
    let text: String = words.chars().cycle().take(fill).collect();
    format!("{head}{text}{tail}")
}

/// A folder for stores and caches on the disk that holds the build, which is one that a user's
/// store would be on; the system's temporary folder may be memory.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a temporary folder")
}

/// The folder of the compiled component, the same for all runs.
pub fn cache_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled")
}

/// The settings of a reporter that sends to `url`.
pub fn settings(store: &std::path::Path, url: &str) -> Vec<(&'static str, String)> {
    vec![
        ("enable_interaction_logging", "true".to_owned()),
        ("mcp_id", "bench".to_owned()),
        ("coordinator_url", url.to_owned()),
        ("coordinator_api_key", API_KEY.to_owned()),
        ("local_cache_path", store.display().to_string()),
    ]
}

/// A builder with these settings, and the compilation cached.
pub fn builder(settings: Vec<(&'static str, String)>) -> ReporterBuilder {
    let builder = mcp_reporter::Reporter::builder().cache_dir(cache_dir());
    settings
        .into_iter()
        .fold(builder, |builder, (key, value)| builder.set(key, value))
}

/// A coordinator that only counts.
pub fn sink(fault: Fault) -> Coordinator {
    let options = CoordinatorOptions {
        keep: Keep::Counts,
        fault,
        ..CoordinatorOptions::default()
    };
    Coordinator::start(options).expect("a coordinator on a free port")
}

/// A runtime like the one of a program that reports.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}
