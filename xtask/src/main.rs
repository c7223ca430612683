//! `cargo xtask …`: what plain cargo cannot do.

mod bench;

use std::env;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <task>

  test   all tests: unit, whole-system, documentation
  bench  all benchmarks, and whether they keep their bounds
";

fn main() -> ExitCode {
    let task = env::args().nth(1);
    let result = match task.as_deref() {
        Some("test") => test(),
        Some("bench") => bench::run(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn test() -> Result<(), String> {
    // A peer of the tests: the old client was a Python program.
    require(
        "python3",
        "install Python 3.9 or later (Debian: apt-get install python3)",
    )?;
    redis_server()?;
    // Examples are run by tests, which do not build them.
    cargo(&["build", "--release", "--workspace", "--examples", "--bins"])?;
    if runs("cargo-nextest", &["nextest", "--version"]) {
        cargo(&["nextest", "run", "--release", "--workspace"])?;
    } else {
        cargo(&[
            "test",
            "--release",
            "--workspace",
            "--lib",
            "--bins",
            "--tests",
        ])?;
    }
    cargo(&["test", "--release", "--workspace", "--doc"])
}

/// The store of several machines is tested against a real one.
fn redis_server() -> Result<(), String> {
    const PROGRAM: &str = "redis-server";
    if runs(PROGRAM, &["--version"]) {
        return Ok(());
    }
    // Who is not the superuser is told the command instead.
    let superuser = Command::new("id").arg("-u").output();
    let superuser = superuser.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    if superuser && runs("apt-get", &["--version"]) {
        let apt_get = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            run(command.env("DEBIAN_FRONTEND", "noninteractive").args(args))
        };
        let install = ["install", "--yes", "--no-install-recommends", PROGRAM];
        if apt_get(&install).is_err() {
            apt_get(&["update"])?;
            apt_get(&install)?;
        }
    }
    require(
        PROGRAM,
        "install Redis 6 or later (Debian: apt-get install redis-server)",
    )
}

fn cargo(args: &[&str]) -> Result<(), String> {
    run(Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).args(args))
}

fn run(command: &mut Command) -> Result<(), String> {
    eprintln!("+ {command:?}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(e) => Err(format!("{command:?} cannot be started: {e}")),
    }
}

fn require(program: &str, remedy: &str) -> Result<(), String> {
    if runs(program, &["--version"]) {
        Ok(())
    } else {
        Err(format!(
            "{program} is missing, and the tests need it: {remedy}"
        ))
    }
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}
