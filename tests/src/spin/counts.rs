//! What a Spin profile counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What has happened since the profile began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Instances begun, one for each request.
    pub instances: u64,
    /// Of these, those that live now.
    pub live: u64,
    /// Most that lived at once.
    pub most_live: u64,
    /// Those that were killed.
    pub killed: u64,
    /// Those that trapped without being killed.
    pub trapped: u64,
    /// Calls of `set` and `set-many`.
    pub sets: u64,
    /// Slots of the host's table that used compare-and-swap handles left behind.
    pub leaked_slots: u64,
    /// Requests to hosts that are not allowed.
    pub denied: u64,
    /// Times that an instance waited for nothing but the clock.
    pub sleeps: u64,
    /// How long all these took together.
    pub slept: Duration,
    /// The longest of them.
    pub longest_sleep: Duration,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub instances: AtomicU64,
    pub live: AtomicU64,
    pub most_live: AtomicU64,
    pub trapped: AtomicU64,
    pub sets: AtomicU64,
    pub leaked_slots: AtomicU64,
    pub denied: AtomicU64,
    sleeps: Mutex<(u64, Duration, Duration)>,
    deaths: Mutex<Vec<SystemTime>>,
}

impl Counters {
    /// An instance begins: its number, from 1. It has ended when what comes with it is dropped.
    pub fn begin(&self) -> (u64, Live<'_>) {
        let live = self.live.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_live.fetch_max(live, Ordering::Relaxed);
        let number = self.instances.fetch_add(1, Ordering::Relaxed) + 1;
        (number, Live(self))
    }

    pub fn slept(&self, time: Duration) {
        let mut sleeps = self.sleeps.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, all, longest) = &mut *sleeps;
        *count += 1;
        *all += time;
        *longest = time.max(*longest);
    }

    pub fn killed(&self) {
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.push(SystemTime::now());
    }

    pub fn deaths(&self) -> Vec<SystemTime> {
        let deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        deaths.clone()
    }

    pub fn counts(&self) -> Counts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sleeps = *self.sleeps.lock().unwrap_or_else(PoisonError::into_inner);
        Counts {
            instances: of(&self.instances),
            live: of(&self.live),
            most_live: of(&self.most_live),
            killed: self.deaths().len() as u64,
            trapped: of(&self.trapped),
            sets: of(&self.sets),
            leaked_slots: of(&self.leaked_slots),
            denied: of(&self.denied),
            sleeps: sleeps.0,
            slept: sleeps.1,
            longest_sleep: sleeps.2,
        }
    }
}

/// An instance that lives.
pub(super) struct Live<'a>(&'a Counters);

impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::Relaxed);
    }
}
