//! Files that are replaced whole: whoever reads one meanwhile sees either the old or the new.

use std::ffi::OsString;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes `bytes` into a new file beside `target`, made as `options` have it and given `mode` if
/// there is one, and puts it in its place.
///
/// # Errors
///
/// It cannot be written. `target` is as it was then.
pub fn replace(
    target: &Path,
    bytes: &[u8],
    mut options: OpenOptions,
    mode: Option<Permissions>,
) -> io::Result<()> {
    let temporary = beside(
        target,
        ".",
        &format!(".mcp-reporter.{}.tmp", std::process::id()),
    );
    let made = options.write(true).create_new(true).open(&temporary);
    let written = made.and_then(|mut file| {
        file.write_all(bytes)?;
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, target)
    });
    if written.is_err() {
        // What matters is why it could not be written.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A file in the same folder.
pub fn beside(target: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(target.file_name().unwrap_or_default());
    name.push(after);
    target.with_file_name(name)
}
