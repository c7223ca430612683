//! Spans of time, as people write and read them.

use std::time::Duration;

const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];

/// Reads `7d`, `12h`, `30m`, `90s`.
///
/// # Errors
///
/// What is allowed, when it is none of these.
pub fn age(text: &str) -> Result<Duration, String> {
    let wrong =
        || "must be a whole number and s, m, h or d, such as 90s, 30m, 12h or 7d".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let number = text.strip_suffix(unit).unwrap_or_default();
    let (_, seconds) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // Beyond this its milliseconds do not fit into 64 bits.
    let longest = u64::MAX / 1_000;
    let seconds = number
        .checked_mul(*seconds)
        .filter(|s| *s <= longest)
        .ok_or_else(wrong)?;
    Ok(Duration::from_secs(seconds))
}

/// Reads seconds: `60`, `0.5`.
///
/// # Errors
///
/// What is allowed, when it is not that.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number of seconds from 0.001 to 31536000".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.001..=31_536_000.0).contains(&seconds) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// `850 ms`, `42 s`, `12 min`, `3 h`, `7 d`: the largest unit that leaves two or more.
pub fn shown(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{} ms", span.as_millis()),
        1..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_one_number_and_one_unit() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("12h", 43_200),
            ("7d", 604_800),
            ("0d", 0),
        ] {
            assert_eq!(age(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "7",
            "d",
            "-7d",
            "+7d",
            "7 d",
            "7w",
            "1.5h",
            "7D",
            "7dd",
            "7é",
            "99999999999999999d",
        ] {
            assert!(age(text).unwrap_err().contains("7d"), "{text}");
        }
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("60"), Ok(Duration::from_secs(60)));
        for text in ["", "0", "-1", "NaN", "inf", "1e300", "1s"] {
            assert!(seconds(text).unwrap_err().contains("0.001"), "{text}");
        }
    }

    #[test]
    fn a_span_is_shown_in_one_unit() {
        for (ms, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (42_900, "42 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (7_200_000, "2 h"),
            (604_800_000, "7 d"),
        ] {
            assert_eq!(shown(Duration::from_millis(ms)), text);
        }
    }
}
