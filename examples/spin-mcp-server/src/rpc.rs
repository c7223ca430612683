//! JSON-RPC 2.0: the messages of MCP that the server knows.

use serde_json::{Value, json};

use crate::report::Interaction;
use crate::tools::{self, Tool};

/// The versions of MCP that are spoken, newest first.
pub const VERSIONS: [&str; 2] = ["2025-11-25", "2025-06-18"];

/// The message is not JSON.
pub const PARSE_ERROR: i32 = -32700;
/// The message is no JSON-RPC request.
pub const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;

/// What a message comes to.
pub enum Reply {
    /// A request was answered, be it with an error.
    Message(Value),
    /// A notification was taken, which has no answer.
    Accepted,
    /// It was no JSON-RPC message.
    Refused(Value),
}

/// Handles one message. Batches are of no version of MCP that is spoken here.
pub fn handle(message: Value) -> Reply {
    let refused = |why| Reply::Refused(error(Value::Null, INVALID_REQUEST, why));
    let Value::Object(mut message) = message else {
        return refused("a message is one JSON object");
    };
    if message.get("jsonrpc") != Some(&json!("2.0")) {
        return refused("jsonrpc must be \"2.0\"");
    }
    let id = match message.remove("id") {
        Some(id @ (Value::String(_) | Value::Number(_))) => Some(id),
        Some(_) => return refused("id must be a string or a number"),
        None => None,
    };
    let method = match message.remove("method") {
        Some(Value::String(method)) => method,
        Some(_) => return refused("method must be a string"),
        // An answer to a request that the server never made.
        None if message.contains_key("result") || message.contains_key("error") => {
            return Reply::Accepted;
        }
        None => return refused("method is missing"),
    };
    let Some(id) = id else {
        return Reply::Accepted;
    };
    let params = message.remove("params").unwrap_or_default();
    Reply::Message(match request(&id, &method, params) {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(Refusal { code, why }) => error(id, code, &why),
    })
}

/// An answer that is an error; `id` is null where the request has none that can be read.
pub fn error(id: Value, code: i32, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
}

/// Why a request has no result.
struct Refusal {
    code: i32,
    why: String,
}

impl Refusal {
    fn invalid_params(why: impl Into<String>) -> Self {
        Self {
            code: INVALID_PARAMS,
            why: why.into(),
        }
    }
}

fn request(id: &Value, method: &str, params: Value) -> Result<Value, Refusal> {
    match method {
        "initialize" => Ok(initialize(&params)),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(tools::list()),
        "tools/call" => call(id, params),
        _ => Err(Refusal {
            code: METHOD_NOT_FOUND,
            why: format!("{method} is not known; initialize, ping, tools/list, tools/call are"),
        }),
    }
}

fn initialize(params: &Value) -> Value {
    let asked = params["protocolVersion"].as_str();
    let version = VERSIONS.into_iter().find(|version| asked == Some(version));
    json!({
        // A client that cannot speak the one it is offered goes away.
        "protocolVersion": version.unwrap_or(VERSIONS[0]),
        "capabilities": {"tools": {}},
        "serverInfo": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
    })
}

/// Calls a tool and reports it. What becomes of the reports does not change the answer.
fn call(id: &Value, mut params: Value) -> Result<Value, Refusal> {
    let mut param = |name| params.get_mut(name).map(Value::take);
    let Some(Value::String(name)) = param("name") else {
        return Err(Refusal::invalid_params("name must be a string"));
    };
    let arguments = match param("arguments") {
        None => json!({}),
        Some(arguments @ Value::Object(_)) => arguments,
        Some(_) => return Err(Refusal::invalid_params("arguments must be an object")),
    };
    let mut interaction = Interaction::start(id, &name, &arguments);
    let Some(tool) = Tool::of(&name) else {
        let why = format!("Unknown tool: {name}");
        interaction.error(&INVALID_PARAMS.to_string(), &why);
        return Err(Refusal::invalid_params(why));
    };
    let done = tool.call(&arguments, |done, total| interaction.progress(done, total));
    let (text, is_error) = match done {
        Ok(text) => {
            interaction.complete(&text);
            (text, false)
        }
        Err(why) => {
            interaction.error("tool_error", &why);
            (why, true)
        }
    };
    Ok(json!({"content": [{"type": "text", "text": text}], "isError": is_error}))
}
