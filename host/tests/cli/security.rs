//! What a hostile server, a broken file or a curious user of the same machine
//! gets out of the command: not the key, and no line of the log.

use crate::home::{DEADLINE, Home, KEY, finish};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Every file under `folder` in which the key stands, except for the configuration.
fn files_with_the_key(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_the_key(&path));
        } else if !path.ends_with("mcp_config.toml")
            && String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).contains(KEY)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

/// Answers every request with these bytes, as long as the test runs.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // The requests are small: each comes in one piece.
            let _ = stream.read(&mut [0; 16_384]);
            let _ = stream.write_all(answer);
        }
    });
    url
}

fn assert_lines_are_fit(text: &str) {
    for line in text.lines() {
        let bad = |c: char| {
            c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!line.contains(bad), "{line:?}");
        assert!(!line.starts_with("FAKE"), "{line:?}");
    }
}

#[test]
fn an_answer_puts_no_line_into_a_log_and_no_code_on_a_terminal() {
    const ANSWER: &[u8] = b"HTTP/1.1 422 no\r\nretry-after: \xe2\x80\xae9\r\n\
        content-length: 48\r\nconnection: close\r\n\r\n\
        \x1b[2J\x1b]0;x\x07\r\nFAKE - ERROR - line\xe2\x80\xae\xc2\x9b31m \xff\0\r\nFAKE";
    for format in ["text", "json"] {
        let home = Home::with(&answering(ANSWER), "");
        home.ok(&["report", "start", "--id", "id\u{202e}\"\\{}"]);
        let args = ["--log-level", "trace", "--log-format", format];
        let delivered = home.run(&[&["deliver", "--timeout", "2"][..], &args].concat());
        assert_lines_are_fit(&delivered.err);
        assert_lines_are_fit(&delivered.out);
        let listed = home.run(&["outbox", "list", "--dead-letters"]);
        assert!(listed.out.contains("HTTP 422: "), "{listed:?}");
        assert_lines_are_fit(&listed.out);
        let entries = home.json(&["outbox", "list", "--dead-letters", "--json"]);
        assert_eq!(entries["entries"][0]["interaction_id"], "id\u{202e}\"\\{}");
        if format == "json" {
            let said = delivered.err.lines().filter(|line| line.starts_with('{'));
            for line in said {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}

#[test]
fn ids_and_settings_put_no_line_into_a_log() {
    let home = Home::with("http://127.0.0.1:9", "");
    for id in ["a\nFAKE", "a\x1b[2J", "a\u{9b}31m"] {
        let ran = home.run(&["report", "start", "--id", id]);
        ran.refused(2, "control character");
        assert_lines_are_fit(&ran.err);
    }
    for (flag, value) in [
        ("--log-file", "/proc/\nFAKE\x1b[2J\u{202e}/x"),
        ("--local-cache-path", "/proc/\nFAKE\x1b[2J\u{202e}/x"),
        ("--config", "no\nFAKE\x1b[2J\u{202e}"),
        ("--rate-limit", "1\nFAKE\x1b[2J\u{202e}"),
        ("--store", "tape\nFAKE\x1b[2J\u{202e}"),
    ] {
        let ran = home.run(&["report", "start", flag, value]);
        assert_ne!(ran.code, 0, "{flag}: {ran:?}");
        for line in ran.err.lines() {
            assert!(!line.contains(['\x1b', '\u{202e}']), "{flag}: {line:?}");
        }
    }
}

#[test]
fn the_key_is_in_no_file_but_the_configuration() {
    for format in ["text", "json"] {
        let (home, _coordinator) = Home::with_coordinator("");
        let log = ["--log-level", "trace", "--log-format", format];
        let log = [&log[..], &["--log-file", "logs/all.log"]].concat();
        home.ok(&[&["report", "start"][..], &log].concat());
        home.ok(&[&["deliver"][..], &log].concat());
        assert!(home.path("logs/all.log").exists());
        assert_eq!(files_with_the_key(&home.path("")), [""; 0]);
    }
}

#[test]
fn a_broken_line_with_the_key_is_not_quoted() {
    for line in [
        format!("coordinator_api_key = \"{KEY}"),
        format!("coordinator_api_key = {KEY}"),
        format!("coordinator_api_key \"{KEY}\""),
        format!("coordinator_api_key = [\"{KEY}\"]"),
        format!("coordinator_api_key = \"{KEY}\\x\""),
        format!("coordinator_api_key = \"{KEY}\"\ncoordinator_api_key = \"{KEY}\""),
    ] {
        let home = Home::empty();
        home.configure(&format!(
            "[interaction_logging]\nenable_interaction_logging = true\n{line}\n"
        ));
        // That no command shows the key is asserted for all of them.
        home.run(&["report", "start"]).refused(2, "mcp_config.toml");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_running_command_shows_no_key_to_others() {
    let home = Home::with(&answering(b""), "");
    home.ok(&["report", "start"]);
    let child = home.start(&["deliver", "--timeout", "3"]);
    let read = |file| std::fs::read(format!("/proc/{}/{file}", child.id())).unwrap();
    // For a moment after it was started a process has neither.
    let begun = Instant::now();
    while read("environ").is_empty() {
        assert!(begun.elapsed() < DEADLINE);
        thread::sleep(Duration::from_millis(1));
    }
    for file in ["cmdline", "environ"] {
        let bytes = read(file);
        assert!(!bytes.is_empty(), "{file}");
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{file}");
    }
    finish(child);
}
