//! The log: form, level, file.

use crate::home::Home;

/// A configuration that gives the log something to say.
fn home() -> Home {
    Home::with("http://coordinator.example.com", "")
}

#[test]
fn text_lines_go_to_standard_error_in_the_old_form() {
    let ran = home().run(&["report", "start"]);
    assert!(ran.out.starts_with("queued "), "{ran:?}");
    let line = ran.err.lines().next().unwrap();
    let parts: Vec<_> = line.splitn(4, " - ").collect();
    let shape: String = parts[0]
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00 00:00:00,000");
    assert_eq!(parts[1..3], ["MCP-weather", "WARNING"]);
    assert!(parts[3].contains("unencrypted"), "{line}");
}

#[test]
fn json_lines_have_the_same_in_fields() {
    let ran = home().run(&["report", "start", "--log-format", "json"]);
    let line: serde_json::Value = serde_json::from_str(ran.err.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&line["name"], &line["level"]),
        (&"MCP-weather".into(), &"WARNING".into())
    );
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(
        line["message"].as_str().unwrap().contains("unencrypted") && line["fields"].is_object()
    );
}

#[test]
fn the_level_decides_what_is_written() {
    assert_eq!(
        home().run(&["report", "start", "--log-level", "error"]).err,
        ""
    );
    // That the key is in none of the lines is asserted for every command.
    home().run(&["report", "start", "--log-level", "trace"]);
    home()
        .run(&["report", "start", "--log-level", "loud"])
        .refused(2, "error, warn, info");
}

#[test]
fn a_log_file_takes_the_lines() {
    let home = home();
    let ran = home.run(&["report", "start", "--log-file", "logs/reporter.log"]);
    assert_eq!(ran.err, "");
    let path = home.path("logs/reporter.log");
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("unencrypted")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    std::fs::create_dir(home.path("folder")).unwrap();
    home.run(&["report", "start", "--log-file", "folder"])
        .refused(2, "log_file = ");
}
