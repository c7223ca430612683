//! Reports that are refused, each with the text that says why; what was
//! accepted before stays.

use mcp_reporter::{Action, Outcome, Report, ReportError, Reporter};
use mcp_reporter_tests::{KEY, Place, builder, with};

/// A reporter that delivers nothing, with one good event in its outbox.
async fn with_one_event(place: &Place) -> Reporter {
    let reporter = builder(&place.fast("http://127.0.0.1:1"))
        .without_timer()
        .build()
        .await
        .unwrap();
    reporter.report_start("good", "{}").await.unwrap();
    reporter
}

async fn refused(reporter: &Reporter, id: &str, data: &str) -> String {
    let shown: String = data.chars().take(60).collect();
    let text = match reporter.report_start(id, data).await {
        Err(ReportError::InvalidInput(text)) => text,
        other => panic!("{id:?} {shown}: {other:?}"),
    };
    assert_eq!(reporter.status().await.unwrap().waiting, 1, "{shown}");
    text
}

#[tokio::test]
async fn a_payload_that_is_not_one_json_object_is_refused_with_what_is_wrong() {
    let place = Place::new();
    let reporter = with_one_event(&place).await;
    let no_object = "data is not a JSON object: it must start with `{`";
    let deep_arrays = format!(r#"{{"a":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let deep_objects = format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    let too_deep = "data is nested more than 128 levels deep";
    for (data, text) in [
        ("", no_object),
        ("  ", no_object),
        ("null", no_object),
        ("[1]", no_object),
        ("\"{}\"", no_object),
        ("17", no_object),
        ("hello", no_object),
        (
            "{",
            "data is not JSON: expected a key in double quotes at byte 1",
        ),
        (
            "{'a':1}",
            "data is not JSON: expected a key in double quotes at byte 1",
        ),
        (
            r#"{"a":1,}"#,
            "data is not JSON: expected a key in double quotes at byte 7",
        ),
        (r#"{"a" 1}"#, "data is not JSON: expected `:` at byte 5"),
        (r#"{"a":}"#, "data is not JSON: expected a value at byte 5"),
        (
            r#"{"a":tru}"#,
            "data is not JSON: expected a value at byte 5",
        ),
        (
            r#"{"a":1"#,
            "data is not JSON: expected `,` or `}` at byte 6",
        ),
        (
            r#"{"a":[1"#,
            "data is not JSON: expected `,` or `]` at byte 7",
        ),
        (
            r#"{"a":"b"#,
            "data is not JSON: expected the closing `\"` of a string at byte 7",
        ),
        (
            r#"{"a":01}"#,
            "data is not JSON: expected a number without leading zeros at byte 5",
        ),
        (
            r#"{"a":1.}"#,
            "data is not JSON: expected a digit at byte 7",
        ),
        (
            r#"{} {}"#,
            "data is not JSON: expected the end of the text at byte 3",
        ),
        (
            "{\"a\":\"b\nc\"}",
            "data is not JSON: expected an escape instead of the bare control character at byte 7",
        ),
        (
            r#"{"a":"\x41"}"#,
            r#"data is not JSON: expected one of `"\/bfnrtu` after the backslash at byte 7"#,
        ),
        (
            r#"{"a":NaN}"#,
            "data holds NaN or Infinity at byte 5, which JSON does not have (use null or a string)",
        ),
        (
            r#"{"a":Infinity}"#,
            "data holds NaN or Infinity at byte 5, which JSON does not have (use null or a string)",
        ),
        (
            r#"{"a":-Infinity}"#,
            "data holds NaN or Infinity at byte 5, which JSON does not have (use null or a string)",
        ),
        (
            r#"{"a":1e400}"#,
            "data holds a number at byte 5 that is too large for a double (at most about 1.8e308)",
        ),
        (
            r#"{"a":-1.8e308}"#,
            "data holds a number at byte 5 that is too large for a double (at most about 1.8e308)",
        ),
        (
            r#"{"a":"\ud800"}"#,
            "data holds a lone surrogate escape at byte 6, which is no character",
        ),
        (
            r#"{"a":"\udc00\ud800"}"#,
            "data holds a lone surrogate escape at byte 6, which is no character",
        ),
        (
            r#"{"\ud83dx":1}"#,
            "data holds a lone surrogate escape at byte 2, which is no character",
        ),
        (
            r#"{"a":1,"a":2}"#,
            "data holds an object that names the same key twice, the second time at byte 7",
        ),
        (
            r#"{"a":1,"\u0061":2}"#,
            "data holds an object that names the same key twice, the second time at byte 7",
        ),
        (
            r#"{"x":[{"a":1,"b":2,"a":3}]}"#,
            "data holds an object that names the same key twice, the second time at byte 19",
        ),
        (
            "\u{feff}{}",
            "data begins with a byte-order mark (remove it: JSON text starts with `{`)",
        ),
        (&deep_arrays, too_deep),
        (&deep_objects, too_deep),
    ] {
        assert_eq!(refused(&reporter, "i", data).await, text, "{data:.60}");
    }
}

#[tokio::test]
async fn an_event_over_max_event_bytes_is_refused_and_the_limit_can_be_set() {
    let place = Place::new();
    let reporter = with_one_event(&place).await;
    let mebibyte = format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20));
    let text = refused(&reporter, "i", &mebibyte).await;
    assert_eq!(
        text,
        "the event has 1048584 bytes, more than max_event_bytes = 262144"
    );
    // The body counts, not only the payload.
    let nearly = format!(r#"{{"a":"{}"}}"#, "x".repeat(262_144 - 8));
    let text = refused(&reporter, "i", &nearly).await;
    assert!(
        text.ends_with("more than max_event_bytes = 262144"),
        "{text}"
    );
    drop(reporter);

    let more = [("max_event_bytes", "2097152")];
    let settings = with(place.fast("http://127.0.0.1:1"), &more);
    let reporter = builder(&settings).without_timer().build().await.unwrap();
    assert_eq!(
        reporter.report_start("i", mebibyte).await,
        Ok(Outcome::Queued)
    );
    assert_eq!(reporter.status().await.unwrap().waiting, 2);
}

#[tokio::test]
async fn a_malformed_id_or_header_is_refused_by_its_name() {
    let place = Place::new();
    let reporter = with_one_event(&place).await;
    let rule = "it must have 1 to 256 bytes and no control characters";
    let long = "é".repeat(129);
    for (id, problem) in [
        ("", "is empty"),
        (&long, "is too long"),
        ("a\0b", "holds a control character"),
        ("a\n", "holds a control character"),
        ("\u{7f}", "holds a control character"),
        ("a\u{85}", "holds a control character"),
    ] {
        let text = refused(&reporter, id, "{}").await;
        assert_eq!(text, format!("interaction_id {problem}: {rule}"), "{id:?}");
    }

    let rule = "must have 1 to 255 visible ASCII characters other than `\"` and `\\`";
    let report = Report::new(Action::Start, "i", "{}");
    let reports = vec![
        Report {
            mcp_id: Some(String::new()),
            ..report.clone()
        },
        Report {
            idempotency_key: Some("two words".to_owned()),
            ..report.clone()
        },
        Report {
            traceparent: Some("é".to_owned()),
            ..report.clone()
        },
        Report {
            idempotency_key: Some("a\r\nb: c".to_owned()),
            ..report.clone()
        },
        report,
    ];
    let results = reporter.report_many(reports).await;
    let texts: Vec<_> = results
        .iter()
        .map(|r| r.as_ref().err().map(ToString::to_string))
        .collect();
    let malformed = |name: &str| Some(format!("{name} is malformed: it {rule}"));
    let mcp_id = "mcp_id is empty: it must have 1 to 256 bytes and no control characters";
    assert_eq!(
        texts,
        [
            Some(mcp_id.to_owned()),
            malformed("idempotency_key"),
            malformed("traceparent"),
            malformed("idempotency_key"),
            None // a malformed one does not hinder the others
        ]
    );
    assert_eq!(reporter.status().await.unwrap().waiting, 2);
}

#[tokio::test]
async fn a_full_outbox_refuses_new_interactions_and_keeps_room_for_ends() {
    let place = Place::new();
    let settings = with(place.fast("http://127.0.0.1:1"), &[("max_events", "20")]);
    let reporter = builder(&settings).without_timer().build().await.unwrap();
    for n in 0..19 {
        reporter.report_start(format!("i{n}"), "{}").await.unwrap();
    }
    let Err(ReportError::OutboxFull(text)) = reporter.report_start("late", "{}").await else {
        panic!("it took more than max_events");
    };
    assert!(
        text.starts_with("the outbox is full: 19 events and "),
        "{text}"
    );
    assert!(
        text.contains("at most max_events = 20 and max_bytes = 268435456"),
        "{text}"
    );
    let refused = reporter
        .report_complete("late", "{}")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("so all of it is refused"), "{refused}");
    assert_eq!(
        reporter.report_complete("i0", "{}").await,
        Ok(Outcome::Queued)
    );
    assert_eq!(reporter.status().await.unwrap().waiting, 20);
}

#[tokio::test]
async fn a_wrong_setting_is_refused_by_name_value_and_what_is_allowed() {
    let place = Place::new();
    drop(with_one_event(&place).await);
    let good = place.fast("http://127.0.0.1:1");
    for (key, value, said) in [
        (
            "rate_limits",
            "10",
            "rate_limits is not a setting; did you mean rate_limit?",
        ),
        (
            "rate_limit",
            "NaN",
            "must be a whole number from 0 to 10000",
        ),
        ("rate_limit", "-1", "must be a whole number from 0 to 10000"),
        (
            "rate_period",
            "0",
            "must be a number of seconds from 0.001 to 3600",
        ),
        (
            "request_timeout",
            "inf",
            "must be a number of seconds from 0.1 to 300",
        ),
        (
            "retry_delay",
            "-0.5",
            "must be a number of seconds from 0.001 to 3600",
        ),
        ("max_in_flight", "0", "must be a whole number from 1 to 256"),
        (
            "enable_interaction_logging",
            "maybe",
            "must be true or false",
        ),
        (
            "coordinator_url",
            "ftp://host",
            "must be an http:// or https:// URL",
        ),
        (
            "coordinator_url",
            "localhost:8080",
            "must be an http:// or https:// URL",
        ),
        (
            "coordinator_url",
            "http://u:p@host",
            "must be a URL without user name, password or `@`",
        ),
        (
            "mcp_id",
            "a\nb",
            "must be 1 to 256 bytes of text without control characters",
        ),
        ("store", "postgres", "must be sqlite, memory or redis://"),
        ("durability", "hope", "must be process or power"),
    ] {
        let settings = with(good.clone(), &[(key, value)]);
        let text = builder(&settings).build().await.unwrap_err().to_string();
        assert!(text.contains(said), "{key} = {value}: {text}");
        assert!(text.starts_with(key), "{key} = {value}: {text}");
        assert!(!text.contains("u:p"), "a password is shown: {text}");
    }
    let bad_key = format!("{KEY}\n");
    let settings = with(good.clone(), &[("coordinator_api_key", &bad_key)]);
    let text = builder(&settings).build().await.unwrap_err().to_string();
    assert!(
        text.starts_with("coordinator_api_key = \"***\": must be"),
        "{text}"
    );

    let missing = good.iter().filter(|(key, _)| key != "coordinator_api_key");
    let missing: Vec<_> = missing.cloned().collect();
    let text = builder(&missing).build().await.unwrap_err().to_string();
    assert!(
        text.starts_with("coordinator_api_key is not set: it is required while"),
        "{text}"
    );

    let reporter = builder(&good).without_timer().build().await.unwrap();
    assert_eq!(reporter.status().await.unwrap().waiting, 1);
}
