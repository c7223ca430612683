//! Whatever is asked of the coordinator's own API: it is answered in JSON with
//! a status that the module `edge` names, no key is in what is answered or
//! kept, 200 to an event means that it is in the outbox to the byte, once for
//! each idempotency key, and any other status that nothing was taken in.
//!
//! Input: what is asked (the first ones take an event), what of the head is
//! other than usual, the outbox before, the texts that the head has for it, the
//! repeats, the id, and what the body holds.

use std::sync::Arc;
use std::time::Duration;

use mcp_reporter_core::accept::Acceptor;
use mcp_reporter_core::admin;
use mcp_reporter_core::drain::Delivery;
use mcp_reporter_core::edge::{Head, Operation, Performed, Response, delivered};
use mcp_reporter_core::event::Action;
use mcp_reporter_core::outbox::{EventKey, Place, Record, Stage, interaction_hash};
use mcp_reporter_core::settings::{IngestKeys, Settings, WhenFull};
use mcp_reporter_core::store::Now;
use mcp_reporter_test_support::{Dice, Memory};
use serde_json::Value;

use crate::KEY;
use crate::input::Input;
use crate::payload::parse as json;

/// The keys that let a request in.
const INGEST: [&str; 2] = ["in-4e1b77d09c35a2f8", "in-90c2d5e6f7183ba4"];
const EVENTS: &str = "/api/v2/interactions";
const DAY_MS: u64 = 86_400_000;
const EPOCH_NS: u64 = 1_718_000_000_000_000_000;

/// Every status that the module `edge` answers with by itself. 400 is for its caller, who reads
/// the body.
const STATUSES: [u16; 11] = [200, 204, 401, 403, 404, 405, 409, 413, 415, 422, 503];

/// What is asked beside events.
const OTHERS: [(&str, &str); 8] = [
    ("POST", "/api/v2/outbox/redrive"),
    ("GET", "/api/v2/outbox/dead-letters"),
    ("GET", "/api/v2/outbox"),
    ("GET", "/api/v2/interactions/stats"),
    ("POST", "/api/v2/outbox/deliver"),
    ("GET", "/api/v2/health"),
    ("POST", "/api/v2/validate"),
    ("GET", EVENTS),
];

/// A request as it comes in.
struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An outbox and who answers in front of it.
struct Edge {
    settings: Arc<Settings>,
    acceptor: Acceptor,
    store: Memory,
    random: Dice,
    ms: u64,
}

/// See the [module](self).
pub fn check(input: &[u8]) {
    // How serde_json marks a number of any length within its own data model.
    if String::from_utf8_lossy(input).contains("$serde_json") {
        return;
    }
    let mut input = Input(input);
    let [asked, changed, before] = [input.byte(), input.byte(), input.byte()];
    let mut edge = Edge::new(before);
    let (mut request, repeats) = request(asked, changed, &mut input);
    let brought = brought(&request);
    // What was answered 200, on which day, and to which of the two bodies.
    let mut first: Option<(Response, u64, bool)> = None;
    for repeat in [before & 0xf0 | 1].into_iter().chain(repeats) {
        edge.ms += [0, 1, DAY_MS / 2, DAY_MS, 2 * DAY_MS][usize::from(repeat >> 2) % 5];
        if repeat & 1 == 0 {
            edge.acceptor = Acceptor::new(edge.settings.clone());
        }
        let other = repeat & 2 != 0;
        if other {
            // Another body, of the same meaning.
            request.body.push(b' ');
        }
        let day = (EPOCH_NS / 1_000_000 + edge.ms) / DAY_MS;
        let events = edge.events();
        let (answer, new) = edge.ask(&request, &brought, repeat);
        if (&*request.method, request.target.split('?').next()) == ("POST", Some(EVENTS)) {
            let known = first.as_ref();
            let known = known.filter(|(_, last, _)| keyed(&request) && day <= last + 1);
            match known {
                Some(_) if answer.status == 503 => assert!(repeat & 0x80 != 0, "{answer:?}"),
                Some((first, _, same)) if *same == other => assert_eq!(&answer, first),
                Some(_) => assert!(matches!(answer.status, 413 | 422), "{answer:?}"),
                None => taken_in(&request, &answer, &new),
            }
            assert!(known.is_none() || new.is_empty());
            if known.is_none() && answer.status == 200 {
                first = Some((answer, day, other));
            }
        } else {
            assert_eq!(edge.events(), events, "{answer:?}");
        }
        if other {
            request.body.pop();
        }
        edge.can_be_looked_at();
    }
}

/// Whether the request has a key by which a repeat is known.
fn keyed(request: &Request) -> bool {
    let mut headers = request.headers.iter();
    headers.any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"))
}

/// That 200 means one event more, which is what the request brought, and that anything else means
/// none.
fn taken_in(request: &Request, answer: &Response, new: &[Record]) {
    if answer.status != 200 {
        assert!(new.is_empty(), "{answer:?}");
        return;
    }
    let [record] = new else {
        panic!("{} events are new: {answer:?}", new.len());
    };
    assert_eq!(record.body, request.body, "the body was changed");
    let body = json(&request.body).expect("what was taken is JSON");
    let said = json(answer.body.as_bytes()).expect("an answer");
    assert_eq!(body["interaction_id"], *record.interaction_id);
    assert_eq!(said["interaction_id"], *record.interaction_id);
    assert_eq!(body["action"], record.action.name());
    if keyed(request) {
        let key = record.idempotency_key.as_bytes();
        let mut values = request.headers.iter().map(|(_, value)| value);
        assert!(values.any(|value| value.windows(key.len()).any(|part| part == key)));
    }
}

/// The request, and what is said of its repeats.
fn request(asked: u8, changed: u8, input: &mut Input<'_>) -> (Request, [u8; 2]) {
    let other = OTHERS.get(usize::from(asked).wrapping_sub(240));
    let (method, target) = other.copied().unwrap_or(("POST", EVENTS));
    let mut headers = Vec::new();
    let mut header = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_vec()));
    let has = |bit: u8| changed & (1 << bit) != 0;
    let method = if has(0) { input.text() } else { method.into() };
    let target = match (has(1), other) {
        // A page is asked for with a query.
        (true, Some(_)) => [target, "?", &input.text()].concat(),
        (true, None) => input.text(),
        (false, _) => target.to_owned(),
    };
    let good = ["Bearer ", INGEST[usize::from(asked % 2)]].concat();
    if has(2) {
        header("Authorization", input.some());
    } else {
        header("authorization", good.as_bytes());
    }
    if has(3) {
        header("content-type", input.some());
    } else {
        header("Content-Type", b"application/json");
    }
    // One in four has no key: then each repeat is an event of its own.
    if has(4) {
        // A good one, whatever bytes stand there.
        let bytes = input.some();
        header("Idempotency-Key", format!("k{}", bytes.len()).as_bytes());
    } else if has(5) {
        header("idempotency-key", input.some());
    }
    if has(6) {
        header("traceparent", input.some());
    }
    if has(7) {
        header(&input.text(), input.some());
    }
    let repeats = [input.byte(), input.byte()];
    let mut id = input.text();
    if asked < 80 {
        id.retain(|c| !c.is_control());
        id.insert(0, 'i');
    }
    let action = Action::ALL[usize::from(asked) % Action::ALL.len()].name();
    let text = String::from_utf8_lossy(input.0);
    let quoted = |text: &str| Value::from(text).to_string();
    let (id, data) = (quoted(&id), quoted(&text));
    let member = ["{\"action\":\"", action, "\",\"interaction_id\":"].concat();
    let body = match asked {
        // An event, whatever the texts are.
        0..=119 => [&member, &id, ",\"result_data\":", &data, "}"].concat(),
        // One if the rest of the input is a value, or some members.
        120..=159 => [&member, &id, ",\"result_data\":", &text, "}"].concat(),
        160..=199 => ["{", &text, ",", &member[1..], &id, "}"].concat(),
        _ => text.clone().into_owned(),
    };
    let body = match asked {
        200.. => input.0.to_vec(),
        _ => body.into_bytes(),
    };
    let request = Request {
        method,
        target,
        headers,
        body,
    };
    (request, repeats)
}

/// What the request has of texts but for the key that lets it in: raw, and as escapes have it.
fn brought(request: &Request) -> String {
    let headers = request.headers.iter();
    let headers = headers.filter(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    let values: Vec<_> = headers.map(|(_, value)| &value[..]).collect();
    let raw = [
        request.target.as_bytes(),
        b"\n",
        &request.body,
        b"\n",
        &values.join(&b"\n"[..]),
    ]
    .concat();
    let decoded = json(&request.body).map(|value| value.to_string());
    String::from_utf8_lossy(&raw).into_owned() + &decoded.unwrap_or_default()
}

impl Edge {
    /// Of `before` each bit makes the outbox another one.
    fn new(before: u8) -> Self {
        let settings = Settings::from_pairs([
            ("enable_interaction_logging", "true"),
            ("mcp_id", "m"),
            ("coordinator_url", "http://127.0.0.1:1"),
            ("coordinator_api_key", KEY),
        ]);
        let mut settings = settings.expect("they are good").expect("it is on");
        settings.ingest_keys = IngestKeys::parse(&INGEST.join(", ")).expect("they are good");
        if before & 1 != 0 {
            settings.max_events = 3;
        }
        if before & 2 != 0 {
            settings.when_full = WhenFull::DropOldest;
        }
        if before & 4 != 0 {
            settings.max_event_bytes = 96;
        }
        let settings = Arc::new(settings);
        let mut edge = Self {
            acceptor: Acceptor::new(settings.clone()),
            settings,
            store: Memory::default(),
            random: Dice::new(0),
            ms: 1_000,
        };
        if before & 8 != 0 {
            edge.dead_letters();
        }
        edge
    }

    /// Two dead letters.
    fn dead_letters(&mut self) {
        for ns in 1..=2 {
            let record = Record {
                tries: 1,
                charged: 0,
                first_failure_ns: EPOCH_NS,
                not_before_ns: 0,
                delivered_mark: 0,
                action: Action::Start,
                interaction_id: format!("dead {ns}"),
                idempotency_key: "k".into(),
                traceparent: String::new(),
                last_failure: "HTTP 422: \"no\"\u{1}\n".into(),
                body: b"{}".to_vec(),
            };
            let key = EventKey {
                ns: EPOCH_NS + ns,
                interaction: interaction_hash(&record.interaction_id),
                stage: Stage::Start,
                size: 2,
                random: ns << 40,
            };
            let name = key.name(Place::Dead);
            self.store.map.insert(name, record.encode());
        }
    }

    fn now(&self) -> Now {
        Now {
            wall_ns: EPOCH_NS + self.ms * 1_000_000,
            mono_ns: self.ms * 1_000_000,
        }
    }

    /// What is done about a request, as the component does it.
    fn perform(&mut self, request: &Request) -> Response {
        let head = Head {
            method: &request.method,
            target: &request.target,
            headers: &request.headers,
        };
        let now = self.now();
        let told = Operation::of(head).and_then(|operation| {
            operation.admit(head, &self.settings)?;
            let limit = operation.body_limit(head, &self.settings)?;
            let body = match limit {
                Some(limit) if request.body.len() > limit => {
                    return Err(Operation::too_large(limit));
                }
                Some(_) => &request.body[..],
                None => b"",
            };
            Ok(operation.perform(
                body,
                &self.settings,
                &mut self.acceptor,
                &mut self.store,
                &mut self.random,
                now,
            ))
        });
        match told.unwrap_or_else(Performed::Answer) {
            Performed::Answer(response) | Performed::Stored(response) => response,
            Performed::Deliver(budget) => {
                assert!(budget > Duration::ZERO);
                let done = Delivery {
                    waiting: self.ms,
                    next: Some(budget),
                    ..Delivery::default()
                };
                delivered(Ok(done))
            }
        }
    }

    /// Performs a request, and checks what must hold of any. Returns the answer, and the events
    /// that are new.
    fn ask(&mut self, request: &Request, brought: &str, fails: u8) -> (Response, Vec<Record>) {
        let before = self.store.map.clone();
        if fails & 0x80 != 0 {
            let operations = ["get", "get_many", "set", "set_many", "list_keys"];
            let at = usize::from(fails >> 4 & 7) % operations.len();
            self.store.fail_next(operations[at]);
        }
        let response = self.perform(request);
        // It may not have come to that.
        self.store.fail_next("");
        let Response {
            status,
            headers,
            body,
        } = &response;
        assert!(STATUSES.contains(status), "{status}");
        // The only one that others can be in the way of.
        assert!(*status != 409 || request.target.starts_with("/api/v2/outbox/redrive"));
        assert!(body.is_empty() == (*status == 204), "{status}: {body}");
        assert!(body.is_empty() || json(body.as_bytes()).is_some(), "{body}");
        for key in [KEY, INGEST[0], INGEST[1]] {
            if brought.contains(key) {
                continue;
            }
            assert!(!body.contains(key), "{body}");
            assert!(headers.iter().all(|(_, value)| !value.contains(key)));
            let holds = |value: &Vec<u8>| value.windows(key.len()).any(|w| w == key.as_bytes());
            assert!(!self.store.map.values().any(holds), "a key is stored");
            assert!(!self.store.map.keys().any(|name| name.contains(key)));
        }
        let new = self.store.map.iter().filter(|(name, _)| {
            !before.contains_key(*name)
                && matches!(EventKey::parse(name), Some((Place::Waiting, _)))
        });
        let new: Vec<_> = new
            .map(|(_, value)| Record::decode(value).expect("a record"))
            .collect();
        (response, new)
    }

    /// How many events are in the outbox.
    fn events(&self) -> usize {
        let names = self.store.map.keys();
        names.filter_map(|name| EventKey::parse(name)).count()
    }

    /// That the outbox can be listed, and holds what it says.
    fn can_be_looked_at(&mut self) {
        let now = self.now();
        let status = admin::status(&mut self.store, now).expect("it can be listed");
        let [waiting, dead] = [Place::Waiting, Place::Dead].map(|place| self.store.events(place));
        let counts = [waiting.len() as u64, dead.len() as u64];
        assert_eq!([status.waiting, status.dead_letters], counts);
    }
}
