//! What the server's process uses, as far as the system tells.

use crate::performance::Usage;
use crate::tracker::Process;
use std::time::{Duration, Instant};

/// How old a figure may be: asking costs more than following a message.
const FRESH: Duration = Duration::from_millis(100);

/// A process of this machine.
#[derive(Debug)]
pub struct ServerProcess {
    pid: u32,
    last: Option<(Instant, Option<Usage>)>,
}

impl ServerProcess {
    /// The process of this number.
    #[must_use]
    pub fn new(pid: u32) -> Self {
        Self { pid, last: None }
    }
}

impl Process for ServerProcess {
    fn usage(&mut self) -> Option<Usage> {
        if let Some((at, usage)) = self.last
            && at.elapsed() < FRESH
        {
            return usage;
        }
        // A figure of the last moments is better than none once it is gone.
        let usage = read(self.pid).or(self.last.and_then(|(_, usage)| usage));
        self.last = Some((Instant::now(), usage));
        usage
    }
}

#[cfg(target_os = "linux")]
fn read(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before the last bracket may hold anything; see proc_pid_stat(5).
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .collect();
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let pages = number(24)?;
    // A process that has ended has no memory any more.
    if pages == 0 {
        return None;
    }
    Some(Usage {
        cpu_ns: (number(14)? + number(15)?).saturating_mul(1_000_000_000 / ticks),
        memory_bytes: pages.saturating_mul(rustix::param::page_size() as u64),
    })
}

#[cfg(not(target_os = "linux"))]
fn read(_pid: u32) -> Option<Usage> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_uses_is_known_and_nothing_of_one_that_is_not() {
        let mut own = ServerProcess::new(std::process::id());
        let usage = own.usage().unwrap();
        assert!(usage.memory_bytes > 100 << 10, "{usage:?}");
        assert_eq!(ServerProcess::new(u32::MAX).usage(), None);
    }
}
