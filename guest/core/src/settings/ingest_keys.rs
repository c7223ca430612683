//! Who may send events here.

use core::fmt;
use core::hint::black_box;

use super::ApiKey;
use crate::prelude::*;

/// `ingest_keys`: the keys that let a request in. None lets none in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct IngestKeys(Vec<ApiKey>);

impl IngestKeys {
    /// Most keys.
    const MOST: usize = 64;

    /// Takes keys separated by commas, with or without spaces around them; none when one of them
    /// is malformed or there are too many.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut keys = Vec::new();
        for key in text.split(',').map(str::trim) {
            if key.contains(' ') || keys.len() == Self::MOST {
                return None;
            }
            keys.push(ApiKey::new(key).ok()?);
        }
        Some(Self(keys))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `token` is one of them. How long that takes says nothing of the keys but how many
    /// they are.
    pub(crate) fn have(&self, token: &[u8]) -> bool {
        let mut found = false;
        for key in &self.0 {
            found |= same(key.expose().as_bytes(), token);
        }
        found
    }
}

fn same(key: &[u8], token: &[u8]) -> bool {
    let mut different = usize::from(key.len() != token.len());
    for (at, byte) in token.iter().enumerate() {
        // A key has at least one byte.
        let expected = key.get(at % key.len().max(1)).copied().unwrap_or_default();
        different |= usize::from(black_box(byte ^ expected));
    }
    black_box(different) == 0
}

impl fmt::Debug for IngestKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
