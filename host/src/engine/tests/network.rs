//! What the component can reach, and what it makes of what comes back.

use tokio::{io::AsyncReadExt, net::TcpStream};

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

#[tokio::test]
async fn connections_are_used_again_though_answers_are_not_read() {
    // Longer than what a read of the head brings along.
    let answer = "x".repeat(20_000);
    let peer = Peer::start(move |_| Response::new(Full::from(answer.clone()))).await;
    let mut instance = plain(&peer.url(), &[("max_in_flight", "1")]).await;
    let batch: Vec<_> = (0..50).map(|i| start(format!("int_{i}"), "{}")).collect();
    instance.report_many(&batch).await.unwrap();
    let delivery = soon(instance.deliver(10_000)).await.unwrap().unwrap();
    assert_eq!(delivery.delivered, 50);
    // A new one is made when the next request comes before the rest of an answer was read.
    assert!(
        peer.connections() <= 5,
        "{} connections",
        peer.connections()
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
