//! The export `wasi:http/incoming-handler`: the coordinator's own API in front of the outbox. What
//! is asked and answered is the core's; here are the bytes.

use core::time::Duration;

use mcp_reporter_core::{
    edge::{self, Head, Operation, Performed, Response},
    store::StoreError,
    text::decimal,
};

use crate::{
    Component,
    bindings::{
        Failure,
        exports::wasi::http::incoming_handler::Guest,
        wasi::{
            clocks::monotonic_clock,
            http::types::{
                Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
            },
            io::{
                poll::{Pollable, poll},
                streams::{OutputStream, StreamError},
            },
        },
    },
    clock, delivery,
    instance::{self, Instance},
    log::{Level, log},
    prelude::*,
};

/// How long a body may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let method = name(request.method());
        let target = request.path_with_query().unwrap_or_default();
        let headers = request.headers().entries();
        let head = Head {
            method: &method,
            target: &target,
            headers: &headers,
        };
        let told = Operation::of(head).and_then(|operation| answer(&operation, head, &request));
        drop(request);
        let (response, after) = told.unwrap_or_else(|response| (response, Duration::ZERO));
        respond(out, &response, method == "HEAD");
        if !after.is_zero() {
            // The answer is out: nobody waits for this.
            deliver(after);
        }
    }
}

/// Answers a request, and says for how long to deliver after that.
fn answer(
    operation: &Operation<'_>,
    head: Head<'_>,
    request: &IncomingRequest,
) -> Result<(Response, Duration), Response> {
    let mut instance = match instance::enabled() {
        Ok(Some(instance)) => instance,
        Ok(None) => return Err(edge::switched_off()),
        Err(Failure::NotConfigured(why)) => return Err(edge::not_configured(&why)),
        Err(
            Failure::Storage(why)
            | Failure::Busy(why)
            | Failure::InvalidInput(why)
            | Failure::OutboxFull(why),
        ) => return Err(edge::store_failed(&StoreError(why))),
    };
    let settings = instance.settings.clone();
    operation.admit(head, &settings)?;
    let body = match operation.body_limit(head, &settings)? {
        Some(limit) => read(request, limit, head.content_length())?,
        None => Vec::new(),
    };
    let Instance {
        acceptor,
        store,
        random,
        ..
    } = &mut *instance;
    let now = clock::now();
    match operation.perform(&body, &settings, acceptor, store, random, now) {
        Performed::Answer(response) => Ok((response, Duration::ZERO)),
        Performed::Stored(response) => Ok((response, settings.edge_budget)),
        Performed::Deliver(budget) => {
            let done = delivery::deliver_briefly(&mut instance, budget);
            Ok((edge::delivered(done), Duration::ZERO))
        }
    }
}

fn deliver(budget: Duration) {
    let Ok(Some(mut instance)) = instance::enabled() else {
        return;
    };
    if let Err(error) = delivery::deliver_briefly(&mut instance, budget) {
        log(Level::Error, &["the store failed: ", &error.0].concat());
    }
}

/// Reads the body of a request, which may have `limit` bytes, and has `length` if that is known.
fn read(request: &IncomingRequest, limit: usize, length: Option<u64>) -> Result<Vec<u8>, Response> {
    let body = request.consume().map_err(|()| edge::unreadable())?;
    let stream = body.stream().map_err(|()| edge::unreadable())?;
    // Made where there is something to wait for: most bodies are there with their heads.
    let mut waiting: Option<(Pollable, Pollable)> = None;
    let mut bytes = Vec::new();
    // One byte more than is taken tells that there is more.
    while bytes.len() <= limit && length != Some(bytes.len() as u64) {
        match stream.read((limit + 1 - bytes.len()) as u64) {
            Ok(some) if some.is_empty() => {
                let (more, timer) = waiting.get_or_insert_with(|| (stream.subscribe(), timer()));
                if !ready(more, timer) {
                    return Err(edge::unreadable());
                }
            }
            Ok(some) => bytes.extend(some),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(_) => return Err(edge::unreadable()),
        }
    }
    if bytes.len() > limit {
        return Err(Operation::too_large(limit));
    }
    Ok(bytes)
}

/// Sends the answer. Its body is written and finished before that, as far as the runtime takes it:
/// a runtime that sends head and body apart would have the peer wait for the second.
fn respond(out: ResponseOutparam, response: &Response, head_only: bool) {
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, value: &str| {
        headers.push((String::from(name), value.as_bytes().to_vec()));
    };
    for (name, value) in &response.headers {
        add(name, value);
    }
    let mut body = response.body.as_bytes();
    if !body.is_empty() {
        add("content-type", "application/json");
    }
    if head_only {
        body = b"";
    } else if response.status != 204 {
        add("content-length", &decimal(body.len() as u64));
    }
    // They are well-formed: all come from the core.
    let answer =
        OutgoingResponse::new(Fields::from_list(&headers).unwrap_or_else(|_| Fields::new()));
    let _ = answer.set_status_code(response.status);
    let (Ok(sink), mut unsent) = (answer.body(), Some((out, answer))) else {
        return;
    };
    let mut send = || {
        if let Some((out, answer)) = unsent.take() {
            ResponseOutparam::set(out, Ok(answer));
        }
    };
    if let Ok(stream) = sink.write() {
        let mut room = write(&stream, &mut body);
        let timer = (!body.is_empty()).then(timer);
        while let (true, Some(timer)) = (room && !body.is_empty(), &timer) {
            // What is left goes as the peer takes it.
            send();
            room = ready(&stream.subscribe(), timer) && write(&stream, &mut body);
        }
    }
    let _ = OutgoingBody::finish(sink, None);
    send();
}

/// Writes what the runtime takes without waiting; false when it takes nothing any more.
fn write(stream: &OutputStream, body: &mut &[u8]) -> bool {
    while !body.is_empty() {
        match stream.check_write() {
            Ok(0) => return true,
            Ok(room) => {
                let (now, later) = body.split_at(body.len().min(room as usize));
                if stream.write(now).is_err() {
                    return false;
                }
                *body = later;
            }
            Err(_) => return false,
        }
    }
    true
}

fn timer() -> Pollable {
    monotonic_clock::subscribe_duration(PATIENCE.as_nanos() as u64)
}

/// Waits until `pollable` is ready; false when the time is over first.
fn ready(pollable: &Pollable, timer: &Pollable) -> bool {
    poll(&[pollable, timer]).contains(&0)
}

fn name(method: Method) -> String {
    String::from(match &method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => name,
    })
}
