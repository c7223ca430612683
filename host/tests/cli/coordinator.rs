//! `coordinator`: the development coordinator as a process.

use crate::home::{Home, KEY, finish};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout};

/// A coordinator that is killed when the test is over.
struct Running {
    child: Option<Child>,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(home: &Home, args: &[&str], key: Option<&str>) -> Self {
        let mut command =
            home.command(&[&["coordinator", "--listen", "127.0.0.1:0"], args].concat());
        if let Some(key) = key {
            command.env("MCP_REPORTER_COORDINATOR_API_KEY", key);
        }
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self {
            child: Some(child),
            out,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn url(&mut self) -> String {
        let line = self.line();
        line.strip_prefix("listening on ")
            .unwrap_or_else(|| panic!("{line}"))
            .to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn it_serves_until_it_is_told_to_end() {
    let home = Home::empty();
    let mut coordinator = Running::start(&home, &["--db", "events.db"], Some(KEY));
    let url = coordinator.url();
    let reporter = Home::with(&url, "");
    reporter.ok(&["check"]);
    reporter.ok(&["report", "start", "--id", "one"]);
    reporter.ok(&["deliver"]);
    let line = coordinator.line();
    assert!(
        line.contains("interaction_start one ") && line.ends_with("-> 200, stored"),
        "{line}"
    );

    let child = coordinator.child.take().unwrap();
    let kill = std::process::Command::new("kill")
        .args(["-TERM", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let mut rest = String::new();
    coordinator.out.read_to_string(&mut rest).unwrap();
    assert_eq!((finish(child).code, rest.as_str()), (0, ""));
    let stored = mcp_reporter::coordinator::read_db(&home.path("events.db")).unwrap();
    assert_eq!(stored.len(), 1);
}

#[test]
fn without_a_key_it_makes_one() {
    let home = Home::empty();
    let mut coordinator = Running::start(&home, &["--quiet"], None);
    let key = coordinator.line();
    let key = key
        .strip_prefix("api key: ")
        .unwrap_or_else(|| panic!("{key}"))
        .to_owned();
    assert!(
        key.len() == 32 && key.bytes().all(|b| b.is_ascii_hexdigit()),
        "{key}"
    );
    let reporter = Home::with(&coordinator.url(), "");
    assert_eq!(
        reporter.run(&["check"]).code,
        1,
        "the configured key is another one"
    );
    let mut check = reporter.command(&["check"]);
    check.env("MCP_REPORTER_COORDINATOR_API_KEY", key);
    assert_eq!(finish(check.spawn().unwrap()).code, 0);
}

#[test]
fn a_file_holds_several_keys_and_a_fault_is_done() {
    let home = Home::empty();
    std::fs::write(home.path("keys"), format!("one\n\n{KEY}\r\n")).unwrap();
    let args = ["--api-key-file", "keys", "--quiet", "--fault", "status:418"];
    let mut coordinator = Running::start(&home, &args, Some("not this one"));
    let reporter = Home::with(&coordinator.url(), "");
    let text = reporter.run(&["check"]).out;
    assert!(
        text.contains("FAILED   v2 API") && text.contains("418"),
        "{text}"
    );

    std::fs::write(home.path("keys"), "\n").unwrap();
    home.run(&["coordinator", "--api-key-file", "keys"])
        .refused(2, "a key must have");
    std::fs::write(home.path("keys"), format!("good\n{KEY}\u{7}\n")).unwrap();
    home.run(&["coordinator", "--api-key-file", "keys"])
        .refused(2, "a key must have");
}

#[test]
fn an_address_in_use_is_a_failure() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Home::empty()
        .run(&["coordinator", "--listen", &address])
        .refused(1, "cannot listen on");
}
