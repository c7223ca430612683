//! A reporter in a process of its own, for tests that kill it or run two on
//! one store.
//!
//! `peer LOG_LEVEL KEY=VALUE…`, with `timer=off` among them if nothing is to be
//! delivered, says `ready` and then takes commands on standard
//! input. Reports are handed over in order, and acknowledged as they are stored:
//!
//! ```text
//! report ACTION ID JSON   →   NUMBER queued | NUMBER the error
//! shutdown MILLISECONDS   →   NUMBER delivered_all | NUMBER left_some
//! ```

use std::future::poll_fn;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use mcp_reporter::{Action, Outcome, ReportError};
use mcp_reporter_tests::builder;
use tokio::io::{AsyncBufReadExt, BufReader};
use tracing_subscriber::filter::LevelFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let level = arguments
        .next()
        .and_then(|level| level.parse::<LevelFilter>().ok());
    let Some(level) = level else {
        eprintln!("usage: peer LOG_LEVEL KEY=VALUE…");
        return ExitCode::from(2);
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let settings: Vec<_> = arguments
        .filter_map(|pair| {
            pair.split_once('=')
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect();
    let (timer, settings): (Vec<_>, Vec<_>) =
        settings.into_iter().partition(|(key, _)| key == "timer");
    let builder = builder(&settings);
    let builder = match timer.first() {
        Some((_, value)) if value == "off" => builder.without_timer(),
        _ => builder,
    };
    let reporter = match builder.build().await {
        Ok(reporter) => reporter,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("ready");
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut number = 0;
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("report"), Some(action), Some(id), Some(data)) => {
                let (reporter, id, data) = (reporter.clone(), id.to_owned(), data.to_owned());
                let action = match action {
                    "start" => Action::Start,
                    "progress" => Action::Progress,
                    "complete" => Action::Complete,
                    _ => Action::Error,
                };
                let mut report = Box::pin(async move { reporter.report(action, id, data).await });
                // A report is handed over when it is first polled: here, so in order.
                match poll_fn(|context| Poll::Ready(report.as_mut().poll(context))).await {
                    Poll::Ready(result) => acknowledge(number, result),
                    Poll::Pending => {
                        tokio::spawn(async move { acknowledge(number, report.await) });
                    }
                }
            }
            (Some("shutdown"), Some(ms), None, None) => {
                let deadline = Duration::from_millis(ms.parse().unwrap_or(0));
                let shutdown = reporter.shutdown(deadline).await;
                let left = if shutdown.delivered_all {
                    "delivered_all"
                } else {
                    "left_some"
                };
                println!("{number} {left}");
                return ExitCode::SUCCESS;
            }
            _ => println!("{number} no such command: {line}"),
        }
        number += 1;
    }
    ExitCode::SUCCESS
}

fn acknowledge(number: u32, result: Result<Outcome, ReportError>) {
    match result {
        Ok(outcome) => {
            let outcome = match outcome {
                Outcome::Queued => "queued",
                Outcome::Delivered => "delivered",
                Outcome::Disabled => "disabled",
            };
            println!("{number} {outcome}");
        }
        Err(error) => println!("{number} {error}"),
    }
}
