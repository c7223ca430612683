//! The coordinator's API on a socket, in front of the outbox: what `mcp-reporter serve` runs.
//!
//! What is asked and answered is the component's. Here is what concerns this machine: who may
//! speak to a listener on loopback, how long a request may take to come and how large it may be,
//! how many events are taken in a second, and the description of the API.

mod limit;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use mcp_reporter_capture::http::{guard, serve};
use mcp_reporter_core::edge::{self, EVENTS_PATH, FORM_BYTES};
use tokio::net::TcpListener;

use crate::Reporter;
use limit::RateLimit;

/// How long a body may take to come.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// How long requests may go on when it is to end.
const GRACE: Duration = Duration::from_secs(2);

/// Where the API is described.
const DESCRIPTION_PATH: &str = "/api/v2/openapi.json";

/// The API, as OpenAPI 3.1 describes it.
pub const DESCRIPTION: &str = include_str!("serve/openapi.json");

/// How it is served.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Most events in a second, over all clients; 0 for no limit.
    pub rate_limit: u32,
    /// The largest event, in bytes: `max_event_bytes`.
    pub max_event_bytes: usize,
}

/// What all requests share.
#[derive(Clone)]
struct Shared {
    reporter: Reporter,
    /// Whether it listens on loopback only.
    loopback: bool,
    most_bytes: usize,
    rate_limit: RateLimit,
}

impl Reporter {
    /// Serves the coordinator's API on this socket until `end`, then lets requests that are under
    /// way go on for two seconds. What was answered is in the outbox by then. Who may ask is said
    /// by `ingest_keys`.
    ///
    /// On loopback, only requests whose `Host` and `Origin` are of this machine are answered.
    ///
    /// # Errors
    ///
    /// The socket cannot be used, or the reporter is switched off or was shut down.
    pub async fn serve(
        &self,
        listener: std::net::TcpListener,
        options: ServeOptions,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let address: SocketAddr = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let shared = Shared {
            reporter: self.clone(),
            loopback: address.ip().is_loopback(),
            most_bytes: options.max_event_bytes.max(FORM_BYTES),
            rate_limit: RateLimit::new(options.rate_limit),
        };
        let runtime = self.runtime();
        let runtime = runtime.ok_or_else(|| std::io::Error::other("the reporter was shut down"))?;
        // On the reporter's own threads, where its instances are.
        let served = runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            let answer = move |request| {
                let shared = shared.clone();
                async move { Ok::<_, Infallible>(shared.answer(request).await) }
            };
            serve(listener, answer, end, GRACE).await;
            Ok(())
        });
        served.await.map_err(std::io::Error::other)?
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if self.loopback
            && let Err(refusal) = guard::check(request.uri(), request.headers())
        {
            return said(StatusCode::FORBIDDEN, refusal.message().trim_end());
        }
        if request.uri().path() == DESCRIPTION_PATH {
            return description(request.method());
        }
        if request.uri().path() == EVENTS_PATH
            && request.method() == Method::POST
            && let Err(wait) = self.rate_limit.take()
        {
            let mut response = said(
                StatusCode::TOO_MANY_REQUESTS,
                "ingest_rate_limit is reached",
            );
            // Rounded up: a moment too early would be refused again.
            let seconds = HeaderValue::from(wait.as_secs() + 1);
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
            return response;
        }
        let (head, body) = request.into_parts();
        let Some(body) = read(body, self.most_bytes).await else {
            let late = edge::unreadable();
            let status = StatusCode::from_u16(late.status).unwrap_or(StatusCode::REQUEST_TIMEOUT);
            return json(status, late.body);
        };
        let mut request = Request::from_parts(head, body);
        if !request.headers().contains_key(header::HOST) && request.uri().authority().is_none() {
            // Only HTTP/1.0 may leave it out.
            let host = HeaderValue::from_static("localhost");
            request.headers_mut().insert(header::HOST, host);
        }
        match self.reporter.answer(request).await {
            Ok(response) => response.map(Full::new),
            Err(failed) => {
                tracing::error!("a request was not answered: {failed}");
                said(StatusCode::SERVICE_UNAVAILABLE, &failed.to_string())
            }
        }
    }
}

/// Reads a body: all of it, or one byte more than `most`, which the component then finds too large.
/// None when it broke off or did not come in time. Before an instance is asked: clients that send
/// a byte a second must not hold any up.
async fn read(mut body: Incoming, most: usize) -> Option<Bytes> {
    // What a client says is not believed beyond what is taken.
    if body.size_hint().lower() > most as u64 {
        return Some(Bytes::new());
    }
    let all = async {
        let mut bytes = BytesMut::new();
        while bytes.len() <= most {
            match body.frame().await {
                None => return Some(bytes.freeze()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        // Most bodies are one piece.
                        if bytes.is_empty() && body.is_end_stream() {
                            return Some(data);
                        }
                        bytes.extend_from_slice(&data);
                    }
                }
                Some(Err(_)) => return None,
            }
        }
        Some(bytes.freeze())
    };
    tokio::time::timeout(BODY_LIMIT, all).await.ok().flatten()
}

fn description(method: &Method) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut response = said(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return response;
    }
    json(StatusCode::OK, DESCRIPTION.to_owned())
}

/// `{"detail": …}`, as the coordinator says what is wrong.
fn said(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    json(status, serde_json::json!({ "detail": text }).to_string())
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
