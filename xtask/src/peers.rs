//! Programs that the tests need beside ours: what plays the old client, a Redis, what tries the API.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use mcp_reporter_test_support::{NodePeers, PythonPeers};

use crate::{debian, run, runs};

/// Sees to it that all of them are there. A test that needs one fails without it, so nothing is
/// skipped.
pub fn require() -> Result<(), String> {
    crate::require(
        "python3",
        "install Python 3.11 or later (Debian: apt-get install python3 python3-venv)",
    )?;
    crate::require(
        "npm",
        "install Node 20 or later with npm (Debian: apt-get install nodejs npm)",
    )?;
    debian::require()?;
    python()?;
    node()
}

/// Installs those that come from npm, unless they are there as they are required now.
fn node() -> Result<(), String> {
    let peers = NodePeers::of_this_build();
    if peers.are_there() {
        return Ok(());
    }
    let folder = peers.folder();
    let cannot = |e| format!("{} cannot be set up: {e}", folder.display());
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(cannot)?;
    }
    fs::create_dir_all(folder).map_err(cannot)?;
    let file = |name: &str, text: &str| fs::write(folder.join(name), text).map_err(cannot);
    file("package.json", NodePeers::PACKAGE)?;
    file("package-lock.json", NodePeers::LOCK)?;
    run(Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder))
    .map_err(|e| format!("{e}\nthe tests need what tests/peers/npm names, from npm"))?;
    fs::write(peers.stamp(), NodePeers::LOCK).map_err(cannot)
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
    for (module, name) in PythonPeers::NATIVE {
        native(&peers, module, name).map_err(cannot)?;
    }
    fs::rename(&required, peers.stamp()).map_err(cannot)
}

/// Puts a program that is no Python where its script is.
fn native(peers: &PythonPeers, module: &str, name: &str) -> io::Result<()> {
    // One folder, named after the version of Python.
    for version in fs::read_dir(peers.folder().join("lib"))? {
        let packages = version?.path().join("site-packages");
        let program = packages.join(module).join(name);
        if program.exists() {
            // It comes without the right to be executed.
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
            fs::remove_file(peers.program(name))?;
            return symlink(program, peers.program(name));
        }
    }
    Err(io::Error::other(format!("there is no {name} in {module}")))
}
