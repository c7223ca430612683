//! Dates in text: as HTTP has them, and as RFC 3339 has them.
//!
//! The calendar is one whose years begin in March, so that the leap day is their last.

use crate::prelude::*;
use crate::text::{ascii, decimal, split_once, whole};

/// Days from the beginning of the calendar, 1 March of the year 0, to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

/// Reads a date of HTTP (RFC 9110 §5.6.7) in any of its three forms: seconds
/// since 1970-01-01 UTC. The name of the weekday is not checked.
// A library for it would be 4 % of the component.
#[must_use]
pub fn http_date(text: &str) -> Option<u64> {
    let text = text.as_bytes();
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
    let (march_year, march_month) = (year - u64::from(month < 2), (month + 10) % 12);
    let days = 365 * march_year + march_year / 4 - march_year / 100
        + march_year / 400
        + (153 * march_month + 2) / 5
        + day
        - 1
        - EPOCH_DAYS;
    Some(days * 86_400 + h * 3600 + m * 60 + s)
}

fn number(text: &[u8]) -> Option<u64> {
    whole(text).filter(|_| text.len() <= 4)
}

/// The time `ns` nanoseconds after 1970-01-01 UTC as RFC 3339 has it: `2024-06-10T06:13:20.5Z`, with
/// as many digits of a second as there are.
#[must_use]
pub fn rfc3339(ns: u64) -> String {
    let (seconds, fraction) = (ns / 1_000_000_000, ns % 1_000_000_000);
    let days = seconds / 86_400 + EPOCH_DAYS;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day + 2) / 153;
    let day = day - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year + u64::from(month <= 2);
    let mut out = Vec::new();
    for (before, number, digits) in [
        ("", year, 4),
        ("-", month, 2),
        ("-", day, 2),
        ("T", seconds / 3600 % 24, 2),
        (":", seconds / 60 % 60, 2),
        (":", seconds % 60, 2),
        (".", fraction, 9),
    ] {
        let text = decimal(number);
        out.extend_from_slice(before.as_bytes());
        out.resize(out.len() + digits - text.len().min(digits), b'0');
        out.extend_from_slice(text.as_bytes());
    }
    while out.ends_with(b"0") {
        out.pop();
    }
    if out.ends_with(b".") {
        out.pop();
    }
    out.push(b'Z');
    ascii(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

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

    #[test]
    fn dates_of_four_centuries_are_written_as_they_are_read() {
        for day in 0..146_097u64 {
            let seconds = day * 86_400 + day % 86_400;
            let text = rfc3339(seconds * 1_000_000_000 + day % 2 * 120_000_000);
            // The date of HTTP is its own proof.
            let http = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let words: Vec<&str> = http.split([' ', ',']).filter(|w| !w.is_empty()).collect();
            let months = [
                "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
            ];
            let month = months.iter().position(|m| *m == words[2]).unwrap() + 1;
            let fraction = if day % 2 == 1 { ".12" } else { "" };
            let expected = format!(
                "{}-{month:02}-{}T{}{fraction}Z",
                words[3], words[1], words[4]
            );
            assert_eq!(text, expected);
        }
    }
}
