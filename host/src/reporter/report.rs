//! One report.

use super::Payload;
use crate::engine::Action;

/// One report of a batch.
#[derive(Debug, Clone)]
pub struct Report {
    /// What happened.
    pub action: Action,
    /// Which interaction: 1 to 256 bytes, no control characters.
    pub interaction_id: String,
    /// The payload.
    pub data: Payload,
    /// When it happened, in nanoseconds since 1970-01-01 UTC; none for now.
    pub timestamp_ns: Option<u64>,
    /// The MCP program; none for the configured `mcp_id`.
    pub mcp_id: Option<String>,
    /// The idempotency key; none for a new UUID.
    pub idempotency_key: Option<String>,
    /// The W3C `traceparent` to send along.
    pub traceparent: Option<String>,
}

impl Report {
    /// A report of what happens now, in the configured program.
    pub fn new(
        action: Action,
        interaction_id: impl Into<String>,
        data: impl Into<Payload>,
    ) -> Self {
        Self {
            action,
            interaction_id: interaction_id.into(),
            data: data.into(),
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        }
    }
}
