//! What a command begins with: the configuration, the log, a reporter.

use super::global::Global;
use super::{Error, logging};
use mcp_reporter::Reporter;
use mcp_reporter::config::{Config, Sources};
use mcp_reporter_core::settings::Settings;
use std::time::Duration;

/// How long a command waits at its end for what it has begun.
pub(super) const SHUTDOWN: Duration = Duration::from_secs(2);

/// The configuration.
pub(super) fn load(global: &Global) -> Result<Config, Error> {
    let sources = Sources::from_process(global.settings.given().to_vec(), global.config.clone());
    Ok(Config::load(sources)?)
}

/// The configuration, with the log that it asks for begun.
pub(super) fn start(global: &Global) -> Result<Config, Error> {
    let config = load(global)?;
    logging::of(&config, config.log_level())?;
    Ok(config)
}

/// A reporter that delivers only when told to.
pub(super) async fn reporter(config: Config) -> Result<Reporter, Error> {
    Ok(Reporter::builder()
        .config(config)
        .without_timer()
        .without_metrics()
        .build()
        .await?)
}

/// The same for a command that goes on for a while: it serves the metrics.
pub(super) async fn measured_reporter(config: Config) -> Result<Reporter, Error> {
    require_enabled(&config)?;
    let reporter = Reporter::builder()
        .config(config)
        .without_timer()
        .build()
        .await?;
    // Whoever asked for them on a command line is there to hear that there are none.
    reporter.metrics_address()?;
    Ok(reporter)
}

/// A reporter for a command that makes no sense while reporting is off.
pub(super) async fn enabled_reporter(config: Config) -> Result<Reporter, Error> {
    require_enabled(&config)?;
    reporter(config).await
}

/// A reporter for a command that delivers for as long as it runs.
pub(super) async fn serving_reporter(config: Config) -> Result<Reporter, Error> {
    let reporter = Reporter::builder().config(config).build().await?;
    reporter.metrics_address()?;
    Ok(reporter)
}

/// The settings; reporting must be on.
pub(super) fn require_enabled(config: &Config) -> Result<&Settings, Error> {
    if let Some(settings) = config.settings() {
        return Ok(settings);
    }
    let place = match config.file() {
        Some(path) => path.display().to_string(),
        None => "mcp_config.toml, which `mcp-reporter config init` writes".to_owned(),
    };
    Err(Error::Usage(format!(
        "reporting is off: set enable_interaction_logging = true in {place}"
    )))
}
