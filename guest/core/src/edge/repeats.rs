//! Requests that come again.
//!
//! A client that got no answer sends the same request once more, with the same `Idempotency-Key`.
//! What was answered to it first is kept under
//!
//! ```text
//! i.<days since 1970-01-01 UTC, 5 digits>.<hash of the key, 16 hex>
//! ```
//!
//! and is written together with the event, after it where the store does one after the other: so
//! where there is an answer, there was the event. The value is
//!
//! | bytes | |
//! | --- | --- |
//! | 1 | version, 1 |
//! | 8 | checksum of what follows |
//! | 8 | hash of the body |
//! | 1 | length of the key |
//! | | the key, then the body of the answer, to the end |
//!
//! One that is damaged counts as none: the event is then stored twice, under one idempotency key.
//!
//! It is looked for under today and yesterday. The drainer keeps the newest 10,000 of them.

use crate::digits;
use crate::outbox::{Reader, checksum};
use crate::prelude::*;
use crate::sort::sort;
use crate::store::{Now, Store, StoreError};
use crate::text::{ascii, decimal};

/// What the names of their keys begin with.
const PREFIX: &str = "i.";
/// How many are kept.
const KEPT: usize = 10_000;
const VERSION: u8 = 1;
const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// Of the names in the store those of the oldest answers, beyond the number that is kept.
pub(crate) fn too_many(names: &[String]) -> Vec<String> {
    let answers = names.iter().map(String::as_str);
    let mut answers: Vec<&str> = answers.filter(|name| name.starts_with(PREFIX)).collect();
    let more = answers.len().saturating_sub(KEPT);
    if more > 0 {
        sort(&mut answers, |a, b| a < b);
    }
    answers[..more]
        .iter()
        .map(|name| (*name).to_owned())
        .collect()
}

/// A request that may have come before.
pub(super) struct Repeat<'a> {
    key: &'a str,
    body: u64,
    /// Where its answer is kept, today and yesterday.
    names: [String; 2],
}

/// What came before under the same key.
pub(super) enum Before {
    /// The same request; this was answered.
    Same(String),
    /// Another one.
    Other,
}

impl<'a> Repeat<'a> {
    pub(super) fn new(key: &'a str, body: &[u8], now: Now) -> Self {
        let today = now.wall_ns / DAY_NS;
        let hash = ascii(digits::hex(checksum(key.as_bytes())).to_vec());
        let name = |day: u64| {
            let day = decimal(day);
            [PREFIX, &day, ".", &hash].concat()
        };
        Self {
            key,
            body: checksum(body),
            names: [name(today), name(today.saturating_sub(1))],
        }
    }

    /// What came before, if anything did that is still known.
    pub(super) fn before(&self, store: &mut dyn Store) -> Result<Option<Before>, StoreError> {
        let values = store.get_many(&self.names)?;
        let found = values.into_iter().flatten();
        Ok(found.filter_map(|value| self.read(&value)).next())
    }

    /// None when the value is damaged, or is another key's of the same hash.
    fn read(&self, value: &[u8]) -> Option<Before> {
        let mut reader = Reader { bytes: value };
        if reader.u8()? != VERSION {
            return None;
        }
        if reader.u64()? != checksum(reader.bytes) {
            return None;
        }
        let body = reader.u64()?;
        let length = reader.u8()?;
        if reader.take(length.into())? != self.key.as_bytes() {
            return None;
        }
        let answer = core::str::from_utf8(reader.bytes).ok()?;
        Some(if body == self.body {
            Before::Same(answer.to_owned())
        } else {
            Before::Other
        })
    }

    /// What to write so that the answer is known next time.
    pub(super) fn remember(&mut self, answer: &str) -> (String, Vec<u8>) {
        let mut value = vec![VERSION];
        value.extend_from_slice(&[0; 8]);
        value.extend_from_slice(&self.body.to_le_bytes());
        // At most 128.
        value.push(self.key.len() as u8);
        value.extend_from_slice(self.key.as_bytes());
        value.extend_from_slice(answer.as_bytes());
        let sum = checksum(&value[9..]);
        value[1..9].copy_from_slice(&sum.to_le_bytes());
        (core::mem::take(&mut self.names[0]), value)
    }
}
