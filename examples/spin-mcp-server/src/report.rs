//! What the coordinator is told of a tool call.
//!
//! The names are those of OpenTelemetry's conventions for MCP, which mcp-reporter uses for the
//! traffic that it captures, too. Arguments and results are told as they are: leave them out where
//! they are private.

use serde_json::{Value, json};

use crate::bindings::{Failure, reporter};

/// One tool call that is reported. A report is durable when its function returns; a failed one is
/// written to standard error, once, and otherwise ignored.
pub struct Interaction {
    id: String,
    failed: bool,
}

impl Interaction {
    /// Reports that a call begins.
    pub fn start(request: &Value, tool: &str, arguments: &Value) -> Self {
        let mut interaction = Self {
            id: reporter::new_interaction_id(),
            failed: false,
        };
        let request = request.as_str().map_or(request.to_string(), str::to_owned);
        let data = json!({
            "mcp.method.name": "tools/call",
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "jsonrpc.request.id": request,
            "gen_ai.tool.call.arguments": arguments,
        });
        interaction.send(reporter::report_start, &data);
        interaction
    }

    /// Reports how far it has come.
    pub fn progress(&mut self, done: usize, total: usize) {
        let data = json!({"progress": done, "total": total});
        self.send(reporter::report_progress, &data);
    }

    /// Reports that it ended well.
    pub fn complete(&mut self, result: &str) {
        let data = json!({"gen_ai.tool.call.result": result});
        self.send(reporter::report_complete, &data);
    }

    /// Reports that it failed.
    pub fn error(&mut self, kind: &str, message: &str) {
        let data = json!({"error_type": kind, "error_message": message});
        self.send(reporter::report_error, &data);
    }

    fn send(&mut self, report: fn(&str, &str) -> Result<reporter::Outcome, Failure>, data: &Value) {
        let Err(failure) = report(&self.id, &data.to_string()) else {
            return;
        };
        if !self.failed {
            let id = &self.id;
            eprintln!("{id} is not reported as a whole: {}", sentence(&failure));
        }
        self.failed = true;
    }
}

fn sentence(failure: &Failure) -> &str {
    match failure {
        Failure::InvalidInput(why)
        | Failure::OutboxFull(why)
        | Failure::Storage(why)
        | Failure::Busy(why)
        | Failure::NotConfigured(why) => why,
    }
}
