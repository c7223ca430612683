//! The reporter as a WebAssembly component: it maps the exports of the world to the core, and the
//! core's view of the world to WASI. All thinking is in the core.
//!
//! It uses nothing of `std` that asks the system (environment, time, files, printing), so that it
//! imports what its world names and nothing else.

mod bindings;
mod clock;
mod config;
mod coordinator;
mod delivery;
mod flight;
mod http;
mod instance;
mod log;
mod outbox;
mod random;
mod reporter;
mod store;

use bindings::{
    Failure,
    coordinator::{Guest as CoordinatorExport, Probe},
};

/// What the world's exports are implemented on.
struct Component;

impl CoordinatorExport for Component {
    fn check_connection() -> Result<Probe, Failure> {
        instance::with(|instance| Ok(coordinator::check_connection(&instance.settings)))
    }

    fn validate_api_key() -> Result<Probe, Failure> {
        instance::with(|instance| Ok(coordinator::validate_api_key(&instance.settings)))
    }
}
