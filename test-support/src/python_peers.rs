//! The peers of the tests that are Python programs: where their virtual environment is, and what is
//! in it. `cargo xtask peers` makes it, the tests use it.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder with the programs of this build, beside the one that runs, be it a test or not.
///
/// # Panics
///
/// This program has no path.
#[must_use]
pub fn programs() -> PathBuf {
    let program = std::env::current_exe().expect("this executable has no path");
    // `<target>/release/xtask`, `<target>/release/deps/it-…`
    let folder = program
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"));
    folder.expect("it is in a folder").to_owned()
}

/// The virtual environment of the peers.
#[derive(Debug, Clone)]
pub struct PythonPeers {
    folder: PathBuf,
}

impl PythonPeers {
    /// What is installed, as `pip` reads it.
    pub const REQUIREMENTS: &str = include_str!("../../tests/peers/requirements.txt");

    /// Programs that are no Python, though they come in packages: the package's module and the
    /// program in it. Setting up the environment puts each in place of the script that only calls it,
    /// so that whoever kills it kills the program.
    pub const NATIVE: [(&str, &str); 2] = [("wash_cli", "wash"), ("wasmtime_cli", "wasmtime")];

    /// The one beside the program that runs, be it a test or xtask: `peers/python` in the target
    /// folder. It may not have been made yet.
    pub fn of_this_build() -> Self {
        Self {
            folder: programs().with_file_name("peers").join("python"),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with the [requirements](Self::REQUIREMENTS) that it was made by; it is written last.
    pub fn stamp(&self) -> PathBuf {
        self.folder.join("requirements.txt")
    }

    /// One of its programs, such as `python`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Whether it is there, whole, with what is required now.
    pub fn are_there(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|made_by| made_by == Self::REQUIREMENTS)
            && self.program("python").exists()
    }

    /// The same program, of an environment that is there.
    ///
    /// # Panics
    ///
    /// It is not; the message says what makes it.
    pub fn require(&self, name: &str) -> PathBuf {
        assert!(
            self.are_there(),
            "{} is missing, or was made for other requirements: run `cargo xtask peers`",
            self.folder.display()
        );
        self.program(name)
    }
}
