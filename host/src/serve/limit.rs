//! How many events are taken in a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(1);

/// At most so many in each second from when the first of them came. Cheap to clone; all clones
/// count together.
#[derive(Debug, Clone)]
pub(super) struct RateLimit {
    limit: u32,
    /// When the current second began, and how many came in it.
    window: Arc<Mutex<(Instant, u32)>>,
}

impl RateLimit {
    /// 0 for no limit.
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            window: Arc::new(Mutex::new((Instant::now(), 0))),
        }
    }

    /// Lets one more through.
    ///
    /// # Errors
    ///
    /// Not now; in so long.
    pub(super) fn take(&self) -> Result<(), Duration> {
        if self.limit == 0 {
            return Ok(());
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (began, count) = &mut *window;
        let now = Instant::now();
        let passed = now.duration_since(*began);
        if passed >= WINDOW {
            (*began, *count) = (now, 0);
        } else if *count >= self.limit {
            return Err(WINDOW - passed);
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_lets_more_through_and_none_stands_for_no_limit() {
        let limit = RateLimit::new(3);
        for _ in 0..3 {
            assert_eq!(limit.take(), Ok(()));
        }
        let wait = limit.take().unwrap_err();
        assert!(wait <= WINDOW, "{wait:?}");
        assert!(limit.clone().take().is_err());
        // As if a second had passed.
        limit.window.lock().unwrap().0 -= WINDOW;
        assert_eq!(limit.take(), Ok(()));
        let free = RateLimit::new(0);
        assert!((0..1_000).all(|_| free.take().is_ok()));
    }
}
