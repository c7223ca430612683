//! Reports what MCP (Model Context Protocol) programs did for their agents to
//! an MCPCoordinator: durable before it is acknowledged, never in the way of
//! its caller, in order, with an idempotency key.
//!
//! The heart is a WebAssembly component, which this crate carries and runs on
//! wasmtime with the key-value store, the timer and the HTTP client that it
//! needs. [`Reporter`] is the way in; [`coordinator`] is a coordinator to
//! develop and test against.

pub mod capture;
pub mod config;
pub mod coordinator;
pub mod engine;
mod metrics;
#[doc(hidden)]
pub mod private;
pub mod reporter;
pub mod serve;
pub mod store;
pub mod tls;

pub use config::Config;
pub use engine::{Action, Outcome};
pub use reporter::{
    BuildError, Interaction, MetricsError, Payload, PerformanceMetrics, PerformanceMonitor, Report,
    ReportError, Reporter, ReporterBuilder, Shutdown,
};
