//! `enable` and `disable`: rewrite the configuration of MCP clients so that their servers run
//! wrapped, or as they did before.
//!
//! A file holds secrets. Nothing here prints a value of it but a server's name, its command and
//! the settings of `wrap`.

mod file;
mod program;

use super::global::Global;
use super::{Error, Ui};
use clap::ValueHint;
use etcetera::BaseStrategy;
use file::ClientFile;
use mcp_reporter_capture::clients::places::{Folders, System, known};
use mcp_reporter_capture::clients::{self, ClientFileError, Rewrite, Server, State};
use mcp_reporter_core::settings::printable;
use serde_json::{Value, json};
use similar::TextDiff;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a file must have.
const FORMS: &str = "allowed are `mcpServers`, `servers`, `mcp.servers`, `context_servers` and \
     `projects.<folder>.mcpServers`";

/// Which servers to wrap, and how. Settings given are passed on to `wrap`.
#[derive(Debug, clap::Args)]
pub struct EnableArgs {
    #[command(flatten)]
    which: Which,
}

/// Which servers to unwrap.
#[derive(Debug, clap::Args)]
pub struct DisableArgs {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// A client's configuration file; may be given several times [default: those of Claude
    /// Desktop, Claude Code, Cursor, VS Code, Cline, Windsurf, Gemini CLI and Zed]
    #[arg(long = "client", value_name = "FILE", value_hint = ValueHint::FilePath)]
    clients: Vec<PathBuf>,
    /// A server's name; may be given several times [default: all servers]
    #[arg(long = "server", value_name = "NAME")]
    servers: Vec<String>,
    /// Change nothing, but show the difference, without values that could be secret
    #[arg(long)]
    dry_run: bool,
    /// Print {"dry_run", "files": [{"file", "client", "changed", "backup", "servers": [{"name",
    /// "project", "state", "reason"}]}], "failures"} as JSON
    #[arg(long)]
    json: bool,
}

/// Wraps.
pub fn enable(args: EnableArgs, global: &Global, ui: Ui) -> Result<ExitCode, Error> {
    let wrapping = program::wrapping(global)?;
    let rewrite = |text: &str, names: &[String]| clients::enable(text, names, &wrapping);
    run(&args.which, true, rewrite, ui)
}

/// Unwraps.
pub fn disable(args: DisableArgs, ui: Ui) -> Result<ExitCode, Error> {
    run(&args.which, false, clients::disable, ui)
}

/// A file that has servers, and what is to become of it.
struct Plan {
    client: Option<&'static str>,
    path: PathBuf,
    file: ClientFile,
    rewrite: Rewrite,
    /// Whether some server in it is wrapped now.
    is_wrapped: bool,
}

fn run(
    which: &Which,
    wraps: bool,
    rewrite: impl Fn(&str, &[String]) -> Result<Rewrite, ClientFileError>,
    ui: Ui,
) -> Result<ExitCode, Error> {
    let mut failures = Vec::new();
    let plans = plan(which, rewrite, &mut failures)?;
    require_names(which, &plans, &failures)?;
    let mut files = Vec::new();
    for plan in &plans {
        let changed = plan.rewrite.text != plan.file.text;
        let mut backup = None;
        if changed && !which.dry_run {
            match write(plan, wraps) {
                Ok(path) => backup = path,
                Err(why) => {
                    failures.push(format!("cannot change {}: {why}", shown(&plan.path)));
                    continue;
                }
            }
        }
        if which.json {
            files.push(document(plan, changed, backup.as_deref()));
        } else {
            say(plan, which.dry_run, backup.as_deref(), ui)?;
        }
    }
    let asked_in_vain = !which.servers.is_empty()
        && wraps
        && plans
            .iter()
            .flat_map(|plan| &plan.rewrite.servers)
            .any(|server| matches!(server.state, State::Remote | State::Unclear(_)));
    if which.json {
        ui.json(&json!({ "dry_run": which.dry_run, "files": files, "failures": failures }))?;
    }
    if !failures.is_empty() {
        return Err(Error::Failed(failures.join("\n")));
    }
    Ok(if asked_in_vain {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What is to become of each file; those that cannot be read are failures.
fn plan(
    which: &Which,
    rewrite: impl Fn(&str, &[String]) -> Result<Rewrite, ClientFileError>,
    failures: &mut Vec<String>,
) -> Result<Vec<Plan>, Error> {
    let named = !which.clients.is_empty();
    let places = if named {
        let named = which.clients.iter().map(|path| (None, path.clone()));
        named.collect()
    } else {
        found()?
    };
    let mut plans: Vec<Plan> = Vec::new();
    for (client, path) in &places {
        let file = match ClientFile::read(path) {
            Ok(file) => file,
            Err(why) => {
                failures.push(format!("cannot read {}: {why}", shown(path)));
                continue;
            }
        };
        // The same file under two names.
        if plans.iter().any(|plan| plan.file.is_same(&file)) {
            continue;
        }
        // All servers that there are, and which of them are wrapped.
        let planned = clients::disable(&file.text, &[])
            .and_then(|all| Ok((all, rewrite(&file.text, &which.servers)?)));
        match planned {
            Err(why) => failures.push(format!("{}: {why}", shown(path))),
            Ok((all, _)) if all.servers.is_empty() => {
                if named {
                    failures.push(format!("{}: no MCP server in it: {FORMS}", shown(path)));
                }
            }
            Ok((all, rewrite)) => plans.push(Plan {
                client: *client,
                path: path.clone(),
                file,
                rewrite,
                is_wrapped: all.servers.iter().any(|s| s.state == State::Unwrapped),
            }),
        }
    }
    if plans.is_empty() && failures.is_empty() {
        let looked: Vec<String> = places.iter().map(|(_, path)| shown(path)).collect();
        return Err(Error::Failed(format!(
            "no MCP server in {}: name a client's file with --client",
            looked.join(", ")
        )));
    }
    Ok(plans)
}

/// The known files that are there.
fn found() -> Result<Vec<(Option<&'static str>, PathBuf)>, Error> {
    let no_home = |_| Error::Failed("no home folder: name a file with --client".to_owned());
    let home = etcetera::home_dir().map_err(no_home)?;
    let system = System::current();
    let config = match system {
        System::MacOs => home.join("Library").join("Application Support"),
        System::Linux | System::Windows => etcetera::choose_base_strategy()
            .map_err(no_home)?
            .config_dir(),
    };
    let current = std::env::current_dir()
        .map_err(|why| Error::Failed(format!("cannot find the working folder: {why}")))?;
    let folders = Folders {
        home: &home,
        config: &config,
        current: &current,
    };
    let known = known(folders, system);
    let found: Vec<_> = known
        .iter()
        .filter(|place| fs::symlink_metadata(&place.path).is_ok())
        .map(|place| (Some(place.client), place.path.clone()))
        .collect();
    if found.is_empty() {
        let paths: Vec<String> = known.iter().map(|place| shown(&place.path)).collect();
        return Err(Error::Failed(format!(
            "no configuration file of an MCP client found: name one with --client. Looked for {}",
            paths.join(", ")
        )));
    }
    Ok(found)
}

/// Each name given must be a server's.
fn require_names(which: &Which, plans: &[Plan], failures: &[String]) -> Result<(), Error> {
    let has = |name: &String| {
        let mut servers = plans.iter().flat_map(|plan| &plan.rewrite.servers);
        servers.any(|server| server.name == *name)
    };
    let missing: Vec<_> = which.servers.iter().filter(|name| !has(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut there: Vec<String> = Vec::new();
    for plan in plans {
        let all = clients::disable(&plan.file.text, &[]).map(|all| all.servers);
        there.extend(all.unwrap_or_default().iter().map(|s| quote(&s.name)));
    }
    there.sort();
    there.dedup();
    let there = if there.is_empty() {
        "none".to_owned()
    } else {
        there.join(", ")
    };
    let mut lines: Vec<String> = missing
        .into_iter()
        .map(|name| format!("no server is named {}: there are {there}", quote(name)))
        .collect();
    lines.extend(failures.iter().cloned());
    Err(Error::Usage(lines.join("\n")))
}

/// Gives the backup that holds the file as it was, if one was due.
///
/// That is the file as it was when none of its servers was wrapped, so a file with a wrapped
/// server is only kept if there is no backup yet.
fn write(plan: &Plan, wraps: bool) -> std::io::Result<Option<PathBuf>> {
    let due = wraps && (!plan.is_wrapped || !plan.file.has_backup());
    let backup = due.then(|| plan.file.back_up()).transpose()?;
    plan.file.replace(&plan.rewrite.text)?;
    Ok(backup)
}

fn say(plan: &Plan, dry_run: bool, backup: Option<&Path>, ui: Ui) -> Result<(), Error> {
    let servers = &plan.rewrite.servers;
    if servers.is_empty() {
        return Ok(());
    }
    let client = plan.client.map(|client| format!(" ({client})"));
    ui.line(&ui.bold(&format!(
        "{}{}",
        shown(&plan.path),
        client.unwrap_or_default()
    )))?;
    for server in servers {
        let state = match word(server.state, dry_run) {
            (text, _) if server.state.is_change() => ui.good(text),
            (text, None) => text.to_owned(),
            (text, Some(why)) => ui.notable(&format!("{text}: {why}")),
        };
        let project = server
            .project
            .as_ref()
            .map(|p| format!(" of {}", printable(p)));
        let name = printable(&server.name) + &project.unwrap_or_default();
        ui.line(&format!("  {name:<20} {state}"))?;
    }
    if let Some(backup) = backup {
        ui.line(&format!("  as it was: {}", shown(backup)))?;
    }
    let changed = servers.iter().any(|server| server.state.is_change());
    if changed && dry_run {
        for line in difference(plan)?.lines() {
            ui.line(&line.replace('\t', "    "))?;
        }
    } else if changed {
        ui.line("  restart the client, so that it reads the file again")?;
    }
    Ok(())
}

fn word(state: State, dry_run: bool) -> (&'static str, Option<&'static str>) {
    match state {
        State::Wrapped if dry_run => ("would be wrapped", None),
        State::Updated if dry_run => ("would be updated", None),
        State::Unwrapped if dry_run => ("would be unwrapped", None),
        State::Wrapped => ("wrapped", None),
        State::Updated => ("updated", None),
        State::Unwrapped => ("unwrapped", None),
        State::AlreadyWrapped => ("already wrapped", None),
        State::NotWrapped => ("not wrapped", None),
        State::Remote => (
            "remote, left as it is",
            Some("a server with a URL needs `mcp-reporter proxy`"),
        ),
        State::Unclear(why) => ("left as it is", Some(why)),
    }
}

/// The lines that would change, without what could be secret in them.
fn difference(plan: &Plan) -> Result<String, Error> {
    let masked = |text: &str| {
        let masked = clients::masked(text).map_err(|why| Error::Failed(why.to_string()))?;
        // Line by line, because a terminal is to show it.
        let lines = masked.split('\n').map(|line| {
            let cells = line.trim_end_matches('\r').split('\t').map(printable);
            cells.collect::<Vec<_>>().join("\t")
        });
        Ok::<_, Error>(lines.collect::<Vec<_>>().join("\n"))
    };
    let (old, new) = (masked(&plan.file.text)?, masked(&plan.rewrite.text)?);
    let path = shown(&plan.path);
    Ok(TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(0)
        .missing_newline_hint(false)
        .header(&path, &path)
        .to_string())
}

fn document(plan: &Plan, changed: bool, backup: Option<&Path>) -> Value {
    let server = |server: &Server| {
        let (state, reason) = match server.state {
            State::Wrapped => ("wrapped", None),
            State::Updated => ("updated", None),
            State::AlreadyWrapped => ("already-wrapped", None),
            State::Unwrapped => ("unwrapped", None),
            State::NotWrapped => ("not-wrapped", None),
            State::Remote => ("remote", word(State::Remote, false).1),
            State::Unclear(why) => ("not-understood", Some(why)),
        };
        json!({
            "name": server.name,
            "project": server.project,
            "state": state,
            "reason": reason,
        })
    };
    json!({
        "file": plan.path.display().to_string(),
        "client": plan.client,
        "changed": changed,
        "backup": backup.map(|path| path.display().to_string()),
        "servers": plan.rewrite.servers.iter().map(server).collect::<Vec<_>>(),
    })
}

fn shown(path: &Path) -> String {
    printable(&path.display().to_string())
}

fn quote(name: &str) -> String {
    format!("`{}`", printable(name))
}
