//! The reporter itself, free of I/O, WASI and clocks.
//!
//! - [`event`] turns a report into the bytes that the coordinator gets;
//! - [`outbox`] says how events lie in the key-value store, [`control`] how
//!   instances agree on who delivers;
//! - [`accept`] puts events there: plain functions over [`store::Store`];
//! - [`drain`] gets them out: a state machine that is told what happened and
//!   what time it is, and says what to do next;
//! - [`edge`] is the coordinator's own API in front of the outbox;
//! - [`admin`] looks at them: status, dead letters, redrive, purge;
//! - [`settings`] is the configuration that all of them obey.
//!
//! Every clock reading, random byte, store operation and answer of the
//! coordinator is passed in, so the guest, a simulator and a native test drive
//! the same code.

// Without `std` the component has no code for what its imports do not offer, and one panic handler
// that is a fraction of the standard library's.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod accept;
pub mod admin;
pub mod backoff;
pub mod control;
pub mod date;
pub mod drain;
pub mod edge;
mod moves;
pub mod settings;
pub mod text;
pub mod throttle;

pub use mcp_reporter_event::{event, json, outbox, store};

use mcp_reporter_event::{digits, sort};

#[cfg(test)]
mod testing;

/// What `std` has in scope everywhere.
mod prelude {
    pub(crate) use alloc::{borrow::ToOwned, boxed::Box, string::String, vec, vec::Vec};
}
