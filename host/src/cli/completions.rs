//! `completions`: a completion script for a shell.

use super::{Error, Ui, args};
use clap_complete::Shell;
use std::process::ExitCode;

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: Args) -> Result<ExitCode, Error> {
    // Into memory first: the generator would panic when nobody reads it.
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut args::command(),
        "mcp-reporter",
        &mut script,
    );
    Ui::detect().line(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}
