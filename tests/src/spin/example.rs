//! The application in `examples/spin-mcp-server`: built, and as its manifest has it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcp_reporter_artifacts::REPORTER;

use super::{Manifest, SpinComponent};
use crate::{INGEST_KEY, KEY};

// The build script of the components has the same need.
#[path = "../../../guest/artifacts/build/outer.rs"]
mod outer;

const TARGET: &str = "wasm32-wasip1";

/// Its components, which report to the coordinator at `url`. The server's dependency inherits what
/// the manifest says, or these sets of capabilities alone. The first call builds the server.
///
/// # Errors
///
/// What Spin would say: the components are not composed.
pub fn mcp_server(url: &str, inherits: Option<&[&str]>) -> Result<Vec<SpinComponent>, String> {
    let manifest = Manifest::read(&folder().join("spin.toml"))?;
    let manifest = match inherits {
        None => manifest,
        Some(sets) => manifest.inheriting(sets),
    };
    let variables = [
        ("coordinator_url", url),
        ("coordinator_api_key", KEY),
        ("ingest_keys", INGEST_KEY),
    ];
    let target = build();
    manifest.components(&variables, |path| match path {
        "reporter.wasm" => Ok(REPORTER.to_vec()),
        path => {
            let built = path.strip_prefix("target/");
            let built = target.join(built.ok_or_else(|| format!("nothing builds {path}"))?);
            std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))
        }
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/spin-mcp-server")
}

/// Builds the server, and returns its target folder, which is in that of the tests. Cargo has one
/// test wait for the other.
fn build() -> PathBuf {
    let target = mcp_reporter_test_support::programs().with_file_name("spin-mcp-server");
    if !has_std() {
        add_target();
    }
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([
            "build",
            "--quiet",
            "--release",
            "--locked",
            "--target",
            TARGET,
        ])
        .arg("--target-dir")
        .arg(&target)
        .current_dir(folder());
    outer::remove_variables(&mut cargo);
    let status = cargo.status();
    assert!(status.is_ok_and(|status| status.success()), "{cargo:?}");
    target
}

/// Whether the toolchain has a standard library for the target.
fn has_std() -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let folder = rustc.current_dir(folder()).output().expect("no rustc");
    let folder = String::from_utf8_lossy(&folder.stdout).trim().to_owned();
    Path::new(&folder).is_dir()
}

fn add_target() {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).current_dir(folder());
    let added = rustup.status();
    assert!(
        added.is_ok_and(|status| status.success()),
        "the tests need Rust's standard library for {TARGET}: rustup target add {TARGET}"
    );
}
