//! What each setting is for. Apart from the rules, because the component has no use for it.

use super::key::{self, Rule};

/// A setting, as documentation shows it.
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
    text: bool,
    secret: bool,
}

/// The settings that users make, in the order in which documentation lists them.
pub static KEYS: [Key; 19] = [
    Key::new(
        &key::MCP_ID,
        "Name of the MCP program that reports. Required when reporting.",
    ),
    Key::new(&key::ENABLE, "Whether interactions are reported at all."),
    Key::new(
        &key::URL,
        "Where the coordinator is. Required when reporting.",
    ),
    Key::new(
        &key::API_KEY,
        "The coordinator's key for this program. Required when reporting.",
    ),
    Key::new(
        &key::MAX_RETRIES,
        "Failed tries of an event, made while others got through, before it becomes a dead letter.",
    ),
    Key::new(
        &key::RETRY_DELAY,
        "Base of the exponential backoff, in seconds; the backoff never exceeds 30.",
    ),
    Key::new(
        &key::DEAD_LETTER_AFTER,
        "Retries make no dead letter sooner than this after an event's first failure, in seconds.",
    ),
    Key::new(
        &key::REQUEST_TIMEOUT,
        "Longest time for one request, connection to last byte, in seconds.",
    ),
    Key::new(
        &key::RATE_LIMIT,
        "Most sends in any window of rate_period, retries included.",
    ),
    Key::new(&key::RATE_PERIOD, "The window of rate_limit, in seconds."),
    Key::new(&key::MAX_IN_FLIGHT, "Most requests at once."),
    Key::new(&key::MAX_EVENTS, "Most events in the outbox."),
    Key::new(&key::MAX_BYTES, "Most bytes of events in the outbox."),
    Key::new(
        &key::WHEN_FULL,
        "What a full outbox does: refuse the new event, or drop the oldest interactions.",
    ),
    Key::new(&key::MAX_EVENT_BYTES, "Largest event, in bytes."),
    Key::new(
        &key::DELIVER_ON_REPORT,
        "Whether a report also tries to deliver, for runtimes without a timer.",
    ),
    Key::new(
        &key::REPORT_BUDGET,
        "How long a report may wait for that delivery, in seconds.",
    ),
    Key::new(
        &key::INGEST_KEYS,
        "Keys that programs send events with to the reporter's own API; without any, none may.",
    ),
    Key::new(
        &key::EDGE_BUDGET,
        "How long that API delivers after it took an event, in seconds; 0 in `serve`, which has a timer.",
    ),
];

impl Key {
    const fn new(rule: &'static Rule, doc: &'static str) -> Key {
        Key {
            name: rule.name,
            default: rule.default,
            allowed: rule.allowed,
            doc,
            text: rule.is_text(),
            secret: rule.is_secret(),
        }
    }

    /// Whether its value is free text, which a TOML file must have in quotes.
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Whether nobody may see its value: it has no flag, and is not in what is shown.
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}
