//! The wall clock of those instances that take reports.
//!
//! The others have the system's, which may be set back: what they measure by it (leases,
//! backoffs) would never pass by a clock that stands still until the system's has caught up.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use wasmtime_wasi::HostWallClock;

/// The last reading handed out, in nanoseconds since 1970-01-01 UTC.
static LAST_NS: AtomicU64 = AtomicU64::new(0);

/// Wall time that never goes back and never repeats, for all of this process: events are ordered
/// by it, and two instances may accept events of one interaction.
pub(super) struct RisingClock;

impl HostWallClock for RisingClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Duration::from_nanos(after(
            &LAST_NS,
            u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        ))
    }
}

/// `now_ns`, or just after the last reading where that is later.
fn after(last_ns: &AtomicU64, now_ns: u64) -> u64 {
    let step = |last: u64| now_ns.max(last.saturating_add(1));
    let last = last_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(step(last)));
    // The closure always returns some value, so both arms hold the previous one.
    match last {
        Ok(last) | Err(last) => step(last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_rise_when_the_system_clock_stands_still_or_goes_back() {
        let last = AtomicU64::new(0);
        let readings: Vec<u64> = [100, 100, 40, 101, 500]
            .map(|now| after(&last, now))
            .to_vec();
        assert_eq!(readings, [100, 101, 102, 103, 500]);
    }

    #[test]
    fn readings_of_several_threads_never_repeat() {
        let mut readings: Vec<Duration> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).map(|_| RisingClock.now()).collect::<Vec<_>>()))
                .collect();
            threads
                .into_iter()
                .flat_map(|t| t.join().unwrap())
                .collect()
        });
        readings.sort();
        let count = readings.len();
        readings.dedup();
        assert_eq!(readings.len(), count);
    }
}
