//! The import of the reporter, as generated from the WIT of mcp-reporter.
#![allow(missing_docs, unused_qualifications, clippy::all, reason = "generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package mcp-reporter:spin-mcp-server;

        world server {
            import mcp-reporter:interactions/reporter@0.1.0;
        }
    ",
    world: "mcp-reporter:spin-mcp-server/server",
    generate_all,
});

pub use mcp_reporter::interactions::{reporter, types::Failure};
