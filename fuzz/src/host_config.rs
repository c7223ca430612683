//! The host's configuration, compiled from its sources: to depend on the host
//! would bring wasmtime along, which is neither fuzzed here nor quickly built
//! with coverage.
#![allow(dead_code, unused_imports, clippy::all)]

#[path = "../../host/src/config/mod.rs"]
mod config;

#[path = "../../host/src/private.rs"]
pub(crate) mod private;

#[path = "../../host/src/store/redis/url.rs"]
mod redis_url;

/// What the configuration has of the stores.
pub(crate) mod store {
    pub use super::redis_url::RedisUrl;
}

pub use config::{Config, ConfigError, Sources};
