//! A small MCP server over standard input and output, for the tests of capture. Its tools:
//!
//! - `echo` gives its arguments back, `fail` as a tool's error, `refuse` as a JSON-RPC error;
//! - `progress` tells of them twice before it gives them back;
//! - `never` does not answer, and `die` ends the process with code 3.
//!
//! `resources/read` gives the URI back. It ends when its input does.

use serde_json::{Value, json};
use std::io::{BufRead, Write};

fn main() {
    let input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut say = |message: Value| {
        // A client that has gone is noticed at the end of the input.
        let _ = writeln!(output, "{message}").and_then(|()| output.flush());
    };
    for line in input.split(b'\n') {
        let Ok(line) = line else { return };
        let Ok(message) = serde_json::from_slice::<Value>(&line) else {
            continue;
        };
        let Some(id) = message.get("id").cloned() else {
            continue;
        };
        let params = &message["params"];
        let text = params["arguments"].to_string();
        let result = |error: bool| {
            json!({"jsonrpc": "2.0", "id": id, "result": {
                "content": [{"type": "text", "text": text}], "isError": error}})
        };
        match (message["method"].as_str(), params["name"].as_str()) {
            (Some("initialize"), _) => say(json!({"jsonrpc": "2.0", "id": id, "result": {
                "protocolVersion": params["protocolVersion"], "capabilities": {},
                "serverInfo": {"name": "small", "version": "1"}}})),
            (Some("tools/call"), Some("echo")) => say(result(false)),
            (Some("tools/call"), Some("fail")) => say(result(true)),
            (Some("tools/call"), Some("progress")) => {
                for step in 1..=2 {
                    say(
                        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {
                        "progressToken": params["_meta"]["progressToken"],
                        "progress": step, "total": 2, "message": text}}),
                    );
                }
                say(result(false));
            }
            (Some("tools/call"), Some("never")) => {}
            (Some("tools/call"), Some("die")) => std::process::exit(3),
            (Some("resources/read"), _) => say(json!({"jsonrpc": "2.0", "id": id, "result": {
                "contents": [{"uri": params["uri"], "text": ""}]}})),
            _ => {
                say(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": text}}))
            }
        }
    }
}
