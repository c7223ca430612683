//! Writes the reporter component to a file, for a runtime that loads it from one:
//! `cargo run --release --package mcp-reporter-artifacts --example reporter -- reporter.wasm`.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("name the file to write the component to");
        return ExitCode::from(2);
    };
    let folder = Path::new(&path).parent().unwrap_or(Path::new(""));
    let written = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, mcp_reporter_artifacts::REPORTER));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
