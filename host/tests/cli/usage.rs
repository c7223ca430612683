//! What is refused before anything is done, and what help there is.

use crate::home::{Home, KEY};
use std::process::Stdio;

#[test]
fn a_wrong_command_line_is_refused_with_what_is_allowed() {
    let home = Home::with("http://127.0.0.1:9", "");
    for (args, says) in [
        (&["nonsense"][..], "unrecognized subcommand 'nonsense'"),
        (
            &["report", "begin"],
            "possible values: start, progress, complete, error",
        ),
        (&["report", "progress"], "--id <ID>"),
        (&["report", "complete"], "--id <ID>"),
        (&["report", "error"], "--id <ID>"),
        (&["deliver", "--timeout", "0"], "seconds from 0.001"),
        (&["outbox", "list", "--limit", "0"], "--limit"),
        (
            &["outbox", "purge"],
            "--older-than <AGE>|--dead-letters|--interaction <ID>|--all",
        ),
        (
            &["outbox", "purge", "--older-than", "7w"],
            "such as 90s, 30m, 12h or 7d",
        ),
        (
            &["outbox", "purge", "--all", "--dead-letters"],
            "cannot be used with",
        ),
        (&["outbox", "redrive"], "--interaction <ID>|--all"),
        (
            &["coordinator", "--fault", "sulk"],
            "allowed are none, refuse, hang",
        ),
        (
            &["coordinator", "--rate-limit", "3"],
            "--rate-limit has no effect",
        ),
        (&["coordinator", "--config", "x"], "--config has no effect"),
        (
            &["coordinator", "--api-key-file", "absent"],
            "--api-key-file absent: cannot read it",
        ),
        (&["import", "absent.db"], "absent.db"),
        (&["completions", "tcl"], "possible values: bash"),
    ] {
        home.run(args).refused(2, says);
    }
    assert!(
        !home.path("outbox.db").exists(),
        "none of these has business with the store"
    );
}

#[test]
fn the_api_key_has_no_flag_and_is_not_repeated() {
    let home = Home::with("http://127.0.0.1:9", "");
    for args in [
        &["--coordinator-api-key", KEY, "check"][..],
        &["check", "--coordinator-api-key", KEY],
        &["check", &format!("--coordinator-api-key={KEY}")],
        &["check", "--coordinator-api-key"],
        &["coordinator", "--coordinator-api-key", KEY],
    ] {
        // That it is not shown is asserted for every command.
        let ran = home.run(args);
        ran.refused(2, "every user of the machine can read a command line");
        ran.refused(2, "MCP_REPORTER_COORDINATOR_API_KEY");
    }
}

#[test]
fn the_first_screen_says_what_it_does() {
    let home = Home::empty();
    let help = home.ok(&["--help"]);
    for part in [
        "Reports MCP interactions",
        "Try it:",
        "Example:\n  mcp-reporter report start",
    ] {
        assert!(help.contains(part), "{part:?}: {help}");
    }
    assert!(help.lines().count() < 50, "a screen: {help}");
    assert!(
        !help.contains('\x1b'),
        "colour only on a terminal: {help:?}"
    );
    assert_eq!(home.run(&[]).code, 2);
    assert!(home.ok(&["--version"]).starts_with("mcp-reporter 0."));
    let help = home.ok(&["deliver", "--help"]);
    assert!(
        help.contains("--rate-limit <VALUE>") && help.contains("[default: 10]"),
        "{help}"
    );
}

#[test]
fn completions_name_commands_and_settings() {
    let home = Home::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = home
            .start(&["completions", shell])
            .wait_with_output()
            .unwrap();
        assert!(script.status.success(), "{shell}");
        let script = String::from_utf8(script.stdout).unwrap();
        assert!(
            script.contains("redrive") && script.contains("rate-limit"),
            "{shell}"
        );
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let home = Home::empty();
    // More than a pipe holds, so that it cannot be written before the reader is gone.
    let mut child = home
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = crate::home::finish(child);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
}
