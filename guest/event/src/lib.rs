//! Events: how they are checked and built, and how they lie in a key-value store.
//!
//! - [`event`] turns a report into the bytes that the coordinator gets;
//! - [`json`] checks the payload that the caller gives;
//! - [`outbox`] names the event's key, and packs it into a record;
//! - [`store`] is the world that all of it is kept in: a key-value store, clocks, random bytes.
//!
//! A crate of its own because every report goes through it: in the component, where all the rest
//! is compiled for size alone, these are compiled to be quick as well.

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod digits;
pub mod event;
pub mod json;
pub mod outbox;
pub mod sort;
pub mod store;
pub mod text;

/// What `std` has in scope everywhere.
mod prelude {
    pub(crate) use alloc::{borrow::ToOwned, string::String, vec::Vec};
}
