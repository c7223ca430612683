use super::*;

/// The old client's own example.
const OLD: &str = r#"[mcp]
mcp_id = "your_mcp_001"
name = "Your MCP"
version = "1.0.0"

[interaction_logging]
enable_interaction_logging = false
coordinator_url = "http://mcp-coordinator:8080"
coordinator_api_key = "your_api_key_here"
max_retries = 3
retry_delay = 1.0
local_cache_path = "./data/interaction_cache.db"
"#;

#[test]
fn the_old_clients_file_works_as_it_is() {
    let config = Place::with_file(OLD).load();
    assert!(!config.enabled());
    assert_eq!(config.mcp_id(), Some("your_mcp_001"));

    let place = Place::with_file(&OLD.replace("= false", "= true"));
    let config = place.load();
    let settings = config.settings().unwrap();
    assert_eq!(settings.mcp_id, "your_mcp_001");
    assert_eq!(settings.endpoint.authority, "mcp-coordinator:8080");
    assert_eq!(settings.api_key.expose(), "your_api_key_here");
    assert_eq!(
        config.local_cache_path(),
        place.path("work/data/interaction_cache.db")
    );
    assert_eq!(config.warnings(), [""; 0]);
}

#[test]
fn tables_of_the_program_beside_ours_are_ignored() {
    let config = Place::with_file(&format!(
        "title = 'x'\n[server]\nrate_limit = -1\n[tool.mcp]\nmcp_id = 5\n{}name = 7\nrate_limit = 'x'\n{}",
        "[mcp]\nmcp_id = 'demo'\n",
        "[interaction_logging]\nrate_limit = 20\n[interaction_logging_2]\nx = 1\n[[plugins]]\ny = 1\n"
    ))
    .load();
    assert_eq!(config.mcp_id(), Some("demo"));
    assert_eq!(shown(&config, "rate_limit").0.as_deref(), Some("20"));
}

#[test]
fn no_file_at_all_is_reporting_off() {
    let place = Place::new();
    let config = place.load();
    assert!(!config.enabled());
    assert_eq!(config.file(), None);
    assert_eq!(config.pairs().count(), 0);
    assert_eq!(
        config.local_cache_path(),
        place.path("state/mcp-reporter/outbox.db")
    );
}

#[test]
fn the_file_is_looked_for_in_four_places() {
    let id = |place: &Place| place.load().mcp_id().map(str::to_owned).unwrap_or_default();
    let place = Place::new();
    let user = place.write("config/mcp-reporter/config.toml", "[mcp]\nmcp_id = 'user'");
    assert_eq!(id(&place), "user");
    assert_eq!(place.load().file(), Some(&*user));
    place.write("work/mcp_config.toml", "[mcp]\nmcp_id = 'folder'");
    assert_eq!(id(&place), "folder");
    place.write("work/sub/env.toml", "[mcp]\nmcp_id = 'environment'");
    let mut place = place.env("MCP_REPORTER_CONFIG", "sub/env.toml");
    assert_eq!(id(&place), "environment");
    let flag = place.write("flag.toml", "[mcp]\nmcp_id = 'flag'");
    place.sources.file = Some(flag.clone());
    assert_eq!(id(&place), "flag");
    assert_eq!(
        shown(&place.load(), "mcp_id").1,
        format!("{}:2", flag.display())
    );
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let mut place = Place::with_file(OLD).env("MCP_REPORTER_CONFIG", "gone.toml");
    assert_eq!(
        place.error(),
        "cannot read the configuration file DIR/work/gone.toml (named by MCP_REPORTER_CONFIG): No such file or directory (os error 2)"
    );
    place.sources.file = Some("lost.toml".into());
    assert_eq!(
        place.error(),
        "cannot read the configuration file DIR/work/lost.toml (named by --config): No such file or directory (os error 2)"
    );
}

#[test]
fn an_empty_variable_names_no_file() {
    let config = Place::with_file(OLD).env("MCP_REPORTER_CONFIG", "").load();
    assert_eq!(config.mcp_id(), Some("your_mcp_001"));
}

#[test]
fn an_unreadable_file_in_its_usual_place_is_not_passed_over() {
    let place = Place::new();
    fs::create_dir(place.path("work/mcp_config.toml")).unwrap();
    assert_eq!(
        place.error(),
        "cannot read the configuration file DIR/work/mcp_config.toml (found in its usual place): Is a directory (os error 21)"
    );
}

#[test]
fn syntax_errors_name_file_line_and_column() {
    let place = Place::with_file("[mcp]\nmcp_id = \"ü\" x\n");
    let error = place.error();
    assert!(
        error.starts_with("DIR/work/mcp_config.toml:2:14: not valid TOML: "),
        "{error}"
    );
    let place = Place::with_file("[mcp]\nmcp_id = 'a'\nmcp_id = 'b'\n");
    let error = place.error();
    assert!(
        error.starts_with("DIR/work/mcp_config.toml:3:1: not valid TOML: duplicate key"),
        "{error}"
    );
    let place = Place::new();
    place.write("work/mcp_config.toml", b"[mcp]\nmcp_id = \"\xff\"\n");
    assert_eq!(
        place.error(),
        "DIR/work/mcp_config.toml:2:11: not valid TOML: not UTF-8"
    );
}

#[test]
fn a_syntax_error_does_not_quote_the_line() {
    for line in [
        "coordinator_api_key = \"hush",
        "coordinator_api_key = hush",
        "coordinator_api_key = 'hush' hush",
        "coordinator_api_key = \"hush\\q\"",
        "coordinator_api_key = 'a'\ncoordinator_api_key = 'hush'",
        "coordinator_api_key \"hush\"",
    ] {
        let place = Place::with_file(&format!("[interaction_logging]\n{line}\n"));
        let error = Config::load(place.sources.clone()).unwrap_err();
        assert!(error.to_string().contains("not valid TOML"), "{error}");
        assert!(!format!("{error} {error:?}").contains("hush"), "{error}");
    }
}

#[test]
fn an_unknown_key_is_named_with_the_known_ones() {
    let error = Place::with_file("[interaction_logging]\n\nrate_limt = 5\n").error();
    assert_eq!(
        error,
        "rate_limt is not a setting of [interaction_logging]; did you mean rate_limit? Allowed are: \
         enable_interaction_logging, coordinator_url, coordinator_api_key, coordinator_api_key_file, \
         max_retries, retry_delay, dead_letter_after, request_timeout, rate_limit, rate_period, \
         max_in_flight, max_events, max_bytes, when_full, max_event_bytes, deliver_on_report, \
         report_budget, ingest_keys, edge_budget, store, local_cache_path, durability, log_level, log_format, log_file, ca_file, \
         metrics_listen, ingest_rate_limit, shards, capture, capture_methods, redact, max_field_bytes, sampling, \
         sampling_keep_errors, user_id \
         (DIR/work/mcp_config.toml:3)"
    );
    // What nothing resembles gets no guess; keys of the component alone are no user's.
    for key in ["spool", "lease_holder", "\"a\\nb\""] {
        let error = Place::with_file(&format!("[interaction_logging]\n{key} = 5\n")).error();
        let name = key.trim_matches('"');
        assert!(
            error.starts_with(&format!(
                "{name} is not a setting of [interaction_logging]. Allowed are: "
            )),
            "{error}"
        );
    }
}

#[test]
fn a_key_in_the_wrong_table_is_shown_its_own() {
    let error = Place::with_file("[interaction_logging]\nmcp_id = 'demo'\n").error();
    assert_eq!(
        error,
        "mcp_id belongs in table [mcp] (DIR/work/mcp_config.toml:2)"
    );
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_taken() {
    let config = Place::with_file(&format!("\u{feff}{}", OLD.replace('\n', "\r\n"))).load();
    assert_eq!(config.mcp_id(), Some("your_mcp_001"));
}

#[test]
fn our_tables_must_be_tables() {
    let error = Place::with_file("interaction_logging = true\nmcp = 'x'\n").error();
    assert_eq!(
        error,
        "interaction_logging must be a table: [interaction_logging] (DIR/work/mcp_config.toml:1)\n\
         mcp must be a table: [mcp] (DIR/work/mcp_config.toml:2)"
    );
}

#[test]
fn toml_types_that_do_not_fit_are_refused() {
    let number = "must be a whole number from 0 to 10000 (0 lifts the throttle)";
    let seconds = "must be a number of seconds from 0.001 to 3600";
    let table = [
        ("rate_limit = -1", format!("rate_limit = \"-1\": {number}")),
        ("rate_limit = 10.0", format!("rate_limit = \"10.0\": {number}")),
        ("rate_limit = nan", format!("rate_limit = \"nan\": {number}")),
        ("rate_limit = true", format!("rate_limit = \"true\": {number}")),
        ("rate_limit = [1, 2]", format!("rate_limit = [1, 2]: {number}")),
        ("rate_limit = [\n1,\n2]", format!("rate_limit = [\\n1,\\n2]: {number}")),
        ("rate_limit = { a = 1 }", format!("rate_limit = {{ a = 1 }}: {number}")),
        ("rate_limit = 1979-05-27", format!("rate_limit = 1979-05-27: {number}")),
        ("rate_limit = 99999999999999999999", format!("rate_limit = \"99999999999999999999\": {number}")),
        ("retry_delay = nan", format!("retry_delay = \"nan\": {seconds}")),
        ("retry_delay = -nan", format!("retry_delay = \"-nan\": {seconds}")),
        ("retry_delay = inf", format!("retry_delay = \"inf\": {seconds}")),
        ("retry_delay = -inf", format!("retry_delay = \"-inf\": {seconds}")),
        ("retry_delay = -1.0", format!("retry_delay = \"-1.0\": {seconds}")),
        ("retry_delay = 0", format!("retry_delay = \"0\": {seconds}")),
        ("retry_delay = 0.0", format!("retry_delay = \"0.0\": {seconds}")),
        ("retry_delay = 1e400", format!("retry_delay = \"1e400\": {seconds}")),
        ("store = ['redis://:hush@h']", "store = ***: must be text in quotes: sqlite, memory or redis://[[user]:password@]host[:port][/database][?prefix=text], likewise rediss:// (TLS), or redis+unix:///path".to_owned()),
        ("store = 5", "store = 5: must be text in quotes: sqlite, memory or redis://[[user]:password@]host[:port][/database][?prefix=text], likewise rediss:// (TLS), or redis+unix:///path".to_owned()),
        ("log_file = ['a']", "log_file = ['a']: must be text in quotes: a path".to_owned()),
        (
            "enable_interaction_logging = 2",
            "enable_interaction_logging = \"2\": must be true or false (or 1 or 0)".to_owned(),
        ),
        (
            "coordinator_api_key = 123456",
            "coordinator_api_key = ***: must be text in quotes: 1 to 4096 printable ASCII characters on one line, without a space at either end".to_owned(),
        ),
    ];
    for (line, message) in table {
        let error = Place::with_file(&format!("[interaction_logging]\n{line}\n")).error();
        assert_eq!(
            error,
            format!("{message} (DIR/work/mcp_config.toml:2)"),
            "{line}"
        );
    }
    let error = Place::with_file("[mcp]\nmcp_id = 5\n").error();
    assert_eq!(
        error,
        "mcp_id = 5: must be text in quotes: 1 to 256 bytes of text without control characters (DIR/work/mcp_config.toml:2)"
    );
}

#[test]
fn toml_types_that_fit_are_taken() {
    let table = [
        ("rate_limit = 0x10", "rate_limit", "16"),
        ("rate_limit = 1_000", "rate_limit", "1000"),
        ("rate_limit = +5", "rate_limit", "5"),
        ("rate_limit = '7'", "rate_limit", "7"),
        ("retry_delay = 2", "retry_delay", "2"),
        ("retry_delay = +0.5", "retry_delay", "0.5"),
        ("retry_delay = 5e-1", "retry_delay", "5e-1"),
        ("retry_delay = 1_0.5", "retry_delay", "10.5"),
        ("deliver_on_report = true", "deliver_on_report", "true"),
        ("when_full = \"drop-oldest\"", "when_full", "drop-oldest"),
    ];
    for (line, key, text) in table {
        let config = Place::with_file(&format!("[interaction_logging]\n{line}\n")).load();
        assert_eq!(shown(&config, key).0.as_deref(), Some(text), "{line}");
        assert_eq!(config.pairs().collect::<Vec<_>>(), [(key, text)], "{line}");
    }
}
