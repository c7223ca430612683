//! What the tests of several crates share: a store in memory, dice with a seed, a Redis, and where
//! the peers are that are Python programs.

mod dice;
mod memory;
mod python_peers;
mod redis_server;

pub use dice::Dice;
pub use memory::Memory;
pub use python_peers::{PythonPeers, programs};
pub use redis_server::RedisServer;
