//! The whole system: real processes, sockets and files. A module for each
//! question, a test for each behaviour.

mod allowed_rate;
mod answers;
mod bad_input;
mod body;
mod callers;
mod component;
mod crash;
mod legacy;
mod old_client;
mod redis;
mod secrets;
mod sharing;
mod shutdown;
mod store_file;

/// The reporter as a process of its own.
const PEER: &str = env!("CARGO_BIN_EXE_peer");
