//! What the coordinator does wrong on purpose.

use std::{fmt, str::FromStr, time::Duration};

use thiserror::Error;

/// A fault, as `--fault` names it. [`FromStr`] and [`Display`](fmt::Display) agree.
///
/// | value | what a client sees |
/// | --- | --- |
/// | `none` | no fault |
/// | `refuse` | connections are refused and the open ones closed; the port stays ours |
/// | `hang` | the request is read and never answered, nor stored |
/// | `no-read` | connections are accepted, and nothing is ever read from them again |
/// | `500` | the same as `status:500` |
/// | `status:<code>` | this status, 200 to 599; a 2xx stores the event first |
/// | `429:<seconds>` | 429 with `Retry-After` in seconds |
/// | `429-date:<seconds>` | 429 with `Retry-After` as the HTTP date that many seconds ahead |
/// | `slow:<ms>` | stored at once, answered that much later |
/// | `cut` | stored, then the connection is closed without an answer |
/// | `reset` | not stored, and the connection is reset |
/// | `drip` | stored, then answered one byte per second, from the status line on |
/// | `flaky:<percent>` | that share of events, evenly spread, answered 500 and not stored |
/// | `garbage` | bytes that are not HTTP; not stored |
/// | `huge` | stored, then a 200 whose body has 64 MiB |
/// | `full` | events answered as by a full queue: 500, not stored |
/// | `forget:<n>` | after every n events all starts are forgotten, as by a restart of the real one: what comes later for them is answered 200 and dropped |
/// | `redirect:<url>` | 307 to the URL, which a client would repeat the POST to; not stored |
///
/// `flaky`, `full` and `forget` concern `POST /api/v2/interactions` alone, the others every request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Fault {
    /// No fault.
    #[default]
    None,
    /// Refuses connections.
    Refuse,
    /// Reads and never answers.
    Hang,
    /// Accepts and never reads.
    NoRead,
    /// Always answers this status, 200 to 599.
    Status(u16),
    /// 429 with `Retry-After` in seconds.
    RetryAfter(u32),
    /// 429 with `Retry-After` as the date this many seconds ahead.
    RetryAfterDate(u32),
    /// Stores, and answers this much later.
    Slow(Duration),
    /// Stores, then closes without an answer.
    Cut,
    /// Resets the connection before storing.
    Reset,
    /// Answers one byte per second.
    Drip,
    /// Answers 500 to this percentage of events, 0 to 100.
    Flaky(u8),
    /// Answers with bytes that are not HTTP.
    Garbage,
    /// Answers with a body of 64 MiB.
    Huge,
    /// Behaves as if its queue were full.
    Full,
    /// Forgets all starts after every so many events, from 1.
    Forget(u32),
    /// Answers 307 with this location.
    Redirect(String),
}

impl Fault {
    /// All values, for help texts.
    pub const VALUES: &str = "none, refuse, hang, no-read, 500, status:<200 to 599>, \
        429:<seconds>, 429-date:<seconds>, slow:<ms>, cut, reset, drip, flaky:<0 to 100>, \
        garbage, huge, full, forget:<events, from 1>, redirect:<url>";

    /// Whether the fault is in the way of connections, so that it never sees a request.
    pub(super) fn is_of_connections(&self) -> bool {
        matches!(self, Self::Refuse | Self::NoRead)
    }

    /// Whether the fault concerns only events.
    pub(super) fn is_of_events(&self) -> bool {
        matches!(self, Self::Full | Self::Flaky(_) | Self::Forget(_))
    }
}

/// The text names no fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown fault {0:?}; allowed are {allowed}", allowed = Fault::VALUES)]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, UnknownFault> {
        let unknown = || UnknownFault(text.to_owned());
        let (name, value) = match text.split_once(':') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        fn number<T: FromStr>(value: &str) -> Option<T> {
            // `parse` takes a leading `+`, which `Display` would not give back.
            value
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| value.parse().ok())
                .flatten()
        }
        let fault = match (name, value) {
            ("none", None) => Some(Self::None),
            ("refuse", None) => Some(Self::Refuse),
            ("hang", None) => Some(Self::Hang),
            ("no-read", None) => Some(Self::NoRead),
            ("500", None) => Some(Self::Status(500)),
            ("status", Some(v)) => number(v)
                .filter(|code| (200..=599).contains(code))
                .map(Self::Status),
            ("429", Some(v)) => number(v).map(Self::RetryAfter),
            ("429-date", Some(v)) => number(v).map(Self::RetryAfterDate),
            ("slow", Some(v)) => number(v).map(Duration::from_millis).map(Self::Slow),
            ("cut", None) => Some(Self::Cut),
            ("reset", None) => Some(Self::Reset),
            ("drip", None) => Some(Self::Drip),
            ("flaky", Some(v)) => number(v).filter(|share| *share <= 100).map(Self::Flaky),
            ("garbage", None) => Some(Self::Garbage),
            ("huge", None) => Some(Self::Huge),
            ("full", None) => Some(Self::Full),
            ("forget", Some(v)) => number(v).filter(|events| *events > 0).map(Self::Forget),
            ("redirect", Some(v)) if !v.is_empty() && v.bytes().all(|b| b.is_ascii_graphic()) => {
                Some(Self::Redirect(v.to_owned()))
            }
            _ => None,
        };
        fault.ok_or_else(unknown)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Refuse => f.write_str("refuse"),
            Self::Hang => f.write_str("hang"),
            Self::NoRead => f.write_str("no-read"),
            Self::Status(code) => write!(f, "status:{code}"),
            Self::RetryAfter(seconds) => write!(f, "429:{seconds}"),
            Self::RetryAfterDate(seconds) => write!(f, "429-date:{seconds}"),
            Self::Slow(delay) => write!(f, "slow:{}", delay.as_millis()),
            Self::Cut => f.write_str("cut"),
            Self::Reset => f.write_str("reset"),
            Self::Drip => f.write_str("drip"),
            Self::Flaky(share) => write!(f, "flaky:{share}"),
            Self::Garbage => f.write_str("garbage"),
            Self::Huge => f.write_str("huge"),
            Self::Full => f.write_str("full"),
            Self::Forget(events) => write!(f, "forget:{events}"),
            Self::Redirect(url) => write!(f, "redirect:{url}"),
        }
    }
}

/// The fault in force, and for how many more requests.
#[derive(Debug, Default)]
pub(super) struct InForce {
    fault: Fault,
    requests_left: Option<u32>,
    events_seen: u64,
}

impl InForce {
    pub(super) fn new(fault: Fault, requests: Option<u32>) -> Self {
        match requests {
            Some(0) => Self::default(),
            _ => Self {
                requests_left: requests.filter(|_| !fault.is_of_connections()),
                fault,
                events_seen: 0,
            },
        }
    }

    pub(super) fn fault(&self) -> &Fault {
        &self.fault
    }

    /// The fault that the next request meets; counts it.
    pub(super) fn meet(&mut self, is_event: bool) -> Fault {
        if self.fault.is_of_events() && !is_event {
            return Fault::None;
        }
        let met = match self.fault {
            Fault::Flaky(share) => {
                // Bresenham's line: after n events, exactly n * share / 100 have failed.
                let failed = |n: u64| n * u64::from(share) / 100;
                self.events_seen += 1;
                match failed(self.events_seen) > failed(self.events_seen - 1) {
                    true => self.fault.clone(),
                    false => Fault::None,
                }
            }
            Fault::Forget(events) => {
                let seen = self.events_seen;
                self.events_seen += 1;
                match seen > 0 && seen.is_multiple_of(events.into()) {
                    true => self.fault.clone(),
                    false => Fault::None,
                }
            }
            _ => self.fault.clone(),
        };
        if let Some(left) = &mut self.requests_left {
            *left -= 1;
            if *left == 0 {
                *self = Self::default();
            }
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_a_round_trip() {
        for text in [
            "none",
            "refuse",
            "hang",
            "no-read",
            "status:200",
            "status:599",
            "429:7",
            "429-date:7",
            "slow:250",
            "cut",
            "reset",
            "drip",
            "flaky:30",
            "garbage",
            "huge",
            "full",
            "forget:100",
            "redirect:http://127.0.0.1:9/x?y=z",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
        }
        assert_eq!("500".parse(), Ok(Fault::Status(500)));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        for text in [
            "",
            "None",
            "hang:1",
            "status",
            "status:99",
            "status:600",
            "status:+200",
            "429",
            "429:-1",
            "slow:1.5",
            "flaky:101",
            "forget",
            "forget:0",
            "redirect:",
            "redirect:a b",
            "redirect:a\r\nb",
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
            assert!(error.contains("flaky:<0 to 100>"), "{error}");
        }
    }

    #[test]
    fn flaky_fails_exactly_its_share_evenly() {
        let mut in_force = InForce::new(Fault::Flaky(30), None);
        let failed: Vec<bool> = (0..100)
            .map(|_| in_force.meet(true) != Fault::None)
            .collect();
        assert_eq!(failed.iter().filter(|f| **f).count(), 30);
        for ten in failed.chunks(10) {
            assert_eq!(ten.iter().filter(|f| **f).count(), 3);
        }
    }
}
