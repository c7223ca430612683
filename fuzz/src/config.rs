//! A configuration file is read or refused, in lines that a person can be
//! shown, and without the API key wherever the file is broken.
//!
//! Input: length of what stands before the line with the key, that, and what
//! follows it.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::KEY;
use crate::host_config::{Config, ConfigError, Sources};
use crate::input::Input;

thread_local! {
    /// A file to be overwritten: to make a folder each time would be most of the work.
    static FOLDER: RefCell<Option<TempDir>> = const { RefCell::new(None) };
}

/// See the [module](self).
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let before = input.some();
    let line = format!("coordinator_api_key = \"{KEY}\"\n");
    let text = [before, line.as_bytes(), input.0].concat();
    let path = file();
    fs::write(&path, &text).expect("the file is written");
    let sources = Sources {
        file: Some(path),
        ..Sources::default()
    };
    match Config::load(sources) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains(KEY) || strays(&text));
            for warning in config.warnings() {
                crate::assert_printable(warning);
            }
        }
        Err(error) => {
            for line in error.to_string().lines() {
                crate::assert_printable(line);
            }
            let quoted = error.to_string().contains(KEY) || format!("{error:?}").contains(KEY);
            let broken = !matches!(error, ConfigError::Invalid(_));
            assert!(!quoted || (strays(&text) && !broken), "{error:?}");
        }
    }
    let bad = format!("{KEY}{}", String::from_utf8_lossy(before));
    if let Err(error) = Config::from_pairs([
        ("enable_interaction_logging", "true"),
        ("coordinator_api_key", &bad),
    ]) {
        assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
    }
}

/// Whether the line with the key may be part of another value: then it is no
/// key, and is shown as that value is. Only a string or an array reaches over
/// the end of a line.
fn strays(text: &[u8]) -> bool {
    let at = text
        .windows(KEY.len())
        .position(|window| window == KEY.as_bytes())
        .unwrap_or_default();
    let before = &text[..at];
    let contains = |part: &[u8]| before.windows(part.len()).any(|window| window == part);
    contains(b"\"\"\"") || contains(b"'''") || contains(b"[") || contains(b"{")
}

fn file() -> PathBuf {
    FOLDER.with_borrow_mut(|folder| {
        folder
            .get_or_insert_with(|| tempfile::tempdir().expect("no temporary folder"))
            .path()
            .join("mcp_config.toml")
    })
}
