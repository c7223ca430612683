//! `wasi:clocks/monotonic-clock` and `wasi:io/poll`, watched: whether an instance sleeps.
//!
//! An instance sleeps where all that it waits for are timers. Where a request, an answer or a
//! body is among it, it waits for a peer, and the timer is only that wait's limit.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::Resource;
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::{clocks::monotonic_clock, io::poll};

use super::counts::Counters;
use super::state::State;

/// Which pollables of an instance are timers that have not run out as they are made.
pub(super) struct Timers {
    handles: HashSet<u32>,
    counters: Arc<Counters>,
}

impl Timers {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            handles: HashSet::new(),
            counters,
        }
    }

    fn add(&mut self, timer: Resource<DynPollable>) -> Resource<DynPollable> {
        self.handles.insert(timer.rep());
        timer
    }

    /// To be kept for as long as these are waited for; none when that is no sleep.
    fn sleep(&self, waiting: &[Resource<DynPollable>]) -> Option<Asleep> {
        let timers = waiting
            .iter()
            .all(|pollable| self.handles.contains(&pollable.rep()));
        timers.then(|| Asleep {
            since: Instant::now(),
            counters: self.counters.clone(),
        })
    }
}

/// One sleep. It is over when this is dropped, as it is when the instance is killed in it.
struct Asleep {
    since: Instant,
    counters: Arc<Counters>,
}

impl Drop for Asleep {
    fn drop(&mut self) {
        self.counters.slept(self.since.elapsed());
    }
}

impl monotonic_clock::Host for State {
    fn now(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::now(&mut self.clocks())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        monotonic_clock::Host::resolution(&mut self.clocks())
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let past = when <= monotonic_clock::Host::now(&mut self.clocks())?;
        let timer = self.clocks().subscribe_instant(when)?;
        Ok(if past { timer } else { self.timers.add(timer) })
    }

    fn subscribe_duration(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.clocks().subscribe_duration(when)?;
        Ok(if when == 0 {
            timer
        } else {
            self.timers.add(timer)
        })
    }
}

impl poll::Host for State {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        let _asleep = self.timers.sleep(&pollables);
        self.table.poll(pollables).await
    }
}

impl poll::HostPollable for State {
    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(&mut self.table, pollable).await
    }

    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        let waiting = [pollable];
        let _asleep = self.timers.sleep(&waiting);
        let [pollable] = waiting;
        poll::HostPollable::block(&mut self.table, pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.timers.handles.remove(&pollable.rep());
        poll::HostPollable::drop(&mut self.table, pollable)
    }
}
