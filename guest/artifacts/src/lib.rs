//! The reporter component, ready to load: built from `guest/` by this crate's build script, so
//! that plain `cargo build`, `cargo run` and `cargo test` need no step before them.

/// The component `mcp-reporter:interactions`, as WebAssembly in its binary form.
///
/// It exports `reporter`, `outbox` and `coordinator`, and imports what the world `mcp-reporter`
/// in `wit/world.wit` names, nothing else.
pub const REPORTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reporter.wasm"));
