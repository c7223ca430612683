//! Events: what a report becomes on the wire.

use crate::digits;
use crate::errors_by_message;
use crate::json::{self, JsonError};
use crate::prelude::*;
use crate::text::{ascii, decimal, push_decimal};

/// Longest interaction id or MCP id, in bytes.
pub const MAX_ID_BYTES: usize = 256;
/// Longest idempotency key or `traceparent`, in bytes.
pub const MAX_HEADER_BYTES: usize = 255;

/// What happened in an interaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It began.
    Start,
    /// It goes on.
    Progress,
    /// It ended well.
    Complete,
    /// It ended with an error.
    Error,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 4] = [Self::Start, Self::Progress, Self::Complete, Self::Error];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "interaction_start",
            Self::Progress => "interaction_progress",
            Self::Complete => "interaction_complete",
            Self::Error => "interaction_error",
        }
    }

    /// The member of the body that holds the payload.
    #[must_use]
    pub fn data_key(self) -> &'static str {
        match self {
            Self::Start => "request_data",
            Self::Progress => "progress_data",
            Self::Complete => "result_data",
            Self::Error => "error_data",
        }
    }

    /// What of its body comes before the interaction id, and what before the payload.
    fn frame(self) -> (&'static str, &'static str) {
        match self {
            Self::Start => (
                r#"{"action":"interaction_start","interaction_id":""#,
                r#","request_data":"#,
            ),
            Self::Progress => (
                r#"{"action":"interaction_progress","interaction_id":""#,
                r#","progress_data":"#,
            ),
            Self::Complete => (
                r#"{"action":"interaction_complete","interaction_id":""#,
                r#","result_data":"#,
            ),
            Self::Error => (
                r#"{"action":"interaction_error","interaction_id":""#,
                r#","error_data":"#,
            ),
        }
    }
}

/// One report, as the caller gives it.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// What happened.
    pub action: Action,
    /// Which interaction.
    pub interaction_id: &'a str,
    /// The payload: the text of one JSON object.
    pub data: &'a str,
    /// When it happened, in nanoseconds since 1970-01-01 UTC; none for now.
    pub timestamp_ns: Option<u64>,
    /// The MCP program; none for the configured one.
    pub mcp_id: Option<&'a str>,
    /// The idempotency key; none for a new UUID.
    pub idempotency_key: Option<&'a str>,
    /// The W3C `traceparent` to send along.
    pub traceparent: Option<&'a str>,
}

/// Why a report is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InvalidReport {
    /// The payload.
    Data(JsonError),
    /// The event is larger than `max_event_bytes`.
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An interaction id or MCP id.
    Id {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An idempotency key or `traceparent`.
    Header {
        /// Which one.
        name: &'static str,
    },
}

impl InvalidReport {
    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Data(problem) => ["data ", &problem.message()].concat(),
            Self::TooLarge { bytes, limit } => [
                "the event has ",
                &decimal(*bytes as u64),
                " bytes, more than max_event_bytes = ",
                &decimal(*limit as u64),
            ]
            .concat(),
            Self::Id { name, problem } => [
                name,
                " ",
                problem,
                ": it must have 1 to ",
                &decimal(MAX_ID_BYTES as u64),
                " bytes and no control characters",
            ]
            .concat(),
            Self::Header { name } => [
                name,
                " is malformed: it must have 1 to ",
                &decimal(MAX_HEADER_BYTES as u64),
                " visible ASCII characters other than `\"` and `\\`",
            ]
            .concat(),
        }
    }
}

errors_by_message!(InvalidReport);

/// Checks an interaction id, or an MCP id.
///
/// # Errors
///
/// It is empty, too long, or holds a control character.
pub fn check_id(name: &'static str, id: &str) -> Result<(), InvalidReport> {
    let problem = if id.is_empty() {
        "is empty"
    } else if id.len() > MAX_ID_BYTES {
        "is too long"
    } else if has_control(id.as_bytes()) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(InvalidReport::Id { name, problem })
}

/// Whether the UTF-8 `text` has a control character: U+0000 to U+001F, or U+007F to U+009F.
fn has_control(mut text: &[u8]) -> bool {
    loop {
        text = text
            .get(json::plain_bytes(text, 0x7f, 0xc2)..)
            .unwrap_or_default();
        match text {
            [] => return false,
            [0xc2, 0xa0..=0xbf, rest @ ..] => text = rest,
            _ => return true,
        }
    }
}

fn check_header(name: &'static str, value: Option<&str>) -> Result<(), InvalidReport> {
    match value {
        Some(value) if !is_header(value) => Err(InvalidReport::Header { name }),
        _ => Ok(()),
    }
}

/// Whether `text` can be an idempotency key or a `traceparent`.
#[must_use]
pub fn is_header(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    (1..=MAX_HEADER_BYTES).contains(&text.len()) && text.bytes().all(good)
}

/// The longest that a body is without its payload and ids.
const FRAME_BYTES: usize = 160;

/// About how many bytes the body of `report` has.
#[must_use]
pub fn body_capacity(report: &Report<'_>) -> usize {
    report.data.len() + report.interaction_id.len() + FRAME_BYTES
}

/// Appends the body of the event: compact JSON with the old client's keys in its
/// order, and the caller's payload as its own bytes.
pub fn push_body(
    out: &mut Vec<u8>,
    report: &Report<'_>,
    default_mcp_id: &str,
    now_ns: u64,
    max_bytes: usize,
) -> Result<(), InvalidReport> {
    check_id("interaction_id", report.interaction_id)?;
    let mcp_id = report.mcp_id.unwrap_or(default_mcp_id);
    check_id("mcp_id", mcp_id)?;
    check_header("idempotency_key", report.idempotency_key)?;
    check_header("traceparent", report.traceparent)?;
    // Before the payload is read, so that a huge one costs nothing.
    let too_large = |bytes| InvalidReport::TooLarge {
        bytes,
        limit: max_bytes,
    };
    if report.data.len() > max_bytes {
        return Err(too_large(report.data.len()));
    }
    let data = json::check_object(report.data).map_err(InvalidReport::Data)?;

    let start = out.len();
    // In as few pieces as there are: each copy of a few bytes is a call of the runtime.
    let (head, data_key) = report.action.frame();
    out.extend_from_slice(head.as_bytes());
    push_escaped(out, report.interaction_id);
    out.extend_from_slice(b"\",\"mcp_id\":\"");
    push_escaped(out, mcp_id);
    out.extend_from_slice(b"\",\"timestamp\":");
    // The old client's clock counts microseconds; a time that the caller gives keeps all it has.
    push_seconds(out, report.timestamp_ns.unwrap_or(now_ns / 1000 * 1000));
    out.extend_from_slice(data_key.as_bytes());
    out.extend_from_slice(data.as_bytes());
    out.push(b'}');
    let bytes = out.len() - start;
    if bytes > max_bytes {
        return Err(too_large(bytes));
    }
    Ok(())
}

/// A text without control characters, as it stands in a JSON string.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(json::plain_bytes(rest, b'"', b'\\'));
        out.extend_from_slice(plain);
        let Some((special, after)) = special.split_first() else {
            return;
        };
        out.extend_from_slice(&[b'\\', *special]);
        rest = after;
    }
}

/// Appends seconds with a fraction, as Python's `repr` of the same double: no trailing
/// zeros, at least one digit after the point.
pub fn push_seconds(out: &mut Vec<u8>, ns: u64) {
    let digits = digits::decimal(ns);
    let mut text = [b'.'; 25];
    text[..15].copy_from_slice(&digits[..15]);
    text[16..].copy_from_slice(&digits[15..]);
    let zero = |digit: &&u8| **digit == b'0';
    let start = text[..14].iter().take_while(zero).count();
    let unused = text[17..].iter().rev().take_while(zero).count();
    out.extend_from_slice(&text[start..25 - unused]);
}

/// A new interaction id: `int_{unix seconds}_{8 hex digits}`.
#[must_use]
pub fn new_interaction_id(now_ns: u64, random: u32) -> String {
    let mut out = b"int_".to_vec();
    push_decimal(&mut out, now_ns / 1_000_000_000);
    out.push(b'_');
    out.extend_from_slice(&digits::hex(random.into())[8..]);
    ascii(out)
}

/// How long a new idempotency key is.
pub const KEY_BYTES: usize = uuid::fmt::Hyphenated::LENGTH;

/// A new idempotency key: a UUID of version 7.
pub fn new_idempotency_key(buffer: &mut [u8; KEY_BYTES], now_ns: u64, random: [u8; 10]) -> &str {
    uuid::Builder::from_unix_timestamp_millis(now_ns / 1_000_000, &random)
        .into_uuid()
        .hyphenated()
        .encode_lower(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(
        report: &Report<'_>,
        default_mcp_id: &str,
        now_ns: u64,
        max_bytes: usize,
    ) -> Result<Vec<u8>, InvalidReport> {
        let mut out = b"before".to_vec();
        push_body(&mut out, report, default_mcp_id, now_ns, max_bytes)?;
        Ok(out.split_off("before".len()))
    }

    fn report<'a>(action: Action, id: &'a str, data: &'a str) -> Report<'a> {
        Report {
            action,
            interaction_id: id,
            data,
            timestamp_ns: None,
            mcp_id: None,
            idempotency_key: None,
            traceparent: None,
        }
    }

    fn text(report: &Report<'_>) -> String {
        String::from_utf8(body(report, "m1", 1_718_000_000_123_456_789, 1 << 18).unwrap()).unwrap()
    }

    #[test]
    fn body_has_the_old_shape_key_order_and_the_callers_bytes() {
        assert_eq!(
            text(&report(
                Action::Start,
                "int_1_a",
                " {\"b\": 1,  \"a\": 1e16}\n"
            )),
            r#"{"action":"interaction_start","interaction_id":"int_1_a","mcp_id":"m1","timestamp":1718000000.123456,"request_data":{"b": 1,  "a": 1e16}}"#
        );
        for (action, key) in [
            (Action::Progress, "\"progress_data\":{}}"),
            (Action::Complete, "\"result_data\":{}}"),
            (Action::Error, "\"error_data\":{}}"),
        ] {
            assert!(text(&report(action, "i", "{}")).ends_with(key));
        }
    }

    #[test]
    fn ids_are_escaped_and_the_reports_own_mcp_id_and_time_win() {
        let mut r = report(Action::Error, "a\"b\\é", "{}");
        r.mcp_id = Some("other");
        r.timestamp_ns = Some(1_718_000_000_123_456_700);
        assert_eq!(
            text(&r),
            r#"{"action":"interaction_error","interaction_id":"a\"b\\é","mcp_id":"other","timestamp":1718000000.1234567,"error_data":{}}"#
        );
    }

    #[test]
    fn seconds_look_as_python_prints_them() {
        for (ns, printed) in [
            (0, "0.0"),
            (1_000_000_000, "1.0"),
            (1_718_000_000_100_000_000, "1718000000.1"),
            (1_718_000_000_000_001_000, "1718000000.000001"),
            (10_000_000_000, "10.0"),
        ] {
            let mut out = Vec::new();
            push_seconds(&mut out, ns);
            assert_eq!(out, printed.as_bytes());
        }
    }

    #[test]
    fn malformed_ids_and_headers_are_refused_by_name() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        for (id, problem) in [
            ("", "is empty"),
            (&long, "is too long"),
            ("a\nb", "holds a control"),
        ] {
            let e = body(&report(Action::Start, id, "{}"), "m", 0, 1000)
                .unwrap_err()
                .to_string();
            assert!(
                e.starts_with("interaction_id ") && e.contains(problem),
                "{e}"
            );
        }
        let mut r = report(Action::Start, "i", "{}");
        r.idempotency_key = Some("a b");
        let e = body(&r, "m", 0, 1000).unwrap_err().to_string();
        assert!(e.starts_with("idempotency_key is malformed"), "{e}");
    }

    #[test]
    fn an_event_over_the_limit_is_refused_with_both_sizes() {
        let data = format!("{{\"a\":\"{}\"}}", "x".repeat(1000));
        assert_eq!(
            body(&report(Action::Start, "i", &data), "m", 0, 1000)
                .unwrap_err()
                .to_string(),
            "the event has 1008 bytes, more than max_event_bytes = 1000"
        );
    }

    #[test]
    fn ids_and_keys_have_their_documented_form() {
        let id = new_interaction_id(1_718_000_000_999_999_999, 0x0403_0201);
        assert_eq!(id, "int_1718000000_04030201");
        let mut buffer = [0; KEY_BYTES];
        let key = new_idempotency_key(&mut buffer, 1_718_000_000_000_000_000, [7; 10]);
        assert_eq!(key.len(), 36);
        assert_eq!(key.as_bytes()[14], b'7');
    }
}
