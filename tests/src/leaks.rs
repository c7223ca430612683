//! Where a secret must not be: looked for in bytes, texts and folders, so that
//! each new place a program writes to is one more line in a test.

use std::fs;
use std::path::Path;

use crate::KEY;

/// Whether the API key stands in `bytes`.
pub fn holds_the_key(bytes: &[u8]) -> bool {
    holds(bytes, KEY)
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes
        .windows(secret.len())
        .any(|window| window == secret.as_bytes())
}

/// The lines of a log in which the API key stands.
pub fn lines_with_the_key(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains(KEY)).collect()
}

/// Every file under `folder` in which the API key stands.
pub fn files_with_the_key(folder: &Path) -> Vec<String> {
    files_with(folder, KEY)
}

/// Every file under `folder` in which this secret stands.
pub fn files_with(folder: &Path, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            found.extend(files_with(&path, secret));
        } else if holds(&fs::read(&path).unwrap_or_default(), secret) {
            // A file that cannot be read is one of SQLite's own, which come and go.
            found.push(path.display().to_string());
        }
    }
    found
}
