//! What a request cost: time, memory, CPU.

use serde::Serialize;
use std::time::Duration;

const MEBIBYTE: f64 = 1_048_576.0;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
}

/// What a request cost, under the names that the coordinator knows: `performance_metrics`.
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

impl PerformanceMetrics {
    /// Of a request that took so long and was finished so long after 1970-01-01 UTC, in a process
    /// that had used so much before it and after it.
    #[must_use]
    pub fn new(took: Duration, finished: Duration, before: Usage, after: Usage) -> Self {
        let processing_time = took.as_secs_f64();
        let cpu = Duration::from_nanos(after.cpu_ns.saturating_sub(before.cpu_ns)).as_secs_f64();
        Self {
            processing_time,
            memory_usage_mb: (after.memory_bytes as f64 - before.memory_bytes as f64) / MEBIBYTE,
            cpu_usage_percent: if processing_time > 0.0 {
                100.0 * cpu / processing_time
            } else {
                0.0
            },
            timestamp: finished.as_secs_f64(),
        }
    }

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
    fn the_names_are_those_that_the_coordinator_knows() {
        let before = Usage {
            cpu_ns: 100_000_000,
            memory_bytes: 3 << 20,
        };
        let after = Usage {
            cpu_ns: 600_000_000,
            memory_bytes: 1 << 20,
        };
        let [took, finished] = [2.0, 1_718_000_000.5].map(Duration::from_secs_f64);
        let metrics = PerformanceMetrics::new(took, finished, before, after);
        assert_eq!(
            metrics.to_json().to_string(),
            "{\"processing_time\":2.0,\"memory_usage_mb\":-2.0,\"cpu_usage_percent\":25.0,\
             \"timestamp\":1718000000.5}"
        );
        let at_once = PerformanceMetrics::new(Duration::ZERO, finished, before, after);
        assert_eq!(at_once.cpu_usage_percent, 0.0);
    }
}
