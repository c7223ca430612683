//! The proxy between real sockets: what a server and a client on both sides of it see.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use mcp_reporter_capture::clock::Clock;
use mcp_reporter_capture::http::{Exchanges, Forwarder, Handover, Seen, Upstream};
use mcp_reporter_capture::{CaptureSettings, NoProcess, Tracker, Transport};
use mcp_reporter_event::event::Action;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc, oneshot};

/// Nothing here takes long; whatever does, hangs.
const PATIENCE: Duration = Duration::from_secs(10);

type Chunks = mpsc::Receiver<Result<Frame<Bytes>, Infallible>>;
type ServerBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing for {PATIENCE:?}"),
    }
}

/// A server whose answers are those of a function.
async fn server<A, F>(answer: A) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<ServerBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let answer = answer.clone();
                    async move { Ok::<_, Infallible>(answer(request).await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

struct Proxy {
    address: SocketAddr,
    seen: std::sync::mpsc::Receiver<Seen>,
    handover: Handover,
    /// Dropped, the proxy ends.
    _end: oneshot::Sender<()>,
}

impl Proxy {
    async fn start(server: SocketAddr) -> Self {
        Self::holding(server, 8 << 20).await
    }

    async fn holding(server: SocketAddr, limit: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handover, seen) = Handover::new(limit, Clock::start());
        let forwarder = Forwarder {
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            upstream: Upstream::parse(&format!("http://{server}/mcp")).unwrap(),
            handover: Some(handover.clone()),
            loopback_only: true,
        };
        let (end, ended) = oneshot::channel::<()>();
        tokio::spawn(forwarder.serve(listener, async move {
            let _ = ended.await;
        }));
        Self {
            address,
            seen,
            handover,
            _end: end,
        }
    }

    /// What was reported of the exchanges that have ended, as action, id of the interaction and
    /// payload.
    async fn reports(&self, exchanges: usize) -> Vec<(Action, String, serde_json::Value)> {
        let settings = CaptureSettings {
            transport: Transport::Tcp,
            ..CaptureSettings::default()
        };
        let mut all = Exchanges::new(Tracker::new(settings, NoProcess, 7));
        let mut ended = 0;
        let deadline = std::time::Instant::now() + PATIENCE;
        while ended < exchanges {
            match self.seen.try_recv() {
                Ok(seen) => {
                    ended += usize::from(format!("{:?}", seen.piece).starts_with("End"));
                    all.see(seen);
                }
                Err(_) => {
                    assert!(
                        std::time::Instant::now() < deadline,
                        "{ended} of {exchanges}"
                    );
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        std::iter::from_fn(|| all.next_report())
            .map(|r| {
                (
                    r.action,
                    r.interaction_id,
                    serde_json::from_str(&r.data).unwrap(),
                )
            })
            .collect()
    }
}

fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

fn post(address: SocketAddr, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(format!("http://{address}/mcp"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header(header::ACCEPT_ENCODING, "gzip")
        .body(Full::new(body.into()))
        .unwrap()
}

fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<ServerBody> {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.into()).boxed())
        .unwrap()
}

fn events(chunks: Chunks) -> Response<ServerBody> {
    let stream = futures_util::stream::unfold(chunks, |mut chunks| async move {
        chunks.recv().await.map(|chunk| (chunk, chunks))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(BodyExt::boxed(StreamBody::new(stream)))
        .unwrap()
}

async fn chunk(body: &mut (impl Body<Data = Bytes, Error: std::fmt::Debug> + Unpin)) -> Bytes {
    let frame = in_time("a chunk", body.frame())
        .await
        .expect("more of the body");
    frame.unwrap().into_data().expect("no trailers")
}

/// Says when it is dropped.
struct Gone(mpsc::UnboundedSender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}"#;
const RESULT: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#;

fn kinds(reports: &[(Action, String, serde_json::Value)]) -> Vec<&'static str> {
    let kinds = reports.iter().map(|(action, _, data)| match action {
        Action::Start => "start",
        Action::Progress => "progress",
        Action::Complete => "complete",
        Action::Error => match data["error_type"].as_str() {
            Some("cancelled") => "cancelled",
            Some("connection_lost") => "lost",
            Some("no_result") => "no result",
            _ => "error",
        },
    });
    kinds.collect()
}

#[tokio::test]
async fn method_path_headers_and_bodies_pass_as_they_are() {
    let server = server(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        assert_eq!(head.uri.path_and_query().unwrap(), "/mcp?a=%20b");
        assert_eq!(head.headers["mcp-protocol-version"], "2026-07-28");
        assert_eq!(head.headers["mcp-name"], "=?base64?w6k=?=");
        assert_eq!(head.headers[header::AUTHORIZATION], "Bearer x");
        assert!(!head.headers.contains_key(header::ACCEPT_ENCODING));
        assert!(!head.headers.contains_key("x-hop"));
        assert_eq!(
            head.headers
                .get_all(header::COOKIE)
                .iter()
                .collect::<Vec<_>>(),
            ["a=1", "b=2"]
        );
        let body = body.collect().await.unwrap().to_bytes();
        Response::builder()
            .status(299)
            .header("x-answer", "1")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body).boxed())
            .unwrap()
    })
    .await;
    let proxy = Proxy::start(server).await;
    let body: Vec<u8> = (0..300_000u32).map(|n| ((n * n) >> 3) as u8).collect();
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(version == Version::HTTP_2)
            .build::<_, Full<Bytes>>(HttpConnector::new());
        let mut request = Request::put(format!("http://{}/mcp?a=%20b", proxy.address))
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-name", "=?base64?w6k=?=")
            .header(header::AUTHORIZATION, "Bearer x")
            .header(header::ACCEPT_ENCODING, "gzip")
            .header(header::COOKIE, "a=1")
            .header(header::COOKIE, "b=2")
            .body(Full::from(body.clone()))
            .unwrap();
        if version == Version::HTTP_11 {
            let hop = header::HeaderValue::from_static("x-hop");
            request.headers_mut().insert(header::CONNECTION, hop);
            let one = header::HeaderValue::from_static("1");
            request.headers_mut().insert("x-hop", one);
        }
        let answer = in_time("an answer", client.request(request)).await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.status(), 299);
        assert_eq!(answer.headers()["x-answer"], "1");
        let got = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(got == body, "{version:?}");
    }
}

#[tokio::test]
async fn events_pass_one_by_one_and_are_reported() {
    let (server_says, chunks) = mpsc::channel(1);
    let chunks = Arc::new(std::sync::Mutex::new(Some(chunks)));
    let server = server(move |request: Request<Incoming>| {
        let chunks = chunks.lock().unwrap().take().unwrap();
        async move {
            request.into_body().collect().await.unwrap();
            events(chunks)
        }
    })
    .await;
    let proxy = Proxy::start(server).await;
    let call = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"add","_meta":{"progressToken":"p"}}}"#;
    let mut answer = in_time("the head", client().request(post(proxy.address, call)))
        .await
        .unwrap();
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#;
    let result = r#"{"jsonrpc":"2.0","id":"a","result":{"content":[]}}"#;
    for text in [
        format!(": hello\n\ndata: {progress}\n"),
        "\n".to_owned(),
        format!("event: message\r\ndata: {}", &result[..9]),
        format!("{}\r\n\r\n", &result[9..]),
    ] {
        // Each is there before the next is sent.
        let frame = Frame::data(Bytes::from(text.clone()));
        server_says.send(Ok(frame)).await.unwrap();
        assert_eq!(chunk(answer.body_mut()).await, text);
    }
    drop(server_says);
    assert!(
        in_time("the end", answer.body_mut().frame())
            .await
            .is_none()
    );
    let reports = proxy.reports(1).await;
    assert_eq!(kinds(&reports), ["start", "progress", "complete"]);
    assert_eq!(reports[0].2["network.transport"], "tcp");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_request_at_the_server_and_has_cancelled_it() {
    for before_the_head in [true, false] {
        let (gone, mut is_gone) = mpsc::unbounded_channel();
        let server = server(move |request: Request<Incoming>| {
            let gone = gone.clone();
            async move {
                request.into_body().collect().await.unwrap();
                let (sender, chunks) = mpsc::channel(1);
                if before_the_head {
                    // Dropped with this future, when the connection ends.
                    let _gone = Gone(gone);
                    std::future::pending::<()>().await;
                } else {
                    tokio::spawn(async move {
                        let _gone = Gone(gone);
                        sender.closed().await;
                    });
                }
                events(chunks)
            }
        })
        .await;
        let proxy = Proxy::start(server).await;
        let request = client().request(post(proxy.address, CALL));
        if before_the_head {
            let none = tokio::time::timeout(Duration::from_millis(300), request).await;
            assert!(none.is_err());
        } else {
            drop(in_time("the head", request).await.unwrap());
        }
        in_time("the server's hearing of it", is_gone.recv())
            .await
            .unwrap();
        let reports = proxy.reports(1).await;
        assert_eq!(kinds(&reports), ["start", "cancelled"]);
    }
}

#[tokio::test]
async fn requests_without_a_session_may_have_the_same_id() {
    let server = server(|request: Request<Incoming>| async move {
        request.into_body().collect().await.unwrap();
        json(StatusCode::OK, RESULT)
    })
    .await;
    let proxy = Proxy::start(server).await;
    for _ in 0..3 {
        let answer = client().request(post(proxy.address, CALL)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, RESULT);
    }
    let reports = proxy.reports(3).await;
    assert_eq!(kinds(&reports), ["start", "complete"].repeat(3));
    let ids: std::collections::BTreeSet<_> = reports.iter().map(|r| &r.1).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn a_session_is_in_its_reports_and_ends_what_is_open() {
    let server = server(|request: Request<Incoming>| async move {
        let delete = request.method() == Method::DELETE;
        let body = request.into_body().collect().await.unwrap().to_bytes();
        if delete {
            return json(StatusCode::OK, "");
        }
        if body.starts_with(br#"{"jsonrpc":"2.0","id":0"#) {
            let mut answer = json(
                StatusCode::OK,
                r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","serverInfo":{"name":"s","version":"1"},"capabilities":{}}}"#,
            );
            let id = header::HeaderValue::from_static("the-session");
            answer.headers_mut().insert("mcp-session-id", id);
            return answer;
        }
        // A stream whose events have ids may be resumed.
        let (sender, chunks) = mpsc::channel(1);
        let event = Frame::data(Bytes::from_static(b"id: 1\ndata: {}\n\n"));
        sender.send(Ok(event)).await.unwrap();
        events(chunks)
    })
    .await;
    let proxy = Proxy::start(server).await;
    let initialize = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;
    let client = client();
    let in_session = |mut request: Request<Full<Bytes>>| {
        let id = header::HeaderValue::from_static("the-session");
        request.headers_mut().insert("mcp-session-id", id);
        request
    };
    let delete = Request::delete(format!("http://{}/mcp", proxy.address))
        .body(Full::default())
        .unwrap();
    for request in [
        post(proxy.address, initialize),
        in_session(post(proxy.address, CALL)),
        in_session(delete),
    ] {
        let answer = client.request(request).await.unwrap();
        answer.into_body().collect().await.unwrap();
    }
    let reports = proxy.reports(3).await;
    assert_eq!(kinds(&reports), ["start", "lost"]);
    assert_eq!(reports[0].2["mcp.session.id"], "the-session");
    assert_eq!(reports[0].2["mcp.protocol.version"], "2025-11-25");
}

#[tokio::test]
async fn what_goes_wrong_at_the_server_is_passed_on_and_ends_the_request() {
    let server = server(|request: Request<Incoming>| async move {
        request.into_body().collect().await.unwrap();
        json(StatusCode::SERVICE_UNAVAILABLE, r#"{"detail":"later"}"#)
    })
    .await;
    let proxy = Proxy::start(server).await;
    let answer = client().request(post(proxy.address, CALL)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"detail":"later"}"#);
    let reports = proxy.reports(1).await;
    assert_eq!(kinds(&reports), ["start", "error"]);
    assert_eq!(reports[1].2["error_code"], 503);

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let proxy = Proxy::start(address).await;
    let answer = client().request(post(proxy.address, CALL)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let text = format!("the server at {address} cannot be reached\n");
    assert_eq!(body, text);
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing() {
    let server = server(|_| async { panic!("the server was asked") }).await;
    let proxy = Proxy::start(server).await;
    for (name, value) in [
        (header::HOST, "rebound.example"),
        (header::ORIGIN, "https://rebound.example"),
    ] {
        let request = Request::get(format!("http://{}/mcp", proxy.address))
            .header(name, value)
            .body(Full::default())
            .unwrap();
        let answer = client().request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn a_slow_client_holds_the_server_back() {
    let (sent, mut progress) = mpsc::unbounded_channel();
    let server = server(move |request: Request<Incoming>| {
        let sent = sent.clone();
        async move {
            request.into_body().collect().await.unwrap();
            let (sender, chunks) = mpsc::channel(1);
            tokio::spawn(async move {
                for n in 0..4096 {
                    let frame = Frame::data(Bytes::from(vec![b'x'; 64 << 10]));
                    if sender.send(Ok(frame)).await.is_err() {
                        return;
                    }
                    let _ = sent.send(n);
                }
            });
            events(chunks)
        }
    })
    .await;
    let proxy = Proxy::start(server).await;
    let mut answer = client().request(post(proxy.address, CALL)).await.unwrap();
    chunk(answer.body_mut()).await;
    // Until nothing moves any more: all buffers on the way are full.
    let mut most = 0;
    while let Ok(Some(n)) = tokio::time::timeout(Duration::from_millis(500), progress.recv()).await
    {
        most = n;
    }
    assert!(
        most < 1024,
        "{most} of 4096 chunks of 64 KiB were taken from the server"
    );
    let mut bytes = 64 << 10;
    while bytes < 4096 * (64 << 10) {
        bytes += chunk(answer.body_mut()).await.len();
    }
}

#[tokio::test]
async fn what_does_not_fit_in_the_handover_passes_unobserved_and_is_counted() {
    let server = server(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        json(StatusCode::OK, body)
    })
    .await;
    let proxy = Proxy::holding(server, 1000).await;
    for _ in 0..5 {
        let answer = client().request(post(proxy.address, CALL)).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, CALL);
    }
    assert_eq!(proxy.handover.losses().count(), 4);
}

#[tokio::test]
async fn a_proxy_that_ends_lets_short_exchanges_finish_and_breaks_open_streams() {
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let server = server(move |request: Request<Incoming>| {
        let released = released.clone();
        async move {
            if request.method() == Method::GET {
                let (sender, chunks) = mpsc::channel(1);
                tokio::spawn(async move { sender.closed().await });
                return events(chunks);
            }
            request.into_body().collect().await.unwrap();
            released.notified().await;
            json(StatusCode::OK, RESULT)
        }
    })
    .await;
    let proxy = Proxy::start(server).await;
    let get = Request::get(format!("http://{}/mcp", proxy.address))
        .body(Empty::new())
        .unwrap();
    let other =
        Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(HttpConnector::new());
    let mut stream = other.request(get).await.unwrap();
    let call = tokio::spawn(client().request(post(proxy.address, CALL)));
    let mut begun = 0;
    in_time("both exchanges", async {
        while begun < 2 {
            match proxy.seen.try_recv() {
                Ok(seen) => begun += usize::from(format!("{:?}", seen.piece) == "RequestEnd"),
                Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    })
    .await;
    drop(proxy._end);
    release.notify_one();
    let answer = in_time("the answer", call).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let broken = in_time("the end of the stream", stream.body_mut().frame()).await;
    assert!(broken.is_none_or(|frame| frame.is_err()));
}
