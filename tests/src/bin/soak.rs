//! Runs for hours what the tests run for seconds: `soak serve --rounds 50 [--seed 1]`.

use std::process::ExitCode;

use mcp_reporter_tests::killed_under_16_clients;

const USAGE: &str = "\
usage: soak <load> [--rounds N] [--seed S]

  serve   kills a `serve` under 16 clients, N times (50)
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
        }
    }
    ExitCode::SUCCESS
}

enum Load {
    Serve,
}

fn parsed(arguments: &[String]) -> Option<(Load, Option<u32>, u64)> {
    let (name, mut rest) = arguments.split_first()?;
    let load = match &**name {
        "serve" => Load::Serve,
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
