//! The component's standard error: each line becomes a log event.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mcp_reporter_core::settings::printable;
use tokio::io::AsyncWrite;
use wasmtime_wasi::{
    cli::{IsTerminal, StdoutStream},
    p2::{OutputStream, Pollable, StreamError},
};

/// A longer line is cut into lines of this length, so that a component cannot fill the memory.
const LINE_BYTES: usize = 8 * 1024;

/// Where the lines go.
const TARGET: &str = "mcp_reporter::component";

/// Turns lines into log events of the target `mcp_reporter::component`. A line's first word is
/// its level; other lines are warnings, because a component says nothing unasked.
#[derive(Clone, Default)]
pub(super) struct Stderr {
    unfinished: Arc<Mutex<Vec<u8>>>,
}

impl Stderr {
    fn take(&self, bytes: &[u8]) {
        let mut line = self
            .unfinished
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, ended) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            line.extend_from_slice(part);
            while line.len() > LINE_BYTES {
                let rest = line.split_off(LINE_BYTES);
                log(&line);
                *line = rest;
            }
            if ended {
                log(&line);
                line.clear();
            }
        }
    }
}

fn log(line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let (level, message) = line.split_once(' ').unwrap_or(("", &line));
    let message = printable(message);
    match level {
        "error" => tracing::error!(target: TARGET, "{message}"),
        "warn" => tracing::warn!(target: TARGET, "{message}"),
        "info" => tracing::info!(target: TARGET, "{message}"),
        "debug" => tracing::debug!(target: TARGET, "{message}"),
        _ => tracing::warn!(target: TARGET, "{}", printable(&line)),
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 * 1024)
    }
}

#[async_trait::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    /// Only WASI 0.3 asks for this, which is not linked.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Where the test's subscriber writes.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(parts: &[&str]) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || to.clone())
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut stderr = Stderr::default();
            for part in parts {
                stderr
                    .write(Bytes::copy_from_slice(part.as_bytes()))
                    .unwrap();
            }
        });
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    #[test]
    fn a_line_is_logged_at_the_level_of_its_first_word_once_it_is_complete() {
        let lines = logged(&["info deliv", "ered 3\nerror lost\nunfinished"]);
        assert_eq!(
            lines,
            [
                "INFO mcp_reporter::component: delivered 3",
                "ERROR mcp_reporter::component: lost",
            ]
        );
    }

    #[test]
    fn a_line_without_a_level_is_a_warning() {
        assert_eq!(
            logged(&["what now\n"]),
            ["WARN mcp_reporter::component: what now"]
        );
    }

    #[test]
    fn terminal_codes_do_not_get_through() {
        assert_eq!(
            logged(&["warn a\u{1b}[2Jb\rc\n"]),
            [r"WARN mcp_reporter::component: a\u{1b}[2Jb\rc"]
        );
    }

    #[test]
    fn an_endless_line_is_cut() {
        let lines = logged(&[&"x".repeat(20_000), "\n"]);
        assert_eq!(lines.len(), 3);
    }
}
