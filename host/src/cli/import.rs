//! `import`: takes over what the old client could not deliver.

use super::start::{SHUTDOWN, enabled_reporter};
use super::{Error, Ui, output};
use clap::ValueHint;
use mcp_reporter::Config;
use mcp_reporter::reporter::LegacyImport;
use mcp_reporter_core::settings::printable;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to import.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The old client's cache: local_cache_path in its mcp_config.toml
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Print {"taken_over", "known", "unreadable", "reasons"} as JSON
    #[arg(long)]
    json: bool,
}

/// Takes the events over. The file stays as it is.
pub async fn run(args: Args, config: Config, ui: Ui) -> Result<ExitCode, Error> {
    let import = LegacyImport::open(&args.file).map_err(|error| Error::Usage(error.to_string()))?;
    let reporter = enabled_reporter(config).await?;
    let bar = ui.bar(import.rows()?);
    let result = import
        .run(&reporter, |rows| {
            if let Some(bar) = &bar {
                bar.set_position(rows);
            }
        })
        .await;
    reporter.shutdown(SHUTDOWN).await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let file = printable(&args.file.display().to_string());
    let done = result.map_err(|why| {
        Error::Failed(format!(
            "{why}; what was taken over until then is noted, and importing {file} again goes on \
             from there"
        ))
    })?;
    let code = if done.unreadable_total == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    };
    if args.json {
        ui.json(&json!({
            "taken_over": done.events,
            "known": done.known,
            "unreadable": done.unreadable_total,
            "reasons": done.unreadable,
        }))?;
        return Ok(code);
    }
    let mut text = format!(
        "{} taken over, {} already known, {} unreadable; {file} was left as it is",
        output::count(done.events, "event"),
        done.known,
        done.unreadable_total,
    );
    for reason in &done.unreadable {
        text += &format!("\n  {}", printable(reason));
    }
    let unsaid = done.unreadable_total - done.unreadable.len() as u64;
    if unsaid > 0 {
        text += &format!("\n  and {unsaid} more");
    }
    ui.line(&text)?;
    Ok(code)
}
