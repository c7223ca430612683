//! `component`: writes the components that this program contains, for other runtimes.

use super::{Error, Ui, whole};
use clap::ValueHint;
use mcp_reporter_artifacts::{EDGE, PLUGIN, REPORTER, plugin_with_tool_docs};
use mcp_reporter_core::settings::printable;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The manifest that the repository has, for its own build.
const SPIN_MANIFEST: &str = include_str!("../../../spin.toml");

/// Which, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The folder to write into; it is made if it is not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    out: PathBuf,
    /// Replace a spin.toml that was changed
    #[arg(long)]
    force: bool,
    /// Print {"files": [{"path", "bytes"}]} as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Which {
    /// mcp-reporter.wasm: the component that this program runs, which imports key-value store and
    /// configuration
    #[arg(long)]
    core: bool,
    /// The same with a spin.toml: an application for Spin
    #[arg(long)]
    spin: bool,
    /// mcp-reporter-plugin.wasm: with a key-value store on files and settings from the environment,
    /// for runtimes that have neither
    #[arg(long)]
    plugin: bool,
    /// mcp-reporter-tools.wasm: the plugin with descriptions of its functions, for runtimes that
    /// offer them as tools (Wassette)
    #[arg(long)]
    tools: bool,
    /// mcp-reporter-edge.wasm: the API of `serve` in place of the plugin's functions, for runtimes
    /// that serve HTTP (wasmtime serve, wash)
    #[arg(long, visible_alias = "wash")]
    edge: bool,
}

/// What to write.
struct File {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Whether it is a user's to change.
    changeable: bool,
}

/// Writes them, and prints their paths.
pub fn run(args: Args, ui: Ui) -> Result<ExitCode, Error> {
    let file = |name: &str, bytes: &[u8], changeable| File {
        path: args.out.join(name),
        bytes: bytes.to_vec(),
        changeable,
    };
    let component = file("mcp-reporter.wasm", REPORTER, false);
    let files = if args.which.spin {
        let manifest = spin_manifest();
        vec![component, file("spin.toml", manifest.as_bytes(), true)]
    } else if args.which.plugin {
        vec![file("mcp-reporter-plugin.wasm", PLUGIN, false)]
    } else if args.which.tools {
        let tools = plugin_with_tool_docs();
        vec![file("mcp-reporter-tools.wasm", &tools, false)]
    } else if args.which.edge {
        vec![file("mcp-reporter-edge.wasm", EDGE, false)]
    } else {
        vec![component]
    };
    if !args.force {
        for file in files.iter().filter(|file| file.changeable) {
            refuse_changed(file)?;
        }
    }
    fs::create_dir_all(&args.out).map_err(|error| failed(&args.out, &error))?;
    for file in &files {
        // A runtime that watches for changes must not load half of it.
        whole::replace(&file.path, &file.bytes, OpenOptions::new(), None)
            .map_err(|error| failed(&file.path, &error))?;
    }
    if args.json {
        let files: Vec<_> = files
            .iter()
            .map(|file| json!({ "path": file.path.display().to_string(), "bytes": file.bytes.len() }))
            .collect();
        ui.json(&json!({ "files": files }))?;
    } else {
        for file in &files {
            ui.line(&printable(&file.path.display().to_string()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The repository's manifest, for a component that lies beside it and is not to be built.
fn spin_manifest() -> String {
    let (manifest, _build) = SPIN_MANIFEST
        .split_once("\n[component.mcp-reporter.build]")
        .unwrap_or((SPIN_MANIFEST, ""));
    manifest.replace("target/spin/mcp-reporter.wasm", "mcp-reporter.wasm")
}

/// What a user wrote is not overwritten unasked.
fn refuse_changed(file: &File) -> Result<(), Error> {
    match fs::read(&file.path) {
        Ok(there) if there != file.bytes => Err(Error::Failed(format!(
            "{} is there already and differs: nothing was written. With --force it is replaced",
            printable(&file.path.display().to_string())
        ))),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(&file.path, &error)),
    }
}

fn failed(path: &Path, error: &io::Error) -> Error {
    let path = printable(&path.display().to_string());
    Error::Failed(format!("{path} cannot be written: {error}"))
}
