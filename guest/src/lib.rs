//! The reporter as a WebAssembly component: it maps the exports of the world to the core, and the
//! core's view of the world to WASI. All thinking is in the core.
//!
//! Without `std`: it imports what its world names and nothing else, and carries no code for what it
//! cannot ask of its host (environment, files, printing) nor for the text of a panic.

#![no_std]

extern crate alloc;

mod bindings;
mod clock;
mod config;
mod coordinator;
mod delivery;
mod edge;
mod flight;
mod http;
mod instance;
mod log;
mod outbox;
mod prelude;
mod random;
mod reporter;
mod runtime;
mod store;

use bindings::{
    Failure,
    coordinator::{Guest as CoordinatorExport, Probe},
};

/// What the world's exports are implemented on.
struct Component;

impl CoordinatorExport for Component {
    fn check_connection() -> Result<Probe, Failure> {
        Ok(coordinator::check_connection(
            &instance::required()?.settings,
        ))
    }

    fn validate_api_key() -> Result<Probe, Failure> {
        Ok(coordinator::validate_api_key(
            &instance::required()?.settings,
        ))
    }
}
