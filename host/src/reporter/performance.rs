//! What a request cost: time, memory, CPU.

use mcp_reporter_capture::{PerformanceMetrics, Usage};
use std::time::{Instant, UNIX_EPOCH};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Measures this process from its making to [`finish`](Self::finish).
///
/// Memory and CPU are the whole process's: requests that run side by side see
/// each other's.
///
/// ```
/// let monitor = mcp_reporter::PerformanceMonitor::start();
/// let sum: u64 = (0..1000).sum();
/// let metrics = monitor.finish();
/// assert!(sum == 499_500 && metrics.processing_time >= 0.0);
/// ```
#[derive(Debug)]
pub struct PerformanceMonitor {
    started: Instant,
    before: Usage,
}

/// What this process has used so far; nothing where the system does not tell.
fn usage() -> Usage {
    let pid = Pid::from_u32(std::process::id());
    let Ok(mut system) = System::new() else {
        return Usage::default();
    };
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory().with_cpu(),
    );
    let used = system.process(pid).map(|process| Usage {
        cpu_ns: process.accumulated_cpu_time().saturating_mul(1_000_000),
        memory_bytes: process.memory(),
    });
    used.unwrap_or_default()
}

impl PerformanceMonitor {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        Self {
            before: usage(),
            started: Instant::now(),
        }
    }

    /// What it cost since the start.
    #[must_use]
    pub fn finish(&self) -> PerformanceMetrics {
        let took = self.started.elapsed();
        let finished = UNIX_EPOCH.elapsed().unwrap_or_default();
        PerformanceMetrics::new(took, finished, self.before, usage())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_request_costs_shows() {
        let monitor = PerformanceMonitor::start();
        let mut block = vec![0u8; 64 << 20];
        for page in block.chunks_mut(4096) {
            page[0] = 1;
        }
        // The kernel counts CPU time in ticks of 10 ms: burn several.
        let mut spins = 0u64;
        while monitor.started.elapsed() < Duration::from_millis(120) {
            spins = std::hint::black_box(spins + 1);
        }
        let metrics = monitor.finish();
        assert!(metrics.processing_time >= 0.12, "{metrics:?}");
        assert!(
            metrics.memory_usage_mb > 48.0,
            "{metrics:?} {}",
            block.len()
        );
        assert!(metrics.cpu_usage_percent > 0.0, "{metrics:?}");
    }
}
