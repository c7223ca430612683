//! Text without `core::fmt`, whose machinery would be a twentieth of the component.

use crate::event::push_decimal;
use crate::prelude::*;

/// `n` in decimal.
#[must_use]
pub fn decimal(n: u64) -> String {
    let mut out = Vec::new();
    push_decimal(&mut out, n, 1);
    ascii(out)
}

/// Bytes that are all ASCII, as a text.
pub(crate) fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// The number that `digits` is in decimal: no sign, no space; none beyond 64 bits.
pub(crate) fn whole(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |n, b| {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(digit.into())
    })
}

/// What stands before and after the first `byte`.
pub(crate) fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|b| *b == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// What an answer says, without `secret`: a debugging proxy repeats the request.
#[must_use]
pub fn answer_text(answer: &[u8], secret: &str) -> String {
    let mut text = Vec::with_capacity(answer.len());
    let mut rest = answer.trim_ascii();
    while let Some(first) = rest.first() {
        rest = match rest.strip_prefix(secret.as_bytes()) {
            Some(after) => {
                text.extend_from_slice(b"***");
                after
            }
            None => {
                text.push(*first);
                &rest[1..]
            }
        };
    }
    lossy(&text)
}

/// What `bytes` says, with U+FFFD for whatever is not UTF-8.
#[must_use]
pub fn lossy(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    loop {
        match core::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return text;
            }
            Err(e) => {
                let (good, rest) = bytes.split_at(e.valid_up_to());
                text.push_str(core::str::from_utf8(good).unwrap_or_default());
                text.push('\u{fffd}');
                bytes = rest
                    .get(e.error_len().unwrap_or(rest.len())..)
                    .unwrap_or_default();
            }
        }
    }
}

/// Gives error types that have a `message` what is expected of an error.
macro_rules! errors_by_message {
    ($($error:ty),+) => {$(
        impl core::fmt::Display for $error {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(&self.message())
            }
        }

        impl core::error::Error for $error {}
    )+};
}
pub(crate) use errors_by_message;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lossy_is_as_the_standard_library_has_it(bytes: Vec<u8>, text: String, cut: usize) {
            prop_assert_eq!(lossy(&bytes), String::from_utf8_lossy(&bytes));
            let torn = &text.as_bytes()[cut % (text.len() + 1)..];
            prop_assert_eq!(lossy(torn), String::from_utf8_lossy(torn));
        }

        #[test]
        fn an_answer_is_told_without_the_secret(before: String, after: String) {
            let told = answer_text(format!(" {before}s3cret{after}s3cret").as_bytes(), "s3cret");
            prop_assert!(!told.contains("s3cret") && told.ends_with("***"));
        }

        #[test]
        fn decimal_is_as_the_standard_library_has_it(n: u64) {
            prop_assert_eq!(decimal(n), n.to_string());
        }
    }
}
