//! A component that asks for whatever it is told to, on the linker and the
//! state that the reporter's has.

use wasmtime::component::Component;

use super::*;
use crate::engine::{
    deadline::{self, Deadline},
    state::State,
};

/// Made of `hostile.wat`, where what it exports is said.
const HOSTILE: &[u8] = include_bytes!("hostile/hostile.wasm");

/// The number of `HTTP-request-denied`.
const DENIED: u32 = 1015;
/// What is refused before anybody asks where it leads: `HTTP-request-URI-invalid`, and
/// `HTTP-protocol-error` for a scheme that is not HTTP's.
const MALFORMED: [u32; 2] = [1019, 1035];

/// What `attack` takes: 0 for http, 1 for https, 2 for the scheme that is named; authority; path.
type Request<'a> = (u32, &'a str, &'a str, &'a str);

/// Asks as the component, on an engine that lets it reach `allowed` only.
async fn attack(allowed: &str, request: Request<'_>) -> u32 {
    let limit = Duration::from_secs(10);
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    let component = Component::new(&engine.engine, HOSTILE).unwrap();
    let state = State::new(
        Arc::new(MemoryStore::new()),
        Arc::new([]),
        &Egress::new(allowed, None).unwrap(),
        Deadline::new(limit),
        false,
    );
    let mut store = wasmtime::Store::new(&engine.engine, state);
    store.limiter(|state| &mut state.limits);
    deadline::enforce(&mut store);
    let pre = engine.linker.instantiate_pre(&component).unwrap();
    let instance = pre.instantiate_async(&mut store).await.unwrap();
    let attack = instance
        .get_typed_func::<Request<'_>, (u32,)>(&mut store, "attack")
        .unwrap();
    let (outcome,) = soon(attack.call_async(&mut store, request)).await.unwrap();
    outcome
}

#[tokio::test]
async fn a_hostile_component_reaches_the_configured_authority_and_no_other() {
    let coordinator = Peer::agreeable().await;
    let elsewhere = Peer::agreeable().await;
    let url = coordinator.url();
    let port = coordinator.address.port();
    let (right, wrong) = (
        coordinator.address.to_string(),
        elsewhere.address.to_string(),
    );
    // The component works: without this the rest could not fail.
    assert_eq!(attack(&url, (0, "", &right, "/any/path")).await, 200);
    assert_eq!(coordinator.requests().len(), 1);

    for (kind, scheme, authority) in [
        // another port, host, scheme
        (0, "", wrong.clone()),
        (0, "", "127.0.0.1".to_owned()),
        (0, "", format!("localhost:{port}")),
        (0, "", format!("127.0.0.2:{port}")),
        (0, "", format!("0.0.0.0:{port}")),
        (0, "", format!("[::ffff:127.0.0.1]:{port}")),
        (0, "", format!("2130706433:{port}")),
        (1, "", right.clone()),
        (2, "ftp", right.clone()),
        (2, "file", right.clone()),
        // what some readers take for a host
        (0, "", format!("{right}@{wrong}")),
        (0, "", format!("{wrong}@{right}")),
        (0, "", format!("user:word@{right}")),
        (0, "", format!("{right}.example.com")),
        (0, "", format!("127.0.0.1.:{port}")),
        (0, "", format!("{wrong}#@{right}")),
        (0, "", format!("{wrong}/@{right}")),
        (0, "", format!("{right}\\@{wrong}")),
        (0, "", format!("{right}\r\nhost: {wrong}")),
        (0, "", String::new()),
    ] {
        let outcome = attack(&url, (kind, scheme, &authority, "/")).await;
        assert!(
            outcome == DENIED || MALFORMED.contains(&outcome) || outcome > 2_000,
            "{kind} {scheme} {authority:?}: {outcome}"
        );
    }
    assert_eq!(
        (coordinator.connections(), coordinator.requests().len()),
        (1, 1)
    );
    // Wherever such a path leads, it is not to another authority.
    for path in [
        format!("//{wrong}/"),
        format!("http://{wrong}/"),
        format!("@{wrong}/"),
        format!(":80@{wrong}/"),
        format!("\\\\{wrong}\\"),
        format!("/ HTTP/1.1\r\nhost: {wrong}\r\n\r\nGET http://{wrong}/"),
    ] {
        let outcome = attack(&url, (0, "", &right, &path)).await;
        assert!(outcome == 200 || outcome >= 1_000, "{path:?}: {outcome}");
    }
    assert_eq!(elsewhere.connections(), 0);
    for request in coordinator.requests() {
        assert_eq!(request.headers()["host"], *right, "{request:?}");
    }
}

#[tokio::test]
async fn a_hostile_component_is_not_led_elsewhere_by_a_redirect() {
    for code in [301, 302, 303, 307, 308] {
        let elsewhere = Peer::agreeable().await;
        let location = format!("{}/taken", elsewhere.url());
        let coordinator = Peer::start(move |_| {
            let mut response = status(code, "");
            response
                .headers_mut()
                .insert("location", location.parse().unwrap());
            response
        })
        .await;
        let authority = coordinator.address.to_string();
        let outcome = attack(&coordinator.url(), (0, "", &authority, "/")).await;
        assert_eq!(outcome, u32::from(code));
        // Nor may it follow by itself.
        let there = elsewhere.address.to_string();
        let outcome = attack(&coordinator.url(), (0, "", &there, "/taken")).await;
        assert_eq!(outcome, DENIED);
        assert_eq!(elsewhere.connections(), 0);
    }
}
