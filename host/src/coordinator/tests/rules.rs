use super::{
    super::{CoordinatorOptions, InteractionState, Keep, Stats},
    *,
};

const EVENTS: &str = "/api/v2/interactions";
const GOOD: &str = "Authorization: Bearer test-key\r\n";

#[tokio::test]
async fn an_event_is_answered_as_the_real_server_does_and_is_on_show() {
    let coordinator = start();
    let answer = post(&coordinator, START).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.body,
        r#"{"status":"accepted","interaction_id":"int_1_a","queue_position":1}"#
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("date").is_some());

    let receipt = &coordinator.receipts()[0];
    assert_eq!(receipt.body, START);
    assert_eq!(receipt.action.as_deref(), Some("interaction_start"));
    assert_eq!(receipt.interaction_id.as_deref(), Some("int_1_a"));
    assert_eq!(receipt.header("authorization"), Some("Bearer test-key"));
    assert_eq!(receipt.header("content-type"), Some("application/json"));
    assert_eq!(receipt.answered, Some(200));
    assert!(receipt.authorized && receipt.stored);

    let stored = coordinator.stored().unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].body, START);
    assert_eq!(stored[0].mcp_id.as_deref(), Some("m"));
}

#[tokio::test]
async fn receipts_stand_in_the_order_of_receipt() {
    let coordinator = start();
    let mut client = Client::connect(&coordinator).await;
    for i in 0..50 {
        client.send_event(&event("start", &format!("i{i}"))).await;
        client.answer().await;
    }
    let receipts = coordinator.receipts();
    assert_eq!(receipts.len(), 50);
    assert!(receipts.windows(2).all(|pair| pair[0].at <= pair[1].at));
    let ids: Vec<_> = receipts.iter().map(|r| r.interaction_id.clone()).collect();
    let stored: Vec<_> = coordinator
        .stored()
        .unwrap()
        .into_iter()
        .map(|e| Some(e.interaction_id))
        .collect();
    assert_eq!(ids, stored);
    assert_eq!(coordinator.stats().connections, 1);
}

#[tokio::test]
async fn a_bad_key_and_none_are_told_apart() {
    let coordinator = start();
    for (headers, status, body) in [
        (
            "Authorization: Bearer wrong\r\n",
            401,
            r#"{"detail":"Invalid API key"}"#,
        ),
        (
            "Authorization: Bearer test-key2\r\n",
            401,
            r#"{"detail":"Invalid API key"}"#,
        ),
        ("", 403, r#"{"detail":"Not authenticated"}"#),
        (
            "Authorization: Basic test-key\r\n",
            403,
            r#"{"detail":"Not authenticated"}"#,
        ),
        (
            "Authorization: Bearer \r\n",
            403,
            r#"{"detail":"Not authenticated"}"#,
        ),
    ] {
        let answer = request(&coordinator, "POST", EVENTS, headers, START).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (status, body),
            "{headers}"
        );
        assert!(!coordinator.receipts().last().unwrap().authorized);
    }
    assert_eq!(coordinator.receipts().len(), 5);
    assert_eq!(coordinator.stored().unwrap(), []);
    assert_eq!(coordinator.stats().received, 0);
}

#[tokio::test]
async fn any_object_is_taken_and_nothing_else() {
    let coordinator = start();
    for body in ["", "[]", "1", "nope", r#"{"a":NaN}"#, r#"["x","y","z"]"#] {
        assert_eq!(post(&coordinator, body).await.status, 422, "{body}");
    }
    assert_eq!(coordinator.stats().received, 0);
    for (body, id) in [
        (" {}", "null"),
        (r#"{"action":"interaction_start","interaction_id":7}"#, "7"),
        (r#"{"action":"nope","interaction_id":"é\n"}"#, r#""é\n""#),
    ] {
        let answer = post(&coordinator, body).await;
        assert_eq!(
            answer.body,
            format!(r#"{{"status":"accepted","interaction_id":{id},"queue_position":1}}"#)
        );
    }
    assert_eq!(coordinator.stats().failed, 3);
    assert_eq!(coordinator.stored().unwrap(), []);
}

/// `text` with each number in it replaced by `n`.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' | '.' if shape.ends_with('n') => {}
            '0'..='9' => shape.push('n'),
            c => shape.push(c),
        }
    }
    shape
}

#[tokio::test]
async fn health_needs_no_key() {
    let coordinator = start();
    let answer = request(&coordinator, "GET", "/api/v2/health", "", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        shape(&answer.body),
        r#"{"status":"healthy","timestamp":n,"queue_size":n,"processor_running":true}"#
    );
}

#[tokio::test]
async fn stats_need_the_key_and_count() {
    let coordinator = start();
    post(&coordinator, START).await;
    post(&coordinator, "{}").await;
    let path = "/api/v2/interactions/stats";
    let answer = request(&coordinator, "GET", path, GOOD, "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.starts_with(
        r#"{"stats":{"requests_received":2,"requests_processed":1,"requests_failed":1,"queue_size":0},"timestamp":"#
    ));
    assert!(answer.body.ends_with(r#","queue_size":0}"#));
    assert_eq!(request(&coordinator, "GET", path, "", "").await.status, 403);
}

#[tokio::test]
async fn the_real_server_has_no_validate() {
    let coordinator = start();
    for method in ["POST", "GET"] {
        let answer = request(&coordinator, method, "/api/v2/validate", GOOD, "").await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.body, r#"{"detail":"Not Found"}"#);
    }
}

#[tokio::test]
async fn validate_where_there_is_one() {
    let coordinator = start_with(CoordinatorOptions {
        validate: true,
        ..CoordinatorOptions::default()
    });
    for (headers, status) in [
        (GOOD, 200),
        ("", 401),
        ("Authorization: Bearer no\r\n", 401),
    ] {
        let answer = request(&coordinator, "POST", "/api/v2/validate", headers, "").await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods() {
    let coordinator = start();
    for path in ["/", "/api/v2/interactions/", "//api/v2/interactions"] {
        let answer = request(&coordinator, "POST", path, GOOD, START).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(answer.body, r#"{"detail":"Not Found"}"#);
    }
    for (method, path, allowed) in [
        ("GET", EVENTS, "POST"),
        ("POST", "/api/v2/health", "GET"),
        ("DELETE", "/api/v2/interactions/stats", "GET"),
    ] {
        let answer = request(&coordinator, method, path, GOOD, "").await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.body, r#"{"detail":"Method Not Allowed"}"#);
        assert_eq!(answer.header("allow"), Some(allowed));
    }
    assert_eq!(coordinator.receipts().len(), 0);
}

#[tokio::test]
async fn a_repeated_key_is_accepted_and_not_stored_again() {
    let coordinator = start();
    // With the structured field's quotes and without, it is the same key.
    for key in [r#""k-1""#, "k-1", r#""k-1""#] {
        let answer = post_keyed(&coordinator, key, START).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.contains("int_1_a"));
    }
    post_keyed(&coordinator, "k-2", START).await;
    let receipts = coordinator.receipts();
    assert_eq!(receipts[0].idempotency_key.as_deref(), Some(r#""k-1""#));
    let stored: Vec<bool> = receipts.iter().map(|r| r.stored).collect();
    assert_eq!(stored, [true, false, false, true]);
    let keys: Vec<_> = coordinator
        .stored()
        .unwrap()
        .into_iter()
        .map(|e| e.idempotency_key.unwrap())
        .collect();
    assert_eq!(keys, ["k-1", "k-2"]);
    assert_eq!(coordinator.stats().duplicates_ignored, 2);
}

#[tokio::test]
async fn without_a_key_a_repeat_is_stored_again() {
    let coordinator = start();
    post(&coordinator, START).await;
    post(&coordinator, START).await;
    assert_eq!(coordinator.stored().unwrap().len(), 2);
}

#[tokio::test]
async fn what_comes_before_its_start_is_accepted_and_dropped() {
    let dir = tempfile::tempdir().unwrap();
    for db in [None, Some(dir.path().join("events.db"))] {
        let coordinator = start_with(CoordinatorOptions {
            db,
            ..CoordinatorOptions::default()
        });
        for action in ["progress", "complete", "error"] {
            assert_eq!(post(&coordinator, &event(action, "i")).await.status, 200);
        }
        assert_eq!(coordinator.interaction("i").unwrap(), None);
        post(&coordinator, &event("start", "i")).await;
        post(&coordinator, &event("progress", "i")).await;
        assert_eq!(
            coordinator.stats(),
            Stats {
                connections: 5,
                received: 5,
                processed: 2,
                dropped_unknown: 3,
                ..Stats::default()
            }
        );
        assert_eq!(coordinator.stored().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_second_start_resets_the_interaction() {
    let dir = tempfile::tempdir().unwrap();
    for db in [None, Some(dir.path().join("events.db"))] {
        let coordinator = start_with(CoordinatorOptions {
            db,
            ..CoordinatorOptions::default()
        });
        for (action, state) in [
            ("start", InteractionState::Started),
            ("progress", InteractionState::InProgress),
            ("complete", InteractionState::Completed),
            ("start", InteractionState::Started),
            ("error", InteractionState::Failed),
        ] {
            post(&coordinator, &event(action, "i")).await;
            assert_eq!(coordinator.interaction("i").unwrap(), Some(state));
        }
    }
}

#[tokio::test]
async fn a_sink_counts_and_keeps_nothing() {
    let coordinator = start_with(CoordinatorOptions {
        keep: Keep::Counts,
        ..CoordinatorOptions::default()
    });
    for _ in 0..3 {
        post_keyed(&coordinator, "k", START).await;
    }
    assert_eq!(coordinator.stats().processed, 3);
    assert_eq!(coordinator.receipts().len(), 0);
    assert_eq!(coordinator.stored().unwrap(), []);
    // It still checks keys.
    assert_eq!(
        request(&coordinator, "POST", EVENTS, "", START)
            .await
            .status,
        403
    );
}

#[tokio::test]
async fn debug_output_hides_the_key() {
    let options = CoordinatorOptions {
        api_keys: vec![KEY.to_owned()],
        ..CoordinatorOptions::default()
    };
    assert!(!format!("{options:?}").contains(KEY));
    let coordinator = Coordinator::start(options).unwrap();
    post(&coordinator, START).await;
    let receipts = format!("{:?}", coordinator.receipts());
    assert!(receipts.contains("int_1_a") && !receipts.contains(KEY));
}
