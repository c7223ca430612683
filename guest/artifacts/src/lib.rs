//! The components, ready to load: built from `guest/` by this crate's build script, so that plain
//! `cargo build`, `cargo run` and `cargo test` need no step before them.

/// The component `mcp-reporter:interactions`, as WebAssembly in its binary form.
///
/// It exports `reporter`, `outbox` and `coordinator`, and imports what the world `mcp-reporter`
/// in `wit/world.wit` names, nothing else.
pub const REPORTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/reporter.wasm"));

/// The provider of `wasi:keyvalue@0.2.0-draft2` on a folder: `guest/plugs/keyvalue-fs`.
pub const KEYVALUE_FS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/keyvalue_fs.wasm"));

/// The provider of `wasi:config@0.2.0-draft-2024-09-27` on environment variables:
/// `guest/plugs/config-env`.
pub const CONFIG_ENV: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/config_env.wasm"));

/// What Spin composes a dependency with that inherits nothing, as far as [`REPORTER`] imports it, for
/// tests: `guest/plugs/deny`.
pub const DENY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/deny.wasm"));

/// [`REPORTER`] with [`KEYVALUE_FS`] and [`CONFIG_ENV`], for runtimes that have neither a key-value
/// store nor a configuration.
///
/// It exports `reporter`, `outbox` and `coordinator`, and keeps its events in the first folder that
/// is open to it. A report delivers, because these runtimes have no timer:
/// `MCP_REPORTER_DELIVER_ON_REPORT=false` switches that off.
pub const PLUGIN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"));

/// [`REPORTER`] with [`KEYVALUE_FS`] and [`CONFIG_ENV`], for runtimes that serve HTTP and have
/// neither a key-value store nor a configuration (`wasmtime serve`).
///
/// It exports `wasi:http/incoming-handler`, and keeps its events where [`PLUGIN`] keeps them.
pub const EDGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/edge.wasm"));

/// A custom section that tells Wassette what each function is for.
const TOOL_DOCS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tool_docs.bin"));

/// [`PLUGIN`] with descriptions of its functions, for runtimes that offer them as tools (Wassette).
///
/// Runtimes ignore the section that is added. Tools that read a component's interface (jco,
/// wasm-tools, wkg) expect other contents in a section of this name, and refuse it.
pub fn plugin_with_tool_docs() -> Vec<u8> {
    [PLUGIN, TOOL_DOCS].concat()
}
