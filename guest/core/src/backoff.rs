//! When to try again: exponential backoff with full jitter, and `Retry-After`.

use crate::date::http_date;
use crate::store::Random;
use crate::text::whole;
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
    let value = value.trim_ascii();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits for an integer are still only a long time.
        let seconds = whole(value.as_bytes()).unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_CAP));
    }
    let date_ns = http_date(value)?.saturating_mul(1_000_000_000);
    Some(Duration::from_nanos(date_ns.saturating_sub(wall_ns)).min(RETRY_AFTER_CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
