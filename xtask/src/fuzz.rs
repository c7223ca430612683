//! Runs the fuzz targets of `fuzz/`: libFuzzer, on the toolchain that builds
//! all the rest.
//!
//! Coverage is a pass of LLVM's that a stable compiler runs when told to, so
//! neither nightly nor cargo-fuzz is needed. Only the sanitizers would need
//! nightly, and what is fuzzed has no `unsafe`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{require, run as run_command};

/// As cargo-fuzz has them.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// An input that takes longer has hung.
const INPUT_SECONDS: u32 = 10;

const INPUT_BYTES: u32 = 4096;

/// Runs every target for as long as `args` say.
pub fn run(args: &[String]) -> Result<(), String> {
    let seconds = match args {
        [] => 60,
        [flag, seconds] if flag == "--seconds" => seconds
            .parse::<u32>()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or(format!(
                "--seconds {seconds}: must be a whole number from 1"
            ))?,
        _ => return Err("usage: cargo xtask fuzz [--seconds N]".to_owned()),
    };
    require(
        "c++",
        "libFuzzer is C++: install a compiler (Debian: apt-get install g++)",
    )?;
    let folder = folder();
    let host = host()?;
    // With `--target`, so that build scripts and macros are built without coverage.
    let mut build = cargo("build");
    build.args(["--bins", "--features", "libfuzzer", "--target", &host]);
    run_command(build.env("RUSTFLAGS", COVERAGE))?;
    for target in targets(&folder)? {
        // What libFuzzer finds interesting goes to the first folder, the second is the seed.
        let found = folder.join("target/corpus").join(&target);
        let failed = folder.join("artifacts").join(&target);
        for new in [&found, &failed] {
            fs::create_dir_all(new).map_err(|e| format!("{}: {e}", new.display()))?;
        }
        let program = folder
            .join("target")
            .join(&host)
            .join("release")
            .join(&target);
        let mut fuzzer = Command::new(program);
        fuzzer
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-timeout={INPUT_SECONDS}"))
            .arg(format!("-max_len={INPUT_BYTES}"))
            .arg(format!("-artifact_prefix={}/", failed.display()))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .args([found, folder.join("corpus").join(&target)]);
        run_command(&mut fuzzer)?;
    }
    Ok(())
}

/// Runs the bounded replay of the corpora, which needs no libFuzzer.
pub fn replay() -> Result<(), String> {
    run_command(&mut cargo("test"))
}

fn cargo(command: &str) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args([command, "--release", "--locked", "--manifest-path"])
        .arg(folder().join("Cargo.toml"))
        // A workspace of its own with a target folder of its own.
        .env_remove("CARGO_TARGET_DIR");
    cargo
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// There is a corpus for each target, and no other.
fn targets(folder: &Path) -> Result<Vec<String>, String> {
    let corpora = folder.join("corpus");
    let failed = |e| format!("{}: {e}", corpora.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpora).map_err(failed)? {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}

fn host() -> Result<String, String> {
    let rustc = Command::new("rustc").arg("-vV").output();
    let rustc = rustc.map_err(|e| format!("rustc cannot be started: {e}"))?;
    String::from_utf8_lossy(&rustc.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or("rustc does not say what it builds for".to_owned())
}
