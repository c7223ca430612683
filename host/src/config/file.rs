//! Reads our part of the configuration file: `mcp_id` of table `[mcp]`, and all
//! of table `[interaction_logging]`. The rest belongs to the program whose file
//! it is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use mcp_reporter_core::settings::printable;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::gather::suggestion;
use super::keys::{self, KeyInfo, MCP_ID, STORE};
use super::source::Source;

const OURS: &str = "interaction_logging";
const PROGRAM: &str = "mcp";

/// What a file says.
pub(super) struct Found {
    pub values: Vec<(KeyInfo, String, Source)>,
    /// What is wrong, and with which key if it is one of ours.
    pub problems: Vec<(Option<&'static str>, Problem)>,
}

/// Reads the bytes of the file at `path`.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Found, ConfigError> {
    let syntax = |before: &[u8], message: String| {
        let before = String::from_utf8_lossy(before);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError::Syntax {
            path: path.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            message,
        }
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| syntax(&bytes[..error.valid_up_to()], "not UTF-8".to_owned()))?;
    // The parser's own `Display` quotes the line, which may be the one with the key.
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(bytes.len()));
        syntax(
            &bytes[..at],
            printable(&error.message().trim().replace('\n', ", ")),
        )
    })?;
    let mut reader = Reader {
        path,
        text,
        found: Found {
            values: Vec::new(),
            problems: Vec::new(),
        },
    };
    for (name, value) in document.get_ref() {
        match (name.get_ref().as_ref(), value.get_ref()) {
            (PROGRAM, DeValue::Table(table)) => {
                if let Some((name, value)) = table.get_key_value(MCP_ID)
                    && let Some(key) = keys::find(MCP_ID)
                {
                    reader.value(key, name.span(), value.get_ref(), value.span());
                }
            }
            (OURS, DeValue::Table(table)) => {
                for (name, value) in table {
                    match keys::find(name.get_ref()) {
                        Some(key) if key.table() == OURS => {
                            reader.value(key, name.span(), value.get_ref(), value.span());
                        }
                        Some(key) => {
                            let message =
                                format!("{} belongs in table [{}]", key.name, key.table());
                            reader.problem(Some(key.name), key.name, message, &name.span());
                        }
                        None => reader.unknown(name.get_ref(), &name.span()),
                    }
                }
            }
            (table @ (PROGRAM | OURS), _) => {
                reader.problem(
                    None,
                    table,
                    format!("{table} must be a table: [{table}]"),
                    &name.span(),
                );
            }
            _ => {}
        }
    }
    Ok(reader.found)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    found: Found,
}

impl Reader<'_> {
    fn source(&self, span: &Range<usize>) -> Source {
        let line = 1 + self
            .text
            .get(..span.start)
            .map_or(0, |before| before.matches('\n').count());
        Source::File {
            path: PathBuf::from(self.path),
            line,
        }
    }

    fn problem(
        &mut self,
        key: Option<&'static str>,
        name: &str,
        message: String,
        at: &Range<usize>,
    ) {
        let source = Some(self.source(at));
        self.found.problems.push((
            key,
            Problem {
                key: printable(name),
                message,
                source,
            },
        ));
    }

    fn unknown(&mut self, name: &str, at: &Range<usize>) {
        let known: Vec<String> = keys::keys()
            .filter(|key| key.table() == OURS)
            .map(|key| key.name.to_owned())
            .collect();
        let message = format!(
            "{} is not a setting of [{OURS}]{}",
            printable(name),
            suggestion(name, &known)
        );
        self.problem(None, name, message, at);
    }

    fn value(&mut self, key: KeyInfo, name: Range<usize>, value: &DeValue<'_>, span: Range<usize>) {
        let text = match value {
            DeValue::String(text) => Some(text.to_string()),
            _ if key.is_text => None,
            DeValue::Integer(number) => {
                let parsed = i128::from_str_radix(number.as_str(), number.radix());
                Some(parsed.map_or_else(|_| number.to_string(), |number| number.to_string()))
            }
            DeValue::Float(number) => Some(number.as_str().trim_start_matches('+').to_owned()),
            DeValue::Boolean(switch) => Some(switch.to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        if let Some(text) = text {
            let source = self.source(&name);
            self.found.values.push((key, text, source));
            return;
        }
        let raw = match key.name {
            _ if key.is_secret => "***".to_owned(),
            name => match self.text.get(span).unwrap_or_default() {
                // A URL, whose password is not to be shown.
                text if name == STORE && text.contains(['@', ':']) => "***".to_owned(),
                text => printable(text),
            },
        };
        let quotes = if key.is_text { "text in quotes: " } else { "" };
        let message = format!("{} = {raw}: must be {quotes}{}", key.name, key.allowed);
        self.problem(Some(key.name), key.name, message, &name);
    }
}
