//! The world `mcp-reporter`, as generated from `wit/`.
#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated: the canonical ABI takes raw pointers"
)]

wit_bindgen::generate!({
    path: "../wit",
    world: "mcp-reporter",
    generate_all,
});

pub use exports::mcp_reporter::interactions::{coordinator, outbox, reporter};
pub use mcp_reporter::interactions::types::Failure;

export!(Component with_types_in self);

use crate::Component;
