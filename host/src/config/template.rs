//! A configuration file to begin with.

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use super::error::ConfigError;
use super::keys::{self, ENABLE};
use crate::private;

const HEAD: &str = "\
# Configuration of mcp-reporter. A key that is commented out has the value shown.
# Before this file go environment variables (MCP_REPORTER_ and the key in capitals)
# and, before those, flags. Relative paths start at the folder of this file.
";

/// The text: every key with what it is for, what is allowed and its default.
pub(super) fn template() -> String {
    let mut text = HEAD.to_owned();
    let mut table = "";
    for key in keys::keys() {
        if key.table() != table {
            table = key.table();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\n[{table}]");
        }
        let value = key.default.unwrap_or_default();
        let quote = if key.is_text { "\"" } else { "" };
        let off = if key.name == ENABLE { "" } else { "#" };
        let _ = write!(
            text,
            "\n# {}\n# Must be {}.\n{off}{} = {quote}{value}{quote}\n",
            key.doc, key.allowed, key.name
        );
    }
    text
}

/// Writes the text to a new file that only its owner can read.
pub(super) fn write(path: &Path) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        private::make_folders(folder).map_err(failed)?;
    }
    match private::make_new_file(path) {
        Ok(mut file) => file.write_all(template().as_bytes()).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(ConfigError::Exists {
            path: path.to_owned(),
        }),
        Err(error) => Err(failed(error)),
    }
}
