//! What people and programs get to read.

use super::Error;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mcp_reporter_core::settings::printable;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::OnceLock;

/// The bar on the terminal, if one was begun: log lines go above it.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Writes to standard output; in colour only to a terminal, and not where
/// `NO_COLOR` is set.
#[derive(Debug, Clone, Copy)]
pub struct Ui {
    colour: bool,
}

impl Ui {
    /// What this process's standard output is.
    pub fn detect() -> Self {
        let unwanted = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            colour: io::stdout().is_terminal() && !unwanted("NO_COLOR") && !dumb,
        }
    }

    /// For what is as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For what is not.
    pub fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    /// For what needs attention.
    pub fn notable(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For headings.
    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// Writes `text` and a line end. What came from outside must have been
    /// made [`printable`].
    ///
    /// # Errors
    ///
    /// Standard output takes nothing more. That its reader has left is no
    /// error: the work goes on.
    pub fn line(self, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let write = || -> io::Result<()> {
            out.write_all(text.as_bytes())?;
            out.write_all(b"\n")?;
            out.flush()
        };
        let written = above_bar(write);
        match written {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Error::Stdout(error)),
            _ => Ok(()),
        }
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    ///
    /// As [`line`](Self::line).
    pub fn json(self, document: &impl Serialize) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Error::Failed(format!("cannot write the result as JSON: {error}")))?;
        self.line(&text)
    }

    /// A progress bar of `length` steps on standard error; none when that is
    /// no terminal.
    pub fn bar(self, length: u64) -> Option<ProgressBar> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        // The template is a constant: it is well-formed.
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {msg}") {
            bar.set_style(style);
        }
        // A process shows one bar at a time, and no command begins two.
        let _ = BAR.set(bar.clone());
        Some(bar)
    }
}

/// Does something that writes to the terminal without spoiling the bar.
pub fn above_bar<T>(write: impl FnOnce() -> T) -> T {
    match BAR.get() {
        Some(bar) if !bar.is_finished() => bar.suspend(write),
        _ => write(),
    }
}

/// Says why the command failed: `error: …` on standard error, a line each.
pub fn error(error: &dyn std::error::Error) {
    let mut text = String::new();
    for line in describe(error).lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "error: {}", printable(line));
    }
    above_bar(|| {
        // There is nobody left to tell.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    });
}

/// The error and its causes, joined by `: `. Some messages already end with their cause.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    text
}

/// `3 events`, `1 event`.
pub fn count(n: u64, thing: &str) -> String {
    if n == 1 {
        format!("1 {thing}")
    } else {
        format!("{n} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_joined_and_none_is_said_twice() {
        let disk = || io::Error::other("disk on fire");
        assert_eq!(
            describe(&Error::Stdout(disk())),
            "cannot write to standard output: disk on fire"
        );
        let read = mcp_reporter::config::ConfigError::Read {
            path: "a.toml".into(),
            named_by: "named by --config",
            source: disk(),
        };
        assert_eq!(
            describe(&Error::Config(read)),
            "cannot read the configuration file a.toml (named by --config): disk on fire"
        );
    }

    #[test]
    fn a_thing_is_counted_in_its_number() {
        assert_eq!(
            [count(0, "event"), count(1, "event")],
            ["0 events", "1 event"]
        );
    }
}
