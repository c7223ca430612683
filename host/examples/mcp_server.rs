//! An MCP server on stdio, made with `rmcp`, that reports its tool calls.
//!
//! Reporting is off until `./mcp_config.toml` or the environment switches it on:
//!
//! ```text
//! MCP_REPORTER_ENABLE_INTERACTION_LOGGING=true MCP_REPORTER_MCP_ID=example
//! MCP_REPORTER_COORDINATOR_URL=http://127.0.0.1:8080 MCP_REPORTER_COORDINATOR_API_KEY=…
//! ```

use mcp_reporter::{Config, Interaction, ReportError, Reporter, config::Sources};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::{Extension, ToolCallContext};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ProgressNotificationParam, ProgressToken,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::{ErrorData, Peer, RoleServer, ServerHandler, ServiceExt, service::RequestContext};
use rmcp::{tool, tool_handler, tool_router, transport::stdio};
use serde_json::json;
use std::{error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Standard output belongs to the protocol.
    let log = tracing_subscriber::fmt().with_ansi(false);
    let log = log.with_max_level(tracing::Level::WARN);
    log.with_writer(std::io::stderr).init();
    // A server that must run whatever its configuration says takes `Reporter::disabled()`
    // when one of these two fails.
    let config = Config::load(Sources::from_process(Vec::new(), None))?;
    let reporter = Reporter::builder().config(config).build().await?;
    let served = serve(reporter.clone()).await;
    // Clients kill a server about 2 s after they closed its input. What is not delivered
    // by then stays in the store, for the next run.
    reporter.shutdown(Duration::from_millis(1500)).await;
    served
}

/// Returns when the client has closed the input and the calls in work are answered.
async fn serve(reporter: Reporter) -> Result<(), Box<dyn Error>> {
    let tools = Server::tool_router();
    let server = Server { reporter, tools };
    server.serve(stdio()).await?.waiting().await?;
    Ok(())
}

struct Server {
    reporter: Reporter,
    tools: ToolRouter<Self>,
}

#[derive(serde::Deserialize, JsonSchema)]
struct Division {
    dividend: f64,
    divisor: f64,
}

#[derive(serde::Deserialize, JsonSchema)]
struct Work {
    steps: u32,
}

#[tool_router]
impl Server {
    /// Divides one number by another.
    #[tool]
    async fn divide(&self, Parameters(numbers): Parameters<Division>) -> Result<String, String> {
        if numbers.divisor == 0.0 {
            return Err("division by zero".to_owned());
        }
        Ok((numbers.dividend / numbers.divisor).to_string())
    }

    /// Works for a while, and tells how far it is.
    #[tool]
    async fn slow(
        &self,
        Parameters(work): Parameters<Work>,
        Extension(progress): Extension<Progress>,
    ) -> Result<String, ErrorData> {
        if work.steps == 0 {
            return Err(ErrorData::invalid_params("steps must be at least 1", None));
        }
        for step in 1..=work.steps {
            tokio::time::sleep(Duration::from_millis(20)).await;
            progress.tell(step, work.steps).await;
        }
        Ok(format!("{} steps done", work.steps))
    }
}

#[tool_handler(router = self.tools)]
impl ServerHandler for Server {
    // Every call passes here, those of unknown tools and with bad arguments too.
    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        // Arguments and results may hold secrets: report what the coordinator may see.
        let data = json!({"request_type": "tools/call", "gen_ai.tool.name": request.name});
        let call = logged(self.reporter.start_monitored(data).await);
        context.extensions.insert(Progress {
            reporter: self.reporter.clone(),
            interaction_id: call.as_ref().map(|call| call.id().to_owned()),
            client: context.peer.clone(),
            token: context.meta.get_progress_token(),
        });
        let context = ToolCallContext::new(self, request, context);
        let result = self.tools.call(context).await;
        if let Some(call) = call {
            report_end(call, &result).await;
        }
        result
    }
}

/// A call that panics does not come here: its interaction reports itself as abandoned.
async fn report_end(call: Interaction, result: &Result<CallToolResponse, ErrorData>) {
    let (kind, message, code) = match result {
        Ok(CallToolResponse::Complete(answer)) if answer.is_error == Some(true) => {
            let text = answer.content.first().and_then(|block| block.as_text());
            ("tool_error", text.map_or("", |text| &text.text), None)
        }
        Err(error) => ("json_rpc_error", &*error.message, Some(error.code.0)),
        Ok(_) => {
            logged(call.complete(json!({"success": true})).await);
            return;
        }
    };
    let data = json!({"error_type": kind, "error_message": message, "error_code": code});
    logged(call.fail(data).await);
}

/// Tells the coordinator how far a call is, and the client if it asked for it.
#[derive(Clone)]
struct Progress {
    reporter: Reporter,
    interaction_id: Option<String>,
    client: Peer<RoleServer>,
    token: Option<ProgressToken>,
}

impl Progress {
    async fn tell(&self, step: u32, steps: u32) {
        if let Some(token) = self.token.clone() {
            let told = ProgressNotificationParam::new(token, step.into()).with_total(steps.into());
            // That the client is gone shows where the call is answered.
            let _ = self.client.notify_progress(told).await;
        }
        if let Some(id) = &self.interaction_id {
            let data = json!({"step": step, "steps": steps});
            logged(self.reporter.report_progress(id, data).await);
        }
    }
}

/// A report that cannot be stored is logged, and the call goes on.
fn logged<T>(reported: Result<T, ReportError>) -> Option<T> {
    let warn = |error: &ReportError| tracing::warn!("not reported: {error}");
    reported.inspect_err(warn).ok()
}
