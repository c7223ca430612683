//! What the tests of several crates share: a store in memory, dice with a seed, a Redis, and where
//! the peers are that come from PyPI and npm.

mod dice;
mod memory;
mod node_peers;
mod python_peers;
mod redis_server;

pub use dice::Dice;
pub use memory::Memory;
pub use node_peers::NodePeers;
pub use python_peers::{PythonPeers, programs};
pub use redis_server::RedisServer;
