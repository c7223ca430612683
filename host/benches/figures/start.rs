//! A process that starts, reports, and is looked at from outside.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use mcp_reporter::{Action, Reporter, coordinator::Fault};

use crate::{
    figure, median,
    support::{self, BODY_BYTES, INTERACTION, builder, folder, payload, settings},
};

/// The first argument of a process that is measured.
pub const CHILD: &str = "--measured-process";

const ACKNOWLEDGED: &str = "acknowledged";
const STARTS: usize = 21;
const REPORTS: u64 = 10_000;
const CALLERS: u64 = 64;

/// Measures the start and the memory of processes that report.
pub fn measure() {
    let sink = support::sink(Fault::None);
    let folder = folder();
    let store = folder.path().join("outbox.db");
    eprintln!(
        "start: {STARTS} processes of a program, {STARTS} of the command, one after the other"
    );
    // The first start compiles.
    start(&store, &sink.url());
    command(folder.path(), &store, &sink.url());
    let (mut library, mut cli) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        library.push(start(&store, &sink.url()).as_secs_f64() * 1e3);
        cli.push(command(folder.path(), &store, &sink.url()).as_secs_f64() * 1e3);
    }
    figure("start_ms", median(library));
    figure("command_ms", median(cli));

    eprintln!("memory: {REPORTS} reports by {CALLERS} callers");
    let fresh = folder.path().join("memory.db");
    let mut child = spawn(&fresh, &sink.url(), REPORTS);
    let lines = read_to_end(&mut child);
    for (name, key) in [("resident_mb", "VmRSS:"), ("resident_peak_mb", "VmHWM:")] {
        if let Some(kb) = lines.iter().find_map(|line| memory_kb(line, key)) {
            figure(name, kb / 1024.0);
        }
    }
}

/// Starts a process and waits until its first report is acknowledged.
fn start(store: &Path, url: &str) -> Duration {
    let began = Instant::now();
    let mut child = spawn(store, url, 1);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let first = lines.next().expect("a line").expect("a line of text");
    let elapsed = began.elapsed();
    assert_eq!(first, ACKNOWLEDGED);
    lines.for_each(drop);
    assert!(child.wait().expect("an end").success());
    elapsed
}

fn spawn(store: &Path, url: &str, reports: u64) -> Child {
    Command::new(env::current_exe().expect("this program"))
        .args([CHILD, url, &reports.to_string()])
        .arg(store)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

fn read_to_end(child: &mut Child) -> Vec<String> {
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let lines = lines.map(|line| line.expect("a line of text")).collect();
    assert!(child.wait().expect("an end").success());
    lines
}

/// Runs `mcp-reporter report start` to its end.
fn command(home: &Path, store: &Path, url: &str) -> Duration {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-reporter"));
    command
        .args([
            "report",
            "start",
            "--id",
            INTERACTION,
            "--data",
            &payload(BODY_BYTES),
        ])
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home)
        .current_dir(home)
        .stdout(Stdio::null());
    for (key, value) in settings(store, url) {
        command.env(format!("MCP_REPORTER_{}", key.to_uppercase()), value);
    }
    let began = Instant::now();
    assert!(command.status().expect("a process").success());
    began.elapsed()
}

/// The measured process: its arguments are the coordinator, how many reports, and the store.
pub fn child(args: &[String]) {
    let [url, reports, store] = args else {
        panic!("not the arguments of a measured process")
    };
    let reports: u64 = reports.parse().expect("a number");
    let runtime = support::runtime();
    runtime.block_on(async {
        let reporter = builder(settings(store.as_ref(), url))
            .build()
            .await
            .expect("a reporter");
        report(&reporter, 1).await;
        println!("{ACKNOWLEDGED}");
        std::io::stdout().flush().expect("a reader");
        if reports > 1 {
            let callers = (0..CALLERS).map(|_| {
                let reporter = reporter.clone();
                tokio::spawn(async move { report(&reporter, reports / CALLERS).await })
            });
            for caller in callers.collect::<Vec<_>>() {
                caller.await.expect("a caller");
            }
            // Linux only; elsewhere these figures are missing.
            print!(
                "{}",
                std::fs::read_to_string("/proc/self/status").unwrap_or_default()
            );
        }
        reporter.shutdown(Duration::ZERO).await;
    });
}

async fn report(reporter: &Reporter, reports: u64) {
    let data = payload(BODY_BYTES);
    for _ in 0..reports {
        let outcome = reporter
            .report(Action::Start, INTERACTION, data.as_str())
            .await;
        outcome.expect("a stored report");
    }
}

fn memory_kb(line: &str, key: &str) -> Option<f64> {
    line.strip_prefix(key)?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}
