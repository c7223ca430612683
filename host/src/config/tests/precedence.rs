use std::ffi::OsString;

use super::*;

#[test]
fn flag_goes_before_environment_before_file_before_default() {
    let place = Place::with_file("[interaction_logging]\nrate_limit = 1\n");
    let file = format!("{}:2", place.path("work/mcp_config.toml").display());
    let rate = |place: &Place| {
        let (value, source) = shown(&place.load(), "rate_limit");
        (value.unwrap(), source)
    };
    assert_eq!(rate(&Place::new()), ("10".to_owned(), "default".to_owned()));
    assert_eq!(rate(&place), ("1".to_owned(), file));
    let place = place.env("MCP_REPORTER_RATE_LIMIT", "2");
    assert_eq!(
        rate(&place),
        ("2".to_owned(), "MCP_REPORTER_RATE_LIMIT".to_owned())
    );
    let place = place.flag("rate_limit", "3");
    assert_eq!(rate(&place), ("3".to_owned(), "--rate-limit".to_owned()));
    assert_eq!(
        place.load().pairs().collect::<Vec<_>>(),
        [("rate_limit", "3")]
    );
}

#[test]
fn a_configuration_may_come_from_the_environment_alone() {
    let place = Place::new()
        .env("MCP_REPORTER_ENABLE_INTERACTION_LOGGING", "1")
        .env("MCP_REPORTER_MCP_ID", "demo")
        .env(
            "MCP_REPORTER_COORDINATOR_URL",
            "https://coordinator.example/x/",
        )
        .env("MCP_REPORTER_COORDINATOR_API_KEY", "hush");
    let config = place.load();
    let settings = config.settings().unwrap();
    assert_eq!(settings.endpoint.path("/api/v2/health"), "/x/api/v2/health");
    assert_eq!(settings.api_key.expose(), "hush");
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = Place::with_file(ON)
        .env("MCP_REPORTER_RATE_LIMIT", "")
        .env("MCP_REPORTER_MCP_ID", "")
        .load();
    assert_eq!(
        config
            .settings()
            .map(|settings| (settings.rate_limit, &*settings.mcp_id)),
        Some((10, "demo"))
    );
}

#[test]
fn an_unknown_variable_is_an_error_and_its_text_is_not_shown() {
    let error = Place::new()
        .env("MCP_REPORTER_COORDINATOR_API_KY", "hush")
        .env("PATH", "x")
        .error();
    assert!(
        error.starts_with(
            "MCP_REPORTER_COORDINATOR_API_KY is not a setting; did you mean MCP_REPORTER_COORDINATOR_API_KEY? \
             Allowed are: MCP_REPORTER_MCP_ID, MCP_REPORTER_ENABLE_INTERACTION_LOGGING, "
        ),
        "{error}"
    );
    assert!(
        error.ends_with(
            ", MCP_REPORTER_SAMPLING_KEEP_ERRORS, MCP_REPORTER_USER_ID, MCP_REPORTER_CONFIG"
        ),
        "{error}"
    );
    assert!(!error.contains("hush"));
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;

    let mut place = Place::with_file(ON);
    let text = OsString::from_vec(b"hush\xff".to_vec());
    place
        .sources
        .env
        .insert("MCP_REPORTER_COORDINATOR_API_KEY".to_owned(), text);
    assert_eq!(
        place.error(),
        "MCP_REPORTER_COORDINATOR_API_KEY must be valid UTF-8: 1 to 4096 printable ASCII characters on one line, without a space at either end"
    );
}

#[test]
fn flags_may_be_written_as_keys_or_as_flags() {
    for name in ["log_level", "log-level", "--log-level"] {
        let config = Place::new().flag(name, "debug").load();
        assert_eq!(config.log_level(), LogLevel::Debug);
        assert_eq!(shown(&config, "log_level").1, "--log-level");
    }
    let error = Place::new().flag("log-levle", "debug").error();
    assert!(error.starts_with(
        "--log-levle is not a setting; did you mean --log-level? Allowed are: --mcp-id, "
    ));
    assert!(!error.contains("--coordinator-api-key,"), "{error}");
}

#[test]
fn errors_of_all_sources_come_together_each_with_its_place() {
    let place = Place::with_file(
        "[interaction_logging]\nenable_interaction_logging = true\nrate_limit = 10001\n",
    )
    .env("MCP_REPORTER_MAX_RETRIES", "many")
    .flag("coordinator_url", "coordinator:8080");
    assert_eq!(
        place.error(),
        "rate_limit = \"10001\": must be a whole number from 0 to 10000 (0 lifts the throttle) (DIR/work/mcp_config.toml:3)\n\
         max_retries = \"many\": must be a whole number from 0 to 1000 (MCP_REPORTER_MAX_RETRIES)\n\
         coordinator_url = \"coordinator:8080\": must be an http:// or https:// URL with a host, optionally a port (1 to 65535) and a path, without query, fragment, spaces or non-ASCII (--coordinator-url)\n\
         mcp_id is not set: it is required while enable_interaction_logging is true; set mcp_id in table [mcp] of the configuration file, or MCP_REPORTER_MCP_ID\n\
         coordinator_api_key is not set: it is required while enable_interaction_logging is true; set coordinator_api_key (or coordinator_api_key_file) in table [interaction_logging] of the configuration file, or MCP_REPORTER_COORDINATOR_API_KEY"
    );
}

#[test]
fn values_are_checked_while_reporting_is_off_but_none_is_required() {
    let error = Place::with_file("[interaction_logging]\nrequest_timeout = 0\n").error();
    assert_eq!(
        error,
        "request_timeout = \"0\": must be a number of seconds from 0.1 to 300 (DIR/work/mcp_config.toml:2)"
    );
    let config =
        Place::with_file("[interaction_logging]\ncoordinator_api_key_file = 'gone'\n").load();
    assert!(!config.enabled());
}

#[test]
fn relative_paths_start_where_they_were_written() {
    let mut place = Place::new();
    let text = "[interaction_logging]\nlocal_cache_path = './data/x.db'\nca_file = '../ca.pem'\nlog_file = '/var/log/x'\n";
    place.sources.file = Some(place.write("etc/reporter.toml", text));
    let config = place.load();
    assert_eq!(config.local_cache_path(), place.path("etc/data/x.db"));
    assert_eq!(config.ca_file(), Some(&*place.path("etc/../ca.pem")));
    assert_eq!(config.log_file(), Some(Path::new("/var/log/x")));
    let place = place
        .env("MCP_REPORTER_CA_FILE", "ca.pem")
        .flag("log-file", "x.log");
    let config = place.load();
    assert_eq!(config.ca_file(), Some(&*place.path("work/ca.pem")));
    assert_eq!(config.log_file(), Some(&*place.path("work/x.log")));
}

#[test]
fn show_lists_every_key_once() {
    let config = Place::with_file(ON).load();
    let shown: Vec<&str> = config.show().iter().map(|shown| shown.key).collect();
    assert_eq!(shown, keys().map(|key| key.name).collect::<Vec<_>>());
    assert_eq!(shown.len(), 37);
}

#[test]
fn without_a_home_folder_a_path_must_be_set() {
    let mut place = Place::with_file(ON);
    place.sources.state_dir = None;
    assert_eq!(
        place.error(),
        "local_cache_path is not set, and there is no home folder for its default; set local_cache_path in table [interaction_logging] of the configuration file, or MCP_REPORTER_LOCAL_CACHE_PATH"
    );
    assert!(place.env("MCP_REPORTER_STORE", "memory").load().enabled());
}
