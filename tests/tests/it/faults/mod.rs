//! What can go wrong around a reporter, done to real processes, sockets and
//! files. Each ends with the oracle: nothing is lost, changed, out of order,
//! too fast, or sent twice without a cause.

mod clock;
mod coordinator;
mod corrupt;
mod disk;
mod forget;
mod kill;
mod locked;
mod read_only;

use std::time::{SystemTime, UNIX_EPOCH};

/// Small pseudo-random numbers from a seed that the test prints.
struct Dice(u64);

impl Dice {
    /// From a seed that differs from run to run.
    fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.expect("it is after 1970").as_nanos() as u64)
    }

    /// A number below `end` (splitmix64).
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
