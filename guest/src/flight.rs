//! The requests under way at once, and the one place where the component waits.

use crate::{
    bindings::wasi::{
        clocks::monotonic_clock,
        io::poll::{Pollable, poll},
    },
    http::{Exchange, Outcome},
    prelude::*,
};

/// Requests under way; each has a token by which its owner knows it.
pub struct Flight {
    exchanges: Vec<(u64, Exchange)>,
    timer: Option<Timer>,
}

struct Timer {
    at_ns: u64,
    pollable: Pollable,
}

impl Flight {
    /// No request is under way.
    pub fn new() -> Self {
        Self {
            exchanges: Vec::new(),
            timer: None,
        }
    }

    /// Adds a request.
    pub fn add(&mut self, token: u64, exchange: Exchange) {
        self.exchanges.push((token, exchange));
    }

    /// Waits until requests are over, or until `until_ns` of the monotonic clock, and returns
    /// those that are. With no request under way that is a plain sleep.
    pub fn wait(&mut self, until_ns: u64) -> Vec<(u64, Outcome)> {
        loop {
            let ready = self.poll(until_ns);
            let now_ns = monotonic_clock::now();
            let mut over = Vec::new();
            // From the end, so that removing one does not move those still to be looked at.
            for at in (0..self.exchanges.len()).rev() {
                let (_, exchange) = &mut self.exchanges[at];
                if (ready.contains(&at) || now_ns >= exchange.deadline_ns())
                    && let Some(outcome) = exchange.advance(now_ns)
                {
                    let (token, _) = self.exchanges.swap_remove(at);
                    over.push((token, outcome));
                }
            }
            if !over.is_empty() || now_ns >= until_ns {
                return over;
            }
        }
    }

    /// Which exchanges can go on. Returns at the latest when the first deadline or `until_ns` is
    /// reached.
    fn poll(&mut self, until_ns: u64) -> Vec<usize> {
        let deadlines = self.exchanges.iter().map(|(_, e)| e.deadline_ns());
        let wake_ns = deadlines.fold(until_ns, u64::min);
        // A timer that fires early costs one turn; a new one for every request costs more.
        if self.timer.as_ref().is_none_or(|t| t.at_ns > wake_ns) {
            self.set_timer(wake_ns);
        }
        let mut waiting = Vec::with_capacity(self.exchanges.len() + 1);
        let mut owner = Vec::with_capacity(self.exchanges.len() + 1);
        for (at, (_, exchange)) in self.exchanges.iter().enumerate() {
            exchange.pollables(|pollable| {
                waiting.push(pollable);
                owner.push(at);
            });
        }
        if let Some(timer) = &self.timer {
            waiting.push(&timer.pollable);
        }
        let mut ready: Vec<usize> = Vec::new();
        let mut fired = false;
        for index in poll(&waiting) {
            match owner.get(index as usize) {
                Some(&at) => ready.push(at),
                None => fired = true,
            }
        }
        if fired {
            self.timer = None;
        }
        ready
    }

    fn set_timer(&mut self, at_ns: u64) {
        // The old one goes first: a runtime may allow only so many.
        self.timer = None;
        self.timer = Some(Timer {
            at_ns,
            pollable: monotonic_clock::subscribe_instant(at_ns),
        });
    }
}
