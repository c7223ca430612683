use super::*;

const BASE: [(&str, &str); 4] = [
    ("enable_interaction_logging", "true"),
    ("mcp_id", "demo"),
    ("coordinator_url", "http://127.0.0.1:9"),
    ("coordinator_api_key", "hush"),
];

fn code(more: &[(&str, &str)]) -> Result<Config, String> {
    let pairs = BASE.iter().chain(more).copied();
    Config::from_pairs(pairs).map_err(|error| error.to_string())
}

#[test]
fn a_program_may_configure_in_code() {
    let config = code(&[
        ("store", "memory"),
        ("rate_limit", "0"),
        ("local_cache_path", "a/b.db"),
    ])
    .unwrap();
    assert_eq!(config.store(), StoreKind::Memory);
    assert_eq!(
        config.settings().map(|settings| settings.rate_limit),
        Some(0)
    );
    assert_eq!(config.local_cache_path(), Path::new("a/b.db"));
    assert_eq!(
        shown(&config, "rate_limit"),
        (Some("0".to_owned()), "set by the program".to_owned())
    );
    let pairs: Vec<_> = config.pairs().collect();
    assert_eq!(
        pairs,
        [
            ("mcp_id", "demo"),
            ("enable_interaction_logging", "true"),
            ("coordinator_url", "http://127.0.0.1:9"),
            ("coordinator_api_key", "hush"),
            ("rate_limit", "0"),
        ]
    );
    assert!(!Config::from_pairs([("", ""); 0]).unwrap().enabled());
}

#[test]
fn the_same_checks_hold_in_code() {
    assert_eq!(
        code(&[("max_events", "0")]).unwrap_err(),
        "max_events = \"0\": must be a whole number from 1 to 1000000000000 (set by the program)"
    );
    let error = code(&[("max_event", "1")]).unwrap_err();
    assert!(
        error.starts_with(
            "max_event is not a setting; did you mean max_events? Allowed are: mcp_id, "
        ),
        "{error}"
    );
}

#[test]
fn host_keys_have_their_defaults() {
    let config = code(&[]).unwrap();
    assert_eq!(config.store(), StoreKind::Sqlite);
    assert_eq!(config.durability(), Durability::Process);
    assert_eq!(config.log_level(), LogLevel::Info);
    assert_eq!(config.log_format(), LogFormat::Text);
    assert_eq!(config.log_file(), None);
    assert_eq!(config.ca_file(), None);
    assert_eq!(config.metrics_listen(), None);
    assert_eq!(config.shards(), 1);
}

#[test]
fn host_keys_are_read() {
    let config = code(&[
        ("durability", "power"),
        ("log_format", "json"),
        ("log_file", "x.log"),
        ("ca_file", "ca.pem"),
    ])
    .unwrap();
    assert_eq!(config.durability(), Durability::Power);
    assert_eq!(config.log_format(), LogFormat::Json);
    assert_eq!(config.log_file(), Some(Path::new("x.log")));
    assert_eq!(config.ca_file(), Some(Path::new("ca.pem")));
}

#[test]
fn metrics_are_for_this_machine_unless_one_says_otherwise() {
    for (text, address, warned) in [
        ("9464", "127.0.0.1:9464", false),
        ("0", "127.0.0.1:0", false),
        ("[::1]:9464", "[::1]:9464", false),
        ("0.0.0.0:9464", "0.0.0.0:9464", true),
    ] {
        let config = code(&[("metrics_listen", text)]).unwrap();
        assert_eq!(config.metrics_listen(), Some(address.parse().unwrap()));
        let warnings = config.warnings();
        let warning = warnings
            .iter()
            .find(|w| w.contains(&format!("metrics_listen = \"{address}\"")));
        assert_eq!(warning.is_some(), warned, "{warnings:?}");
    }
}

#[test]
fn each_shard_has_a_part_of_the_rate() {
    for (shards, limit) in [("10", "10"), ("64", "64"), ("64", "0"), ("2", "10")] {
        let config = code(&[("shards", shards), ("rate_limit", limit)]).unwrap();
        assert_eq!(config.shards().to_string(), shards);
        let pairs = config.pairs().map(|(key, _)| key);
        assert_eq!(pairs.filter(|key| *key == "shards").count(), 0);
    }
    // One shard needs no rate of its own, so that nothing changes for who has none.
    code(&[("shards", "1"), ("rate_limit", "1")]).unwrap();
    let error = code(&[("shards", "11")]).unwrap_err();
    assert_eq!(
        error,
        "shards = 11: must be at most rate_limit = 10, so that each shard may send: lower it, or raise rate_limit (set by the program)"
    );
    let error = code(&[("shards", "2"), ("deliver_on_report", "true")]).unwrap_err();
    assert_eq!(
        error,
        "shards = 2: must be 1 with deliver_on_report = true: set that to false (set by the program)"
    );
    for text in ["0", "65", "+2", "2.0", "two", "-1", "18446744073709551618"] {
        let error = code(&[("shards", text)]).unwrap_err();
        assert_eq!(
            error,
            format!(
                "shards = \"{text}\": must be a whole number from 1 to 64, at most rate_limit unless that is 0, and the same for all who use the outbox (set by the program)"
            )
        );
    }
}

#[test]
fn log_levels_may_have_pythons_names() {
    let table = [
        ("error", LogLevel::Error),
        ("CRITICAL", LogLevel::Error),
        ("ERROR", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("WARNING", LogLevel::Warn),
        ("INFO", LogLevel::Info),
        ("DEBUG", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    for (text, level) in table {
        assert_eq!(
            code(&[("log_level", text)]).unwrap().log_level(),
            level,
            "{text}"
        );
    }
    assert!(LogLevel::Error < LogLevel::Trace);
}

#[test]
fn bad_host_values_are_named() {
    let table = [
        (
            "durability",
            "none",
            "durability = \"none\": must be process or power",
        ),
        (
            "log_level",
            "loud",
            "log_level = \"loud\": must be error, warn, info, debug or trace",
        ),
        (
            "log_format",
            "xml\u{1b}[0m",
            "log_format = \"xml\\u{1b}[0m\": must be text or json",
        ),
        (
            "metrics_listen",
            "localhost:9464",
            "metrics_listen = \"localhost:9464\": must be a port, of 127.0.0.1, or an IP address and port such as 127.0.0.1:9464",
        ),
        ("ca_file", "a\0b", "ca_file = \"a\\u{0}b\": must be a path"),
        (
            "local_cache_path",
            "\0",
            "local_cache_path = \"\\u{0}\": must be a path",
        ),
        (
            "coordinator_url",
            "http://user:hush@h",
            "coordinator_url = \"***\": must be a URL without user name, password or `@`: the key belongs in coordinator_api_key",
        ),
        (
            "coordinator_api_key",
            "hush\n",
            "coordinator_api_key = \"***\": must be 1 to 4096 printable ASCII characters on one line, without a space at either end",
        ),
    ];
    for (key, text, message) in table {
        assert_eq!(
            code(&[(key, text)]).unwrap_err(),
            format!("{message} (set by the program)")
        );
    }
}

#[test]
fn a_store_that_cannot_be_is_told_without_its_password() {
    let allowed = "must be sqlite, memory or redis://[[user]:password@]host[:port][/database][?prefix=text], likewise rediss:// (TLS), or redis+unix:///path";
    let table = [
        ("postgres", "postgres", ""),
        ("", "", ""),
        ("postgres://me:hush@h/0", "postgres:…", ""),
        ("me:hush@h", "me:…", ""),
        ("hush@h", "***", ""),
        ("hush@h:1", "***", ""),
        (
            "redis://user:hush@h/x",
            "redis:…",
            " (its database is not a whole number from 0)",
        ),
        (
            "redis://h?pass=hush",
            "redis:…",
            " (after ? it may have prefix only)",
        ),
        (
            "rediss://hu/sh:hush@h",
            "rediss:…",
            " (its database is not a whole number from 0)",
        ),
    ];
    for (text, shown, wrong) in table {
        assert_eq!(
            code(&[("store", text)]).unwrap_err(),
            format!("store = \"{shown}\": {allowed}{wrong} (set by the program)")
        );
    }
}

#[test]
fn a_redis_store_is_read_and_its_password_not_shown() {
    let config = code(&[("store", "redis://me:hu%73h@h/2")]).unwrap();
    assert_eq!(config.store(), StoreKind::Redis);
    let text = "redis://me:***@h:6379/2";
    assert_eq!(config.redis().unwrap().to_string(), text);
    assert_eq!(shown(&config, "store").0.as_deref(), Some(text));
    let debug = format!("{config:?}");
    assert!(!debug.contains("hu%73h"), "{debug}");
    // The API key of these tests is "hush" too, and not there either.
    assert!(!debug.contains("hush"), "{debug}");
}

#[test]
fn the_old_clients_cache_is_looked_for_where_it_may_be() {
    let redis = ("store", "redis://h");
    let path = ("local_cache_path", "old.db");
    let looked_for = |more: &[(&str, &str)]| code(more).unwrap().legacy_cache().map(Path::to_owned);
    assert_eq!(looked_for(&[path]), Some("old.db".into()));
    assert_eq!(looked_for(&[redis, path]), Some("old.db".into()));
    assert_eq!(looked_for(&[redis]), None);
    assert_eq!(looked_for(&[("store", "memory"), path]), None);
}

#[test]
fn plain_http_over_a_public_network_is_warned_of() {
    let table = [
        ("http://coordinator.example", true),
        ("http://8.8.8.8:80", true),
        ("http://172.32.0.1", true),
        ("http://[2001:4860::1]", true),
        ("http://[::ffff:8.8.8.8]", true),
        ("http://evil.localhost.example", true),
        ("https://coordinator.example", false),
        ("https://8.8.8.8", false),
        ("http://localhost:8080", false),
        ("http://a.localhost", false),
        ("http://mcp-coordinator:8080", false),
        ("http://coordinator.internal", false),
        ("http://coordinator.svc.cluster.local.", false),
        ("http://127.0.0.2", false),
        ("http://10.1.2.3", false),
        ("http://172.16.0.1", false),
        ("http://192.168.1.1", false),
        ("http://169.254.1.1", false),
        ("http://100.64.0.1", false),
        ("http://[::1]:8080", false),
        ("http://[fd00::1]", false),
        ("http://[fe80::1]", false),
        ("http://[::ffff:10.0.0.1]", false),
    ];
    for (url, warns) in table {
        let config = code(&[("coordinator_url", url)]).unwrap();
        assert_eq!(!config.warnings().is_empty(), warns, "{url}");
    }
    let config = code(&[("coordinator_url", "http://Coordinator.example:80/x/")]).unwrap();
    assert_eq!(
        config.warnings(),
        [
            "coordinator_url = \"http://coordinator.example:80\": the API key and all events cross the network unencrypted; use https://"
        ]
    );
}
