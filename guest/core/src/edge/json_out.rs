//! JSON that goes out: small objects, put together in order.

use core::time::Duration;

use super::answers::whole_ms;
use crate::event::push_seconds;
use crate::prelude::*;
use crate::text::{ascii, decimal};

/// An object that is being written.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        let comma = if self.0.len() > 1 { ",\"" } else { "\"" };
        for part in [comma, name, "\":", value] {
            self.0.push_str(part);
        }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.raw(name, &string(value));
    }

    pub(super) fn text_or_null(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.raw(name, "null"),
        }
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &decimal(value));
    }

    pub(super) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A span, in seconds to the millisecond.
    pub(super) fn seconds(&mut self, name: &str, value: Option<Duration>) {
        match value {
            Some(span) => self.timestamp(name, whole_ms(span).saturating_mul(1_000_000)),
            None => self.raw(name, "null"),
        }
    }

    /// A time since 1970-01-01 UTC in seconds to the microsecond, as Python's clock has it.
    pub(super) fn timestamp(&mut self, name: &str, ns: u64) {
        let mut out = Vec::new();
        push_seconds(&mut out, ns / 1000 * 1000);
        self.raw(name, &ascii(out));
    }

    /// A time as RFC 3339 has it, in UTC.
    pub(super) fn time(&mut self, name: &str, ns: u64) {
        self.text(name, &crate::date::rfc3339(ns));
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// An array of values that are JSON already.
pub(super) fn array(values: impl IntoIterator<Item = String>) -> String {
    let mut out = String::from("[");
    for value in values {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&value);
    }
    out.push(']');
    out
}

/// `text` as a JSON string.
pub(super) fn string(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\x1f' => {
                let (high, low) = (c as usize >> 4, c as usize & 15);
                out.push_str("\\u00");
                out.extend([HEX[high], HEX[low]].map(char::from));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
