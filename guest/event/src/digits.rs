//! Numbers as digits, eight at a time: a loop over the digits of an event's key and timestamp
//! would be a tenth of what a report costs.

/// `n` in decimal, with zeros in front.
#[inline(never)]
pub(crate) fn decimal(n: u64) -> [u8; 24] {
    const HALF: u64 = 100_000_000;
    let mut digits = [0; 24];
    digits[..8].copy_from_slice(&eight(n / HALF / HALF));
    digits[8..16].copy_from_slice(&eight(n / HALF % HALF));
    digits[16..].copy_from_slice(&eight(n % HALF));
    digits
}

/// `n`, which is below 10^8, in decimal.
fn eight(n: u64) -> [u8; 8] {
    // Halved three times, the upper half ahead; a product and a shift divide all parts at once.
    let n = (n / 10_000) | ((n % 10_000) << 32);
    let hundreds = ((n * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let n = hundreds | ((n - 100 * hundreds) << 16);
    let tens = ((n * 103) >> 10) & 0x000f_000f_000f_000f;
    let n = tens | ((n - 10 * tens) << 8);
    (n + 0x3030_3030_3030_3030).to_le_bytes()
}

/// `n` in lower-case hex, with zeros in front.
#[inline(never)]
pub fn hex(n: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&nibbles(n >> 32));
    digits[8..].copy_from_slice(&nibbles(n & 0xffff_ffff));
    digits
}

/// `n`, which is below 2^32, in hex.
fn nibbles(n: u64) -> [u8; 8] {
    let n = (n | (n << 16)) & 0x0000_ffff_0000_ffff;
    let n = (n | (n << 8)) & 0x00ff_00ff_00ff_00ff;
    let n = (n | (n << 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more carry into the upper half of a byte if it is a letter's.
    let letters = ((n + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let to_letter = u64::from(b'a' - b'9' - 1);
    (n + 0x3030_3030_3030_3030 + letters * to_letter).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_as_the_standard_library_has_them(n: u64, shift in 0..64) {
            let n = n >> shift;
            prop_assert_eq!(decimal(n).to_vec(), format!("{n:024}").into_bytes());
            prop_assert_eq!(hex(n).to_vec(), format!("{n:016x}").into_bytes());
        }
    }

    #[test]
    fn every_group_of_digits_is_right() {
        for n in (0..10_000).chain((0..10_000).map(|n| n * 10_000)) {
            assert_eq!(eight(n).as_slice(), format!("{n:08}").as_bytes());
        }
    }
}
