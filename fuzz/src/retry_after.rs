//! `Retry-After` and the dates of HTTP: read as another reader reads them, and
//! never obeyed for longer than an hour.
//!
//! Input: wall clock, text.

use std::time::{Duration, UNIX_EPOCH};

use mcp_reporter_core::backoff::{RETRY_AFTER_CAP, retry_after};
use mcp_reporter_core::date::http_date;

use crate::input::Input;

/// The last second that httpdate can write.
const LAST: u64 = 253_402_300_799;

/// See the [module](self).
pub fn check(input: &[u8]) {
    let mut input = Input(input);
    let wall_ns = input.number();
    let text = String::from_utf8_lossy(input.0);
    let wait = retry_after(&text, wall_ns);
    assert!(wait.is_none_or(|wait| wait <= RETRY_AFTER_CAP));
    if let Ok(seconds) = text.parse::<u32>()
        && !text.starts_with('+')
    {
        let expected = Duration::from_secs(seconds.into()).min(RETRY_AFTER_CAP);
        assert_eq!(wait, Some(expected), "{text:?}");
    }
    let ours = http_date(&text);
    if let (Some(ours), Ok(theirs)) = (ours, httpdate::parse_http_date(&text)) {
        let theirs = theirs.duration_since(UNIX_EPOCH).expect("not before 1970");
        assert_eq!(ours, theirs.as_secs(), "{text:?}");
    }
    // And the other way: whatever is written properly is read.
    let seconds = wall_ns % (LAST + 1);
    let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(http_date(&written), Some(seconds), "{written}");
}
