//! What an answer means: the table of delivery rules; and what it leaves behind in a record.

use crate::event::Action;
use crate::outbox::{MAX_FAILURE_BYTES, Record, cut};
use crate::prelude::*;
use crate::text::{decimal, whole};

/// What a dead letter says that was not refused itself.
pub(super) const FOLLOWS: &str = "follows an event of its interaction that was refused";
/// What a failure begins with that is an answer; its status comes next.
const HTTP: &str = "HTTP ";
/// What comes between the status and the body.
const BODY: &str = ": ";

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
        Answer::Status { code, .. } => judge_status(*code),
    }
}

fn judge_status(code: u16) -> Verdict {
    match code {
        200..=299 => Verdict::Delivered,
        408 | 409 | 425 | 429 => Verdict::Transient,
        401 | 403 => Verdict::Pause("the coordinator rejects coordinator_api_key"),
        300..=399 | 404 | 405 | 410 => {
            Verdict::Pause("coordinator_url is not the endpoint of a coordinator")
        }
        400..=499 => Verdict::Refused,
        _ => Verdict::Transient,
    }
}

/// The answer in words, for status and dead letters.
pub(super) fn describe(answer: &Answer) -> String {
    let text = match answer {
        Answer::Status { code, body, .. } => {
            let colon = if body.is_empty() { "" } else { BODY };
            [HTTP, &decimal((*code).into()), colon, body].concat()
        }
        Answer::TimedOut => "no complete answer within request_timeout".to_owned(),
        Answer::Failed(why) => why.clone(),
        Answer::Denied(why) => ["request denied: ", why].concat(),
    };
    cut(&text, MAX_FAILURE_BYTES).to_owned()
}

/// Why an event became a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The coordinator refused it.
    Refused,
    /// It follows one of its interaction that did.
    Follows,
    /// It alone kept failing.
    Exhausted,
    /// Its record cannot be read.
    Unreadable,
}

impl Cause {
    /// Why the dead letter with this value became one, and what it reports; that is not known
    /// where the record cannot be read.
    #[must_use]
    pub fn of(value: &[u8]) -> (Self, Option<Action>) {
        let Ok(record) = Record::decode(value) else {
            return (Self::Unreadable, None);
        };
        let cause = match &*record.last_failure {
            FOLLOWS => Self::Follows,
            failure if answered(failure).map(judge_status) == Some(Verdict::Refused) => {
                Self::Refused
            }
            _ => Self::Exhausted,
        };
        (cause, Some(record.action))
    }
}

/// The status of the answer that [`describe`] put into these words; none when it was no answer.
fn answered(failure: &str) -> Option<u16> {
    let rest = failure.strip_prefix(HTTP)?;
    let code = rest.split_once(BODY).map_or(rest, |(code, _)| code);
    u16::try_from(whole(code.as_bytes())?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{BadRecord, new_value};

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

    fn dead_letter(last_failure: &str) -> Vec<u8> {
        let body = |out: &mut Vec<u8>| {
            out.extend_from_slice(b"{}");
            Ok::<_, BadRecord>(())
        };
        let value = new_value(Action::Complete, "i", "k", "", 2, body).unwrap();
        let mut record = Record::decode(&value).unwrap();
        record.last_failure = last_failure.to_owned();
        record.encode()
    }

    #[test]
    fn a_dead_letter_tells_why_it_became_one() {
        let cause = |failure: &str| {
            let (cause, action) = Cause::of(&dead_letter(failure));
            assert_eq!(action, Some(Action::Complete));
            cause
        };
        for code in 100..=599u16 {
            for body in ["", "HTTP 422: no such field", "a: b", &"x".repeat(2_000)] {
                let answer = Answer::Status {
                    code,
                    retry_after: None,
                    body: body.to_owned(),
                };
                let expected = match judge(&answer) {
                    Verdict::Refused => Cause::Refused,
                    _ => Cause::Exhausted,
                };
                assert_eq!(cause(&describe(&answer)), expected, "{code} {body}");
            }
        }
        for answer in [
            Answer::TimedOut,
            Answer::Failed("HTTP protocol error".to_owned()),
            Answer::Failed("connection refused".to_owned()),
        ] {
            assert_eq!(cause(&describe(&answer)), Cause::Exhausted, "{answer:?}");
        }
        assert_eq!(cause(FOLLOWS), Cause::Follows);
        let value = dead_letter(FOLLOWS);
        assert_eq!(Cause::of(&value[..9]), (Cause::Unreadable, None));
    }
}
