use super::*;
use crate::control::Held;
use crate::outbox::{EventKey, Record};
use crate::settings::IngestKeys;
use crate::testing::{Dice, Memory, at_ms, settings};
use alloc::sync::Arc;

const KEY_OF_ONE: &str = "ingest-one";
const KEY_OF_TWO: &str = "ingest-two";
const START: &str = r#"{"action":"interaction_start","interaction_id":"i1","request_data":{}}"#;

/// An instance, its store, and what a client says to it.
struct Edge {
    settings: Arc<Settings>,
    acceptor: Acceptor,
    store: Memory,
    dice: Dice,
    ms: u64,
}

impl Edge {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = settings();
        settings.ingest_keys = IngestKeys::parse("ingest-one, ingest-two").unwrap();
        change(&mut settings);
        let settings = Arc::new(settings);
        Self {
            acceptor: Acceptor::new(settings.clone()),
            settings,
            store: Memory::default(),
            dice: Dice::new(7),
            ms: 1_000,
        }
    }

    /// The same store, as the next instance finds it.
    fn restart(&mut self) {
        self.acceptor = Acceptor::new(self.settings.clone());
    }

    /// What is done about a request, as the guest does it.
    fn perform(
        &mut self,
        method: &str,
        target: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Performed {
        let headers: Vec<_> = more
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        let head = Head {
            method,
            target,
            headers: &headers,
        };
        let told = Operation::of(head).and_then(|operation| {
            operation.admit(head, &self.settings)?;
            let limit = operation.body_limit(head, &self.settings)?;
            match limit {
                Some(limit) if body.len() > limit => return Err(Operation::too_large(limit)),
                _ => {}
            }
            let body = if limit.is_some() { body } else { b"" };
            Ok(operation.perform(
                body,
                &self.settings,
                &mut self.acceptor,
                &mut self.store,
                &mut self.dice,
                at_ms(self.ms),
            ))
        });
        told.unwrap_or_else(Performed::Answer)
    }

    fn ask(&mut self, method: &str, target: &str, more: &[(&str, &str)], body: &str) -> Response {
        match self.perform(method, target, more, body.as_bytes()) {
            Performed::Answer(response) | Performed::Stored(response) => response,
            Performed::Deliver(_) => delivered(Ok(Default::default())),
        }
    }

    /// With a good key.
    fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target, &[BEARER], "")
    }

    fn post(&mut self, more: &[(&str, &str)], body: &str) -> Response {
        let headers = [&[BEARER, JSON], more].concat();
        self.ask("POST", "/api/v2/interactions", &headers, body)
    }

    fn waiting(&self) -> Vec<Record> {
        let mut events = self.store.events(Place::Waiting);
        events.sort_by_key(|(key, _)| *key);
        events.into_iter().map(|(_, record)| record).collect()
    }
}

const BEARER: (&str, &str) = ("authorization", "Bearer ingest-one");
const JSON: (&str, &str) = ("content-type", "application/json");

/// Method, path, whether it needs a key, and the status with a good one.
const ALL: [(&str, &str, bool); 8] = [
    ("POST", "/api/v2/interactions", true),
    ("GET", "/api/v2/health", false),
    ("POST", "/api/v2/validate", true),
    ("GET", "/api/v2/interactions/stats", true),
    ("GET", "/api/v2/outbox", true),
    ("POST", "/api/v2/outbox/deliver", true),
    ("GET", "/api/v2/outbox/dead-letters", true),
    ("POST", "/api/v2/outbox/redrive", true),
];

#[test]
fn every_route_without_with_a_wrong_and_with_a_right_key() {
    for (method, path, needs_key) in ALL {
        let body = if path == "/api/v2/interactions" {
            START
        } else {
            ""
        };
        for (authorization, status, said) in [
            (None, 403, r#"{"detail":"Not authenticated"}"#),
            (Some("Basic aTox"), 403, r#"{"detail":"Not authenticated"}"#),
            (Some("Bearer "), 403, r#"{"detail":"Not authenticated"}"#),
            (Some("Bearer wrong"), 401, r#"{"detail":"Invalid API key"}"#),
            // The coordinator's own key is none of those that are listed.
            (
                Some("Bearer secret"),
                401,
                r#"{"detail":"Invalid API key"}"#,
            ),
            (
                Some("Bearer ingest-one, ingest-two"),
                401,
                r#"{"detail":"Invalid API key"}"#,
            ),
            (
                Some("Bearer ingest-on"),
                401,
                r#"{"detail":"Invalid API key"}"#,
            ),
            (
                Some("Bearer ingest-oneingest-one"),
                401,
                r#"{"detail":"Invalid API key"}"#,
            ),
        ] {
            let mut edge = Edge::new();
            let mut headers = vec![JSON];
            headers.extend(authorization.map(|value| ("Authorization", value)));
            let answer = edge.ask(method, path, &headers, body);
            if needs_key {
                assert_eq!(
                    (answer.status, answer.body.as_str()),
                    (status, said),
                    "{path}"
                );
                assert!(edge.store.map.is_empty(), "{path}");
            } else {
                assert_eq!(answer.status, 200, "{path}");
            }
        }
        for key in [KEY_OF_ONE, KEY_OF_TWO] {
            let mut edge = Edge::new();
            for scheme in ["Bearer", "bearer"] {
                let value = format!("{scheme} {key}");
                let headers = [("Authorization", value.as_str()), JSON];
                let answer = edge.ask(method, path, &headers, body);
                assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            }
        }
        // Without any key, nobody is let in.
        let mut edge = Edge::with(|settings| settings.ingest_keys = IngestKeys::default());
        let answer = edge.ask(method, path, &[BEARER, JSON], body);
        assert_eq!(answer.status, if needs_key { 401 } else { 200 }, "{path}");
    }
}

#[test]
fn other_paths_and_methods_are_told_what_there_is() {
    let mut edge = Edge::new();
    for path in [
        "/",
        "",
        "/api/v2",
        "/api/v2/interactions/",
        "/api/v2/Health",
        "/api/v1/health",
    ] {
        let answer = edge.get(path);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (404, r#"{"detail":"Not Found"}"#)
        );
    }
    for (method, path, _) in ALL {
        let allow = match method {
            "GET" => ("allow", "GET, HEAD, OPTIONS"),
            _ => ("allow", "POST, OPTIONS"),
        };
        let answer = edge.ask("OPTIONS", path, &[], "");
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
        assert_eq!(answer.headers, [allow]);
        for other in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "get", "TRACE",
        ] {
            if other == method || (method, other) == ("GET", "HEAD") {
                continue;
            }
            let answer = edge.ask(other, path, &[BEARER], "");
            assert_eq!(answer.status, 405, "{other} {path}");
            assert_eq!(answer.headers, [allow], "{other} {path}");
        }
    }
    assert_eq!(edge.ask("HEAD", "/api/v2/health", &[], "").status, 200);
}

#[test]
fn an_event_is_in_the_outbox_as_it_came_before_it_is_answered() {
    let mut edge = Edge::new();
    let body = "\n {\"extra\" : [1, 2.50, \"\\u00e9\"],\t\"interaction_id\":\"a\\u0022b\\\\\\u00e9\", \"action\":\"interaction_\\u0065rror\"} ";
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = edge.post(&[("traceparent", trace)], body);
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (
            200,
            r#"{"status":"accepted","interaction_id":"a\"b\\é","queue_position":1}"#
        )
    );
    let [record] = &edge.waiting()[..] else {
        panic!()
    };
    assert_eq!(record.body, body.as_bytes());
    assert_eq!(record.interaction_id, "a\"b\\é");
    assert_eq!(record.action, crate::event::Action::Error);
    assert_eq!(record.traceparent, trace);
    assert_eq!(record.idempotency_key.len(), 36);
    let answer = edge.post(&[("traceparent", "a \"b\"")], START);
    assert!(
        answer.body.ends_with(r#""queue_position":2}"#),
        "{}",
        answer.body
    );
    assert_eq!(edge.waiting()[1].traceparent, "");
    assert!(matches!(
        edge.perform(
            "POST",
            "/api/v2/interactions",
            &[BEARER, JSON],
            START.as_bytes()
        ),
        Performed::Stored(_)
    ));
}

#[test]
fn what_is_no_event_is_refused_by_the_name_of_the_field() {
    let long = format!(
        r#"{{"action":"interaction_start","interaction_id":"{}"}}"#,
        "x".repeat(257)
    );
    let mut edge = Edge::new();
    for (body, place, said) in [
        ("", r#"["body"]"#, "is not a JSON object"),
        ("[]", r#"["body"]"#, "is not a JSON object"),
        ("{", r#"["body"]"#, "is not JSON"),
        (r#"{"action":NaN}"#, r#"["body"]"#, "holds NaN"),
        (
            r#"{"action":1,"action":2}"#,
            r#"["body"]"#,
            "names the same key twice",
        ),
        ("{}", r#"["body","action"]"#, "action is missing"),
        (
            r#"{"action":1}"#,
            r#"["body","action"]"#,
            "action must be a string",
        ),
        (
            r#"{"action":"start"}"#,
            r#"["body","action"]"#,
            "action must be interaction_start",
        ),
        (
            r#"{"action":"interaction_start"}"#,
            r#"["body","interaction_id"]"#,
            "interaction_id is missing",
        ),
        (
            r#"{"action":"interaction_start","interaction_id":null}"#,
            r#"["body","interaction_id"]"#,
            "interaction_id must be a string",
        ),
        (
            r#"{"action":"interaction_start","interaction_id":""}"#,
            r#"["body","interaction_id"]"#,
            "interaction_id is empty",
        ),
        (
            r#"{"action":"interaction_start","interaction_id":"a\nb"}"#,
            r#"["body","interaction_id"]"#,
            "holds a control character",
        ),
        (&long, r#"["body","interaction_id"]"#, "is too long"),
    ] {
        let answer = edge.post(&[], body);
        assert_eq!(answer.status, 422, "{body}");
        assert!(
            answer.body.contains(&format!(r#""loc":{place}"#)),
            "{}",
            answer.body
        );
        assert!(answer.body.contains(said), "{}", answer.body);
    }
    let answer = edge.perform(
        "POST",
        "/api/v2/interactions",
        &[BEARER, JSON],
        b"{\"a\":\"\xff\"}",
    );
    let Performed::Answer(answer) = answer else {
        panic!()
    };
    assert!(
        answer.status == 422 && answer.body.contains("not UTF-8"),
        "{}",
        answer.body
    );
    assert!(edge.store.map.is_empty());
}

#[test]
fn other_kinds_and_sizes_of_a_body_are_refused() {
    let mut edge = Edge::with(|settings| settings.max_event_bytes = 1_024);
    let post = |edge: &mut Edge, headers: &[(&str, &str)], body: &str| {
        let headers = [&[BEARER], headers].concat();
        edge.ask("POST", "/api/v2/interactions", &headers, body)
    };
    for (headers, status) in [
        (&[][..], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/json5")], 415),
        (&[JSON, ("content-encoding", "gzip")], 415),
        (&[JSON, ("content-length", "1025")], 413),
        (&[JSON, ("content-length", "1024")], 200),
        (&[JSON, ("content-encoding", "Identity")], 200),
        (&[("Content-Type", "Application/JSON; charset=utf-8")], 200),
    ] {
        let answer = post(&mut edge, headers, START);
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.body);
    }
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(1_024));
    let answer = post(&mut edge, &[JSON], &large);
    assert_eq!(answer.status, 413);
    assert!(
        answer
            .body
            .contains("more than 1024 bytes (max_event_bytes)"),
        "{}",
        answer.body
    );
    // One of exactly the limit is taken.
    let frame = r#"{"action":"interaction_start","interaction_id":"i","a":""}"#;
    let exact = frame.replace(
        r#""a":"""#,
        &format!(r#""a":"{}""#, "x".repeat(1_024 - frame.len())),
    );
    assert_eq!(
        (exact.len(), post(&mut edge, &[JSON], &exact).status),
        (1_024, 200)
    );
}

#[test]
fn a_full_outbox_and_a_failing_store_say_so_and_when_to_come_again() {
    let mut edge = Edge::with(|settings| settings.max_events = 20);
    for n in 0..19 {
        assert_eq!(
            edge.post(&[], &START.replace("i1", &format!("i{n}")))
                .status,
            200
        );
    }
    let answer = edge.post(&[], &START.replace("i1", "late"));
    assert_eq!(
        (answer.status, &answer.headers[..]),
        (503, &[("retry-after", "30")][..])
    );
    assert!(answer.body.contains("max_events = 20"), "{}", answer.body);
    assert_eq!(unavailable(&answer), Unavailable::Full);

    for (method, path, operation) in [
        ("POST", "/api/v2/interactions", "set"),
        ("GET", "/api/v2/health", "get"),
        ("GET", "/api/v2/interactions/stats", "list_keys"),
        ("GET", "/api/v2/outbox", "list_keys"),
        ("GET", "/api/v2/outbox/dead-letters", "list_keys"),
        ("POST", "/api/v2/outbox/redrive", "list_keys"),
    ] {
        let mut edge = Edge::new();
        edge.post(&[], START);
        edge.store.fail_next(operation);
        let body = if operation == "set" { START } else { "" };
        let answer = edge.ask(method, path, &[BEARER, JSON], body);
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.body.contains("disk on fire"), "{}", answer.body);
        assert_eq!(unavailable(&answer), Unavailable::Storage);
    }
    for answer in [switched_off(), not_configured("mcp_id is not set")] {
        assert_eq!(answer.status, 503);
        assert_eq!(unavailable(&answer), Unavailable::Configuration);
    }
}

/// What is read of an answer by whoever sees only its head.
fn unavailable(answer: &Response) -> Unavailable {
    let mut headers = answer.headers.iter();
    let retry_after = headers.find(|(name, _)| *name == "retry-after");
    Unavailable::of(retry_after.map(|(_, value)| value.as_bytes()))
}

#[test]
fn a_request_that_comes_again_gets_the_first_answer_and_stores_nothing() {
    let mut edge = Edge::new();
    let first = edge.post(&[("Idempotency-Key", "\"key-1\"")], START);
    let stored = edge.store.map.len();
    assert_eq!(edge.waiting()[0].idempotency_key, "key-1");
    for (ms, key) in [(1_000, "\"key-1\""), (40_000_000, "key-1")] {
        edge.restart();
        edge.ms += ms;
        edge.post(&[], &START.replace("i1", "between"));
        let answer = edge.perform(
            "POST",
            "/api/v2/interactions",
            &[BEARER, JSON, ("idempotency-key", key)],
            START.as_bytes(),
        );
        assert_eq!(answer, Performed::Answer(first.clone()));
    }
    assert_eq!(edge.store.map.len(), stored + 2);
    let other = edge.post(&[("Idempotency-Key", "key-1")], &START.replace("i1", "i2"));
    assert_eq!(other.status, 422);
    assert!(other.body.contains("another body"), "{}", other.body);
    assert_eq!(edge.waiting().len(), 3);
    // Across midnight it is still known, two days later it is not.
    edge.ms += 86_400_000;
    assert_eq!(edge.post(&[("Idempotency-Key", "key-1")], START), first);
    edge.ms += 86_400_000;
    assert_ne!(edge.post(&[("Idempotency-Key", "key-1")], START), first);
    assert_eq!(edge.waiting().len(), 4);
}

#[test]
fn a_key_that_cannot_be_sent_on_is_refused() {
    let mut edge = Edge::new();
    let long = "x".repeat(129);
    for key in ["", "\"\"", "a b", "a\"b", "a\\b", "é", &long] {
        let answer = edge.post(&[("Idempotency-Key", key)], START);
        assert_eq!(answer.status, 422, "{key}");
        assert!(
            answer
                .body
                .contains(r#""loc":["header","Idempotency-Key"]"#),
            "{}",
            answer.body
        );
    }
    let twice = [("Idempotency-Key", "a"), ("idempotency-key", "a")];
    assert_eq!(edge.post(&twice, START).status, 422);
    assert!(edge.store.map.is_empty());
    assert_eq!(
        edge.post(&[("Idempotency-Key", &long[1..])], START).status,
        200
    );
}

#[test]
fn an_answer_that_was_kept_without_its_event_is_none() {
    // The store does one after the other, and fails in between: then the event is first.
    let mut edge = Edge::new();
    edge.store.fail_next("set_many");
    let key = [("Idempotency-Key", "k")];
    assert_eq!(edge.post(&key, START).status, 503);
    assert_eq!(edge.post(&key, START).status, 200);
    assert_eq!(edge.waiting().len(), 1);
    // A damaged answer counts as none: twice is better than never.
    for (name, value) in &mut edge.store.map {
        if name.starts_with("i.") {
            value.truncate(5);
        }
    }
    assert_eq!(edge.post(&key, START).status, 200);
    assert_eq!(edge.waiting().len(), 2);
}

#[test]
fn an_answer_that_was_damaged_or_cut_short_is_not_given_again() {
    let mut edge = Edge::new();
    let key = [("Idempotency-Key", "k")];
    let first = edge.post(&key, START);
    let kept = edge
        .store
        .map
        .iter()
        .find(|(name, _)| name.starts_with("i."));
    let (name, value) = kept
        .map(|(name, value)| (name.clone(), value.clone()))
        .unwrap();
    for at in 0..value.len() {
        let mut flipped = value.clone();
        flipped[at] ^= 0x10;
        for damaged in [flipped, value[..at].to_vec()] {
            let events = edge.waiting().len();
            edge.store.map.insert(name.clone(), damaged);
            let answer = edge.post(&key, START);
            assert_eq!(answer.status, 200, "byte {at}: {}", answer.body);
            assert_eq!(edge.waiting().len(), events + 1, "byte {at}");
        }
    }
    edge.store.map.insert(name, value);
    assert_eq!(edge.post(&key, START), first);
}

#[test]
fn the_drainer_keeps_the_newest_ten_thousand_answers() {
    let mut store = Memory::default();
    for day in [20_000, 20_001] {
        for n in 0..6_000u64 {
            store.map.insert(format!("i.{day}.{n:016x}"), Vec::new());
        }
    }
    crate::moves::settle(&mut store).unwrap();
    assert_eq!(store.map.len(), 10_000);
    let of = |day: &str| {
        store
            .map
            .keys()
            .filter(|name| name[2..].starts_with(day))
            .count()
    };
    assert_eq!((of("20000"), of("20001")), (4_000, 6_000));
}

#[test]
fn the_coordinators_answers_have_its_bytes() {
    let mut edge = Edge::new();
    edge.post(&[], START);
    let [.., health] = [edge.get("/api/v2/outbox"), edge.get("/api/v2/health")];
    assert_eq!(
        health.body,
        r#"{"status":"healthy","timestamp":1718000001.0,"queue_size":0,"processor_running":true}"#
    );
    assert_eq!(
        edge.get("/api/v2/interactions/stats").body,
        r#"{"stats":{"requests_received":1,"requests_processed":0,"requests_failed":0,"queue_size":1},"timestamp":1718000001.0,"queue_size":1}"#
    );
    assert_eq!(
        edge.ask("POST", "/api/v2/validate", &[BEARER], "").body,
        r#"{"valid":true}"#
    );
    edge.ms += 1_500;
    assert_eq!(
        edge.get("/api/v2/outbox").body,
        r#"{"waiting":1,"dead_letters":0,"bytes":70,"oldest_age_s":1.5,"breaker":"closed","paused_reason":null,"next_attempt_s":null,"delivered_total":0,"resent_total":0,"dropped_total":0,"lease_holder":null}"#
    );
}

#[test]
fn dead_letters_come_in_pages_and_are_put_back() {
    let mut edge = Edge::new();
    for n in 0..3 {
        edge.ms += 1;
        edge.post(
            &[("idempotency-key", &format!("k{n}"))],
            &START.replace("i1", &format!("i{n}")),
        );
    }
    let names: Vec<_> = edge
        .store
        .map
        .keys()
        .filter(|n| n.starts_with("q."))
        .cloned()
        .collect();
    for name in names {
        let value = edge.store.map.remove(&name).unwrap();
        let mut record = Record::decode(&value).unwrap();
        (record.tries, record.last_failure) = (1, "HTTP 422: \"no\"\u{1}".into());
        let (_, key) = EventKey::parse(&name).unwrap();
        edge.store
            .map
            .insert(key.name(Place::Dead), record.encode());
    }
    let page = edge.get("/api/v2/outbox/dead-letters?limit=2").body;
    assert!(
        page.starts_with(r#"{"entries":[{"key":"d."#)
            && page.contains(
                r#","action":"start","interaction_id":"i0","accepted_at":"2024-06-10T06:13:21.001Z","size":70,"tries":1,"last_failure":"HTTP 422: \"no\"\u0001","idempotency_key":"k0"},"#
            ),
        "{page}"
    );
    let cursor = page.rsplit('"').nth(1).unwrap();
    let last = edge
        .get(&format!(
            "/api/v2/outbox/dead-letters?cursor={cursor}&limit=2&x"
        ))
        .body;
    assert!(
        last.contains("\"i2\"") && last.ends_with(r#"],"cursor":null}"#),
        "{last}"
    );
    for bad in ["0", "1001", "x", "-1", ""] {
        let answer = edge.get(&format!("/api/v2/outbox/dead-letters?limit={bad}"));
        assert_eq!(answer.status, 422, "{bad}");
        assert!(answer.body.contains("from 1 to 1000"), "{}", answer.body);
    }
    let redrive =
        |edge: &mut Edge, body: &str| edge.ask("POST", "/api/v2/outbox/redrive", &[BEARER], body);
    assert_eq!(redrive(&mut edge, "[]").status, 422);
    assert_eq!(
        redrive(&mut edge, r#"{"interaction_ids":["a",1]}"#).status,
        422
    );
    let some = redrive(&mut edge, r#" { "interaction_ids" : [ "i1" , "none" ] } "#);
    assert_eq!(some.body, r#"{"redriven":1}"#);
    assert_eq!(redrive(&mut edge, "").body, r#"{"redriven":2}"#);
    assert_eq!(redrive(&mut edge, "{}").body, r#"{"redriven":0}"#);
    assert_eq!(edge.waiting().len(), 3);
}

#[test]
fn deliver_takes_its_time_from_the_settings() {
    for (edge_budget, budget) in [(Duration::from_secs(7), 7), (Duration::ZERO, 20)] {
        let mut edge = Edge::with(|settings| settings.edge_budget = edge_budget);
        let done = edge.perform("POST", "/api/v2/outbox/deliver", &[BEARER], b"");
        assert_eq!(done, Performed::Deliver(Duration::from_secs(budget)));
    }
    let done = crate::drain::Delivery {
        delivered: 3,
        waiting: 2,
        next: Some(Duration::from_millis(1_250)),
        ..Default::default()
    };
    assert_eq!(
        delivered(Ok(done)).body,
        r#"{"delivered":3,"failed":0,"dead_lettered":0,"waiting":2,"next_s":1.25,"lease_held_elsewhere":false}"#
    );
}

#[test]
fn what_another_delivers_is_not_put_back_meanwhile() {
    let mut edge = Edge::new();
    edge.post(&[], START);
    let mut held = Held::load(&mut edge.store, &mut edge.dice)
        .unwrap()
        .unwrap();
    let now = at_ms(edge.ms);
    let took = held.acquire(&mut edge.store, &mut edge.dice, "another", now);
    assert_eq!(took, Ok(true));
    let answer = edge.ask("POST", "/api/v2/outbox/redrive", &[BEARER], "");
    // The outbox works: this is none of the failures that 503 stands for.
    assert_eq!(answer.status, 409, "{}", answer.body);
    assert!(
        answer.body.contains("another is delivering"),
        "{}",
        answer.body
    );
    assert_eq!(answer.headers, [("retry-after", "1")]);
}
