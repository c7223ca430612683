//! What a request cost: time, memory, CPU.

use serde::Serialize;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

const MEBIBYTE: f64 = 1_048_576.0;

/// What a request cost, under the names that the coordinator knows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PerformanceMetrics {
    /// Seconds from start to finish.
    pub processing_time: f64,
    /// Growth of the process's resident memory, in MiB; negative when it shrank.
    pub memory_usage_mb: f64,
    /// CPU time of the process over that time, in percent of one core.
    pub cpu_usage_percent: f64,
    /// When the request was finished, in seconds since 1970-01-01 UTC.
    pub timestamp: f64,
}

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

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    memory_bytes: u64,
    cpu: Duration,
}

impl Usage {
    /// Zero where the system does not tell.
    fn now() -> Self {
        let pid = Pid::from_u32(std::process::id());
        let Ok(mut system) = System::new() else {
            return Self::default();
        };
        system.refresh_processes_specifics(
            ProcessesToUpdate::Some(&[pid]),
            false,
            ProcessRefreshKind::nothing().with_memory().with_cpu(),
        );
        system
            .process(pid)
            .map_or_else(Self::default, |process| Self {
                memory_bytes: process.memory(),
                cpu: Duration::from_millis(process.accumulated_cpu_time()),
            })
    }
}

impl PerformanceMonitor {
    /// Begins to measure.
    #[must_use]
    pub fn start() -> Self {
        Self {
            before: Usage::now(),
            started: Instant::now(),
        }
    }

    /// What it cost since the start.
    #[must_use]
    pub fn finish(&self) -> PerformanceMetrics {
        let elapsed = self.started.elapsed().as_secs_f64();
        let after = Usage::now();
        let cpu = after.cpu.saturating_sub(self.before.cpu).as_secs_f64();
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        PerformanceMetrics {
            processing_time: elapsed,
            memory_usage_mb: (after.memory_bytes as f64 - self.before.memory_bytes as f64)
                / MEBIBYTE,
            cpu_usage_percent: if elapsed > 0.0 {
                100.0 * cpu / elapsed
            } else {
                0.0
            },
            timestamp: since_epoch.as_secs_f64(),
        }
    }
}

impl PerformanceMetrics {
    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // Four finite numbers always serialize.
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let keys: Vec<_> = metrics
            .to_json()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        assert_eq!(
            keys,
            [
                "processing_time",
                "memory_usage_mb",
                "cpu_usage_percent",
                "timestamp"
            ]
        );
    }
}
