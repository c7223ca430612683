//! `config`, and what a bad configuration is answered with.

use crate::home::{Home, KEY};
use serde_json::json;

#[test]
fn a_bad_configuration_is_refused_key_by_key() {
    let good = "enable_interaction_logging = true\ncoordinator_url = \"http://127.0.0.1:9\"";
    let key = format!("coordinator_api_key = \"{KEY}\"");
    for (lines, says) in [
        (
            format!("{good}\n{key}\nrate_limits = 3"),
            "rate_limits is not a setting",
        ),
        (
            format!("{good}\n{key}\nrate_limits = 3"),
            "did you mean rate_limit?",
        ),
        (
            format!("{good}\n{key}\nrate_limit = -1"),
            "rate_limit = \"-1\": must be a whole number",
        ),
        (
            format!("{good}\n{key}\nretry_delay = nan"),
            "retry_delay = \"nan\": must be",
        ),
        (
            format!("{good}\n{key}\nstore = \"tape\""),
            "must be sqlite, memory or redis://",
        ),
        (
            format!("{good}\n{key}\nstore = \"redis://me:{KEY}@h/x\""),
            "its database is not a whole number",
        ),
        (good.to_owned(), "coordinator_api_key is not set"),
        (
            format!("enable_interaction_logging = true\n{key}\ncoordinator_url = \"ftp://x\""),
            "must be an http:// or https:// URL",
        ),
        (
            format!(
                "enable_interaction_logging = true\n{key}\n\
                 coordinator_url = \"http://me:{KEY}@x\""
            ),
            "coordinator_url",
        ),
        (
            format!("{good}\ncoordinator_api_key = \"{KEY}\\n{KEY}\""),
            "coordinator_api_key",
        ),
        ("enable".to_owned(), "not valid TOML"),
    ] {
        let home = Home::empty();
        home.configure(&format!(
            "[mcp]\nmcp_id = \"m\"\n[interaction_logging]\n{lines}\n"
        ));
        let ran = home.run(&["report", "start"]);
        ran.refused(2, says);
        // What is there and wrong is shown in its place; what is missing has none.
        assert!(
            ran.err.contains("mcp_config.toml:") || says.contains("is not set"),
            "{ran:?}"
        );
        assert_eq!(ran.out, "");
    }
}

#[test]
fn every_problem_is_a_line_of_its_own() {
    let home = Home::with("http://127.0.0.1:9", "rate_limit = -1\nnonsense = 1");
    let ran = home.run(&["outbox", "status"]);
    ran.refused(2, "nonsense");
    assert_eq!(
        ran.err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .count(),
        2,
        "{ran:?}"
    );
}

#[test]
fn flags_and_environment_are_checked_too() {
    let home = Home::with("http://127.0.0.1:9", "");
    home.run(&["outbox", "status", "--rate-limit", "-1"])
        .refused(2, "--rate-limit");
    home.run(&["outbox", "status", "--config", "absent.toml"])
        .refused(2, "named by --config");
    let mut command = home.command(&["outbox", "status"]);
    let child = command
        .env("MCP_REPORTER_RATE_LIMITS", "3")
        .spawn()
        .unwrap();
    crate::home::finish(child).refused(2, "MCP_REPORTER_RATE_LIMITS is not a setting");
}

#[test]
fn init_writes_a_file_that_works_and_overwrites_none() {
    let home = Home::empty();
    let said = home.ok(&["config", "init"]);
    assert!(said.contains("mcp_config.toml"), "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = home
            .path("mcp_config.toml")
            .metadata()
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    home.ok(&["config", "show"]);
    home.run(&["config", "init"])
        .refused(2, "exists and is not overwritten");
    home.ok(&["config", "init", "folder/other.toml"]);
    let show = home.json(&["config", "show", "--json", "--config", "folder/other.toml"]);
    assert!(
        show["file"]
            .as_str()
            .unwrap()
            .ends_with("folder/other.toml"),
        "{show}"
    );
}

#[test]
fn show_says_value_and_source_and_never_the_key() {
    let home = Home::with("http://127.0.0.1:9", "rate_limit = 7");
    let text = home.ok(&["config", "show", "--max-retries", "5"]);
    for (key, value, source) in [
        ("mcp_id", "weather", "mcp_config.toml:2"),
        ("coordinator_api_key", "*** (set)", "mcp_config.toml:6"),
        ("rate_limit", "7", "mcp_config.toml:9"),
        ("max_retries", "5", "(--max-retries)"),
        ("rate_period", "1.0", "(default)"),
    ] {
        let line = text
            .lines()
            .find(|l| l.split(' ').next() == Some(key))
            .unwrap();
        assert!(line.contains(value) && line.contains(source), "{line}");
    }
    let mut command = home.command(&["config", "show", "--json"]);
    let child = command
        .env("MCP_REPORTER_COORDINATOR_API_KEY", KEY)
        .spawn()
        .unwrap();
    let document: serde_json::Value =
        serde_json::from_str(&crate::home::finish(child).out).unwrap();
    assert_eq!(
        document["settings"]["coordinator_api_key"],
        json!({"value": "*** (set)", "source": "MCP_REPORTER_COORDINATOR_API_KEY"})
    );
}
