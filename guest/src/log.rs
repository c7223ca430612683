//! Log lines to `wasi:cli/stderr`: `level message`, a line each.

use mcp_reporter_core::settings::printable;

use crate::bindings::wasi::cli::stderr::get_stderr;

/// How much a line matters.
#[derive(Clone, Copy)]
pub enum Level {
    /// Something is lost or needs a person.
    Error,
    /// Something failed and will be tried again.
    Warn,
    /// Something changed for the better.
    Info,
}

/// Writes one line. A line that the runtime does not take at once is lost: a stuck stderr must
/// not hold up delivery.
pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
    };
    let line = [level, " ", &printable(message), "\n"].concat();
    let stderr = get_stderr();
    if stderr
        .check_write()
        .is_ok_and(|room| room >= line.len() as u64)
    {
        let _ = stderr.write(line.as_bytes());
        let _ = stderr.flush();
    }
}
