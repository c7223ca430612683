//! Shorthands for the tests of this crate.

use crate::event::{Action, Report};
use crate::settings::Settings;
use crate::store::Now;
pub(crate) use mcp_reporter_test_support::{Dice, Memory};

/// The settings of the tests: everything at its default.
pub(crate) fn settings() -> Settings {
    Settings::from_pairs([
        ("enable_interaction_logging", "true"),
        ("mcp_id", "m1"),
        ("coordinator_url", "http://127.0.0.1:1"),
        ("coordinator_api_key", "secret"),
    ])
    .unwrap()
    .unwrap()
}

pub(crate) fn report<'a>(action: Action, id: &'a str, data: &'a str) -> Report<'a> {
    Report {
        action,
        interaction_id: id,
        data,
        timestamp_ns: None,
        mcp_id: None,
        idempotency_key: None,
        traceparent: None,
    }
}

/// Wall clock readings begin here, so that both clocks differ.
pub(crate) const EPOCH_MS: u64 = 1_718_000_000_000;

pub(crate) fn at_ms(ms: u64) -> Now {
    Now {
        wall_ns: (EPOCH_MS + ms) * 1_000_000,
        mono_ns: ms * 1_000_000,
    }
}
