//! Programs that the tests need beside ours: what plays the old client, a Redis, what tries the API.

use std::fs;
use std::process::Command;

use mcp_reporter_test_support::PythonPeers;

use crate::{debian, run, runs};

/// Sees to it that all of them are there. A test that needs one fails without it, so nothing is
/// skipped.
pub fn require() -> Result<(), String> {
    crate::require(
        "python3",
        "install Python 3.11 or later (Debian: apt-get install python3 python3-venv)",
    )?;
    debian::require()?;
    python()
}

/// Makes the virtual environment of those that are Python programs, unless it is there with what
/// is required now.
fn python() -> Result<(), String> {
    let peers = PythonPeers::of_this_build();
    let python = peers.program("python");
    // It does not run any more once the Python that it was made with is gone.
    if peers.are_there() && runs(&python, &["--version"]) {
        return Ok(());
    }
    let folder = peers.folder();
    let cannot = |e| format!("{} cannot be set up: {e}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(cannot)?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(folder)).map_err(|e| {
        format!(
            "{e}\nthe tests need Python 3.11 or later with its module venv (Debian: apt-get \
             install python3-venv)"
        )
    })?;
    let required = folder.join("installing.txt");
    fs::write(&required, PythonPeers::REQUIREMENTS).map_err(cannot)?;
    run(Command::new(&python)
        .args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--requirement"])
        .arg(&required))
    .map_err(|e| {
        format!("{e}\nthe tests need what tests/peers/requirements.txt names, from PyPI")
    })?;
    fs::rename(&required, peers.stamp()).map_err(cannot)
}
