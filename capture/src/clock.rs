//! Wall time that never goes back.

use std::time::{Instant, UNIX_EPOCH};

/// The wall clock as it stood when this was made, and the time since.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began_ns: u64,
    began: Instant,
}

impl Clock {
    /// One that starts now.
    #[must_use]
    pub fn start() -> Self {
        // A clock before 1970 counts from there.
        let since_epoch = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            began_ns: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            began: Instant::now(),
        }
    }

    /// Nanoseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        let since = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.began_ns.saturating_add(since)
    }
}
