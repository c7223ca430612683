//! That the profile has Spin's rules: what is linked, and what the stores do.

use std::collections::BTreeSet;

use hyper::StatusCode;
use mcp_reporter_core::control;
use mcp_reporter_tests::spin::{Ground, Mode, Mortality, Spin, StoreError, SwapError};
use mcp_reporter_tests::{coordinator, get};
use wasm_encoder::{
    ComponentBuilder, ComponentTypeRef, ComponentValType, InstanceType, PrimitiveValType,
};

use super::{connected, event, post};

/// A component that does nothing and imports this function, from no argument to a `u64`.
fn importing(interface: &str, function: &str) -> Vec<u8> {
    let mut component = ComponentBuilder::default();
    let mut instance = InstanceType::new();
    let number = ComponentValType::Primitive(PrimitiveValType::U64);
    instance
        .ty()
        .function()
        .params([] as [(&str, ComponentValType); 0])
        .result(Some(number));
    instance.export(function, ComponentTypeRef::Func(0));
    let ty = component.type_instance(None, &instance);
    component.import(interface, ComponentTypeRef::Instance(ty));
    component.finish()
}

#[tokio::test]
async fn a_component_that_imports_what_spin_does_not_link_does_not_start() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    for (interface, function, linked) in [
        ("wasi:logging/logging", "log", false),
        ("mcp-reporter:host/anything@0.1.0", "any", false),
        ("wasi:keyvalue/watcher@0.2.0-draft2", "on-set", false),
        ("wasi:random/random@0.2.0", "get-random-u64", true),
    ] {
        let options = ground.options(coordinator.addr(), &[]);
        let refused = Spin::start(&importing(interface, function), options).await;
        let refused = refused.expect_err("it handles no requests at least");
        // One whose import is linked is refused for what it does not export.
        let why = if linked {
            "incoming-handler"
        } else {
            interface
        };
        assert!(refused.contains(why), "{interface}: {refused}");
    }
}

#[tokio::test]
async fn an_outbound_host_has_no_path() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    for entry in [
        "http://127.0.0.1:8000/api",
        "http://127.0.0.1:8000/",
        "host",
    ] {
        let mut options = ground.options(coordinator.addr(), &[]);
        options.allowed_outbound_hosts = vec![entry.to_owned()];
        let refused = Spin::start(mcp_reporter_artifacts::REPORTER, options).await;
        assert!(refused.unwrap_err().contains(entry));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_swaps_as_spin_does() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let spin = ground.start(coordinator.addr(), &[]).await;
    let store = spin.store();
    // With nothing there when it looked, it overwrites what came meanwhile.
    let cas = store.compare_and_swap("a").await.unwrap();
    assert_eq!(cas.current().await, Ok(None));
    store.set("a", b"1").await.unwrap();
    assert_eq!(cas.swap(b"2".to_vec()).await, Ok(()));
    // With something there, it does not.
    assert_eq!(cas.current().await, Ok(Some(b"2".to_vec())));
    store.set("a", b"3").await.unwrap();
    assert_eq!(cas.swap(b"4".to_vec()).await, Err(SwapError::CasFailed));
    // Without a look, it asks nobody.
    let blind = store.compare_and_swap("a").await.unwrap();
    assert_eq!(blind.swap(b"5".to_vec()).await, Ok(()));
    let both = ["a", "absent"].map(str::to_owned).to_vec();
    let found = store.get_many(both).await.unwrap();
    assert_eq!(found, [("a".to_owned(), Some(b"5".to_vec()))]);
    assert_eq!(store.increment("n", 2).await, Ok(2));
    assert_eq!(store.increment("n", -3).await, Ok(-1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_increment_of_what_is_no_counter_breaks_sqlite_for_good() {
    let (ground, coordinator) = (Ground::new(Mode::Sqlite).await, coordinator());
    let spin = ground.start(coordinator.addr(), &[]).await;
    let mut client = connected(&spin).await;
    post(&mut client, "start", "i1").await;
    let store = spin.store();
    store.set("text", b"abc").await.unwrap();
    let broken = store.increment("text", 1).await.unwrap_err();
    assert!(matches!(broken, StoreError::Panicked(_)), "{broken:?}");
    assert_eq!(store.get("text").await, Err(broken));
    let (status, _) = client.event(&[], &event("start", "i2")).await.unwrap();
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(spin.counts().trapped >= 1);
}

#[tokio::test]
async fn redis_has_the_faults_of_spins_backend() {
    let (ground, coordinator) = (Ground::new(Mode::Redis).await, coordinator());
    let spin = ground.start(coordinator.addr(), &[]).await;
    let store = spin.store();
    store.set("a", b"1").await.unwrap();
    let cas = store.compare_and_swap("a").await.unwrap();
    assert_eq!(cas.current().await, Ok(Some(b"1".to_vec())));
    // It took, and says that it did not.
    assert_eq!(cas.swap(b"2".to_vec()).await, Err(SwapError::CasFailed));
    assert_eq!(store.get("a").await, Ok(Some(b"2".to_vec())));
    let stale = store.compare_and_swap("a").await.unwrap();
    stale.current().await.unwrap();
    store.set("a", b"3").await.unwrap();
    assert_eq!(stale.swap(b"4".to_vec()).await, Err(SwapError::CasFailed));
    assert_eq!(store.get("a").await, Ok(Some(b"3".to_vec())));
    for keys in [&["a"][..], &["a", "absent"]] {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        assert!(store.get_many(keys).await.is_err());
    }
    let keys = store.list_keys().await.unwrap();
    assert!(keys.contains(&"session:42".to_owned()), "{keys:?}");
    assert_eq!(store.increment("n", 2).await, Ok(2));
}

#[tokio::test]
async fn a_swap_leaves_a_slot_taken_on_either_backend() {
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        let spin = ground.start(coordinator.addr(), &[]).await;
        post(&mut connected(&spin).await, "start", "i1").await;
        mcp_reporter_tests::stored(&coordinator, 1).await;
        // The lease was taken by one.
        assert!(spin.counts().leaked_slots >= 1, "{mode:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_is_timed_without_a_trace() {
    for mode in Mode::ALL {
        let (ground, coordinator) = (Ground::new(mode).await, coordinator());
        let spin = ground.start(coordinator.addr(), &[]).await;
        let keys = async || spin.store().list_keys().await.unwrap();
        let before: BTreeSet<_> = keys().await.into_iter().collect();
        let took = spin.time_of_sets(200, 500, 16).await.unwrap();
        println!("{mode:?}: 200 sets in {took:?}");
        assert!(!took.is_zero());
        assert_eq!(keys().await.into_iter().collect::<BTreeSet<_>>(), before);
    }
}

#[tokio::test]
async fn a_client_of_an_instance_that_is_killed_gets_a_500_or_nothing() {
    let (ground, coordinator) = (Ground::new(Mode::Redis).await, coordinator());
    let spin = ground.start(coordinator.addr(), &[]).await;
    spin.set_mortality(Mortality {
        percent: 100,
        seed: 3,
    });
    let (mut errors, mut closed) = (0, 0);
    for n in 0..200 {
        let mut client = connected(&spin).await;
        match client.event(&[], &event("start", &format!("i{n}"))).await {
            Ok((StatusCode::OK, _)) => {}
            Ok((StatusCode::INTERNAL_SERVER_ERROR, _)) => errors += 1,
            Ok(other) => panic!("{other:?}"),
            Err(_) => closed += 1,
        }
    }
    assert!(errors > 10 && closed > 10, "{errors} {closed}");
    assert!(spin.counts().killed >= errors + closed);
    // Alive again, it works on with what they left.
    spin.set_mortality(Mortality::default());
    let (head, _) = get(spin.address(), "GET", "/api/v2/health").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let store = spin.store();
    assert!(store.get(control::KEY).await.unwrap().is_some());
}
