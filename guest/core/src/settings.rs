//! The configuration that the component obeys: every key, its default, what is
//! allowed.
//!
//! Settings arrive as text under their names (`wasi:config`). The rules in
//! `key` are the one place where names, defaults and bounds stand; [`KEYS`],
//! for documentation, and the host's own checks are made from them.

mod api_key;
mod docs;
mod endpoint;
mod environment;
mod ingest_keys;
mod key;
#[cfg(test)]
mod tests;

pub use api_key::ApiKey;
pub use docs::{KEYS, Key};
pub use endpoint::Endpoint;
pub use environment::{ENV_PREFIX, WITHOUT_TIMER};
pub use ingest_keys::IngestKeys;
pub use key::{LEAST_BYTES, LEAST_EVENTS, SettingError, check, names, printable};

use crate::prelude::*;
use core::time::Duration;

/// What a full outbox does with a new event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Refuses it: `outbox-full`.
    Reject,
    /// Drops the oldest interactions to make room, and counts them.
    DropOldest,
}

/// The settings of a reporter that is switched on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `mcp_id`: the MCP program that reports.
    pub mcp_id: String,
    /// `coordinator_url`.
    pub endpoint: Endpoint,
    /// `coordinator_api_key`.
    pub api_key: ApiKey,
    /// `max_retries`: charged tries before a poisoned event becomes a dead letter.
    pub max_retries: u32,
    /// `retry_delay`: base of the backoff.
    pub retry_delay: Duration,
    /// `dead_letter_after`: no dead letter by retries sooner than this after the first failure.
    pub dead_letter_after: Duration,
    /// `request_timeout`: connection to last byte.
    pub request_timeout: Duration,
    /// `rate_limit`: sends in any window of `rate_period`; 0 lifts the throttle.
    pub rate_limit: u32,
    /// `rate_period`.
    pub rate_period: Duration,
    /// `max_in_flight`: requests at once.
    pub max_in_flight: u32,
    /// `max_events`.
    pub max_events: u64,
    /// `max_bytes`.
    pub max_bytes: u64,
    /// `when_full`.
    pub when_full: WhenFull,
    /// `max_event_bytes`: largest body.
    pub max_event_bytes: u32,
    /// `deliver_on_report`.
    pub deliver_on_report: bool,
    /// `report_budget`: how long `deliver_on_report` may wait.
    pub report_budget: Duration,
    /// `ingest_keys`: who may send events to the component's own API.
    pub ingest_keys: IngestKeys,
    /// `edge_budget`: how long the component's own API delivers after an event.
    pub edge_budget: Duration,
    /// `lease_holder`: the name this instance goes by in the lease; none for a random one.
    pub lease_holder: Option<String>,
}

impl Settings {
    /// Reads settings from names and their texts.
    ///
    /// `Ok(None)` when `enable_interaction_logging` is false, as it is by
    /// default; nothing else is looked at then. A name that is no setting is
    /// ignored, the last of several equal names counts, and an empty text counts
    /// as not set, because a runtime such as Spin gives every declared variable
    /// some text.
    ///
    /// # Errors
    ///
    /// Every bad text and every missing setting, in the order of [`KEYS`].
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Option<Settings>, Vec<SettingError>> {
        let mut reader = Reader {
            given: pairs
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .collect(),
            errors: Vec::new(),
        };
        let on = reader.number(&key::ENABLE) != 0;
        // Whether the rest is required is unknown when the switch itself is unreadable.
        if !on || !reader.errors.is_empty() {
            return reader.finish(None);
        }
        let mcp_id = reader.required(&key::MCP_ID, |text| {
            key::MCP_ID.check(text).map(|()| text.to_owned())
        });
        let endpoint = reader.required(&key::URL, Endpoint::parse);
        let api_key = reader.required(&key::API_KEY, ApiKey::new);
        let max_retries = reader.number(&key::MAX_RETRIES) as u32;
        let retry_delay = reader.duration(&key::RETRY_DELAY);
        let dead_letter_after = reader.duration(&key::DEAD_LETTER_AFTER);
        let request_timeout = reader.duration(&key::REQUEST_TIMEOUT);
        let rate_limit = reader.number(&key::RATE_LIMIT) as u32;
        let rate_period = reader.duration(&key::RATE_PERIOD);
        let max_in_flight = reader.number(&key::MAX_IN_FLIGHT) as u32;
        let max_events = reader.number(&key::MAX_EVENTS);
        let max_bytes = reader.number(&key::MAX_BYTES);
        let when_full = match reader.number(&key::WHEN_FULL) {
            0 => WhenFull::Reject,
            _ => WhenFull::DropOldest,
        };
        let max_event_bytes = reader.number(&key::MAX_EVENT_BYTES) as u32;
        let deliver_on_report = reader.number(&key::DELIVER_ON_REPORT) != 0;
        let report_budget = reader.duration(&key::REPORT_BUDGET);
        let ingest_keys = match reader.text(&key::INGEST_KEYS) {
            Some(text) => IngestKeys::parse(text).unwrap_or_default(),
            None => IngestKeys::default(),
        };
        let edge_budget = reader.duration(&key::EDGE_BUDGET);
        let lease_holder = reader.text(&key::LEASE_HOLDER).map(str::to_owned);
        let (Some(mcp_id), Some(endpoint), Some(api_key)) = (mcp_id, endpoint, api_key) else {
            return reader.finish(None);
        };
        reader.finish(Some(Settings {
            mcp_id,
            endpoint,
            api_key,
            max_retries,
            retry_delay,
            dead_letter_after,
            request_timeout,
            rate_limit,
            rate_period,
            max_in_flight,
            max_events,
            max_bytes,
            when_full,
            max_event_bytes,
            deliver_on_report,
            report_budget,
            ingest_keys,
            edge_budget,
            lease_holder,
        }))
    }
}

/// Reads one setting after the other and gathers what is wrong with them.
struct Reader<'a> {
    given: Vec<(&'a str, &'a str)>,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    fn given(&self, key: &key::Rule) -> Option<&'a str> {
        self.given
            .iter()
            .rev()
            .find(|(name, _)| *name == key.name)
            .map(|(_, text)| *text)
    }

    /// The text of a key that is checked but not parsed.
    fn text(&mut self, key: &'static key::Rule) -> Option<&'a str> {
        let text = self.given(key)?;
        match key.check(text) {
            Ok(()) => Some(text),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    fn required<T>(
        &mut self,
        key: &'static key::Rule,
        parse: impl FnOnce(&'a str) -> Result<T, SettingError>,
    ) -> Option<T> {
        let parsed = match self.given(key) {
            Some(text) => parse(text),
            None => Err(SettingError::missing(key)),
        };
        parsed.map_err(|error| self.errors.push(error)).ok()
    }

    /// The value of a scalar; 0 after an error, which is never looked at.
    fn number(&mut self, key: &'static key::Rule) -> u64 {
        let text = self.given(key).or(key.default).unwrap_or_default();
        key.number(text).unwrap_or_else(|| {
            self.errors.push(SettingError::bad(key, text));
            0
        })
    }

    fn duration(&mut self, key: &'static key::Rule) -> Duration {
        Duration::from_nanos(self.number(key))
    }

    fn finish(self, settings: Option<Settings>) -> Result<Option<Settings>, Vec<SettingError>> {
        if self.errors.is_empty() {
            Ok(settings)
        } else {
            Err(self.errors)
        }
    }
}
