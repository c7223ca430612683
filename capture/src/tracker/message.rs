//! JSON-RPC messages, parsed no deeper than needed.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The head of a message. Values are the bytes of the wire.
#[derive(Debug)]
pub(super) struct Message<'a> {
    pub id: Option<&'a RawValue>,
    pub method: Option<Cow<'a, str>>,
    pub params: Option<&'a RawValue>,
    pub result: Option<&'a RawValue>,
    pub error: Option<&'a RawValue>,
}

impl<'a> Message<'a> {
    /// None for what is no message: a method is a text.
    fn parse(json: &'a str) -> Option<Self> {
        let head: Head<'_> = serde_json::from_str(json).ok()?;
        let method = text(head.method);
        (method.is_some() == head.method.is_some()).then_some(Self {
            id: head.id,
            method,
            params: head.params,
            result: head.result,
            error: head.error,
        })
    }
}

/// The messages of a line or a body: one, or a batch.
pub(super) fn messages(json: &str) -> Vec<Message<'_>> {
    match json.bytes().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Message::parse(json).into_iter().collect(),
        Some(b'[') => {
            // One that is not a message does not hide the others.
            let all: Vec<&RawValue> = serde_json::from_str(json).unwrap_or_default();
            all.iter()
                .filter_map(|raw| Message::parse(raw.get()))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A member's name, copied only where it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Objects of which some members are read. A field of a type that it must not have is as good as
/// absent, and of members of one name the last counts, as for most peers: whoever writes one twice
/// does not hide the message.
macro_rules! objects {
    ($($(#[$doc:meta])* $object:ident { $($field:ident = $($name:literal)|+,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $object<'a> {
            $(pub $field: Option<&'a RawValue>,)*
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $object<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Members;
                impl<'de> Visitor<'de> for Members {
                    type Value = $object<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut object = $object::default();
                        while let Some(Name(name)) = map.next_key()? {
                            match &*name {
                                $($($name)|+ => object.$field = map.next_value()?,)*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(Members)
            }
        }
    )*};
}

objects! {
    /// [`Message`], before its method is known to be a text.
    Head {
        id = "id",
        method = "method",
        params = "params",
        result = "result",
        error = "error",
    }

    /// What is read of `params`.
    Params {
        name = "name",
        uri = "uri",
        arguments = "arguments",
        request_state = "requestState",
        input_responses = "inputResponses",
        request_id = "requestId",
        reason = "reason",
        progress_token = "progressToken",
        progress = "progress",
        total = "total",
        message = "message",
        task_id = "taskId",
        meta = "_meta",
    }

    /// What is read of a `result`.
    Outcome {
        result_type = "resultType",
        request_state = "requestState",
        input_requests = "inputRequests",
        is_error = "isError",
        content = "content",
        protocol_version = "protocolVersion",
        server_info = "serverInfo",
        task = "task",
        tasks = "tasks",
        meta = "_meta",
    }

    /// What is read of a task: of a result, a notification, or an entry of a list.
    Task {
        id = "taskId",
        status = "status",
        status_message = "statusMessage",
        result = "result",
        error = "error",
    }

    /// What is read of `_meta`.
    Meta {
        progress_token = "progressToken",
        traceparent = "traceparent",
        protocol_version = "io.modelcontextprotocol/protocolVersion",
        server_info = "io.modelcontextprotocol/serverInfo",
        related_task = "io.modelcontextprotocol/related-task",
        user_id = "userId" | "user_id",
    }

    /// An error of JSON-RPC.
    RpcError {
        code = "code",
        message = "message",
    }

    /// Who an implementation says it is.
    Implementation {
        name = "name",
    }
}

/// The id of a request, or a progress token: a string or a number, which are never equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Id {
    Text(String),
    Number(String),
}

impl Id {
    /// None for what is neither.
    pub fn parse(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        if text.starts_with('"') {
            return serde_json::from_str(text).ok().map(Self::Text);
        }
        if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        // A peer that has only floating point may answer 1 where 1.0 was asked.
        let number: f64 = text.parse().ok()?;
        let whole = number.fract() == 0.0 && number.abs() < 9e15 && text.contains(['.', 'e', 'E']);
        Some(Self::Number(if whole {
            format!("{number:.0}")
        } else {
            text.to_owned()
        }))
    }

    /// As OpenTelemetry's `jsonrpc.request.id` has it.
    pub fn text(&self) -> &str {
        let (Self::Text(text) | Self::Number(text)) = self;
        text
    }
}

/// Reads the fields that are needed out of an object.
pub(super) fn read<'a, T: Deserialize<'a> + Default>(raw: Option<&'a RawValue>) -> T {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default()
}

/// The text of a JSON string.
pub(super) fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    let raw = raw?;
    serde_json::from_str::<Text<'_>>(raw.get())
        .ok()
        .map(|text| text.0)
}

/// A JSON number, as it stands.
pub(super) fn number(raw: Option<&RawValue>) -> Option<serde_json::Number> {
    serde_json::from_str(raw?.get()).ok()
}

/// The `name` of an implementation.
pub(super) fn name(raw: Option<&RawValue>) -> Option<String> {
    let named: Implementation<'_> = read(raw);
    text(named.name).map(Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &str) -> Option<Id> {
        Id::parse(&RawValue::from_string(json.to_owned()).unwrap())
    }

    #[test]
    fn ids_are_equal_by_type_and_value_however_they_are_written() {
        assert_ne!(id("1"), id("\"1\""));
        assert_eq!(id("1"), id("1.0"));
        assert_eq!(id("\"a\""), id("\"\\u0061\""));
        assert_ne!(id("9007199254740993"), id("9007199254740992"));
        assert_ne!(id("1"), id("1.5"));
        for none in ["null", "true", "{}", "[]"] {
            assert_eq!(id(none), None);
        }
    }

    #[test]
    fn a_batch_is_all_its_messages_and_a_value_among_them_hides_none() {
        let of = |text: &str| messages(text).len();
        assert_eq!(
            of(r#" [{"id":1,"method":"a"}, 7, {"method":"b","id":"x"}]"#),
            2
        );
        assert_eq!(of("{\"id\":1}\r\n"), 1);
        for none in ["", "log line", "[", "7", "{\"method\":7}"] {
            assert_eq!(of(none), 0, "{none}");
        }
    }
}
