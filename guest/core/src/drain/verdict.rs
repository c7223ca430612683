//! What an answer means: the table of delivery rules.

use crate::outbox::{MAX_FAILURE_BYTES, cut};
use crate::prelude::*;
use crate::text::decimal;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer.
    Status {
        /// Its status.
        code: u16,
        /// Its `Retry-After` header.
        retry_after: Option<String>,
        /// The beginning of its body.
        body: String,
    },
    /// None before the deadline.
    TimedOut,
    /// None, for this reason.
    Failed(String),
    /// The runtime does not let the request out.
    Denied(String),
}

/// What follows from an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The coordinator has the event.
    Delivered,
    /// Try again later.
    Transient,
    /// Key or endpoint is wrong: nothing gets through until it is mended.
    Pause(&'static str),
    /// The coordinator does not want this event.
    Refused,
}

/// Judges an answer by the delivery rules.
pub(super) fn judge(answer: &Answer) -> Verdict {
    match answer {
        Answer::TimedOut | Answer::Failed(_) => Verdict::Transient,
        Answer::Denied(_) => Verdict::Pause("the runtime denies requests to coordinator_url"),
        Answer::Status { code, .. } => match code {
            200..=299 => Verdict::Delivered,
            408 | 409 | 425 | 429 => Verdict::Transient,
            401 | 403 => Verdict::Pause("the coordinator rejects coordinator_api_key"),
            300..=399 | 404 | 405 | 410 => {
                Verdict::Pause("coordinator_url is not the endpoint of a coordinator")
            }
            400..=499 => Verdict::Refused,
            _ => Verdict::Transient,
        },
    }
}

/// The answer in words, for status and dead letters.
pub(super) fn describe(answer: &Answer) -> String {
    let text = match answer {
        Answer::Status { code, body, .. } => {
            let colon = if body.is_empty() { "" } else { ": " };
            ["HTTP ", &decimal((*code).into()), colon, body].concat()
        }
        Answer::TimedOut => "no complete answer within request_timeout".to_owned(),
        Answer::Failed(why) => why.clone(),
        Answer::Denied(why) => ["request denied: ", why].concat(),
    };
    cut(&text, MAX_FAILURE_BYTES).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_falls_under_one_row_of_the_table() {
        for code in 100..=599u16 {
            let answer = Answer::Status {
                code,
                retry_after: None,
                body: String::new(),
            };
            let expected = match code {
                200..=299 => "delivered",
                401 | 403 => "pause",
                300..=399 | 404 | 405 | 410 => "pause",
                408 | 409 | 425 | 429 => "transient",
                400..=499 => "refused",
                _ => "transient",
            };
            let found = match judge(&answer) {
                Verdict::Delivered => "delivered",
                Verdict::Transient => "transient",
                Verdict::Pause(_) => "pause",
                Verdict::Refused => "refused",
            };
            assert_eq!(found, expected, "{code}");
        }
    }
}
