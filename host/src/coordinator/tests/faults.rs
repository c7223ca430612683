use std::time::{Instant, SystemTime};

use super::*;

/// How long nothing must happen, where nothing is to happen.
const A_WHILE: Duration = Duration::from_millis(200);

/// That the event of `client` is read but gets no byte of an answer.
async fn assert_silent(client: &mut Client) {
    let read = timeout(A_WHILE, client.0.read_u8()).await;
    assert!(read.is_err(), "something came: {read:?}");
}

#[tokio::test]
async fn refuse_closes_everything_and_comes_back_on_the_same_port() {
    let coordinator = start();
    let addr = coordinator.addr();
    for round in 0..20 {
        let mut idle = Client::connect(&coordinator).await;
        idle.send_event(&event("start", &format!("i{round}"))).await;
        assert_eq!(idle.answer().await.status, 200);
        coordinator.set_fault(Fault::Refuse).unwrap();
        let refused = TcpStream::connect(addr).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(idle.rest().await.0, b"");
        coordinator.set_fault(Fault::None).unwrap();
    }
    assert_eq!(post(&coordinator, START).await.status, 200);
    assert_eq!(coordinator.stats().processed, 21);
}

#[tokio::test]
async fn refuse_from_the_start() {
    let coordinator = faulty(Fault::Refuse);
    assert!(TcpStream::connect(coordinator.addr()).await.is_err());
    coordinator.set_fault(Fault::None).unwrap();
    assert_eq!(post(&coordinator, START).await.status, 200);
}

#[tokio::test]
async fn hang_reads_and_never_answers() {
    let coordinator = faulty(Fault::Hang);
    let mut client = Client::connect(&coordinator).await;
    client.send_event(START).await;
    coordinator
        .wait_for(|seen| seen.receipts().len() == 1, SOON)
        .await
        .unwrap();
    assert_silent(&mut client).await;
    let receipt = &coordinator.receipts()[0];
    assert_eq!((receipt.answered, receipt.stored), (None, false));
    assert_eq!(coordinator.stored().unwrap(), []);
}

#[tokio::test]
async fn no_read_takes_connections_and_no_bytes() {
    let coordinator = start();
    let mut open = Client::connect(&coordinator).await;
    open.send_event(START).await;
    open.answer().await;
    coordinator.set_fault(Fault::NoRead).unwrap();
    let new = Client::connect(&coordinator).await;
    for mut client in [open, new] {
        // More than the kernel takes for a peer that does not read.
        let body = event("start", &"x".repeat(64 << 20));
        let sent = timeout(Duration::from_secs(1), client.send_event(&body)).await;
        assert!(sent.is_err(), "64 MiB were taken");
    }
    assert_eq!(coordinator.receipts().len(), 1);
    coordinator.set_fault(Fault::None).unwrap();
    assert_eq!(post(&coordinator, START).await.status, 200);
}

#[tokio::test]
async fn a_status_is_answered_whatever_is_asked() {
    for (code, body, stored) in [
        (500, r#"{"detail":"Internal server error"}"#, 0),
        (503, r#"{"detail":"Service Unavailable"}"#, 0),
        (401, r#"{"detail":"Invalid API key"}"#, 0),
        (404, r#"{"detail":"Not Found"}"#, 0),
        (409, r#"{"detail":"Conflict"}"#, 0),
        (302, r#"{"detail":"Found"}"#, 0),
        (599, r#"{"detail":"Unknown"}"#, 0),
        (
            202,
            r#"{"status":"accepted","interaction_id":"int_1_a","queue_position":1}"#,
            1,
        ),
        (204, "", 1),
    ] {
        let coordinator = faulty(Fault::Status(code));
        let answer = post(&coordinator, START).await;
        assert_eq!((answer.status, &answer.body[..]), (code, body));
        assert_eq!(coordinator.receipts()[0].answered, Some(code));
        assert_eq!(coordinator.stored().unwrap().len(), stored);
        let health = request(&coordinator, "GET", "/api/v2/health", "", "").await;
        assert_eq!(health.status, code);
    }
}

#[tokio::test]
async fn too_many_requests_says_when_to_return() {
    let coordinator = faulty(Fault::RetryAfter(7));
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.body, r#"{"detail":"Too Many Requests"}"#);
    assert_eq!(answer.header("retry-after"), Some("7"));

    coordinator.set_fault(Fault::RetryAfterDate(60)).unwrap();
    let before = SystemTime::now();
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 429);
    let date = httpdate::parse_http_date(answer.header("retry-after").unwrap()).unwrap();
    let ahead = date.duration_since(before).unwrap();
    assert!((58..=61).contains(&ahead.as_secs()), "{ahead:?}");
    assert_eq!(coordinator.stored().unwrap(), []);
}

#[tokio::test]
async fn slow_stores_at_once_and_answers_later() {
    let coordinator = faulty(Fault::Slow(Duration::from_millis(300)));
    let mut client = Client::connect(&coordinator).await;
    let began = Instant::now();
    client.send_event(START).await;
    coordinator
        .wait_for(|seen| seen.stats().processed == 1, SOON)
        .await
        .unwrap();
    assert_eq!(coordinator.receipts()[0].answered, None);
    assert_eq!(client.answer().await.status, 200);
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(coordinator.receipts()[0].answered, Some(200));
}

#[tokio::test]
async fn cut_stores_and_closes_without_an_answer() {
    let coordinator = faulty(Fault::Cut);
    let mut client = Client::connect(&coordinator).await;
    client.send_event(START).await;
    let (read, ended) = client.rest().await;
    assert_eq!((&read[..], ended.unwrap()), (&b""[..], 0));
    let receipt = &coordinator.receipts()[0];
    assert_eq!((receipt.answered, receipt.stored), (None, true));
}

#[tokio::test]
async fn reset_breaks_the_connection_before_storing() {
    let coordinator = faulty(Fault::Reset);
    let mut client = Client::connect(&coordinator).await;
    client.send_event(START).await;
    let (read, ended) = client.rest().await;
    assert_eq!(read, b"");
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let receipt = &coordinator.receipts()[0];
    assert_eq!((receipt.answered, receipt.stored), (None, false));
}

#[tokio::test]
async fn drip_answers_a_byte_a_second() {
    let coordinator = faulty(Fault::Drip);
    let mut client = Client::connect(&coordinator).await;
    client.send_event(START).await;
    let mut first = [0; 16];
    let read = client.0.read(&mut first).await.unwrap();
    assert_eq!(&first[..read], b"H");
    let began = Instant::now();
    let read = client.0.read(&mut first).await.unwrap();
    assert_eq!(&first[..read], b"T");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(700), "{took:?}");
    assert!(coordinator.receipts()[0].stored);
}

#[tokio::test]
async fn flaky_fails_its_share_and_leaves_the_rest_alone() {
    let coordinator = faulty(Fault::Flaky(50));
    let mut client = Client::connect(&coordinator).await;
    let mut answered = Vec::new();
    for i in 0..8 {
        client.send_event(&event("start", &format!("i{i}"))).await;
        answered.push(client.answer().await.status);
        client.send("GET", "/api/v2/health", "", "").await;
        assert_eq!(client.answer().await.status, 200);
    }
    assert_eq!(answered, [200, 500, 200, 500, 200, 500, 200, 500]);
    assert_eq!(coordinator.stored().unwrap().len(), 4);
}

#[tokio::test]
async fn garbage_is_not_http() {
    let coordinator = faulty(Fault::Garbage);
    let mut client = Client::connect(&coordinator).await;
    client.send_event(START).await;
    let (read, _) = client.rest().await;
    assert!(!read.is_empty() && !read.starts_with(b"HTTP"));
    assert_eq!(coordinator.stored().unwrap(), []);
}

#[tokio::test]
async fn huge_has_a_body_of_many_mib() {
    let coordinator = faulty(Fault::Huge);
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.len() > 64 << 20);
    assert!(answer.body.starts_with(r#"{"status":"accepted""#));
    assert_eq!(coordinator.stored().unwrap().len(), 1);
}

#[tokio::test]
async fn full_refuses_events_as_the_real_server_does() {
    let coordinator = faulty(Fault::Full);
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.body, r#"{"detail":"Internal server error"}"#);
    let health = request(&coordinator, "GET", "/api/v2/health", "", "").await;
    assert_eq!(health.status, 200);
    assert!(health.body.contains(r#""queue_size":10000"#));
    assert_eq!(coordinator.stored().unwrap(), []);
}

#[tokio::test]
async fn redirect_names_another_place() {
    let coordinator = faulty(Fault::Redirect("http://127.0.0.1:9/x".to_owned()));
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:9/x"));
}

#[tokio::test]
async fn a_fault_ends_after_its_requests() {
    let coordinator = start();
    coordinator.set_fault_for(Fault::Status(503), 2).unwrap();
    let mut client = Client::connect(&coordinator).await;
    let mut answered = Vec::new();
    for _ in 0..4 {
        client.send_event(START).await;
        answered.push(client.answer().await.status);
    }
    assert_eq!(answered, [503, 503, 200, 200]);

    // A fault of events lets others pass uncounted.
    coordinator.set_fault_for(Fault::Full, 1).unwrap();
    let health = request(&coordinator, "GET", "/api/v2/health", "", "").await;
    assert_eq!(health.status, 200);
    assert_eq!(post(&coordinator, START).await.status, 500);
    assert_eq!(post(&coordinator, START).await.status, 200);

    coordinator.set_fault_for(Fault::Cut, 0).unwrap();
    assert_eq!(post(&coordinator, START).await.status, 200);
}
