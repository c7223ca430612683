//! What others wrote, as a text.

use crate::prelude::*;
pub(crate) use mcp_reporter_event::errors_by_message;
pub use mcp_reporter_event::text::{ascii, decimal, whole};

/// What stands before and after the first `byte`.
pub fn split_once(text: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
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
    }
}
