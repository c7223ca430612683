//! `mcp-reporter serve` as its operator meets it: supervision, limits, the stores it runs on, and
//! where its keys do not go.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mcp_reporter_tests::{
    INGEST_KEY, KEY, Place, RedisServer, SOON, Scripted, Served, answer, command, coordinator,
    event, files_with, get, metrics_address, scrape, until, with,
};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::serve::{connected, raw};

/// The status of an answer, and its body.
async fn asked(address: SocketAddr, path: &str) -> (String, String) {
    let (head, body) = get(address, "GET", path).await;
    let status = head.split(' ').nth(1).unwrap_or_default();
    (status.to_owned(), body)
}

#[tokio::test]
async fn a_supervisor_learns_whether_it_lives_and_whether_it_can_take_events() {
    let mut redis = RedisServer::durable();
    let (place, coordinator) = (Place::new(), coordinator());
    let more = [
        ("store", &*redis.url()),
        ("metrics_listen", "127.0.0.1:0"),
        ("max_events", "20"),
        ("rate_limit", "1"),
        ("rate_period", "60"),
    ];
    let settings = with(place.settings(&coordinator.url()), &more);
    let served = Served::start(&place, &settings).await;
    let supervised = metrics_address(&place);
    let ok = |text: &str| ("200".to_owned(), text.to_owned());
    assert_eq!(asked(supervised, "/healthz").await, ok("ok\n"));
    assert_eq!(asked(supervised, "/readyz").await, ok("ready\n"));
    let (head, _) = get(supervised, "HEAD", "/readyz").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let (head, _) = get(supervised, "POST", "/healthz").await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let (status, said) = asked(supervised, "/").await;
    assert!(status == "404" && said.contains("/readyz"), "{said}");

    // Why an event was refused is counted as what it is.
    let mut client = connected(&served).await;
    let mut taken = 0;
    let full = loop {
        let body = event("start", &format!("i{taken}"), "");
        match client.event(&[], &body).await.unwrap() {
            (StatusCode::OK, _) => taken += 1,
            refused => break refused,
        }
    };
    assert_eq!(full.0, StatusCode::SERVICE_UNAVAILABLE, "{}", full.1);
    assert!(full.1.contains("max_events = 20"), "{}", full.1);
    let (status, _) = client.event(&[], "[]").await.unwrap();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    // A full outbox is no reason to start it again.
    assert_eq!(asked(supervised, "/readyz").await.0, "200");
    redis.stop();
    let (status, said) = client
        .event(&[], &event("complete", "i0", ""))
        .await
        .unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(said.contains("the outbox cannot be used"), "{said}");
    until("it is not ready", || async {
        let (status, said) = asked(supervised, "/readyz").await;
        status == "503" && said.starts_with("the outbox cannot be read: ")
    })
    .await;
    assert_eq!(asked(supervised, "/healthz").await, ok("ok\n"));
    let seen = scrape(supervised).await;
    let refused = |reason: &str| {
        seen.value(&format!(
            r#"mcp_reporter_events_refused_total{{reason="{reason}"}}"#
        ))
    };
    assert_eq!(
        ["full", "invalid", "storage", "component"].map(refused),
        [1.0, 1.0, 1.0, 0.0]
    );
    assert_eq!(
        seen.sum("mcp_reporter_events_accepted_total"),
        f64::from(taken)
    );

    // It goes on by itself.
    redis.start_again();
    until("it is ready", || async {
        asked(supervised, "/readyz").await.0 == "200"
    })
    .await;
}

#[tokio::test]
async fn two_on_one_redis_deliver_what_either_took() {
    let redis = RedisServer::durable();
    let (here, there, coordinator) = (Place::new(), Place::new(), coordinator());
    let mut expected = BTreeSet::new();
    let store = [("store", &*redis.url())];
    let mut one = Served::start(&here, &with(here.fast(&coordinator.url()), &store)).await;
    let two = Served::start(&there, &with(there.fast(&coordinator.url()), &store)).await;
    for served in [&one, &two] {
        let mut client = connected(served).await;
        for n in 0..50 {
            let id = format!("int_{}_{n}", served.pid());
            let key = format!("key-{id}");
            let body = event("start", &id, "");
            let (status, first) = client
                .event(&[("Idempotency-Key", &key)], &body)
                .await
                .unwrap();
            assert_eq!(status, StatusCode::OK);
            // Whoever of the two is asked again knows the answer.
            let mut other = connected(&two).await;
            let again = other
                .event(&[("Idempotency-Key", &key)], &body)
                .await
                .unwrap();
            assert_eq!(again, (StatusCode::OK, first));
            expected.insert(id);
        }
    }
    one.kill().await;
    let all = coordinator.wait_for(|seen| seen.stats().processed >= 100, SOON);
    all.await.unwrap();
    let stored = coordinator.stored().unwrap();
    let received: BTreeSet<_> = stored.iter().map(|e| e.interaction_id.clone()).collect();
    assert_eq!((received, stored.len()), (expected, 100));
}

#[tokio::test]
async fn http_2_is_spoken_with_who_begins_with_it() {
    let (place, coordinator) = (Place::new(), coordinator());
    let served = Served::start(&place, &place.fast(&coordinator.url())).await;
    let stream = TcpStream::connect(served.address()).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    // At once on one connection, more than there are instances.
    let asked = (0..100).map(|n| {
        let body = event("start", &format!("i{n}"), "");
        let request = Request::post(format!("http://{}/api/v2/interactions", served.address()))
            .header("authorization", format!("Bearer {INGEST_KEY}"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        let mut sender = sender.clone();
        async move {
            let answer = sender.send_request(request).await.unwrap();
            let status = answer.status();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, body)
        }
    });
    for (status, body) in futures_util::future::join_all(asked).await {
        assert_eq!(status, StatusCode::OK, "{body:?}");
    }
    drop(sender);
    connection.await.unwrap().unwrap();
    let all = coordinator.wait_for(|seen| seen.stats().processed == 100, SOON);
    all.await.unwrap();
}

/// The same command in a shell that first says how many files may be open.
fn limited(place: &Place, settings: &[(String, String)], limit: &str) -> tokio::process::Command {
    let inner = command(
        place,
        &with(settings.to_vec(), &[("ingest_keys", INGEST_KEY)]),
    );
    let inner = inner.as_std();
    let mut shell = tokio::process::Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("ulimit {limit}; exec \"$0\" \"$@\""))
        .arg(inner.get_program())
        .args(inner.get_args())
        .env_clear();
    for (name, value) in inner.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell.current_dir(place.folder());
    shell
}

#[tokio::test]
async fn idle_connections_beyond_the_usual_limit_hold_nobody_up() {
    const IDLE: usize = 1_000;
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = place.fast(&coordinator.url());
    let soft = limited(&place, &settings, "-Sn 256");
    let served = Served::start_by(soft, &place, "127.0.0.1:0").await;
    let mut idle = Vec::new();
    for n in 0..IDLE {
        let mut stream = TcpStream::connect(served.address()).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(b"POST /api/v2/inter").await.unwrap();
        }
        idle.push(stream);
    }
    let mut client = connected(&served).await;
    for n in 0..50 {
        let body = event("start", &format!("i{n}"), "");
        let (status, _) = tokio::time::timeout(SOON, client.event(&[], &body))
            .await
            .expect("it is held up")
            .unwrap();
        assert_eq!(status, StatusCode::OK);
    }
    let open = std::fs::read_dir(format!("/proc/{}/fd", served.pid()));
    #[cfg(target_os = "linux")]
    assert!(open.unwrap().count() > IDLE);
    #[cfg(not(target_os = "linux"))]
    drop(open);
}

#[tokio::test]
async fn a_limit_that_cannot_be_raised_is_named_and_survived() {
    let (place, coordinator) = (Place::new(), coordinator());
    let settings = place.fast(&coordinator.url());
    let hard = limited(&place, &settings, "-n 64");
    let served = Served::start_by(hard, &place, "127.0.0.1:0").await;
    let log = std::fs::read_to_string(place.path("serve.log")).unwrap();
    assert!(log.contains("at most 64 files and connections"), "{log}");
    let mut client = connected(&served).await;
    let crowd: Vec<_> = {
        let connecting = (0..100).map(|_| TcpStream::connect(served.address()));
        futures_util::future::join_all(connecting).await
    };
    // Who has a connection is served; what needs a file of its own waits for one.
    let (status, said) = client.event(&[], &event("start", "i1", "")).await.unwrap();
    assert!(
        status == StatusCode::OK || status == StatusCode::SERVICE_UNAVAILABLE,
        "{said}"
    );
    drop(crowd);
    let mut late = connected(&served).await;
    let taken = tokio::time::timeout(SOON, late.event(&[], &event("start", "i2", ""))).await;
    assert_eq!(taken.unwrap().unwrap().0, StatusCode::OK);
    let delivered = coordinator.wait_for(|seen| seen.stats().processed >= 1, SOON);
    delivered.await.unwrap();
}

#[tokio::test]
async fn its_keys_are_in_no_log_no_store_no_answer_and_no_metric() {
    /// A key of another system, sent by mistake.
    const FOREIGN: &str = "f-90ab3c7712de4456";
    let place = Place::new();
    // As a debugging proxy does, which shows what it refuses.
    let refusing = Scripted::start(|request| {
        let heard = request.headers()["authorization"].to_str().unwrap();
        answer(422, format!(r#"{{"heard":"{heard}"}}"#))
    })
    .await;
    let settings: Vec<_> = with(
        place.fast(&refusing.url()),
        &[("metrics_listen", "127.0.0.1:0"), ("log_level", "trace")],
    )
    .into_iter()
    .filter(|(key, _)| key != "coordinator_api_key")
    .collect();
    let mut program = command(&place, &settings);
    program.env("MCP_REPORTER_COORDINATOR_API_KEY", KEY).env(
        "MCP_REPORTER_INGEST_KEYS",
        format!("other-key,{INGEST_KEY}"),
    );
    let mut served = Served::start_by(program, &place, "127.0.0.1:0").await;
    let mut answers = Vec::new();
    let mut client = connected(&served).await;
    for action in ["start", "progress", "complete", "error"] {
        let key = ("Idempotency-Key", action);
        answers.push(
            client
                .event(&[key], &event(action, "i1", ""))
                .await
                .unwrap()
                .1,
        );
    }
    for path in [
        "/api/v2/health",
        "/api/v2/interactions/stats",
        "/api/v2/outbox",
        "/api/v2/outbox/dead-letters",
        "/api/v2/nothing",
    ] {
        answers.push(client.ask("GET", path, &[], "").await.unwrap().1);
    }
    // Where keys stand that should not be there, and keys that are wrong.
    for bad in [
        format!(
            "GET /api/v2/outbox?key={INGEST_KEY}&limit={FOREIGN} HTTP/1.1\r\nHost: localhost\r\n"
        ),
        format!("GET /{INGEST_KEY}/{FOREIGN} HTTP/1.1\r\nHost: localhost\r\n"),
        format!(
            "GET /api/v2/outbox/dead-letters?limit={INGEST_KEY} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {INGEST_KEY}\r\n"
        ),
        format!(
            "GET /api/v2/outbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {INGEST_KEY}\r\n"
        ),
        format!(
            "GET /api/v2/outbox HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {FOREIGN}\r\n"
        ),
        format!(
            "GET /api/v2/outbox HTTP/1.1\r\nHost: {INGEST_KEY}\r\nOrigin: http://{FOREIGN}\r\n"
        ),
        format!(
            "GET /api/v2/outbox HTTP/1.1\r\nHost: localhost\r\nX-Key: {INGEST_KEY}\x01\r\n{FOREIGN}\r\n"
        ),
    ] {
        answers.push(raw(served.address(), &format!("{bad}Connection: close\r\n\r\n")).await);
    }
    let supervised = metrics_address(&place);
    until("a dead letter is counted", || async {
        scrape(supervised)
            .await
            .sum("mcp_reporter_events_dead_lettered_total")
            >= 4.0
    })
    .await;
    answers.push(
        client
            .ask("GET", "/api/v2/outbox/dead-letters", &[], "")
            .await
            .unwrap()
            .1,
    );
    assert!(answers.last().unwrap().contains("422"), "{answers:?}");
    for path in ["/metrics", "/healthz", "/readyz"] {
        answers.push(get(supervised, "GET", path).await.1);
    }
    served.terminate().await;
    for secret in [INGEST_KEY, KEY, FOREIGN] {
        for said in &answers {
            assert!(!said.contains(secret), "{said}");
        }
        assert_eq!(files_with(place.folder(), secret), [""; 0], "{secret}");
        assert_eq!(
            files_with(&mcp_reporter_tests::cache_dir(), secret),
            [""; 0]
        );
    }
    // It is a log in which they would stand.
    let log = std::fs::read_to_string(place.path("serve.log")).unwrap();
    assert!(
        log.contains("HTTP 422: {\"heard\":\"Bearer ***\"}"),
        "{log}"
    );
}
