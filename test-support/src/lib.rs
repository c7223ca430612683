//! What the tests of several crates share: a store in memory, dice with a seed, a Redis.

mod dice;
mod memory;
mod redis_server;

pub use dice::Dice;
pub use memory::Memory;
pub use redis_server::RedisServer;
