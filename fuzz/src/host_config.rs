//! The host's configuration, compiled from its sources: to depend on the host
//! would bring wasmtime along, which is neither fuzzed here nor quickly built
//! with coverage.
#![allow(dead_code, unused_imports, clippy::all)]

#[path = "../../host/src/config/mod.rs"]
mod config;

pub use config::{Config, ConfigError, Sources};
