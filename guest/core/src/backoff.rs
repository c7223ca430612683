//! When to try again: exponential backoff with full jitter, and `Retry-After`.

use crate::store::Random;
use crate::text::{split_once, whole};
use core::time::Duration;

/// The longest backoff.
pub const CAP: Duration = Duration::from_secs(30);
/// The longest `Retry-After` that is obeyed.
pub const RETRY_AFTER_CAP: Duration = Duration::from_secs(3600);

/// A wait drawn evenly from 0 to `min(CAP, base * 2^failures)`.
pub fn full_jitter(random: &mut dyn Random, base: Duration, failures: u32) -> Duration {
    let ceiling = base.saturating_mul(1 << failures.min(30)).min(CAP);
    Duration::from_nanos(random.below(ceiling.as_nanos() as u64 + 1))
}

/// Reads a `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date, which
/// is compared with `wall_ns`. Clamped to [`RETRY_AFTER_CAP`]; none when malformed.
#[must_use]
pub fn retry_after(value: &str, wall_ns: u64) -> Option<Duration> {
    let value = value.as_bytes().trim_ascii();
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        // Too many digits for an integer are still only a long time.
        let seconds = whole(value).unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_CAP));
    }
    let date_ns = date(value)?.saturating_mul(1_000_000_000);
    Some(Duration::from_nanos(date_ns.saturating_sub(wall_ns)).min(RETRY_AFTER_CAP))
}

/// Reads a date of HTTP (RFC 9110 §5.6.7) in any of its three forms: seconds
/// since 1970-01-01 UTC. The name of the weekday is not checked.
// A library for it would be 4 % of the component.
#[must_use]
pub fn http_date(text: &str) -> Option<u64> {
    date(text.as_bytes())
}

fn date(text: &[u8]) -> Option<u64> {
    let mut words: [&[u8]; 6] = [b""; 6];
    let mut count = 0;
    for word in text.split(|b| b" -,".contains(b)) {
        if !word.is_empty() {
            *words.get_mut(count)? = word;
            count += 1;
        }
    }
    let (day, month, year, time) = match words.get(..count)? {
        // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`
        [_, day, month, year, time, b"GMT"] => (day, month, year, time),
        // `Sun Nov  6 08:49:37 1994`
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let century = match (year.len(), year.first()?) {
        (2, b'0'..=b'6') => 2000,
        (2, _) => 1900,
        _ => 0,
    };
    let (day, year) = (number(day)?, century + number(year)?);
    let mut months = b"JanFebMarAprMayJunJulAugSepOctNovDec".chunks(3);
    let month = months.position(|name| name == *month)? as u64;
    let (h, rest) = split_once(time, b':')?;
    let (m, s) = split_once(rest, b':')?;
    let (h, m, s) = (number(h)?, number(m)?, number(s)?);
    let in_range = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !in_range || h > 23 || m > 59 || s > 60 {
        return None;
    }
    // Days of a year that begins in March, so that the leap day is its last.
    let (march_year, march_month) = (year - u64::from(month < 2), (month + 10) % 12);
    let days = 365 * march_year + march_year / 4 - march_year / 100
        + march_year / 400
        + (153 * march_month + 2) / 5
        + day
        - 719_469;
    Some(days * 86_400 + h * 3600 + m * 60 + s)
}

fn number(text: &[u8]) -> Option<u64> {
    whole(text).filter(|_| text.len() <= 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    struct Fixed(u8);
    impl Random for Fixed {
        fn fill(&mut self, buf: &mut [u8]) {
            buf.fill(self.0);
        }
    }

    #[test]
    fn jitter_covers_everything_up_to_the_ceiling_and_no_more() {
        let base = Duration::from_secs(1);
        for (failures, ceiling) in [(0, 1), (1, 2), (4, 16), (5, 30), (63, 30), (u32::MAX, 30)] {
            assert_eq!(full_jitter(&mut Fixed(0), base, failures), Duration::ZERO);
            let longest = full_jitter(&mut Fixed(0xff), base, failures);
            assert_eq!(longest, Duration::from_secs(ceiling), "{failures}");
        }
    }

    #[test]
    fn retry_after_takes_both_forms() {
        let now = 784_111_777_000_000_000; // Sun, 06 Nov 1994 08:49:37 GMT
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("86400", Some(3600)),
            ("99999999999999999999999", Some(3600)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sunday, 06-Nov-94 08:50:37 GMT", Some(60)),
            ("Sun Nov  6 08:50:37 1994", Some(60)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
            ("Tue, 06 Nov 1990 08:49:37 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(3600)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                retry_after(value, now),
                seconds.map(Duration::from_secs),
                "{value:?}"
            );
        }
    }

    #[test]
    fn dates_of_four_centuries_are_read_as_a_library_reads_them() {
        for day in 0..146_097 {
            let at = UNIX_EPOCH + Duration::from_secs(day * 86_400 + day % 86_400);
            let text = httpdate::fmt_http_date(at);
            let expected = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert_eq!(http_date(&text), Some(expected), "{text}");
        }
        for bad in [
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 ovD 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "06 Nov 1994",
        ] {
            assert_eq!(http_date(bad), None, "{bad}");
        }
    }
}
