//! The rules: names, defaults, bounds, and what is said about a bad text.

use super::{ApiKey, Endpoint, IngestKeys};
use crate::digits;
use crate::prelude::*;
use crate::text::{ascii, errors_by_message, split_once, whole};

/// A setting: its name, its default, what is allowed.
#[derive(Debug)]
pub(super) struct Rule {
    /// Name in `wasi:config` and in the configuration file.
    pub name: &'static str,
    /// The default, as one would write it; none when there is none.
    pub default: Option<&'static str>,
    /// What is allowed: goes on after "must be".
    pub allowed: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// 1 to `max` bytes, no control characters; only visible ASCII if so said.
    Text {
        max: usize,
        visible: bool,
    },
    Url,
    Secret,
    Secrets,
    Switch,
    WhenFull,
    Whole {
        min: u64,
        max: u64,
    },
    /// Decimal seconds, bounds in nanoseconds.
    Seconds {
        min: u64,
        max: u64,
    },
}

/// The least that `max_events` may be.
pub const LEAST_EVENTS: u64 = 1;
/// The least that `max_bytes` may be.
pub const LEAST_BYTES: u64 = 1024;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

pub(super) static MCP_ID: Rule = Rule {
    name: "mcp_id",
    default: None,
    allowed: "1 to 256 bytes of text without control characters",
    kind: Kind::Text {
        max: 256,
        visible: false,
    },
};
pub(super) static ENABLE: Rule = Rule {
    name: "enable_interaction_logging",
    default: Some("false"),
    allowed: "true or false (or 1 or 0)",
    kind: Kind::Switch,
};
pub(super) static URL: Rule = Rule {
    name: "coordinator_url",
    default: None,
    allowed: "an http:// or https:// URL with a host, optionally a port (1 to 65535) and a path, without query, fragment, spaces or non-ASCII",
    kind: Kind::Url,
};
pub(super) static API_KEY: Rule = Rule {
    name: "coordinator_api_key",
    default: None,
    allowed: "1 to 4096 printable ASCII characters on one line, without a space at either end",
    kind: Kind::Secret,
};
pub(super) static MAX_RETRIES: Rule = Rule {
    name: "max_retries",
    default: Some("3"),
    allowed: "a whole number from 0 to 1000",
    kind: Kind::Whole { min: 0, max: 1000 },
};
pub(super) static RETRY_DELAY: Rule = Rule {
    name: "retry_delay",
    default: Some("1.0"),
    allowed: "a number of seconds from 0.001 to 3600",
    kind: Kind::Seconds {
        min: MS,
        max: 3600 * S,
    },
};
pub(super) static DEAD_LETTER_AFTER: Rule = Rule {
    name: "dead_letter_after",
    default: Some("900"),
    allowed: "a number of seconds from 0 to 31536000",
    kind: Kind::Seconds {
        min: 0,
        max: 31_536_000 * S,
    },
};
pub(super) static REQUEST_TIMEOUT: Rule = Rule {
    name: "request_timeout",
    default: Some("5.0"),
    allowed: "a number of seconds from 0.1 to 300",
    kind: Kind::Seconds {
        min: 100 * MS,
        max: 300 * S,
    },
};
pub(super) static RATE_LIMIT: Rule = Rule {
    name: "rate_limit",
    default: Some("10"),
    allowed: "a whole number from 0 to 10000 (0 lifts the throttle)",
    kind: Kind::Whole {
        min: 0,
        max: 10_000,
    },
};
pub(super) static RATE_PERIOD: Rule = Rule {
    name: "rate_period",
    default: Some("1.0"),
    allowed: "a number of seconds from 0.001 to 3600",
    kind: Kind::Seconds {
        min: MS,
        max: 3600 * S,
    },
};
pub(super) static MAX_IN_FLIGHT: Rule = Rule {
    name: "max_in_flight",
    default: Some("16"),
    allowed: "a whole number from 1 to 256",
    kind: Kind::Whole { min: 1, max: 256 },
};
// The two upper bounds leave room for sums and percentages in 64 bits.
pub(super) static MAX_EVENTS: Rule = Rule {
    name: "max_events",
    default: Some("100000"),
    allowed: "a whole number from 1 to 1000000000000",
    kind: Kind::Whole {
        min: LEAST_EVENTS,
        max: 1_000_000_000_000,
    },
};
pub(super) static MAX_BYTES: Rule = Rule {
    name: "max_bytes",
    default: Some("268435456"),
    allowed: "a whole number from 1024 to 1000000000000000",
    kind: Kind::Whole {
        min: LEAST_BYTES,
        max: 1_000_000_000_000_000,
    },
};
pub(super) static WHEN_FULL: Rule = Rule {
    name: "when_full",
    default: Some("reject"),
    allowed: "reject or drop-oldest",
    kind: Kind::WhenFull,
};
pub(super) static MAX_EVENT_BYTES: Rule = Rule {
    name: "max_event_bytes",
    default: Some("262144"),
    allowed: "a whole number from 1024 to 16777216",
    kind: Kind::Whole {
        min: 1024,
        max: 16_777_216,
    },
};
pub(super) static DELIVER_ON_REPORT: Rule = Rule {
    name: "deliver_on_report",
    default: Some("false"),
    allowed: "true or false (or 1 or 0)",
    kind: Kind::Switch,
};
pub(super) static REPORT_BUDGET: Rule = Rule {
    name: "report_budget",
    default: Some("0.5"),
    allowed: "a number of seconds from 0.001 to 60",
    kind: Kind::Seconds {
        min: MS,
        max: 60 * S,
    },
};

pub(super) static INGEST_KEYS: Rule = Rule {
    name: "ingest_keys",
    default: None,
    allowed: "1 to 64 keys separated by commas, each of 1 to 4096 printable ASCII characters without a space or a comma",
    kind: Kind::Secrets,
};
pub(super) static EDGE_BUDGET: Rule = Rule {
    name: "edge_budget",
    default: Some("20"),
    allowed: "a number of seconds from 0 to 3600",
    kind: Kind::Seconds {
        min: 0,
        max: 3600 * S,
    },
};

/// `lease_holder`, which the host sets for each instance and no user does.
pub(super) static LEASE_HOLDER: Rule = Rule {
    name: "lease_holder",
    default: None,
    allowed: "1 to 128 visible ASCII characters",
    kind: Kind::Text {
        max: 128,
        visible: true,
    },
};

/// All settings, those that users make in the order in which documentation lists them.
static RULES: [&Rule; 20] = [
    &MCP_ID,
    &ENABLE,
    &URL,
    &API_KEY,
    &MAX_RETRIES,
    &RETRY_DELAY,
    &DEAD_LETTER_AFTER,
    &REQUEST_TIMEOUT,
    &RATE_LIMIT,
    &RATE_PERIOD,
    &MAX_IN_FLIGHT,
    &MAX_EVENTS,
    &MAX_BYTES,
    &WHEN_FULL,
    &MAX_EVENT_BYTES,
    &DELIVER_ON_REPORT,
    &REPORT_BUDGET,
    &INGEST_KEYS,
    &EDGE_BUDGET,
    &LEASE_HOLDER,
];

/// The names of all settings.
pub fn names() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.name)
}

/// Whether `text` is a value that the setting `name` may have. A name that is no setting is not
/// this module's to judge, and passes.
///
/// # Errors
///
/// What is wrong with the text; the API key and credentials are not shown.
pub fn check(name: &str, text: &str) -> Result<(), SettingError> {
    RULES
        .iter()
        .find(|rule| rule.name == name)
        .map_or(Ok(()), |rule| rule.check(text))
}

impl Rule {
    /// Whether `text` is a value that this setting may have.
    ///
    /// # Errors
    ///
    /// What is wrong with the text; the API key and credentials are not shown.
    pub fn check(&'static self, text: &str) -> Result<(), SettingError> {
        let good = match self.kind {
            Kind::Url => return Endpoint::parse(text).map(drop),
            Kind::Secret => return ApiKey::new(text).map(drop),
            Kind::Secrets => IngestKeys::parse(text).is_some(),
            Kind::Text { max, visible } => {
                let bad = |c: char| {
                    if visible {
                        !c.is_ascii_graphic()
                    } else {
                        c.is_control()
                    }
                };
                !text.is_empty() && text.len() <= max && !text.chars().any(bad)
            }
            _ => self.number(text).is_some(),
        };
        if good {
            Ok(())
        } else {
            Err(SettingError::bad(self, text))
        }
    }

    /// Whether its value is free text, which a TOML file must have in quotes.
    pub(super) const fn is_text(&self) -> bool {
        matches!(
            self.kind,
            Kind::Text { .. } | Kind::Url | Kind::Secret | Kind::Secrets | Kind::WhenFull
        )
    }

    /// Whether nobody may see its value.
    pub(super) const fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Secrets)
    }

    /// Scalars as a number: 0 and 1 for the first and second choice, nanoseconds for seconds.
    pub(super) fn number(&self, text: &str) -> Option<u64> {
        match self.kind {
            Kind::Switch => match text {
                "false" | "0" => Some(0),
                "true" | "1" => Some(1),
                _ => None,
            },
            Kind::WhenFull => match text {
                "reject" => Some(0),
                "drop-oldest" => Some(1),
                _ => None,
            },
            Kind::Whole { min, max } => whole(text.as_bytes()).filter(|n| (min..=max).contains(n)),
            Kind::Seconds { min, max } => {
                nanoseconds(text.as_bytes()).filter(|n| (min..=max).contains(n))
            }
            Kind::Text { .. } | Kind::Url | Kind::Secret | Kind::Secrets => None,
        }
    }
}

/// Decimal seconds (`1`, `0.25`, `.5`, `1e-1`) in nanoseconds, what is finer cut
/// off. By hand: float parsing would be several times the code in the component.
fn nanoseconds(text: &[u8]) -> Option<u64> {
    let (mantissa, exponent) = match text.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (text.get(..at)?, small(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let (whole, fraction) = split_once(mantissa, b'.').unwrap_or((mantissa, b""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // How many digits stand before the point once the unit is the nanosecond.
    let places = i64::try_from(whole.len()).ok()? + exponent + 9;
    let mut sum: u64 = 0;
    let mut place = 0;
    for digit in whole.iter().chain(fraction) {
        if !digit.is_ascii_digit() {
            return None;
        }
        if place < places {
            sum = sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        place += 1;
    }
    while place < places {
        sum = sum.checked_mul(10)?;
        place += 1;
    }
    Some(sum)
}

/// An exponent: at most 127 either way, which bounds the loop over its places.
fn small(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        digits => (1, digits),
    };
    i8::try_from(whole(digits)?)
        .ok()
        .map(|n| sign * i64::from(n))
}

/// A setting that is missing or has a bad text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingError {
    /// Name of the setting.
    pub key: &'static str,
    /// Its text, fit to be shown to anybody; none when it is not set.
    pub value: Option<String>,
    /// What is allowed: goes on after "must be".
    pub allowed: &'static str,
}

/// How much of a bad text an error shows.
const SHOWN_CHARS: usize = 100;

impl SettingError {
    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.value {
            Some(value) => [self.key, " = \"", value, "\": must be ", self.allowed].concat(),
            None => [
                self.key,
                " is not set: it is required while ",
                ENABLE.name,
                " is true",
            ]
            .concat(),
        }
    }

    pub(super) fn missing(key: &'static Rule) -> SettingError {
        SettingError {
            key: key.name,
            value: None,
            allowed: key.allowed,
        }
    }

    pub(super) fn bad(key: &'static Rule, text: &str) -> SettingError {
        let value = match (&key.kind, text.char_indices().nth(SHOWN_CHARS)) {
            (Kind::Secret | Kind::Secrets, _) => "***".to_owned(),
            (_, Some((cut, _))) => printable(text.get(..cut).unwrap_or_default()) + "…",
            (_, None) => printable(text),
        };
        SettingError {
            key: key.name,
            value: Some(value),
            allowed: key.allowed,
        }
    }
}

errors_by_message!(SettingError);

/// `text` made fit for a terminal: what could break or reorder a line, or
/// command the terminal, is escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            // Line and paragraph separators, and what reorders a line.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => push_escape(&mut shown, c),
            c if c.is_control() => push_escape(&mut shown, c),
            c => shown.push(c),
        }
    }
    shown
}

fn push_escape(shown: &mut String, c: char) {
    let digits = digits::hex(u32::from(c).into());
    let zeros = digits[..15].iter().take_while(|digit| **digit == b'0');
    for part in ["\\u{", &ascii(digits[zeros.count()..].to_vec()), "}"] {
        shown.push_str(part);
    }
}
