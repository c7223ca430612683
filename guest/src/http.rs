//! One HTTP request to the coordinator that never blocks: it is started, and goes on when one of
//! its pollables is ready. Even its body is written only as far as the runtime takes it, so a
//! coordinator that accepts and never reads cannot hold anything up.

use mcp_reporter_core::{settings::Endpoint, text::decimal};

use crate::bindings::wasi::{
    http::{
        outgoing_handler::handle,
        types::{
            ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse,
            OutgoingBody, OutgoingRequest, Scheme,
        },
    },
    io::{
        poll::Pollable,
        streams::{InputStream, OutputStream, StreamError},
    },
};

pub use crate::bindings::wasi::http::types::Method;
use crate::prelude::*;

/// How much of a body that explains a failure is read.
const EXPLANATION_BYTES: usize = 1024;

/// What to ask of the coordinator.
pub struct Call<'a> {
    /// GET or POST.
    pub method: Method,
    /// From `/api` on: the endpoint's prefix comes before it.
    pub path: &'a str,
    /// All but `content-length`, which is added.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
}

/// What the coordinator answered.
pub struct Response {
    /// The status.
    pub status: u16,
    /// The `Retry-After` header, unless the status is 2xx.
    pub retry_after: Option<String>,
    /// The `Date` header, unless the status is 2xx to a POST.
    pub date: Option<String>,
    /// The beginning of the body, unless the status is 2xx.
    pub body: Vec<u8>,
}

/// How an exchange ended.
pub enum Outcome {
    /// There is an answer.
    Answered(Response),
    /// There is none, for this reason.
    Failed(String),
    /// The runtime does not let the request out.
    Denied(String),
    /// There is none in time.
    TimedOut,
}

/// A request under way.
pub struct Exchange {
    sending: Option<Sending>,
    state: State,
    wants_date: bool,
    deadline_ns: u64,
}

// In `Sending`, `State` and `Reading` a child resource stands before its parent, because fields
// are dropped in order and a runtime traps when a parent goes first.

/// The request body that is not written yet.
struct Sending {
    room: Option<Pollable>,
    stream: OutputStream,
    body: OutgoingBody,
    bytes: Vec<u8>,
    written: usize,
}

enum State {
    /// Waiting for the head of the response.
    Head(Pollable, FutureIncomingResponse),
    /// Reading why the coordinator refuses.
    Explanation(Response, Reading),
    /// All there is to read is read.
    Received(Response),
    /// The outcome was handed out.
    Over,
}

/// A response body being read.
struct Reading {
    more: Pollable,
    stream: InputStream,
    _body: IncomingBody,
}

impl Exchange {
    /// Starts a request that must be over by `deadline_ns` of the monotonic clock. Fails with the
    /// outcome if the runtime refuses it at once.
    pub fn start(to: &Endpoint, mut call: Call<'_>, deadline_ns: u64) -> Result<Self, Outcome> {
        let failed = |why: &str| Outcome::Failed(String::from(why));
        let wants_date = matches!(call.method, Method::Get);
        if !wants_date {
            let length = decimal(call.body.len() as u64);
            call.headers
                .push((String::from("content-length"), length.into_bytes()));
        }
        let request = request(to, &call)
            .ok_or_else(|| failed("the request cannot be put in HTTP's terms"))?;
        let mut sending = None;
        if !call.body.is_empty() {
            let body = Sending::new(&request, call.body)
                .ok_or_else(|| failed("the runtime takes no body"))?;
            sending = Some(body);
            // Before the request starts, so that head and body leave in one packet.
            write_on(&mut sending);
        }
        let future = handle(request, None).map_err(|code| lacking(&code))?;
        write_on(&mut sending);
        Ok(Self {
            sending,
            state: State::Head(future.subscribe(), future),
            wants_date,
            deadline_ns,
        })
    }

    /// When it must be over, by the monotonic clock.
    pub fn deadline_ns(&self) -> u64 {
        self.deadline_ns
    }

    /// Calls `each` with every pollable that this exchange waits for.
    pub fn pollables<'a>(&'a self, mut each: impl FnMut(&'a Pollable)) {
        if let Some(room) = self.sending.as_ref().and_then(|s| s.room.as_ref()) {
            each(room);
        }
        match &self.state {
            State::Head(head, _) => each(head),
            State::Explanation(_, reading) => each(&reading.more),
            State::Received(_) | State::Over => {}
        }
    }

    /// Goes on as far as that needs no waiting, and returns the outcome if there is one now.
    pub fn advance(&mut self, now_ns: u64) -> Option<Outcome> {
        write_on(&mut self.sending);
        if let State::Head(_, future) = &self.state
            && let Some(result) = future.get()
        {
            self.state = State::Over;
            match result {
                Ok(Ok(head)) => self.state = receive(head, self.wants_date),
                Ok(Err(code)) => return Some(lacking(&code)),
                Err(()) => return Some(Outcome::Failed(String::from("the answer was lost"))),
            }
        }
        let complete = match &mut self.state {
            State::Explanation(response, reading) => reading.read_on(&mut response.body),
            State::Received(_) => true,
            State::Head(..) | State::Over => false,
        };
        if complete || now_ns >= self.deadline_ns {
            return Some(match core::mem::replace(&mut self.state, State::Over) {
                // Half an explanation is better than none.
                State::Explanation(response, _) | State::Received(response) => {
                    Outcome::Answered(response)
                }
                State::Head(..) | State::Over => Outcome::TimedOut,
            });
        }
        None
    }
}

impl Sending {
    fn new(request: &OutgoingRequest, bytes: Vec<u8>) -> Option<Self> {
        let body = request.body().ok()?;
        Some(Self {
            room: None,
            stream: body.write().ok()?,
            body,
            bytes,
            written: 0,
        })
    }

    /// Writes as much as there is room for; says whether that was all.
    fn write(&mut self) -> Result<bool, StreamError> {
        while self.written < self.bytes.len() {
            let rest = &self.bytes[self.written..];
            let room = self.stream.check_write()?.min(rest.len() as u64) as usize;
            if room == 0 {
                self.room.get_or_insert_with(|| self.stream.subscribe());
                return Ok(false);
            }
            self.stream.write(&rest[..room])?;
            self.written += room;
        }
        Ok(true)
    }
}

impl Reading {
    /// Reads what is there; says whether that was the end, or enough.
    fn read_on(&mut self, to: &mut Vec<u8>) -> bool {
        while to.len() < EXPLANATION_BYTES {
            match self.stream.read((EXPLANATION_BYTES - to.len()) as u64) {
                Ok(bytes) if bytes.is_empty() => return false,
                Ok(bytes) => to.extend(bytes),
                Err(_) => return true,
            }
        }
        true
    }
}

/// Writes on with a body, and closes it when all is written. A write that fails is not reported:
/// the response, or the lack of one, says why.
fn write_on(sending: &mut Option<Sending>) {
    let done = match sending {
        Some(body) => body.write(),
        None => return,
    };
    if let Ok(false) = done {
        return;
    }
    if let Some(Sending {
        room, stream, body, ..
    }) = sending.take()
    {
        drop(room);
        drop(stream);
        if done.is_ok() {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}

/// Takes the head of a response; what follows is read only where it explains a failure.
fn receive(head: IncomingResponse, wants_date: bool) -> State {
    let status = head.status();
    let success = (200..300).contains(&status);
    let mut response = Response {
        status,
        retry_after: None,
        date: None,
        body: Vec::new(),
    };
    if !success || wants_date {
        let headers = head.headers();
        response.retry_after = first(&headers, "retry-after");
        response.date = first(&headers, "date");
    }
    if success {
        return State::Received(response);
    }
    let Ok(body) = head.consume() else {
        return State::Received(response);
    };
    let Ok(stream) = body.stream() else {
        return State::Received(response);
    };
    State::Explanation(
        response,
        Reading {
            more: stream.subscribe(),
            stream,
            _body: body,
        },
    )
}

fn request(to: &Endpoint, call: &Call<'_>) -> Option<OutgoingRequest> {
    let request = OutgoingRequest::new(Fields::from_list(&call.headers).ok()?);
    let scheme = if to.tls { Scheme::Https } else { Scheme::Http };
    request.set_method(&call.method).ok()?;
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(&to.authority)).ok()?;
    let mut path = to.path_prefix.clone();
    path.push_str(call.path);
    request.set_path_with_query(Some(&path)).ok()?;
    Some(request)
}

fn first(headers: &Fields, name: &str) -> Option<String> {
    let value = headers.get(name).into_iter().next()?;
    String::from_utf8(value).ok()
}

/// The outcome where there is no answer.
fn lacking(code: &ErrorCode) -> Outcome {
    match code {
        ErrorCode::HttpRequestDenied => Outcome::Denied(describe(code)),
        _ => Outcome::Failed(describe(code)),
    }
}

/// Why there is no answer, in a few words.
fn describe(code: &ErrorCode) -> String {
    let text = match code {
        ErrorCode::DnsTimeout => "the name was not resolved in time",
        ErrorCode::DnsError(_) | ErrorCode::DestinationNotFound => "the name cannot be resolved",
        ErrorCode::DestinationUnavailable
        | ErrorCode::DestinationIpProhibited
        | ErrorCode::DestinationIpUnroutable => "the address cannot be reached",
        ErrorCode::ConnectionRefused => "connection refused",
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => {
            "the connection broke"
        }
        ErrorCode::ConnectionTimeout => "no connection in time",
        ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => "no answer in time",
        ErrorCode::ConnectionLimitReached => "too many connections",
        ErrorCode::TlsCertificateError => "the server's TLS certificate is not trusted",
        ErrorCode::TlsProtocolError | ErrorCode::TlsAlertReceived(_) => "the TLS handshake failed",
        ErrorCode::HttpRequestDenied => "the runtime does not allow requests to this address",
        ErrorCode::HttpRequestUriInvalid => "the address is malformed",
        ErrorCode::InternalError(Some(text)) => text,
        _ => "the answer is not proper HTTP",
    };
    String::from(text)
}
