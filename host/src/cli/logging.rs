//! Log lines: where they go and what they look like.
//!
//! Text has the old client's form, `time - name - level - message`, with the
//! time in UTC (what is local cannot be asked safely in a process with threads).

use super::{Error, output};
use mcp_reporter::Config;
use mcp_reporter::config::{LogFormat, LogLevel};
use mcp_reporter::private;
use mcp_reporter_core::settings::printable;
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use time::OffsetDateTime;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Begins the log as `config` has it, but with this level.
///
/// # Errors
///
/// The log file cannot be opened.
pub fn of(config: &Config, level: LogLevel) -> Result<(), Error> {
    let name = config.mcp_id().unwrap_or("reporter");
    begin(name, level, config.log_format(), config.log_file())
}

/// Begins the log of a command that has no configuration, by its flags.
///
/// # Errors
///
/// A flag is malformed, or the log file cannot be opened.
pub fn without_config(flags: &[(String, String)]) -> Result<(), Error> {
    let config = Config::from_pairs(flags.iter().map(|(key, text)| (key, text.clone())))?;
    of(&config, config.log_level())
}

/// Begins the log of `wrap`: in a file, as its standard error is the server's. Without a
/// configuration, as these flags have it.
///
/// # Errors
///
/// The log file cannot be opened.
pub fn of_wrap(config: Option<&Config>, flags: &[(String, String)]) -> Result<(), Error> {
    let by_flag = |key: &str| {
        flags
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, text)| text)
    };
    let file = match config {
        Some(config) => config.log_file().map(Path::to_owned),
        None => by_flag("log_file").map(Into::into),
    };
    let Some(file) = file.or_else(Config::wrap_log) else {
        return Ok(());
    };
    let name = config
        .and_then(Config::mcp_id)
        .or(by_flag("mcp_id").map(String::as_str));
    let (level, format) = match config {
        Some(config) => (config.log_level(), config.log_format()),
        None => (LogLevel::Info, LogFormat::Text),
    };
    begin(name.unwrap_or("reporter"), level, format, Some(&file))
}

fn begin(name: &str, level: LogLevel, format: LogFormat, file: Option<&Path>) -> Result<(), Error> {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What we are made of has nothing to tell a user unless it goes wrong.
    let others = own.min(LevelFilter::WARN);
    let lines = Lines {
        name: printable(&format!("MCP-{name}")),
        format,
        file: file.map(open).transpose()?,
    };
    let targets = Targets::new()
        .with_default(others)
        .with_target("mcp_reporter", own);
    // Only a log that was begun before stands against it, and there is none.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
    Ok(())
}

/// Opens the log to append to it, for its owner alone.
fn open(path: &Path) -> Result<File, Error> {
    let failed = |why: io::Error| {
        Error::Usage(format!(
            "log_file = \"{}\": cannot be opened: {why}",
            path.display()
        ))
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        private::make_folders(folder).map_err(failed)?;
        // In an exposed one they could put a link in the log's place.
        let metadata = folder.metadata().map_err(failed)?;
        if let Some(mode) = private::replaced_by_others(&metadata) {
            return Err(failed(io::Error::other(format!(
                "others can write its folder (mode {mode:04o}); run `chmod go-w` on that"
            ))));
        }
    }
    let mut options = private::options();
    options.append(true).create(true);
    let file = options.open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        private::close_to_others(path).map_err(failed)?;
    }
    Ok(file)
}

/// Writes each event as a line.
struct Lines {
    name: String,
    format: LogFormat,
    file: Option<File>,
}

impl Lines {
    fn line(&self, at: OffsetDateTime, level: &Level, seen: Seen) -> String {
        // The names of Python's `logging`, which has no TRACE.
        let level = match *level {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG | Level::TRACE => "DEBUG",
        };
        let Seen { message, fields } = seen;
        match self.format {
            LogFormat::Text => {
                let time = at.format(format_description!(
                    "[year]-[month]-[day] [hour]:[minute]:[second],[subsecond digits:3]"
                ));
                let time = time.unwrap_or_default();
                let mut line = format!("{time} - {} - {level} - {message}", self.name);
                for (name, value) in fields {
                    // Writing to a string cannot fail.
                    let _ = match value {
                        Value::String(text) => write!(line, " {name}={text}"),
                        other => write!(line, " {name}={other}"),
                    };
                }
                line
            }
            LogFormat::Json => {
                let time = at.format(format_description!(
                    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
                ));
                serde_json::json!({
                    "time": time.unwrap_or_default(),
                    "name": self.name,
                    "level": level,
                    "message": message,
                    "fields": fields,
                })
                .to_string()
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        let mut line = self.line(OffsetDateTime::now_utc(), event.metadata().level(), seen);
        line.push('\n');
        // In one write, so that lines of several processes do not mix. A log
        // that takes nothing must not stop the work.
        let _ = match &self.file {
            Some(file) => (&*file).write_all(line.as_bytes()),
            None => output::above_bar(|| io::stderr().lock().write_all(line.as_bytes())),
        };
    }
}

/// What an event says, made fit for a terminal.
#[derive(Default)]
struct Seen {
    message: String,
    fields: Map<String, Value>,
}

impl Seen {
    fn take(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            // What a bridge from the `log` crate notes about itself.
            (name, _) if name.starts_with("log.") => {}
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, printable(&format!("{value:?}")).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, printable(value).into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use time::macros::datetime;

    fn line(format: LogFormat, level: Level, message: &str) -> String {
        let lines = Lines {
            name: "MCP-weather".to_owned(),
            format,
            file: None,
        };
        let mut seen = Seen {
            message: message.to_owned(),
            ..Seen::default()
        };
        seen.fields.insert("tries".to_owned(), 3.into());
        lines.line(datetime!(2024-06-10 08:53:20.123456 UTC), &level, seen)
    }

    #[test]
    fn text_lines_have_the_old_clients_form() {
        for (level, name) in [
            (Level::ERROR, "ERROR"),
            (Level::WARN, "WARNING"),
            (Level::INFO, "INFO"),
            (Level::DEBUG, "DEBUG"),
            (Level::TRACE, "DEBUG"),
        ] {
            let expected = format!("2024-06-10 08:53:20,123 - MCP-weather - {name} - sent tries=3");
            assert_eq!(line(LogFormat::Text, level, "sent"), expected);
        }
    }

    #[test]
    fn json_lines_are_one_object_each() {
        assert_eq!(
            line(LogFormat::Json, Level::WARN, "said \"no\""),
            r#"{"time":"2024-06-10T08:53:20.123Z","name":"MCP-weather","level":"WARNING","message":"said \"no\"","fields":{"tries":3}}"#
        );
    }

    #[test]
    fn a_message_cannot_break_a_line_or_steer_the_terminal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs").join("a.log");
        let lines = Lines {
            name: "MCP-x".to_owned(),
            format: LogFormat::Text,
            file: Some(open(&path).unwrap()),
        };
        let log = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(log, || {
            tracing::info!(id = "a\u{202e}b", "one\ntwo\x1b[31m");
        });
        let mut text = String::new();
        File::open(&path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(
            text.ends_with(" - INFO - one\\ntwo\\u{1b}[31m id=a\\u{202e}b\n"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_log_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "before\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        drop(open(&path).unwrap());
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\n");
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("mode 0777"));
    }
}
