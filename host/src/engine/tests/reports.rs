//! Reports and their delivery, through the component.

use super::*;
use crate::engine::{EngineError, Failure, Outcome};

#[tokio::test]
async fn a_report_is_queued_then_delivered_as_the_coordinator_expects_it() {
    let peer = Peer::agreeable().await;
    let mut instance = plain(&peer.url(), &[]).await;
    let outcome = instance
        .report(Action::Start, "int_1", r#"{"a": 1.0}"#)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(outcome, Outcome::Queued);
    assert_eq!(instance.status().await.unwrap().unwrap().waiting, 1);
    assert!(peer.requests().is_empty());

    let delivery = soon(instance.deliver(5_000)).await.unwrap().unwrap();
    assert_eq!((delivery.delivered, delivery.waiting), (1, 0));
    let requests = peer.requests();
    let request = &requests[0];
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "/api/v2/interactions");
    assert_eq!(request.headers()["authorization"], "Bearer secret-key");
    assert_eq!(request.headers()["content-type"], "application/json");
    assert_eq!(
        request.headers()["content-length"],
        request.body().len().to_string()
    );
    assert!(
        request.headers()["idempotency-key"]
            .to_str()
            .unwrap()
            .starts_with('"')
    );
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    let head =
        r#"{"action":"interaction_start","interaction_id":"int_1","mcp_id":"test","timestamp":"#;
    assert!(body.starts_with(head), "{body}");
    assert!(body.ends_with(r#""request_data":{"a": 1.0}}"#), "{body}");
}

#[tokio::test]
async fn a_malformed_report_of_a_batch_does_not_hinder_the_others() {
    let mut instance = plain("http://127.0.0.1:9", &[]).await;
    let batch = [
        start("int_1", "{}"),
        start("int_2", "[]"),
        start("int_3", "{}"),
    ];
    let results = instance.report_many(&batch).await.unwrap();
    assert!(matches!(results[0], Ok(Outcome::Queued)));
    assert!(matches!(results[1], Err(Failure::InvalidInput(_))));
    assert!(matches!(results[2], Ok(Outcome::Queued)));
}

#[tokio::test]
async fn switched_off_it_touches_neither_store_nor_network() {
    let peer = Peer::agreeable().await;
    let store = Arc::new(MemoryStore::new());
    let options = EngineOptions::default();
    let off = [("enable_interaction_logging", "false")];
    let mut instance = instance(&options, store.clone(), &peer.url(), &off).await;
    let outcome = instance
        .report(Action::Start, "int_1", "{}")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(outcome, Outcome::Disabled);
    soon(instance.deliver(1_000)).await.unwrap().unwrap();
    assert!(store.list_keys().await.unwrap().is_empty());
    assert_eq!(peer.connections(), 0);
}

#[tokio::test]
async fn a_bad_setting_is_named_in_the_failure() {
    let mut instance = plain("http://127.0.0.1:9", &[("max_retries", "many")]).await;
    let failure = instance
        .report(Action::Start, "int_1", "{}")
        .await
        .unwrap()
        .unwrap_err();
    let Failure::NotConfigured(text) = failure else {
        panic!("{failure:?}")
    };
    assert!(text.contains("max_retries"), "{text}");
}

#[tokio::test]
async fn ids_are_of_the_old_clients_form() {
    let mut instance = plain("http://127.0.0.1:9", &[]).await;
    let id = instance.new_interaction_id().await.unwrap();
    let parts: Vec<&str> = id.split('_').collect();
    assert!(
        parts[0] == "int" && parts[1].parse::<u64>().is_ok() && parts[2].len() == 8,
        "{id}"
    );
}

#[tokio::test]
async fn a_call_given_up_half_way_poisons_the_instance() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut instance = plain(&url, &[]).await;
    tokio::select! {
        _ = instance.check_connection() => panic!("nobody answers"),
        connection = listener.accept() => drop(connection),
    }
    assert!(instance.is_poisoned());
    let error = instance.new_interaction_id().await.unwrap_err();
    assert!(matches!(error, EngineError::Poisoned));
}

#[tokio::test]
async fn a_long_life_leaks_no_handles() {
    // More requests than an instance may hold resources.
    const EVENTS: usize = 21_000;
    let peer = Peer::agreeable().await;
    let mut instance = plain(&peer.url(), &[]).await;
    for batch in 0..EVENTS / 100 {
        let batch: Vec<_> = (0..100)
            .map(|i| start(format!("int_{batch}_{i}"), "{}"))
            .collect();
        let results = instance.report_many(&batch).await.unwrap();
        assert!(results.iter().all(Result::is_ok));
    }
    let mut delivered = 0;
    while delivered < EVENTS {
        delivered += soon(instance.deliver(5_000))
            .await
            .unwrap()
            .unwrap()
            .delivered as usize;
    }
    // Each takes the lease and gives it back, by compare-and-swap.
    for _ in 0..21_000 {
        instance.redrive(&[]).await.unwrap().unwrap();
    }
    assert_eq!(peer.requests().len(), EVENTS);
}
