//! The settings, from `wasi:config`.

use mcp_reporter_core::settings::{KEYS, LEASE_HOLDER, Settings};

use crate::bindings::{
    Failure,
    wasi::config::store::{self, Error},
};

/// Reads the settings; `None` while reporting is switched off.
pub fn settings() -> Result<Option<Settings>, Failure> {
    let pairs = pairs().map_err(|error| {
        let (Error::Upstream(text) | Error::Io(text)) = error;
        Failure::NotConfigured(format!(
            "the runtime's configuration cannot be read: {text}"
        ))
    })?;
    let pairs = pairs
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    Settings::from_pairs(pairs).map_err(|errors| {
        let sentences: Vec<String> = errors.iter().map(ToString::to_string).collect();
        Failure::NotConfigured(sentences.join("; "))
    })
}

fn pairs() -> Result<Vec<(String, String)>, Error> {
    // Some runtimes hand out single keys only.
    if let Ok(pairs) = store::get_all() {
        return Ok(pairs);
    }
    let mut pairs = Vec::new();
    for key in KEYS.into_iter().chain([&LEASE_HOLDER]) {
        if let Some(value) = store::get(key.name)? {
            pairs.push((key.name.to_owned(), value));
        }
    }
    Ok(pairs)
}
