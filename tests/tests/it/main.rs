//! The whole system: real processes, sockets and files. A module for each
//! question, a test for each behaviour.

mod allowed_rate;
mod answers;
mod backup;
mod bad_input;
mod body;
mod bounds;
mod callers;
mod crash;
#[cfg(target_os = "linux")]
mod durability;
mod faults;
mod legacy;
mod metrics;
mod old_client;
mod oracle;
mod plugin;
mod plugin_keyvalue;
mod redis;
mod runtime_jco;
mod runtime_wash;
mod runtime_wasmtime;
mod runtime_wassette;
mod secrets;
mod serve;
mod serve_operation;
mod serve_python;
mod served_edge;
mod shards;
mod sharing;
mod shutdown;
mod spin;
mod store_file;
#[cfg(unix)]
mod wrap;

/// The reporter as a process of its own.
const PEER: &str = env!("CARGO_BIN_EXE_peer");

/// A small MCP server.
const MCP_SERVER: &str = env!("CARGO_BIN_EXE_mcp_server");
