//! The demo, run as a newcomer runs it, only faster.

use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// What the demo printed, and whether it exited with 0; killed after `within`.
fn run(args: &[&str], within: Duration) -> (String, bool) {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_mcp-reporter"))
        .arg("demo")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = demo.stdout.take().unwrap();
    let (done, read) = mpsc::channel();
    thread::spawn(move || done.send(std::io::read_to_string(out).unwrap()));
    let text = read.recv_timeout(within);
    if text.is_err() {
        demo.kill().unwrap();
    }
    let good = demo.wait().unwrap().success();
    (
        text.unwrap_or_else(|_| panic!("the demo took longer than {within:?}")),
        good,
    )
}

/// The first number after `name` in the table.
fn figure(text: &str, name: &str) -> f64 {
    let row = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(&format!("{name} ")));
    let row = row.unwrap_or_else(|| panic!("no row {name:?} in:\n{text}"));
    row.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn nothing_is_lost_in_the_demo_and_all_is_in_order() {
    let (text, good) = run(&["--pace", "10"], Duration::from_secs(60));
    assert!(good, "{text}");
    assert_eq!(figure(&text, "events reported"), 128.0, "{text}");
    assert_eq!(figure(&text, "delivered"), 128.0, "{text}");
    assert_eq!(figure(&text, "lost"), 0.0, "{text}");
    assert_eq!(figure(&text, "out of order"), 0.0, "{text}");
    let blocked = figure(&text, "longest time a caller was blocked");
    assert!(blocked > 0.0, "{text}");
    assert!(
        !text.contains('\x1b') && !text.contains('\r'),
        "a pipe gets plain text:\n{text}"
    );
    for event in ["hangs", "down", "SIGKILL", "back", "delivery goes on"] {
        assert!(text.contains(event), "{event:?} was not shown in:\n{text}");
    }
}

#[test]
fn the_files_are_kept_when_asked_for_and_not_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let keep = dir.path().join("new");
    let args = ["--pace", "20", "--keep", keep.to_str().unwrap()];
    let (text, good) = run(&args, Duration::from_secs(60));
    assert!(good, "{text}");
    let events = mcp_reporter::coordinator::read_db(&keep.join("coordinator.db")).unwrap();
    assert_eq!(events.len(), 128);
    let (_, good) = run(&args, Duration::from_secs(60));
    assert!(!good, "a folder with files was used again");
}
