//! Loads on the Spin profile, with one seed after the other, on both backends: `spin_load 1 20`
//! takes the seeds 1 to 20. Ends with 1 when anything was wrong, and prints what.

use std::process::ExitCode;

use mcp_reporter_tests::spin::{Load, Mode};

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(first)), Some(Ok(last))) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: spin_load FIRST_SEED LAST_SEED");
        return ExitCode::from(2);
    };
    let mut end = ExitCode::SUCCESS;
    for seed in first..=last {
        for mode in Mode::ALL {
            match Load::new(seed, mode).run().await {
                Ok(outcome) => println!("seed {seed}, {mode:?}: {outcome}"),
                Err(wrong) => {
                    println!("seed {seed}, {mode:?}: WRONG\n{}", wrong.join("\n"));
                    end = ExitCode::FAILURE;
                }
            }
        }
    }
    end
}
