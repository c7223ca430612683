//! `demo`: an outage and a killed process, shown with real processes, and what
//! became of every event, counted.
//!
//! The coordinator runs in this process; the reporter in another one, this same
//! program, so that it can be killed. It is handed the calls of a recorded
//! session over a pipe, and answers with what the library acknowledged. That is
//! held against what the coordinator received.

mod child;
mod folder;
mod io_error;
mod process;
mod script;
mod stage;
mod tally;

use super::{Error, Ui};
use clap::ValueHint;
use folder::Folder;
use io_error::io;
use stage::Stage;
use std::path::PathBuf;
use std::process::ExitCode;

/// How it is shown.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Speed of the replay: 1 as recorded, 0.5 half as fast
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = pace)]
    pace: f64,
    /// Keep the files in this folder, which must be new
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    keep: Option<PathBuf>,
    /// Be the reporter process of the demo in this folder
    #[arg(long, value_name = "DIR", hide = true)]
    reporter: Option<PathBuf>,
}

fn pace(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(pace) if (0.01..=100.0).contains(&pace) => Ok(pace),
        _ => Err("must be a number from 0.01 to 100".to_owned()),
    }
}

/// Shows it. Exit code 0 when nothing was lost and nothing out of order, else 1.
pub async fn run(args: DemoArgs, ui: Ui) -> Result<ExitCode, Error> {
    if let Some(dir) = args.reporter {
        child::run(&dir).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let folder = match &args.keep {
        Some(dir) => Folder::kept(dir).map_err(|why| {
            Error::Usage(format!(
                "--keep {}: {why}; name a folder that is not there yet",
                dir.display()
            ))
        })?,
        None => Folder::temporary().map_err(io)?,
    };
    tokio::select! {
        shown = show(args.pace, &folder, ui) => shown,
        // Dropping the show kills its process; the files go after it.
        _ = tokio::signal::ctrl_c() => Err(Error::Failed("interrupted".to_owned())),
    }
}

async fn show(pace: f64, folder: &Folder, ui: Ui) -> Result<ExitCode, Error> {
    let calls = script::calls()?;
    let mut stage = Stage::set(&calls, folder, ui).await?;
    stage.replay(pace).await?;
    stage.clear().await?;
    let tally = stage.count()?;
    ui.line(&format!("\n{tally}"))?;
    let good = tally.is_good();
    ui.line(&if good {
        ui.good("Nothing lost, everything in order.")
    } else {
        ui.bad("FAILED: this is not what mcp-reporter promises.")
    })?;
    ui.line(&match folder.keep() {
        Some(dir) => format!(
            "\nWhat the coordinator has:  sqlite3 {0}/coordinator.db 'select * from events'\n\
             The outbox:                mcp-reporter --config {0}/mcp_config.toml outbox status\n\
             The reporter's own log:    {0}/reporter.log",
            dir.display()
        ),
        None => "\nSlower, with files to look into:   mcp-reporter demo --pace 0.3 --keep demo\n\
                 A coordinator to break yourself:   mcp-reporter coordinator --fault hang"
            .to_owned(),
    })?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
