//! The keys: names, defaults, bounds, and what is said about a bad text.

use core::fmt;

use super::{ApiKey, Endpoint};

/// A setting: its name, its default, what is allowed.
#[derive(Debug)]
pub struct Key {
    /// Name in `wasi:config` and in the configuration file.
    pub name: &'static str,
    /// The default, as one would write it; none when there is none.
    pub default: Option<&'static str>,
    /// What is allowed: goes on after "must be".
    pub allowed: &'static str,
    /// What it is for, in one line.
    pub doc: &'static str,
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

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

pub(super) static MCP_ID: Key = Key {
    name: "mcp_id",
    default: None,
    allowed: "1 to 256 bytes of text without control characters",
    doc: "Name of the MCP program that reports. Required when reporting.",
    kind: Kind::Text {
        max: 256,
        visible: false,
    },
};
pub(super) static ENABLE: Key = Key {
    name: "enable_interaction_logging",
    default: Some("false"),
    allowed: "true or false (or 1 or 0)",
    doc: "Whether interactions are reported at all.",
    kind: Kind::Switch,
};
pub(super) static URL: Key = Key {
    name: "coordinator_url",
    default: None,
    allowed: "an http:// or https:// URL with a host, optionally a port (1 to 65535) and a path, without query, fragment, spaces or non-ASCII",
    doc: "Where the coordinator is. Required when reporting.",
    kind: Kind::Url,
};
pub(super) static API_KEY: Key = Key {
    name: "coordinator_api_key",
    default: None,
    allowed: "1 to 4096 printable ASCII characters on one line, without a space at either end",
    doc: "The coordinator's key for this program. Required when reporting.",
    kind: Kind::Secret,
};
pub(super) static MAX_RETRIES: Key = Key {
    name: "max_retries",
    default: Some("3"),
    allowed: "a whole number from 0 to 1000",
    doc: "Failed tries of an event, made while others got through, before it becomes a dead letter.",
    kind: Kind::Whole { min: 0, max: 1000 },
};
pub(super) static RETRY_DELAY: Key = Key {
    name: "retry_delay",
    default: Some("1.0"),
    allowed: "a number of seconds from 0.001 to 3600",
    doc: "Base of the exponential backoff, in seconds; the backoff never exceeds 30.",
    kind: Kind::Seconds {
        min: MS,
        max: 3600 * S,
    },
};
pub(super) static DEAD_LETTER_AFTER: Key = Key {
    name: "dead_letter_after",
    default: Some("900"),
    allowed: "a number of seconds from 0 to 31536000",
    doc: "Retries make no dead letter sooner than this after an event's first failure, in seconds.",
    kind: Kind::Seconds {
        min: 0,
        max: 31_536_000 * S,
    },
};
pub(super) static REQUEST_TIMEOUT: Key = Key {
    name: "request_timeout",
    default: Some("5.0"),
    allowed: "a number of seconds from 0.1 to 300",
    doc: "Longest time for one request, connection to last byte, in seconds.",
    kind: Kind::Seconds {
        min: 100 * MS,
        max: 300 * S,
    },
};
pub(super) static RATE_LIMIT: Key = Key {
    name: "rate_limit",
    default: Some("10"),
    allowed: "a whole number from 0 to 10000 (0 lifts the throttle)",
    doc: "Most sends in any window of rate_period, retries included.",
    kind: Kind::Whole {
        min: 0,
        max: 10_000,
    },
};
pub(super) static RATE_PERIOD: Key = Key {
    name: "rate_period",
    default: Some("1.0"),
    allowed: "a number of seconds from 0.001 to 3600",
    doc: "The window of rate_limit, in seconds.",
    kind: Kind::Seconds {
        min: MS,
        max: 3600 * S,
    },
};
pub(super) static MAX_IN_FLIGHT: Key = Key {
    name: "max_in_flight",
    default: Some("16"),
    allowed: "a whole number from 1 to 256",
    doc: "Most requests at once.",
    kind: Kind::Whole { min: 1, max: 256 },
};
// The two upper bounds leave room for sums and percentages in 64 bits.
pub(super) static MAX_EVENTS: Key = Key {
    name: "max_events",
    default: Some("100000"),
    allowed: "a whole number from 1 to 1000000000000",
    doc: "Most events in the outbox.",
    kind: Kind::Whole {
        min: 1,
        max: 1_000_000_000_000,
    },
};
pub(super) static MAX_BYTES: Key = Key {
    name: "max_bytes",
    default: Some("268435456"),
    allowed: "a whole number from 1024 to 1000000000000000",
    doc: "Most bytes of events in the outbox.",
    kind: Kind::Whole {
        min: 1024,
        max: 1_000_000_000_000_000,
    },
};
pub(super) static WHEN_FULL: Key = Key {
    name: "when_full",
    default: Some("reject"),
    allowed: "reject or drop-oldest",
    doc: "What a full outbox does: refuse the new event, or drop the oldest interactions.",
    kind: Kind::WhenFull,
};
pub(super) static MAX_EVENT_BYTES: Key = Key {
    name: "max_event_bytes",
    default: Some("262144"),
    allowed: "a whole number from 1024 to 16777216",
    doc: "Largest event, in bytes.",
    kind: Kind::Whole {
        min: 1024,
        max: 16_777_216,
    },
};
pub(super) static DELIVER_ON_REPORT: Key = Key {
    name: "deliver_on_report",
    default: Some("false"),
    allowed: "true or false (or 1 or 0)",
    doc: "Whether a report also tries to deliver, for runtimes without a timer.",
    kind: Kind::Switch,
};
pub(super) static REPORT_BUDGET: Key = Key {
    name: "report_budget",
    default: Some("0.5"),
    allowed: "a number of seconds from 0.001 to 60",
    doc: "How long a report may wait for that delivery, in seconds.",
    kind: Kind::Seconds {
        min: MS,
        max: 60 * S,
    },
};

/// `lease_holder`, which the host sets for each instance and no user does.
pub static LEASE_HOLDER: Key = Key {
    name: "lease_holder",
    default: None,
    allowed: "1 to 128 visible ASCII characters",
    doc: "Name by which an instance holds the delivery lease; a random one if not set.",
    kind: Kind::Text {
        max: 128,
        visible: true,
    },
};

/// The settings that users make, in the order in which documentation lists them.
pub static KEYS: [&Key; 17] = [
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
];

/// Checks one text, as [`Key::check`] does. A name that is no setting is not
/// this module's to judge, and passes.
///
/// # Errors
///
/// What is wrong with the text; the API key and credentials are not shown.
pub fn check(name: &str, text: &str) -> Result<(), SettingError> {
    KEYS.iter()
        .chain([&&LEASE_HOLDER])
        .find(|key| key.name == name)
        .map_or(Ok(()), |key| key.check(text))
}

impl Key {
    /// Whether `text` is a value that this setting may have.
    ///
    /// # Errors
    ///
    /// What is wrong with the text; the API key and credentials are not shown.
    pub fn check(&'static self, text: &str) -> Result<(), SettingError> {
        let good = match self.kind {
            Kind::Url => return Endpoint::parse(text).map(drop),
            Kind::Secret => return ApiKey::new(text).map(drop),
            Kind::Text { max, visible } => {
                let bad = |c: char| {
                    if visible {
                        !c.is_ascii_graphic()
                    } else {
                        c.is_control()
                    }
                };
                !text.is_empty() && text.len() <= max && !text.contains(bad)
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
    pub fn is_text(&self) -> bool {
        matches!(
            self.kind,
            Kind::Text { .. } | Kind::Url | Kind::Secret | Kind::WhenFull
        )
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
            Kind::Whole { min, max } => whole(text).filter(|n| (min..=max).contains(n)),
            Kind::Seconds { min, max } => nanoseconds(text).filter(|n| (min..=max).contains(n)),
            Kind::Text { .. } | Kind::Url | Kind::Secret => None,
        }
    }
}

/// Digits only: `str::parse` would let a sign through.
fn whole(text: &str) -> Option<u64> {
    if text.starts_with('+') {
        None
    } else {
        text.parse().ok()
    }
}

/// Decimal seconds (`1`, `0.25`, `.5`, `1e-1`) in nanoseconds, what is finer cut
/// off. By hand: float parsing would be several times the code in the component.
fn nanoseconds(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        // Eight bits bound the loop below.
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i8>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // How many digits stand before the point once the unit is the nanosecond.
    let places = i64::try_from(whole.len()).ok()? + i64::from(exponent) + 9;
    let mut sum: u64 = 0;
    let mut place = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
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
    pub(super) fn missing(key: &'static Key) -> SettingError {
        SettingError {
            key: key.name,
            value: None,
            allowed: key.allowed,
        }
    }

    pub(super) fn bad(key: &'static Key, text: &str) -> SettingError {
        let value = match (&key.kind, text.char_indices().nth(SHOWN_CHARS)) {
            (Kind::Secret, _) => "***".to_owned(),
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

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} = \"{value}\": must be {}", self.key, self.allowed),
            None => write!(
                f,
                "{} is not set: it is required while {} is true",
                self.key, ENABLE.name
            ),
        }
    }
}

impl core::error::Error for SettingError {}

/// `text` made fit for a terminal: what could break or reorder a line, or
/// command the terminal, is escaped.
pub fn printable(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            // Line and paragraph separators, and what reorders a line.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => shown.extend(c.escape_unicode()),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}
