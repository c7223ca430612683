use super::*;

const ON: [(&str, &str); 4] = [
    ("enable_interaction_logging", "true"),
    ("mcp_id", "demo"),
    ("coordinator_url", "http://coordinator:8080/"),
    ("coordinator_api_key", "secret-key"),
];

fn on_with(more: &[(&'static str, &'static str)]) -> Result<Settings, Vec<String>> {
    Settings::from_pairs(ON.into_iter().chain(more.iter().copied()))
        .map(|settings| settings.expect("reporting is on"))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn error_of(key: &str, text: &str) -> String {
    check(key, text)
        .expect_err(&format!("{key} = {text:?} must be refused"))
        .to_string()
}

#[test]
fn off_by_default_and_then_nothing_is_required() {
    assert_eq!(Settings::from_pairs([]), Ok(None));
    assert_eq!(
        Settings::from_pairs([("enable_interaction_logging", "false")]),
        Ok(None)
    );
    assert_eq!(
        Settings::from_pairs([("enable_interaction_logging", "0")]),
        Ok(None)
    );
    assert_eq!(
        Settings::from_pairs([("enable_interaction_logging", "")]),
        Ok(None)
    );
    assert_eq!(
        Settings::from_pairs([("mcp_id", "demo"), ("rate_limit", "-1")]),
        Ok(None)
    );
}

#[test]
fn defaults_are_the_documented_ones() {
    let settings = on_with(&[]).unwrap();
    assert_eq!(
        settings,
        Settings {
            mcp_id: "demo".to_owned(),
            endpoint: Endpoint {
                tls: false,
                authority: "coordinator:8080".to_owned(),
                path_prefix: String::new(),
            },
            api_key: ApiKey::new("secret-key").unwrap(),
            max_retries: 3,
            retry_delay: Duration::from_secs(1),
            dead_letter_after: Duration::from_secs(900),
            request_timeout: Duration::from_secs(5),
            rate_limit: 10,
            rate_period: Duration::from_secs(1),
            max_in_flight: 16,
            max_events: 100_000,
            max_bytes: 256 * 1024 * 1024,
            when_full: WhenFull::Reject,
            max_event_bytes: 262_144,
            deliver_on_report: false,
            report_budget: Duration::from_millis(500),
            ingest_keys: IngestKeys::default(),
            edge_budget: Duration::from_secs(20),
            lease_holder: None,
        }
    );
}

#[test]
fn every_setting_is_read() {
    let settings = on_with(&[
        ("max_retries", "7"),
        ("retry_delay", "0.25"),
        ("dead_letter_after", "0"),
        ("request_timeout", "2"),
        ("rate_limit", "0"),
        ("rate_period", "2.5"),
        ("max_in_flight", "1"),
        ("max_events", "12"),
        ("max_bytes", "4096"),
        ("when_full", "drop-oldest"),
        ("max_event_bytes", "2048"),
        ("deliver_on_report", "1"),
        ("report_budget", "0.1"),
        ("lease_holder", "host-1"),
        ("no_such_name", "is ignored"),
    ])
    .unwrap();
    assert_eq!(settings.max_retries, 7);
    assert_eq!(settings.retry_delay, Duration::from_millis(250));
    assert_eq!(settings.dead_letter_after, Duration::ZERO);
    assert_eq!(settings.request_timeout, Duration::from_secs(2));
    assert_eq!(settings.rate_limit, 0);
    assert_eq!(settings.rate_period, Duration::from_millis(2500));
    assert_eq!(settings.max_in_flight, 1);
    assert_eq!(settings.max_events, 12);
    assert_eq!(settings.max_bytes, 4096);
    assert_eq!(settings.when_full, WhenFull::DropOldest);
    assert_eq!(settings.max_event_bytes, 2048);
    assert!(settings.deliver_on_report);
    assert_eq!(settings.report_budget, Duration::from_millis(100));
    assert_eq!(settings.lease_holder.as_deref(), Some("host-1"));
}

#[test]
fn the_last_of_equal_names_counts_and_an_empty_text_is_none() {
    let settings = on_with(&[
        ("rate_limit", "3"),
        ("rate_limit", "4"),
        ("max_retries", ""),
    ])
    .unwrap();
    assert_eq!((settings.rate_limit, settings.max_retries), (4, 3));
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    let errors =
        Settings::from_pairs([("enable_interaction_logging", "true"), ("mcp_id", "")]).unwrap_err();
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "mcp_id is not set: it is required while enable_interaction_logging is true",
            "coordinator_url is not set: it is required while enable_interaction_logging is true",
            "coordinator_api_key is not set: it is required while enable_interaction_logging is true",
        ]
    );
}

#[test]
fn every_bad_text_is_named_in_one_go() {
    let errors = on_with(&[
        ("when_full", "wait"),
        ("rate_limit", "-1"),
        ("lease_holder", "a b"),
    ])
    .unwrap_err();
    assert_eq!(
        errors,
        [
            r#"rate_limit = "-1": must be a whole number from 0 to 10000 (0 lifts the throttle)"#,
            r#"when_full = "wait": must be reject or drop-oldest"#,
            r#"lease_holder = "a b": must be 1 to 128 visible ASCII characters"#,
        ]
    );
}

#[test]
fn an_unreadable_switch_is_an_error_of_its_own() {
    for text in ["yes", "True", "2", " true"] {
        let errors = Settings::from_pairs([("enable_interaction_logging", text)]).unwrap_err();
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [format!(
                r#"enable_interaction_logging = "{text}": must be true or false (or 1 or 0)"#
            )]
        );
    }
}

#[test]
fn bounds_are_those_that_the_messages_name() {
    // key, allowed, smallest, just below it, largest, just above it
    let table = [
        (
            "max_retries",
            "a whole number from 0 to 1000",
            "0",
            "-1",
            "1000",
            "1001",
        ),
        (
            "retry_delay",
            "a number of seconds from 0.001 to 3600",
            "0.001",
            "0",
            "3600",
            "3600.1",
        ),
        (
            "dead_letter_after",
            "a number of seconds from 0 to 31536000",
            "0",
            "-0.1",
            "31536000",
            "31536001",
        ),
        (
            "request_timeout",
            "a number of seconds from 0.1 to 300",
            "0.1",
            "0.0999",
            "300",
            "300.000000001",
        ),
        (
            "rate_limit",
            "a whole number from 0 to 10000 (0 lifts the throttle)",
            "0",
            "-1",
            "10000",
            "10001",
        ),
        (
            "rate_period",
            "a number of seconds from 0.001 to 3600",
            "0.001",
            "0.0",
            "3600.0",
            "3601",
        ),
        (
            "max_in_flight",
            "a whole number from 1 to 256",
            "1",
            "0",
            "256",
            "257",
        ),
        (
            "max_events",
            "a whole number from 1 to 1000000000000",
            "1",
            "0",
            "1000000000000",
            "1000000000001",
        ),
        (
            "max_bytes",
            "a whole number from 1024 to 1000000000000000",
            "1024",
            "1023",
            "1000000000000000",
            "1000000000000001",
        ),
        (
            "max_event_bytes",
            "a whole number from 1024 to 16777216",
            "1024",
            "1023",
            "16777216",
            "16777217",
        ),
        (
            "report_budget",
            "a number of seconds from 0.001 to 60",
            "0.001",
            "0",
            "60",
            "60.5",
        ),
    ];
    for (key, allowed, smallest, below, largest, above) in table {
        for good in [smallest, largest] {
            assert_eq!(check(key, good), Ok(()), "{key} = {good}");
        }
        for bad in [
            below,
            above,
            "",
            " 1",
            "1 ",
            "one",
            "NaN",
            "nan",
            "inf",
            "-inf",
            "+5",
            "0x10",
            "1,5",
            "99999999999999999999999",
        ] {
            assert_eq!(
                error_of(key, bad),
                format!(r#"{key} = "{bad}": must be {allowed}"#)
            );
        }
    }
}

#[test]
fn whole_numbers_have_no_fraction() {
    for text in ["3.0", "1e3", "1_000"] {
        assert_eq!(
            error_of("max_retries", text),
            format!(r#"max_retries = "{text}": must be a whole number from 0 to 1000"#)
        );
    }
}

#[test]
fn seconds_are_read_as_python_writes_them() {
    let table = [
        ("1", 1_000_000_000),
        ("1.0", 1_000_000_000),
        ("1.", 1_000_000_000),
        (".5", 500_000_000),
        ("0.25", 250_000_000),
        ("1e-1", 100_000_000),
        ("1.5e+2", 150_000_000_000),
        ("25E-2", 250_000_000),
        ("0.0010000009", 1_000_000),
        ("0.100000000000000000000000000001", 100_000_000),
        ("00012.5", 12_500_000_000),
    ];
    for (text, ns) in table {
        let pairs = ON.into_iter().chain([("retry_delay", text)]);
        let settings = Settings::from_pairs(pairs).unwrap().unwrap();
        assert_eq!(settings.retry_delay, Duration::from_nanos(ns), "{text}");
    }
    for text in [
        ".", "e1", "1e", "1e999", "1e-300", "1.0.0", "1e1e1", "1.-5", "١", "0e127",
    ] {
        assert_eq!(
            error_of("retry_delay", text),
            format!(r#"retry_delay = "{text}": must be a number of seconds from 0.001 to 3600"#)
        );
    }
}

#[test]
fn urls_are_taken_apart() {
    let table = [
        (
            "http://mcp-coordinator:8080",
            false,
            "mcp-coordinator:8080",
            "",
            "mcp-coordinator",
        ),
        (
            "https://Coordinator.Example/",
            true,
            "coordinator.example",
            "",
            "coordinator.example",
        ),
        (
            "HTTPS://10.0.0.1:65535/a/b//",
            true,
            "10.0.0.1:65535",
            "/a/b",
            "10.0.0.1",
        ),
        ("http://[::1]:1", false, "[::1]:1", "", "::1"),
        (
            "http://[2001:DB8::1]/x",
            false,
            "[2001:db8::1]",
            "/x",
            "2001:db8::1",
        ),
        (
            "http://a_b.example./%20x",
            false,
            "a_b.example.",
            "/%20x",
            "a_b.example.",
        ),
        (
            "http://xn--bcher-kva.example",
            false,
            "xn--bcher-kva.example",
            "",
            "xn--bcher-kva.example",
        ),
    ];
    for (url, tls, authority, prefix, host) in table {
        let endpoint = Endpoint::parse(url).unwrap();
        assert_eq!(endpoint.tls, tls, "{url}");
        assert_eq!(endpoint.authority, authority, "{url}");
        assert_eq!(endpoint.path_prefix, prefix, "{url}");
        assert_eq!(endpoint.host(), host, "{url}");
        assert_eq!(
            endpoint.path("/api/v2/health"),
            format!("{prefix}/api/v2/health"),
            "{url}"
        );
    }
}

#[test]
fn bad_urls_are_refused() {
    let bad = [
        "coordinator",
        "coordinator:8080",
        "//coordinator",
        "ftp://coordinator",
        "http:/coordinator",
        "http://",
        "http:///path",
        "http://:8080",
        "http://h:",
        "http://h:0",
        "http://h:080",
        "http://h:65536",
        "http://h:+80",
        "http://h:8o",
        "http://h:80:80",
        "http://a..b",
        "http://.a",
        "http://300.1.1.1",
        "http://10.1",
        "http://1.2.3.4.5",
        "http://[::1",
        "http://[::g]",
        "http://[]",
        "http://[fe80::1%eth0]",
        "http://[::1]x",
        "http://::1",
        "http://h h",
        " http://h",
        "http://h ",
        "http://h/a b",
        "http://h/%2",
        "http://h/\\x",
        "http://bücher.example",
        "http://h/ü",
    ];
    let allowed = "an http:// or https:// URL with a host, optionally a port (1 to 65535) and a path, without query, fragment, spaces or non-ASCII";
    for url in bad {
        assert_eq!(
            error_of("coordinator_url", url),
            format!(r#"coordinator_url = "{url}": must be {allowed}"#)
        );
    }
    // Line breaks and terminal codes reach no terminal.
    assert_eq!(
        error_of("coordinator_url", "http://h\r\nX: y\u{1b}[2J"),
        format!(r#"coordinator_url = "http://h\r\nX: y\u{{1b}}[2J": must be {allowed}"#)
    );
    // A query may carry a token.
    assert_eq!(
        error_of("coordinator_url", "http://h/?token=hush"),
        format!(r#"coordinator_url = "http://h/?": must be {allowed}"#)
    );
    assert_eq!(
        error_of("coordinator_url", "http://h/#hush"),
        format!(r#"coordinator_url = "http://h/#": must be {allowed}"#)
    );
}

#[test]
fn credentials_in_a_url_are_refused_and_not_shown() {
    for url in [
        "http://user:hush@h",
        "http://hush@h:80/x",
        "https://user:hu/sh@h",
        "user:hush@h",
        "http://user:hush%40h",
    ] {
        assert_eq!(
            error_of("coordinator_url", url),
            "coordinator_url = \"***\": must be a URL without user name, password or `@`: the key belongs in coordinator_api_key"
        );
    }
}

#[test]
fn a_bad_api_key_is_refused_and_not_shown() {
    let long = "k".repeat(4097);
    for text in [
        "",
        "hush\n",
        "hu\r\nsh",
        "hush\0",
        "hüsh",
        " hush",
        "hush ",
        "hu\tsh",
        long.as_str(),
    ] {
        let error = ApiKey::new(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "coordinator_api_key = \"***\": must be 1 to 4096 printable ASCII characters on one line, without a space at either end"
        );
        assert!(!format!("{error:?}").contains("sh"));
    }
    assert_eq!(ApiKey::new("hu sh").unwrap().expose(), "hu sh");
    assert_eq!(ApiKey::new(&long[1..]).unwrap().expose().len(), 4096);
}

#[test]
fn settings_do_not_show_the_api_key() {
    let settings = on_with(&[]).unwrap();
    let shown = format!("{settings:?}");
    assert!(
        shown.contains("api_key: ***") && !shown.contains("secret-key"),
        "{shown}"
    );
}

#[test]
fn an_id_is_bounded_and_has_no_control_characters() {
    let long = "é".repeat(129);
    assert_eq!(check("mcp_id", "Überwachung №1"), Ok(()));
    assert_eq!(check("mcp_id", &long[2..]), Ok(()));
    assert_eq!(
        error_of("mcp_id", "a\nb"),
        r#"mcp_id = "a\nb": must be 1 to 256 bytes of text without control characters"#
    );
    assert_eq!(
        error_of("mcp_id", &long),
        format!(
            "mcp_id = \"{}…\": must be 1 to 256 bytes of text without control characters",
            "é".repeat(100)
        )
    );
}

#[test]
fn every_default_is_allowed_and_every_key_is_described() {
    for key in &KEYS {
        if let Some(default) = key.default {
            assert_eq!(check(key.name, default), Ok(()), "{}", key.name);
        }
        assert!(
            !key.allowed.is_empty() && key.doc.ends_with('.'),
            "{}",
            key.name
        );
    }
    let described = KEYS.iter().map(|key| key.name);
    assert!(described.chain(["lease_holder"]).eq(names()));
    assert_eq!(check("no_such_name", "anything"), Ok(()));
}
