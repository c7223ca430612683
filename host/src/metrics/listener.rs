//! What a supervisor asks: `GET /metrics`, `/healthz` and `/readyz`, HTTP/1.1, no TLS and no
//! authentication.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Metrics;

/// How often the histograms are summed up when nobody scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// The outbox is asked at most so often, however many scrape.
const REFRESH: Duration = Duration::from_secs(1);

/// How long a scrape waits for the outbox. Prometheus gives a scrape 10 s.
const REFRESH_LIMIT: Duration = Duration::from_secs(3);

/// A connection whose request takes longer is closed.
const HEAD_LIMIT: Duration = Duration::from_secs(5);

/// Most connections at once; further ones wait.
const CONNECTIONS: usize = 16;

const METRICS: &str = "/metrics";

/// Whether the process lives.
const ALIVE: &str = "/healthz";

/// Whether it can take events: its outbox can be read. Not whether the coordinator can be reached,
/// for that is what an outbox is for.
const READY: &str = "/readyz";

/// The text format that Prometheus asks for when it asks for nothing else.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Brings the outbox's figures up to date, or says why it cannot be read.
pub(crate) type Refresh =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Readable> + Send>> + Send + Sync + 'static>;

/// Whether the outbox can be read; else why not.
type Readable = Result<(), String>;

/// A bound socket.
pub(crate) struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

struct Shared {
    metrics: Arc<Metrics>,
    refresh: Refresh,
    /// When it was done last, and with what.
    refreshed: Mutex<Option<(Instant, Readable)>>,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(crate) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The address, with the port that was taken.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, metrics: Arc<Metrics>, refresh: Refresh) {
        let shared = Arc::new(Shared {
            metrics,
            refresh,
            refreshed: Mutex::new(None),
        });
        let mut connections = JoinSet::new();
        let mut upkeep = tokio::time::interval(UPKEEP);
        loop {
            tokio::select! {
                _ = upkeep.tick() => shared.metrics.upkeep(),
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        let shared = shared.clone();
                        connections.spawn(async move {
                            let service = service_fn(move |request| answer(shared.clone(), request));
                            // That a client goes away is its own affair.
                            let _ = http1::Builder::new()
                                .timer(TokioTimer::new())
                                .header_read_timeout(HEAD_LIMIT)
                                .serve_connection(TokioIo::new(stream), service)
                                .await;
                        });
                    }
                    // Out of file descriptors: accepting again at once would spin.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                },
            }
        }
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if ![METRICS, ALIVE, READY].contains(&path) {
        let text = format!("there are {METRICS}, {ALIVE} and {READY}\n");
        return Ok(plain(StatusCode::NOT_FOUND, text));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        let allow = header::HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(header::ALLOW, allow);
        return Ok(response);
    }
    if path == ALIVE {
        // That it answers is the answer: it must, also while the store does not.
        return Ok(plain(StatusCode::OK, "ok\n"));
    }
    let readable = shared.refresh().await;
    Ok(match readable {
        _ if path == METRICS => plain(StatusCode::OK, shared.metrics.render()),
        Ok(()) => plain(StatusCode::OK, "ready\n"),
        Err(why) => plain(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the outbox cannot be read: {why}\n"),
        ),
    })
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    let text = header::HeaderValue::from_static(TEXT);
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    response
}

impl Shared {
    async fn refresh(&self) -> Readable {
        // Held meanwhile, so that whoever comes second gets what the first one found.
        let mut refreshed = self.refreshed.lock().await;
        if let Some((at, readable)) = &*refreshed
            && at.elapsed() < REFRESH
        {
            return readable.clone();
        }
        let readable = tokio::time::timeout(REFRESH_LIMIT, (self.refresh)()).await;
        let readable = readable.unwrap_or_else(|_| {
            self.metrics.outbox(None, false);
            let seconds = REFRESH_LIMIT.as_secs();
            Err(format!("it did not answer within {seconds} s"))
        });
        *refreshed = Some((Instant::now(), readable.clone()));
        readable
    }
}
