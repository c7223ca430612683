//! The file that holds the API key, and who else can read a file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use mcp_reporter_core::settings::{ApiKey, printable};

/// More than the longest key and a line ending; a larger file is not read.
const MOST_BYTES: u64 = 8192;

/// Reads the key in the file at `path`, without its last newline.
///
/// The error goes on after the file's name, and never shows what is in it.
pub(super) fn read(path: &Path) -> Result<ApiKey, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes))
        .map_err(|error: io::Error| format!("cannot read it: {error}"))?;
    // What is not UTF-8 is not ASCII either, and refused below.
    let text = String::from_utf8_lossy(&bytes);
    let line = text
        .strip_suffix('\n')
        .map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    ApiKey::new(line).map_err(|error| format!("it must hold {}", error.allowed))
}

/// A warning when others than the owner can read the file at `path`, which holds `what`.
#[cfg(unix)]
pub(super) fn exposed(path: &Path, what: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;

    let metadata = std::fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o777;
    let shown = printable(&path.display().to_string());
    (metadata.is_file() && mode & 0o044 != 0).then(|| {
        format!(
            "{shown} holds {what} and other users can read it (mode {mode:04o}): chmod 600 {shown}"
        )
    })
}

/// Other systems have no mode to look at.
#[cfg(not(unix))]
pub(super) fn exposed(_path: &Path, _what: &str) -> Option<String> {
    None
}
