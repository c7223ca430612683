//! The command line: what was asked for, who does it, and how it ends.
//!
//! Exit codes: 0 done, 1 the work failed, 2 usage or configuration.

mod args;
mod check;
mod completions;
mod component;
mod config;
mod coordinator;
mod deliver;
mod demo;
mod duration;
mod enable;
mod error;
mod global;
mod import;
mod logging;
mod outbox;
mod output;
mod proxy;
mod report;
mod serve;
mod service;
mod start;
mod whole;
mod wrap;

pub use error::Error;
pub use output::Ui;

use args::{Cli, Command};
use mcp_reporter::config::LogLevel;
use start::{load, start};
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::of_process();
    if let Command::Wrap(args) = cli.command {
        // Bytes first: it has no use for a runtime.
        return match cli.global.settings.refuse_secret() {
            Ok(()) => wrap::run(args, &cli.global),
            Err(error) => {
                output::error(&error);
                error.exit_code()
            }
        };
    }
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Failed(format!("cannot start the runtime: {source}")))
        .and_then(|runtime| runtime.block_on(run(cli)));
    ended.unwrap_or_else(|error| {
        output::error(&error);
        error.exit_code()
    })
}

async fn run(cli: Cli) -> Result<ExitCode, Error> {
    cli.global.settings.refuse_secret()?;
    let ui = Ui::detect();
    let global = &cli.global;
    match cli.command {
        Command::Demo(args) => {
            global.without_config("demo")?;
            demo::run(args, ui).await
        }
        Command::Coordinator(args) => {
            global.without_config("coordinator")?;
            coordinator::run(args).await
        }
        Command::Proxy(args) => proxy::run(args, global, ui).await,
        // Done by now.
        Command::Wrap(_) => Ok(ExitCode::SUCCESS),
        Command::Enable(args) => enable::enable(args, global, ui),
        Command::Disable(args) => {
            global.without_config("disable")?;
            enable::disable(args, ui)
        }
        Command::Completions(args) => completions::run(args),
        Command::Config(args) => config::run(args, || load(global), ui),
        Command::Check(args) => {
            let config = load(global);
            if let Ok(config) = &config {
                // What the log would say, the lines of the check do.
                logging::of(config, LogLevel::Error)?;
            }
            check::run(args, config, ui).await
        }
        Command::Serve(args) => serve::run(args, start(global)?, ui).await,
        Command::Service(args) => {
            global.without_config("service")?;
            service::run(args, ui)
        }
        Command::Component(args) => {
            global.without_config("component")?;
            component::run(args, ui)
        }
        Command::Report(args) => report::run(args, start(global)?, ui).await,
        Command::Deliver(args) => deliver::run(args, start(global)?, ui).await,
        Command::Outbox(args) => outbox::run(args, start(global)?, ui).await,
        Command::Import(args) => import::run(args, start(global)?, ui).await,
    }
}
