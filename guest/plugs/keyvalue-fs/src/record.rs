//! What a file with a value holds: a head of 28 bytes, then the value.
//!
//! | bytes | |
//! | --- | --- |
//! | 4 | `kvf1` |
//! | 8 | a number that no other file ever has |
//! | 8 | in a register: that number of the value that was set before the register began, 0 for none |
//! | 8 | length of the value |
//!
//! Numbers are little-endian.

use alloc::vec::Vec;

const MAGIC: &[u8; 4] = b"kvf1";

/// Bytes before the value.
pub const HEAD_BYTES: usize = 28;

/// The base of a register that began on an absent value.
pub const ABSENT: u64 = 0;

/// A value as it lies in a file.
#[derive(Default)]
pub struct Record {
    /// The number that no other file has.
    pub id: u64,
    /// The number of the value that a register began on.
    pub base: u64,
    /// The value.
    pub value: Vec<u8>,
}

/// The bytes of a file.
pub fn encode(id: u64, base: u64, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_BYTES + value.len());
    bytes.extend_from_slice(MAGIC);
    for number in [id, base, value.len() as u64] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(value);
    bytes
}

/// How long the file that begins with `head` is; none when that is no head.
pub fn file_bytes(head: &[u8]) -> Option<u64> {
    (head.get(..4)? == MAGIC).then_some(())?;
    number(head, 20)?.checked_add(HEAD_BYTES as u64)
}

/// What the file with these bytes holds. One that was cut short holds an empty value.
pub fn decode(mut bytes: Vec<u8>) -> Record {
    if file_bytes(&bytes) != Some(bytes.len() as u64) {
        return Record::default();
    }
    let (Some(id), Some(base)) = (number(&bytes, 4), number(&bytes, 12)) else {
        return Record::default();
    };
    bytes.drain(..HEAD_BYTES);
    Record {
        id,
        base,
        value: bytes,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at + 8)?;
    Some(u64::from_le_bytes(eight.try_into().ok()?))
}
