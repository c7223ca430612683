use super::*;

/// [`ON`] with the key in a file of this text.
fn with_key_file(key: impl AsRef<[u8]>) -> Place {
    let place = Place::with_file(&ON.replace(
        "coordinator_api_key = \"hush\"",
        "coordinator_api_key_file = 'api.key'",
    ));
    place.write("work/api.key", key);
    place
}

#[test]
fn the_key_file_loses_its_last_newline() {
    for text in ["hush", "hush\n", "hush\r\n"] {
        let place = with_key_file(text);
        let config = place.load();
        assert_eq!(config.settings().unwrap().api_key.expose(), "hush");
        assert!(
            config
                .pairs()
                .any(|pair| pair == ("coordinator_api_key", "hush"))
        );
        assert_eq!(
            shown(&config, "coordinator_api_key"),
            (
                Some("*** (set)".to_owned()),
                format!("key file {}", place.path("work/api.key").display())
            )
        );
    }
}

#[test]
fn a_bad_key_file_is_named_and_its_content_is_not() {
    let long = "hush".repeat(4096);
    for text in [
        "", "\n", "hush\n\n", "hu\nsh", "hush\r", "hüsh", " hush", &long,
    ] {
        assert_eq!(
            with_key_file(text).error(),
            "coordinator_api_key_file = \"DIR/work/api.key\": it must hold 1 to 4096 printable ASCII characters on one line, without a space at either end (DIR/work/mcp_config.toml:7)"
        );
    }
    assert!(with_key_file(b"hush\xff").error().contains("it must hold"));
    let place = with_key_file("");
    fs::remove_file(place.path("work/api.key")).unwrap();
    assert_eq!(
        place.error(),
        "coordinator_api_key_file = \"DIR/work/api.key\": cannot read it: No such file or directory (os error 2) (DIR/work/mcp_config.toml:7)"
    );
}

#[test]
fn key_and_key_file_at_one_level_are_a_contradiction() {
    let place = Place::with_file(&format!("{ON}coordinator_api_key_file = 'api.key'\n"));
    assert_eq!(
        place.error(),
        "coordinator_api_key and coordinator_api_key_file are both set: must be one of them (DIR/work/mcp_config.toml:8)"
    );
}

#[test]
fn the_upper_levels_way_to_give_the_key_wins() {
    let key = |place: &Place| place.load().settings().unwrap().api_key.expose().to_owned();
    let place = with_key_file("file").env("MCP_REPORTER_COORDINATOR_API_KEY", "environment");
    assert_eq!(key(&place), "environment");
    assert_eq!(shown(&place.load(), "coordinator_api_key_file").0, None);
    place.write("work/other.key", "flag\n");
    let place = place.flag("coordinator_api_key_file", "other.key");
    assert_eq!(key(&place), "flag");
}

#[test]
fn the_key_is_no_flag() {
    for name in ["coordinator_api_key", "--coordinator-api-key"] {
        assert_eq!(
            Place::new().flag(name, "hush").error(),
            "--coordinator-api-key: every user of the machine can read a command line: must be given as MCP_REPORTER_COORDINATOR_API_KEY, as coordinator_api_key_file, or in the configuration file"
        );
    }
}

#[test]
fn a_store_with_a_password_is_no_flag() {
    let place = Place::new().flag("store", "redis://:hush@h");
    assert_eq!(
        place.error(),
        "--store: every user of the machine can read a command line: a URL with a password must be given as MCP_REPORTER_STORE, or in the configuration file"
    );
    let place = Place::new().flag("store", "redis://h");
    assert_eq!(place.load().store(), StoreKind::Redis);
}

#[test]
fn nothing_shows_the_key() {
    let place = Place::with_file(ON);
    let config = place.load();
    let show = config.show();
    assert!(!format!("{config:?} {show:?}").contains("hush"));
    assert_eq!(
        shown(&config, "coordinator_api_key").0.as_deref(),
        Some("*** (set)")
    );
    assert_eq!(
        shown(&Place::new().load(), "coordinator_api_key"),
        (None, "default".to_owned())
    );
    // Nor do errors about others beside it.
    let error = Config::load(place.flag("rate-limit", "x").sources).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hush"));
}

#[cfg(unix)]
#[test]
fn files_with_a_key_that_others_can_read_are_warned_of() {
    let warnings = |place: &Place| {
        let config = place.load();
        config
            .warnings()
            .join("\n")
            .replace(place.dir.path().to_str().unwrap(), "DIR")
    };
    let place = with_key_file("hush");
    assert_eq!(warnings(&place), "");
    set_mode(&place.path("work/api.key"), 0o640);
    assert_eq!(
        warnings(&place),
        "DIR/work/api.key holds coordinator_api_key and other users can read it (mode 0640): chmod 600 DIR/work/api.key"
    );
    let place = Place::with_file(ON);
    assert_eq!(warnings(&place), "");
    set_mode(&place.path("work/mcp_config.toml"), 0o644);
    assert_eq!(
        warnings(&place),
        "DIR/work/mcp_config.toml holds coordinator_api_key and other users can read it (mode 0644): chmod 600 DIR/work/mcp_config.toml"
    );
    assert_eq!(
        warnings(&place.env("MCP_REPORTER_COORDINATOR_API_KEY", "other")),
        ""
    );
    let place = Place::with_file(&format!("{ON}ingest_keys = 'hush-too'\n"));
    let place = place.env("MCP_REPORTER_COORDINATOR_API_KEY", "other");
    set_mode(&place.path("work/mcp_config.toml"), 0o644);
    assert_eq!(
        warnings(&place),
        "DIR/work/mcp_config.toml holds ingest_keys and other users can read it (mode 0644): chmod 600 DIR/work/mcp_config.toml"
    );
    let place = Place::with_file(&format!("{ON}store = 'redis://:hush@h'\n"));
    let place = place.env("MCP_REPORTER_COORDINATOR_API_KEY", "other");
    assert_eq!(warnings(&place), "");
    set_mode(&place.path("work/mcp_config.toml"), 0o644);
    assert_eq!(
        warnings(&place),
        "DIR/work/mcp_config.toml holds store and other users can read it (mode 0644): chmod 600 DIR/work/mcp_config.toml"
    );
}
