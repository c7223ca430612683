//! What the component can reach, and what it makes of what comes back.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

use super::*;

/// An instance that is configured for `url`, on an engine that lets it reach `allowed` only.
async fn confined(url: &str, allowed: &str) -> Instance {
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    let component = engine.load(mcp_reporter_artifacts::REPORTER).unwrap();
    let egress = Egress::new(allowed, None).unwrap();
    let reporter = Reporter::new(component, settings(url, &[]), egress);
    reporter
        .instantiate(Arc::new(MemoryStore::new()))
        .await
        .unwrap()
}

#[tokio::test]
async fn only_the_configured_coordinator_can_be_reached() {
    let peer = Peer::agreeable().await;
    let port = peer.address.port();
    let url = peer.url();
    let denied = [
        "http://127.0.0.1:1".to_owned(),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
    ];
    for allowed in denied {
        let mut instance = confined(&url, &allowed).await;
        let probe = soon(instance.check_connection()).await.unwrap().unwrap();
        assert!(!probe.ok && probe.status.is_none());
        assert!(
            probe.detail.contains("does not allow"),
            "{allowed}: {}",
            probe.detail
        );
    }
    assert_eq!(peer.connections(), 0);

    let mut instance = confined(&url, &format!("{url}/some/path")).await;
    let probe = soon(instance.check_connection()).await.unwrap().unwrap();
    assert!(probe.ok, "{}", probe.detail);
    assert_eq!(peer.requests()[0].uri(), "/api/v2/health");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Peer::agreeable().await;
    let location = elsewhere.url();
    let peer = Peer::start(move |_| {
        let mut response = status(302, "");
        response
            .headers_mut()
            .insert("location", location.parse().unwrap());
        response
    })
    .await;
    let mut instance = plain(&peer.url(), &[]).await;
    let probe = soon(instance.check_connection()).await.unwrap().unwrap();
    assert_eq!((probe.ok, probe.status), (false, Some(302)));
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn the_key_is_checked_by_another_request_where_the_first_does_not_exist() {
    let peer = Peer::start(|request| match request.uri().path() {
        "/api/v2/interactions/stats" => status(401, r#"{"detail":"Invalid API key"}"#),
        _ => status(404, "not found"),
    })
    .await;
    let mut instance = plain(&peer.url(), &[]).await;
    let probe = soon(instance.validate_api_key()).await.unwrap().unwrap();
    assert_eq!((probe.ok, probe.status), (false, Some(401)));
    assert!(probe.detail.contains("Invalid API key"), "{}", probe.detail);
    assert!(!probe.detail.contains("secret-key"));
    let paths: Vec<String> = peer
        .requests()
        .iter()
        .map(|r| r.uri().path().to_owned())
        .collect();
    assert_eq!(paths, ["/api/v2/validate", "/api/v2/interactions/stats"]);
}

#[tokio::test]
async fn a_refused_connection_is_called_that() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut instance = plain(&url, &[]).await;
    let probe = soon(instance.check_connection()).await.unwrap().unwrap();
    assert!(
        probe.detail.contains("connection refused"),
        "{}",
        probe.detail
    );
}

/// A coordinator that sends the body of each answer only after its head has arrived. Counts its
/// connections, and says when it has sent a body.
async fn late_bodies() -> (String, Arc<AtomicUsize>, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let (sent, sending) = mpsc::unbounded_channel();
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let sent = sent.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                // The requests are small: each comes in one piece.
                while matches!(stream.read(&mut request).await, Ok(bytes) if bytes > 0) {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
                    stream.write_all(head).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let _ = stream.write_all(b"done").await;
                    let _ = sent.send(());
                }
            });
        }
    });
    (url, connections, sending)
}

#[tokio::test]
async fn a_connection_is_used_again_though_the_body_of_a_success_is_not_waited_for() {
    const EVENTS: usize = 10;
    let (url, connections, mut sending) = late_bodies().await;
    let mut instance = plain(&url, &[]).await;
    for i in 0..EVENTS {
        instance
            .report(Action::Start, &format!("int_{i}"), "{}")
            .await
            .unwrap()
            .unwrap();
        let delivery = soon(instance.deliver(5_000)).await.unwrap().unwrap();
        assert_eq!(delivery.delivered, 1);
        soon(sending.recv()).await.unwrap();
    }
    // Whether the body was read before the next request is a race, which the reader wins mostly.
    let connections = connections.load(Ordering::Relaxed);
    assert!(
        connections < EVENTS,
        "{connections} connections for {EVENTS} requests"
    );
}

#[tokio::test]
async fn a_coordinator_that_accepts_and_never_reads_hangs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut instance = plain(&url, &[("request_timeout", "0.3")]).await;
    let data = format!(r#"{{"a":"{}"}}"#, "x".repeat(250_000));
    instance.report_many(&[start("int_1", data)]).await.unwrap()[0]
        .as_ref()
        .unwrap();
    // Held open, and not read.
    let accepted: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let held = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            held.lock().unwrap().push(stream);
        }
    });
    let began = std::time::Instant::now();
    let delivery = soon(instance.deliver(1_000)).await.unwrap().unwrap();
    assert_eq!((delivery.delivered, delivery.waiting), (0, 1));
    assert!(delivery.failed >= 1);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );

    // What was given up is cut off, not left to arrive later.
    let mut streams = std::mem::take(&mut *accepted.lock().unwrap());
    let mut received = Vec::new();
    let _ = soon(streams[0].read_to_end(&mut received)).await;
    assert!(!received.is_empty());
}
