//! What a report carries.

use mcp_reporter_core::json;
use serde::Serialize;
use serde_json::Value;

/// The payload of a report: the text of one JSON object.
///
/// A text is sent as it is, byte for byte; it is checked when it is reported,
/// not when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(String);

impl Payload {
    /// Any value that serializes to a JSON object.
    ///
    /// # Errors
    ///
    /// The value cannot be serialized.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }

    /// The same object with one more member at its end, the other bytes as
    /// they are. What is not a JSON object stays as it is: the report says so.
    #[must_use]
    pub fn with_member(self, key: &str, value: &Value) -> Self {
        let Ok(object) = json::check_object(&self.0) else {
            return self;
        };
        let inside = object[1..object.len() - 1].trim_end();
        let comma = if inside.trim_start().is_empty() {
            ""
        } else {
            ","
        };
        Self(format!("{{{inside}{comma}{}:{value}}}", Value::from(key)))
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Value> for Payload {
    fn from(value: Value) -> Self {
        Self(value.to_string())
    }
}

impl From<&Value> for Payload {
    fn from(value: &Value) -> Self {
        Self(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_added_and_the_other_bytes_stay() {
        for (text, expected) in [
            ("{}", r#"{"m":{"t":1.5}}"#),
            (" { } ", r#"{"m":{"t":1.5}}"#),
            (r#"{"a": 1e16 }"#, r#"{"a": 1e16,"m":{"t":1.5}}"#),
            ("[1]", "[1]"),
            ("nonsense", "nonsense"),
        ] {
            let payload = Payload::from(text).with_member("m", &json!({"t": 1.5}));
            assert_eq!(payload.as_str(), expected);
        }
    }
}
