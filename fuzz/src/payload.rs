//! A payload becomes an event: the body is JSON, equal to what was reported,
//! with the caller's bytes unchanged; what another reader takes is refused only
//! for the reasons that the module `json` names.
//!
//! Input: action, length of the id, id, payload.

use mcp_reporter_core::event::{Action, InvalidReport, Report, push_body};
use mcp_reporter_core::json::JsonError;
use serde_json::Value;

use crate::input::Input;

/// As large as an event may be by default.
const MAX_BYTES: usize = 262_144;

/// See the [module](self).
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let action = Action::ALL[usize::from(input.byte()) % Action::ALL.len()];
    let id = input.text();
    let data = String::from_utf8_lossy(input.0);
    // How serde_json marks a number of any length within its own data model.
    if data.contains("$serde_json") || data.contains("\\u0024") {
        return;
    }
    let report = Report {
        action,
        interaction_id: &id,
        data: &data,
        timestamp_ns: None,
        mcp_id: None,
        idempotency_key: None,
        traceparent: None,
    };
    let good_id = !id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control);
    let mut body = Vec::new();
    let now_ns = 1_718_000_000_123_456_000;
    match push_body(&mut body, &report, "m", now_ns, MAX_BYTES) {
        Ok(()) => {
            assert!(good_id);
            let value = parse(&body).expect("the body is not JSON");
            assert_eq!(value["action"], action.name());
            assert_eq!(value["interaction_id"], id);
            assert_eq!(value["mcp_id"], "m");
            assert_eq!(value["timestamp"].to_string(), "1718000000.123456");
            assert_eq!(value.as_object().map(|object| object.len()), Some(5));
            let sent = &value[action.data_key()];
            assert_eq!(Some(sent), parse(data.as_bytes()).as_ref());
            let trimmed = data.trim_matches([' ', '\t', '\n', '\r']);
            let end = body.strip_suffix(b"}").expect("an object");
            assert!(end.ends_with(trimmed.as_bytes()), "the payload was changed");
        }
        Err(InvalidReport::Data(problem)) => {
            crate::assert_printable(&problem.message());
            let known = matches!(
                problem,
                JsonError::Overflow { .. } | JsonError::DuplicateKey { .. } | JsonError::TooDeep
            );
            let object = parse(data.as_bytes()).is_some_and(|value| value.is_object());
            assert!(known || !object, "refused, and is an object: {problem:?}");
        }
        Err(InvalidReport::Id { .. }) => assert!(!good_id),
        Err(InvalidReport::TooLarge { bytes, limit }) => assert!(bytes > limit),
        Err(error @ InvalidReport::Header { .. }) => panic!("there was no header: {error}"),
    }
}

/// What another reader makes of `text`; none where it is not JSON.
pub(crate) fn parse(text: &[u8]) -> Option<Value> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    reader.disable_recursion_limit();
    let value = serde::Deserialize::deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    Some(value)
}
