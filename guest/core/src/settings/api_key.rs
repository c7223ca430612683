//! The secret that the coordinator knows this program by.

use core::fmt;

use super::key::{API_KEY, SettingError};
use crate::prelude::*;

/// Longest key, in bytes: what servers commonly take as one header line.
const MAX_BYTES: usize = 4096;

/// The API key. Never shown: `Debug` prints `***`, there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes 1 to 4096 printable ASCII characters without a space at either end.
    ///
    /// A header cannot carry a line break, and it loses a space at its ends: such
    /// a key would be refused by the coordinator as a wrong one.
    ///
    /// # Errors
    ///
    /// Anything else. The error does not show the key.
    pub fn new(text: &str) -> Result<ApiKey, SettingError> {
        let printable = text.bytes().all(|b| matches!(b, b' '..=b'~'));
        let ends = text.starts_with(' ') || text.ends_with(' ');
        if printable && !ends && !text.is_empty() && text.len() <= MAX_BYTES {
            Ok(ApiKey(text.to_owned()))
        } else {
            Err(SettingError::bad(&API_KEY, text))
        }
    }

    /// The key itself, for the `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
