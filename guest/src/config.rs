//! The settings, from `wasi:config`.

use mcp_reporter_core::settings::{SettingError, Settings, names};

use crate::bindings::{
    Failure,
    wasi::config::store::{self, Error},
};
use crate::prelude::*;

/// Reads the settings; `None` while reporting is switched off.
pub fn settings() -> Result<Option<Settings>, Failure> {
    let pairs = pairs().map_err(|error| {
        let (Error::Upstream(text) | Error::Io(text)) = error;
        Failure::NotConfigured(["the runtime's configuration cannot be read: ", &text].concat())
    })?;
    let pairs = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    Settings::from_pairs(pairs).map_err(|errors| {
        let sentences: Vec<String> = errors.iter().map(SettingError::message).collect();
        Failure::NotConfigured(sentences.join("; "))
    })
}

fn pairs() -> Result<Vec<(String, String)>, Error> {
    // Some runtimes hand out single keys only.
    if let Ok(pairs) = store::get_all() {
        return Ok(pairs);
    }
    let mut pairs = Vec::new();
    for name in names() {
        if let Some(value) = store::get(name)? {
            pairs.push((name.to_owned(), value));
        }
    }
    Ok(pairs)
}
