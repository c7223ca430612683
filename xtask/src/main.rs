//! `cargo xtask …`: what plain cargo cannot do.

mod bench;
mod debian;
mod fuzz;
mod peers;
mod simulate;

use std::env;
use std::ffi::OsStr;
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <task>

  test      all tests: unit, whole-system, documentation
  peers     only sets up the programs that the tests need, as test does first
  bench     all benchmarks, and whether they keep their bounds
  soak      loads during which processes are killed, longer than in the
            tests: all, or one, as in `soak serve --rounds 50 --seed 1`
  fuzz      every fuzz target, --seconds N each (60)
  simulate  random runs of the core against failing stores, clocks and
            coordinators, on all cores: --minutes N [--seed S]; with only
            --seed S, what that one run does
";

fn main() -> ExitCode {
    let task = env::args().nth(1);
    let result = match task.as_deref() {
        Some("test") => test(),
        Some("peers") => peers::require(),
        Some("bench") => bench::run(),
        Some("fuzz") => fuzz::run(&env::args().skip(2).collect::<Vec<_>>()),
        Some("soak") => soak(env::args().skip(2)),
        Some("simulate") => simulate::run(env::args().skip(2)),
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
    peers::require()?;
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
    cargo(&["test", "--release", "--workspace", "--doc"])?;
    fuzz::replay()
}

/// Loads that take longer than a test may: all of them, or the one that is named.
fn soak(args: impl Iterator<Item = String>) -> Result<(), String> {
    let args: Vec<_> = args.collect();
    peers::require()?;
    cargo(&["build", "--release", "--workspace", "--bins"])?;
    let soak = |args: &[String]| {
        let run = ["run", "--release", "--package", "mcp-reporter-tests"];
        let run = run.into_iter().chain(["--bin", "soak", "--"]);
        cargo(&run.chain(args.iter().map(|arg| &**arg)).collect::<Vec<_>>())
    };
    if !args.is_empty() {
        return soak(&args);
    }
    ["serve", "spin", "plugin"]
        .iter()
        .try_for_each(|load| soak(&[(*load).to_owned()]))
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

fn runs(program: impl AsRef<OsStr>, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}
