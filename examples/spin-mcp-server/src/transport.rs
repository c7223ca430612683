//! Streamable HTTP: what is answered to a request, before and after JSON-RPC.
//!
//! Each answer is one JSON document. There is no session and no stream from the server, which the
//! specification leaves to the server.

use serde_json::Value;
use spin_sdk::http::{Method, Request};

use crate::rpc::{self, Reply};

/// The header by which a client names the version that was agreed on.
const VERSION: &str = "mcp-protocol-version";

/// What the HTTP response is made from.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The header `Allow`, for a method that is not allowed.
    pub allow: Option<&'static str>,
    /// A JSON document; empty for none.
    pub body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: &Value) -> Self {
        Self {
            status,
            allow: None,
            body: body.to_string().into_bytes(),
        }
    }

    fn empty(status: u16) -> Self {
        Self {
            status,
            allow: None,
            body: Vec::new(),
        }
    }

    fn refused(status: u16, why: &str) -> Self {
        Self::new(status, &rpc::error(Value::Null, rpc::INVALID_REQUEST, why))
    }
}

/// Answers a request to the server's one path.
pub fn answer(request: &Request) -> Answer {
    if *request.method() != Method::Post {
        return Answer {
            allow: Some("POST"),
            ..Answer::empty(405)
        };
    }
    if !is_from_here(request) {
        let why = "the Origin of the request is another than the Host it was sent to";
        return Answer::refused(403, why);
    }
    if let Some(version) = header(request, VERSION)
        && !rpc::VERSIONS.contains(&version)
    {
        let supported = rpc::VERSIONS.join(", ");
        let why = format!("MCP-Protocol-Version: {version} is not supported; {supported} are");
        return Answer::refused(400, &why);
    }
    let Ok(message) = serde_json::from_slice(request.body()) else {
        let why = "the body is not JSON";
        return Answer::new(400, &rpc::error(Value::Null, rpc::PARSE_ERROR, why));
    };
    match rpc::handle(message) {
        Reply::Message(message) => Answer::new(200, &message),
        Reply::Accepted => Answer::empty(202),
        Reply::Refused(message) => Answer::new(400, &message),
    }
}

/// Whether the request is none that a page of another site makes. The specification asks for this:
/// such a page reaches a server on the machine of whoever looks at it.
fn is_from_here(request: &Request) -> bool {
    let Some(origin) = header(request, "origin") else {
        return true;
    };
    let authority = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        rest.split('/').next().map(str::to_owned)
    };
    let origin = authority(origin);
    // The authority of the address is what the Host of the request says.
    origin.is_some() && origin == authority(request.uri())
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request.header(name)?.as_str()
}
