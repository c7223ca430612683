//! A small MCP server over Streamable HTTP, as a Spin component. Each call of a tool is reported
//! through `mcp-reporter:interactions/reporter`, which Spin takes from the mcp-reporter component.
//!
//! It keeps nothing between requests: Spin makes a fresh instance for each.

mod bindings;
mod report;
mod rpc;
mod tools;
mod transport;

use spin_sdk::http::{Headers, OutgoingBody, OutgoingResponse, Request, ResponseOutparam};
use spin_sdk::http_component;

use transport::Answer;

/// The handler of Spin's HTTP trigger.
#[http_component]
async fn handle(request: Request, out: ResponseOutparam) {
    respond(out, transport::answer(&request));
}

/// Sends the answer. Its body is written and finished before the response is set, as far as Spin
/// takes it: set first, head and body are two packets, of which the second waits for the client to
/// acknowledge the first.
fn respond(out: ResponseOutparam, answer: Answer) {
    let mut headers = Vec::new();
    let mut add = |name: &str, value: &str| {
        headers.push((name.to_owned(), value.as_bytes().to_vec()));
    };
    if let Some(allow) = answer.allow {
        add("allow", allow);
    }
    if !answer.body.is_empty() {
        add("content-type", "application/json");
    }
    add("content-length", &answer.body.len().to_string());
    // All of these are well-formed, and the body is taken once.
    let headers = Headers::from_list(&headers).unwrap_or_else(|_| Headers::new());
    let response = OutgoingResponse::new(headers);
    let _ = response.set_status_code(answer.status);
    let (Ok(body), mut unset) = (response.body(), Some((out, response))) else {
        return;
    };
    let mut set = || {
        if let Some((out, response)) = unset.take() {
            out.set(response);
        }
    };
    if let Ok(stream) = body.write() {
        let mut rest = &answer.body[..];
        while let Ok(room @ 1..) = stream.check_write() {
            let (now, later) = rest.split_at(rest.len().min(room as usize));
            if now.is_empty() || stream.write(now).is_err() {
                break;
            }
            rest = later;
        }
        if !rest.is_empty() {
            set();
        }
        // The most that one such call takes.
        for chunk in rest.chunks(4096) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
    set();
}
