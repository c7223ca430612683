//! What is flushed to the disk before a report is acknowledged, counted by strace.

use std::process::Stdio;

use mcp_reporter_tests::{Place, with};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::PEER;

const REPORTS: usize = 20;

/// Of each acknowledgement but the first, in order: how many flushes ended since the one before
/// it. The first comes with what a new file takes.
async fn flushes(durability: &str) -> Vec<usize> {
    let place = Place::new();
    let trace = place.path("trace");
    let settings = with(
        place.fast("http://127.0.0.1:9"),
        &[("durability", durability), ("timer", "off")],
    );
    let mut child = Command::new("strace")
        .args([
            "-f",
            "-qq",
            "-s",
            "32",
            "-e",
            "trace=fsync,fdatasync,write",
            "-o",
        ])
        .arg(&trace)
        .args([PEER, "warn"])
        .args(settings.iter().map(|(key, value)| format!("{key}={value}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("these tests need strace");
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(output.next_line().await.unwrap().as_deref(), Some("ready"));
    // One by one: together they would share a flush.
    for n in 0..REPORTS {
        let command = format!("report start i{n} {{}}\n");
        input.write_all(command.as_bytes()).await.unwrap();
        let answer = output.next_line().await.unwrap();
        assert_eq!(answer, Some(format!("{n} queued")));
    }
    input.write_all(b"shutdown 5000\n").await.unwrap();
    assert!(output.next_line().await.unwrap().is_some());
    child.wait().await.unwrap();

    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut counts, mut since) = (Vec::new(), 0);
    for line in trace.lines() {
        // `1 fdatasync(8) = 0`, or in two lines when another thread came between.
        let flush = line.contains("fdatasync") || line.contains("fsync");
        if flush && line.trim_end().ends_with("= 0") {
            since += 1;
        } else if line.contains("write(1, \"") && line.contains(" queued\\n") {
            counts.push(std::mem::take(&mut since));
        }
    }
    assert_eq!(counts.len(), REPORTS, "{trace}");
    counts.split_off(1)
}

#[tokio::test]
async fn power_flushes_before_every_acknowledgement() {
    let flushes = flushes("power").await;
    assert!(flushes.iter().all(|count| *count >= 1), "{flushes:?}");
}

#[tokio::test]
async fn process_flushes_for_none() {
    let flushes = flushes("process").await;
    assert!(flushes.iter().all(|count| *count == 0), "{flushes:?}");
}
