//! The world as the core sees it: a key-value store, two clocks, random bytes.

use crate::errors_by_message;
use crate::prelude::*;

/// The store failed. The text is the store's own, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl StoreError {
    /// What it says.
    #[must_use]
    pub fn message(&self) -> String {
        self.0.clone()
    }
}

errors_by_message!(StoreError);

/// A key-value store with the operations of `wasi:keyvalue`.
///
/// Keys are `[A-Za-z0-9._-]`. `set_many` and `delete_many` need not be atomic.
/// An error means that the outcome is unknown: the operation may have happened.
pub trait Store {
    /// The value of `key`.
    fn get(&mut self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// The values of `keys`, one for each, in the same order.
    fn get_many(&mut self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;
    /// All keys, in any order: a snapshot.
    fn list_keys(&mut self) -> Result<Vec<String>, StoreError>;
    /// Sets one pair.
    fn set(&mut self, key: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Sets several pairs.
    fn set_many(&mut self, pairs: &[(String, Vec<u8>)]) -> Result<(), StoreError>;
    /// Deletes keys; absent ones are skipped.
    fn delete_many(&mut self, keys: &[String]) -> Result<(), StoreError>;
    /// Adds `delta` to the integer at `key` (absent counts as 0), returns the sum.
    fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StoreError>;
    /// Sets `key` to `new` if its value is `expected`, byte for byte, and says
    /// whether it did. The key exists; `new` was never a value of it before.
    fn compare_and_swap(
        &mut self,
        key: &str,
        expected: &[u8],
        new: &[u8],
    ) -> Result<bool, StoreError>;
}

/// A reading of both clocks, taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since 1970-01-01 UTC. May jump.
    pub wall_ns: u64,
    /// Nanoseconds since any fixed moment of this instance. Never goes back.
    pub mono_ns: u64,
}

/// A source of unpredictable bytes.
pub trait Random {
    /// Fills `buf`.
    fn fill(&mut self, buf: &mut [u8]);

    /// A uniform number.
    fn number(&mut self) -> u64 {
        let mut b = [0; 8];
        self.fill(&mut b);
        u64::from_le_bytes(b)
    }

    /// A uniform number below `bound` (0 when `bound` is 0).
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }
}
