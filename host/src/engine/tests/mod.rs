//! The built component on this engine, with real sockets.

mod edge;
mod hostile;
mod limits;
mod loading;
mod network;
mod reports;
mod tls;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{
    Action, Egress, Engine, EngineError, EngineOptions, Instance, InteractionReport, Reporter,
};
use crate::store::{MemoryStore, Store};

/// A coordinator that answers as it is told, and remembers what it got.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request<Bytes>>>,
}

impl Peer {
    pub(super) async fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (theirs, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                theirs.connections.fetch_add(1, Ordering::Relaxed);
                let (seen, answer) = (theirs.clone(), answer.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request: Request<Incoming>| {
                        let (seen, answer) = (seen.clone(), answer.clone());
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.map(|b| b.to_bytes());
                            let request = Request::from_parts(head, body.unwrap_or_default());
                            let response = answer(&request);
                            seen.requests.lock().unwrap().push(request);
                            Ok::<_, Infallible>(response)
                        }
                    });
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, seen }
    }

    /// One that says yes to everything.
    pub(super) async fn agreeable() -> Self {
        Self::start(|_| Response::new(Full::from(r#"{"status":"accepted"}"#))).await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> Vec<Request<Bytes>> {
        self.seen.requests.lock().unwrap().clone()
    }
}

pub(super) fn status(code: u16, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

/// Settings for a coordinator at `url`, without the throttle.
pub(super) fn settings(url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let basic = [
        ("enable_interaction_logging", "true"),
        ("mcp_id", "test"),
        ("coordinator_url", url),
        ("coordinator_api_key", "secret-key"),
        ("rate_limit", "0"),
    ];
    let all = basic.iter().chain(more);
    all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// An instance of the built component, with its outbox in `store`.
pub(super) async fn instance(
    options: &EngineOptions,
    store: Arc<dyn Store>,
    url: &str,
    more: &[(&str, &str)],
) -> Instance {
    let component = Engine::new(options)
        .unwrap()
        .load(mcp_reporter_artifacts::REPORTER)
        .unwrap();
    let egress = Egress::new(url, None).unwrap();
    Reporter::new(component, settings(url, more), egress)
        .instantiate(store)
        .await
        .unwrap()
}

/// The same with all defaults and a store in memory.
pub(super) async fn plain(url: &str, more: &[(&str, &str)]) -> Instance {
    let store = Arc::new(MemoryStore::new());
    instance(&EngineOptions::default(), store, url, more).await
}

pub(super) fn start(id: impl Into<String>, data: impl Into<String>) -> InteractionReport {
    InteractionReport {
        action: Action::Start,
        interaction_id: id.into(),
        data: data.into(),
        timestamp_ns: None,
        mcp_id: None,
        idempotency_key: None,
        traceparent: None,
    }
}

/// Fails the test when `future` is not done in time.
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("not done within 30 s")
}
