//! The peers of the tests that come from npm: in which folder they are. `cargo xtask peers` makes
//! it, the tests use it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::programs;

/// The folder with the packages of the peers.
#[derive(Debug, Clone)]
pub struct NodePeers {
    folder: PathBuf,
}

impl NodePeers {
    /// What is installed, as npm reads it.
    pub const PACKAGE: &str = include_str!("../../tests/peers/npm/package.json");

    /// Every package of it, with its version and its digest.
    pub const LOCK: &str = include_str!("../../tests/peers/npm/package-lock.json");

    /// The one beside the program that runs, be it a test or xtask: `peers/node` in the target
    /// folder. It may not have been made yet.
    pub fn of_this_build() -> Self {
        Self {
            folder: programs().with_file_name("peers").join("node"),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A copy of the [lock](Self::LOCK) that it was made by; it is written last.
    pub fn stamp(&self) -> PathBuf {
        self.folder.join("made-by.json")
    }

    /// Where the packages are.
    pub fn modules(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// Whether it is there, whole, with what is required now.
    pub fn are_there(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|made_by| made_by == Self::LOCK)
    }

    /// Where the packages are, of a folder that is there.
    ///
    /// # Panics
    ///
    /// It is not; the message says what makes it.
    pub fn require(&self) -> PathBuf {
        assert!(
            self.are_there(),
            "{} is missing, or was made for other requirements: run `cargo xtask peers`",
            self.folder.display()
        );
        self.modules()
    }
}
