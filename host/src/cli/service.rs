//! `service`: prints what keeps `serve` running on a machine.

use super::{Error, Ui};
use clap::{Subcommand, ValueEnum};
use std::process::ExitCode;

/// What to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Prints a service file, to be put where its first lines say
    Print {
        /// Who runs it
        manager: Manager,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Manager {
    /// systemd, as a service of one user
    Systemd,
    /// launchd, as an agent of one user
    Launchd,
}

/// Prints it, with the path of this program.
pub fn run(args: Args, ui: Ui) -> Result<ExitCode, Error> {
    let What::Print { manager } = args.action;
    let program = std::env::current_exe()
        .map_err(|why| Error::Failed(format!("this program has no path: {why}")))?;
    let Some(program) = program.to_str() else {
        return Err(Error::Failed(
            "this program's path is not UTF-8: a service file cannot name it".to_owned(),
        ));
    };
    let text = match manager {
        Manager::Systemd => include_str!("service/mcp-reporter.service")
            .replace("/usr/local/bin/mcp-reporter", &systemd_quoted(program)),
        Manager::Launchd => include_str!("service/mcp-reporter.plist")
            .replace("/usr/local/bin/mcp-reporter", &xml_escaped(program)),
    };
    ui.line(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// As `ExecStart=` takes a path: quoted, with `%` and `$` doubled.
fn systemd_quoted(path: &str) -> String {
    let mut quoted = String::from("\"");
    for c in path.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn xml_escaped(path: &str) -> String {
    path.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_the_file_takes_it() {
        assert_eq!(systemd_quoted(r#"/a b/100%$x"\"#), r#""/a b/100%%$$x\"\\""#);
        assert_eq!(xml_escaped("/a&b/<c>"), "/a&amp;b/&lt;c&gt;");
    }
}
