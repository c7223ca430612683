//! How a command can fail, and with which exit code.

use mcp_reporter::config::ConfigError;
use mcp_reporter::coordinator::CoordinatorError;
use mcp_reporter::store::StoreError;
use mcp_reporter::{BuildError, MetricsError, ReportError};
use std::process::ExitCode;
use thiserror::Error;

/// Why a command did not do what it was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// It was asked for something that cannot be: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The work failed: exit code 1.
    #[error("{0}")]
    Failed(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The reporter cannot be started.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The reporter did not do it.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The metrics cannot be served.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The development coordinator.
    #[error(transparent)]
    Coordinator(#[from] CoordinatorError),
    /// Standard output takes nothing more.
    #[error("cannot write to standard output")]
    Stdout(#[source] std::io::Error),
}

impl Error {
    /// 1: the work failed; 2: usage or configuration.
    pub fn exit_code(&self) -> ExitCode {
        let by_user = match self {
            Self::Usage(_) | Self::Config(_) => true,
            Self::Build(error) => matches!(error, BuildError::Config(_)),
            Self::Report(error) => matches!(
                error,
                ReportError::InvalidInput(_)
                    | ReportError::NotConfigured(_)
                    | ReportError::Disabled
            ),
            Self::Failed(_)
            | Self::Metrics(_)
            | Self::Store(_)
            | Self::Coordinator(_)
            | Self::Stdout(_) => false,
        };
        ExitCode::from(if by_user { 2 } else { 1 })
    }
}
