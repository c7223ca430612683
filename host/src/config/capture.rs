//! The keys of capture: what of the MCP traffic is reported. `wrap` and `proxy` read them.

use mcp_reporter_capture::{Body, CaptureSettings, Method};

use super::keys::KeyInfo;

const CAPTURE: &str = "capture";
const METHODS: &str = "capture_methods";
const REDACT: &str = "redact";
const MAX_FIELD_BYTES: &str = "max_field_bytes";
const SAMPLING: &str = "sampling";
const KEEP_ERRORS: &str = "sampling_keep_errors";
const USER_ID: &str = "user_id";

pub(super) static KEYS: [KeyInfo; 7] = [
    KeyInfo {
        name: CAPTURE,
        default: Some("metadata"),
        allowed: "metadata, arguments, results or all",
        doc: "What of the MCP traffic is reported beside sizes, names and ids; secrets are redacted always.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: METHODS,
        default: None,
        allowed: "a list, with commas, of completion/complete, sampling/createMessage and elicitation/create",
        doc: "Requests to report beside tools/call, prompts/get and resources/read.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: REDACT,
        default: None,
        allowed: "a list of names, with commas",
        doc: "Further fields whose values are secret, by a part of their names; case, - and _ do not count.",
        is_text: true,
        is_secret: false,
    },
    KeyInfo {
        name: MAX_FIELD_BYTES,
        default: Some("4096"),
        allowed: "a whole number from 64 to 65536",
        doc: "Most bytes of a captured text; what is over is cut, and marked.",
        is_text: false,
        is_secret: false,
    },
    KeyInfo {
        name: SAMPLING,
        default: Some("1.0"),
        allowed: "a number from 0.0 to 1.0",
        doc: "Share of the MCP interactions that are reported.",
        is_text: false,
        is_secret: false,
    },
    KeyInfo {
        name: KEEP_ERRORS,
        default: Some("false"),
        allowed: "true or false",
        doc: "Whether those that end with an error are reported whatever sampling says.",
        is_text: false,
        is_secret: false,
    },
    KeyInfo {
        name: USER_ID,
        default: None,
        allowed: "1 to 256 bytes",
        doc: "The user on whose behalf the MCP client works.",
        is_text: true,
        is_secret: false,
    },
];

/// Whether `text` is a value of this key; none for a key that is not one of these.
pub(super) fn check(name: &str, text: &str) -> Option<bool> {
    Some(match name {
        CAPTURE => body(text).is_some(),
        METHODS => methods(text).is_some(),
        REDACT => true,
        MAX_FIELD_BYTES => max_field_bytes(text).is_some(),
        SAMPLING => sampling(text).is_some(),
        KEEP_ERRORS => keep_errors(text).is_some(),
        USER_ID => (1..=256).contains(&text.len()),
        _ => return None,
    })
}

/// The settings that these texts are; those that are not well-formed were refused before.
pub(super) fn read<'a>(text: impl Fn(&str) -> Option<&'a str>) -> CaptureSettings {
    let default = CaptureSettings::default();
    CaptureSettings {
        body: text(CAPTURE).and_then(body).unwrap_or(default.body),
        methods: text(METHODS).and_then(methods).unwrap_or_default(),
        redact: text(REDACT)
            .map(|text| list(text).map(str::to_owned).collect())
            .unwrap_or_default(),
        max_field_bytes: text(MAX_FIELD_BYTES)
            .and_then(max_field_bytes)
            .unwrap_or(default.max_field_bytes),
        sampling: text(SAMPLING)
            .and_then(sampling)
            .unwrap_or(default.sampling),
        keep_errors: text(KEEP_ERRORS)
            .and_then(keep_errors)
            .unwrap_or(default.keep_errors),
        user_id: text(USER_ID).map(str::to_owned),
        ..default
    }
}

fn body(text: &str) -> Option<Body> {
    Some(match text {
        "metadata" => Body::Metadata,
        "arguments" => Body::Arguments,
        "results" => Body::Results,
        "all" => Body::All,
        _ => return None,
    })
}

fn methods(text: &str) -> Option<Vec<Method>> {
    let method = |name| {
        Some(match name {
            "completion/complete" => Method::Complete,
            "sampling/createMessage" => Method::Sampling,
            "elicitation/create" => Method::Elicitation,
            _ => return None,
        })
    };
    list(text).map(method).collect()
}

fn max_field_bytes(text: &str) -> Option<usize> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.filter(|number| (64..=65_536).contains(number))
}

fn sampling(text: &str) -> Option<f64> {
    let share: f64 = text.parse().ok()?;
    (0.0..=1.0).contains(&share).then_some(share)
}

fn keep_errors(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
}
