//! What can go wrong.

use crate::config::ConfigError;
use crate::engine::{EngineError, Failure};
use crate::metrics::Refusal;
use crate::store::StoreError;
use thiserror::Error;

/// Why a reporter could not be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The component or the runtime that runs it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The threads of the reporter.
    #[error("cannot start the reporter's threads: {0}")]
    Threads(#[source] std::io::Error),
}

/// Why the metrics are not served.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "metrics_listen = \"{address}\": {why}; use a free port of an address of this machine, or port 0 to have one chosen"
)]
pub struct MetricsError {
    /// Where they were to be served.
    pub address: std::net::SocketAddr,
    /// What the system said.
    pub why: String,
}

/// Why a reporter did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The report is malformed. Nothing was stored.
    #[error("{0}")]
    InvalidInput(String),
    /// The outbox is full. Nothing was stored.
    #[error("{0}")]
    OutboxFull(String),
    /// The store failed. Nothing was stored, as far as is known.
    #[error("{0}")]
    Storage(String),
    /// Another instance is delivering.
    #[error("{0}")]
    Busy(String),
    /// A setting is missing or wrong.
    #[error("{0}")]
    NotConfigured(String),
    /// The component failed; it is replaced. Whether the event was stored is unknown.
    #[error("the reporter component failed: {0}")]
    Component(String),
    /// The reporter was shut down. Nothing was stored.
    #[error("the reporter was shut down")]
    Closed,
    /// The reporter is switched off.
    #[error("reporting is switched off: set enable_interaction_logging = true")]
    Disabled,
}

impl ReportError {
    /// What the metrics call it.
    pub(super) fn refusal(&self) -> Refusal {
        match self {
            Self::InvalidInput(_) => Refusal::Invalid,
            Self::OutboxFull(_) => Refusal::Full,
            Self::Storage(_) => Refusal::Storage,
            Self::Busy(_)
            | Self::NotConfigured(_)
            | Self::Component(_)
            | Self::Closed
            | Self::Disabled => Refusal::Component,
        }
    }
}

impl From<Failure> for ReportError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InvalidInput(why) => Self::InvalidInput(why),
            Failure::OutboxFull(why) => Self::OutboxFull(why),
            Failure::Storage(why) => Self::Storage(why),
            Failure::Busy(why) => Self::Busy(why),
            Failure::NotConfigured(why) => Self::NotConfigured(why),
        }
    }
}

impl From<EngineError> for ReportError {
    fn from(error: EngineError) -> Self {
        Self::Component(error.to_string())
    }
}
