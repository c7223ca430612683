//! What the handle of a store and its threads know.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::files;
use crate::store::StoreError;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process, however sudden.
    #[default]
    Process,
    /// A loss of power too: each commit is flushed to the disk.
    Power,
}

/// What the handle and both threads know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pub(super) commits: AtomicU64,
    /// Set when the store is being closed: locks are no longer waited for at length.
    pub(super) closing: AtomicBool,
}

impl Shared {
    /// Sees to it that the next start looks closely if `error` tells of damage.
    pub(super) fn note_damage(&self, error: &StoreError) {
        if let StoreError::Corrupt { .. } = error {
            files::mark_damaged(&self.path);
        }
    }
}
