//! The component's own API over HTTP.

use super::*;
use crate::engine::HandlerAnswer;
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

const KEYS: (&str, &str) = ("ingest_keys", "one,two");
const EVENTS: &str = "/api/v2/interactions";

fn request(method: &str, target: &str, key: &str, body: &str) -> Request<WasiBody> {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"));
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    request
        .body(body.map_err(|never| match never {}).boxed_unsync())
        .unwrap()
}

/// The answer, read to its end while the component goes on; and what the call came to.
async fn answered(
    instance: &mut Instance,
    request: Request<WasiBody>,
) -> (
    Option<(u16, http::HeaderMap, String)>,
    Result<(), EngineError>,
) {
    let (sender, receiver) = oneshot::channel::<HandlerAnswer>();
    let read = async {
        let (head, body) = receiver.await.ok()?.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((
            head.status.as_u16(),
            head.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        ))
    };
    let (answer, done) = soon(async { tokio::join!(read, instance.handle(request, sender)) }).await;
    (answer, done)
}

async fn ask(instance: &mut Instance, method: &str, target: &str, body: &str) -> (u16, String) {
    let (answer, done) = answered(instance, request(method, target, "one", body)).await;
    done.unwrap();
    let (status, headers, body) = answer.unwrap();
    if method != "HEAD" && status != 204 {
        assert_eq!(headers["content-length"], body.len().to_string());
        assert_eq!(headers["content-type"], "application/json");
    }
    (status, body)
}

const START: &str = r#"{ "action":"interaction_start","interaction_id":"i1","request_data":{}}"#;

#[tokio::test]
async fn an_event_is_answered_then_delivered_as_it_came() {
    let peer = Peer::agreeable().await;
    let mut instance = plain(&peer.url(), &[KEYS]).await;
    let (status, body) = ask(&mut instance, "POST", EVENTS, START).await;
    assert_eq!(
        (status, &*body),
        (
            200,
            r#"{"status":"accepted","interaction_id":"i1","queue_position":1}"#
        )
    );
    // By the time that the call has ended it was sent, without another call.
    let [sent] = &peer.requests()[..] else {
        panic!("{:?}", peer.requests())
    };
    assert_eq!(sent.body(), START);
    assert_eq!(sent.headers()["authorization"], "Bearer secret-key");
    let (status, body) = ask(&mut instance, "GET", "/api/v2/outbox", "").await;
    assert!(status == 200 && body.contains(r#""waiting":0"#), "{body}");
}

#[tokio::test]
async fn without_a_budget_it_delivers_when_asked() {
    let peer = Peer::agreeable().await;
    let mut instance = plain(&peer.url(), &[KEYS, ("edge_budget", "0")]).await;
    assert_eq!(ask(&mut instance, "POST", EVENTS, START).await.0, 200);
    assert!(peer.requests().is_empty());
    let (status, body) = ask(&mut instance, "POST", "/api/v2/outbox/deliver", "").await;
    assert!(
        status == 200 && body.starts_with(r#"{"delivered":1,"#),
        "{body}"
    );
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn head_has_no_body_and_options_says_what_there_is() {
    let mut instance = plain("http://127.0.0.1:9", &[KEYS]).await;
    let (answer, done) = answered(
        &mut instance,
        request("HEAD", "/api/v2/outbox?x", "two", ""),
    )
    .await;
    done.unwrap();
    let (status, headers, body) = answer.unwrap();
    assert_eq!((status, &*body), (200, ""));
    assert_eq!(headers["content-type"], "application/json");
    let (answer, done) = answered(
        &mut instance,
        request("OPTIONS", "/api/v2/interactions", "", ""),
    )
    .await;
    done.unwrap();
    let (status, headers, body) = answer.unwrap();
    assert_eq!((status, &*body), (204, ""));
    assert_eq!(headers["allow"], "POST, OPTIONS");
}

#[tokio::test]
async fn an_answer_larger_than_the_runtime_takes_at_once_comes_whole() {
    let store = Arc::new(MemoryStore::new());
    let url = "http://127.0.0.1:9";
    let mut instance = instance(&EngineOptions::default(), store.clone(), url, &[KEYS]).await;
    let keys = 1_000;
    for n in 0..keys {
        let id = format!("{n}-{}", "x".repeat(240));
        instance
            .report(Action::Start, &id, "{}")
            .await
            .unwrap()
            .unwrap();
    }
    // Set aside by hand, as damaged ones are.
    for name in store.list_keys().await.unwrap() {
        if let Some(rest) = name.strip_prefix("q.") {
            let value = store.get(&name).await.unwrap().unwrap();
            store.set(format!("d.{rest}"), value).await.unwrap();
            store.delete_many(vec![name.clone()]).await.unwrap();
        }
    }
    let target = "/api/v2/outbox/dead-letters?limit=1000";
    let (status, body) = ask(&mut instance, "GET", target, "").await;
    assert_eq!(status, 200);
    assert!(body.len() > 450_000, "{}", body.len());
    let page: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(page["entries"].as_array().unwrap().len(), keys);
}

#[tokio::test]
async fn switched_off_or_not_configured_it_names_the_setting() {
    let off = [("enable_interaction_logging", "false")];
    for (more, said) in [
        (&off[..], "enable_interaction_logging"),
        (&[("rate_limit", "x")], "rate_limit"),
    ] {
        let mut instance = plain("http://127.0.0.1:9", more).await;
        for (method, target) in [("POST", "/api/v2/interactions"), ("GET", "/api/v2/health")] {
            let (status, body) = ask(&mut instance, method, target, START).await;
            assert!(status == 503 && body.contains(said), "{body}");
        }
        assert_eq!(ask(&mut instance, "GET", "/", "").await.0, 404);
    }
}

#[tokio::test]
async fn who_does_not_get_the_lease_ends_at_once() {
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (store, options) = (Arc::new(MemoryStore::new()), EngineOptions::default());
    let mut delivering = instance(&options, store.clone(), &url, &[KEYS]).await;
    let mut accepting = instance(&options, store, &url, &[KEYS]).await;
    let stored = delivering.report(Action::Start, "i0", "{}").await;
    stored.unwrap().unwrap();
    let deliver = delivering.deliver(5_000);
    let post = async {
        // Its request is under way, so it has the lease.
        let (_stream, _) = listener.accept().await.unwrap();
        let began = std::time::Instant::now();
        assert_eq!(ask(&mut accepting, "POST", EVENTS, START).await.0, 200);
        began.elapsed()
    };
    let (delivered, took) = soon(async { tokio::join!(deliver, post) }).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(delivered.unwrap().unwrap().delivered, 0);
}

/// Small, seeded, and the same in each run.
fn dice(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    (*seed >> 33) as usize % below.max(1)
}

#[tokio::test]
async fn nothing_that_arrives_makes_it_trap() {
    let methods = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW", "CONNECT"];
    let paths = [
        "/api/v2/interactions",
        "/api/v2/interactions/stats",
        "/api/v2/health",
        "/api/v2/validate",
        "/api/v2/outbox",
        "/api/v2/outbox/dead-letters",
        "/api/v2/outbox/redrive",
        "/",
        "/%ff?%00",
    ];
    let names = [
        "authorization",
        "content-type",
        "content-length",
        "content-encoding",
        "idempotency-key",
        "traceparent",
        "x",
    ];
    let pieces: [&[u8]; 22] = [
        b"Bearer one",
        b"bearer two",
        b"Bearer",
        b"application/json",
        b"\"",
        b"\\",
        b"\xff",
        b"",
        b"0",
        b"18446744073709551616",
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\"action\"",
        b"\"interaction_start\"",
        b"\"interaction_id\"",
        b"\"i\"",
        b"\\ud800",
        START.as_bytes(),
    ];
    let mut instance = plain("http://127.0.0.1:9", &[KEYS, ("edge_budget", "0")]).await;
    let mut seed = 42;
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..3_000 {
        let mut some = |most: usize| -> Vec<u8> {
            let count = dice(&mut seed, most + 1);
            (0..count)
                .flat_map(|_| pieces[dice(&mut seed, pieces.len())])
                .copied()
                .collect()
        };
        let (body, query) = (some(8), some(3));
        let values: Vec<_> = (0..4).map(|_| some(2)).collect();
        let mut target = paths[dice(&mut seed, paths.len())].to_owned();
        if dice(&mut seed, 3) == 0 {
            let query = String::from_utf8_lossy(&query).replace([' ', '"', '{', '}', '\\'], "");
            target += &format!("?limit={query}&cursor={query}");
        }
        let mut request = Request::builder()
            .method(methods[dice(&mut seed, methods.len())])
            .uri(&target)
            .header("host", "localhost");
        if dice(&mut seed, 2) == 0 {
            request = request
                .header("authorization", "Bearer one")
                .header("content-type", "application/json");
        }
        for value in values {
            request = request.header(names[dice(&mut seed, names.len())], value);
        }
        let body = if dice(&mut seed, 4) == 0 {
            START.as_bytes().to_vec()
        } else {
            body
        };
        let body = Full::new(Bytes::from(body))
            .map_err(|never| match never {})
            .boxed_unsync();
        let Ok(request) = request.body(body) else {
            continue;
        };
        let shown = format!("{request:?}");
        let (answer, done) = answered(&mut instance, request).await;
        assert!(done.is_ok(), "{done:?}: {shown}");
        let (status, _, body) = answer.unwrap_or_else(|| panic!("no answer: {shown}"));
        assert!(!body.contains("secret-key"), "{shown}");
        if !body.is_empty() {
            let json: Result<serde_json::Value, _> = serde_json::from_str(&body);
            assert!(json.is_ok(), "{body}: {shown}");
        }
        match status {
            200 => taken += 1,
            400..=499 | 204 => refused += 1,
            other => panic!("{other} {body}: {shown}"),
        }
    }
    // Both have been tried.
    assert!(taken > 100 && refused > 1_000, "{taken}, {refused}");
}
