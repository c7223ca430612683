//! What stands in an event: the old client's names, and OpenTelemetry's.

use super::{CaptureSettings, Method, Transport};
use crate::performance::PerformanceMetrics;
use serde::Serialize;
use serde_json::{Number, Value};

/// Seconds from one time to another.
pub(super) fn seconds(from_ns: u64, to_ns: u64) -> f64 {
    to_ns.saturating_sub(from_ns) as f64 / 1e9
}

/// `request_data`.
#[derive(Debug, Serialize)]
pub(super) struct Request<'a> {
    /// Null where nobody says it: the old client always had the member.
    pub user_id: Option<String>,
    pub request_type: &'a str,
    pub input_size: usize,
    pub parameters: Value,
    #[serde(rename = "mcp.method.name")]
    pub method: &'a str,
    #[serde(rename = "mcp.session.id", skip_serializing_if = "Option::is_none")]
    pub session: Option<&'a str>,
    #[serde(
        rename = "mcp.protocol.version",
        skip_serializing_if = "Option::is_none"
    )]
    pub protocol: Option<String>,
    #[serde(rename = "mcp.resource.uri", skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    #[serde(rename = "gen_ai.tool.name", skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    #[serde(rename = "gen_ai.prompt.name", skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(
        rename = "gen_ai.operation.name",
        skip_serializing_if = "Option::is_none"
    )]
    pub operation: Option<&'static str>,
    #[serde(
        rename = "gen_ai.tool.call.arguments",
        skip_serializing_if = "Option::is_none"
    )]
    pub arguments: Option<Value>,
    #[serde(rename = "jsonrpc.request.id")]
    pub id: &'a str,
    #[serde(rename = "network.transport")]
    pub transport: &'static str,
}

/// `progress_data`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Progress {
    /// `progress`, `task`, `input_required`, `sampling` or `elicitation`.
    pub progress_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_requests: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_size: Option<usize>,
}

/// `result_data`.
#[derive(Debug, Serialize)]
pub(super) struct Complete<'a> {
    pub success: bool,
    /// Null when the end was seen and the result was not.
    pub output_size: Option<usize>,
    pub processing_time: f64,
    pub quality_score: Option<f64>,
    pub adapter_used: Option<&'a str>,
    /// Of the server's process while the interaction ran.
    pub performance_metrics: Option<PerformanceMetrics>,
    #[serde(
        rename = "gen_ai.tool.call.result",
        skip_serializing_if = "Option::is_none"
    )]
    pub tool_result: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
}

/// `error_data`.
#[derive(Debug, Serialize)]
pub(super) struct Failure<'a> {
    pub error_type: &'a str,
    /// What the peer said, if that is captured; else what it means that it failed so.
    pub error_message: &'a str,
    pub error_code: Option<i64>,
    pub performance_metrics: Option<PerformanceMetrics>,
    pub processing_time: f64,
    pub adapter_used: Option<&'a str>,
    /// Of what the peer said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message_size: Option<usize>,
    #[serde(rename = "error.type")]
    pub otel_type: &'a str,
    #[serde(
        rename = "rpc.response.status_code",
        skip_serializing_if = "Option::is_none"
    )]
    pub status_code: Option<&'a str>,
}

/// A payload as JSON. None of them can fail: their names are texts, their numbers finite.
pub(super) fn json(payload: &impl Serialize) -> String {
    serde_json::to_string(payload).unwrap_or_else(|_| "{}".to_owned())
}

impl Transport {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pipe => "pipe",
            Self::Tcp => "tcp",
        }
    }
}

/// What kind of interaction a request opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tool,
    Prompt,
    Resource,
    Other,
}

impl Kind {
    /// None for a request that opens none.
    pub fn of(method: &str, settings: &CaptureSettings) -> Option<Self> {
        let asked_for = |wanted| settings.methods.contains(&wanted).then_some(Self::Other);
        match method {
            "tools/call" => Some(Self::Tool),
            "prompts/get" => Some(Self::Prompt),
            "resources/read" => Some(Self::Resource),
            "completion/complete" => asked_for(Method::Complete),
            "sampling/createMessage" => asked_for(Method::Sampling),
            "elicitation/create" => asked_for(Method::Elicitation),
            _ => None,
        }
    }
}
