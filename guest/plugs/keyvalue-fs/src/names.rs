//! Names of keys as names of files, and back.
//!
//! Lower-case letters, digits, `.`, `_` and `-` stand for themselves, every other byte is `%` and
//! two hex digits: capitals too, because some file systems take them for the small ones. A `.` at
//! either end is escaped as well: `.` and `..` are taken, and Windows drops a last one. The empty
//! key is `%`.

use alloc::{string::String, vec::Vec};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The name of the file of `key`.
pub fn file(key: &str) -> String {
    if key.is_empty() {
        return String::from("%");
    }
    let last = key.len() - 1;
    let mut name = String::with_capacity(key.len());
    for (at, byte) in key.bytes().enumerate() {
        match byte {
            b'.' if at == 0 || at == last => push_escape(&mut name, byte),
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => push_escape(&mut name, byte),
        }
    }
    name
}

fn push_escape(name: &mut String, byte: u8) {
    name.push('%');
    for digit in [byte >> 4, byte & 15] {
        name.push(char::from(HEX[usize::from(digit)]));
    }
}

/// The key of a file; none for a file that is not of this store.
pub fn key(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' && name.len() > 1 {
            bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
        } else if byte != b'%' {
            bytes.push(byte);
        }
    }
    let key = String::from_utf8(bytes).ok()?;
    (file(&key) == name).then_some(key)
}

fn digit(byte: u8) -> Option<u8> {
    let at = HEX.iter().position(|hex| *hex == byte)?;
    u8::try_from(at).ok()
}

/// A number as 16 hex digits.
pub fn hex(number: u64) -> String {
    let mut text = String::with_capacity(16);
    for place in (0..16).rev() {
        text.push(char::from(HEX[(number >> (4 * place)) as usize & 15]));
    }
    text
}

/// The number of 16 hex digits.
pub fn number(text: &str) -> Option<u64> {
    if text.len() != 16 {
        return None;
    }
    let mut digits = text.bytes();
    digits.try_fold(0, |sum, byte| Some(sum << 4 | u64::from(digit(byte)?)))
}
