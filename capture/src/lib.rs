//! Capture of MCP (Model Context Protocol) traffic.
//!
//! - [`tracker`] turns messages into reports: it knows which of them open an interaction, which go
//!   on with it, and which end it. It reads no clock and does no I/O.
//! - [`stdio`] runs a server between its pipes.
//! - [`http`] is the proxy between a client and a server that speak Streamable HTTP.

pub mod clients;
pub mod clock;
pub mod http;
mod performance;
mod privacy;
pub mod stdio;
pub mod tracker;

pub use performance::{PerformanceMetrics, Usage};
pub use privacy::REDACTED;
pub use tracker::{
    Body, CaptureSettings, Channel, Direction, End, Method, NoProcess, Process, Report, Tracker,
    Transport,
};
