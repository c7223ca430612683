//! `config`: writes a configuration file, or shows what is configured.

use super::{Error, Ui};
use clap::{Subcommand, ValueHint};
use mcp_reporter::Config;
use mcp_reporter::config::ConfigError;
use mcp_reporter_core::settings::printable;
use serde_json::{Map, json};
use std::path::PathBuf;
use std::process::ExitCode;

/// What to do with the configuration.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Writes a configuration file to begin with; never overwrites one
    Init {
        /// Where
        #[arg(default_value = "./mcp_config.toml", value_hint = ValueHint::FilePath)]
        path: PathBuf,
    },
    /// Shows every setting, its value and where it comes from; never the API key
    Show {
        /// Print {"file", "warnings", "settings": {key: {"value", "source"}}} as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub fn run(
    args: Args,
    load: impl FnOnce() -> Result<Config, Error>,
    ui: Ui,
) -> Result<ExitCode, Error> {
    match args.action {
        Action::Init { path } => {
            Config::write_template(&path).map_err(|error| match error {
                // It is not what is configured that is wrong.
                ConfigError::Write { .. } => Error::Failed(error.to_string()),
                other => other.into(),
            })?;
            let path = printable(&path.display().to_string());
            ui.line(&format!(
                "wrote {path}: set mcp_id, coordinator_url and a key in it, switch \
                 enable_interaction_logging on, and run `mcp-reporter check`"
            ))?;
        }
        Action::Show { json } => show(&load()?, json, ui)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Config, json: bool, ui: Ui) -> Result<(), Error> {
    let shown = config.show();
    if json {
        let settings: Map<_, _> = shown
            .into_iter()
            .map(|s| {
                let setting = json!({ "value": s.value, "source": s.source.to_string() });
                (s.key.to_owned(), setting)
            })
            .collect();
        let file = config.file().map(|path| path.display().to_string());
        return ui.json(&json!({
            "file": file,
            "warnings": config.warnings(),
            "settings": settings,
        }));
    }
    let mut text = match config.file() {
        Some(path) => format!("# {}", printable(&path.display().to_string())),
        None => "# no configuration file".to_owned(),
    };
    for setting in shown {
        let value = setting
            .value
            .map_or("-".to_owned(), |value| printable(&value));
        text += &format!("\n{:<27} {value:<24} ({})", setting.key, setting.source);
    }
    for warning in config.warnings() {
        text += &format!("\n{} {warning}", ui.notable("warning:"));
    }
    ui.line(&text)
}
