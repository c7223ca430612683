//! What every command takes: the configuration file, and each of its keys as a flag.

use super::{Error, logging};
use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, ValueHint};
use mcp_reporter::config::{KeyInfo, keys};
use std::path::PathBuf;

/// Heading of the flags that are keys of the configuration.
const SETTINGS: &str = "Settings (also keys of the configuration file, and environment variables \
    such as MCP_REPORTER_RATE_LIMIT)";

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file [default: ./mcp_config.toml, else mcp-reporter/config.toml in the
    /// user's configuration folder]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    #[command(flatten)]
    pub settings: Settings,
}

impl Global {
    /// For a command that has no configuration.
    ///
    /// # Errors
    ///
    /// One was given all the same; only the log's settings mean something then.
    pub fn without_config(&self, command: &str) -> Result<(), Error> {
        let log = |key: &str| matches!(key, "log_level" | "log_format" | "log_file");
        let flag = match (
            &self.config,
            self.settings.given().iter().find(|(key, _)| !log(key)),
        ) {
            (Some(_), _) => "--config".to_owned(),
            (None, Some((key, _))) => format!("--{}", key.replace('_', "-")),
            (None, None) => return logging::without_config(self.settings.given()),
        };
        Err(Error::Usage(format!(
            "`{command}` reads no configuration, so {flag} has no effect"
        )))
    }
}

/// The keys of the configuration that were given as flags, each of them
/// `--` and the key with dashes.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    given: Vec<(String, String)>,
    /// One of the secrets, which have no flag.
    secret: Option<KeyInfo>,
}

impl Settings {
    /// Keys and texts.
    pub fn given(&self) -> &[(String, String)] {
        &self.given
    }

    /// Secrets have no flag, and whoever tries one is told why.
    ///
    /// # Errors
    ///
    /// One was tried.
    pub fn refuse_secret(&self) -> Result<(), Error> {
        let Some(key) = self.secret else {
            return Ok(());
        };
        let or_file = match key.name {
            "coordinator_api_key" => " or coordinator_api_key_file",
            _ => "",
        };
        Err(Error::Usage(format!(
            "--{} is not taken: every user of the machine can read a command line. Set {}, or \
             {}{or_file} in the configuration file",
            key.name.replace('_', "-"),
            key.env(),
            key.name
        )))
    }
}

impl Args for Settings {
    fn augment_args(command: clap::Command) -> clap::Command {
        keys().fold(command, |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn flag(key: KeyInfo) -> Arg {
    let arg = Arg::new(key.name)
        .long(key.name.replace('_', "-"))
        .global(true)
        .action(ArgAction::Set)
        .help_heading(SETTINGS);
    if key.is_secret {
        // Known, so that the answer to it is ours and does not repeat it.
        return arg.hide(true).num_args(0..=1).allow_hyphen_values(true);
    }
    let default = key
        .default
        .map(|default| format!(" [default: {default}]"))
        .unwrap_or_default();
    let is_path = key.allowed == "a path";
    let value = if is_path { "PATH" } else { "VALUE" };
    let arg = arg
        .value_name(value)
        .value_hint(if is_path {
            ValueHint::FilePath
        } else {
            ValueHint::Other
        })
        .allow_negative_numbers(true)
        .help(format!("{} Must be {}{default}", key.doc, key.allowed));
    // The two that any command is likely to want stand with its own.
    if matches!(key.name, "log_level" | "log_format") {
        arg.help_heading(None::<&str>)
    } else {
        arg.hide_short_help(true)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for key in keys() {
            if key.is_secret {
                if matches.contains_id(key.name) {
                    self.secret = Some(key);
                }
            } else if let Some(text) = matches.get_one::<String>(key.name) {
                self.given.push((key.name.to_owned(), text.clone()));
            }
        }
        Ok(())
    }
}
