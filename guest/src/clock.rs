//! Both clocks, read together.

use mcp_reporter_core::store::Now;

use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};

/// What time it is.
pub fn now() -> Now {
    let wall = wall_clock::now();
    Now {
        wall_ns: wall
            .seconds
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(wall.nanoseconds)),
        mono_ns: monotonic_clock::now(),
    }
}
