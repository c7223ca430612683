//! Requests and their answers: the v2 API, with the fault in force applied.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    faults::Fault,
    ledger::{Receipt, State},
    reply::{Answer, Reply, Takeover, plain},
    shared::Shared,
    store::{Arrived, Taken},
};

const INTERACTIONS: &str = "/api/v2/interactions";
/// Where the real server's queue is full.
const QUEUE_CAPACITY: u32 = 10_000;

/// How the answer goes out.
enum Manner {
    Plainly,
    After(Duration),
    Padded,
    Never,
    Instead(Takeover),
    ByteByByte,
}

/// What the fault makes of a request.
enum Effect {
    /// The request is handled and the answer goes out in this manner.
    Handled(Manner),
    /// It is handled, and answered with this status instead of 200.
    HandledAs(StatusCode),
    /// It is not handled; this is the answer.
    Unhandled(Answer),
    /// It is not handled, and this happens to the connection.
    Lost(Manner),
}

fn effect(fault: Fault) -> Effect {
    let too_many = |retry_after: String| {
        Effect::Unhandled(
            plain(StatusCode::TOO_MANY_REQUESTS).with(header::RETRY_AFTER, &retry_after),
        )
    };
    match fault {
        // The last two never let a request come this far.
        Fault::None | Fault::Forget(_) | Fault::Refuse | Fault::NoRead => {
            Effect::Handled(Manner::Plainly)
        }
        Fault::Hang => Effect::Lost(Manner::Never),
        Fault::Status(code) => match StatusCode::from_u16(code) {
            Ok(status) if status.is_success() => Effect::HandledAs(status),
            Ok(status) => Effect::Unhandled(plain(status)),
            Err(_) => Effect::Unhandled(plain(StatusCode::INTERNAL_SERVER_ERROR)),
        },
        Fault::RetryAfter(seconds) => too_many(seconds.to_string()),
        Fault::RetryAfterDate(seconds) => {
            let then = SystemTime::now() + Duration::from_secs(seconds.into());
            too_many(httpdate::fmt_http_date(then))
        }
        Fault::Slow(delay) => Effect::Handled(Manner::After(delay)),
        Fault::Cut => Effect::Handled(Manner::Instead(Takeover::Cut)),
        Fault::Reset => Effect::Lost(Manner::Instead(Takeover::Reset)),
        Fault::Drip => Effect::Handled(Manner::ByteByByte),
        Fault::Garbage => Effect::Lost(Manner::Instead(Takeover::Garbage)),
        Fault::Huge => Effect::Handled(Manner::Padded),
        Fault::Flaky(_) | Fault::Full => {
            Effect::Unhandled(plain(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Fault::Redirect(url) => {
            Effect::Unhandled(plain(StatusCode::TEMPORARY_REDIRECT).with(header::LOCATION, &url))
        }
    }
}

/// Answers one request, or says what is to happen to its connection instead.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Takeover> {
    let (head, body) = request.into_parts();
    // A body that breaks off has nobody left to answer to.
    let body = body.collect().await.map_err(|_| Takeover::Cut)?.to_bytes();
    let (answer, manner, receipt) =
        if head.method == Method::POST && head.uri.path() == INTERACTIONS {
            event(&shared, &head.headers, &body)
        } else {
            let (answer, manner) = other(&shared, &head);
            (answer, manner, None)
        };
    match manner {
        Manner::Plainly => Ok(answer.into_response(false)),
        Manner::Padded => Ok(answer.into_response(true)),
        Manner::After(delay) => {
            tokio::time::sleep(delay).await;
            if let Some(receipt) = receipt {
                shared.ledger.change(|state| {
                    state.receipts[receipt].answered = Some(answer.status.as_u16());
                });
            }
            Ok(answer.into_response(false))
        }
        Manner::Never => std::future::pending().await,
        Manner::Instead(takeover) => Err(takeover),
        Manner::ByteByByte => Err(Takeover::Drip(answer.into_bytes())),
    }
}

fn apply(effect: Effect, handle: impl FnOnce() -> Answer) -> (Answer, Manner) {
    match effect {
        Effect::Handled(manner) => (handle(), manner),
        Effect::HandledAs(status) => {
            let mut answer = handle();
            if answer.status.is_success() {
                answer.status = status;
            }
            (answer, Manner::Plainly)
        }
        Effect::Unhandled(answer) => (answer, Manner::Plainly),
        Effect::Lost(manner) => (plain(StatusCode::OK), manner),
    }
}

/// Handles an event: under one lock, so that receipts and stored events are in one order.
fn event(shared: &Shared, headers: &HeaderMap, body: &Bytes) -> (Answer, Manner, Option<usize>) {
    let authorisation = authorise(&shared.api_keys, headers);
    let authorized = authorisation.is_none();
    let parsed = Parsed::of(body);
    let mut note = "not stored";
    let (answer, manner, receipt) = shared.ledger.change(|state| {
        let at = shared.ledger.since_start();
        let wall = SystemTime::now();
        let fault = state.in_force.meet(true);
        let forgotten = match fault {
            Fault::Forget(_) => state.store.forget_starts(),
            _ => Ok(()),
        };
        let effect = match forgotten {
            Ok(()) => effect(fault),
            Err(_) => Effect::Unhandled(plain(StatusCode::INTERNAL_SERVER_ERROR)),
        };
        let mut taken = None;
        let (answer, manner) = apply(effect, || {
            if let Some(refusal) = authorisation {
                return refusal;
            }
            match &parsed {
                Ok(parsed) => take(state, wall, headers, parsed, body, &mut taken),
                Err(detail) => unprocessable(detail),
            }
        });
        if let Some(taken) = taken {
            note = match taken {
                Taken::Stored => "stored",
                Taken::Duplicate => "repeated key, ignored",
                Taken::DroppedUnknown => "start not seen, dropped",
                Taken::Unusable => "no known action or no id, dropped",
            };
        }
        let receipt = shared.ledger.keeps_receipts().then(|| {
            state.receipts.push(Receipt {
                at,
                wall,
                idempotency_key: idempotency_key(headers).map(str::to_owned),
                authorized,
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.to_string(), lossy(value).into_owned()))
                    .collect(),
                body: body.clone(),
                action: parsed.as_ref().ok().and_then(|p| p.action.clone()),
                interaction_id: parsed.as_ref().ok().and_then(|p| p.interaction_id.clone()),
                answered: status_now(&answer, &manner),
                stored: taken == Some(Taken::Stored),
            });
            state.receipts.len() - 1
        });
        (answer, manner, receipt)
    });
    shared.print(|| {
        let parsed = parsed.as_ref().ok();
        super::command::line(
            SystemTime::now(),
            parsed.and_then(|p| p.action.as_deref()),
            parsed.and_then(|p| p.interaction_id.as_deref()),
            body.len(),
            match manner {
                Manner::After(_) => Some(answer.status.as_u16()),
                _ => status_now(&answer, &manner),
            },
            note,
        )
    });
    (answer, manner, receipt)
}

fn status_now(answer: &Answer, manner: &Manner) -> Option<u16> {
    match manner {
        Manner::Plainly | Manner::Padded | Manner::ByteByByte => Some(answer.status.as_u16()),
        Manner::After(_) | Manner::Never | Manner::Instead(_) => None,
    }
}

/// Stores an event that is let in, and answers it.
fn take(
    state: &mut State,
    at: SystemTime,
    headers: &HeaderMap,
    parsed: &Parsed<'_>,
    body: &Bytes,
    taken: &mut Option<Taken>,
) -> Answer {
    state.stats.received += 1;
    let result = state.store.take(&Arrived {
        at,
        // A structured field string has quotes, a careless client sends none.
        idempotency_key: idempotency_key(headers).map(|key| {
            key.strip_prefix('"')
                .and_then(|key| key.strip_suffix('"'))
                .unwrap_or(key)
        }),
        action: parsed.action.as_deref(),
        interaction_id: parsed.interaction_id.as_deref(),
        mcp_id: parsed.mcp_id.as_deref(),
        body,
    });
    let stats = &mut state.stats;
    match result {
        Ok(Taken::Stored) => stats.processed += 1,
        Ok(Taken::Duplicate) => stats.duplicates_ignored += 1,
        Ok(Taken::DroppedUnknown) => stats.dropped_unknown += 1,
        Ok(Taken::Unusable) | Err(_) => stats.failed += 1,
    }
    *taken = result.as_ref().ok().copied();
    if result.is_err() {
        return plain(StatusCode::INTERNAL_SERVER_ERROR);
    }
    // Stored before the answer, so the queue never holds more than this event.
    let id = parsed.raw_id.map_or("null", RawValue::get);
    let mut answer = String::with_capacity(64 + id.len());
    answer.push_str(r#"{"status":"accepted","interaction_id":"#);
    answer.push_str(id);
    answer.push_str(r#","queue_position":1}"#);
    Answer::new(StatusCode::OK, answer)
}

/// Everything that is not an event.
fn other(shared: &Shared, head: &request::Parts) -> (Answer, Manner) {
    let (effect, stats, full) = {
        let mut state = shared.ledger.state();
        let full = *state.in_force.fault() == Fault::Full;
        (effect(state.in_force.meet(false)), state.stats, full)
    };
    let queue_size = if full { QUEUE_CAPACITY } else { 0 };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_micros() as f64 / 1e6);
    let asked = |method: Method, answer: &dyn Fn() -> Answer| {
        if head.method == method {
            answer()
        } else {
            plain(StatusCode::METHOD_NOT_ALLOWED).with(header::ALLOW, method.as_str())
        }
    };
    let authorised = |answer: String| {
        authorise(&shared.api_keys, &head.headers)
            .unwrap_or_else(|| Answer::new(StatusCode::OK, answer))
    };
    apply(effect, || match head.uri.path() {
        // A POST to it is an event and never comes here.
        INTERACTIONS => asked(Method::POST, &|| plain(StatusCode::NOT_FOUND)),
        "/api/v2/health" => asked(Method::GET, &|| {
            Answer::new(
                StatusCode::OK,
                format!(
                    r#"{{"status":"healthy","timestamp":{now:?},"queue_size":{queue_size},"processor_running":true}}"#
                ),
            )
        }),
        "/api/v2/interactions/stats" => asked(Method::GET, &|| {
            authorised(format!(
                r#"{{"stats":{{"requests_received":{},"requests_processed":{},"requests_failed":{},"queue_size":{queue_size}}},"timestamp":{now:?},"queue_size":{queue_size}}}"#,
                stats.received, stats.processed, stats.failed,
            ))
        }),
        "/api/v2/validate" if shared.validate => {
            asked(Method::POST, &|| match bearer(&head.headers) {
                Err(_) => refuse_key(),
                Ok(_) => authorised(r#"{"valid":true}"#.to_owned()),
            })
        }
        _ => plain(StatusCode::NOT_FOUND),
    })
}

fn refuse_key() -> Answer {
    plain(StatusCode::UNAUTHORIZED)
}

fn unprocessable(detail: &str) -> Answer {
    Answer::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        format!(
            r#"{{"detail":[{{"type":"{detail}","loc":["body"],"msg":"Input should be a JSON object"}}]}}"#
        ),
    )
}

/// The bearer token, or the refusal of a request that has none.
fn bearer(headers: &HeaderMap) -> Result<&[u8], Answer> {
    let value = headers
        .get(header::AUTHORIZATION)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let (scheme, token) = match value.iter().position(|b| *b == b' ') {
        Some(space) => (&value[..space], value[space + 1..].trim_ascii()),
        None => (value, &b""[..]),
    };
    if scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(plain(StatusCode::FORBIDDEN))
    }
}

/// The refusal of a request without a good key; none when the key is good.
fn authorise(api_keys: &[String], headers: &HeaderMap) -> Option<Answer> {
    match bearer(headers) {
        Err(refusal) => Some(refusal),
        Ok(token) => {
            let good = api_keys.is_empty() || api_keys.iter().any(|key| key.as_bytes() == token);
            (!good).then(refuse_key)
        }
    }
}

fn idempotency_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("idempotency-key")?.to_str().ok()
}

fn lossy(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// What the coordinator reads of a body.
struct Parsed<'a> {
    action: Option<String>,
    interaction_id: Option<String>,
    mcp_id: Option<String>,
    raw_id: Option<&'a RawValue>,
}

impl<'a> Parsed<'a> {
    /// Any JSON object will do; fields that are not strings count as absent.
    fn of(body: &'a [u8]) -> Result<Self, &'static str> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            action: Option<&'a RawValue>,
            #[serde(borrow)]
            interaction_id: Option<&'a RawValue>,
            #[serde(borrow)]
            mcp_id: Option<&'a RawValue>,
        }
        // A derived struct would also be read from an array.
        if body.trim_ascii_start().first() != Some(&b'{') {
            return Err("dict_type");
        }
        let wire: Wire<'_> = serde_json::from_slice(body).map_err(|_| "json_invalid")?;
        let text = |raw: Option<&RawValue>| serde_json::from_str(raw?.get()).ok();
        Ok(Self {
            action: text(wire.action),
            interaction_id: text(wire.interaction_id),
            mcp_id: text(wire.mcp_id),
            raw_id: wire.interaction_id,
        })
    }
}
