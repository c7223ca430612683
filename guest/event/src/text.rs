//! Text without `core::fmt`, whose machinery would be a twentieth of the component.

use crate::digits;
use crate::prelude::*;

/// `n` in decimal.
#[must_use]
pub fn decimal(n: u64) -> String {
    let mut out = Vec::new();
    push_decimal(&mut out, n);
    ascii(out)
}

/// Appends `n` in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, n: u64) {
    let digits = digits::decimal(n);
    let zeros = digits[..23].iter().take_while(|digit| **digit == b'0');
    out.extend_from_slice(&digits[zeros.count()..]);
}

/// Bytes that are all ASCII, as a text.
pub fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_default()
}

/// The number that `digits` is in decimal: no sign, no space; none beyond 64 bits.
pub fn whole(digits: &[u8]) -> Option<u64> {
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

/// Gives error types that have a `message` what is expected of an error.
#[macro_export]
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimal_is_as_the_standard_library_has_it(n: u64) {
            prop_assert_eq!(decimal(n), n.to_string());
        }
    }
}
