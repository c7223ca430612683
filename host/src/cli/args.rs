//! What the command line may say.

use super::global::Global;
use super::{
    check, completions, component, config, coordinator, deliver, demo, enable, import, outbox,
    proxy, report, serve, service, wrap,
};
use clap::{Arg, ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};

/// The first screen. A test holds it against the commands that there are.
const TEMPLATE: &str = "\
{about}

{usage-heading} {usage}

\x1b[1;4mTry it:\x1b[0m
  demo         Shows it all at work, with nothing but this program
  coordinator  Runs a coordinator to develop and test against

\x1b[1;4mCapture MCP traffic:\x1b[0m
  wrap         Runs an MCP server, and reports what it does
  proxy        Stands before an MCP server, and reports what it does
  enable       Makes the servers of MCP clients run wrapped
  disable      Makes them run as they did before

\x1b[1;4mReport and deliver:\x1b[0m
  serve        Takes events over HTTP in the coordinator's place, and delivers them
  report       Reports what happened in an interaction
  deliver      Delivers now what waits in the outbox

\x1b[1;4mLook after it:\x1b[0m
  outbox       Shows the events that wait, and those that were refused
  check        Checks configuration, store and coordinator
  config       Writes a configuration file, or shows what is configured
  import       Takes over what the old client could not deliver
  service      Prints a service file for systemd or launchd that keeps `serve` running
  component    Writes the component for Spin and other WebAssembly runtimes
  completions  Prints a completion script for a shell

\x1b[1;4mExample:\x1b[0m
  mcp-reporter report start --data '{\"request_type\":\"tools/call\"}'

\x1b[1;4mOptions:\x1b[0m
{options}

Every setting can be given as a flag: `mcp-reporter report --help` lists them.
";

const ABOUT: &str = "\
Reports MCP interactions to a coordinator: durable before it is acknowledged,
delivered in order, never in the way of the program that reports.";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "mcp-reporter",
    version,
    about = ABOUT,
    help_template = TEMPLATE,
    max_term_width = 100,
    disable_help_flag = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    /// Print help
    #[arg(short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// The command line of this process. Ends it when that is wrong or asks for help.
    pub fn of_process() -> Self {
        let matches = command().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

/// All that can be said.
pub fn command() -> clap::Command {
    // The first screen has no long form: the settings, all of which it takes, would push it
    // off the terminal. Clap lets a command have its own help only if all below have.
    fn with_help(command: clap::Command) -> clap::Command {
        let help = Arg::new("help")
            .short('h')
            .long("help")
            .action(ArgAction::Help)
            .help("Print help (-h) or help with all settings (--help)");
        command.arg(help).mut_subcommands(with_help)
    }
    Cli::command().mut_subcommands(with_help)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows it all at work, with nothing but this program
    Demo(demo::DemoArgs),
    /// Runs a coordinator to develop and test against
    Coordinator(coordinator::Args),
    /// Runs an MCP server, and reports what it does
    Wrap(wrap::Args),
    /// Stands before an MCP server, and reports what it does
    Proxy(proxy::Args),
    /// Makes the servers of MCP clients run wrapped
    Enable(enable::EnableArgs),
    /// Makes them run as they did before
    Disable(enable::DisableArgs),
    /// Takes events over HTTP in the coordinator's place, and delivers them
    Serve(serve::Args),
    /// Reports what happened in an interaction
    Report(report::Args),
    /// Delivers now what waits in the outbox
    Deliver(deliver::Args),
    /// Shows the events that wait, and those that were refused
    Outbox(outbox::Args),
    /// Checks configuration, store and coordinator
    Check(check::Args),
    /// Writes a configuration file, or shows what is configured
    Config(config::Args),
    /// Takes over what the old client could not deliver
    Import(import::Args),
    /// Prints a service file for systemd or launchd that keeps `serve` running
    Service(service::Args),
    /// Writes the component for Spin and other WebAssembly runtimes
    Component(component::Args),
    /// Prints a completion script for a shell
    Completions(completions::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_reporter::config::keys;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn the_first_screen_lists_every_command_as_its_own_help_does() {
        let help = command().render_help().to_string();
        for command in command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let line = format!(
                "  {:<12} {}\n",
                command.get_name(),
                command.get_about().unwrap()
            );
            assert!(help.contains(&line), "{line} is not in {help}");
        }
    }

    #[test]
    fn every_setting_but_the_key_has_a_flag_with_what_is_allowed() {
        let mut cli = command().term_width(usize::MAX);
        cli.build();
        let help = cli
            .find_subcommand_mut("check")
            .unwrap()
            .render_long_help()
            .to_string();
        for key in keys() {
            let flag = format!("--{} ", key.name.replace('_', "-"));
            if key.is_secret {
                assert!(!help.contains(&flag), "{help}");
            } else {
                assert!(
                    help.contains(&flag) && help.contains(key.allowed),
                    "{}: {help}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn a_setting_counts_before_and_after_the_command() {
        for line in [
            ["mcp-reporter", "--rate-limit", "-1", "config", "show"],
            ["mcp-reporter", "config", "--rate-limit", "-1", "show"],
            ["mcp-reporter", "config", "show", "--rate-limit", "-1"],
        ] {
            let cli = Cli::try_parse_from(line).unwrap();
            assert_eq!(
                cli.global.settings.given(),
                [("rate_limit".to_owned(), "-1".to_owned())]
            );
        }
    }
}
