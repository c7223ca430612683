//! Runs for hours what the tests run for seconds: `soak serve --rounds 50 --seed 1`.

use std::fmt::Display;
use std::process::ExitCode;

use mcp_reporter_tests::spin::{Load as SpinLoad, Mode};
use mcp_reporter_tests::{killed_under_16_clients, plugin_killed_at_random};

const USAGE: &str = "\
usage: soak <load> [--rounds N] [--seed S]

  serve   kills a `serve` under 16 clients, N times (50)
  spin    2,000 events on the Spin profile while instances are killed, with N
          seeds (20) from S on, on both stores
  plugin  ten processes of the wasmtime CLI on one folder, killed at random,
          with N seeds (50) from S on
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((load, rounds, seed)) = parsed(&arguments) else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match load {
        Load::Serve => {
            let answered = runtime.block_on(killed_under_16_clients(rounds.unwrap_or(50), seed));
            println!("serve: {answered} events answered, all arrived, duplicates by key only");
            ExitCode::SUCCESS
        }
        Load::Spin => runtime.block_on(spin(rounds.unwrap_or(20), seed)),
        Load::Plugin => runtime.block_on(plugin(rounds.unwrap_or(50), seed)),
    }
}

async fn spin(rounds: u32, first: u64) -> ExitCode {
    let mut kept = true;
    for seed in first..first + u64::from(rounds) {
        for mode in Mode::ALL {
            let outcome = SpinLoad::new(seed, mode).run().await;
            kept &= told(&format!("spin, seed {seed}, {mode:?}"), outcome);
        }
    }
    end(kept)
}

async fn plugin(rounds: u32, first: u64) -> ExitCode {
    let mut kept = true;
    for seed in first..first + u64::from(rounds) {
        let outcome = plugin_killed_at_random(seed).await;
        kept &= told(&format!("plugin, seed {seed}"), outcome);
    }
    end(kept)
}

/// Prints what a round came to, and says whether it kept what is promised.
fn told(round: &str, outcome: Result<impl Display, Vec<String>>) -> bool {
    match &outcome {
        Ok(outcome) => println!("{round}: {outcome}"),
        Err(wrong) => println!("{round}: WRONG\n{}", wrong.join("\n")),
    }
    outcome.is_ok()
}

fn end(kept: bool) -> ExitCode {
    match kept {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

enum Load {
    Serve,
    Spin,
    Plugin,
}

fn parsed(arguments: &[String]) -> Option<(Load, Option<u32>, u64)> {
    let (name, mut rest) = arguments.split_first()?;
    let load = match &**name {
        "serve" => Load::Serve,
        "spin" => Load::Spin,
        "plugin" => Load::Plugin,
        _ => return None,
    };
    let (mut rounds, mut seed) = (None, 1);
    while let [option, value, more @ ..] = rest {
        match &**option {
            "--rounds" => rounds = Some(value.parse().ok()?),
            "--seed" => seed = value.parse().ok()?,
            _ => return None,
        }
        rest = more;
    }
    rest.is_empty().then_some((load, rounds, seed))
}
