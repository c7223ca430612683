//! Why the component could not be loaded or run.

use std::{path::PathBuf, time::Duration};

use thiserror::Error;

/// Why the component could not be loaded or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The bytes are no component at all.
    #[error("this is not a WebAssembly component: {found}; the reporter's component is expected")]
    NotAComponent {
        /// What they are instead.
        found: &'static str,
    },
    /// It is a component, but not one that this program can run.
    #[error(
        "this component is not the reporter's: {mismatch}; one built for the world \
         mcp-reporter:interactions/mcp-reporter@0.1.0 is expected"
    )]
    WrongComponent {
        /// What it lacks, or asks for and does not get.
        mismatch: String,
    },
    /// It could not be compiled.
    #[error("the component cannot be compiled: {0}")]
    Compile(String),
    /// WebAssembly cannot run here.
    #[error("the WebAssembly engine cannot be started: {0}")]
    Start(String),
    /// The folder for compiled code cannot be made or read.
    #[error("the compilation cache {} cannot be used: {detail}", path.display())]
    CacheUnusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Others could put code into the folder, which this program would run.
    #[error(
        "the compilation cache {} is not safe: others can write it (mode {mode:04o}); \
         run `chmod 700` on it",
        path.display()
    )]
    CacheExposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The coordinator's URL is none that requests can go to.
    #[error(
        "coordinator_url must be http://host or https://host, with a port and a path or without"
    )]
    Destination,
    /// TLS has no certificates to trust, or cannot run here.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The component was stopped by what it did.
    #[error("the component failed: {0}")]
    Trap(String),
    /// The component computed for too long.
    #[error("the component ran for more than {limit:?} without calling the host")]
    Runaway {
        /// How long it may.
        limit: Duration,
    },
    /// An earlier call failed or was given up half way.
    #[error("this instance of the component cannot go on after an earlier failure")]
    Poisoned,
}
